//! Why the domain rejects a request. The text of a refusal is the `detail` of the error: it says what is wrong and what
//! to do next.

use chrono::NaiveDate;

use crate::domain::authorization::{Right, needs};
use crate::domain::label::label;
use crate::domain::money::AmountOutOfRange;
use crate::domain::text::Code;

label! {
    /// What is wrong with a field or parameter. `required`: missing, or would be cleared; `unknown_field`: does not
    /// exist; `immutable_field`: cannot be changed; `invalid_type`: has another JSON type; `invalid_format`: does not
    /// match the pattern or format; `too_short`, `too_long`: has the wrong length or number of items; `out_of_range`: a
    /// number or total outside its bounds; `not_allowed`: not one of the allowed values; `unknown_reference`: no
    /// visible resource has this id; `duplicate`: given twice; `start_date_too_early`, `start_date_too_late`,
    /// `term_not_offered`, `certificate_type_not_in_product`: does not fit the product. More values may be added.
    ViolationCode {
        /// Missing, or would be cleared.
        Required = "required",
        UnknownField = "unknown_field",
        ImmutableField = "immutable_field",
        InvalidType = "invalid_type",
        InvalidFormat = "invalid_format",
        TooShort = "too_short",
        TooLong = "too_long",
        OutOfRange = "out_of_range",
        NotAllowed = "not_allowed",
        UnknownReference = "unknown_reference",
        Duplicate = "duplicate",
        /// The term would already be over.
        StartDateTooEarly = "start_date_too_early",
        /// More than a year ahead.
        StartDateTooLate = "start_date_too_late",
        TermNotOffered = "term_not_offered",
        CertificateTypeNotInProduct = "certificate_type_not_in_product",
    }
}

/// One problem of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// JSON pointer to the invalid value.
    pub pointer: String,
    pub code: ViolationCode,
    /// What is wrong, and what to do.
    pub detail: String,
}

impl Violation {
    pub fn new(pointer: impl Into<String>, code: ViolationCode, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), code, detail: detail.into() }
    }
}

/// Why the domain rejects a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("The request has {} problem(s). Correct everything in `errors`, then send it again.", .0.len())]
    Invalid(Vec<Violation>),
    #[error("The {resource} is {state}, which does not allow `{action}`. {}.", allowed_now(.allowed))]
    InvalidTransition {
        resource: &'static str,
        state: &'static str,
        action: &'static str,
        /// The actions that the state allows.
        allowed: Vec<&'static str>,
    },
    #[error("The subscription is suspended. Enable it first.")]
    SubscriptionSuspended,
    #[error("The term ended on {0}. Renew the subscription instead.")]
    TermEnded(NaiveDate),
    #[error("Every renewal quantity is 0. Set the renewal inventory first.")]
    NothingToRenew,
    #[error("The customer is archived. Restore it first.")]
    CustomerArchived,
    #[error("The customer has {0} pending, active or suspended subscription(s). Cancel them, or wait until they end.")]
    HasOpenSubscriptions(i64),
    #[error("The product {0} is retired and accepts no new subscriptions. Choose one of the available products.")]
    ProductRetired(Code),
    #[error("Subscriptions hold certificates of {}. Keep these types in the list.", listed(.0))]
    CertificateTypeInUse(Vec<Code>),
    #[error(
        "{requested} certificate(s) of {certificate_type} were requested, but only {available} are available. \
         Release some, or add to the current inventory."
    )]
    InventoryExhausted { certificate_type: Code, requested: i32, available: i32 },
    /// The actor lacks a right that a part of the request requires.
    #[error("{}", needs(*.0))]
    Forbidden(Right),
    /// The actor would grant access to data that it cannot see.
    #[error("A reseller's key can manage only that reseller's keys. Use a key of the provider with the role admin.")]
    BeyondScope,
    #[error(
        "The price list is assigned, or orders or terms refer to it, so it cannot be deleted. Keep it, and assign \
         another list instead."
    )]
    PriceListInUse,
    #[error("This tenant already has the maximum of {0} live API keys. Revoke a key that is no longer used.")]
    TooManyApiKeys(i64),
    #[error(
        "This tenant already has the maximum of {0} webhook endpoints. Delete one, or subscribe an existing one to \
         more event types."
    )]
    TooManyWebhookEndpoints(i64),
    #[error("The customer has orders, so its currency cannot change. Create another customer for the other currency.")]
    CurrencyFixed,
    #[error("The reseller is disabled and cannot take new customers. Enable it first, or choose another reseller.")]
    ResellerDisabled,
    #[error("An amount exceeds 9007199254740991 minor units. Order smaller quantities.")]
    AmountOutOfRange,
}

impl From<AmountOutOfRange> for Refusal {
    fn from(_: AmountOutOfRange) -> Self {
        Self::AmountOutOfRange
    }
}

impl From<Violation> for Refusal {
    fn from(violation: Violation) -> Self {
        Self::Invalid(vec![violation])
    }
}

/// Succeeds if there are no violations.
///
/// # Errors
/// [`Refusal::Invalid`] with all violations.
pub fn none_of(violations: Vec<Violation>) -> Result<(), Refusal> {
    if violations.is_empty() { Ok(()) } else { Err(Refusal::Invalid(violations)) }
}

fn allowed_now(actions: &[&str]) -> String {
    if actions.is_empty() {
        "No action is allowed in this state".to_owned()
    } else {
        format!("Allowed now: {}", actions.join(", "))
    }
}

fn listed(codes: &[Code]) -> String {
    codes.iter().map(Code::as_str).collect::<Vec<_>>().join(", ")
}
