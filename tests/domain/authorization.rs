//! Rights: the table of roles, and the allowed actions of a caller.

use partner_platform::domain::authorization::{Actor, Identity, Obstacle, Right, Role, Scope};
use partner_platform::domain::id::{ApiKeyId, ResellerId};
use partner_platform::domain::refusal::Refusal;
use partner_platform::domain::subscription::State;
use proptest::prelude::*;

use crate::samples::{IN_TERM, day, id, in_state, reseller};

fn actor(role: Role, scope: Scope) -> Actor {
    Actor { identity: Identity::ApiKey(id::<ApiKeyId>(7)), role, scope }
}

fn own_reseller() -> Scope {
    Scope::Reseller(id::<ResellerId>(2))
}

#[test]
fn which_role_has_which_right_with_the_partner_and_with_a_reseller() {
    let mut table = format!("{:<24}", "");
    table.extend(Role::ALL.iter().map(|role| format!("{:<20}", role.as_str())));
    for right in Right::ALL {
        table = format!("{}\n{:<24}", table.trim_end(), right.as_str());
        for role in Role::ALL {
            let cell = match [Scope::Partner, own_reseller()].map(|scope| actor(*role, scope).may(*right)) {
                [true, true] => "partner, reseller",
                [true, false] => "partner",
                [false, true] => "reseller",
                [false, false] => "-",
            };
            table.push_str(&format!("{cell:<20}"));
        }
    }
    insta::assert_snapshot!(table.trim_end());
}

#[test]
fn a_reseller_sees_itself_only_and_the_partner_everyone() {
    let [own, other] = [id::<ResellerId>(2), id::<ResellerId>(9)];
    assert_eq!([own_reseller().sees(own), own_reseller().sees(other)], [true, false]);
    assert_eq!([Scope::Partner.sees(own), Scope::Partner.sees(other)], [true, true]);
    assert_eq!([own_reseller().reseller(), Scope::Partner.reseller()], [Some(own), None]);
}

#[test]
fn without_the_right_an_action_is_forbidden_even_where_the_state_refuses_it() {
    let offers = actor(Role::Billing, Scope::Partner).offers(in_state(State::Active).possibilities(day(IN_TERM)));
    assert!(offers.iter().all(|offer| matches!(offer.obstacle, Some(Obstacle::Forbidden(_)))));
}

#[test]
fn with_the_right_the_state_decides() {
    let offers = actor(Role::Admin, own_reseller()).offers(in_state(State::Active).possibilities(day(IN_TERM)));
    let obstacle = |action| offers.iter().find(|offer| offer.action == action).unwrap().obstacle.clone();
    assert_eq!(obstacle("suspend"), None);
    assert!(matches!(obstacle("cancel"), Some(Obstacle::Refused(Refusal::InvalidTransition { action: "cancel", .. }))));
}

#[test]
fn a_reseller_is_not_offered_to_disable_itself() {
    let offers = actor(Role::Admin, own_reseller()).offers(reseller().possibilities());
    assert!(offers.iter().all(|offer| offer.obstacle == Some(Obstacle::Forbidden(Right::WriteResellers))));
}

#[test]
fn a_missing_right_says_whose_keys_have_it() {
    let detail = Obstacle::Forbidden(Right::WriteProducts).to_string();
    insta::assert_snapshot!(detail, @"This requires the right `write_products`. Use a key of the provider with the role admin or sales.");
    let detail = Obstacle::Forbidden(Right::Allocate).to_string();
    insta::assert_snapshot!(detail, @"This requires the right `allocate`. Use a key with the role admin or technician.");
}

fn any_role() -> impl Strategy<Value = Role> {
    prop::sample::select(Role::ALL)
}

/// The provider, or one of three resellers.
fn any_partner_id() -> impl Strategy<Value = Option<ResellerId>> {
    prop::option::of((1..4_u128).prop_map(id::<ResellerId>))
}

fn scope_of(partner_id: Option<ResellerId>) -> Scope {
    partner_id.map_or(Scope::Partner, Scope::Reseller)
}

proptest! {
    #[test]
    fn nobody_gives_more_than_they_have(
        (role, own) in (any_role(), any_partner_id()),
        (given, of) in (any_role(), any_partner_id()),
    ) {
        let giver = actor(role, scope_of(own));
        let key = actor(given, scope_of(of));
        let sees_no_more = (1..4_u128).map(id::<ResellerId>).all(|it| giver.scope.sees(it) || !key.scope.sees(it))
            && (key.scope != Scope::Partner || giver.scope == Scope::Partner);
        let does_no_more = Right::ALL.iter().all(|right| giver.may(*right) || !key.may(*right));
        let granted = giver.check_grant(given, of);
        prop_assert_eq!(granted.is_ok(), sees_no_more && does_no_more);
        match granted {
            Ok(()) => {}
            Err(Refusal::Forbidden(right)) => prop_assert!(key.may(right) && !giver.may(right)),
            Err(refusal) => prop_assert!(refusal == Refusal::BeyondScope && !sees_no_more),
        }
        // A key that this key has created cannot grant more rights, either.
        for (next, whose) in Role::ALL.iter().flat_map(|role| [None, own, of].map(|whose| (*role, whose))) {
            if giver.check_grant(given, of).is_ok() && key.check_grant(next, whose).is_ok() {
                prop_assert!(giver.check_grant(next, whose).is_ok());
            }
        }
    }
}

#[test]
fn an_administrator_gives_what_is_within_its_scope_and_others_their_own() {
    let own = Some(id::<ResellerId>(2));
    for role in Role::ALL {
        assert_eq!(actor(Role::Admin, Scope::Partner).check_grant(*role, None), Ok(()));
        assert_eq!(actor(Role::Admin, Scope::Partner).check_grant(*role, own), Ok(()));
        assert_eq!(actor(Role::Admin, own_reseller()).check_grant(*role, own), Ok(()));
        assert_eq!(actor(Role::Admin, own_reseller()).check_grant(*role, None), Err(Refusal::BeyondScope));
        assert_eq!(actor(*role, own_reseller()).check_grant(*role, own), Ok(()));
    }
    let refusal = actor(Role::Technician, Scope::Partner).check_grant(Role::Sales, None).unwrap_err();
    insta::assert_snapshot!(refusal, @"This requires the right `write_subscriptions`. Use a key with the role admin or sales.");
}

#[test]
fn an_actor_is_named_by_its_key_or_subject_and_the_service_as_system() {
    assert_eq!(actor(Role::Admin, Scope::Partner).label(), "api_key:00000000-0000-0000-0000-000000000007");
    assert_eq!(Identity::Subject("9f2c".to_owned()).to_string(), "subject:9f2c");
    assert_eq!(Actor::system().label(), "system");
}
