//! Orders with their lines, and charges. Orders are never changed.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::dsl::count_star;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use tokio::try_join;

use super::columns::Json;
use super::customers::visible;
use super::filters::{between, one_of};
use super::page;
use super::rows::{self, record};
use super::run::Write;
use super::schema::{charges, customers, order_lines, orders};
use super::{Conn, Result};
use crate::domain::authorization::Scope;
use crate::domain::billing::order::{
    Bucket, Charge, ChargeFilter, ChargeStatus, Order, OrderFilter, OrderKind, OrderLine,
};
use crate::domain::billing::proration::Calculation;
use crate::domain::id::{ChargeId, CustomerId, InvoiceId, OrderId, PriceListId, ProductId, SubscriptionId};
use crate::domain::listing::{Page, Position, SortValue, Window};
use crate::domain::money::{Currency, Money};
use crate::domain::text::Code;

#[derive(Queryable, Selectable)]
#[diesel(table_name = orders, check_for_backend(diesel::pg::Pg))]
struct Row {
    id: OrderId,
    kind: OrderKind,
    customer_id: CustomerId,
    total: i64,
    currency: Currency,
    confirmed_by: String,
    confirmed_at: DateTime<Utc>,
}

record!(Row in orders: key(id) fixed(customer_id) rest(kind, total, currency, confirmed_by, confirmed_at));

#[derive(Queryable, Selectable)]
#[diesel(table_name = order_lines, check_for_backend(diesel::pg::Pg))]
pub(super) struct LineRow {
    customer_id: CustomerId,
    pub(super) order_id: OrderId,
    pub(super) position: i32,
    pub(super) subscription_id: SubscriptionId,
    subscription_index: Option<i32>,
    product_id: ProductId,
    certificate_type: Code,
    bucket: Bucket,
    quantity_before: Option<i32>,
    quantity_after: Option<i32>,
    calculation: Option<Json<Calculation>>,
    amount: i64,
    due_date: NaiveDate,
    price_list_id: Option<PriceListId>,
}

record!(LineRow in order_lines: key(order_id, position) fixed(customer_id)
    rest(subscription_id, subscription_index, product_id, certificate_type, bucket, quantity_before, quantity_after,
        calculation, amount, due_date, price_list_id));

#[derive(Queryable, Selectable)]
#[diesel(table_name = charges, check_for_backend(diesel::pg::Pg))]
pub(super) struct ChargeRow {
    id: ChargeId,
    order_id: OrderId,
    customer_id: CustomerId,
    subscription_id: SubscriptionId,
    certificate_type: Code,
    calculation: Json<Calculation>,
    amount: i64,
    currency: Currency,
    due_date: NaiveDate,
    status: ChargeStatus,
    invoice_id: Option<InvoiceId>,
}

record!(ChargeRow in charges: key(id) fixed(customer_id)
    rest(order_id, subscription_id, certificate_type, calculation, amount, currency, due_date, status, invoice_id));

/// The new state of a charge.
struct Fate {
    id: ChargeId,
    status: ChargeStatus,
    invoice_id: Option<InvoiceId>,
}

record!(Fate in charges: key(id) fixed() rest(status, invoice_id));

impl LineRow {
    fn new(order: &Order, position: usize, line: &OrderLine) -> Option<Self> {
        Some(Self {
            customer_id: order.customer_id,
            order_id: order.id,
            position: i32::try_from(position).ok()?,
            subscription_id: line.subscription_id?,
            subscription_index: line.subscription_index,
            product_id: line.product_id,
            certificate_type: line.certificate_type.clone(),
            bucket: line.bucket,
            quantity_before: line.quantity_before,
            quantity_after: line.quantity_after,
            calculation: line.calculation.map(Json),
            amount: line.amount.amount,
            due_date: line.due_date,
            price_list_id: line.price_list_id,
        })
    }

    pub(super) fn into_line(self, currency: Currency) -> OrderLine {
        OrderLine {
            subscription_id: Some(self.subscription_id),
            subscription_index: self.subscription_index,
            product_id: self.product_id,
            certificate_type: self.certificate_type,
            bucket: self.bucket,
            quantity_before: self.quantity_before,
            quantity_after: self.quantity_after,
            calculation: self.calculation.map(|Json(calculation)| calculation),
            price_list_id: self.price_list_id,
            amount: Money { amount: self.amount, currency },
            due_date: self.due_date,
        }
    }
}

impl Row {
    fn into_order(self, lines: Vec<LineRow>) -> Order {
        let currency = self.currency;
        Order {
            id: self.id,
            kind: self.kind,
            customer_id: self.customer_id,
            lines: lines.into_iter().map(|line| line.into_line(currency)).collect(),
            total: Money { amount: self.total, currency },
            confirmed_by: self.confirmed_by,
            confirmed_at: self.confirmed_at,
        }
    }
}

impl From<ChargeRow> for Charge {
    fn from(row: ChargeRow) -> Self {
        Self {
            id: row.id,
            order_id: row.order_id,
            customer_id: row.customer_id,
            subscription_id: row.subscription_id,
            certificate_type: row.certificate_type,
            calculation: row.calculation.0,
            amount: Money { amount: row.amount, currency: row.currency },
            due_date: row.due_date,
            status: row.status,
            invoice_id: row.invoice_id,
        }
    }
}

/// Inserts an order, without its lines.
#[must_use]
pub fn insert(order: &Order) -> Write {
    let row = Row {
        id: order.id,
        kind: order.kind,
        customer_id: order.customer_id,
        total: order.total.amount,
        currency: order.total.currency,
        confirmed_by: order.confirmed_by.clone(),
        confirmed_at: order.confirmed_at,
    };
    rows::insert([row])
}

/// Inserts the lines of an order and its charges. Their subscriptions must exist.
#[must_use]
pub fn insert_lines(order: &Order, new_charges: &[Charge]) -> [Write; 2] {
    let lines = order.lines.iter().enumerate();
    let lines = lines.filter_map(|(position, line)| LineRow::new(order, position, line));
    let charges = new_charges.iter().map(|charge| ChargeRow {
        id: charge.id,
        order_id: charge.order_id,
        customer_id: charge.customer_id,
        subscription_id: charge.subscription_id,
        certificate_type: charge.certificate_type.clone(),
        calculation: Json(charge.calculation),
        amount: charge.amount.amount,
        currency: charge.amount.currency,
        due_date: charge.due_date,
        status: charge.status,
        invoice_id: charge.invoice_id,
    });
    [rows::insert(lines), rows::insert(charges)]
}

/// Returns an order in scope.
pub async fn find(mut conn: &Conn, scope: Scope, id: OrderId) -> Result<Option<Order>> {
    let lines = order_lines::order_id.eq(orders::id).and(order_lines::order_id.eq(id));
    let query = orders::table
        .left_join(order_lines::table.on(lines))
        .filter(orders::id.eq(id))
        .order(order_lines::position)
        .select((Row::as_select(), Option::<LineRow>::as_select()))
        .into_boxed();
    let rows: Vec<(Row, Option<LineRow>)> = visible!(query, orders::customer_id, scope).load(&mut conn).await?;
    let (mut orders, lines): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
    Ok(orders.pop().map(|order| order.into_order(lines.into_iter().flatten().collect())))
}

/// Counts the orders of a kind that a customer has. Lock the customer first, so that the number cannot change.
pub async fn count(mut conn: &Conn, customer_id: CustomerId, kind: OrderKind) -> Result<i64> {
    let query = orders::table.filter(orders::customer_id.eq(customer_id)).filter(orders::kind.eq(kind));
    Ok(query.count().get_result(&mut conn).await?)
}

/// Lists orders in scope, newest first, each with the number of its lines instead of the lines.
pub async fn list(mut conn: &Conn, scope: Scope, filter: &OrderFilter, window: &Window) -> Result<Page<(Order, i64)>> {
    let lines = order_lines::table.filter(order_lines::order_id.eq(orders::id)).select(count_star());
    let mut query = orders::table
        .order(orders::id.desc())
        .limit(window.limit + 1)
        .select((Row::as_select(), lines.single_value()))
        .into_boxed();
    query = visible!(query, orders::customer_id, scope);
    if let Some(customer_id) = filter.customer_id {
        query = query.filter(orders::customer_id.eq(customer_id));
    }
    if let Some(subscription_id) = filter.subscription_id {
        let about = order_lines::table.filter(order_lines::subscription_id.eq(subscription_id));
        query = query.filter(orders::id.eq_any(about.select(order_lines::order_id)));
    }
    query = one_of!(query, orders::kind, filter.kind);
    query = between!(query, orders::confirmed_at, filter.confirmed_after, filter.confirmed_before);
    if let Some(after) = &window.after {
        query = query.filter(orders::id.lt(after.id));
    }
    let rows: Vec<(Row, Option<i64>)> = query.load(&mut conn).await?;
    let page = Page::cut(rows, window.limit, |(row, _)| Position { value: SortValue::Id, id: row.id.0 });
    Ok(page.map(|(row, lines)| (row.into_order(Vec::new()), lines.unwrap_or_default())))
}

/// Lists the lines of an order in scope, in order; `None` if the order does not exist.
pub async fn lines(mut conn: &Conn, scope: Scope, id: OrderId, window: &Window) -> Result<Option<Page<OrderLine>>> {
    let order = async {
        let query = orders::table.filter(orders::id.eq(id)).select(orders::currency).into_boxed();
        visible!(query, orders::customer_id, scope).first::<Currency>(&mut &*conn).await.optional()
    };
    let mut query = order_lines::table
        .filter(order_lines::order_id.eq(id))
        .order(order_lines::position)
        .limit(window.limit + 1)
        .select(LineRow::as_select())
        .into_boxed();
    if let Some(after) = page::number_after(window) {
        query = query.filter(order_lines::position.gt(after));
    }
    let (currency, lines) = try_join!(biased; order, query.load::<LineRow>(&mut conn))?;
    let position = |line: &LineRow| Position { value: SortValue::Number(line.position), id: id.0 };
    let page = Page::cut(lines, window.limit, position);
    Ok(currency.map(|currency| page.map(|line| line.into_line(currency))))
}

/// Lists charges in scope, newest first.
pub async fn list_charges(
    mut conn: &Conn,
    scope: Scope,
    filter: &ChargeFilter,
    window: &Window,
) -> Result<Page<Charge>> {
    let mut query =
        charges::table.order(charges::id.desc()).limit(window.limit + 1).select(ChargeRow::as_select()).into_boxed();
    query = visible!(query, charges::customer_id, scope);
    if let Some(customer_id) = filter.customer_id {
        query = query.filter(charges::customer_id.eq(customer_id));
    }
    if let Some(partner_id) = filter.partner_id {
        let managed = customers::table.filter(customers::reseller_id.eq(partner_id)).select(customers::id);
        query = query.filter(charges::customer_id.eq_any(managed));
    }
    query = one_of!(query, charges::status, filter.status);
    query = between!(query, charges::due_date, filter.due_after, filter.due_before);
    if let Some(after) = &window.after {
        query = query.filter(charges::id.lt(after.id));
    }
    let rows: Vec<ChargeRow> = query.load(&mut conn).await?;
    let page = Page::cut(rows, window.limit, |row| Position { value: SortValue::Id, id: row.id.0 });
    Ok(page.map(Charge::from))
}

/// Returns the pending charges of a subscription that was locked, and locks them until the transaction ends.
pub async fn lock_pending_charges(mut conn: &Conn, id: SubscriptionId) -> Result<Vec<Charge>> {
    // In the same order as invoice runs, to avoid deadlocks.
    let query = charges::table
        .filter(charges::subscription_id.eq(id))
        .filter(charges::status.eq(ChargeStatus::Pending))
        .order(charges::id)
        .select(ChargeRow::as_select());
    let rows: Vec<ChargeRow> = query.for_update().load(&mut conn).await?;
    Ok(rows.into_iter().map(Charge::from).collect())
}

/// Updates charges that were locked: their state, and the invoice that they are on.
#[must_use]
pub fn save_charges<'a>(
    charges: impl IntoIterator<Item = &'a Charge>,
    status: ChargeStatus,
    on: Option<InvoiceId>,
) -> Write {
    rows::update(charges.into_iter().map(|charge| Fate { id: charge.id, status, invoice_id: on }))
}
