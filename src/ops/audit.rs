//! The audit trail: reading it, sealing it, and finding what was altered or removed.

use super::{Context, Error, Named, Result};
use crate::db::Db;
use crate::domain::audit::{Broken, Entry, Link};
use crate::domain::listing::{AuditFilter, Page, Reading, Window, json_size};
use crate::store::Conn;
use crate::store::audit::{self, Sealed};

/// How many entries are sealed, or verified, at once.
const BATCH: i64 = 500;

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The end of the chain: keep it elsewhere, and a later verification finds what was removed at the end.
    pub end: Link,
    /// How many entries are yet to be sealed.
    pub open: i64,
}

/// What somebody in the tenant wrote or tried to, newest first.
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

/// Seals what was written since, so that writes never wait for each other's seals. Answers how many entries that
/// were; whoever does so at the same time leaves it to this one.
///
/// # Errors
/// The database fails: what was sealed by then stands.
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

/// Goes through the whole trail, which may be written and sealed meanwhile. `expected` is an end that is known from
/// before, if any is.
///
/// # Errors
/// The database fails; what is wrong with the trail is in the answer.
pub async fn verify(db: &Db, expected: Option<&Link>) -> Result<std::result::Result<Verified, Broken>> {
    // Asked first: the entries that are read after it go at least as far.
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
