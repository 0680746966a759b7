//! The audit trail: who wrote what, and who tried. Each entry is sealed with a hash over what it says and the seal
//! before, so that one that is altered or removed later is found.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::access::Role;
use super::event::{Reference, ResourceType};
use super::id::{AuditEntryId, CustomerId, ResellerId};
use super::label::label;
use super::listing::json_size;

label! {
    /// How a write ended: `succeeded`, or `refused`: nothing was written, and `code` says why. Expect more values.
    Outcome {
        /// It was done.
        Succeeded = "succeeded",
        /// It was not; nothing was written.
        Refused = "refused",
    }
}

/// Fields that say nothing of what was done: they follow from it.
const FOLLOWING: &[&str] = &["actions", "updated_at"];

/// A field of which a change is told as that of a resource of its own.
const TOLD_APART: &str = "inventory";

/// The most changes that an entry lists.
pub const MAX_CHANGES: usize = 500;

/// The most bytes of changed fields that an entry has.
pub const MAX_CHANGED_BYTES: usize = 64 << 10;

/// Cuts changes down to what an entry may have, and answers whether anything was left out: fields that do not fit, and
/// changes beyond [`MAX_CHANGES`]. Which resources changed stays.
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

/// What became of a resource. It is a part of what is sealed: see [`Entry`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Its kind.
    pub resource_type: ResourceType,
    /// Its id.
    pub resource_id: Uuid,
    /// The fields that changed, as they were; `None` when it is new.
    pub before: Option<Map<String, Value>>,
    /// The same fields as they are; `None` when it is gone.
    pub after: Option<Map<String, Value>>,
}

impl Change {
    /// What is different; `None` when nothing is.
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

/// That somebody wrote, or tried to.
///
/// It is sealed as serde writes it, and an entry whose form changes later is one that was altered. So no field ever gets
/// another name, place or form; one that is added comes last, as an `Option` that is skipped when it is `None`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Its id.
    pub id: AuditEntryId,
    /// About which customer, if it is about one. That follows from what it says, and is not sealed.
    #[serde(skip)]
    pub customer_id: Option<CustomerId>,
    /// When.
    pub occurred_at: DateTime<Utc>,
    /// Who: `api_key:<id>`, `subject:<subject>` or `system`.
    pub actor: String,
    /// As what.
    pub role: Role,
    /// For which reseller; `None` for the partner.
    pub reseller_id: Option<ResellerId>,
    /// From where: an IP address, where there is any.
    pub source_address: Option<String>,
    /// In which request.
    pub request_id: String,
    /// What was to be done: an operation's id.
    pub operation: String,
    /// With what.
    pub resource: Option<(ResourceType, Uuid)>,
    /// How it ended.
    pub outcome: Outcome,
    /// The HTTP status.
    pub status: i32,
    /// Why it was refused.
    pub code: Option<String>,
    /// What became of which resource.
    pub changes: Vec<Change>,
    /// Whether changes or fields of them were left out, as they were too many or too large.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changes_truncated: Option<bool>,
}

/// The seal of an entry behind another.
#[must_use]
pub fn seal(previous: &[u8], position: i64, entry: &Entry) -> Vec<u8> {
    // Serializing plain data cannot fail.
    let says = serde_json::to_vec(entry).unwrap_or_default();
    let mut hash = Sha256::new();
    hash.update(previous);
    hash.update(position.to_be_bytes());
    hash.update(says);
    hash.finalize().to_vec()
}

/// Where a chain of seals is: the position of the last, from 0, and the seal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// How many entries are sealed.
    pub position: i64,
    /// The last seal; empty before the first.
    pub seal: Vec<u8>,
}

impl std::fmt::Display for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:", self.position)?;
        self.seal.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The text is no link.
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
    /// An entry is gone.
    #[error("entry {0} is missing: it was removed")]
    Missing(i64),
    /// An entry is not what it was.
    #[error("entry {position} ({id}) does not match its seal: the entry or the seal was altered")]
    Altered {
        /// Its place.
        position: i64,
        /// Its id.
        id: AuditEntryId,
    },
    /// An entry has another seal than is known: the chain up to there is not the one that it was.
    #[error(
        "the seal of entry {0} differs from the known seal: the trail up to this entry was altered and sealed again"
    )]
    Rewritten(i64),
    /// The end is not the one that is known.
    #[error("the trail ends at entry {found}, but {expected} entries were sealed: entries at the end were removed")]
    CutOff {
        /// Where it ends.
        found: i64,
        /// Where it ended once.
        expected: i64,
    },
}

impl Link {
    /// Before the first entry.
    #[must_use]
    pub fn start() -> Self {
        Self { position: 0, seal: Vec::new() }
    }

    /// The link behind an entry that is to be sealed.
    #[must_use]
    pub fn next(&self, entry: &Entry) -> Self {
        let position = self.position + 1;
        Self { position, seal: seal(&self.seal, position, entry) }
    }

    /// The link behind an entry that is said to have been sealed so.
    ///
    /// # Errors
    /// It was not.
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

    /// The link behind entries that follow. `known` are links that the chain had at some time: where it passes them,
    /// it has them still.
    ///
    /// # Errors
    /// Something is wrong with an entry, or the chain is not the one that is known.
    pub fn follow(self, entries: &[(Entry, Self)], known: &[Self]) -> Result<Self, Broken> {
        entries.iter().try_fold(self, |link, (entry, sealed)| {
            link.check(known)?;
            link.verify(entry, sealed)
        })
    }

    /// Takes this for the end of the chain, which has to reach the links that are `known`.
    ///
    /// # Errors
    /// It does not, or the chain is not the one that is known.
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
