//! The audit trail: who wrote what, including denied attempts. Each entry is sealed with a hash of its content and
//! of the previous seal, so that a later change or removal is detected.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::domain::authorization::Role;
use crate::domain::events::{Reference, ResourceType};
use crate::domain::id::{AuditEntryId, CustomerId, ResellerId};
use crate::domain::label::label;
use crate::domain::listing::json_size;

label! {
    /// How a write ended. `succeeded`: it was done; `refused`: nothing was written, and `code` says why. More values
    /// may be added.
    Outcome {
        Succeeded = "succeeded",
        Refused = "refused",
    }
}

/// Fields that are not listed as changes, because they only follow from other changes.
const FOLLOWING: &[&str] = &["actions", "updated_at"];

/// A field whose changes are recorded as changes of a resource of its own.
const TOLD_APART: &str = "inventory";

/// The maximum number of changes in an entry.
pub const MAX_CHANGES: usize = 500;

/// The maximum size of the changed fields in an entry, in bytes.
pub const MAX_CHANGED_BYTES: usize = 64 << 10;

/// Limits changes to the size that an entry may have, and returns whether anything was removed: fields that do not fit,
/// and changes beyond [`MAX_CHANGES`]. The remaining changes always keep the type and id of their resource.
#[must_use]
pub fn cut(mut changes: Vec<Change>) -> (Vec<Change>, bool) {
    let mut is_cut = changes.len() > MAX_CHANGES;
    changes.truncate(MAX_CHANGES);
    let mut room = MAX_CHANGED_BYTES;
    for change in &mut changes {
        for fields in [&mut change.before, &mut change.after].into_iter().flatten() {
            let all = fields.len();
            fields.retain(|name, value| {
                let size = name.len() + json_size(value);
                let fits = size <= room;
                room -= if fits { size } else { 0 };
                fits
            });
            is_cut |= fields.len() < all;
        }
    }
    (changes, is_cut)
}

/// A change of a resource. It is part of the sealed data: see [`Entry`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    pub resource_type: ResourceType,
    pub resource_id: Uuid,
    /// The previous values of the changed fields; `None` for a new resource.
    pub before: Option<Map<String, Value>>,
    /// The new values of the same fields; `None` for a deleted resource.
    pub after: Option<Map<String, Value>>,
}

impl Change {
    /// Returns the difference between two states of a resource; `None` if there is none.
    #[must_use]
    pub fn between(resource: Reference, before: Option<Value>, after: Option<Value>) -> Option<Self> {
        let fields = |shown: Option<Value>| match shown {
            Some(Value::Object(mut fields)) => {
                fields.retain(|name, _| !FOLLOWING.contains(&name.as_str()));
                Some(fields)
            }
            _ => None,
        };
        let (mut before, mut after) = (fields(before), fields(after));
        if let (Some(before), Some(after)) = (&mut before, &mut after) {
            let is_same = |(name, old): &(&String, &Value)| *name == TOLD_APART || after.get(*name) == Some(*old);
            let same: Vec<_> = before.iter().filter(is_same).map(|(name, _)| name.clone()).collect();
            for name in same {
                before.remove(&name);
                after.remove(&name);
            }
        }
        let differs = before.as_ref().or(after.as_ref()).is_some_and(|fields| !fields.is_empty());
        differs.then_some(Self { resource_type: resource.kind, resource_id: resource.id, before, after })
    }
}

/// An entry of the audit trail: a write, or an attempt to write.
///
/// The seal is computed from the serde form of the entry, so a changed form looks like an altered entry. Never rename,
/// move or change a field. Add a new field at the end, as an `Option` that is skipped when it is `None`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    pub id: AuditEntryId,
    /// The customer, if the entry concerns one. Derived from the other fields, and not sealed.
    #[serde(skip)]
    pub customer_id: Option<CustomerId>,
    pub occurred_at: DateTime<Utc>,
    /// `api_key:<id>`, `subject:<subject>` or `system`.
    pub actor: String,
    pub role: Role,
    /// `None` for the provider.
    pub reseller_id: Option<ResellerId>,
    /// The IP address of the client, if known.
    pub source_address: Option<String>,
    pub request_id: String,
    /// The `operationId` of the request.
    pub operation: String,
    /// The resource in the path of the request, or else the resource that it created.
    pub resource: Option<(ResourceType, Uuid)>,
    pub outcome: Outcome,
    pub status: i32,
    /// The error code, if the write was refused.
    pub code: Option<String>,
    pub changes: Vec<Change>,
    /// Whether changes or their fields were left out, because they were too many or too large.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changes_truncated: Option<bool>,
}

/// Computes the seal of an entry from the previous seal.
#[must_use]
pub fn seal(previous: &[u8], position: i64, entry: &Entry) -> Vec<u8> {
    let says = serde_json::to_vec(entry).unwrap_or_default();
    let mut hash = Sha256::new();
    hash.update(previous);
    hash.update(position.to_be_bytes());
    hash.update(says);
    hash.finalize().to_vec()
}

/// A position in the chain of seals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The number of sealed entries.
    pub position: i64,
    /// The last seal; empty before the first entry.
    pub seal: Vec<u8>,
}

impl std::fmt::Display for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:", self.position)?;
        self.seal.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The text is not in the form `POSITION:SEAL`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is not POSITION:SEAL as printed by `audit verify`")]
pub struct NotALink;

impl std::str::FromStr for Link {
    type Err = NotALink;

    fn from_str(text: &str) -> Result<Self, NotALink> {
        let (position, seal) = text.split_once(':').ok_or(NotALink)?;
        let digits: Option<Vec<_>> = seal.chars().map(|digit| digit.to_digit(16)).collect();
        let byte = |pair: &[u32]| u8::try_from(pair[0] * 16 + pair[1]).ok();
        let position = position.parse().map_err(|_| NotALink)?;
        // Before the first entry there is no seal.
        let length = if position == 0 { 0 } else { 64 };
        let digits = digits.filter(|digits| position >= 0 && digits.len() == length).ok_or(NotALink)?;
        Ok(Self { position, seal: digits.chunks_exact(2).filter_map(byte).collect() })
    }
}

/// What is wrong with the trail, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    #[error("entry {0} is missing: it was removed")]
    Missing(i64),
    #[error("entry {position} ({id}) does not match its seal: the entry or the seal was altered")]
    Altered { position: i64, id: AuditEntryId },
    /// The seal of an entry differs from a known seal: the chain up to this entry was rewritten.
    #[error(
        "the seal of entry {0} differs from the known seal: the trail up to this entry was altered and sealed again"
    )]
    Rewritten(i64),
    /// The trail ends before a known position.
    #[error("the trail ends at entry {found}, but {expected} entries were sealed: entries at the end were removed")]
    CutOff {
        /// The position at which it ends.
        found: i64,
        /// The known position.
        expected: i64,
    },
}

impl Link {
    /// The position before the first entry.
    #[must_use]
    pub fn start() -> Self {
        Self { position: 0, seal: Vec::new() }
    }

    /// Returns the link for the next entry.
    #[must_use]
    pub fn next(&self, entry: &Entry) -> Self {
        let position = self.position + 1;
        Self { position, seal: seal(&self.seal, position, entry) }
    }

    /// Returns the link for a sealed entry.
    ///
    /// # Errors
    /// The seal does not match the entry.
    pub fn verify(&self, entry: &Entry, sealed: &Self) -> Result<Self, Broken> {
        let next = self.next(entry);
        if sealed.position != next.position {
            return Err(Broken::Missing(next.position));
        }
        if sealed.seal != next.seal {
            return Err(Broken::Altered { position: sealed.position, id: entry.id });
        }
        Ok(next)
    }

    /// Verifies the entries that follow, and returns the last link. `known` are earlier links of the chain; the chain
    /// must still contain them.
    ///
    /// # Errors
    /// An entry is missing or altered, or the chain differs from a known link.
    pub fn follow(self, entries: &[(Entry, Self)], known: &[Self]) -> Result<Self, Broken> {
        entries.iter().try_fold(self, |link, (entry, sealed)| {
            link.check(known)?;
            link.verify(entry, sealed)
        })
    }

    /// Checks that the chain, which ends at this link, reaches all `known` links.
    ///
    /// # Errors
    /// The chain is shorter than a known link, or differs from one.
    pub fn reaches(&self, known: &[Self]) -> Result<(), Broken> {
        self.check(known)?;
        match known.iter().map(|known| known.position).max() {
            Some(expected) if expected > self.position => Err(Broken::CutOff { found: self.position, expected }),
            _ => Ok(()),
        }
    }

    fn check(&self, known: &[Self]) -> Result<(), Broken> {
        let is_other = |known: &Self| known.position == self.position && known.seal != self.seal;
        if known.iter().any(is_other) { Err(Broken::Rewritten(self.position)) } else { Ok(()) }
    }
}

#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// The tenant of the actor.
    pub partner_id: Option<ResellerId>,
    /// `api_key:<id>` or `subject:<subject>`.
    pub actor: Option<String>,
    /// The `operationId`.
    pub operation: Option<String>,
    /// The resource in the path of the request, or a resource that it changed.
    pub resource_id: Option<Uuid>,
    pub request_id: Option<String>,
    /// An empty list means all outcomes.
    pub outcome: Vec<Outcome>,
    /// Inclusive.
    pub occurred_after: Option<DateTime<Utc>>,
    /// Exclusive.
    pub occurred_before: Option<DateTime<Utc>>,
}
