//! Price lists. A list is visible to the resellers that it is assigned to, and to the resellers of the customers that
//! it is assigned to. Other resellers do not learn that it exists.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use diesel::dsl::{count_star, exists, sql};
use diesel::prelude::*;
use diesel::select;
use diesel::sql_types::{Bool, Text};
use diesel_async::RunQueryDsl;
use tokio::join;

use super::page::{self, fetch, keyset};
use super::rows::{self, record};
use super::run::{Prepared, Statement, Write};
use super::schema::{customers, order_lines, price_list_prices, price_lists, resellers, subscription_terms};
use super::{Conn, Result};
use crate::domain::authorization::Scope;
use crate::domain::catalog::price_list::{Details, ListPrice, Overrides, PriceList, PriceListFilter};
use crate::domain::id::{CustomerId, PriceListId, ProductId, Version};
use crate::domain::listing::{Page, Position, SortValue, Window};
use crate::domain::money::Currency;
use crate::domain::text::{Code, Line, sort_key};

#[derive(Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = price_lists, treat_none_as_default_value = false, check_for_backend(diesel::pg::Pg))]
struct Row {
    id: PriceListId,
    name: Line,
    name_key: String,
    name_key_version: i16,
    currency: Currency,
    version: Version,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = price_list_prices, check_for_backend(diesel::pg::Pg))]
struct PriceRow {
    price_list_id: PriceListId,
    product_id: ProductId,
    certificate_type: Code,
    term_months: i32,
    unit_price: i64,
}

record!(PriceRow in price_list_prices: key(price_list_id, product_id, certificate_type, term_months) fixed()
    rest(unit_price));

impl From<&PriceList> for Row {
    fn from(list: &PriceList) -> Self {
        Self {
            id: list.id,
            name: list.details.name.clone(),
            name_key: sort_key::of(list.details.name.as_str()),
            name_key_version: sort_key::VERSION,
            currency: list.currency,
            version: list.version,
            created_at: list.created_at,
            updated_at: list.updated_at,
        }
    }
}

impl Row {
    fn into_list(self, prices: Vec<PriceRow>) -> PriceList {
        let currency = self.currency;
        let price = |row: PriceRow| ListPrice {
            product_id: row.product_id,
            certificate_type: row.certificate_type,
            term_months: row.term_months,
            currency,
            unit_price: row.unit_price,
        };
        PriceList {
            id: self.id,
            currency,
            details: Details { name: self.name, prices: prices.into_iter().map(price).collect() },
            version: self.version,
            created_at: self.created_at,
            updated_at: self.updated_at,
        }
    }
}

/// The lists in scope; the provider has all lists in scope.
fn ids_in_scope(scope: Scope) -> price_lists::BoxedQuery<'static, diesel::pg::Pg, diesel::sql_types::Uuid> {
    let query = price_lists::table.select(price_lists::id).into_boxed();
    match scope.reseller() {
        None => query,
        Some(own) => {
            let its = resellers::table.filter(resellers::id.eq(own)).select(resellers::price_list_id);
            let customers = customers::table.filter(customers::reseller_id.eq(own)).select(customers::price_list_id);
            let id = price_lists::id.nullable();
            query.filter(id.eq_any(its).or(id.eq_any(customers)))
        }
    }
}

/// Returns a list in scope.
pub async fn find(mut conn: &Conn, scope: Scope, id: PriceListId) -> Result<Option<PriceList>> {
    let prices = price_list_prices::price_list_id.eq(price_lists::id).and(price_list_prices::price_list_id.eq(id));
    let rows: Vec<(Row, Option<PriceRow>)> = price_lists::table
        .left_join(price_list_prices::table.on(prices))
        .filter(price_lists::id.eq(id))
        .filter(price_lists::id.eq_any(ids_in_scope(scope)))
        .order((price_list_prices::product_id, price_list_prices::certificate_type, price_list_prices::term_months))
        .select((Row::as_select(), Option::<PriceRow>::as_select()))
        .load(&mut conn)
        .await?;
    let (mut lists, prices): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
    Ok(lists.pop().map(|row| row.into_list(prices.into_iter().flatten().collect())))
}

/// Returns a list in scope, and locks it for update until the transaction ends.
pub async fn lock(mut conn: &Conn, scope: Scope, id: PriceListId) -> Result<Option<PriceList>> {
    // The filter stands next to the lock, so that a list out of scope is not waited for.
    let lock = price_lists::table
        .find(id)
        .filter(price_lists::id.eq_any(ids_in_scope(scope)))
        .select(price_lists::id)
        .for_update()
        .first::<PriceListId>(&mut conn);
    // Read after the list is locked.
    let (locked, found) = join!(biased; lock, find(conn, scope, id));
    match locked.optional()? {
        Some(_) => found,
        None => Ok(None),
    }
}

/// Lists price lists in scope, ordered by name, each with the number of its prices instead of the prices.
pub async fn list(
    mut conn: &Conn,
    scope: Scope,
    filter: &PriceListFilter,
    window: &Window,
) -> Result<Page<(PriceList, i64)>> {
    let prices = price_list_prices::table.filter(price_list_prices::price_list_id.eq(price_lists::id));
    let mut query =
        price_lists::table.select((Row::as_select(), prices.select(count_star()).single_value())).into_boxed();
    if scope.reseller().is_some() {
        query = query.filter(price_lists::id.eq_any(ids_in_scope(scope)));
    }
    if let Some(q) = &filter.q {
        query = query.filter(price_lists::name_key.like(page::containing(q.as_str())));
    }
    if let Some(currency) = filter.currency {
        query = query.filter(price_lists::currency.eq(currency));
    }
    let query = keyset!(query, price_lists::name_key, price_lists::id, window, page::text_after(window), ascending);
    let rows: Vec<(Row, Option<i64>)> =
        fetch!(conn, query, window, *filter != PriceListFilter::default() || scope.reseller().is_some());
    let position = |(row, _): &(Row, _)| Position { value: SortValue::Text(row.name_key.clone()), id: row.id.0 };
    let page = Page::cut(rows, window.limit, position);
    Ok(page.map(|(row, prices)| (row.into_list(Vec::new()), prices.unwrap_or_default())))
}

/// Inserts a list.
#[must_use]
pub fn insert(list: &PriceList) -> Vec<Write> {
    vec![diesel::insert_into(price_lists::table).values(Row::from(list)).later(), insert_prices(list)]
}

/// Updates a list that was locked.
#[must_use]
pub fn save(list: &PriceList) -> Vec<Write> {
    let prices = price_list_prices::table.filter(price_list_prices::price_list_id.eq(list.id));
    let row = diesel::update(price_lists::table.find(list.id)).set(Row::from(list)).later();
    vec![row, diesel::delete(prices).later(), insert_prices(list)]
}

fn insert_prices(list: &PriceList) -> Write {
    let row = |price: &ListPrice| PriceRow {
        price_list_id: list.id,
        product_id: price.product_id,
        certificate_type: price.certificate_type.clone(),
        term_months: price.term_months,
        unit_price: price.unit_price,
    };
    rows::insert(list.details.prices.iter().map(row))
}

/// Whether a list is assigned, or an order or a term refers to it. Lock the list first, so that this cannot change.
pub async fn is_in_use(mut conn: &Conn, id: PriceListId) -> Result<bool> {
    let query = select(
        exists(customers::table.filter(customers::price_list_id.eq(id)))
            .or(exists(resellers::table.filter(resellers::price_list_id.eq(id))))
            .or(exists(order_lines::table.filter(order_lines::price_list_id.eq(id)))),
    );
    if query.get_result(&mut conn).await? {
        return Ok(true);
    }
    // A term also has the prices of types that have not been ordered yet. This condition reads all terms, so it comes
    // last.
    let is_of_list =
        sql::<Bool>("jsonb_path_exists(unit_prices, '$.*.price_list_id ? (@ == $id)', jsonb_build_object('id', ")
            .bind::<Text, _>(id.to_string())
            .sql("))");
    Ok(Prepared(select(exists(subscription_terms::table.filter(is_of_list)))).get_result(&mut conn).await?)
}

/// Deletes a list that is not in use.
#[must_use]
pub fn delete(id: PriceListId) -> Write {
    diesel::delete(price_lists::table.find(id)).later()
}

/// Returns the price lists of customers, in the order of price resolution: first the list of the customer, then the
/// list of its reseller. Get the customers first: this function takes no scope.
pub async fn assigned(mut conn: &Conn, ids: &[CustomerId]) -> Result<HashMap<CustomerId, Vec<PriceListId>>> {
    let rows: Vec<(CustomerId, Option<PriceListId>, Option<PriceListId>)> = customers::table
        .left_join(resellers::table)
        .filter(customers::id.eq_any(ids))
        .select((customers::id, customers::price_list_id, resellers::price_list_id.nullable()))
        .load(&mut conn)
        .await?;
    let lists = |own: Option<_>, resellers: Option<_>| own.into_iter().chain(resellers).collect();
    Ok(rows.into_iter().map(|(id, own, resellers)| (id, lists(own, resellers))).collect())
}

/// The price lists of a customer: its own, and the list of its reseller.
#[diesel::dsl::auto_type]
fn own_list(customer_id: CustomerId) -> _ {
    customers::table.filter(customers::id.eq(customer_id)).select(customers::price_list_id).single_value()
}

#[diesel::dsl::auto_type]
fn resellers_list(customer_id: CustomerId) -> _ {
    customers::table
        .inner_join(resellers::table)
        .filter(customers::id.eq(customer_id))
        .select(resellers::price_list_id)
        .single_value()
}

/// Locks the price lists of a customer for share until the transaction ends.
pub async fn hold_those_of(mut conn: &Conn, customer_id: CustomerId) -> Result<()> {
    let id = price_lists::id.nullable();
    let query = price_lists::table.filter(id.eq(own_list(customer_id)).or(id.eq(resellers_list(customer_id))));
    query.order(price_lists::id).select(price_lists::id).for_share().load::<PriceListId>(&mut conn).await?;
    Ok(())
}

/// Locks the price lists of customers for share until the transaction ends.
pub async fn hold_assigned(mut conn: &Conn, ids: &[CustomerId]) -> Result<()> {
    let own = customers::table.filter(customers::id.eq_any(ids)).select(customers::price_list_id);
    let theirs = customers::table
        .inner_join(resellers::table)
        .filter(customers::id.eq_any(ids))
        .select(resellers::price_list_id);
    let id = price_lists::id.nullable();
    let query = price_lists::table.filter(id.eq_any(own).or(id.eq_any(theirs))).order(price_lists::id);
    query.select(price_lists::id).for_share().load::<PriceListId>(&mut conn).await?;
    Ok(())
}

/// Returns the prices of products in the lists of a customer, in the order of price resolution: first the list of the
/// customer, then the list of its reseller. Get the customer first: this function takes no scope.
pub async fn of_customer(
    mut conn: &Conn,
    customer_id: CustomerId,
    product_ids: &[ProductId],
) -> Result<Vec<Overrides>> {
    let id = price_list_prices::price_list_id.nullable();
    let is_own = id.is_not_distinct_from(own_list(customer_id));
    let mut query = price_list_prices::table
        .inner_join(price_lists::table)
        .filter(id.eq(own_list(customer_id)).or(id.eq(resellers_list(customer_id))))
        .select((is_own, price_lists::currency, PriceRow::as_select()))
        .into_boxed();
    query = match product_ids {
        [one] => query.filter(price_list_prices::product_id.eq(one)),
        several => query.filter(price_list_prices::product_id.eq_any(several)),
    };
    let rows: Vec<(bool, Currency, PriceRow)> = query.load(&mut conn).await?;
    let (own, theirs): (Vec<_>, Vec<_>) = rows.into_iter().partition(|(is_own, ..)| *is_own);
    let lists = [own, theirs].map(|rows| overrides_of(rows.into_iter().map(|(_, currency, row)| (currency, row))));
    Ok(lists.into_iter().flat_map(BTreeMap::into_values).collect())
}

/// Locks a list for share until the transaction ends.
pub async fn keep(mut conn: &Conn, id: PriceListId) -> Result<()> {
    let query = price_lists::table.find(id).select(price_lists::id).for_share();
    query.load::<PriceListId>(&mut conn).await?;
    Ok(())
}

/// Returns the prices of products in some lists.
pub async fn overrides(
    mut conn: &Conn,
    ids: &BTreeSet<PriceListId>,
    product_ids: &[ProductId],
) -> Result<BTreeMap<PriceListId, Overrides>> {
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let rows: Vec<(Currency, PriceRow)> = price_list_prices::table
        .inner_join(price_lists::table)
        .filter(price_list_prices::price_list_id.eq_any(ids))
        .filter(price_list_prices::product_id.eq_any(product_ids))
        .select((price_lists::currency, PriceRow::as_select()))
        .load(&mut conn)
        .await?;
    Ok(overrides_of(rows))
}

fn overrides_of(rows: impl IntoIterator<Item = (Currency, PriceRow)>) -> BTreeMap<PriceListId, Overrides> {
    let mut found = BTreeMap::new();
    for (currency, row) in rows {
        let PriceRow { price_list_id, product_id, certificate_type, term_months, unit_price } = row;
        let empty = || Overrides { price_list_id, currency, unit_prices: BTreeMap::new() };
        let list = found.entry(price_list_id).or_insert_with(empty);
        list.unit_prices.insert((product_id, certificate_type, term_months), unit_price);
    }
    found
}
