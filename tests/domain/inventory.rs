//! Inventory: the ledger adds up to the lines, and the lines keep their invariants.

use std::collections::BTreeMap;

use chrono::{Days, NaiveDate};
use partner_platform::domain::machine::Outcome;
use partner_platform::domain::refusal::Refusal;
use partner_platform::domain::subscription::inventory::{self, Line, Measure, Movement};
use partner_platform::domain::subscription::{Command, State, Subscription};
use partner_platform::domain::text::Code;
use proptest::prelude::*;

use crate::samples::{
    IN_TERM, any_lines, at, changed, code, day, in_state, line, noon, subscription, suspended, unit_prices,
};

#[test]
fn what_is_not_in_use_is_available() {
    let available = |current, used| line("ev", current, None, used).available();
    assert_eq!([available(5, 2), available(5, 5), available(1, 4)], [3, 0, 0]);
}

#[test]
fn what_is_in_use_beyond_the_quantity_is_overage() {
    let overage = |current, used| line("ev", current, None, used).overage();
    assert_eq!([overage(5, 2), overage(5, 5), overage(1, 4)], [0, 0, 3]);
}

#[test]
fn without_a_renewal_quantity_the_current_one_is_renewed() {
    assert_eq!(line("ev", 5, None, 2).renewed(), line("ev", 5, None, 2));
    assert_eq!(line("ev", 5, Some(7), 2).renewed(), line("ev", 7, Some(7), 2));
    assert_eq!(line("ev", 5, Some(0), 2).renewed(), line("ev", 0, Some(0), 2));
}

#[test]
fn current_inventory_is_raised_and_a_new_type_added_in_its_place() {
    let additions = vec![(code("ov"), 5), (code("dv"), 2)];
    let done = changed(subscription().apply(Command::AddCurrentInventory(additions), noon(IN_TERM)).unwrap());
    assert_eq!(done.lines, [line("dv", 2, None, 0), line("ev", 5, None, 2), line("ov", 15, Some(8), 0)]);
    let others = Subscription { lines: subscription().lines, ..done.clone() };
    let expected = Subscription { version: subscription().version.next(), updated_at: noon(IN_TERM), ..subscription() };
    assert_eq!(others, expected);
}

#[test]
fn a_pending_subscription_takes_no_more_current_inventory() {
    let refusal =
        in_state(State::Pending).apply(Command::AddCurrentInventory(vec![(code("ov"), 1)]), noon("2025-12-01"));
    assert!(matches!(refusal, Err(Refusal::InvalidTransition { state: "pending", .. })));
}

#[test]
fn renewal_inventory_is_set_and_taken_back_while_pending_active_or_suspended() {
    for state in [State::Pending, State::Active, suspended(false), suspended(true)] {
        let quantities = vec![(code("ev"), Some(1)), (code("ov"), None)];
        let done = changed(in_state(state).apply(Command::SetRenewalInventory(quantities), noon(IN_TERM)).unwrap());
        assert_eq!(done.lines, [line("ev", 5, Some(1), 2), line("ov", 10, None, 0)]);
    }
}

#[test]
fn a_renewal_quantity_that_is_already_set_changes_nothing() {
    let same = Command::SetRenewalInventory(vec![(code("ov"), Some(8)), (code("ev"), None)]);
    assert_eq!(subscription().apply(same, noon(IN_TERM)), Ok(Outcome::Unchanged));
}

#[test]
fn allocating_up_to_the_quantity_is_possible_and_no_version() {
    let done = changed(subscription().apply(Command::Allocate(code("ev"), 3), noon(IN_TERM)).unwrap());
    let lines = vec![line("ev", 5, None, 5), line("ov", 10, Some(8), 0)];
    assert_eq!(done, Subscription { lines, ..subscription() });
}

#[test]
fn allocating_more_than_is_available_is_refused_with_what_is() {
    let refusal = |name, requested| subscription().apply(Command::Allocate(code(name), requested), noon(IN_TERM));
    let exhausted = |name, requested, available| {
        Err(Refusal::InventoryExhausted { certificate_type: code(name), requested, available })
    };
    assert_eq!(refusal("ev", 4), exhausted("ev", 4, 3));
    assert_eq!(refusal("dv", 1), exhausted("dv", 1, 0));
}

#[test]
fn a_movement_without_a_number_on_both_sides_has_no_delta() {
    let moved = inventory::movements(&[line("ov", 5, None, 0)], &[line("ov", 7, Some(8), 0)]);
    let deltas: Vec<_> = moved.iter().map(|movement| (movement.measure, movement.delta())).collect();
    assert_eq!(deltas, [(Measure::Current, Some(2)), (Measure::Renewal, None)]);
}

/// An inventory computed only from ledger movements. Fails if a movement does not start where the last one ended.
#[derive(Default)]
struct Ledger(BTreeMap<Code, Line>);

impl Ledger {
    fn of(lines: &[Line]) -> Self {
        let mut ledger = Self::default();
        ledger.write(&inventory::movements(&[], lines));
        ledger
    }

    fn write(&mut self, movements: &[Movement]) {
        for Movement { certificate_type, measure, before, after } in movements {
            let line = self.0.entry(certificate_type.clone()).or_insert_with(|| Line::empty(certificate_type.clone()));
            let number = match measure {
                Measure::Current => &mut line.current,
                Measure::Used => &mut line.used,
                Measure::Renewal => {
                    assert_eq!(line.renewal, *before);
                    line.renewal = *after;
                    continue;
                }
            };
            assert_eq!(Some(*number), *before);
            *number += after.unwrap() - before.unwrap();
        }
    }

    /// Lines that never changed are not in the ledger.
    fn is(&self, lines: &[Line]) -> bool {
        let moved = lines.iter().filter(|line| {
            **line != Line::empty(line.certificate_type.clone()) || self.0.contains_key(&line.certificate_type)
        });
        moved.eq(self.0.values())
    }
}

/// Any command, whether or not it is possible at that time, and how many days later it comes.
pub fn any_command() -> impl Strategy<Value = (Command, u64)> {
    let name = || prop::sample::select(vec!["dv", "ev", "ov"]).prop_map(code);
    let command = prop_oneof![
        1 => Just(Command::Suspend { reason: None }),
        2 => Just(Command::Enable),
        1 => Just(Command::Cancel { reason: None }),
        1 => Just(Command::Renew(unit_prices())),
        4 => (name(), 1..6).prop_map(|line| Command::AddCurrentInventory(vec![line])),
        3 => (name(), prop::option::of(0..6)).prop_map(|line| Command::SetRenewalInventory(vec![line])),
        8 => (name(), 1..6).prop_map(|(name, quantity)| Command::Allocate(name, quantity)),
        4 => (name(), 1..6).prop_map(|(name, quantity)| Command::Release(name, quantity)),
        2 => Just(Command::Activate),
        3 => Just(Command::EndTerm(unit_prices())),
        1 => Just(Command::Expire),
    ];
    (command, prop_oneof![3 => Just(0), 1 => 1..120_u64])
}

/// No more can be released than is in use; the allocations guarantee that.
pub fn is_possible(command: &Command, lines: &[Line]) -> bool {
    match command {
        Command::Release(name, quantity) => inventory::find(lines, name).is_some_and(|line| line.used >= *quantity),
        _ => true,
    }
}

/// Checks one step: which numbers may change, and whether there is a new version.
fn check_step(command: &Command, before: &Subscription, after: &Subscription) {
    let quantity = |lines: &[Line], name| inventory::find(lines, name).map_or(0, |line| line.current);
    for line in &after.lines {
        let fell = line.current < quantity(&before.lines, &line.certificate_type);
        let may_fall = before.term != after.term || matches!(command, Command::Cancel { .. });
        assert!(!fell || may_fall, "{command:?} lowers {line:?}");
        assert!(line.used >= 0, "{command:?} releases too much of {line:?}");
    }
    if let Command::Allocate(name, _) = command {
        assert_eq!(inventory::find(&after.lines, name).unwrap().overage(), 0, "{command:?} allocates too much");
    }
    assert!(!after.has_ended() || !after.auto_renew, "{command:?} ends the subscription, and it would still renew");
    let idle = |subscription: &Subscription| {
        let lines = subscription.lines.iter().map(|line| Line { used: 0, ..line.clone() }).collect();
        Subscription { lines, version: before.version, updated_at: before.updated_at, ..subscription.clone() }
    };
    let expected = if idle(before) == idle(after) { before.version } else { before.version.next() };
    assert_eq!(after.version, expected, "{command:?}");
}

/// The last movement of each type and measure.
fn last_ones(history: &[Movement]) -> Vec<Movement> {
    let last = history.iter().map(|it| ((&it.certificate_type, it.measure.as_str()), it)).collect::<BTreeMap<_, _>>();
    last.into_values().cloned().collect()
}

fn check_story(mut subscription: Subscription, mut today: NaiveDate, commands: Vec<(Command, u64)>) {
    let mut ledger = Ledger::of(&subscription.lines);
    let mut history = inventory::movements(&[], &subscription.lines);
    for (command, days) in commands {
        today = today + Days::new(days);
        if !is_possible(&command, &subscription.lines) {
            continue;
        }
        if let Ok(Outcome::Changed(next)) = subscription.apply(command.clone(), at(today)) {
            check_step(&command, &subscription, &next);
            let moved = inventory::movements(&subscription.lines, &next.lines);
            ledger.write(&moved);
            history.extend(moved);
            assert_eq!(inventory::replay(history.clone()), next.lines, "replayed after {command:?}");
            assert_eq!(
                inventory::replay(last_ones(&history)),
                next.lines,
                "the last movement of each type and measure is enough"
            );
            assert!(ledger.is(&next.lines), "{:?} after {command:?} is not {:?}", ledger.0, next.lines);
            subscription = next;
        }
    }
}

proptest! {
    #[test]
    fn the_movements_between_two_inventories_lead_from_one_to_the_other(before in any_lines(), after in any_lines()) {
        // No line is ever removed; its numbers become zero.
        let gone = before.iter().filter(|line| inventory::find(&after, &line.certificate_type).is_none());
        let mut after: Vec<_> = after.iter().cloned().chain(gone.map(|line| Line::empty(line.certificate_type.clone()))).collect();
        after.sort_by(|a, b| a.certificate_type.cmp(&b.certificate_type));
        let mut ledger = Ledger::of(&before);
        ledger.write(&inventory::movements(&before, &after));
        prop_assert!(ledger.is(&after));
    }

    #[test]
    fn movements_played_back_are_the_inventory_that_they_led_to(first in any_lines(), second in any_lines()) {
        // Lines that never changed have left no trace.
        let first: Vec<_> = first.into_iter().filter(|line| *line != Line::empty(line.certificate_type.clone())).collect();
        let second = second.into_iter().fold(first.clone(), |lines, new| inventory::with(lines, &new.certificate_type.clone(), |line| *line = new));
        let second: Vec<_> = second.into_iter().filter(|line| {
            *line != Line::empty(line.certificate_type.clone()) || inventory::find(&first, &line.certificate_type).is_some()
        }).collect();
        let history = [inventory::movements(&[], &first), inventory::movements(&first, &second)].concat();
        prop_assert_eq!(inventory::replay(history[..inventory::movements(&[], &first).len()].to_vec()), first);
        prop_assert_eq!(inventory::replay(history), second);
    }

    #[test]
    fn nothing_moves_between_an_inventory_and_itself(lines in any_lines()) {
        prop_assert_eq!(inventory::movements(&lines, &lines), []);
    }

    #[test]
    fn lines_stay_in_order_of_type(lines in any_lines(), name in prop::sample::select(vec!["aa", "eu", "zz", "ev"])) {
        let after = inventory::with(lines, &code(name), |line| line.current += 1);
        prop_assert!(after.windows(2).all(|pair| pair[0].certificate_type < pair[1].certificate_type));
        prop_assert!(inventory::find(&after, &code(name)).unwrap().current > 0);
    }

    #[test]
    fn whatever_happens_the_ledger_adds_up_to_the_lines(
        pending in any::<bool>(), auto_renew in any::<bool>(), commands in prop::collection::vec(any_command(), 1..40),
    ) {
        let state = if pending { State::Pending } else { State::Active };
        let today = day(if pending { "2025-12-20" } else { IN_TERM });
        check_story(Subscription { auto_renew, ..in_state(state) }, today, commands);
    }
}
