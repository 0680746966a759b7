//! Rate limits: how many reads and writes a caller and a tenant may send per minute, over all instances. Each instance
//! counts its own requests and shares its counts with the other instances from time to time. Only the requests since
//! the last exchange can be missed.

use std::collections::HashMap;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};

use crate::domain::label::label;
use crate::domain::limits::budget::Holder;

label! {
    /// How a request is counted.
    RateLimitKind {
        Reads = "reads",
        Writes = "writes",
    }
}

/// The length of a window, in seconds.
pub const WINDOW_SECONDS: i64 = 60;

/// A minute of the machine's clock. Its requests are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Window(DateTime<Utc>);

impl Window {
    #[must_use]
    pub fn of(at: DateTime<Utc>) -> Self {
        Self(at.trunc_subsecs(0) - TimeDelta::seconds(at.timestamp().rem_euclid(WINDOW_SECONDS)))
    }

    #[must_use]
    pub fn previous(self) -> Self {
        Self(self.0 - TimeDelta::seconds(WINDOW_SECONDS))
    }

    #[must_use]
    pub fn start(self) -> DateTime<Utc> {
        self.0
    }

    /// The number of seconds until the window ends, rounded up; at least 1. `at` must be in the window.
    #[must_use]
    pub fn seconds_left(self, at: DateTime<Utc>) -> i64 {
        let started = at.signed_duration_since(self.0).num_seconds();
        (WINDOW_SECONDS - started).clamp(1, WINDOW_SECONDS)
    }
}

/// The maximum number of requests in a window. `None` means no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    pub reads: Option<u32>,
    pub writes: Option<u32>,
    /// Reads of all callers of a tenant together, so that additional keys do not allow additional requests.
    pub tenant_reads: Option<u32>,
    /// Writes of all callers of a tenant together.
    pub tenant_writes: Option<u32>,
}

impl Limits {
    #[must_use]
    pub fn of(self, kind: RateLimitKind) -> Option<u32> {
        match kind {
            RateLimitKind::Reads => self.reads,
            RateLimitKind::Writes => self.writes,
        }
    }

    #[must_use]
    pub fn of_tenant(self, kind: RateLimitKind) -> Option<u32> {
        match kind {
            RateLimitKind::Reads => self.tenant_reads,
            RateLimitKind::Writes => self.tenant_writes,
        }
    }
}

/// A holder of a limit, with the name under which all instances count its requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limited {
    pub name: String,
    pub holder: Holder,
    /// The maximum number of requests in a window.
    pub limit: u32,
}

/// The state of a limit for one kind of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    pub kind: RateLimitKind,
    pub holder: Holder,
    pub window: Window,
    /// The maximum number of requests.
    pub limit: u32,
    /// How many more requests are allowed.
    pub remaining: u32,
    /// Seconds until the window ends.
    pub seconds_left: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The request is allowed, and was counted.
    Admitted(Standing),
    /// The request exceeds a limit, and was not counted.
    Refused(Standing),
}

/// A number of requests of a caller.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Count {
    pub caller: String,
    pub kind: RateLimitKind,
    pub requests: i64,
}

/// The counts of an instance for one caller and kind of requests.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    /// Counted by this instance, and not shared yet.
    untold: i64,
    /// The shared counts of all instances at the last exchange, including this one.
    told: i64,
}

/// The counts of an instance in a window.
#[derive(Debug)]
pub struct Counts {
    window: Window,
    callers: HashMap<String, [Tally; RateLimitKind::ALL.len()]>,
}

impl Counts {
    /// Empty counts, in the window of an instant.
    #[must_use]
    pub fn new(at: DateTime<Utc>) -> Self {
        Self { window: Window::of(at), callers: HashMap::new() }
    }

    /// Counts a request for all its limits. If it exceeds one of them, it is not counted for any. Returns the limit
    /// that is closest; `None` if there is no limit.
    pub fn count(&mut self, kind: RateLimitKind, limited: &[Limited], at: DateTime<Utc>) -> Option<Verdict> {
        self.turn_to(at);
        let window = self.window;
        let standings = limited.iter().map(|Limited { name, holder, limit }| {
            let tally = self.callers.get(name).map(|tallies| tallies[kind as usize]).unwrap_or_default();
            let remaining = tally.remaining(*limit);
            Standing { kind, holder: *holder, window, limit: *limit, remaining, seconds_left: window.seconds_left(at) }
        });
        let closest = standings.min_by_key(|standing| standing.remaining)?;
        let Some(remaining) = closest.remaining.checked_sub(1) else { return Some(Verdict::Refused(closest)) };
        for Limited { name, .. } in limited {
            self.callers.entry(name.clone()).or_default()[kind as usize].untold += 1;
        }
        Some(Verdict::Admitted(Standing { remaining, ..closest }))
    }

    /// Returns the counts that were not shared yet, in an order that is the same in all instances, with their window.
    pub fn news(&mut self, at: DateTime<Utc>) -> (Window, Vec<Count>) {
        self.turn_to(at);
        let tallies = self.callers.iter().flat_map(|(caller, tallies)| {
            RateLimitKind::ALL.iter().map(move |kind| (caller, *kind, tallies[*kind as usize]))
        });
        let news = tallies.filter(|(.., tally)| tally.untold != 0);
        let mut news: Vec<_> =
            news.map(|(caller, kind, tally)| Count { caller: caller.clone(), kind, requests: tally.untold }).collect();
        news.sort_unstable();
        (self.window, news)
    }

    /// Records that counts were shared, and the totals of all instances.
    pub fn learn(&mut self, window: Window, told: &[Count], totals: &[Count]) {
        if self.window != window {
            return;
        }
        for Count { caller, kind, requests } in told {
            if let Some(tallies) = self.callers.get_mut(caller) {
                tallies[*kind as usize].untold -= requests;
            }
        }
        for Count { caller, kind, requests } in totals {
            if let Some(tallies) = self.callers.get_mut(caller) {
                tallies[*kind as usize].told = *requests;
            }
        }
    }

    /// Removes the counts of another window than the window of `at`.
    fn turn_to(&mut self, at: DateTime<Utc>) {
        if self.window != Window::of(at) {
            *self = Self::new(at);
        }
    }
}

impl Tally {
    fn remaining(self, limit: u32) -> u32 {
        let remaining = i64::from(limit) - self.told - self.untold;
        u32::try_from(remaining.max(0)).unwrap_or(u32::MAX)
    }
}
