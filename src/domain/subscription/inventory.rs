//! Inventory: how many certificates of a type a subscription has now, how many the next term starts with, and how many
//! are in use.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::domain::id::{AllocationId, LedgerEntryId, OrderId};
use crate::domain::label::label;
use crate::domain::text::Code;

label! {
    /// What a ledger entry counts: the `current` quantity, the `renewal` quantity, or the certificates `used`. More
    /// values may be added.
    Measure {
        Current = "current",
        Renewal = "renewal",
        Used = "used",
    }
}

/// The certificates of one type in a subscription.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    pub certificate_type: Code,
    /// Usable now. Within a term, this can only be raised.
    pub current: i32,
    /// For the next term; `None` follows `current`.
    pub renewal: Option<i32>,
    /// Certificates in use.
    pub used: i32,
    /// The line is low when this many certificates or fewer are available; `None`: never. Quotes do not depend on it.
    #[serde(skip)]
    pub low_threshold: Option<i32>,
}

impl Line {
    #[must_use]
    pub fn empty(certificate_type: Code) -> Self {
        Self { certificate_type, current: 0, renewal: None, used: 0, low_threshold: None }
    }

    /// How many certificates can still be allocated.
    #[must_use]
    pub fn available(&self) -> i32 {
        (self.current - self.used).max(0)
    }

    /// How many more certificates are in use than are paid for. Possible after a renewal with a smaller quantity.
    #[must_use]
    pub fn overage(&self) -> i32 {
        (self.used - self.current).max(0)
    }

    /// Whether the available quantity is at or below the threshold.
    #[must_use]
    pub fn is_low(&self) -> bool {
        self.low_threshold.is_some_and(|threshold| self.available() <= threshold)
    }

    #[must_use]
    pub fn is_exhausted(&self) -> bool {
        self.available() == 0
    }

    /// The quantity at the start of the next term.
    #[must_use]
    pub fn effective_renewal(&self) -> i32 {
        self.renewal.unwrap_or(self.current)
    }

    /// Returns the line at the start of the next term. Certificates in use stay in use.
    #[must_use]
    pub fn renewed(&self) -> Self {
        Self { current: self.effective_renewal(), ..self.clone() }
    }

    fn measures(&self) -> [(Measure, Option<i32>); 3] {
        [(Measure::Current, Some(self.current)), (Measure::Renewal, self.renewal), (Measure::Used, Some(self.used))]
    }
}

/// One change of one quantity of a line: a row of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Movement {
    pub certificate_type: Code,
    pub measure: Measure,
    /// `None` when the renewal quantity followed the current quantity.
    pub before: Option<i32>,
    /// `None` when the renewal quantity follows the current quantity.
    pub after: Option<i32>,
}

impl Movement {
    /// The difference; `None` when the renewal quantity starts or stops following the current quantity.
    #[must_use]
    pub fn delta(&self) -> Option<i32> {
        Some(self.after? - self.before?)
    }
}

/// An entry of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub id: LedgerEntryId,
    pub movement: Movement,
    pub order_id: Option<OrderId>,
    pub allocation_id: Option<AllocationId>,
    pub actor: String,
    pub occurred_at: DateTime<Utc>,
}

/// Returns all changes between two states of an inventory. The ledger is written only from these changes, so the sums
/// of the ledger always match the lines.
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

/// Returns the lines that are in a state now, but were not before.
pub fn those_that_came_to<'a>(
    before: &'a [Line],
    after: &'a [Line],
    state: fn(&Line) -> bool,
) -> impl Iterator<Item = &'a Line> {
    let was_not = move |line: &Line| find(before, &line.certificate_type).is_some_and(|old| !state(old));
    after.iter().filter(move |line| state(line) && was_not(line))
}

/// Returns the lines that result from movements. The last movement of each type and measure counts.
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

#[must_use]
pub fn find<'a>(lines: &'a [Line], certificate_type: &Code) -> Option<&'a Line> {
    lines.iter().find(|line| line.certificate_type == *certificate_type)
}

/// Changes one line, and adds it if it does not exist. Lines stay sorted by type.
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
