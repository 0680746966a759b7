//! Quotes, and the lines that quotes and orders share.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::money::Money;
use crate::domain::billing::order::{self, Bucket, OrderKind};
use crate::domain::billing::proration;
use crate::domain::billing::quote::{self, WarningCode};
use crate::domain::id::{PriceListId, ProductId, SubscriptionId};
use crate::domain::label::label;
use crate::domain::money;
use crate::domain::text::Code;

label! {
    /// How amounts are rounded: once for each line, half away from zero.
    Rounding {
        HalfAwayFromZero = "half_away_from_zero",
    }
}

/// The effects and the cost of a change, as of a day. Confirm it with its `digest`.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(example = json!({
    "as_of": "2026-04-01",
    "lines": [{
        "subscription_id": null,
        "subscription_index": 0,
        "product_id": "01990000-0000-7000-8000-000000000000",
        "certificate_type": "ov-single",
        "bucket": "current",
        "quantity_before": 0,
        "quantity_after": 10,
        "calculation": {
            "unit_price": { "amount": 9900, "currency": "EUR" },
            "quantity": 10,
            "remaining_days": 275,
            "term_days": 365,
            "rounding": "half_away_from_zero"
        },
        "price_list_id": null,
        "amount": { "amount": 74589, "currency": "EUR" }
    }],
    "next_renewal_total": { "amount": 99000, "currency": "EUR" },
    "warnings": []
}))]
pub struct Quote {
    pub kind: OrderKind,
    /// A hash of all data that the quote was computed from.
    #[schema(
        min_length = 64,
        max_length = 64,
        pattern = "^[0-9a-f]{64}$",
        example = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    )]
    pub digest: String,
    /// The day that the quote was computed for.
    pub as_of: NaiveDate,
    /// Each change, with its calculation.
    #[schema(max_items = 10_000)]
    pub lines: Vec<OrderLine>,
    /// The total cost.
    pub total: Money,
    /// The cost of the next renewal of these subscriptions at today's prices. Subscriptions without automatic renewal
    /// count as 0.
    pub next_renewal_total: Money,
    /// Warnings to review before you confirm.
    #[schema(max_items = 1000)]
    pub warnings: Vec<Warning>,
}

/// One change of one quantity, with its cost: a planned change in a quote, or a past change in an order.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct OrderLine {
    /// The id of the subscription; null in a quote for a new subscription.
    #[schema(required)]
    pub subscription_id: Option<SubscriptionId>,
    /// The index of the new subscription in the request, from 0; null for an existing subscription.
    #[schema(required, minimum = 0, maximum = 49, example = 0)]
    pub subscription_index: Option<i32>,
    /// The id of the product.
    pub product_id: ProductId,
    /// The certificate type.
    pub certificate_type: Code,
    pub bucket: Bucket,
    /// The quantity before the change; null if the renewal quantity followed the current quantity.
    #[schema(required, minimum = 0, maximum = 1_000_000, example = 0)]
    pub quantity_before: Option<i32>,
    /// The quantity after the change; null if the renewal quantity follows the current quantity.
    #[schema(required, minimum = 0, maximum = 1_000_000, example = 10)]
    pub quantity_after: Option<i32>,
    #[schema(required)]
    pub calculation: Option<Calculation>,
    /// The price list of the unit price; null for the product's own price.
    #[schema(required)]
    pub price_list_id: Option<PriceListId>,
    /// The cost; may be 0.
    pub amount: Money,
}

/// `amount = round_half_away_from_zero(unit_price × quantity × remaining_days / term_days)`; null if nothing is
/// charged.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(example = json!({ "unit_price": { "amount": 9900, "currency": "EUR" } }))]
pub struct Calculation {
    /// The price of one certificate for the whole term.
    pub unit_price: Money,
    /// The number of certificates.
    #[schema(minimum = 0, maximum = 1_000_000, example = 10)]
    pub quantity: i32,
    /// The paid days of the term, including the day of the change.
    #[schema(minimum = 1, maximum = 1097, example = 275)]
    pub remaining_days: i32,
    /// The days of the whole term.
    #[schema(minimum = 1, maximum = 1097, example = 365)]
    pub term_days: i32,
    pub rounding: Rounding,
}

/// A warning to review before you confirm.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Warning {
    pub code: WarningCode,
    /// The warning in words.
    #[schema(
        max_length = 1000,
        example = "12 certificates of ov-single are in use. The next term would start with 8 and an overage of 4."
    )]
    pub detail: String,
    /// JSON pointer to the value in the request. Omitted if the warning is about the whole request.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_length = 1000, example = "/lines/0/quantity")]
    pub pointer: Option<String>,
}

/// Confirms a quote.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({}))]
pub struct Confirmation {
    /// The digest of the quote that was reviewed. If omitted, the request is confirmed without a check.
    #[schema(nullable = false, min_length = 64, max_length = 64, pattern = "^[0-9a-f]{64}$")]
    pub digest: Option<String>,
}

impl Calculation {
    pub(super) fn new(calculation: proration::Calculation, currency: money::Currency) -> Self {
        Self {
            unit_price: Money { amount: calculation.unit_price, currency },
            quantity: calculation.quantity,
            remaining_days: calculation.remaining_days,
            term_days: calculation.term_days,
            rounding: Rounding::HalfAwayFromZero,
        }
    }
}

impl From<&order::OrderLine> for OrderLine {
    fn from(line: &order::OrderLine) -> Self {
        Self {
            subscription_id: line.subscription_id,
            subscription_index: line.subscription_index,
            product_id: line.product_id,
            certificate_type: line.certificate_type.clone(),
            bucket: line.bucket,
            quantity_before: line.quantity_before,
            quantity_after: line.quantity_after,
            price_list_id: line.price_list_id,
            calculation: line.calculation.map(|calculation| Calculation::new(calculation, line.amount.currency)),
            amount: line.amount.into(),
        }
    }
}

impl From<&quote::Quote> for Quote {
    fn from(quote: &quote::Quote) -> Self {
        Self {
            kind: quote.kind,
            digest: quote.digest.clone(),
            as_of: quote.as_of,
            lines: quote.lines.iter().map(OrderLine::from).collect(),
            total: quote.total.into(),
            next_renewal_total: quote.next_renewal_total.into(),
            warnings: quote
                .warnings
                .iter()
                .map(|warning| Warning {
                    code: warning.code,
                    detail: warning.detail.clone(),
                    pointer: warning.pointer.clone(),
                })
                .collect(),
        }
    }
}
