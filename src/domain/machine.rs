//! Types that all state machines share.

use crate::domain::refusal::Refusal;

/// The result of a guard for an allowed action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Proceed,
    /// The resource is already in the target state.
    AlreadySo,
}

/// The result of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome<T> {
    /// The changed resource, which must be saved.
    Changed(T),
    /// Nothing changed: no new version, no event.
    Unchanged,
}

/// An action of a resource, and whether its state allows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Possibility {
    pub action: &'static str,
    /// Why the action is not allowed; `None` if it is.
    pub refusal: Option<Refusal>,
}

impl Possibility {
    /// Creates an entry from the result of a guard. An action without effect counts as not allowed.
    pub fn of(action: &'static str, verdict: Result<Verdict, Refusal>, already_so: impl FnOnce() -> Refusal) -> Self {
        let refusal = match verdict {
            Ok(Verdict::Proceed) => None,
            Ok(Verdict::AlreadySo) => Some(already_so()),
            Err(refusal) => Some(refusal),
        };
        Self { action, refusal }
    }
}
