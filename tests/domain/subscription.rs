//! The table of transitions row by row: what changes, and that nothing else does.

use chrono::Days;
use partner_platform::domain::catalog::product::{UnitPrice, UnitPrices};
use partner_platform::domain::machine::Outcome;
use partner_platform::domain::refusal::Refusal;
use partner_platform::domain::subscription::{
    Action, Cancellation, Command, Details, State, Subscription, SubscriptionStatus, Suspension, Term,
};
use partner_platform::domain::time::Schedule;
use proptest::prelude::*;

use crate::samples::{
    END, IN_TERM, START, any_subscription, at, cancelled, changed, code, day, in_state, line, noon, subscription,
    suspended, text, unit_prices,
};

/// Executes a command at noon of a day.
fn apply(subscription: &Subscription, command: Command, date: &str) -> Result<Outcome<Subscription>, Refusal> {
    subscription.apply(command, noon(date))
}

/// `before` with one more version on a day, without the other effects of the change.
fn once_more(before: &Subscription, date: &str) -> Subscription {
    Subscription { version: before.version.next(), updated_at: noon(date), ..before.clone() }
}

fn dearer() -> UnitPrices {
    unit_prices().into_iter().map(|(code, price)| (code, UnitPrice { amount: price.amount + 100, ..price })).collect()
}

fn refused(outcome: Result<Outcome<Subscription>, Refusal>) -> Refusal {
    outcome.expect_err("the command is rejected")
}

fn is_invalid(refusal: &Refusal) -> bool {
    matches!(refusal, Refusal::InvalidTransition { .. })
}

#[test]
fn a_subscription_that_starts_today_is_active() {
    assert_eq!(subscription().status(), SubscriptionStatus::Active);
}

#[test]
fn a_pending_subscription_becomes_active_on_its_first_day() {
    let pending = in_state(State::Pending);
    assert!(is_invalid(&refused(apply(&pending, Command::Activate, "2025-12-31"))));
    let active = changed(apply(&pending, Command::Activate, START).unwrap());
    assert_eq!(active, Subscription { state: State::Active, ..once_more(&pending, START) });
}

#[test]
fn cancelling_a_pending_subscription_leaves_it_with_nothing() {
    let pending = in_state(State::Pending);
    let reason = Some(text("Ordered twice"));
    let done = changed(apply(&pending, Command::Cancel { reason: reason.clone() }, "2025-12-15").unwrap());
    let expected = Subscription {
        state: State::Cancelled(Cancellation { at: noon("2025-12-15"), reason }),
        auto_renew: false,
        lines: vec![line("ev", 0, None, 2), line("ov", 0, Some(8), 0)],
        ..once_more(&pending, "2025-12-15")
    };
    assert_eq!(done, expected);
}

#[test]
fn cancelling_an_active_or_suspended_subscription_is_refused() {
    for state in [State::Active, suspended(false), suspended(true), State::Expired] {
        assert!(is_invalid(&refused(apply(&in_state(state), Command::Cancel { reason: None }, IN_TERM))));
    }
}

#[test]
fn suspending_keeps_term_inventory_and_automatic_renewal() {
    let reason = Some(text("Invoice overdue"));
    let done = changed(apply(&subscription(), Command::Suspend { reason: reason.clone() }, IN_TERM).unwrap());
    let state = State::Suspended(Suspension { at: noon(IN_TERM), reason, lapsed: false });
    assert_eq!(done, Subscription { state, ..once_more(&subscription(), IN_TERM) });
}

#[test]
fn a_suspended_subscription_refuses_allocations_and_more_current_inventory() {
    let suspended = in_state(suspended(false));
    for command in [Command::Allocate(code("ev"), 1), Command::AddCurrentInventory(vec![(code("ev"), 1)])] {
        assert_eq!(refused(apply(&suspended, command, IN_TERM)), Refusal::SubscriptionSuspended);
    }
}

#[test]
fn suspending_an_expired_subscription_is_refused() {
    assert!(is_invalid(&refused(apply(&in_state(State::Expired), Command::Suspend { reason: None }, END))));
}

#[test]
fn enabling_in_term_changes_nothing_but_the_state() {
    let suspended = in_state(suspended(false));
    let done = changed(apply(&suspended, Command::Enable, "2026-12-31").unwrap());
    assert_eq!(done, Subscription { state: State::Active, ..once_more(&suspended, "2026-12-31") });
}

#[test]
fn enabling_after_the_term_is_refused_for_renewal() {
    for lapsed in [false, true] {
        let refusal = refused(apply(&in_state(suspended(lapsed)), Command::Enable, END));
        assert_eq!(refusal, Refusal::TermEnded(day(END)));
        assert_eq!(refusal.to_string(), "The term ended on 2027-01-01. Renew the subscription instead.");
    }
}

#[test]
fn renewing_after_the_term_starts_a_new_one_today_with_a_new_anchor() {
    let lapsed = in_state(suspended(true));
    let done = changed(apply(&lapsed, Command::Renew(dearer()), "2027-02-10").unwrap());
    let schedule = Schedule { anchor: day("2027-02-10"), first: 2, months: 12 };
    let term = Term { number: 2, start_date: day("2027-02-10"), end_date: day("2028-02-10"), unit_prices: dearer() };
    let lines = vec![line("ev", 5, None, 2), line("ov", 8, Some(8), 0)];
    let expected = Subscription { state: State::Active, schedule, term, lines, ..once_more(&lapsed, "2027-02-10") };
    assert_eq!(done, expected);
}

#[test]
fn renewing_before_the_term_is_over_is_refused() {
    assert!(is_invalid(&refused(apply(&in_state(suspended(false)), Command::Renew(dearer()), "2026-12-31"))));
    assert!(is_invalid(&refused(apply(&subscription(), Command::Renew(dearer()), END))));
}

#[test]
fn renewing_nothing_is_refused() {
    let lines = vec![line("ev", 5, Some(0), 2), line("ov", 0, None, 0)];
    let lapsed = Subscription { lines, ..in_state(suspended(true)) };
    assert_eq!(refused(apply(&lapsed, Command::Renew(dearer()), END)), Refusal::NothingToRenew);
}

#[test]
fn the_next_term_starts_where_the_last_one_ended_with_the_renewal_inventory() {
    let active = subscription();
    let done = changed(apply(&active, Command::EndTerm(dearer()), END).unwrap());
    let term = Term { number: 2, start_date: day(END), end_date: day("2028-01-01"), unit_prices: dearer() };
    let lines = vec![line("ev", 5, None, 2), line("ov", 8, Some(8), 0)];
    assert_eq!(done, Subscription { term, lines, ..once_more(&active, END) });
}

#[test]
fn terms_that_nobody_ended_in_time_follow_one_by_one() {
    let first = subscription();
    let second = changed(apply(&first, Command::EndTerm(dearer()), "2028-06-01").unwrap());
    let third = changed(apply(&second, Command::EndTerm(dearer()), "2028-06-01").unwrap());
    assert_eq!((third.term.number, third.term.start_date), (3, day("2028-01-01")));
    assert!(is_invalid(&refused(apply(&third, Command::EndTerm(dearer()), "2028-06-01"))));
}

#[test]
fn fewer_certificates_than_in_use_are_an_overage_after_the_renewal_only() {
    let active = Subscription { lines: vec![line("ev", 5, Some(1), 4)], ..subscription() };
    assert_eq!(active.lines[0].overage(), 0);
    let renewed = changed(apply(&active, Command::EndTerm(dearer()), END).unwrap());
    assert_eq!(renewed.lines, [line("ev", 1, Some(1), 4)]);
    assert_eq!((renewed.lines[0].overage(), renewed.lines[0].available()), (3, 0));
}

#[test]
fn without_automatic_renewal_the_term_s_end_is_the_end() {
    let active = Subscription { auto_renew: false, ..subscription() };
    let done = changed(apply(&active, Command::EndTerm(dearer()), END).unwrap());
    assert_eq!(done, Subscription { state: State::Expired, ..once_more(&active, END) });
}

#[test]
fn with_every_renewal_quantity_0_the_term_s_end_is_the_end() {
    let active = Subscription { lines: vec![line("ev", 5, Some(0), 2), line("ov", 0, None, 0)], ..subscription() };
    let done = changed(apply(&active, Command::EndTerm(dearer()), END).unwrap());
    assert_eq!(done, Subscription { state: State::Expired, auto_renew: false, ..once_more(&active, END) });
}

#[test]
fn a_term_does_not_end_before_its_last_day_is_over() {
    assert!(is_invalid(&refused(apply(&subscription(), Command::EndTerm(dearer()), "2026-12-31"))));
}

#[test]
fn the_term_s_end_makes_a_suspended_subscription_lapse() {
    let before = in_state(suspended(false));
    let done = changed(apply(&before, Command::EndTerm(dearer()), END).unwrap());
    assert_eq!(done, Subscription { state: suspended(true), ..once_more(&before, END) });
}

#[test]
fn a_lapse_of_90_days_is_the_end() {
    let lapsed = in_state(suspended(true));
    let last_day = at(day(END) + Days::new(89));
    assert!(is_invalid(&refused(lapsed.apply(Command::Expire, last_day))));
    let done = changed(apply(&lapsed, Command::Expire, "2027-04-01").unwrap());
    assert_eq!(done, Subscription { state: State::Expired, auto_renew: false, ..once_more(&lapsed, "2027-04-01") });
}

#[test]
fn a_running_term_that_is_over_takes_no_allocations_and_no_more_inventory() {
    for command in [Command::Allocate(code("ev"), 1), Command::AddCurrentInventory(vec![(code("ev"), 1)])] {
        assert_eq!(refused(apply(&subscription(), command, END)), Refusal::TermEnded(day(END)));
    }
}

#[test]
fn automatic_renewal_is_switched_while_pending_active_or_suspended() {
    for state in [State::Pending, State::Active, suspended(false), suspended(true)] {
        let before = in_state(state);
        let details = Details { auto_renew: false, ..before.details() };
        let done = changed(before.edit(details, noon(IN_TERM)).unwrap());
        assert_eq!(done, Subscription { auto_renew: false, ..once_more(&before, IN_TERM) });
    }
    for state in [State::Expired, cancelled()] {
        let before = Subscription { auto_renew: false, ..in_state(state) };
        assert_eq!(before.edit(before.details(), noon(IN_TERM)), Ok(Outcome::Unchanged));
        let details = Details { auto_renew: true, ..before.details() };
        assert!(is_invalid(&refused(before.edit(details, noon(IN_TERM)))));
    }
}

#[test]
fn the_caller_s_reference_is_edited_in_every_state() {
    for state in [State::Pending, State::Active, suspended(true), State::Expired, cancelled()] {
        let before = in_state(state);
        let external_id = Some(text("crm-1"));
        let done =
            changed(before.edit(Details { external_id: external_id.clone(), ..before.details() }, noon(END)).unwrap());
        assert_eq!(done, Subscription { external_id, ..once_more(&before, END) });
    }
}

#[test]
fn editing_nothing_changes_nothing() {
    assert_eq!(subscription().edit(subscription().details(), noon(IN_TERM)), Ok(Outcome::Unchanged));
}

#[test]
fn an_action_that_already_holds_changes_nothing() {
    let cases = [
        (suspended(false), Command::Suspend { reason: Some(text("Again")) }),
        (State::Active, Command::Enable),
        (State::Active, Command::Activate),
        (cancelled(), Command::Cancel { reason: Some(text("Again")) }),
        (suspended(true), Command::EndTerm(dearer())),
        (State::Expired, Command::Expire),
    ];
    for (state, command) in cases {
        assert_eq!(apply(&in_state(state), command.clone(), IN_TERM), Ok(Outcome::Unchanged), "{command:?}");
    }
}

#[test]
fn certificates_in_use_are_given_back_in_every_state() {
    for state in [State::Pending, State::Active, suspended(true), State::Expired, cancelled()] {
        let before = in_state(state);
        let done = changed(apply(&before, Command::Release(code("ev"), 2), END).unwrap());
        let lines = vec![line("ev", 5, None, 0), line("ov", 10, Some(8), 0)];
        assert_eq!(
            done,
            Subscription { lines, ..before },
            "no new version: allocations do not change the subscription"
        );
    }
}

proptest! {
    #[test]
    fn expired_and_cancelled_are_final((subscription, today) in any_subscription(), end in prop_oneof![Just(State::Expired), Just(cancelled())]) {
        let ended = Subscription { state: end, ..subscription };
        let commands = [
            Command::Suspend { reason: None }, Command::Enable, Command::Cancel { reason: None }, Command::Renew(dearer()),
            Command::AddCurrentInventory(vec![(code("ev"), 1)]), Command::SetRenewalInventory(vec![(code("ev"), None)]),
            Command::Allocate(code("ev"), 1), Command::Activate, Command::EndTerm(dearer()), Command::Expire,
        ];
        for command in commands {
            if let Ok(outcome) = ended.apply(command, at(today)) {
                prop_assert_eq!(outcome, Outcome::Unchanged);
            }
        }
        prop_assert!(ended.guard(Action::SetAutoRenew, today).is_err());
    }
}
