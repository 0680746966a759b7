//! Customers.

use actix_web::{HttpResponse, get, patch, post, web};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::clearable;
use super::company::{self, Address, AddressCreate, AddressPatch, Contact, ContactCreate, ContactPatch};
use crate::api::contract::json::{Json, NoBody};
use crate::api::contract::path::Id;
use crate::api::contract::problem::{ActionState, Problem, in_query};
use crate::api::contract::query::NoQuery;
use crate::api::middleware::authenticate::{Permit, Read, WriteCustomers};
use crate::api::respond::page::{Listing, list, listing};
use crate::api::respond::resource::{IfMatch, IfMatchHeader, IfNoneMatch, IfNoneMatchHeader, created, ok};
use crate::api::state::AppState;
use crate::domain::authorization::Actor;
use crate::domain::id::{CustomerId, PriceListId, ResellerId, Version};
use crate::domain::money::Currency;
use crate::domain::parties::company::CompanySort;
use crate::domain::parties::customer::{Action, AdministrationKind, CustomerFilter, CustomerStatus, Details};
use crate::domain::text::{CompanyName, Country, Email, ExternalId, SearchText};
use crate::ops::customers::{self, Known, NewCustomer};

/// A company that subscriptions are sold to.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "admin_email": null,
    "actions": [{ "action": "archive", "allowed": true }, { "action": "add_subscriptions", "allowed": true }]
}))]
pub struct Customer {
    /// The id of the customer.
    pub id: CustomerId,
    /// Name of the company.
    pub company_name: CompanyName,
    pub address: Address,
    #[schema(required)]
    pub contact: Option<Contact>,
    /// Your own reference. Unique among the customers of the same reseller, or of the provider.
    #[schema(required)]
    pub external_id: Option<ExternalId>,
    /// The reseller that manages the customer; null if the provider does.
    #[schema(required)]
    pub partner_id: Option<ResellerId>,
    pub administration: AdministrationKind,
    /// The email address of the customer's administrator; null if the provider or the reseller administers the
    /// products.
    #[schema(required)]
    pub admin_email: Option<Email>,
    /// The currency of all charges.
    pub currency: Currency,
    /// The price list of the customer. It takes precedence over the price list of its reseller and the product's own
    /// prices.
    #[schema(required)]
    pub price_list_id: Option<PriceListId>,
    pub status: CustomerStatus,
    /// All actions, and whether each is allowed now.
    #[schema(max_items = 100)]
    pub actions: Vec<ActionState>,
    /// The version, as in `ETag`.
    pub version: Version,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// A new customer.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "company_name": "Northwind Traders",
    "address": { "line1": "12 Harbour Street", "city": "Brussels", "postal_code": "1050", "country": "BE" },
    "contact": { "name": "Grace Claes", "email": "grace@northwind.example", "phone": "+32 2 555 01 00" },
    "external_id": "crm-4711",
    "administration": "customer",
    "admin_email": "it@northwind.example",
    "currency": "EUR"
}))]
pub struct CustomerCreate {
    /// Name of the company.
    pub company_name: CompanyName,
    pub address: AddressCreate,
    #[schema(nullable = false)]
    pub contact: Option<ContactCreate>,
    /// Your own reference. Unique among the customers of the same reseller, or of the provider.
    #[schema(nullable = false)]
    pub external_id: Option<ExternalId>,
    /// The reseller that manages the customer. If omitted: the reseller of the calling key, or the provider.
    #[schema(nullable = false)]
    pub partner_id: Option<ResellerId>,
    /// `partner` if omitted.
    #[schema(nullable = false)]
    pub administration: Option<AdministrationKind>,
    /// The email address of the customer's administrator. Required if `administration` is `customer`, rejected
    /// otherwise.
    #[schema(nullable = false)]
    pub admin_email: Option<Email>,
    /// The currency of all charges; the default of the deployment if omitted. Fixed after the first order.
    #[schema(nullable = false)]
    pub currency: Option<Currency>,
}

/// Changes of a customer: a merge patch (RFC 7396). Omitted fields stay unchanged, null clears a field.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "address": { "line1": "14 Harbour Street" }, "contact": { "phone": null } }))]
pub struct CustomerPatch {
    /// Name of the company.
    #[schema(nullable = false)]
    pub company_name: Option<CompanyName>,
    #[schema(nullable = false)]
    pub address: Option<AddressPatch>,
    #[serde(default, deserialize_with = "clearable")]
    pub contact: Option<Option<ContactPatch>>,
    /// Your own reference.
    #[serde(default, deserialize_with = "clearable")]
    pub external_id: Option<Option<ExternalId>>,
    /// The reseller that manages the customer. A new value moves the customer to that reseller, null moves it to the
    /// provider.
    #[serde(default, deserialize_with = "clearable")]
    pub partner_id: Option<Option<ResellerId>>,
    /// The email address of the customer's administrator.
    #[serde(default, deserialize_with = "clearable")]
    pub admin_email: Option<Option<Email>>,
    /// The currency of all charges. Fixed after the first order.
    #[schema(nullable = false)]
    pub currency: Option<Currency>,
    /// The price list of the customer. Requires the right to write products.
    #[serde(default, deserialize_with = "clearable")]
    pub price_list_id: Option<Option<PriceListId>>,
}

list!(CustomerList of Customer);

listing! {
    /// Filters and sort order of customers.
    CustomerQuery {
        /// The name contains this text. Letter case, accents and width are ignored.
        #[param(nullable = false)]
        q: Option<SearchText>,
        /// Only customers of this reseller.
        #[param(nullable = false)]
        partner_id: Option<ResellerId>,
        /// Only customers in one of these states.
        #[param(max_items = 10)]
        status: Vec<CustomerStatus>,
        /// Only customers with an address in this country.
        #[param(nullable = false)]
        country: Option<Country>,
        /// Your own reference.
        #[param(nullable = false)]
        external_id: Option<ExternalId>,
        /// Created at this instant or later.
        #[param(nullable = false)]
        created_after: Option<DateTime<Utc>>,
        /// Created before this instant.
        #[param(nullable = false)]
        created_before: Option<DateTime<Utc>>,
        /// The sort order; `company_name` if omitted.
        #[param(nullable = false)]
        sort: Option<CompanySort>,
    }
}

impl Customer {
    pub(super) fn new((customer, holdings): &Known, actor: &Actor) -> Self {
        let company = &customer.company;
        Self {
            id: customer.id,
            company_name: company.name.clone(),
            address: (&company.address).into(),
            contact: company.contact.as_ref().map(Contact::from),
            external_id: company.external_id.clone(),
            partner_id: customer.partner_id,
            administration: customer.administration.kind(),
            admin_email: customer.administration.admin_email().cloned(),
            currency: customer.currency,
            price_list_id: customer.price_list_id,
            status: customer.status,
            actions: actor.offers(customer.possibilities(*holdings)).iter().map(ActionState::from).collect(),
            version: customer.version,
            created_at: customer.created_at,
            updated_at: customer.updated_at,
        }
    }
}

impl CustomerCreate {
    fn into_new(self, default_currency: Currency) -> NewCustomer {
        NewCustomer {
            company: company::create(self.company_name, self.address, self.contact, self.external_id),
            partner_id: self.partner_id,
            administration: self.administration.unwrap_or(AdministrationKind::Partner),
            admin_email: self.admin_email,
            currency: self.currency.unwrap_or(default_currency),
        }
    }
}

impl CustomerPatch {
    fn apply(self, to: Details) -> Details {
        Details {
            company: company::patch(to.company, self.company_name, self.address, self.contact, self.external_id),
            partner_id: self.partner_id.unwrap_or(to.partner_id),
            admin_email: self.admin_email.unwrap_or(to.admin_email),
            currency: self.currency.unwrap_or(to.currency),
            price_list_id: self.price_list_id.unwrap_or(to.price_list_id),
        }
    }
}

/// List customers
///
/// Returns customers. The provider's keys see all customers, and a reseller's key sees only its own.
#[utoipa::path(tag = "Customers", params(CustomerQuery), responses(
    (status = 200, description = "A page of customers.", body = CustomerList)
))]
#[get("/customers")]
pub async fn list_customers(permit: Permit<Read>, listing: Listing<CustomerQuery>) -> Result<HttpResponse, Problem> {
    let query = &listing.filter;
    let filter = CustomerFilter {
        q: query.q.clone(),
        partner_id: query.partner_id,
        status: query.status.clone(),
        country: query.country,
        external_id: query.external_id.clone(),
        created_after: query.created_after,
        created_before: query.created_before,
    };
    let sort = query.sort.unwrap_or(CompanySort::NameAscending);
    let page = customers::list(&permit.cx, &filter, sort, &listing.window).await.map_err(in_query)?;
    let page = page.map(|known| Customer::new(&known, &permit.cx.actor));
    Ok(listing.answer(page, |data, next_cursor| CustomerList { data, next_cursor }))
}

/// Create a customer
///
/// Creates a customer. With a reseller's key, the customer belongs to that reseller. Roles: admin, sales and
/// technician.
#[utoipa::path(
    tag = "Customers",
    extensions(("x-errors" = json!(["duplicate_external_id", "reseller_disabled"]))),
    responses((status = 201, description = "The customer.", body = Customer))
)]
#[post("/customers")]
pub async fn create_customer(
    permit: Permit<WriteCustomers>,
    state: web::Data<AppState>,
    _: NoQuery,
    body: Json<CustomerCreate>,
) -> Result<HttpResponse, Problem> {
    let new = body.0.into_new(state.default_currency);
    let known = customers::create(&permit.cx, new).await?;
    let location = format!("/v1/customers/{}", known.0.id);
    Ok(created(&location, Some(known.0.version), Customer::new(&known, &permit.cx.actor)))
}

/// Get a customer
///
/// Returns the customer, with the actions that are allowed now.
#[utoipa::path(tag = "Customers", params(IfNoneMatchHeader), responses(
    (status = 200, description = "The customer.", body = Customer)
))]
#[get("/customers/{customer_id}")]
pub async fn get_customer(
    permit: Permit<Read>,
    id: Id<CustomerId>,
    _: NoQuery,
    have: IfNoneMatch,
) -> Result<HttpResponse, Problem> {
    let known = customers::get(&permit.cx, id.0).await?;
    Ok(have.answer(known.0.version, Customer::new(&known, &permit.cx.actor)))
}

/// Edit a customer
///
/// Applies a merge patch. Another `partner_id` moves the customer to another reseller. Roles: admin, sales and
/// technician.
#[utoipa::path(
    tag = "Customers",
    params(IfMatchHeader),
    extensions(("x-errors" = json!([
        "duplicate_external_id", "reseller_disabled", "customer_archived", "currency_fixed"
    ]))),
    responses((status = 200, description = "The updated customer.", body = Customer))
)]
#[patch("/customers/{customer_id}")]
pub async fn update_customer(
    permit: Permit<WriteCustomers>,
    id: Id<CustomerId>,
    _: NoQuery,
    expected: IfMatch,
    body: Json<CustomerPatch>,
) -> Result<HttpResponse, Problem> {
    let known = customers::update(&permit.cx, id.0, &expected.0, |details| body.0.apply(details)).await?;
    Ok(ok(known.0.version, Customer::new(&known, &permit.cx.actor)))
}

/// Archive a customer
///
/// Archives the customer. An archived customer can only be read and restored. Rejected while a subscription is pending,
/// active or suspended. Roles: admin, sales and technician.
#[utoipa::path(
    tag = "Customers",
    params(IfMatchHeader),
    extensions(("x-errors" = json!(["has_open_subscriptions"]))),
    responses((status = 200, description = "The updated customer.", body = Customer))
)]
#[post("/customers/{customer_id}/archive")]
pub async fn archive_customer(
    permit: Permit<WriteCustomers>,
    id: Id<CustomerId>,
    _: NoQuery,
    expected: IfMatch,
    _: NoBody,
) -> Result<HttpResponse, Problem> {
    let known = customers::transition(&permit.cx, id.0, &expected.0, Action::Archive).await?;
    Ok(ok(known.0.version, Customer::new(&known, &permit.cx.actor)))
}

/// Restore a customer
///
/// Restores an archived customer, so that it can get new subscriptions again. Roles: admin, sales and technician.
#[utoipa::path(tag = "Customers", params(IfMatchHeader), responses(
    (status = 200, description = "The updated customer.", body = Customer)
))]
#[post("/customers/{customer_id}/restore")]
pub async fn restore_customer(
    permit: Permit<WriteCustomers>,
    id: Id<CustomerId>,
    _: NoQuery,
    expected: IfMatch,
    _: NoBody,
) -> Result<HttpResponse, Problem> {
    let known = customers::transition(&permit.cx, id.0, &expected.0, Action::Restore).await?;
    Ok(ok(known.0.version, Customer::new(&known, &permit.cx.actor)))
}
