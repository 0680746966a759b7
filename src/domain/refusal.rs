//! Why the domain refuses something. The text of a refusal is the `detail` a caller reads: it says
//! what is wrong and what to do next.

use chrono::NaiveDate;

use super::access::{Right, needs};
use super::label::label;
use super::money::AmountOutOfRange;
use super::text::Code;

label! {
    /// What is wrong with one field or parameter: `required` is missing or would be cleared;
    /// `unknown_field` does not exist; `immutable_field` cannot be changed; `invalid_type` has another
    /// JSON type; `invalid_format` does not match the pattern or format; `too_short`, `too_long` have
    /// the wrong length or number of items; `out_of_range` is a number or total outside its bounds;
    /// `not_allowed` is none of the allowed values; `unknown_reference` names nothing you can see;
    /// `duplicate` is given twice; `start_date_too_early`, `start_date_too_late`, `term_not_offered`
    /// and `certificate_type_not_in_product` do not fit the product. Expect more values.
    ViolationCode {
        /// Missing, or would be cleared.
        Required = "required",
        /// No such field or parameter.
        UnknownField = "unknown_field",
        /// Fixed at creation.
        ImmutableField = "immutable_field",
        /// Another JSON type.
        InvalidType = "invalid_type",
        /// Does not match the pattern or format.
        InvalidFormat = "invalid_format",
        /// Too few characters or items.
        TooShort = "too_short",
        /// Too many characters or items.
        TooLong = "too_long",
        /// Outside the bounds.
        OutOfRange = "out_of_range",
        /// None of the allowed values.
        NotAllowed = "not_allowed",
        /// Names nothing the caller can see.
        UnknownReference = "unknown_reference",
        /// Given twice.
        Duplicate = "duplicate",
        /// The term would already be over.
        StartDateTooEarly = "start_date_too_early",
        /// More than a year ahead.
        StartDateTooLate = "start_date_too_late",
        /// The product is not offered for that many months.
        TermNotOffered = "term_not_offered",
        /// The product has no such certificate type.
        CertificateTypeNotInProduct = "certificate_type_not_in_product",
    }
}

/// One thing that is wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// JSON pointer to the offending value.
    pub pointer: String,
    /// What is wrong.
    pub code: ViolationCode,
    /// What is wrong, and what would be right.
    pub detail: String,
}

impl Violation {
    /// A violation at `pointer`.
    pub fn new(pointer: impl Into<String>, code: ViolationCode, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), code, detail: detail.into() }
    }
}

/// Why the domain refuses something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The request does not fit the rules; all problems at once.
    #[error("The request has {} problem(s). Correct everything in `errors`, then send it again.", .0.len())]
    Invalid(Vec<Violation>),
    /// The action is not possible in the resource's state.
    #[error("The {resource} is {state}, which does not allow `{action}`. {}.", allowed_now(.allowed))]
    InvalidTransition {
        /// What was acted upon.
        resource: &'static str,
        /// Its state.
        state: &'static str,
        /// What was tried.
        action: &'static str,
        /// What would be possible.
        allowed: Vec<&'static str>,
    },
    /// Inventory in use cannot change while the subscription is switched off.
    #[error("The subscription is suspended. Enable it first.")]
    SubscriptionSuspended,
    /// The term is over.
    #[error("The term ended on {0}. Renew the subscription instead.")]
    TermEnded(NaiveDate),
    /// Nothing would be in the new term.
    #[error("Every renewal quantity is 0. Set the renewal inventory first.")]
    NothingToRenew,
    /// An archived customer is readable only.
    #[error("The customer is archived. Restore it first.")]
    CustomerArchived,
    /// A customer with open subscriptions cannot be archived.
    #[error("The customer has {0} pending, active or suspended subscription(s). Cancel them, or wait until they end.")]
    HasOpenSubscriptions(i64),
    /// A retired product is not sold anew.
    #[error("The product {0} is retired and accepts no new subscriptions. Choose one of the available products.")]
    ProductRetired(Code),
    /// A certificate type is held by subscriptions.
    #[error("Subscriptions hold certificates of {}. Keep these types in the list.", listed(.0))]
    CertificateTypeInUse(Vec<Code>),
    /// More certificates than there are.
    #[error(
        "{requested} certificate(s) of {certificate_type} were requested, but only {available} are available. \
         Release some, or add to the current inventory."
    )]
    InventoryExhausted {
        /// The type.
        certificate_type: Code,
        /// How many were asked for.
        requested: i32,
        /// How many there are.
        available: i32,
    },
    /// The actor lacks a right that a part of the request needs.
    #[error("{}", needs(*.0))]
    Forbidden(Right),
    /// The actor would give away more than it sees.
    #[error("A reseller's key can manage only that reseller's keys. Use a key of the provider with the role admin.")]
    BeyondScope,
    /// A price list that is assigned or was used stays.
    #[error(
        "The price list is assigned, or orders or terms refer to it, so it cannot be deleted. Keep it, and assign \
         another list instead."
    )]
    PriceListInUse,
    /// A tenant has as many live API keys as it may have.
    #[error("This tenant already has the maximum of {0} live API keys. Revoke a key that is no longer used.")]
    TooManyApiKeys(i64),
    /// A tenant has so many webhook endpoints.
    #[error(
        "This tenant already has the maximum of {0} webhook endpoints. Delete one, or subscribe an existing one to \
         more event types."
    )]
    TooManyWebhookEndpoints(i64),
    /// The currency cannot change after the first order.
    #[error("The customer has orders, so its currency cannot change. Create another customer for the other currency.")]
    CurrencyFixed,
    /// A disabled reseller gets no customers.
    #[error("The reseller is disabled and cannot take new customers. Enable it first, or choose another reseller.")]
    ResellerDisabled,
    /// An amount cannot be billed.
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

/// Succeeds when there is nothing wrong.
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
