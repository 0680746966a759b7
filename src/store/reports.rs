//! Reports: read-only rows over several tables.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Uuid;
use diesel_async::RunQueryDsl;

use super::columns::Json;
use super::filters::{between, one_of};
use super::fragments::{CostOfSubscription, LinesOfSubscription};
use super::inventory::{LineRow as InventoryLineRow, Lines};
use super::orders::LineRow as OrderLineRow;
use super::page::text_after;
use super::schema::{customers, inventory_lines, order_lines, orders, products, resellers, subscriptions};
use super::{Conn, Error, Result};
use crate::domain::authorization::Scope;
use crate::domain::billing::order::OrderKind;
use crate::domain::id::{CustomerId, ProductId, ResellerId, SubscriptionId};
use crate::domain::listing::{Page, Position, SortValue, Window};
use crate::domain::money::{self, Currency, Money};
use crate::domain::report::{
    Holder, Sold, SubscriptionReportFilter, SubscriptionRow, TransactionReportFilter, TransactionRow,
    UsageReportFilter, UsageRow,
};
use crate::domain::subscription::SubscriptionStatus;
use crate::domain::text::{Code, CompanyName, Line};

#[derive(Queryable, Selectable)]
#[diesel(table_name = customers, check_for_backend(diesel::pg::Pg))]
struct HolderColumns {
    id: CustomerId,
    company_name: CompanyName,
    reseller_id: Option<ResellerId>,
    #[diesel(select_expression = resellers::company_name.nullable())]
    reseller_name: Option<CompanyName>,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = products, check_for_backend(diesel::pg::Pg))]
struct SoldColumns {
    id: ProductId,
    code: Code,
    name: Line,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = subscriptions, check_for_backend(diesel::pg::Pg))]
struct SubscriptionColumns {
    id: SubscriptionId,
    #[diesel(embed)]
    holder: HolderColumns,
    #[diesel(embed)]
    product: SoldColumns,
    currency: Currency,
    status: SubscriptionStatus,
    term_months: i32,
    start_date: NaiveDate,
    end_date: NaiveDate,
    created_at: DateTime<Utc>,
    updated_by: String,
    updated_at: DateTime<Utc>,
    #[diesel(select_expression = LinesOfSubscription)]
    lines: Json<Lines>,
    #[diesel(select_expression = CostOfSubscription)]
    cost: Option<String>,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = orders, check_for_backend(diesel::pg::Pg))]
struct TransactionColumns {
    #[diesel(embed)]
    holder: HolderColumns,
    #[diesel(embed)]
    product: SoldColumns,
    kind: OrderKind,
    currency: Currency,
    confirmed_by: String,
    confirmed_at: DateTime<Utc>,
    #[diesel(embed)]
    line: OrderLineRow,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = subscriptions, check_for_backend(diesel::pg::Pg))]
struct UsageColumns {
    #[diesel(embed)]
    holder: HolderColumns,
    #[diesel(embed)]
    product: SoldColumns,
    status: SubscriptionStatus,
    end_date: NaiveDate,
    #[diesel(embed)]
    line: InventoryLineRow,
}

impl From<HolderColumns> for Holder {
    fn from(columns: HolderColumns) -> Self {
        Self {
            customer_id: columns.id,
            customer_name: columns.company_name,
            reseller_id: columns.reseller_id,
            reseller_name: columns.reseller_name,
        }
    }
}

impl From<SoldColumns> for Sold {
    fn from(columns: SoldColumns) -> Self {
        Self { id: columns.id, code: columns.code, name: columns.name }
    }
}

impl SubscriptionColumns {
    fn into_row(self) -> Result<SubscriptionRow> {
        let corrupt = Error::Corrupt { table: "charges", reason: "a sum of integers is not an integer" };
        let cost = self.cost.as_deref().unwrap_or("0").parse().map_err(|_| corrupt)?;
        Ok(SubscriptionRow {
            id: self.id,
            holder: self.holder.into(),
            product: self.product.into(),
            status: self.status,
            term_months: self.term_months,
            start_date: self.start_date,
            end_date: self.end_date,
            cost: Money { amount: money::in_range(cost)?, currency: self.currency },
            created_at: self.created_at,
            updated_by: self.updated_by,
            updated_at: self.updated_at,
            lines: self.lines.0.0,
        })
    }
}

impl From<TransactionColumns> for TransactionRow {
    fn from(columns: TransactionColumns) -> Self {
        Self {
            order_id: columns.line.order_id,
            position: columns.line.position,
            holder: columns.holder.into(),
            product: columns.product.into(),
            subscription_id: columns.line.subscription_id,
            kind: columns.kind,
            line: columns.line.into_line(columns.currency),
            confirmed_by: columns.confirmed_by,
            confirmed_at: columns.confirmed_at,
        }
    }
}

impl From<UsageColumns> for UsageRow {
    fn from(columns: UsageColumns) -> Self {
        Self {
            subscription_id: columns.line.subscription_id,
            holder: columns.holder.into(),
            product: columns.product.into(),
            status: columns.status,
            end_date: columns.end_date,
            line: columns.line.into(),
        }
    }
}

/// Limits a boxed query over customers to the scope, and by the filters that all reports share.
macro_rules! limited {
    ($query:expr, $scope:expr, $about:expr, $product_id:expr) => {{
        let mut query = $query;
        if let Some(own) = $scope.reseller() {
            query = query.filter(customers::reseller_id.eq(own));
        }
        if let Some(partner_id) = $about.partner_id {
            query = query.filter(customers::reseller_id.eq(partner_id));
        }
        if let Some(customer_id) = $about.customer_id {
            query = query.filter(customers::id.eq(customer_id));
        }
        if let Some(product_id) = $about.product_id {
            query = query.filter($product_id.eq(product_id));
        }
        query
    }};
}

/// Limits a boxed query over subscriptions by state and by the end of the term.
macro_rules! in_state {
    ($query:expr, $filter:expr) => {{
        let mut query = $query;
        query = one_of!(query, subscriptions::status, $filter.status);
        query = between!(query, subscriptions::end_date, $filter.ends_after, $filter.ends_before);
        query
    }};
}

/// The id at the end of the previous page, for a keyset over a join. The condition stands on both sides, although one
/// implies the other: PostgreSQL does not see that, and would read the other table from its beginning for every page.
/// It is a subquery, so that the planner does not know the value. With a known value on both sides, the planner expects
/// very few rows near the end of the list; it would then read and sort all of them for each page.
macro_rules! bound {
    ($id:expr) => {
        sql::<Uuid>("(SELECT ").bind::<Uuid, _>($id).sql(")")
    };
}

/// Lists subscriptions in scope, oldest first.
///
/// # Errors
/// Fails if a cost is out of range, or if the database does.
pub async fn list_subscriptions(
    mut conn: &Conn,
    scope: Scope,
    filter: &SubscriptionReportFilter,
    window: &Window,
) -> Result<Page<SubscriptionRow>> {
    let query = subscriptions::table
        .inner_join(customers::table.left_join(resellers::table))
        .inner_join(products::table)
        .order(subscriptions::id)
        .limit(window.limit + 1)
        .select(SubscriptionColumns::as_select())
        .into_boxed();
    let mut query = in_state!(limited!(query, scope, filter.about, subscriptions::product_id), filter);
    query = between!(query, subscriptions::created_at, filter.ordered_after, filter.ordered_before);
    if let Some(after) = &window.after {
        query = query.filter(subscriptions::id.gt(after.id));
    }
    let rows: Vec<SubscriptionColumns> = query.load(&mut conn).await?;
    let page = Page::cut(rows, window.limit, |row| Position { value: SortValue::Id, id: row.id.0 });
    page.try_map(SubscriptionColumns::into_row)
}

/// Lists order lines in scope: the newest order first, its lines in their order.
pub async fn list_transactions(
    mut conn: &Conn,
    scope: Scope,
    filter: &TransactionReportFilter,
    window: &Window,
) -> Result<Page<TransactionRow>> {
    let (order_id, position) = (order_lines::order_id, order_lines::position);
    let query = order_lines::table
        .inner_join(orders::table.inner_join(customers::table.left_join(resellers::table)))
        .inner_join(products::table)
        .order((order_id.desc(), position))
        .limit(window.limit + 1)
        .select(TransactionColumns::as_select())
        .into_boxed();
    let mut query = limited!(query, scope, filter.about, order_lines::product_id);
    query = one_of!(query, orders::kind, filter.kind);
    query = between!(query, orders::confirmed_at, filter.confirmed_after, filter.confirmed_before);
    if let Some(Position { value: SortValue::Number(last), id }) = window.after {
        query = query.filter(order_id.le(bound!(id)).and(orders::id.le(bound!(id))));
        query = query.filter(order_id.lt(bound!(id)).or(position.gt(last)));
    }
    let rows: Vec<TransactionColumns> = query.load(&mut conn).await?;
    let page = Page::cut(rows, window.limit, |row| Position {
        value: SortValue::Number(row.line.position),
        id: row.line.order_id.0,
    });
    Ok(page.map(TransactionRow::from))
}

/// Lists inventory lines in scope, ordered by subscription and certificate type.
pub async fn list_usage(
    mut conn: &Conn,
    scope: Scope,
    filter: &UsageReportFilter,
    window: &Window,
) -> Result<Page<UsageRow>> {
    let (subscription_id, certificate_type) = (inventory_lines::subscription_id, inventory_lines::certificate_type);
    let query = inventory_lines::table
        .inner_join(
            subscriptions::table.inner_join(customers::table.left_join(resellers::table)).inner_join(products::table),
        )
        .order((subscription_id, certificate_type))
        .limit(window.limit + 1)
        .select(UsageColumns::as_select())
        .into_boxed();
    let mut query = in_state!(limited!(query, scope, filter.about, subscriptions::product_id), filter);
    if let (Some(Position { id, .. }), Some(last)) = (window.after.as_ref(), text_after(window)) {
        query = query.filter(subscription_id.ge(bound!(id)).and(subscriptions::id.ge(bound!(id))));
        query = query.filter(subscription_id.gt(bound!(id)).or(certificate_type.gt(last)));
    }
    let rows: Vec<UsageColumns> = query.load(&mut conn).await?;
    let page = Page::cut(rows, window.limit, |row| Position {
        value: SortValue::Text(row.line.certificate_type.to_string()),
        id: row.line.subscription_id.0,
    });
    Ok(page.map(UsageRow::from))
}
