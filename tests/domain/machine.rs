//! The state machines as tables: the result of every action in every state.

use chrono::{Days, NaiveDate};
use partner_platform::domain::authorization::Right;
use partner_platform::domain::billing::invoice::{self, Invoice};
use partner_platform::domain::credentials::api_key::{self, ApiKey};
use partner_platform::domain::machine::{Possibility, Verdict};
use partner_platform::domain::parties::customer::{self, Customer, CustomerStatus, Holdings};
use partner_platform::domain::parties::reseller::{self, Reseller};
use partner_platform::domain::refusal::Refusal;
use partner_platform::domain::subscription::{Action, LISTED_ACTIONS, State, Subscription};
use partner_platform::domain::webhooks::{self, Endpoint};
use proptest::prelude::*;

use crate::samples::{
    END, IN_TERM, START, any_subscription, api_key, cancelled, customer, day, in_state, invoice, line, noon, reseller,
    suspended,
};

/// One word for the result of a guard.
fn word(verdict: Result<Verdict, Refusal>) -> &'static str {
    match verdict {
        Ok(Verdict::Proceed) => "yes",
        Ok(Verdict::AlreadySo) => "already",
        Err(Refusal::InvalidTransition { .. }) => "-",
        Err(Refusal::TermEnded(_)) => "ended",
        Err(Refusal::SubscriptionSuspended) => "suspended",
        Err(Refusal::NothingToRenew) => "nothing",
        Err(Refusal::HasOpenSubscriptions(_)) => "open",
        Err(Refusal::CustomerArchived) => "archived",
        Err(other) => panic!("a guard does not return {other:?}"),
    }
}

/// A table with a column for each state and a row for each action.
fn table<S>(states: &[(&'static str, S)], actions: &[&str], cell: impl Fn(usize, &S) -> &'static str) -> String {
    let row = |first: &str, cells: Vec<&str>| {
        let cells: String = cells.iter().map(|cell| format!(" {cell:<10}")).collect();
        format!("{first:<22}{cells}").trim_end().to_owned()
    };
    let parts = |(name, _): &(&'static str, S)| name.split_once(", ").unwrap_or((*name, ""));
    let (first, second): (Vec<_>, Vec<_>) = states.iter().map(parts).unzip();
    let rows = actions
        .iter()
        .enumerate()
        .map(|(index, action)| row(action, states.iter().map(|(_, state)| cell(index, state)).collect()));
    [row("", first), row("", second)]
        .into_iter()
        .filter(|head| !head.is_empty())
        .chain(rows)
        .collect::<Vec<_>>()
        .join("\n")
}

/// Every state that the table of the specification distinguishes, with a day on which the subscription is in it.
fn subscription_states() -> Vec<(&'static str, (Subscription, NaiveDate))> {
    let nothing = Subscription { lines: vec![line("ev", 5, Some(0), 2)], ..in_state(suspended(true)) };
    let lapse_over = day(END) + Days::new(90);
    vec![
        ("pending, before", (in_state(State::Pending), day("2025-12-31"))),
        ("pending, on start", (in_state(State::Pending), day(START))),
        ("active, in term", (in_state(State::Active), day(IN_TERM))),
        ("active, term over", (in_state(State::Active), day(END))),
        ("suspended, in term", (in_state(suspended(false)), day(IN_TERM))),
        ("suspended, term over", (in_state(suspended(false)), day(END))),
        ("lapsed, ", (in_state(suspended(true)), lapse_over.pred_opt().unwrap())),
        ("lapsed, 90 days", (in_state(suspended(true)), lapse_over)),
        ("lapsed, empty", (nothing, day(END))),
        ("expired", (in_state(State::Expired), day(END))),
        ("cancelled", (in_state(cancelled()), day("2025-12-31"))),
    ]
}

#[test]
fn what_every_action_meets_in_every_state_of_a_subscription() {
    let actions: Vec<_> = Action::ALL.iter().map(|action| action.as_str()).collect();
    let cell = |index: usize, (subscription, today): &(Subscription, NaiveDate)| {
        word(subscription.guard(Action::ALL[index], *today))
    };
    insta::assert_snapshot!(table(&subscription_states(), &actions, cell));
}

#[test]
fn what_every_action_meets_in_every_state_of_a_customer() {
    let archived = Customer { status: CustomerStatus::Archived, ..customer() };
    let holding = Holdings { open_subscriptions: 2, has_orders: true };
    let states = [
        ("active", (customer(), Holdings::default())),
        ("active, subscribed", (customer(), holding)),
        ("archived", (archived, Holdings { open_subscriptions: 0, has_orders: true })),
    ];
    let actions: Vec<_> = customer::Action::ALL.iter().map(|action| action.as_str()).collect();
    let cell = |index: usize, (customer, holdings): &(Customer, Holdings)| {
        word(customer.guard(customer::Action::ALL[index], *holdings))
    };
    insta::assert_snapshot!(table(&states, &actions, cell));
}

#[test]
fn what_every_action_meets_in_every_state_of_a_reseller() {
    let disabled = reseller::State::Disabled { at: noon(START), reason: None };
    let states = [("enabled", reseller()), ("disabled", Reseller { state: disabled, ..reseller() })];
    let actions: Vec<_> = reseller::Action::ALL.iter().map(|action| action.as_str()).collect();
    let cell = |index: usize, reseller: &Reseller| word(Ok(reseller.guard(reseller::Action::ALL[index])));
    insta::assert_snapshot!(table(&states, &actions, cell));
}

#[test]
fn what_every_action_meets_in_every_state_of_a_webhook_endpoint() {
    let states = [("enabled", crate::webhooks::endpoint()), ("disabled", crate::webhooks::disabled())];
    let actions: Vec<_> = webhooks::Action::ALL.iter().map(|action| action.as_str()).collect();
    let cell = |index: usize, endpoint: &Endpoint| word(Ok(endpoint.guard(webhooks::Action::ALL[index])));
    insta::assert_snapshot!(table(&states, &actions, cell), @r"
                           enabled    disabled
    disable                yes        already
    enable                 already    yes
    rotate_secret          yes        yes
    test                   yes        yes
    ");
}

fn invoice_states() -> [(&'static str, Invoice); 4] {
    use invoice::State::{Created, Emailed, Paid, Void};
    let (emailed_at, at) = (noon(START), noon(IN_TERM));
    let void = Void { emailed_at: None, at, reason: None };
    [("created", Created), ("emailed", Emailed { at }), ("paid", Paid { emailed_at, at }), ("void", void)]
        .map(|(name, state)| (name, Invoice { state, ..invoice() }))
}

#[test]
fn what_every_action_meets_in_every_state_of_an_invoice() {
    let actions: Vec<_> = invoice::Action::ALL.iter().map(|action| action.as_str()).collect();
    let cell = |index: usize, invoice: &Invoice| word(invoice.guard(invoice::Action::ALL[index]));
    insta::assert_snapshot!(table(&invoice_states(), &actions, cell), @r"
                           created    emailed    paid       void
    mark_emailed           yes        already    -          -
    mark_paid              -          yes        already    -
    void                   yes        yes        -          already
    ");
}

fn api_key_states() -> [(&'static str, ApiKey); 3] {
    let ending = api_key::Details { expires_at: Some(noon(IN_TERM)), ..api_key().details };
    let revoked = api_key::State::Revoked { at: noon(START), reason: None };
    [
        ("active", api_key()),
        ("expired", ApiKey { details: ending, ..api_key() }),
        ("revoked", ApiKey { state: revoked, ..api_key() }),
    ]
}

#[test]
fn what_every_action_meets_in_every_state_of_an_api_key() {
    let actions: Vec<_> = api_key::Action::ALL.iter().map(|action| action.as_str()).collect();
    let cell = |index: usize, key: &ApiKey| word(key.guard(api_key::Action::ALL[index], noon(IN_TERM)));
    insta::assert_snapshot!(table(&api_key_states(), &actions, cell), @r"
                           active     expired    revoked
    rotate                 yes        -          -
    revoke                 yes        yes        already
    ");
}

#[test]
fn a_refusal_names_state_action_and_what_is_allowed() {
    let refusal = in_state(State::Pending).guard(Action::Suspend, day("2025-12-31")).unwrap_err();
    insta::assert_snapshot!(refusal, @"The subscription is pending, which does not allow `suspend`. Allowed now: cancel, set_auto_renew, set_renewal_inventory, set_thresholds.");
    let refusal = in_state(State::Expired).guard(Action::Enable, day(END)).unwrap_err();
    insta::assert_snapshot!(refusal, @"The subscription is expired, which does not allow `enable`. No action is allowed in this state.");
}

#[test]
fn each_listed_action_names_the_right_that_it_needs() {
    let listed = in_state(State::Active).possibilities(day(IN_TERM));
    let rights: Vec<_> = listed.iter().map(|(right, possibility)| format!("{} {right}", possibility.action)).collect();
    insta::assert_snapshot!(rights.join("\n"), @r"
    suspend suspend_subscriptions
    enable suspend_subscriptions
    cancel write_subscriptions
    renew write_subscriptions
    set_auto_renew write_subscriptions
    add_current_inventory write_subscriptions
    set_renewal_inventory write_subscriptions
    set_thresholds write_subscriptions
    allocate allocate
    ");
}

/// What a list of allowed actions must contain for an action.
fn agrees(possibility: &Possibility, verdict: &Result<Verdict, Refusal>) -> bool {
    match (verdict, &possibility.refusal) {
        (Ok(Verdict::Proceed), None) => true,
        (Ok(Verdict::AlreadySo), Some(Refusal::InvalidTransition { action, .. })) => *action == possibility.action,
        (Err(refused), Some(listed)) => refused == listed,
        _ => false,
    }
}

#[test]
fn the_possibilities_of_customers_and_resellers_agree_with_the_guards() {
    let holdings = Holdings { open_subscriptions: 1, has_orders: true };
    for ((right, possibility), action) in customer().possibilities(holdings).iter().zip(customer::Action::ALL) {
        assert!(agrees(possibility, &customer().guard(*action, holdings)), "{action}");
        assert_eq!(possibility.action, action.as_str());
        assert_ne!(*right, Right::Read);
    }
    for ((right, possibility), action) in reseller().possibilities().iter().zip(reseller::Action::ALL) {
        assert!(agrees(possibility, &Ok(reseller().guard(*action))), "{action}");
        assert_eq!((possibility.action, *right), (action.as_str(), Right::WriteResellers));
    }
}

#[test]
fn the_possibilities_of_an_invoice_agree_with_the_guard() {
    for (state, invoice) in invoice_states() {
        for ((right, possibility), action) in invoice.possibilities().iter().zip(invoice::Action::ALL) {
            assert!(agrees(possibility, &invoice.guard(*action)), "{action} of {state}");
            assert_eq!((possibility.action, *right), (action.as_str(), Right::WriteInvoices));
        }
    }
}

#[test]
fn the_possibilities_of_an_api_key_agree_with_the_guard() {
    for (state, key) in api_key_states() {
        for ((right, possibility), action) in key.possibilities(noon(IN_TERM)).iter().zip(api_key::Action::ALL) {
            assert!(agrees(possibility, &key.guard(*action, noon(IN_TERM))), "{action} of {state}");
            assert_eq!((possibility.action, *right), (action.as_str(), Right::ManageApiKeys));
        }
    }
}

proptest! {
    #[test]
    fn the_possibilities_of_a_subscription_agree_with_the_guard((subscription, today) in any_subscription()) {
        let listed = subscription.possibilities(today);
        prop_assert_eq!(listed.len(), LISTED_ACTIONS.len());
        for ((right, possibility), action) in listed.iter().zip(LISTED_ACTIONS) {
            prop_assert_eq!(possibility.action, action.as_str());
            prop_assert_eq!(*right, action.right());
            prop_assert!(agrees(possibility, &subscription.guard(*action, today)), "{} of {:?}", action, subscription);
        }
    }

    #[test]
    fn an_invalid_transition_lists_just_the_actions_that_proceed((subscription, today) in any_subscription()) {
        for action in Action::ALL {
            if let Err(Refusal::InvalidTransition { resource, state, action: named, allowed }) =
                subscription.guard(*action, today)
            {
                prop_assert_eq!((resource, state, named), ("subscription", subscription.status().as_str(), action.as_str()));
                let proceeds = |action: &&Action| subscription.guard(**action, today) == Ok(Verdict::Proceed);
                let expected: Vec<_> = LISTED_ACTIONS.iter().filter(proceeds).map(|action| action.as_str()).collect();
                prop_assert_eq!(allowed, expected);
            }
        }
    }
}
