//! Scheduled transitions: when they are due, in which order, and that the result does not depend on when they are
//! processed.

use chrono::{DateTime, Datelike, Days, NaiveDate, TimeDelta, Utc};
use partner_platform::domain::billing::order::{Bucket, OrderKind};
use partner_platform::domain::billing::quote::{self, Plan};
use partner_platform::domain::id::{CustomerId, SubscriptionId, Version};
use partner_platform::domain::machine::{Outcome, Verdict};
use partner_platform::domain::subscription::inventory::Line;
use partner_platform::domain::subscription::renewal_failure::{FailureCode, RenewalFailure, Waiting};
use partner_platform::domain::subscription::{
    Action, Command, Due, Milestone, Opening, State, Subscription, SubscriptionStatus,
};
use partner_platform::domain::time::start_of;
use partner_platform::store::due_subscriptions::Part;
use proptest::prelude::*;

use crate::samples::{
    any_day, any_lines, any_subscription, cancelled, changed, code, customer, day, edited, id, in_state, line, noon,
    product, subscription, suspended,
};

fn action(milestone: Milestone) -> Action {
    match milestone {
        Milestone::Activation => Action::Activate,
        Milestone::TermEnd => Action::EndTerm,
        Milestone::LapseEnd => Action::Expire,
    }
}

/// The subscription after a transition that is processed at an instant.
fn pass(before: &Subscription, milestone: Milestone, at: DateTime<Utc>) -> Subscription {
    match milestone {
        Milestone::Activation => changed(before.apply(Command::Activate, at).unwrap()),
        Milestone::LapseEnd => changed(before.apply(Command::Expire, at).unwrap()),
        Milestone::TermEnd => quote::end_term(before, &product(), at).unwrap().subscriptions.remove(0),
    }
}

/// The subscription as of a day. Every due transition takes effect at the start of its day.
fn as_of(mut subscription: Subscription, today: NaiveDate) -> Subscription {
    while let Some(Due { milestone, on }) = subscription.due(today) {
        subscription = pass(&subscription, milestone, start_of(on));
    }
    subscription
}

/// The lines whose types the product has.
fn sold(lines: Vec<Line>) -> Vec<Line> {
    lines.into_iter().filter(|line| product().details.certificate_type(&line.certificate_type).is_some()).collect()
}

/// 3 `ev` and 2 `ov` from a day on, with terms of this many months.
fn from(start: NaiveDate, months: i32) -> Subscription {
    let opening = Opening {
        product_id: product().id,
        product_code: product().code,
        external_id: None,
        auto_renew: true,
        term_months: months,
        start_date: start,
        lines: vec![line("ev", 3, None, 0), line("ov", 2, None, 0)],
        unit_prices: product().unit_prices(months, customer().currency).unwrap(),
    };
    Subscription::open(id::<SubscriptionId>(5), &customer(), opening, start_of(start))
}

/// The same day of the month this many months later, or the last day of that month, computed independently of the code
/// under test.
fn months_after(anchor: NaiveDate, months: u32) -> NaiveDate {
    let months = anchor.month0() + months;
    let (year, month) = (anchor.year() + i32::try_from(months / 12).unwrap(), months % 12 + 1);
    (28..=anchor.day().max(28))
        .rev()
        .find_map(|last| NaiveDate::from_ymd_opt(year, month, anchor.day().min(last)))
        .unwrap()
}

#[test]
fn each_state_has_its_next_milestone_and_the_final_ones_have_none() {
    let next = |state| in_state(state).next_due().map(|due| (due.milestone, due.on));
    assert_eq!(next(State::Pending), Some((Milestone::Activation, day("2026-01-01"))));
    assert_eq!(next(State::Active), Some((Milestone::TermEnd, day("2027-01-01"))));
    assert_eq!(next(suspended(false)), Some((Milestone::TermEnd, day("2027-01-01"))));
    assert_eq!(next(suspended(true)), Some((Milestone::LapseEnd, day("2027-04-01"))));
    assert_eq!([next(State::Expired), next(cancelled())], [None, None]);
}

#[test]
fn what_was_missed_for_years_happens_in_its_order() {
    let pending = in_state(State::Pending);
    let years_later = as_of(pending.clone(), day("2029-06-01"));
    assert_eq!((years_later.status(), years_later.term.number), (SubscriptionStatus::Active, 4));
    assert_eq!(years_later.updated_at, start_of(day("2029-01-01")));
    assert_eq!(years_later.version.0, pending.version.0 + 4, "the start, and the ends of three terms");
    let lapsed = as_of(in_state(suspended(false)), day("2029-06-01"));
    assert_eq!((lapsed.status(), lapsed.updated_at), (SubscriptionStatus::Expired, start_of(day("2027-04-01"))));
}

#[test]
fn a_renewal_has_the_prices_of_its_day_and_charges_nothing_that_is_not_renewed() {
    let dearer = edited(&product(), |details| details.prices.iter_mut().for_each(|price| price.unit_price += 100));
    let before = Subscription { lines: vec![line("ev", 5, None, 7), line("ov", 10, Some(0), 0)], ..subscription() };
    let Plan { quote, subscriptions } = quote::end_term(&before, &dearer, start_of(day("2027-01-01"))).unwrap();
    assert_eq!((quote.kind, quote.total.amount), (OrderKind::Renewal, 5 * 25_100));
    assert_eq!((quote.lines[1].amount.amount, quote.lines[1].calculation), (0, None));
    assert_eq!((quote.lines[1].quantity_before, quote.lines[1].quantity_after), (Some(10), Some(0)));
    assert_eq!(subscriptions[0].term.unit_prices, dearer.unit_prices(12, before.currency).unwrap());
    let warned: Vec<_> = quote.warnings.iter().map(|warning| warning.code.as_str()).collect();
    assert_eq!(warned, ["renewal_below_used"]);
}

#[test]
fn fifty_years_of_terms_follow_each_other_and_cost_the_same_each_time() {
    for start in ["2026-01-31", "2026-08-31", "2026-11-30", "2027-12-31", "2027-03-30", "2028-02-29"].map(day) {
        for months in [1_u32, 12, 24, 36] {
            let mut subscription = from(start, months.try_into().unwrap());
            let full = subscription.term.unit_prices[&code("ev")].amount * 3
                + subscription.term.unit_prices[&code("ov")].amount * 2;
            for number in 2..=600 / months + 1 {
                let due = subscription.next_due().unwrap();
                assert_eq!(
                    due.on,
                    months_after(start, (number - 1) * months),
                    "the end of a term of {start}, {months}"
                );
                let Plan { quote, mut subscriptions } =
                    quote::end_term(&subscription, &product(), start_of(due.on)).unwrap();
                assert_eq!(quote.total.amount, full, "term {number} of {start}, {months}");
                assert!(quote.lines.iter().all(|line| line.due_date == due.on && line.bucket == Bucket::Current));
                let next = subscriptions.remove(0);
                assert_eq!(next.term.number, i32::try_from(number).unwrap());
                assert_eq!(next.term.start_date, subscription.term.end_date, "no gap and no overlap");
                subscription = next;
            }
            assert_eq!(subscription.term.start_date, months_after(start, 600 / months * months), "after 50 years");
        }
    }
}

fn waiting(due_date: &str) -> Waiting {
    Waiting {
        subscription_id: id::<SubscriptionId>(4),
        customer_id: id::<CustomerId>(1),
        due_date: day(due_date),
        version: Version::FIRST,
    }
}

#[test]
fn the_waits_after_failures_double_from_a_minute_to_a_day_at_the_most() {
    let again = |before, due, at| RenewalFailure::again(before, waiting(due), FailureCode::Internal, at);
    let mut failure = again(None, "2027-01-01", noon("2027-01-01"));
    let mut minutes = Vec::new();
    for attempt in 1..=40 {
        assert_eq!((failure.attempts, failure.first_failed_at), (attempt, noon("2027-01-01")));
        minutes.push((failure.next_attempt_at - failure.last_failed_at).num_minutes());
        let at = failure.next_attempt_at;
        failure = again(Some(failure), "2027-01-01", at);
        assert_eq!(failure.last_failed_at, at);
    }
    assert_eq!(minutes[..12], [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1440]);
    assert!(minutes[12..].iter().all(|wait| *wait == 1440));

    let anew = again(Some(failure.clone()), "2028-01-01", noon("2028-01-01"));
    assert_eq!(
        (anew.attempts, anew.first_failed_at),
        (1, noon("2028-01-01")),
        "another due date starts another failure"
    );
    assert_eq!(anew.next_attempt_at - anew.last_failed_at, TimeDelta::minutes(1));
    let last = RenewalFailure { attempts: i32::MAX, ..failure };
    assert_eq!(again(Some(last), "2027-01-01", noon("2028-01-01")).attempts, i32::MAX, "the counter does not overflow");
}

#[test]
fn a_failure_tells_the_latest_reason() {
    let first = RenewalFailure::again(None, waiting("2027-01-01"), FailureCode::Internal, noon("2027-01-01"));
    let then =
        RenewalFailure::again(Some(first), waiting("2027-01-01"), FailureCode::AmountOutOfRange, noon("2027-01-02"));
    assert_eq!((then.code, then.attempts), (FailureCode::AmountOutOfRange, 2));
}

proptest! {
    #[test]
    fn what_is_due_proceeds_and_what_is_not_does_not((subscription, today) in any_subscription()) {
        let due = subscription.due(today);
        for milestone in Milestone::ALL {
            let proceeds = subscription.guard(action(*milestone), today) == Ok(Verdict::Proceed);
            prop_assert_eq!(proceeds, due.is_some_and(|due| due.milestone == *milestone), "{} on {}", milestone, today);
        }
        prop_assert_eq!(due, subscription.next_due().filter(|next| next.on <= today));
    }

    #[test]
    fn after_a_milestone_the_next_is_later((subscription, today) in any_subscription()) {
        if let Some(due) = subscription.due(today) {
            let after = pass(&subscription, due.milestone, start_of(due.on));
            prop_assert!(after.next_due().is_none_or(|next| next.on > due.on), "{:?} after {:?}", after.next_due(), due);
            prop_assert_eq!(after.version, subscription.version.next());
            prop_assert_eq!(after.updated_at, start_of(due.on));
        }
    }

    #[test]
    fn it_does_not_matter_on_which_days_time_is_caught_up_with(
        (subscription, first) in any_subscription(), days in prop::collection::vec(0..500_u64, 0..6),
    ) {
        let mut today = first;
        let mut often = as_of(subscription.clone(), today);
        for days in days {
            today = today + Days::new(days);
            often = as_of(often, today);
        }
        prop_assert_eq!(often.due(today), None);
        prop_assert_eq!(often, as_of(subscription, today));
    }

    #[test]
    fn a_term_is_renewed_exactly_if_it_is_active_and_wanted_and_there_is_something_to_renew(
        state in prop_oneof![Just(State::Active), Just(suspended(false))], auto_renew in any::<bool>(), lines in any_lines(),
    ) {
        let before = Subscription { auto_renew, lines: sold(lines), ..in_state(state) };
        let Plan { quote, subscriptions } = quote::end_term(&before, &product(), start_of(before.term.end_date)).unwrap();
        let after = &subscriptions[0];
        let something = before.lines.iter().any(|line| line.renewal.unwrap_or(line.current) >= 1);
        let renews = before.state == State::Active && auto_renew && something;
        if !renews {
            prop_assert_eq!((&quote.lines, quote.total.amount), (&vec![], 0), "nothing is charged");
            prop_assert_eq!((&after.lines, &after.term), (&before.lines, &before.term));
            let state = if before.state == State::Active { State::Expired } else { suspended(true) };
            prop_assert_eq!(&after.state, &state);
            return Ok(());
        }
        prop_assert_eq!((&after.state, after.term.number), (&State::Active, before.term.number + 1));
        prop_assert_eq!((quote.lines.len(), after.lines.len()), (before.lines.len(), before.lines.len()));
        let mut total = 0;
        for ((before, after), quoted) in before.lines.iter().zip(&after.lines).zip(&quote.lines) {
            prop_assert_eq!(after.current, before.renewal.unwrap_or(before.current));
            prop_assert_eq!((after.renewal, after.used), (before.renewal, before.used));
            prop_assert_eq!((quoted.quantity_before, quoted.quantity_after), (Some(before.current), Some(after.current)));
            let price = product().unit_prices(12, quote.total.currency).unwrap()[&after.certificate_type];
            prop_assert_eq!(quoted.amount.amount, price.amount * i64::from(after.current));
            total += quoted.amount.amount;
        }
        prop_assert_eq!(quote.total.amount, total);
    }

    #[test]
    fn catching_up_keeps_the_terms_without_gap(start in any_day(), months in prop::sample::select(vec![1, 12, 24, 36]), days in 0..4000_u64) {
        let today = start + Days::new(days);
        let subscription = as_of(from(start, months), today);
        prop_assert!((subscription.term.start_date..subscription.term.end_date).contains(&today));
    }

    #[test]
    fn late_is_as_good_as_in_time_but_for_the_date_of_change((subscription, today) in any_subscription()) {
        if let Some(due) = subscription.due(today) {
            let command = match due.milestone {
                Milestone::Activation => Command::Activate,
                Milestone::TermEnd => Command::EndTerm(Default::default()),
                Milestone::LapseEnd => Command::Expire,
            };
            let done = |at| match subscription.apply(command.clone(), at) {
                Ok(Outcome::Changed(after)) => Subscription { updated_at: subscription.updated_at, ..after },
                other => panic!("{other:?}"),
            };
            prop_assert_eq!(done(start_of(due.on)), done(start_of(today)));
        }
    }
}

#[test]
fn the_parts_that_lanes_work_on_cover_every_customer_once() {
    for lanes in [1, 3, 4, 256] {
        let parts: Vec<_> = Part::of(lanes).collect();
        assert_eq!((parts[0].from, parts[parts.len() - 1].to), (0, 255));
        assert!(parts.windows(2).all(|pair| pair[0].to + 1 == pair[1].from), "{parts:?}");
    }
}
