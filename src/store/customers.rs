use chrono::{DateTime, NaiveDate, Utc};
use diesel::dsl::{count_star, min};
use diesel::prelude::*;
use diesel::sql_types::Bool;
use diesel_async::RunQueryDsl;

use super::columns::Json;
use super::filters::{between, one_of};
use super::page::{self, company_keyset, fetch, keyset};
use super::run::{Statement, Write};
use super::schema::{customers, orders, subscriptions};
use super::{Conn, Error, Result};
use crate::domain::authorization::Scope;
use crate::domain::id::{CustomerId, PriceListId, ResellerId, Version};
use crate::domain::listing::{Page, Window};
use crate::domain::money::Currency;
use crate::domain::parties::company::{Address, Company, CompanySort, Contact};
use crate::domain::parties::customer::{
    Administration, AdministrationKind, Customer, CustomerFilter, CustomerStatus, Holdings,
};
use crate::domain::subscription::SubscriptionStatus;
use crate::domain::text::{CompanyName, Email, ExternalId, sort_key};

const OPEN: [SubscriptionStatus; 3] =
    [SubscriptionStatus::Pending, SubscriptionStatus::Active, SubscriptionStatus::Suspended];

#[derive(Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = customers, treat_none_as_default_value = false, treat_none_as_null = true, check_for_backend(diesel::pg::Pg))]
struct Row {
    id: CustomerId,
    company_name: CompanyName,
    name_key: String,
    name_key_version: i16,
    address: Json<Address>,
    contact: Option<Json<Contact>>,
    external_id: Option<ExternalId>,
    reseller_id: Option<ResellerId>,
    administration: AdministrationKind,
    admin_email: Option<Email>,
    currency: Currency,
    status: CustomerStatus,
    version: Version,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    price_list_id: Option<PriceListId>,
}

impl From<&Customer> for Row {
    fn from(customer: &Customer) -> Self {
        let company = &customer.company;
        Self {
            id: customer.id,
            company_name: company.name.clone(),
            name_key: sort_key::of(company.name.as_str()),
            name_key_version: sort_key::VERSION,
            address: Json(company.address.clone()),
            contact: company.contact.clone().map(Json),
            external_id: company.external_id.clone(),
            reseller_id: customer.partner_id,
            administration: customer.administration.kind(),
            admin_email: customer.administration.admin_email().cloned(),
            currency: customer.currency,
            status: customer.status,
            version: customer.version,
            created_at: customer.created_at,
            updated_at: customer.updated_at,
            price_list_id: customer.price_list_id,
        }
    }
}

impl TryFrom<Row> for Customer {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self> {
        let administration = Administration::new(row.administration, row.admin_email)
            .map_err(|_| Error::Corrupt { table: "customers", reason: "admin_email does not match administration" })?;
        Ok(Self {
            id: row.id,
            company: Company {
                name: row.company_name,
                address: row.address.0,
                contact: row.contact.map(|Json(contact)| contact),
                external_id: row.external_id,
            },
            partner_id: row.reseller_id,
            administration,
            currency: row.currency,
            price_list_id: row.price_list_id,
            status: row.status,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

/// The customers in scope. Everything that belongs to a customer is filtered by tenant through this.
pub(super) fn ids_in_scope(scope: Scope) -> customers::BoxedQuery<'static, diesel::pg::Pg, diesel::sql_types::Uuid> {
    let query = customers::table.select(customers::id).into_boxed();
    match scope.reseller() {
        None => query,
        Some(own) => query.filter(customers::reseller_id.eq(own)),
    }
}

/// Limits a boxed query to customers in scope.
macro_rules! in_scope {
    ($query:expr, $scope:expr) => {
        match $scope.reseller() {
            None => $query,
            Some(own) => $query.filter(customers::reseller_id.eq(own)),
        }
    };
}

/// Limits a boxed query to rows whose customer is in scope. If all customers are in scope, there is no filter, so that
/// no other table is read.
macro_rules! visible {
    ($query:expr, $customer_id:expr, $scope:expr) => {
        match $scope.reseller() {
            None => $query,
            Some(_) => $query.filter($customer_id.eq_any($crate::store::customers::ids_in_scope($scope))),
        }
    };
}

pub(super) use visible;

/// Whether there is an order. This is not an EXISTS, because the planner does not know that a page is short, and could
/// execute it with a hash of all orders.
macro_rules! any_order {
    ($of:expr) => {
        orders::table.filter($of).select(true.into_sql::<Bool>()).limit(1).single_value()
    };
}

/// Returns a customer in scope.
pub async fn find(mut conn: &Conn, scope: Scope, id: CustomerId) -> Result<Option<Customer>> {
    let query = customers::table.filter(customers::id.eq(id)).select(Row::as_select()).into_boxed();
    let row: Option<Row> = in_scope!(query, scope).first(&mut conn).await.optional()?;
    row.map(Customer::try_from).transpose()
}

/// Returns a customer in scope with its holdings, and the due date of the next transition of one of its subscriptions.
pub async fn find_with_holdings(
    mut conn: &Conn,
    scope: Scope,
    id: CustomerId,
) -> Result<Option<(Customer, Holdings, Option<NaiveDate>)>> {
    let theirs = || subscriptions::table.filter(subscriptions::customer_id.eq(id));
    let open = theirs().filter(subscriptions::status.eq_any(OPEN)).select(count_star());
    let next_due = theirs().select(min(subscriptions::due_date));
    let ordered = any_order!(orders::customer_id.eq(id));
    let query = customers::table
        .filter(customers::id.eq(id))
        .select((Row::as_select(), open.single_value(), ordered, next_due.single_value()))
        .into_boxed();
    let row: Option<DatedRow> = in_scope!(query, scope).first(&mut conn).await.optional()?;
    let found = |(row, open, ordered, next_due)| {
        let (customer, holdings) = known((row, open, ordered))?;
        Ok((customer, holdings, next_due))
    };
    row.map(found).transpose()
}

/// A customer, the number of its open subscriptions, and whether it has orders.
type KnownRow = (Row, Option<i64>, Option<bool>);

/// The same, and the due date of the next transition of one of its subscriptions.
type DatedRow = (Row, Option<i64>, Option<bool>, Option<NaiveDate>);

fn known((row, open, has_orders): KnownRow) -> Result<(Customer, Holdings)> {
    Ok((row.try_into()?, Holdings { open_subscriptions: open.unwrap_or_default(), has_orders: has_orders.is_some() }))
}

/// Returns a customer in scope, and locks it until the transaction ends: others cannot change it or sell to it.
pub async fn lock(mut conn: &Conn, scope: Scope, id: CustomerId) -> Result<Option<Customer>> {
    let query = customers::table.filter(customers::id.eq(id)).select(Row::as_select());
    // `FOR NO KEY UPDATE`, so that the order of a renewal, which only refers to the customer, does not wait. The filter
    // stands next to the lock: a customer out of scope is not waited for, and PostgreSQL evaluates the filter again if
    // the row changed during the wait.
    let row = match scope.reseller() {
        None => query.for_no_key_update().first(&mut conn).await.optional()?,
        Some(own) => {
            query.filter(customers::reseller_id.eq(own)).for_no_key_update().first(&mut conn).await.optional()?
        }
    };
    row.map(Customer::try_from).transpose()
}

/// Locks a customer for a change of its reseller. It must be locked by [`lock`] already. Events about it for its
/// present reseller wait until the transaction ends.
pub async fn lock_to_move(mut conn: &Conn, id: CustomerId) -> Result<()> {
    customers::table.find(id).select(customers::id).for_update().first::<CustomerId>(&mut conn).await?;
    Ok(())
}

/// Returns what the rules have to know about a customer. Lock the customer first, so that it cannot change.
pub async fn holdings(mut conn: &Conn, id: CustomerId) -> Result<Holdings> {
    let open =
        subscriptions::table.filter(subscriptions::customer_id.eq(id)).filter(subscriptions::status.eq_any(OPEN));
    let ordered = any_order!(orders::customer_id.eq(id));
    let holdings: (Option<i64>, Option<bool>) =
        diesel::select((open.select(count_star()).single_value(), ordered)).first(&mut conn).await?;
    Ok(Holdings { open_subscriptions: holdings.0.unwrap_or_default(), has_orders: holdings.1.is_some() })
}

/// Lists customers in scope with their holdings.
pub async fn list(
    mut conn: &Conn,
    scope: Scope,
    filter: &CustomerFilter,
    sort: CompanySort,
    window: &Window,
) -> Result<Page<(Customer, Holdings)>> {
    let theirs = subscriptions::customer_id.eq(customers::id);
    let open = subscriptions::table.filter(theirs).filter(subscriptions::status.eq_any(OPEN)).select(count_star());
    let ordered = any_order!(orders::customer_id.eq(customers::id));
    let mut query = customers::table.select((Row::as_select(), open.single_value(), ordered)).into_boxed();
    query = in_scope!(query, scope);
    if let Some(q) = &filter.q {
        query = query.filter(customers::name_key.like(page::containing(q.as_str())));
    }
    if let Some(partner_id) = filter.partner_id {
        query = query.filter(customers::reseller_id.eq(partner_id));
    }
    query = one_of!(query, customers::status, filter.status);
    if let Some(country) = &filter.country {
        query = query.filter(customers::country.eq(country.as_str()));
    }
    if let Some(external_id) = &filter.external_id {
        query = query.filter(customers::external_id.eq(external_id));
    }
    query = between!(query, customers::created_at, filter.created_after, filter.created_before);
    let query = company_keyset!(query, customers, sort, window);
    let rows: Vec<KnownRow> = fetch!(conn, query, window, *filter != CustomerFilter::default());
    let page = Page::cut(rows, window.limit, |(row, ..)| {
        page::company_position(sort, &row.name_key, row.created_at, row.id.0)
    });
    page.try_map(known)
}

/// Inserts a customer.
#[must_use]
pub fn insert(customer: &Customer) -> Write {
    diesel::insert_into(customers::table).values(Row::from(customer)).later()
}

/// Updates a customer that was locked.
#[must_use]
pub fn save(customer: &Customer) -> Write {
    diesel::update(customers::table.find(customer.id)).set(Row::from(customer)).later()
}
