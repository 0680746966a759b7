//! How often a caller may come: so many reads and so many writes in a minute, whichever instances it asks.
//! Each instance counts by itself and tells the others from time to time; what they did since is the only
//! error.

use std::collections::HashMap;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};

use super::budget::Holder;
use super::label::label;

label! {
    /// What a request is counted as.
    RateLimitKind {
        /// It looks.
        Reads = "reads",
        /// It may change something.
        Writes = "writes",
    }
}

/// Seconds of a window.
pub const WINDOW_SECONDS: i64 = 60;

/// A minute by the machines' clocks: what happens in it is counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Window(DateTime<Utc>);

impl Window {
    /// The window of an instant.
    #[must_use]
    pub fn of(at: DateTime<Utc>) -> Self {
        Self(at.trunc_subsecs(0) - TimeDelta::seconds(at.timestamp().rem_euclid(WINDOW_SECONDS)))
    }

    /// The one before it.
    #[must_use]
    pub fn previous(self) -> Self {
        Self(self.0 - TimeDelta::seconds(WINDOW_SECONDS))
    }

    /// Its first instant.
    #[must_use]
    pub fn start(self) -> DateTime<Utc> {
        self.0
    }

    /// The whole seconds after which it is over, seen from an instant of it; at least one.
    #[must_use]
    pub fn seconds_left(self, at: DateTime<Utc>) -> i64 {
        let started = at.signed_duration_since(self.0).num_seconds();
        (WINDOW_SECONDS - started).clamp(1, WINDOW_SECONDS)
    }
}

/// The most requests in a window; where there is no number, there is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Reads of one caller.
    pub reads: Option<u32>,
    /// Writes of one caller.
    pub writes: Option<u32>,
    /// Reads of all callers of a tenant together, so that more keys are no more requests.
    pub tenant_reads: Option<u32>,
    /// Writes of all callers of a tenant together.
    pub tenant_writes: Option<u32>,
}

impl Limits {
    /// The limit for a kind of requests of one caller, if there is one.
    #[must_use]
    pub fn of(self, kind: RateLimitKind) -> Option<u32> {
        match kind {
            RateLimitKind::Reads => self.reads,
            RateLimitKind::Writes => self.writes,
        }
    }

    /// The limit for a kind of requests of a tenant, if there is one.
    #[must_use]
    pub fn of_tenant(self, kind: RateLimitKind) -> Option<u32> {
        match kind {
            RateLimitKind::Reads => self.tenant_reads,
            RateLimitKind::Writes => self.tenant_writes,
        }
    }
}

/// Somebody who is limited, under the name that all instances count under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limited {
    /// The name.
    pub name: String,
    /// A caller or a tenant.
    pub holder: Holder,
    /// The most requests in a window.
    pub limit: u32,
}

/// Where a caller stands with a kind of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// What is counted.
    pub kind: RateLimitKind,
    /// Whose requests.
    pub holder: Holder,
    /// When.
    pub window: Window,
    /// The most of them.
    pub limit: u32,
    /// How many more of them there may be.
    pub remaining: u32,
    /// Seconds until the window is over.
    pub seconds_left: i64,
}

/// Whether a request may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is counted and may.
    Admitted(Standing),
    /// It would be one too many; it is not counted.
    Refused(Standing),
}

/// So many requests of a caller.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Count {
    /// Who came.
    pub caller: String,
    /// With what.
    pub kind: RateLimitKind,
    /// How often.
    pub requests: i64,
}

/// What an instance knows of a caller's requests of a kind.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    /// What it has counted itself and not told.
    untold: i64,
    /// What all instances had told when it last asked, itself included.
    told: i64,
}

/// What an instance knows of the requests of a window.
#[derive(Debug)]
pub struct Counts {
    window: Window,
    callers: HashMap<String, [Tally; RateLimitKind::ALL.len()]>,
}

impl Counts {
    /// Nothing yet, in the window of an instant.
    #[must_use]
    pub fn new(at: DateTime<Utc>) -> Self {
        Self { window: Window::of(at), callers: HashMap::new() }
    }

    /// Counts a request for everybody that it is limited for, unless it is one too many for one of them: then it is
    /// counted for nobody. Answers who is closest to the limit; `None` where nobody is limited.
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

    /// What the others have not been told, in an order that is the same everywhere; and the window of it.
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

    /// Takes note that the others were told, and of what all of them have counted by now.
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

    /// Forgets what is of another window than that of an instant.
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
