//! Inventory lines, and the ledger of all their changes.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::rows::{self, record};
use super::run::Write;
use super::schema::{inventory_ledger, inventory_lines};
use super::{Conn, Result};
use crate::domain::id::{AllocationId, CustomerId, LedgerEntryId, OrderId, SubscriptionId};
use crate::domain::listing::{Page, Position, SortValue, Window};
use crate::domain::subscription::Subscription;
use crate::domain::subscription::inventory::{Entry, Line, Measure, Movement, movements};
use crate::domain::text::Code;
use crate::platform::clock::Clock;

/// The cause of a change, which is part of every ledger entry.
pub struct Cause<'a> {
    pub order: Option<OrderId>,
    pub allocation: Option<AllocationId>,
    pub actor: String,
    pub at: DateTime<Utc>,
    /// Creates the ids of the entries.
    pub clock: &'a Clock,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = inventory_lines, check_for_backend(diesel::pg::Pg))]
pub(super) struct LineRow {
    customer_id: CustomerId,
    pub(super) subscription_id: SubscriptionId,
    pub(super) certificate_type: Code,
    current: i32,
    renewal: Option<i32>,
    used: i32,
    low_threshold: Option<i32>,
}

record!(LineRow in inventory_lines: key(subscription_id, certificate_type) fixed(customer_id)
    rest(current, renewal, used, low_threshold));

/// A new ledger entry. It gets the next number of its subscription, which must be locked or new.
struct NewEntry {
    customer_id: CustomerId,
    subscription_id: SubscriptionId,
    id: LedgerEntryId,
    certificate_type: Code,
    measure: Measure,
    before: Option<i32>,
    after: Option<i32>,
    order_id: Option<OrderId>,
    allocation_id: Option<AllocationId>,
    actor: String,
    occurred_at: DateTime<Utc>,
}

record!(NewEntry in inventory_ledger: key(id) fixed(customer_id, subscription_id)
    rest(certificate_type, measure, before, after, order_id, allocation_id, actor, occurred_at));

const INSERT_ENTRIES: &str = "\
    INSERT INTO inventory_ledger (customer_id, subscription_id, number, id, certificate_type, measure, before, after, \
        order_id, allocation_id, actor, occurred_at) \
    SELECT customer_id, subscription_id, \
        (SELECT coalesce(max(number), 0) FROM inventory_ledger WHERE subscription_id = new.subscription_id) \
            + row_number() OVER (PARTITION BY subscription_id ORDER BY place), \
        id, certificate_type, measure, before, after, order_id, allocation_id, actor, occurred_at \
    FROM $rows";

#[derive(Queryable, Selectable)]
#[diesel(table_name = inventory_ledger, check_for_backend(diesel::pg::Pg))]
struct EntryRow {
    id: LedgerEntryId,
    certificate_type: Code,
    measure: Measure,
    before: Option<i32>,
    after: Option<i32>,
    order_id: Option<OrderId>,
    allocation_id: Option<AllocationId>,
    actor: String,
    occurred_at: DateTime<Utc>,
}

impl EntryRow {
    fn into_movement(self) -> Movement {
        let Self { certificate_type, measure, before, after, .. } = self;
        Movement { certificate_type, measure, before, after }
    }
}

impl From<LineRow> for Line {
    fn from(row: LineRow) -> Self {
        let LineRow { customer_id: _, subscription_id: _, certificate_type, current, renewal, used, low_threshold } =
            row;
        Self { certificate_type, current, renewal, used, low_threshold }
    }
}

/// A line, in the format of `LinesOfSubscription`.
type LineJson = (Code, i32, Option<i32>, i32, Option<i32>);

/// The lines that were read together with their subscription.
#[derive(Debug, serde::Deserialize)]
#[serde(from = "Vec<LineJson>")]
pub(super) struct Lines(pub(super) Vec<Line>);

impl From<Vec<LineJson>> for Lines {
    fn from(lines: Vec<LineJson>) -> Self {
        let line = |(certificate_type, current, renewal, used, low_threshold)| Line {
            certificate_type,
            current,
            renewal,
            used,
            low_threshold,
        };
        Self(lines.into_iter().map(line).collect())
    }
}

/// Writes the lines that differ, and a ledger entry for each number that differs.
pub(super) fn save(subscription: &Subscription, before: &[Line], cause: &Cause<'_>) -> [Write; 2] {
    let (subscription_id, customer_id) = (subscription.id, subscription.customer_id);
    let changed = subscription.lines.iter().filter(|line| !before.contains(line)).map(|line| LineRow {
        customer_id,
        subscription_id,
        certificate_type: line.certificate_type.clone(),
        current: line.current,
        renewal: line.renewal,
        used: line.used,
        low_threshold: line.low_threshold,
    });
    // A threshold is a setting, so its changes are not in the ledger.
    let entries = movements(before, &subscription.lines).into_iter().map(|movement| NewEntry {
        customer_id,
        subscription_id,
        id: LedgerEntryId(cause.clock.new_id_of(customer_id)),
        certificate_type: movement.certificate_type,
        measure: movement.measure,
        before: movement.before,
        after: movement.after,
        order_id: cause.order,
        allocation_id: cause.allocation,
        actor: cause.actor.clone(),
        occurred_at: cause.at,
    });
    [rows::upsert(changed), rows::own(INSERT_ENTRIES, entries)]
}

/// Returns the last movement of each certificate type and measure of a subscription, up to an instant. Get the
/// subscription first: this function takes no scope.
pub async fn last_movements(mut conn: &Conn, id: SubscriptionId, at: DateTime<Utc>) -> Result<Vec<Movement>> {
    let rows: Vec<EntryRow> = inventory_ledger::table
        .filter(inventory_ledger::subscription_id.eq(id))
        .filter(inventory_ledger::occurred_at.le(at))
        .distinct_on((inventory_ledger::certificate_type, inventory_ledger::measure))
        .order((inventory_ledger::certificate_type, inventory_ledger::measure, inventory_ledger::number.desc()))
        .select(EntryRow::as_select())
        .load(&mut conn)
        .await?;
    Ok(rows.into_iter().map(EntryRow::into_movement).collect())
}

/// Lists the ledger of a subscription, newest first. Get the subscription first: this function takes no scope.
pub async fn ledger(mut conn: &Conn, id: SubscriptionId, window: &Window) -> Result<Page<Entry>> {
    let mut query = inventory_ledger::table
        .filter(inventory_ledger::subscription_id.eq(id))
        .order(inventory_ledger::number.desc())
        .limit(window.limit + 1)
        .select(EntryRow::as_select())
        .into_boxed();
    if let Some(after) = &window.after {
        let last = diesel::alias!(inventory_ledger as last);
        let number = last.filter(last.field(inventory_ledger::id).eq(after.id));
        let number = number.filter(last.field(inventory_ledger::subscription_id).eq(id));
        let number = number.select(last.field(inventory_ledger::number));
        query = query.filter(inventory_ledger::number.nullable().lt(number.single_value()));
    }
    let rows: Vec<EntryRow> = query.load(&mut conn).await?;
    let page = Page::cut(rows, window.limit, |row| Position { value: SortValue::Id, id: row.id.0 });
    Ok(page.map(|row| Entry {
        id: row.id,
        order_id: row.order_id,
        allocation_id: row.allocation_id,
        actor: row.actor.clone(),
        occurred_at: row.occurred_at,
        movement: row.into_movement(),
    }))
}
