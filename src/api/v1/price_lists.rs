//! Price lists.

use actix_web::{HttpResponse, delete, get, patch, post};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::money::{Money, PriceAmount};
use crate::api::contract::json::{Json, NoBody};
use crate::api::contract::path::Id;
use crate::api::contract::problem::Problem;
use crate::api::contract::query::NoQuery;
use crate::api::middleware::authenticate::{Permit, Read, WriteProducts};
use crate::api::respond::page::{Listing, list, listing};
use crate::api::respond::resource::{IfMatch, IfMatchHeader, IfNoneMatch, IfNoneMatchHeader, created, ok};
use crate::domain::catalog::price_list::{self, Details, ListPrice, PriceListFilter};
use crate::domain::id::{PriceListId, ProductId, Version};
use crate::domain::money::Currency;
use crate::domain::text::{Code, Line, SearchText};
use crate::ops::price_lists;

/// Prices that replace a product's own prices, for the customers and resellers with this `price_list_id`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({ "name": "Wholesale" }))]
pub struct PriceList {
    /// The id of the price list.
    pub id: PriceListId,
    /// The name of the price list.
    pub name: Line,
    /// The currency of all prices. The list has no effect for customers with another currency.
    pub currency: Currency,
    /// The prices, sorted by product, type and term.
    #[schema(max_items = 5000)]
    pub prices: Vec<PriceListPrice>,
    /// The version, as in `ETag`.
    pub version: Version,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// A price list without its prices.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({ "name": "Wholesale" }))]
pub struct PriceListSummary {
    /// The id of the price list.
    pub id: PriceListId,
    /// The name of the price list.
    pub name: Line,
    /// The currency of all prices.
    pub currency: Currency,
    /// The number of prices.
    #[schema(minimum = 0, maximum = 5000)]
    pub price_count: i64,
    /// The version, as in `ETag`.
    pub version: Version,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// The price of one certificate of a type for a whole term.
#[derive(Debug, Serialize, ToSchema)]
pub struct PriceListPrice {
    /// The id of the product.
    pub product_id: ProductId,
    /// The certificate type.
    pub certificate_type: Code,
    /// The length of the term, in months.
    #[schema(minimum = 1, maximum = 36, example = 12)]
    pub term_months: i32,
    pub unit_price: Money,
}

/// The price of one certificate of a type for a whole term.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PriceListPriceCreate {
    /// The id of the product.
    pub product_id: ProductId,
    /// The certificate type.
    pub certificate_type: Code,
    /// The length of the term, in months: one of the terms of the product.
    #[schema(minimum = 1, maximum = 36)]
    pub term_months: i32,
    pub unit_price: PriceAmount,
}

/// A new price list.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "name": "Gold partners",
    "currency": "EUR",
    "prices": [{
        "product_id": "01990000-0000-7000-8000-000000000000", "certificate_type": "ov-single", "term_months": 12,
        "unit_price": { "amount": 7900, "currency": "EUR" }
    }]
}))]
pub struct PriceListCreate {
    /// The name of the price list.
    pub name: Line,
    /// The currency of all prices. It cannot be changed later.
    pub currency: Currency,
    /// The prices: each combination of product, type and term at most once. A combination that is not listed has the
    /// price of the next list that applies, or the product's own price.
    #[schema(max_items = 5000)]
    pub prices: Vec<PriceListPriceCreate>,
}

/// Changes of a price list: a merge patch (RFC 7396). The prices are replaced as a whole.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "name": "Gold partners, 2027" }))]
pub struct PriceListPatch {
    /// The name of the price list.
    #[schema(nullable = false)]
    pub name: Option<Line>,
    /// All prices. Running terms keep their prices.
    #[schema(nullable = false, max_items = 5000)]
    pub prices: Option<Vec<PriceListPriceCreate>>,
}

list!(PriceListList of PriceListSummary);

listing! {
    /// Filters of price lists.
    PriceListQuery {
        /// The name contains this text. Letter case, accents and width are ignored.
        #[param(nullable = false)]
        q: Option<SearchText>,
        /// Only price lists in this currency.
        #[param(nullable = false)]
        currency: Option<Currency>,
    }
}

impl From<&price_list::PriceList> for PriceList {
    fn from(list: &price_list::PriceList) -> Self {
        Self {
            id: list.id,
            name: list.details.name.clone(),
            currency: list.currency,
            prices: list.details.prices.iter().map(PriceListPrice::from).collect(),
            version: list.version,
            created_at: list.created_at,
            updated_at: list.updated_at,
        }
    }
}

impl From<(price_list::PriceList, i64)> for PriceListSummary {
    fn from((list, price_count): (price_list::PriceList, i64)) -> Self {
        Self {
            id: list.id,
            name: list.details.name,
            currency: list.currency,
            price_count,
            version: list.version,
            created_at: list.created_at,
            updated_at: list.updated_at,
        }
    }
}

impl From<&ListPrice> for PriceListPrice {
    fn from(price: &ListPrice) -> Self {
        Self {
            product_id: price.product_id,
            certificate_type: price.certificate_type.clone(),
            term_months: price.term_months,
            unit_price: Money { amount: price.unit_price, currency: price.currency },
        }
    }
}

fn prices(list: Vec<PriceListPriceCreate>) -> Vec<ListPrice> {
    let price = |new: PriceListPriceCreate| ListPrice {
        product_id: new.product_id,
        certificate_type: new.certificate_type,
        term_months: new.term_months,
        currency: new.unit_price.currency,
        unit_price: new.unit_price.amount,
    };
    list.into_iter().map(price).collect()
}

/// List price lists
///
/// Returns price lists, sorted by name. A reseller's key sees only the lists that are assigned to it or to its
/// customers.
#[utoipa::path(tag = "Products", params(PriceListQuery), responses(
    (status = 200, description = "A page of price lists.", body = PriceListList)
))]
#[get("/price-lists")]
pub async fn list_price_lists(permit: Permit<Read>, listing: Listing<PriceListQuery>) -> Result<HttpResponse, Problem> {
    let filter = PriceListFilter { q: listing.filter.q.clone(), currency: listing.filter.currency };
    let page = price_lists::list(&permit.cx, &filter, &listing.window).await?.map(PriceListSummary::from);
    Ok(listing.answer(page, |data, next_cursor| PriceListList { data, next_cursor }))
}

/// Create a price list
///
/// Creates a price list. It has no effect until it is assigned to a customer or a reseller. Roles: the provider's admin
/// and sales.
#[utoipa::path(tag = "Products", responses((status = 201, description = "The price list.", body = PriceList)))]
#[post("/price-lists")]
pub async fn create_price_list(
    permit: Permit<WriteProducts>,
    _: NoQuery,
    body: Json<PriceListCreate>,
) -> Result<HttpResponse, Problem> {
    let PriceListCreate { name, currency, prices: new } = body.0;
    let list = price_lists::create(&permit.cx, currency, Details { name, prices: prices(new) }).await?;
    let location = format!("/v1/price-lists/{}", list.id);
    Ok(created(&location, Some(list.version), PriceList::from(&list)))
}

/// Get a price list
///
/// Returns the price list with all its prices.
#[utoipa::path(tag = "Products", params(IfNoneMatchHeader), responses(
    (status = 200, description = "The price list.", body = PriceList)
))]
#[get("/price-lists/{price_list_id}")]
pub async fn get_price_list(
    permit: Permit<Read>,
    id: Id<PriceListId>,
    _: NoQuery,
    have: IfNoneMatch,
) -> Result<HttpResponse, Problem> {
    let list = price_lists::get(&permit.cx, id.0).await?;
    Ok(have.answer(list.version, PriceList::from(&list)))
}

/// Edit a price list
///
/// Applies a merge patch; the prices are replaced as a whole. Running terms keep their prices. Roles: the provider's
/// admin and sales.
#[utoipa::path(tag = "Products", params(IfMatchHeader), responses(
    (status = 200, description = "The updated price list.", body = PriceList)
))]
#[patch("/price-lists/{price_list_id}")]
pub async fn update_price_list(
    permit: Permit<WriteProducts>,
    id: Id<PriceListId>,
    _: NoQuery,
    expected: IfMatch,
    body: Json<PriceListPatch>,
) -> Result<HttpResponse, Problem> {
    let PriceListPatch { name, prices: new } = body.0;
    let edit = |to: Details| Details { name: name.unwrap_or(to.name), prices: new.map_or(to.prices, prices) };
    let list = price_lists::update(&permit.cx, id.0, &expected.0, edit).await?;
    Ok(ok(list.version, PriceList::from(&list)))
}

/// Delete a price list
///
/// Deletes a price list. Rejected if the list is assigned, or if orders or terms refer to it. Roles: the provider's
/// admin and sales.
#[utoipa::path(
    tag = "Products",
    params(IfMatchHeader),
    extensions(("x-errors" = json!(["price_list_in_use"]))),
    responses((status = 204, description = "The price list was deleted."))
)]
#[delete("/price-lists/{price_list_id}")]
pub async fn delete_price_list(
    permit: Permit<WriteProducts>,
    id: Id<PriceListId>,
    _: NoQuery,
    expected: IfMatch,
    _: NoBody,
) -> Result<HttpResponse, Problem> {
    price_lists::delete(&permit.cx, id.0, &expected.0).await?;
    Ok(HttpResponse::NoContent().finish())
}
