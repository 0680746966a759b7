//! Customers.

use actix_web::{HttpResponse, get, patch, post, web};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::clearable;
use super::company::{self, Address, AddressCreate, AddressPatch, Contact, ContactCreate, ContactPatch};
use crate::api::auth::{Permit, Read, WriteCustomers};
use crate::api::json::{Json, NoBody};
use crate::api::page::{Listing, list, listing};
use crate::api::path::Id;
use crate::api::problem::{ActionState, Problem, in_query};
use crate::api::query::NoQuery;
use crate::api::resource::{IfMatch, IfMatchHeader, IfNoneMatch, IfNoneMatchHeader, created, ok};
use crate::app::AppState;
use crate::domain::access::Actor;
use crate::domain::customer::{Action, AdministrationKind, CustomerStatus, Details};
use crate::domain::id::{CustomerId, PriceListId, ResellerId, Version};
use crate::domain::listing::{CompanySort, CustomerFilter};
use crate::domain::money::Currency;
use crate::domain::text::{CompanyName, Country, Email, ExternalId, SearchText};
use crate::ops::customers::{self, Known, NewCustomer};

/// Whom subscriptions are sold to.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "admin_email": null,
    "actions": [{ "action": "archive", "allowed": true }, { "action": "add_subscriptions", "allowed": true }]
}))]
pub struct Customer {
    /// Its id.
    pub id: CustomerId,
    /// Name of the company.
    pub company_name: CompanyName,
    pub address: Address,
    #[schema(required)]
    pub contact: Option<Contact>,
    /// Your own reference; unique among the customers of the same reseller, or of the partner.
    #[schema(required)]
    pub external_id: Option<ExternalId>,
    /// The reseller that manages the account; null when the partner does.
    #[schema(required)]
    pub partner_id: Option<ResellerId>,
    pub administration: AdministrationKind,
    /// The customer's administrator; null when the partner administers.
    #[schema(required)]
    pub admin_email: Option<Email>,
    /// What it pays in.
    pub currency: Currency,
    /// What it pays by, before its reseller's list and the products' own prices.
    #[schema(required)]
    pub price_list_id: Option<PriceListId>,
    pub status: CustomerStatus,
    /// What may be done next, and why not the rest.
    #[schema(max_items = 100)]
    pub actions: Vec<ActionState>,
    /// Its version.
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
    /// Your own reference; unique among the customers of the same reseller, or of the partner.
    #[schema(nullable = false)]
    pub external_id: Option<ExternalId>,
    /// The reseller that manages the account. Left out, it is the key's reseller, or the partner.
    #[schema(nullable = false)]
    pub partner_id: Option<ResellerId>,
    /// `partner` when left out.
    #[schema(nullable = false)]
    pub administration: Option<AdministrationKind>,
    /// The customer's administrator: required when `administration` is `customer`, refused otherwise.
    #[schema(nullable = false)]
    pub admin_email: Option<Email>,
    /// What it pays in. The deployment's default when left out; fixed once there is an order.
    #[schema(nullable = false)]
    pub currency: Option<Currency>,
}

/// Changes of a customer: a merge patch (RFC 7396). What is left out stays, null clears.
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
    /// The reseller that manages the account: another one moves the customer there, null to the partner.
    #[serde(default, deserialize_with = "clearable")]
    pub partner_id: Option<Option<ResellerId>>,
    /// The customer's administrator.
    #[serde(default, deserialize_with = "clearable")]
    pub admin_email: Option<Option<Email>>,
    /// What it pays in; fixed once there is an order.
    #[schema(nullable = false)]
    pub currency: Option<Currency>,
    /// The price list that it pays by. Assigning needs the right to write products.
    #[serde(default, deserialize_with = "clearable")]
    pub price_list_id: Option<Option<PriceListId>>,
}

list!(CustomerList of Customer);

listing! {
    /// Which customers, in what order.
    CustomerQuery {
        /// The name contains this. Letter case, accents and width do not matter.
        #[param(nullable = false)]
        q: Option<SearchText>,
        /// Managed by this reseller.
        #[param(nullable = false)]
        partner_id: Option<ResellerId>,
        /// In one of these states.
        #[param(max_items = 10)]
        status: Vec<CustomerStatus>,
        /// Country of the address.
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
        /// In this order; `company_name` when left out.
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
/// All customers for the partner's keys; a reseller's keys see their own.
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
/// A reseller's key creates customers of its own reseller. Roles: admin, sales and technician.
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
/// With what may be done next.
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
/// A merge patch. Another `partner_id` moves the customer to another reseller. Roles: admin, sales and
/// technician.
#[utoipa::path(
    tag = "Customers",
    params(IfMatchHeader),
    extensions(("x-errors" = json!([
        "duplicate_external_id", "reseller_disabled", "customer_archived", "currency_fixed"
    ]))),
    responses((status = 200, description = "The customer as it is now.", body = Customer))
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
/// It can then be read and restored, nothing else. Refused while a subscription is pending, active or
/// suspended. Roles: admin, sales and technician.
#[utoipa::path(
    tag = "Customers",
    params(IfMatchHeader),
    extensions(("x-errors" = json!(["has_open_subscriptions"]))),
    responses((status = 200, description = "The customer as it is now.", body = Customer))
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
/// It can be sold to again. Roles: admin, sales and technician.
#[utoipa::path(tag = "Customers", params(IfMatchHeader), responses(
    (status = 200, description = "The customer as it is now.", body = Customer)
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
