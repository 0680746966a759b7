//! Products.

use actix_web::{HttpResponse, get, patch, post};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::clearable;
use super::money::{Money, PriceAmount};
use crate::api::contract::json::Json;
use crate::api::contract::path::Id;
use crate::api::contract::problem::Problem;
use crate::api::contract::query::NoQuery;
use crate::api::middleware::authenticate::{Permit, Read, WriteProducts};
use crate::api::respond::page::{Listing, PageQuery, list, listing};
use crate::api::respond::resource::{IfMatch, IfMatchHeader, IfNoneMatch, IfNoneMatchHeader, created, ok};
use crate::domain::catalog::product::{self, Details, ProductFilter, ProductStatus};
use crate::domain::id::{CustomerId, PriceListId, ProductId, Version};
use crate::domain::money::Currency;
use crate::domain::text::{Code, Description, Line, SearchText};
use crate::ops::{customers, products};

/// A product that customers can subscribe to.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({ "code": "website-tls", "name": "Website certificates", "terms": [12] }))]
pub struct Product {
    /// The id of the product.
    pub id: ProductId,
    /// The stable name of the product.
    pub code: Code,
    /// The name of the product, for people.
    pub name: Line,
    /// A description of the product.
    #[schema(required)]
    pub description: Option<Description>,
    pub status: ProductStatus,
    /// The types of certificates in the product.
    #[schema(max_items = 50)]
    pub certificate_types: Vec<CertificateType>,
    /// The lengths of the available terms, in months.
    #[schema(schema_with = terms)]
    pub terms: Vec<i32>,
    /// The prices: one for every type and term in each currency that is used.
    #[schema(max_items = 2000)]
    pub prices: Vec<Price>,
    /// The version, as in `ETag`.
    pub version: Version,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// A product that is available to a customer now, with prices in the customer's currency.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({ "code": "website-tls", "name": "Website certificates", "terms": [12] }))]
pub struct AvailableProduct {
    /// The id of the product.
    pub id: ProductId,
    /// The stable name of the product.
    pub code: Code,
    /// The name of the product, for people.
    pub name: Line,
    /// A description of the product.
    #[schema(required)]
    pub description: Option<Description>,
    pub status: ProductStatus,
    /// The types of certificates in the product.
    #[schema(max_items = 50)]
    pub certificate_types: Vec<CertificateType>,
    /// The lengths of the available terms, in months.
    #[schema(schema_with = terms)]
    pub terms: Vec<i32>,
    /// The prices: one for every type and term in the customer's currency.
    #[schema(max_items = 2000)]
    pub prices: Vec<AvailablePrice>,
    /// The version, as in `ETag`.
    pub version: Version,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// A type of certificate.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({ "name": "One name, organisation validated", "max_quantity": 1000 }))]
pub struct CertificateType {
    /// The stable name of the type.
    pub code: Code,
    /// The name of the type, for people.
    pub name: Line,
    /// The maximum quantity in a subscription. If it is lowered later, certificates above it can still be renewed.
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub max_quantity: i32,
}

/// The price of one certificate of a type for a whole term.
#[derive(Debug, Serialize, ToSchema)]
pub struct Price {
    /// The certificate type.
    pub certificate_type: Code,
    /// The length of the term, in months.
    #[schema(minimum = 1, maximum = 36, example = 12)]
    pub term_months: i32,
    pub unit_price: Money,
}

/// The price of one certificate of a type for a whole term, for a customer.
#[derive(Debug, Serialize, ToSchema)]
pub struct AvailablePrice {
    /// The certificate type.
    pub certificate_type: Code,
    /// The length of the term, in months.
    #[schema(minimum = 1, maximum = 36, example = 12)]
    pub term_months: i32,
    pub unit_price: Money,
    /// The price list of the price; null for the product's own price.
    #[schema(required)]
    pub price_list_id: Option<PriceListId>,
}

/// A type of certificate.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CertificateTypeCreate {
    /// The stable name of the type; unique in the product.
    pub code: Code,
    /// The name of the type, for people.
    pub name: Line,
    /// The maximum quantity in a subscription. If it is lowered later, certificates above it can still be renewed.
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub max_quantity: i32,
}

/// The price of one certificate of a type for a whole term.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PriceCreate {
    /// The certificate type.
    pub certificate_type: Code,
    /// The length of the term, in months.
    #[schema(minimum = 1, maximum = 36)]
    pub term_months: i32,
    pub unit_price: PriceAmount,
}

/// A new product.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "code": "tls-ov",
    "name": "TLS OV",
    "description": "Organisation-validated TLS certificates",
    "certificate_types": [{ "code": "ov-single", "name": "OV single domain", "max_quantity": 1000 }],
    "terms": [12],
    "prices": [{
        "certificate_type": "ov-single", "term_months": 12, "unit_price": { "amount": 9900, "currency": "EUR" }
    }]
}))]
pub struct ProductCreate {
    /// The stable name of the product; unique.
    pub code: Code,
    /// The name of the product, for people.
    pub name: Line,
    /// A description of the product.
    #[schema(nullable = false)]
    pub description: Option<Description>,
    /// The types of certificates in the product.
    #[schema(min_items = 1, max_items = 50)]
    pub certificate_types: Vec<CertificateTypeCreate>,
    /// The lengths of the available terms, in months; each at most once.
    #[schema(schema_with = terms)]
    pub terms: Vec<i32>,
    /// The prices: one for every type and term in each currency that is used.
    #[schema(min_items = 1, max_items = 2000)]
    pub prices: Vec<PriceCreate>,
}

/// Changes of a product: a merge patch (RFC 7396). Lists are replaced as a whole.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "name": "TLS OV, new", "status": "retired" }))]
pub struct ProductPatch {
    /// The name of the product, for people.
    #[schema(nullable = false)]
    pub name: Option<Line>,
    /// A description of the product.
    #[serde(default, deserialize_with = "clearable")]
    pub description: Option<Option<Description>>,
    /// `retired` stops new subscriptions. Existing subscriptions continue.
    #[schema(nullable = false)]
    pub status: Option<ProductStatus>,
    /// All types of certificates in the product. A type that subscriptions hold must stay.
    #[schema(nullable = false, min_items = 1, max_items = 50)]
    pub certificate_types: Option<Vec<CertificateTypeCreate>>,
    /// The lengths of all available terms, in months; each at most once.
    #[schema(schema_with = terms)]
    pub terms: Option<Vec<i32>>,
    /// All prices. Running terms keep their prices.
    #[schema(nullable = false, min_items = 1, max_items = 2000)]
    pub prices: Option<Vec<PriceCreate>>,
}

fn terms() -> utoipa::openapi::schema::Array {
    use utoipa::openapi::schema::{ArrayBuilder, KnownFormat, ObjectBuilder, SchemaFormat, Type};
    let months = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int32)))
        .minimum(Some(1))
        .maximum(Some(36));
    let mut terms = ArrayBuilder::new().items(months).min_items(Some(1)).max_items(Some(36)).build();
    terms.unique_items = true;
    terms.description = Some("The lengths of the available terms, in months; each at most once.".to_owned());
    terms
}

list!(ProductList of Product);
list!(AvailableProductList of AvailableProduct);

listing! {
    /// Filters of products.
    ProductQuery {
        /// The name contains this text. Letter case, accents and width are ignored.
        #[param(nullable = false)]
        q: Option<SearchText>,
        /// Only products in one of these states.
        #[param(max_items = 10)]
        status: Vec<ProductStatus>,
    }
}

impl From<&product::CertificateType> for CertificateType {
    fn from(of: &product::CertificateType) -> Self {
        Self { code: of.code.clone(), name: of.name.clone(), max_quantity: of.max_quantity }
    }
}

impl From<CertificateTypeCreate> for product::CertificateType {
    fn from(of: CertificateTypeCreate) -> Self {
        Self { code: of.code, name: of.name, max_quantity: of.max_quantity }
    }
}

impl From<&product::Price> for Price {
    fn from(price: &product::Price) -> Self {
        Self {
            certificate_type: price.certificate_type.clone(),
            term_months: price.term_months,
            unit_price: Money { amount: price.unit_price, currency: price.currency },
        }
    }
}

impl From<&product::Price> for AvailablePrice {
    fn from(price: &product::Price) -> Self {
        let Price { certificate_type, term_months, unit_price } = price.into();
        Self { certificate_type, term_months, unit_price, price_list_id: price.price_list_id }
    }
}

impl From<PriceCreate> for product::Price {
    fn from(price: PriceCreate) -> Self {
        Self {
            certificate_type: price.certificate_type,
            term_months: price.term_months,
            currency: price.unit_price.currency,
            unit_price: price.unit_price.amount,
            price_list_id: None,
        }
    }
}

impl From<&product::Product> for Product {
    fn from(product: &product::Product) -> Self {
        let details = &product.details;
        Self {
            id: product.id,
            code: product.code.clone(),
            name: details.name.clone(),
            description: details.description.clone(),
            status: details.status,
            certificate_types: details.certificate_types.iter().map(CertificateType::from).collect(),
            terms: details.terms.clone(),
            prices: details.prices.iter().map(Price::from).collect(),
            version: product.version,
            created_at: product.created_at,
            updated_at: product.updated_at,
        }
    }
}

impl AvailableProduct {
    fn new(product: &product::Product, currency: Currency) -> Self {
        let details = &product.details;
        Self {
            id: product.id,
            code: product.code.clone(),
            name: details.name.clone(),
            description: details.description.clone(),
            status: details.status,
            certificate_types: details.certificate_types.iter().map(CertificateType::from).collect(),
            terms: details.terms.clone(),
            prices: details
                .prices
                .iter()
                .filter(|price| price.currency == currency)
                .map(AvailablePrice::from)
                .collect(),
            version: product.version,
            created_at: product.created_at,
            updated_at: product.updated_at,
        }
    }
}

fn all<T, U: From<T>>(list: Vec<T>) -> Vec<U> {
    list.into_iter().map(U::from).collect()
}

impl ProductPatch {
    fn apply(self, to: Details) -> Details {
        Details {
            name: self.name.unwrap_or(to.name),
            description: self.description.unwrap_or(to.description),
            status: self.status.unwrap_or(to.status),
            certificate_types: self.certificate_types.map_or(to.certificate_types, all),
            terms: self.terms.unwrap_or(to.terms),
            prices: self.prices.map_or(to.prices, all),
        }
    }
}

/// List a customer's available products
///
/// Returns the products that the customer can subscribe to now, with prices in the customer's currency, sorted by code.
/// Empty while the customer is archived.
#[utoipa::path(tag = "Products", params(PageQuery), responses(
    (status = 200, description = "A page of products.", body = AvailableProductList)
))]
#[get("/customers/{customer_id}/available-products")]
pub async fn list_available_products(
    permit: Permit<Read>,
    id: Id<CustomerId>,
    listing: Listing<PageQuery>,
) -> Result<HttpResponse, Problem> {
    let (customer, page) = customers::available_products(&permit.cx, id.0, &listing.window).await?;
    let page = page.map(|product| AvailableProduct::new(&product, customer.currency));
    Ok(listing.answer(page, |data, next_cursor| AvailableProductList { data, next_cursor }))
}

/// List products
///
/// Returns products, sorted by code.
#[utoipa::path(tag = "Products", params(ProductQuery), responses(
    (status = 200, description = "A page of products.", body = ProductList)
))]
#[get("/products")]
pub async fn list_products(permit: Permit<Read>, listing: Listing<ProductQuery>) -> Result<HttpResponse, Problem> {
    let query = &listing.filter;
    let filter = ProductFilter { q: query.q.clone(), status: query.status.clone() };
    let page = products::list(&permit.cx, &filter, &listing.window).await?;
    let page = page.map(|product| Product::from(&product));
    Ok(listing.answer(page, |data, next_cursor| ProductList { data, next_cursor }))
}

/// Create a product
///
/// Creates a product. Customers can subscribe to it at once. Roles: the provider's admin and sales.
#[utoipa::path(tag = "Products", extensions(("x-errors" = json!(["duplicate_code"]))), responses(
    (status = 201, description = "The product.", body = Product)
))]
#[post("/products")]
pub async fn create_product(
    permit: Permit<WriteProducts>,
    _: NoQuery,
    body: Json<ProductCreate>,
) -> Result<HttpResponse, Problem> {
    let new = body.0;
    let details = Details {
        name: new.name,
        description: new.description,
        status: ProductStatus::Active,
        certificate_types: all(new.certificate_types),
        terms: new.terms,
        prices: all(new.prices),
    };
    let product = products::create(&permit.cx, new.code, details).await?;
    let location = format!("/v1/products/{}", product.id);
    Ok(created(&location, Some(product.version), Product::from(&product)))
}

/// Get a product
///
/// Returns the product with all its prices.
#[utoipa::path(tag = "Products", params(IfNoneMatchHeader), responses(
    (status = 200, description = "The product.", body = Product)
))]
#[get("/products/{product_id}")]
pub async fn get_product(
    permit: Permit<Read>,
    id: Id<ProductId>,
    _: NoQuery,
    have: IfNoneMatch,
) -> Result<HttpResponse, Problem> {
    let product = products::get(&permit.cx, id.0).await?;
    Ok(have.answer(product.version, Product::from(&product)))
}

/// Edit a product
///
/// Applies a merge patch; lists are replaced as a whole. Running terms keep their prices. Roles: the provider's admin
/// and sales.
#[utoipa::path(
    tag = "Products",
    params(IfMatchHeader),
    extensions(("x-errors" = json!(["certificate_type_in_use"]))),
    responses((status = 200, description = "The updated product.", body = Product))
)]
#[patch("/products/{product_id}")]
pub async fn update_product(
    permit: Permit<WriteProducts>,
    id: Id<ProductId>,
    _: NoQuery,
    expected: IfMatch,
    body: Json<ProductPatch>,
) -> Result<HttpResponse, Problem> {
    let product = products::update(&permit.cx, id.0, &expected.0, |details| body.0.apply(details)).await?;
    Ok(ok(product.version, Product::from(&product)))
}
