//! Rate limits: windows, counting, and the exchange between instances.

use chrono::{DateTime, TimeDelta, Utc};
use partner_platform::domain::limits::budget::Holder;
use partner_platform::domain::limits::rate_limit::{
    Count, Counts, Limited, Limits, RateLimitKind, Standing, Verdict, WINDOW_SECONDS, Window,
};
use proptest::prelude::*;

use crate::samples::noon;

/// Any instant of this and the next few thousand years.
fn instant() -> impl Strategy<Value = DateTime<Utc>> {
    (0..200_000_000_000_i64, 0..1_000_000_000_u32)
        .prop_map(|(seconds, nanos)| DateTime::from_timestamp(seconds, nanos).unwrap())
}

fn kind() -> impl Strategy<Value = RateLimitKind> {
    prop_oneof![Just(RateLimitKind::Reads), Just(RateLimitKind::Writes)]
}

fn is_admitted(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Admitted(_))
}

fn standing(verdict: Verdict) -> Standing {
    match verdict {
        Verdict::Admitted(standing) | Verdict::Refused(standing) => standing,
    }
}

/// Counts a request of one caller with a limit.
fn count(counts: &mut Counts, caller: &str, kind: RateLimitKind, limit: u32, at: DateTime<Utc>) -> Verdict {
    counts.count(kind, &[limited(caller, Holder::Caller, limit)], at).unwrap()
}

fn limited(name: &str, holder: Holder, limit: u32) -> Limited {
    Limited { name: name.to_owned(), holder, limit }
}

/// The shared counts of all instances: the sum of what each has reported.
#[derive(Default)]
struct Shared(Vec<Count>);

impl Shared {
    fn exchange(&mut self, counts: &mut Counts, at: DateTime<Utc>) {
        let (window, news) = counts.news(at);
        let totals: Vec<_> = news.iter().map(|told| self.add(told)).collect();
        counts.learn(window, &news, &totals);
    }

    fn total(&self) -> i64 {
        self.0.iter().map(|count| count.requests).sum()
    }

    fn add(&mut self, told: &Count) -> Count {
        let at = self.0.iter().position(|count| count.caller == told.caller && count.kind == told.kind);
        match at {
            Some(at) => self.0[at].requests += told.requests,
            None => self.0.push(told.clone()),
        }
        self.0[at.unwrap_or(self.0.len() - 1)].clone()
    }
}

proptest! {
    #[test]
    fn an_instant_is_in_its_window_and_in_no_other(at in instant()) {
        let window = Window::of(at);
        let end = window.start() + TimeDelta::seconds(WINDOW_SECONDS);
        prop_assert!(window.start() <= at && at < end);
        prop_assert_eq!(Window::of(window.start()), window);
        prop_assert_eq!(Window::of(end).previous(), window);
        prop_assert_eq!(window.start().timestamp() % WINDOW_SECONDS, 0);
    }

    #[test]
    fn after_the_seconds_that_are_left_the_window_is_over_and_a_second_before_it_is_not(at in instant()) {
        let window = Window::of(at);
        let left = window.seconds_left(at);
        prop_assert!((1..=WINDOW_SECONDS).contains(&left));
        prop_assert_eq!(Window::of(at + TimeDelta::seconds(left)).previous(), window);
        prop_assert_eq!(Window::of(at + TimeDelta::seconds(left - 1)), window);
    }

    #[test]
    fn more_callers_of_a_tenant_are_no_more_requests_and_a_refused_one_is_counted_for_nobody(
        requests in prop::collection::vec(0..3_usize, 1..80), own in 1..20_u32, together in 1..30_u32, at in instant(),
    ) {
        let mut counts = Counts::new(at);
        let (mut admitted, names) = ([0_u32; 3], ["a", "b", "c"]);
        for caller in requests {
            let who = [limited(names[caller], Holder::Caller, own), limited("tenant", Holder::Tenant, together)];
            let verdict = counts.count(RateLimitKind::Writes, &who, at).unwrap();
            let (room, common) = (own - admitted[caller], together - admitted.iter().sum::<u32>());
            prop_assert_eq!(is_admitted(verdict), room > 0 && common > 0);
            admitted[caller] += u32::from(is_admitted(verdict));
            let closest = if common < room { Holder::Tenant } else { Holder::Caller };
            prop_assert_eq!(standing(verdict).holder, closest);
            prop_assert_eq!(standing(verdict).remaining, room.min(common).saturating_sub(1));
        }
        prop_assert!(counts.count(RateLimitKind::Writes, &[], at).is_none(), "there is no limit");
    }

    #[test]
    fn a_caller_gets_its_limit_in_a_window_and_not_one_more(limit in 0..40_u32, more in 0..5_u32, at in instant()) {
        let mut counts = Counts::new(at);
        for already in 0..limit {
            let verdict = count(&mut counts, "a", RateLimitKind::Reads, limit, at);
            prop_assert!(is_admitted(verdict));
            prop_assert_eq!(standing(verdict).remaining, limit - already - 1);
        }
        for _ in 0..more {
            let verdict = count(&mut counts, "a", RateLimitKind::Reads, limit, at);
            prop_assert!(!is_admitted(verdict) && standing(verdict).remaining == 0);
        }
        prop_assert_eq!(counts.news(at).1.iter().map(|count| count.requests).sum::<i64>(), i64::from(limit));
        if limit > 0 {
            let later = at + TimeDelta::seconds(standing(count(&mut counts, "a", RateLimitKind::Reads, limit, at)).seconds_left);
            prop_assert!(
                is_admitted(count(&mut counts, "a", RateLimitKind::Reads, limit, later)),
                "the next window starts from zero"
            );
        }
    }

    #[test]
    fn what_a_caller_does_is_nothing_to_others_nor_to_its_other_kind(
        requests in prop::collection::vec((0..3_usize, kind()), 0..80)
    ) {
        let (at, limit) = (noon("2027-01-01"), 10);
        let mut counts = Counts::new(at);
        let mut admitted = std::collections::HashMap::new();
        for (caller, kind) in requests {
            let had = admitted.entry((caller, kind)).or_insert(0);
            let verdict = count(&mut counts, ["a", "b", "c"][caller], kind, limit, at);
            prop_assert_eq!(is_admitted(verdict), *had < limit);
            *had += u32::from(is_admitted(verdict));
        }
    }

    /// Rounds of requests, each to one of three instances. After each round the instances exchange their counts.
    #[test]
    fn instances_admit_what_each_does_between_two_exchanges_too_much_at_the_most(
        rounds in prop::collection::vec(prop::collection::vec(0..3_usize, 0..=5), 0..40)
    ) {
        let (at, limit) = (noon("2027-01-01"), 30);
        let mut instances = [Counts::new(at), Counts::new(at), Counts::new(at)];
        let (mut shared, mut admitted, mut asked) = (Shared::default(), 0, 0);
        for round in rounds {
            for instance in round {
                asked += 1;
                admitted += i64::from(is_admitted(count(&mut instances[instance], "a", RateLimitKind::Reads, limit, at)));
            }
            instances.iter_mut().for_each(|instance| shared.exchange(instance, at));
            prop_assert_eq!(shared.total(), admitted, "each request is reported once");
        }
        prop_assert!(admitted >= asked.min(i64::from(limit)), "no request is rejected too early");
        prop_assert!(admitted <= i64::from(limit) + 3 * 5, "{} of {}", admitted, asked);
    }
}

#[test]
fn instances_that_tell_each_other_after_each_request_keep_the_limit_exactly() {
    let at = noon("2027-01-01");
    let mut instances = [Counts::new(at), Counts::new(at)];
    let mut shared = Shared::default();
    let mut admitted = 0;
    for request in 0..100 {
        let instance = &mut instances[request % 2];
        admitted += u32::from(is_admitted(count(instance, "a", RateLimitKind::Reads, 10, at)));
        shared.exchange(instance, at);
    }
    // The other instance knows all requests except those since the last exchange.
    assert!((10..=11).contains(&admitted), "{admitted}");
}

#[test]
fn what_is_told_too_late_is_nothing_to_the_next_window() {
    let at = noon("2027-01-01");
    let later = at + TimeDelta::seconds(WINDOW_SECONDS);
    let mut counts = Counts::new(at);
    assert!(is_admitted(count(&mut counts, "a", RateLimitKind::Reads, 1, at)));
    let (window, news) = counts.news(at);
    assert!(is_admitted(count(&mut counts, "a", RateLimitKind::Reads, 1, later)));
    counts.learn(window, &news, &news);
    let (window, news) = counts.news(later);
    assert_eq!((window, news.len(), news[0].requests), (Window::of(later), 1, 1));
    assert!(!is_admitted(count(&mut counts, "a", RateLimitKind::Reads, 1, later)));
}

#[test]
fn each_kind_has_its_limit() {
    let limits = Limits { reads: Some(1), writes: None, tenant_reads: None, tenant_writes: Some(2) };
    assert_eq!((limits.of(RateLimitKind::Reads), limits.of(RateLimitKind::Writes)), (Some(1), None));
}
