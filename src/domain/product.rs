//! Products: what can be subscribed to, for how long, at what price.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::id::{PriceListId, ProductId, Version};
use super::label::label;
use super::machine::Outcome;
use super::money::Currency;
use super::refusal::{self, Refusal, Violation, ViolationCode};
use super::text::{Code, Description, Line, stored};

label! {
    /// State of a product. `active`: can be subscribed to; `retired`: running subscriptions go on and
    /// renew, new ones are refused. Expect more values.
    ProductStatus {
        /// Can be subscribed to.
        Active = "active",
        /// Only goes on.
        Retired = "retired",
    }
}

/// The most certificates of a type that any product can allow.
pub const MAX_QUANTITY: i32 = 1_000_000;

/// Prices of one certificate for a whole term, by certificate type.
pub type UnitPrices = BTreeMap<Code, UnitPrice>;

/// What one certificate costs for a whole term, and who says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitPrice {
    /// Minor units.
    pub amount: i64,
    /// The price list that it comes from; `None` when it is the product's own.
    pub price_list_id: Option<PriceListId>,
}

/// A product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    /// Its id.
    pub id: ProductId,
    /// Its stable name; unique.
    pub code: Code,
    /// Everything that can be edited.
    pub details: Details,
    /// How often it has changed.
    pub version: Version,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// What can be edited of a product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Details {
    /// Its name.
    pub name: Line,
    /// What it is.
    pub description: Option<Description>,
    /// Whether it can be subscribed to.
    pub status: ProductStatus,
    /// The types of certificates in it.
    pub certificate_types: Vec<CertificateType>,
    /// The terms offered, in months.
    pub terms: Vec<i32>,
    /// Every type and term priced in each currency used.
    pub prices: Vec<Price>,
}

/// A type of certificate in a product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateType {
    /// Its stable name; unique in the product.
    pub code: Code,
    /// Its name.
    #[serde(deserialize_with = "stored")]
    pub name: Line,
    /// The most a subscription can hold.
    pub max_quantity: i32,
}

/// What one certificate of a type costs for one term.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Price {
    /// The type.
    pub certificate_type: Code,
    /// The term in months.
    pub term_months: i32,
    /// The currency.
    pub currency: Currency,
    /// Minor units for the whole term.
    pub unit_price: i64,
    /// The price list that it comes from; `None` when it is the product's own, as products are kept.
    #[serde(skip)]
    pub price_list_id: Option<PriceListId>,
}

impl Product {
    /// A new product.
    ///
    /// # Errors
    /// The types, terms and prices must fit together.
    pub fn create(id: ProductId, code: Code, details: Details, at: DateTime<Utc>) -> Result<Self, Refusal> {
        refusal::none_of(details.violations(&[]))?;
        Ok(Self { id, code, details, version: Version::FIRST, created_at: at, updated_at: at })
    }

    /// The product with other details. `held` are the types that subscriptions hold.
    ///
    /// # Errors
    /// The types, terms and prices must fit together, and a type that is held stays.
    pub fn edit(&self, details: Details, held: &BTreeSet<Code>, at: DateTime<Utc>) -> Result<Outcome<Self>, Refusal> {
        if details == self.details {
            return Ok(Outcome::Unchanged);
        }
        refusal::none_of(details.violations(&self.details.prices))?;
        let dropped: Vec<_> = held.iter().filter(|code| details.certificate_type(code).is_none()).cloned().collect();
        if !dropped.is_empty() {
            return Err(Refusal::CertificateTypeInUse(dropped));
        }
        Ok(Outcome::Changed(Self { details, version: self.version.next(), updated_at: at, ..self.clone() }))
    }

    /// The prices for a term and currency; `None` where it is not sold so.
    #[must_use]
    pub fn unit_prices(&self, term_months: i32, currency: Currency) -> Option<UnitPrices> {
        let prices: UnitPrices = self
            .details
            .prices
            .iter()
            .filter(|price| price.term_months == term_months && price.currency == currency)
            .map(|price| {
                let unit_price = UnitPrice { amount: price.unit_price, price_list_id: price.price_list_id };
                (price.certificate_type.clone(), unit_price)
            })
            .collect();
        (!prices.is_empty()).then_some(prices)
    }
}

impl Details {
    /// A type by its code.
    #[must_use]
    pub fn certificate_type(&self, code: &Code) -> Option<&CertificateType> {
        self.certificate_types.iter().find(|certificate_type| certificate_type.code == *code)
    }

    /// What does not fit together. The currencies of prices from `before` stay, also when they are withdrawn:
    /// subscriptions renew in them.
    fn violations(&self, before: &[Price]) -> Vec<Violation> {
        use ViolationCode::{CertificateTypeNotInProduct, Duplicate, Required, TermNotOffered};
        let mut found = Vec::new();

        let mut codes = BTreeSet::new();
        for (index, certificate_type) in self.certificate_types.iter().enumerate() {
            if !codes.insert(&certificate_type.code) {
                let at = format!("/certificate_types/{index}/code");
                found.push(Violation::new(at, Duplicate, "This certificate type is listed twice. Remove one."));
            }
        }
        let mut terms = BTreeSet::new();
        for (index, months) in self.terms.iter().enumerate() {
            if !terms.insert(*months) {
                found.push(Violation::new(
                    format!("/terms/{index}"),
                    Duplicate,
                    "This term is listed twice. Remove one.",
                ));
            }
        }
        let mut priced = BTreeSet::new();
        let mut currencies = BTreeSet::new();
        for (index, price) in self.prices.iter().enumerate() {
            if !codes.contains(&price.certificate_type) {
                let at = format!("/prices/{index}/certificate_type");
                found.push(Violation::new(
                    at,
                    CertificateTypeNotInProduct,
                    "The product has no such certificate type. Add the type, or remove the price.",
                ));
            }
            if !terms.contains(&price.term_months) {
                let at = format!("/prices/{index}/term_months");
                found.push(Violation::new(
                    at,
                    TermNotOffered,
                    "The product has no such term. Add the term, or remove the price.",
                ));
            }
            if !priced.insert((price.currency, price.term_months, &price.certificate_type)) {
                let detail = "This combination of certificate type, term and currency has two prices. Remove one.";
                found.push(Violation::new(format!("/prices/{index}"), Duplicate, detail));
            }
            if before.iter().all(|known| known.currency != price.currency) {
                found.extend(price.currency.refused(format!("/prices/{index}/unit_price/currency")));
            }
            currencies.insert(price.currency);
        }
        for currency in currencies {
            for months in &terms {
                for code in codes.iter().filter(|code| !priced.contains(&(currency, *months, **code))) {
                    let detail = format!("{code} has no price for {months} months in {currency}. Add one.");
                    found.push(Violation::new("/prices", Required, detail));
                }
            }
        }
        found
    }
}
