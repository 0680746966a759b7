//! API keys: their secrets, their expiry, and that no key grants more rights than it has.

use chrono::{DateTime, TimeDelta, Utc};
use partner_platform::domain::authorization::Role;
use partner_platform::domain::credentials::api_key::{
    Action, ApiKey, ApiKeyStatus, Command, Details, Fingerprint, MAX_VALIDITY_DAYS, State,
};
use partner_platform::domain::credentials::credential::{Credential, Rejection};
use partner_platform::domain::credentials::secret::Secret;
use partner_platform::domain::id::{ApiKeyId, ResellerId};
use partner_platform::domain::machine::Outcome;
use partner_platform::domain::refusal::ViolationCode;
use proptest::prelude::*;
use secrecy::ExposeSecret;

use crate::samples::{END, IN_TERM, START, api_key, changed, id, noon, problems, text};

fn fingerprint(byte: u8) -> Fingerprint {
    Fingerprint::from(&Secret::new([byte; 32]))
}

fn rotate(byte: u8, overlap: TimeDelta) -> Command {
    Command::Rotate { secret: fingerprint(byte), overlap }
}

fn ending(end: DateTime<Utc>) -> ApiKey {
    ApiKey { details: Details { expires_at: Some(end), ..api_key().details }, ..api_key() }
}

fn revoked() -> ApiKey {
    let revoke = Command::Revoke { reason: Some(text("Leaked")) };
    changed(api_key().apply(revoke, noon(IN_TERM)).unwrap())
}

#[test]
fn a_key_expires_at_its_very_end_and_is_revoked_whatever_its_end() {
    let key = ending(noon(END));
    let just_before = noon(END) - TimeDelta::microseconds(1);
    assert_eq!((key.status(just_before), key.status(noon(END))), (ApiKeyStatus::Active, ApiKeyStatus::Expired));
    let key = changed(key.apply(Command::Revoke { reason: None }, noon(END)).unwrap());
    assert_eq!(key.status(just_before), ApiKeyStatus::Revoked);
}

#[test]
fn revoking_says_when_and_why_and_changes_nothing_else() {
    let state = State::Revoked { at: noon(IN_TERM), reason: Some(text("Leaked")) };
    let expected = ApiKey { state, version: api_key().version.next(), updated_at: noon(IN_TERM), ..api_key() };
    assert_eq!(revoked(), expected);
    let again = revoked().apply(Command::Revoke { reason: None }, noon(END)).unwrap();
    assert_eq!(again, Outcome::Unchanged, "the first reason stays");
}

#[test]
fn rotating_keeps_the_secret_of_before_and_no_other() {
    let first = changed(api_key().apply(rotate(2, TimeDelta::hours(1)), noon(START)).unwrap());
    let rotation = first.rotated.clone().unwrap();
    assert_eq!((rotation.previous, rotation.at), (api_key().secret.hash, noon(START)));
    assert_eq!(rotation.previous_ends_at, noon(START) + TimeDelta::hours(1));
    assert_eq!((first.id, &first.secret), (api_key().id, &fingerprint(2)));
    let second = changed(first.apply(rotate(3, TimeDelta::zero()), noon(IN_TERM)).unwrap());
    let rotation = second.rotated.clone().unwrap();
    assert_eq!((rotation.previous, rotation.previous_ends_at), (fingerprint(2).hash, noon(IN_TERM)));
    assert_eq!(second.version, api_key().version.next().next());
}

#[test]
fn what_a_revoked_key_was_stays() {
    let details = Details { name: text("Other"), ..api_key().details };
    let refusal = revoked().edit(details, noon(END)).unwrap_err();
    insta::assert_snapshot!(refusal, @"The API key is revoked, which does not allow `edit`. No action is allowed in this state.");
    assert_eq!(revoked().edit(revoked().details, noon(END)), Ok(Outcome::Unchanged));
}

proptest! {
    #[test]
    fn an_end_lies_ahead_and_by_ten_years_at_most(seconds in -400_000_000_i64..400_000_000, nanos in 0..1_000_000_000_i64) {
        let (at, latest) = (noon(IN_TERM), noon(IN_TERM) + TimeDelta::days(MAX_VALIDITY_DAYS));
        let end = at + TimeDelta::seconds(seconds) + TimeDelta::nanoseconds(nanos);
        let details = Details { name: text("Ends"), expires_at: Some(end) };
        let kept = end - TimeDelta::nanoseconds(nanos % 1_000);
        let edited = api_key().edit(details.clone(), at);
        let made = ApiKey::create(id(1), details, Role::Sales, None, fingerprint(1), "system".to_owned(), at);
        if kept > at && kept <= latest {
            prop_assert_eq!(changed(edited.unwrap()).details.expires_at, Some(kept));
            prop_assert_eq!(made.unwrap().details.expires_at, Some(kept));
        } else {
            let expected = vec![("/expires_at".to_owned(), ViolationCode::OutOfRange)];
            prop_assert_eq!(problems(edited.unwrap_err()), expected.clone());
            prop_assert_eq!(problems(made.unwrap_err()), expected);
        }
    }

    #[test]
    fn a_secret_is_recognised_and_told_from_all_others(one in any::<[u8; 32]>(), other in any::<[u8; 32]>()) {
        let [secret, different] = [one, other].map(Secret::new);
        let text = secret.expose_secret();
        let parsed = Secret::parse(text).unwrap();
        prop_assert_eq!((parsed.hash(), parsed.expose_secret()), (secret.hash(), text));
        prop_assert_eq!(one == other, secret.hash() == different.hash());
        let hint = secret.hint();
        prop_assert!(text.starts_with(&hint.prefix) && text.ends_with(&hint.last_four));
        prop_assert_eq!((text.len(), hint.prefix.len(), hint.last_four.len()), (47, 8, 4));
        prop_assert!(!format!("{secret:?}").contains(&text[4..]), "the secret is not logged by accident");
    }

    #[test]
    fn what_is_recognised_as_a_secret_is_one_text_and_no_other(random in any::<[u8; 32]>(), at in 0..47_usize, c in any::<char>()) {
        let secret = Secret::new(random);
        let mut other: Vec<char> = secret.expose_secret().chars().collect();
        let before = std::mem::replace(&mut other[at], c);
        let other: String = other.into_iter().collect();
        if let Some(parsed) = Secret::parse(&other) {
            prop_assert_eq!(parsed.hash() == secret.hash(), before == c);
            prop_assert!(other.is_ascii());
        }
        let longer = format!("{}{c}", secret.expose_secret());
        prop_assert!(Secret::parse(&longer).is_none());
        prop_assert!(Secret::parse(&secret.expose_secret()[..at]).is_none());
    }

    #[test]
    fn a_secret_works_until_the_first_of_its_ends(
        is_revoked in any::<bool>(),
        ends in prop::array::uniform2(prop::option::of(-3..3_i64)),
        reseller_is_disabled in any::<bool>(),
    ) {
        let at = noon(IN_TERM);
        let [expires_at, secret_ends_at] = ends.map(|end| end.map(|end| at + TimeDelta::microseconds(end)));
        let credential = Credential {
            id: id::<ApiKeyId>(1), role: Role::Sales, partner_id: Some(id::<ResellerId>(2)), is_revoked, expires_at,
            secret_ends_at, reseller_is_disabled,
        };
        let is_over = |end: Option<i64>| end.is_some_and(|end| end <= 0);
        let expected = match (is_revoked, ends.map(is_over), reseller_is_disabled) {
            (true, ..) => Err(Rejection::Revoked),
            (_, [true, _], _) => Err(Rejection::Expired),
            (_, [_, true], _) => Err(Rejection::Replaced),
            (.., true) => Err(Rejection::ResellerDisabled),
            _ => Ok(()),
        };
        prop_assert_eq!(credential.check(at), expected);
    }

    #[test]
    fn a_key_never_becomes_another(steps in prop::collection::vec((0..3_u8, any::<u8>(), 0..700_000_i64), 0..8)) {
        let mut key = api_key();
        let mut at = noon(START);
        for (step, byte, seconds) in steps {
            at += TimeDelta::seconds(seconds);
            let outcome = match step {
                0 => key.apply(rotate(byte, TimeDelta::seconds(seconds)), at),
                1 => key.apply(Command::Revoke { reason: None }, at),
                _ => key.edit(Details { name: text(&format!("Key {byte}")), ..key.details.clone() }, at),
            };
            let was_revoked = key.status(at) == ApiKeyStatus::Revoked;
            if let Ok(Outcome::Changed(after)) = outcome {
                prop_assert!(!was_revoked, "a revoked key stays unchanged");
                prop_assert_eq!(after.version, key.version.next());
                prop_assert_eq!((after.id, after.role, after.partner_id), (key.id, key.role, key.partner_id));
                prop_assert_eq!((&after.created_by, after.created_at), (&key.created_by, key.created_at));
                key = after;
            }
        }
        prop_assert_eq!(key.possibilities(at).len(), Action::ALL.len());
    }
}
