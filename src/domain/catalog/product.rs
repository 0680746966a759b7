//! Products: what customers can subscribe to, with terms and prices.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::domain::id::{PriceListId, ProductId, Version};
use crate::domain::label::label;
use crate::domain::machine::Outcome;
use crate::domain::money::Currency;
use crate::domain::refusal::{self, Refusal, Violation, ViolationCode};
use crate::domain::text::{Code, Description, Line, SearchText, stored};

label! {
    /// State of a product. `active`: accepts new subscriptions; `retired`: existing subscriptions continue and renew,
    /// but new ones are rejected. More values may be added.
    ProductStatus {
        Active = "active",
        Retired = "retired",
    }
}

/// The maximum quantity per certificate type that a product can allow.
pub const MAX_QUANTITY: i32 = 1_000_000;

/// Prices of one certificate for a whole term, by certificate type.
pub type UnitPrices = BTreeMap<Code, UnitPrice>;

/// The price of one certificate for a whole term, with its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitPrice {
    /// Minor units.
    pub amount: i64,
    /// The price list of the price; `None` for the product's own price.
    pub price_list_id: Option<PriceListId>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    pub id: ProductId,
    /// A stable, unique name.
    pub code: Code,
    pub details: Details,
    pub version: Version,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// The editable part of a product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Details {
    pub name: Line,
    pub description: Option<Description>,
    pub status: ProductStatus,
    pub certificate_types: Vec<CertificateType>,
    /// The lengths of the available terms, in months.
    pub terms: Vec<i32>,
    /// Contains a price for every type and term in each currency that is used.
    pub prices: Vec<Price>,
}

/// A type of certificate in a product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateType {
    /// A stable name; unique in the product.
    pub code: Code,
    #[serde(deserialize_with = "stored")]
    pub name: Line,
    /// The maximum quantity in a subscription.
    pub max_quantity: i32,
}

/// The price of one certificate of a type for one term.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Price {
    pub certificate_type: Code,
    pub term_months: i32,
    pub currency: Currency,
    /// Minor units for the whole term.
    pub unit_price: i64,
    /// The price list of the price; `None` for the product's own price, and always in stored products.
    #[serde(skip)]
    pub price_list_id: Option<PriceListId>,
}

impl Product {
    /// Creates a product.
    ///
    /// # Errors
    /// The types, terms and prices do not fit together.
    pub fn create(id: ProductId, code: Code, details: Details, at: DateTime<Utc>) -> Result<Self, Refusal> {
        refusal::none_of(details.violations(&[]))?;
        Ok(Self { id, code, details, version: Version::FIRST, created_at: at, updated_at: at })
    }

    /// Returns the product with other details. `held` are the certificate types that subscriptions hold.
    ///
    /// # Errors
    /// The types, terms and prices do not fit together, or a held type is missing.
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

    /// Returns the prices for a term and currency; `None` if the product is not sold for this combination.
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
    #[must_use]
    pub fn certificate_type(&self, code: &Code) -> Option<&CertificateType> {
        self.certificate_types.iter().find(|certificate_type| certificate_type.code == *code)
    }

    /// Returns what does not fit together. Currencies of the prices in `before` stay allowed even when they were
    /// withdrawn, because subscriptions renew in them.
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

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProductFilter {
    /// The name contains this text.
    pub q: Option<SearchText>,
    /// An empty list means all states.
    pub status: Vec<ProductStatus>,
}
