//! Price lists.

use actix_web::{HttpResponse, delete, get, patch, post};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::money::{Money, PriceAmount};
use crate::api::auth::{Permit, Read, WriteProducts};
use crate::api::json::{Json, NoBody};
use crate::api::page::{Listing, list, listing};
use crate::api::path::Id;
use crate::api::problem::Problem;
use crate::api::query::NoQuery;
use crate::api::resource::{IfMatch, IfMatchHeader, IfNoneMatch, IfNoneMatchHeader, created, ok};
use crate::domain::id::{PriceListId, ProductId, Version};
use crate::domain::listing::PriceListFilter;
use crate::domain::money::Currency;
use crate::domain::price_list::{self, Details, ListPrice};
use crate::domain::text::{Code, Line, SearchText};
use crate::ops::price_lists;

/// Other prices than the products' own, for the customers and resellers that it is assigned to: by
/// `price_list_id` of a customer or reseller.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({ "name": "Wholesale" }))]
pub struct PriceList {
    /// Its id.
    pub id: PriceListId,
    /// Its name.
    pub name: Line,
    /// What all its prices are in; it leaves customers alone that pay in another.
    pub currency: Currency,
    /// Its prices, in order of product, type and term.
    #[schema(max_items = 5000)]
    pub prices: Vec<PriceListPrice>,
    /// Its version.
    pub version: Version,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// A price list in a list, without its prices.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({ "name": "Wholesale" }))]
pub struct PriceListSummary {
    /// Its id.
    pub id: PriceListId,
    /// Its name.
    pub name: Line,
    /// What all its prices are in.
    pub currency: Currency,
    /// How many prices it has.
    #[schema(minimum = 0, maximum = 5000)]
    pub price_count: i64,
    /// Its version.
    pub version: Version,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// What one certificate of a type of a product costs for a whole term.
#[derive(Debug, Serialize, ToSchema)]
pub struct PriceListPrice {
    /// The product.
    pub product_id: ProductId,
    /// The type.
    pub certificate_type: Code,
    /// The term in months.
    #[schema(minimum = 1, maximum = 36, example = 12)]
    pub term_months: i32,
    pub unit_price: Money,
}

/// What one certificate of a type of a product costs for a whole term.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PriceListPriceCreate {
    /// The product.
    pub product_id: ProductId,
    /// The type.
    pub certificate_type: Code,
    /// The term in months; one that the product is offered for.
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
    /// Its name.
    pub name: Line,
    /// What all its prices are in; fixed.
    pub currency: Currency,
    /// Its prices: each product, type and term once. What it does not list has the next list's price, or the
    /// product's own.
    #[schema(max_items = 5000)]
    pub prices: Vec<PriceListPriceCreate>,
}

/// Changes of a price list: a merge patch (RFC 7396). The prices are replaced whole.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "name": "Gold partners, 2027" }))]
pub struct PriceListPatch {
    /// Its name.
    #[schema(nullable = false)]
    pub name: Option<Line>,
    /// All its prices. Terms that run keep theirs.
    #[schema(nullable = false, max_items = 5000)]
    pub prices: Option<Vec<PriceListPriceCreate>>,
}

list!(PriceListList of PriceListSummary);

listing! {
    /// Which price lists.
    PriceListQuery {
        /// The name contains this. Letter case, accents and width do not matter.
        #[param(nullable = false)]
        q: Option<SearchText>,
        /// In this currency.
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
/// In order of their name. A reseller's keys see the lists that are assigned to it or to its customers.
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
/// It does nothing until it is assigned to a customer or a reseller. Roles: the partner's admin and sales.
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
/// With all its prices.
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
/// A merge patch; the prices are replaced whole. Terms that run keep the prices they started with. Roles: the
/// partner's admin and sales.
#[utoipa::path(tag = "Products", params(IfMatchHeader), responses(
    (status = 200, description = "The price list as it is now.", body = PriceList)
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
/// One that is assigned, or that orders or terms refer to, stays. Roles: the partner's admin and sales.
#[utoipa::path(
    tag = "Products",
    params(IfMatchHeader),
    extensions(("x-errors" = json!(["price_list_in_use"]))),
    responses((status = 204, description = "It is gone."))
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
