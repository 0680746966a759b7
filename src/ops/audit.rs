//! Lists, seals and verifies the audit trail. The verification detects entries that were altered or removed.

use super::{Context, Error, Named, Result};
use crate::domain::events::audit::{AuditFilter, Broken, Entry, Link};
use crate::domain::listing::{Page, Reading, Window, json_size};
use crate::platform::db::Db;
use crate::store::Conn;
use crate::store::audit::{self, Sealed};

/// The number of entries that are sealed or verified at once.
const BATCH: i64 = 500;

/// The result of a successful verification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The end of the chain. Keep it elsewhere: with it, a later verification detects entries that were removed from
    /// the end.
    pub end: Link,
    /// The number of entries that are not sealed yet.
    pub open: i64,
}

/// Lists the audit entries of the tenant, newest first: successful and rejected writes.
///
/// # Errors
/// The filter names a resource that does not exist.
pub async fn list(cx: &Context, filter: &AuditFilter, window: &Window) -> Result<Page<Entry>> {
    let named = [("partner_id", Named::Reseller(filter.partner_id))];
    let (mut page, mut reading) = (Page::empty(), Reading::new(window.limit));
    let mut after = window.after.clone();
    while let Some(limit) = reading.next() {
        let window = Window { limit, after };
        let list =
            async |conn: &Conn| cx.checked(conn, &named, audit::list(conn, cx.actor.scope, filter, &window)).await;
        let part = cx.db.statement(list).await?;
        reading.note(part.rows.iter().map(|entry| json_size(&entry.changes)));
        after = part.next.clone();
        page = page.then(part);
        if after.is_none() {
            break;
        }
    }
    Ok(page)
}

/// Seals the entries that are not sealed yet, and returns their number. Sealing is separate from writing, so that
/// writes do not wait for each other. If another instance is already sealing, this one seals nothing.
///
/// # Errors
/// The database fails. Entries that were sealed before stay sealed.
pub async fn seal(db: &Db) -> Result<usize> {
    let mut sealed = 0;
    loop {
        let batch = db.transaction(async |tx| seal_batch(tx).await).await?;
        sealed += batch;
        if i64::try_from(batch) != Ok(BATCH) {
            return Ok(sealed);
        }
    }
}

async fn seal_batch(tx: &Conn) -> Result<usize> {
    let Some(mut end) = audit::lock_end(tx).await? else { return Ok(0) };
    let mut links = Vec::new();
    for (seq, entry) in audit::open_entries(tx, BATCH).await? {
        end = end.next(&entry);
        links.push(Sealed { seq, id: entry.id, link: end.clone() });
    }
    audit::seal(tx, &links).await?;
    Ok(links.len())
}

/// Verifies the whole trail. Entries may be written and sealed in the meantime. `expected` is an end that was kept from
/// an earlier verification.
///
/// # Errors
/// The database fails. Defects of the trail are in the returned value.
pub async fn verify(db: &Db, expected: Option<&Link>) -> Result<std::result::Result<Verified, Broken>> {
    // The end is read first. The entries are read later, so they include all entries up to this end.
    let end = db.statement(async |conn: &Conn| Ok::<_, Error>(audit::end(conn).await?)).await?;
    let known: Vec<_> = expected.into_iter().cloned().chain([end]).collect();
    let mut link = Link::start();
    loop {
        let read = async |conn: &Conn| Ok::<_, Error>(audit::sealed_entries(conn, link.position, BATCH).await?);
        let entries = db.statement(read).await?;
        link = match link.follow(&entries, &known) {
            Ok(link) => link,
            Err(broken) => return Ok(Err(broken)),
        };
        if i64::try_from(entries.len()) != Ok(BATCH) {
            break;
        }
    }
    let open = db.statement(async |conn: &Conn| Ok::<_, Error>(audit::count_open(conn).await?)).await?;
    Ok(link.reaches(&known).map(|()| Verified { end: link, open }))
}
