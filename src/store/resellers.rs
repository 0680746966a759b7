use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::columns::Json;
use super::page::{self, company_keyset, fetch, keyset};
use super::run::{Statement, Write};
use super::schema::resellers;
use super::{Conn, Result};
use crate::domain::authorization::Scope;
use crate::domain::id::{PriceListId, ResellerId, Version};
use crate::domain::listing::{Page, Window};
use crate::domain::parties::company::{Address, Company, CompanySort, Contact};
use crate::domain::parties::reseller::{Reseller, ResellerFilter, ResellerStatus, State};
use crate::domain::text::{CompanyName, ExternalId, Reason, sort_key};

#[derive(Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = resellers, treat_none_as_default_value = false, treat_none_as_null = true, check_for_backend(diesel::pg::Pg))]
struct Row {
    id: ResellerId,
    company_name: CompanyName,
    name_key: String,
    name_key_version: i16,
    address: Json<Address>,
    contact: Option<Json<Contact>>,
    external_id: Option<ExternalId>,
    disabled_at: Option<DateTime<Utc>>,
    disabled_reason: Option<Reason>,
    version: Version,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    price_list_id: Option<PriceListId>,
}

impl From<&Reseller> for Row {
    fn from(reseller: &Reseller) -> Self {
        let company = &reseller.company;
        let (disabled_at, disabled_reason) = match &reseller.state {
            State::Enabled => (None, None),
            State::Disabled { at, reason } => (Some(*at), reason.clone()),
        };
        Self {
            id: reseller.id,
            company_name: company.name.clone(),
            name_key: sort_key::of(company.name.as_str()),
            name_key_version: sort_key::VERSION,
            address: Json(company.address.clone()),
            contact: company.contact.clone().map(Json),
            external_id: company.external_id.clone(),
            disabled_at,
            disabled_reason,
            version: reseller.version,
            created_at: reseller.created_at,
            updated_at: reseller.updated_at,
            price_list_id: reseller.price_list_id,
        }
    }
}

impl From<Row> for Reseller {
    fn from(row: Row) -> Self {
        let state = match row.disabled_at {
            None => State::Enabled,
            Some(at) => State::Disabled { at, reason: row.disabled_reason },
        };
        Self {
            id: row.id,
            company: Company {
                name: row.company_name,
                address: row.address.0,
                contact: row.contact.map(|Json(contact)| contact),
                external_id: row.external_id,
            },
            price_list_id: row.price_list_id,
            state,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// Returns a reseller in scope.
pub async fn find(mut conn: &Conn, scope: Scope, id: ResellerId) -> Result<Option<Reseller>> {
    if !scope.sees(id) {
        return Ok(None);
    }
    let row = resellers::table.find(id).select(Row::as_select()).first(&mut conn).await.optional()?;
    Ok(row.map(Reseller::from))
}

/// Returns a reseller in scope, and locks it against changes until the transaction ends.
pub async fn lock(mut conn: &Conn, scope: Scope, id: ResellerId) -> Result<Option<Reseller>> {
    if !scope.sees(id) {
        return Ok(None);
    }
    let query = resellers::table.find(id).select(Row::as_select()).for_no_key_update();
    Ok(query.first(&mut conn).await.optional()?.map(Reseller::from))
}

/// Returns a reseller in scope, and locks it for share until the transaction ends. Others may read it meanwhile.
pub async fn hold(mut conn: &Conn, scope: Scope, id: ResellerId) -> Result<Option<Reseller>> {
    if !scope.sees(id) {
        return Ok(None);
    }
    let query = resellers::table.find(id).select(Row::as_select()).for_share();
    Ok(query.first(&mut conn).await.optional()?.map(Reseller::from))
}

/// Lists resellers in scope.
pub async fn list(
    mut conn: &Conn,
    scope: Scope,
    filter: &ResellerFilter,
    sort: CompanySort,
    window: &Window,
) -> Result<Page<Reseller>> {
    let mut query = resellers::table.select(Row::as_select()).into_boxed();
    if let Some(own) = scope.reseller() {
        query = query.filter(resellers::id.eq(own));
    }
    if let Some(q) = &filter.q {
        query = query.filter(resellers::name_key.like(page::containing(q.as_str())));
    }
    if let [status] = filter.status[..] {
        query = match status {
            ResellerStatus::Enabled => query.filter(resellers::disabled_at.is_null()),
            ResellerStatus::Disabled => query.filter(resellers::disabled_at.is_not_null()),
        };
    }
    if let Some(external_id) = &filter.external_id {
        query = query.filter(resellers::external_id.eq(external_id));
    }
    let query = company_keyset!(query, resellers, sort, window);
    let rows: Vec<Row> = fetch!(conn, query, window, *filter != ResellerFilter::default());
    let page =
        Page::cut(rows, window.limit, |row| page::company_position(sort, &row.name_key, row.created_at, row.id.0));
    Ok(page.map(Reseller::from))
}

/// Inserts a reseller.
#[must_use]
pub fn insert(reseller: &Reseller) -> Write {
    diesel::insert_into(resellers::table).values(Row::from(reseller)).later()
}

/// Updates a reseller that was locked.
#[must_use]
pub fn save(reseller: &Reseller) -> Write {
    diesel::update(resellers::table.find(reseller.id)).set(Row::from(reseller)).later()
}
