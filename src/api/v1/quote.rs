//! Quotes, and the lines that quotes and orders share.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::money::Money;
use crate::domain::id::{PriceListId, ProductId, SubscriptionId};
use crate::domain::label::label;
use crate::domain::order::{self, Bucket, OrderKind};
use crate::domain::quote::{self, WarningCode};
use crate::domain::text::Code;
use crate::domain::{money, proration};

label! {
    /// How an amount is rounded: once a line, half away from zero.
    Rounding {
        /// Half away from zero.
        HalfAwayFromZero = "half_away_from_zero",
    }
}

/// What a change will do and cost, as of a day. Confirm it with its `digest`.
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
    /// Stands for everything that the quote was computed from.
    #[schema(
        min_length = 64,
        max_length = 64,
        pattern = "^[0-9a-f]{64}$",
        example = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    )]
    pub digest: String,
    /// The day that it was computed for.
    pub as_of: NaiveDate,
    /// Each change, with its arithmetic.
    #[schema(max_items = 10_000)]
    pub lines: Vec<OrderLine>,
    /// What it costs.
    pub total: Money,
    /// What the next renewal of these subscriptions will cost at today's prices; those that do not renew
    /// by themselves count 0.
    pub next_renewal_total: Money,
    /// What to think about before confirming.
    #[schema(max_items = 1000)]
    pub warnings: Vec<Warning>,
}

/// One change of one quantity, with what it costs: in a quote, what will be; in an order, what was.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct OrderLine {
    /// The subscription; null in a quote for a new one.
    #[schema(required)]
    pub subscription_id: Option<SubscriptionId>,
    /// Which of the request's new subscriptions, from 0; null for one that exists.
    #[schema(required, minimum = 0, maximum = 49, example = 0)]
    pub subscription_index: Option<i32>,
    /// The product.
    pub product_id: ProductId,
    /// The certificate type.
    pub certificate_type: Code,
    pub bucket: Bucket,
    /// Before the change; null when the renewal quantity followed the current one.
    #[schema(required, minimum = 0, maximum = 1_000_000, example = 0)]
    pub quantity_before: Option<i32>,
    /// After the change; null when the renewal quantity follows the current one.
    #[schema(required, minimum = 0, maximum = 1_000_000, example = 10)]
    pub quantity_after: Option<i32>,
    #[schema(required)]
    pub calculation: Option<Calculation>,
    /// The price list that the unit price comes from; null when it is the product's own.
    #[schema(required)]
    pub price_list_id: Option<PriceListId>,
    /// What it costs; may be 0.
    pub amount: Money,
}

/// `amount = round_half_away_from_zero(unit_price × quantity × remaining_days / term_days)`; null where
/// nothing is charged.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(example = json!({ "unit_price": { "amount": 9900, "currency": "EUR" } }))]
pub struct Calculation {
    /// Price of one certificate for the whole term.
    pub unit_price: Money,
    /// Certificates.
    #[schema(minimum = 0, maximum = 1_000_000, example = 10)]
    pub quantity: i32,
    /// Days of the term that are paid for; the day of the change counts.
    #[schema(minimum = 1, maximum = 1097, example = 275)]
    pub remaining_days: i32,
    /// Days of the term.
    #[schema(minimum = 1, maximum = 1097, example = 365)]
    pub term_days: i32,
    pub rounding: Rounding,
}

/// Something to think about before confirming.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Warning {
    pub code: WarningCode,
    /// In words.
    #[schema(
        max_length = 1000,
        example = "12 certificates of ov-single are in use; the next term would start with 8 and an overage of 4."
    )]
    pub detail: String,
    /// JSON pointer to the value in the request; left out when it is about the whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_length = 1000, example = "/lines/0/quantity")]
    pub pointer: Option<String>,
}

/// Confirms what a quote showed.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({}))]
pub struct Confirmation {
    /// The digest of the quote that was reviewed. Left out, it is confirmed as it is now.
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
