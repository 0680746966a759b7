//! Resellers.

use actix_web::{HttpResponse, get, patch, post};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::company::{self, Address, AddressCreate, AddressPatch, Contact, ContactCreate, ContactPatch};
use super::{ActionRequest, clearable};
use crate::api::contract::json::{Json, NoBody, OptionalJson};
use crate::api::contract::path::Id;
use crate::api::contract::problem::{ActionState, Problem};
use crate::api::contract::query::NoQuery;
use crate::api::middleware::authenticate::{Permit, Read, WriteResellers};
use crate::api::respond::page::{Listing, list, listing};
use crate::api::respond::resource::{IfMatch, IfMatchHeader, IfNoneMatch, IfNoneMatchHeader, created, ok};
use crate::domain::authorization::Actor;
use crate::domain::id::{PriceListId, ResellerId, Version};
use crate::domain::parties::company::{Company, CompanySort};
use crate::domain::parties::reseller::{self, Command, Details, ResellerFilter, ResellerStatus, State};
use crate::domain::text::{CompanyName, ExternalId, Reason, SearchText};
use crate::ops::resellers;

/// A company that sells for the provider.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "company_name": "Harbour Resale",
    "disabled": null,
    "actions": [{ "action": "disable", "allowed": true }]
}))]
pub struct Reseller {
    /// The id of the reseller.
    pub id: ResellerId,
    /// Name of the company.
    pub company_name: CompanyName,
    pub address: Address,
    #[schema(required)]
    pub contact: Option<Contact>,
    /// Your own reference. Unique among resellers.
    #[schema(required)]
    pub external_id: Option<ExternalId>,
    /// The price list of the reseller's customers, unless they have their own.
    #[schema(required)]
    pub price_list_id: Option<PriceListId>,
    pub status: ResellerStatus,
    #[schema(required)]
    pub disabled: Option<Stop>,
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

/// When and why a state was entered.
#[derive(Debug, Serialize, ToSchema)]
pub struct Stop {
    /// The instant of the change.
    pub at: DateTime<Utc>,
    /// The reason that was given for the change.
    #[schema(required)]
    pub reason: Option<Reason>,
}

/// A new reseller.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "company_name": "Harbour Resale",
    "address": { "line1": "1 Quay", "city": "Antwerp", "postal_code": "2000", "country": "BE" },
    "contact": { "name": "Ada Peeters", "email": "ada@harbour.example" },
    "external_id": "reseller-7"
}))]
pub struct ResellerCreate {
    /// Name of the company.
    pub company_name: CompanyName,
    pub address: AddressCreate,
    #[schema(nullable = false)]
    pub contact: Option<ContactCreate>,
    /// Your own reference. Unique among resellers.
    #[schema(nullable = false)]
    pub external_id: Option<ExternalId>,
}

/// Changes of a reseller: a merge patch (RFC 7396). Omitted fields stay unchanged, null clears a field.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "address": { "line1": "2 Quay", "line2": null }, "contact": null }))]
pub struct ResellerPatch {
    /// Name of the company.
    #[schema(nullable = false)]
    pub company_name: Option<CompanyName>,
    #[schema(nullable = false)]
    pub address: Option<AddressPatch>,
    #[serde(default, deserialize_with = "clearable")]
    pub contact: Option<Option<ContactPatch>>,
    /// Your own reference. Unique among resellers.
    #[serde(default, deserialize_with = "clearable")]
    pub external_id: Option<Option<ExternalId>>,
    /// The price list of the reseller's customers, unless they have their own.
    #[serde(default, deserialize_with = "clearable")]
    pub price_list_id: Option<Option<PriceListId>>,
}

list!(ResellerList of Reseller);

listing! {
    /// Filters and sort order of resellers.
    ResellerQuery {
        /// The name contains this text. Letter case, accents and width are ignored.
        #[param(nullable = false)]
        q: Option<SearchText>,
        /// Only resellers in one of these states.
        #[param(max_items = 10)]
        status: Vec<ResellerStatus>,
        /// Your own reference.
        #[param(nullable = false)]
        external_id: Option<ExternalId>,
        /// The sort order; `company_name` if omitted.
        #[param(nullable = false)]
        sort: Option<CompanySort>,
    }
}

impl Reseller {
    pub(super) fn new(reseller: &reseller::Reseller, actor: &Actor) -> Self {
        let reseller::Reseller { company, state, .. } = reseller;
        Self {
            id: reseller.id,
            company_name: company.name.clone(),
            address: (&company.address).into(),
            contact: company.contact.as_ref().map(Contact::from),
            external_id: company.external_id.clone(),
            price_list_id: reseller.price_list_id,
            status: reseller.status(),
            disabled: match state {
                State::Enabled => None,
                State::Disabled { at, reason } => Some(Stop { at: *at, reason: reason.clone() }),
            },
            actions: actor.offers(reseller.possibilities()).iter().map(ActionState::from).collect(),
            version: reseller.version,
            created_at: reseller.created_at,
            updated_at: reseller.updated_at,
        }
    }
}

impl From<ResellerCreate> for Company {
    fn from(new: ResellerCreate) -> Self {
        company::create(new.company_name, new.address, new.contact, new.external_id)
    }
}

impl ResellerPatch {
    fn apply(self, to: Details) -> Details {
        Details {
            company: company::patch(to.company, self.company_name, self.address, self.contact, self.external_id),
            price_list_id: self.price_list_id.unwrap_or(to.price_list_id),
        }
    }
}

/// List resellers
///
/// Returns resellers. The provider's keys see all resellers, and a reseller's key sees only its own.
#[utoipa::path(tag = "Resellers", params(ResellerQuery), responses(
    (status = 200, description = "A page of resellers.", body = ResellerList)
))]
#[get("/resellers")]
pub async fn list_resellers(permit: Permit<Read>, listing: Listing<ResellerQuery>) -> Result<HttpResponse, Problem> {
    let query = &listing.filter;
    let filter =
        ResellerFilter { q: query.q.clone(), status: query.status.clone(), external_id: query.external_id.clone() };
    let sort = query.sort.unwrap_or(CompanySort::NameAscending);
    let page = resellers::list(&permit.cx, &filter, sort, &listing.window).await?;
    let page = page.map(|reseller| Reseller::new(&reseller, &permit.cx.actor));
    Ok(listing.answer(page, |data, next_cursor| ResellerList { data, next_cursor }))
}

/// Create a reseller
///
/// Creates a reseller that is enabled at once. Roles: the provider's admin and sales.
#[utoipa::path(tag = "Resellers", extensions(("x-errors" = json!(["duplicate_external_id"]))), responses(
    (status = 201, description = "The reseller.", body = Reseller)
))]
#[post("/resellers")]
pub async fn create_reseller(
    permit: Permit<WriteResellers>,
    _: NoQuery,
    body: Json<ResellerCreate>,
) -> Result<HttpResponse, Problem> {
    let reseller = resellers::create(&permit.cx, body.0.into()).await?;
    let location = format!("/v1/resellers/{}", reseller.id);
    Ok(created(&location, Some(reseller.version), Reseller::new(&reseller, &permit.cx.actor)))
}

/// Get a reseller
///
/// Returns the reseller, with the actions that are allowed now.
#[utoipa::path(tag = "Resellers", params(IfNoneMatchHeader), responses(
    (status = 200, description = "The reseller.", body = Reseller)
))]
#[get("/resellers/{reseller_id}")]
pub async fn get_reseller(
    permit: Permit<Read>,
    id: Id<ResellerId>,
    _: NoQuery,
    have: IfNoneMatch,
) -> Result<HttpResponse, Problem> {
    let reseller = resellers::get(&permit.cx, id.0).await?;
    Ok(have.answer(reseller.version, Reseller::new(&reseller, &permit.cx.actor)))
}

/// Edit a reseller
///
/// Applies a merge patch. Roles: the provider's admin and sales.
#[utoipa::path(
    tag = "Resellers",
    params(IfMatchHeader),
    extensions(("x-errors" = json!(["duplicate_external_id"]))),
    responses((status = 200, description = "The updated reseller.", body = Reseller))
)]
#[patch("/resellers/{reseller_id}")]
pub async fn update_reseller(
    permit: Permit<WriteResellers>,
    id: Id<ResellerId>,
    _: NoQuery,
    expected: IfMatch,
    body: Json<ResellerPatch>,
) -> Result<HttpResponse, Problem> {
    let reseller = resellers::update(&permit.cx, id.0, &expected.0, |details| body.0.apply(details)).await?;
    Ok(ok(reseller.version, Reseller::new(&reseller, &permit.cx.actor)))
}

/// Disable a reseller
///
/// Disables the reseller: its keys are rejected, and it cannot take new customers. The services, renewals and charges
/// of its customers continue, and their data does not change. Roles: the provider's admin and sales.
#[utoipa::path(tag = "Resellers", params(IfMatchHeader), request_body = ActionRequest, responses(
    (status = 200, description = "The updated reseller.", body = Reseller)
))]
#[post("/resellers/{reseller_id}/disable")]
pub async fn disable_reseller(
    permit: Permit<WriteResellers>,
    id: Id<ResellerId>,
    _: NoQuery,
    expected: IfMatch,
    body: OptionalJson<ActionRequest>,
) -> Result<HttpResponse, Problem> {
    let command = Command::Disable { reason: body.0.reason };
    let reseller = resellers::transition(&permit.cx, id.0, &expected.0, command).await?;
    Ok(ok(reseller.version, Reseller::new(&reseller, &permit.cx.actor)))
}

/// Enable a reseller
///
/// Enables the reseller again, with all its keys. Roles: the provider's admin and sales.
#[utoipa::path(tag = "Resellers", params(IfMatchHeader), responses(
    (status = 200, description = "The updated reseller.", body = Reseller)
))]
#[post("/resellers/{reseller_id}/enable")]
pub async fn enable_reseller(
    permit: Permit<WriteResellers>,
    id: Id<ResellerId>,
    _: NoQuery,
    expected: IfMatch,
    _: NoBody,
) -> Result<HttpResponse, Problem> {
    let reseller = resellers::transition(&permit.cx, id.0, &expected.0, Command::Enable).await?;
    Ok(ok(reseller.version, Reseller::new(&reseller, &permit.cx.actor)))
}
