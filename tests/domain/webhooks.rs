//! Webhooks: the states of an endpoint, how long a delivery is retried, and how messages are signed.

use chrono::{DateTime, TimeDelta, Utc};
use partner_platform::domain::events::{EventType, Resource};
use partner_platform::domain::id::{EventId, WebhookDeliveryId, WebhookEndpointId};
use partner_platform::domain::machine::Outcome;
use partner_platform::domain::webhooks::delivery::{Attempt, Delivery, DeliveryStatus, State};
use partner_platform::domain::webhooks::schedule::{Pacing, wait};
use partner_platform::domain::webhooks::signature::{Secret, sign};
use partner_platform::domain::webhooks::{self, Action, Command, Details, Endpoint};
use proptest::prelude::*;
use standardwebhooks::Webhook;
use uuid::Uuid;

use crate::samples::{START, noon, text};

fn secret(byte: u8) -> Secret {
    Secret::new([byte; 32])
}

pub fn endpoint() -> Endpoint {
    let details = Details { url: text("https://receiver.example/"), description: None, event_types: Vec::new() };
    Endpoint::create(WebhookEndpointId(Uuid::nil()), None, details, secret(0), noon(START))
}

pub fn disabled() -> Endpoint {
    changed(endpoint().apply(Command::Disable { reason: None }, noon(START)))
}

fn changed(outcome: Outcome<Endpoint>) -> Endpoint {
    match outcome {
        Outcome::Changed(endpoint) => endpoint,
        Outcome::Unchanged => panic!("nothing has changed"),
    }
}

fn delivery() -> Delivery {
    let event = (EventId(Uuid::nil()), EventType::CustomerCreated);
    Delivery::queue(WebhookDeliveryId(Uuid::nil()), endpoint().id, event, noon(START))
}

fn attempt(at: DateTime<Utc>, http_status: Option<i32>) -> Attempt {
    let error = http_status.is_none_or(|status| status != 200).then(|| "Because".to_owned());
    Attempt { at, duration_ms: 1500, http_status, error }
}

fn pacing(jitter: u16) -> Pacing {
    Pacing { retry_after: None, jitter }
}

/// The waiting times between all attempts of a delivery that always fails.
fn waits(jitter: impl Fn(i32) -> u16) -> Vec<TimeDelta> {
    (1..).map_while(|failures| wait(failures, pacing(jitter(failures)))).collect()
}

proptest! {
    #[test]
    fn a_delivery_is_tried_for_three_days_and_not_for_four(jitter in prop::collection::vec(any::<u16>(), 40)) {
        let waits = waits(|failures| jitter[usize::try_from(failures).unwrap() % 40]);
        let all: TimeDelta = waits.iter().sum();
        prop_assert!(all >= TimeDelta::days(3) && all < TimeDelta::days(4), "{all}");
        prop_assert!((10..=25).contains(&waits.len()), "{}", waits.len());
    }

    #[test]
    fn a_wait_grows_with_every_failure_up_to_some_hours(failures in 1..17_i32, jitter: u16) {
        let (least, most) = (wait(failures, pacing(0)).unwrap(), wait(failures, pacing(u16::MAX)).unwrap());
        let this = wait(failures, pacing(jitter)).unwrap();
        prop_assert!(least <= this && this <= most, "{least} {this} {most}");
        prop_assert!(most <= least + least / 4, "the jitter adds at most a quarter: {most}");
        prop_assert!(least >= TimeDelta::seconds(5) && least <= TimeDelta::hours(8));
        let next = wait(failures + 1, pacing(0)).unwrap();
        prop_assert!(next > most || next == TimeDelta::hours(8), "the wait is {next} after {most}");
    }

    #[test]
    fn a_receiver_that_asks_for_time_is_given_it_within_bounds(failures in 1..17_i32, seconds in 0..1_000_000_i64) {
        let asked = TimeDelta::seconds(seconds);
        let given = wait(failures, Pacing { retry_after: Some(asked), jitter: 0 }).unwrap();
        let nominal = wait(failures, pacing(0)).unwrap();
        prop_assert_eq!(given, nominal.max(asked.min(TimeDelta::hours(8))));
    }

    #[test]
    fn any_number_of_failures_has_an_answer(failures: i32, retry_after: i32, jitter: u16) {
        let retry_after = Some(TimeDelta::seconds(retry_after.into()));
        let wait = wait(failures, Pacing { retry_after, jitter });
        prop_assert!(wait.is_none_or(|wait| wait > TimeDelta::zero() && wait <= TimeDelta::hours(10)));
    }

    #[test]
    fn nothing_is_given_up_where_all_fails_whatever_was_away_in_between(
        away in prop::collection::vec(prop_oneof![Just(0), 0..100_i64], 20), jitter: u16,
    ) {
        let (mut endpoint, mut delivery, mut tried) = (endpoint(), delivery(), TimeDelta::zero());
        let mut away = away.into_iter().cycle();
        while let (true, State::Pending { next_attempt_at, .. }) = (endpoint.is_enabled(), delivery.state) {
            let at = next_attempt_at + TimeDelta::hours(away.next().unwrap());
            let last = delivery.last_attempt.as_ref();
            tried += last.map_or(TimeDelta::zero(), |last| (at - last.at).min(TimeDelta::hours(12)));
            endpoint = endpoint.failed(&attempt(at, Some(503)), at);
            delivery = delivery.attempted(attempt(at, Some(503)), endpoint.is_enabled(), pacing(jitter));
        }
        prop_assert_eq!((endpoint.is_enabled(), delivery.status()), (false, DeliveryStatus::Pending));
        prop_assert!(tried >= TimeDelta::days(3), "{}", tried);
    }

    #[test]
    fn a_signature_is_the_published_librarys(
        key: [u8; 32], older: [u8; 32], id in "[a-z0-9-]{1,40}", timestamp in 0..4_102_444_800_i64, body in "\\PC{0,200}",
    ) {
        let (key, older) = (Secret::new(key), Secret::new(older));
        let theirs = |secret: &Secret| {
            Webhook::new(&secret.reveal()).unwrap().sign(&id, timestamp, body.as_bytes()).unwrap()
        };
        let ours = sign(&[&key, &older], &id, timestamp, body.as_bytes());
        prop_assert_eq!(ours, format!("{} {}", theirs(&key), theirs(&older)));
    }

    #[test]
    fn no_secret_goes_on_longer_than_it_was_to(
        rotations in prop::collection::vec((0..1000_i64, 0..1000_i64), 1..8),
    ) {
        let mut endpoint = endpoint();
        let mut at = noon(START);
        for (number, (later, overlap)) in rotations.iter().enumerate() {
            at += TimeDelta::seconds(*later);
            let end = at + TimeDelta::seconds(*overlap);
            endpoint = endpoint.rotate(secret(u8::try_from(number).unwrap() + 1), TimeDelta::seconds(*overlap), at, at);
            let valid = endpoint.secrets.valid(at);
            prop_assert_eq!(valid[0], &secret(u8::try_from(number).unwrap() + 1), "the new secret comes first");
            prop_assert!(valid.len() <= 5);
            prop_assert_eq!(endpoint.secrets.valid(end).len(), 1, "all older secrets have ended by then");
            if *overlap > 0 {
                prop_assert!(
                    valid.contains(&&secret(u8::try_from(number).unwrap())),
                    "the previous secret remains valid"
                );
            }
        }
    }
}

#[test]
fn a_lost_answer_to_a_rotation_does_not_end_the_secret_that_the_receiver_has() {
    let at = noon(START);
    let day = TimeDelta::days(1);
    let lost = endpoint().rotate(secret(1), day, at, at);
    let again = lost.rotate(secret(2), day, at + TimeDelta::minutes(1), at);
    assert_eq!(again.secrets.valid(at + TimeDelta::hours(23)), [&secret(2), &secret(1), &secret(0)]);
    assert_eq!(again.secrets.valid(at + day), [&secret(2), &secret(1)]);
    let at_once = again.rotate(secret(3), TimeDelta::zero(), at + TimeDelta::hours(1), at);
    assert_eq!(at_once.secrets.valid(at), [&secret(3)], "also if an older secret was still valid");
    assert_eq!((at_once.version.0, at_once.secrets.previous_end(at)), (4, None));
}

#[test]
fn a_secret_is_not_told_by_accident() {
    let told = format!("{:?}", endpoint().rotate(secret(7), TimeDelta::days(1), noon(START), noon(START)));
    assert!(told.contains("current: Secret,") && !told.contains('7'), "{told}");
}

/// Since when deliveries to an endpoint have been failing.
fn since(endpoint: &Endpoint) -> Option<DateTime<Utc>> {
    endpoint.failing.map(|failing| failing.since)
}

#[test]
fn an_endpoint_is_disabled_once_nothing_has_got_there_for_three_days() {
    let at = noon(START);
    let fails = |endpoint: &Endpoint, hours| {
        let later = at + TimeDelta::hours(hours);
        endpoint.failed(&attempt(later, Some(500)), later)
    };
    let once = endpoint().failed(&attempt(at, None), at);
    assert_eq!((since(&once), once.is_enabled(), once.version.0), (Some(at), true, 1));
    let again = (1..=7).fold(once, |endpoint, attempt| fails(&endpoint, attempt * 10));
    assert_eq!((since(&again), again.is_enabled()), (Some(at), true));
    let again = fails(&again, 71);
    assert_eq!((since(&again), again.is_enabled()), (Some(at), true));
    let disabled = fails(&again, 72);
    let last = at + TimeDelta::hours(72);
    assert_eq!((disabled.is_enabled(), disabled.version.0, disabled.updated_at), (false, 2, last));
    assert_eq!(disabled.happened(Some(&again)), [EventType::WebhookEndpointDisabled.into()]);
    assert_eq!(disabled.failed(&attempt(last, None), last), disabled, "it stays disabled");
    let enabled = changed(disabled.apply(Command::Enable, last));
    assert_eq!((enabled.is_enabled(), enabled.failing), (true, None), "its failures are reset");
    assert_eq!(enabled.happened(Some(&disabled)), [EventType::WebhookEndpointEnabled.into()]);
}

#[test]
fn time_in_which_nothing_was_tried_is_not_held_against_an_endpoint() {
    let at = noon(START);
    let once = endpoint().failed(&attempt(at, None), at);
    let back = at + TimeDelta::days(30);
    let again = once.failed(&attempt(back, None), back);
    assert_eq!((since(&again), again.is_enabled()), (Some(back - TimeDelta::hours(12)), true));
    let late = again.failed(&attempt(at, None), back);
    assert_eq!(late.failing, again.failing, "a slow attempt does not count for more");
}

#[test]
fn an_endpoint_that_is_gone_is_disabled_at_once() {
    let at = noon(START);
    let gone = endpoint().failed(&attempt(at, Some(410)), at);
    let webhooks::State::Disabled { reason: Some(reason), .. } = &gone.state else { panic!("{:?}", gone.state) };
    assert!(reason.as_str().contains("410"), "{reason}");
}

#[test]
fn another_url_has_not_failed_yet() {
    let failing = endpoint().failed(&attempt(noon(START), None), noon(START));
    let described = Details { description: Some(text("Something")), ..failing.details.clone() };
    assert!(changed(failing.edit(described, noon(START))).failing.is_some());
    let moved = Details { url: text("https://other.example/"), ..failing.details.clone() };
    assert!(changed(failing.edit(moved, noon(START))).failing.is_none());
}

#[test]
fn types_are_a_set() {
    let types = vec![EventType::InvoicePaid, EventType::CustomerCreated, EventType::InvoicePaid];
    let some = changed(endpoint().edit(Details { event_types: types, ..endpoint().details }, noon(START)));
    assert_eq!(some.details.event_types, [EventType::CustomerCreated, EventType::InvoicePaid]);
    let other_way = vec![EventType::InvoicePaid, EventType::CustomerCreated];
    assert_eq!(some.edit(Details { event_types: other_way, ..endpoint().details }, noon(START)), Outcome::Unchanged);
}

#[test]
fn a_delivery_that_never_gets_there_is_given_up_where_others_do() {
    let (mut delivery, mut at) = (delivery(), noon(START));
    while let State::Pending { next_attempt_at, .. } = delivery.state {
        assert!(next_attempt_at >= at, "the delivery waits");
        at = next_attempt_at;
        let taken = delivery.lease(at);
        assert_eq!(taken.next_attempt_at(), Some(at + TimeDelta::seconds(60)), "no other worker takes it meanwhile");
        delivery = taken.attempted(attempt(at, Some(503)), true, pacing(0));
    }
    assert_eq!((delivery.status(), delivery.attempts), (DeliveryStatus::Failed, 18));
    assert!(at - noon(START) > TimeDelta::days(3), "{at}");
    let again = delivery.redeliver(true, at).unwrap();
    assert_eq!(again.state, State::Pending { failures: 0, next_attempt_at: at });
    assert_eq!(again.attempted(attempt(at, Some(200)), true, pacing(0)).attempts, 19);
}

#[test]
fn a_delivery_waits_for_an_endpoint_that_is_disabled_however_long_it_was_tried() {
    let last = Delivery { state: State::Pending { failures: 17, next_attempt_at: noon(START) }, ..delivery() };
    let waits = last.attempted(attempt(noon(START), Some(503)), false, pacing(0));
    assert_eq!(waits.status(), DeliveryStatus::Pending);
    assert_eq!(last.attempted(attempt(noon(START), Some(503)), true, pacing(0)).status(), DeliveryStatus::Failed);
}

#[test]
fn a_delivery_that_got_there_stays_so() {
    let there = delivery().attempted(attempt(noon(START), Some(200)), true, pacing(0));
    assert_eq!((there.status(), there.next_attempt_at()), (DeliveryStatus::Succeeded, None));
    let other = there.attempted(attempt(noon(START), None), true, pacing(0));
    assert_eq!((other.status(), other.attempts), (DeliveryStatus::Succeeded, 2));
    assert_eq!(there.lease(noon(START)), there);
}

#[test]
fn a_test_is_not_sent_again_and_nothing_is_while_the_endpoint_is_disabled() {
    let test = Delivery::test(delivery().id, endpoint().id, EventId(Uuid::nil()), attempt(noon(START), None));
    assert_eq!(test.status(), DeliveryStatus::Failed);
    test.redeliver(true, noon(START)).unwrap_err();
    let refusal = delivery().redeliver(disabled().is_enabled(), noon(START)).unwrap_err();
    assert!(refusal.to_string().contains("enable"), "{refusal}");
}

#[test]
fn to_deliver_again_puts_no_delivery_further_back() {
    let at = noon(START);
    let next = |next_attempt_at| {
        let waits = Delivery { state: State::Pending { failures: 3, next_attempt_at }, ..delivery() };
        waits.redeliver(true, at).unwrap().state
    };
    let hour = TimeDelta::hours(1);
    assert_eq!(next(at + hour), State::Pending { failures: 0, next_attempt_at: at });
    assert_eq!(next(at - hour), State::Pending { failures: 0, next_attempt_at: at - hour }, "it was due already");
}

#[test]
fn what_may_be_done_is_listed() {
    let allowed = |endpoint: &Endpoint| {
        let all = endpoint.possibilities().into_iter().map(|(_, possibility)| possibility);
        all.filter(|it| it.refusal.is_none()).map(|it| it.action).collect::<Vec<_>>()
    };
    assert_eq!(allowed(&endpoint()), ["disable", "rotate_secret", "test"]);
    assert_eq!(allowed(&disabled()), ["enable", "rotate_secret", "test"]);
    assert_eq!(Action::ALL.len(), 4);
}
