//! What all state machines here have in common.

use super::refusal::Refusal;

/// What a guard says to an action that is possible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The action changes something.
    Proceed,
    /// What the action would bring about already holds.
    AlreadySo,
}

/// What a command brought about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome<T> {
    /// The resource as it is now; it wants saving.
    Changed(T),
    /// The resource is as it was: no new version, no event.
    Unchanged,
}

/// One entry of the list of what may be done next with a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Possibility {
    /// The action.
    pub action: &'static str,
    /// Why it is not possible now; `None` when it is.
    pub refusal: Option<Refusal>,
}

impl Possibility {
    /// Asks a guard. What already holds counts as not possible.
    pub fn of(action: &'static str, verdict: Result<Verdict, Refusal>, already_so: impl FnOnce() -> Refusal) -> Self {
        let refusal = match verdict {
            Ok(Verdict::Proceed) => None,
            Ok(Verdict::AlreadySo) => Some(already_so()),
            Err(refusal) => Some(refusal),
        };
        Self { action, refusal }
    }
}
