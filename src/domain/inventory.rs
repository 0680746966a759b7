//! Inventory: how many certificates of a type a subscription holds now, how many the next term starts
//! with, and how many are in use.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::id::{AllocationId, LedgerEntryId, OrderId};
use super::label::label;
use super::text::Code;

label! {
    /// What a ledger entry counts: `current` quantity, `renewal` quantity, or certificates `used`.
    /// Expect more values.
    Measure {
        /// The quantity usable now.
        Current = "current",
        /// The quantity set for the next term.
        Renewal = "renewal",
        /// Certificates in use.
        Used = "used",
    }
}

/// The certificates of one type in a subscription.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// The type.
    pub certificate_type: Code,
    /// Usable now; raised, never lowered, within a term.
    pub current: i32,
    /// Set for the next term; `None` follows `current`.
    pub renewal: Option<i32>,
    /// In use.
    pub used: i32,
    /// From how few available on the line is low; `None`: never. Not part of what a quote depends on.
    #[serde(skip)]
    pub low_threshold: Option<i32>,
}

impl Line {
    /// A line that holds nothing yet.
    #[must_use]
    pub fn empty(certificate_type: Code) -> Self {
        Self { certificate_type, current: 0, renewal: None, used: 0, low_threshold: None }
    }

    /// How many can still be allocated.
    #[must_use]
    pub fn available(&self) -> i32 {
        (self.current - self.used).max(0)
    }

    /// How many more are in use than are paid for; possible after a renewal with less.
    #[must_use]
    pub fn overage(&self) -> i32 {
        (self.used - self.current).max(0)
    }

    /// Whether no more is available than the threshold.
    #[must_use]
    pub fn is_low(&self) -> bool {
        self.low_threshold.is_some_and(|threshold| self.available() <= threshold)
    }

    /// Whether nothing is available.
    #[must_use]
    pub fn is_exhausted(&self) -> bool {
        self.available() == 0
    }

    /// What the next term starts with.
    #[must_use]
    pub fn effective_renewal(&self) -> i32 {
        self.renewal.unwrap_or(self.current)
    }

    /// The line as the next term starts: certificates in use stay in use.
    #[must_use]
    pub fn renewed(&self) -> Self {
        Self { current: self.effective_renewal(), ..self.clone() }
    }

    fn measures(&self) -> [(Measure, Option<i32>); 3] {
        [(Measure::Current, Some(self.current)), (Measure::Renewal, self.renewal), (Measure::Used, Some(self.used))]
    }
}

/// One change of one number of a line: a row of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Movement {
    /// The type.
    pub certificate_type: Code,
    /// Which number.
    pub measure: Measure,
    /// What it was.
    pub before: Option<i32>,
    /// What it is.
    pub after: Option<i32>,
}

impl Movement {
    /// By how much; `None` when the renewal quantity begins or stops to follow the current one.
    #[must_use]
    pub fn delta(&self) -> Option<i32> {
        Some(self.after? - self.before?)
    }
}

/// An entry of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its id.
    pub id: LedgerEntryId,
    /// What changed.
    pub movement: Movement,
    /// The order that changed it.
    pub order_id: Option<OrderId>,
    /// The allocation that changed it.
    pub allocation_id: Option<AllocationId>,
    /// Who did it.
    pub actor: String,
    /// When.
    pub occurred_at: DateTime<Utc>,
}

/// Everything that changed between two states of an inventory. The ledger is written from this and
/// nothing else, so its sums are the lines.
#[must_use]
pub fn movements(before: &[Line], after: &[Line]) -> Vec<Movement> {
    let mut found = Vec::new();
    for line in after {
        let empty = Line::empty(line.certificate_type.clone());
        let old = find(before, &line.certificate_type).unwrap_or(&empty);
        for ((measure, before), (_, after)) in old.measures().into_iter().zip(line.measures()) {
            if before != after {
                found.push(Movement { certificate_type: line.certificate_type.clone(), measure, before, after });
            }
        }
    }
    found
}

/// The lines that have come to be in a state that they were not in.
pub fn those_that_came_to<'a>(
    before: &'a [Line],
    after: &'a [Line],
    state: fn(&Line) -> bool,
) -> impl Iterator<Item = &'a Line> {
    let was_not = move |line: &Line| find(before, &line.certificate_type).is_some_and(|old| !state(old));
    after.iter().filter(move |line| state(line) && was_not(line))
}

/// The lines that movements lead to: the last one of each type and measure counts.
#[must_use]
pub fn replay(movements: impl IntoIterator<Item = Movement>) -> Vec<Line> {
    movements.into_iter().fold(Vec::new(), |lines, Movement { certificate_type, measure, after, .. }| {
        with(lines, &certificate_type, |line| match measure {
            Measure::Current => line.current = after.unwrap_or_default(),
            Measure::Renewal => line.renewal = after,
            Measure::Used => line.used = after.unwrap_or_default(),
        })
    })
}

/// The line of a type.
#[must_use]
pub fn find<'a>(lines: &'a [Line], certificate_type: &Code) -> Option<&'a Line> {
    lines.iter().find(|line| line.certificate_type == *certificate_type)
}

/// The lines with one of them changed; it is added if there is none yet. Lines stay in order of type.
#[must_use]
pub fn with(mut lines: Vec<Line>, certificate_type: &Code, change: impl FnOnce(&mut Line)) -> Vec<Line> {
    let index = match lines.binary_search_by(|line| line.certificate_type.cmp(certificate_type)) {
        Ok(index) => index,
        Err(index) => {
            lines.insert(index, Line::empty(certificate_type.clone()));
            index
        }
    };
    change(&mut lines[index]);
    lines
}
