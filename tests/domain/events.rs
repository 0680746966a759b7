//! Events: each change emits an event, and no event is emitted without a change.

use partner_platform::domain::events::{EventType, Happening, Inventory, Resource};
use partner_platform::domain::machine::Outcome;
use partner_platform::domain::subscription::inventory::Line;
use partner_platform::domain::subscription::{Command, State, Subscription};
use proptest::prelude::*;

use crate::inventory::{any_command, is_possible};
use crate::samples::{any_subscription, at, changed, code, in_state, line, noon, subscription, unit_prices};

fn happenings(before: &Subscription, after: &Subscription) -> Vec<Happening> {
    let mut happenings = after.happened(Some(before));
    happenings.extend(Inventory(after).happened(Some(&Inventory(before))));
    happenings
}

fn told(before: &Subscription, after: &Subscription) -> Vec<EventType> {
    happenings(before, after).into_iter().map(|happening| happening.kind).collect()
}

proptest! {
    #[test]
    fn every_command_that_changes_something_is_told(
        (before, day) in any_subscription(), (command, _) in any_command(),
    ) {
        prop_assume!(is_possible(&command, &before.lines));
        if let Ok(Outcome::Changed(after)) = before.apply(command, at(day)) {
            let told = happenings(&before, &after);
            prop_assert!(!told.is_empty(), "no event, although {before:?} became {after:?}");
            for (place, happening) in told.iter().enumerate() {
                prop_assert!(!told[..place].contains(happening), "{:?}", told);
            }
        }
    }

    #[test]
    fn what_is_as_it_was_is_not_told((subscription, _) in any_subscription()) {
        prop_assert!(told(&subscription, &subscription).is_empty());
    }

    #[test]
    fn what_is_low_or_exhausted_is_told_when_it_becomes_so_and_not_again(
        current in 0..9_i32, used in 0..9_i32, more in 1..5_i32, threshold in prop::option::of(0..5_i32),
    ) {
        let of = |used| Subscription {
            lines: vec![Line { low_threshold: threshold, ..line("dv", current, None, used) }],
            ..in_state(State::Active)
        };
        let (before, after) = (of(used), of(used + more));
        let told = told(&before, &after);
        let left = |used: i32| (current - used).max(0);
        let crosses = |least: i32| left(used) > least && left(used + more) <= least;
        prop_assert_eq!(told.contains(&EventType::InventoryLow), threshold.is_some_and(crosses));
        prop_assert_eq!(told.contains(&EventType::InventoryExhausted), crosses(0));
        prop_assert!(told.contains(&EventType::InventoryAllocated));
    }
}

#[test]
fn a_new_subscription_is_told_once_with_its_inventory() {
    let new = subscription();
    assert_eq!(new.happened(None), [EventType::SubscriptionCreated.into()]);
    assert!(Inventory(&new).happened(None).is_empty());
}

#[test]
fn a_renewal_tells_the_term_and_what_it_starts_with() {
    let active = in_state(State::Active);
    let end = active.term.end_date;
    let renewed = changed(active.apply(Command::EndTerm(unit_prices()), at(end)).unwrap());
    let told = told(&active, &renewed);
    assert!(told.starts_with(&[EventType::SubscriptionRenewed, EventType::InventoryRenewed]), "{told:?}");
    assert!(!told.contains(&EventType::InventoryCurrentRaised), "{told:?}");
}

#[test]
fn a_threshold_that_makes_a_line_low_is_told_as_both() {
    let before = Subscription { lines: vec![line("dv", 5, None, 3)], ..in_state(State::Active) };
    let set = Command::SetThresholds(vec![(code("dv"), Some(2))]);
    let after = changed(before.apply(set, noon("2026-06-01")).unwrap());
    assert_eq!(told(&before, &after), [EventType::InventoryThresholdSet, EventType::InventoryLow]);
}

#[test]
fn of_several_types_that_run_out_each_is_told_by_name() {
    let lines = |used| vec![line("dv", 5, None, used), line("ev", 9, None, used), line("ov", 5, None, used)];
    let before = Subscription { lines: lines(4), ..in_state(State::Active) };
    let after = Subscription { lines: lines(5), ..in_state(State::Active) };
    let told = happenings(&before, &after);
    let exhausted: Vec<_> = told
        .into_iter()
        .filter(|happening| happening.kind == EventType::InventoryExhausted)
        .map(|happening| happening.certificate_type)
        .collect();
    assert_eq!(exhausted, [Some(code("dv")), Some(code("ov"))]);
}
