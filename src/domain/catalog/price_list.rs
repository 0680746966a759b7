//! Price lists: prices that replace a product's own prices, for the customers and resellers that the list is assigned
//! to. The customer's list takes precedence over its reseller's list, and both over the product.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use crate::domain::catalog::product::{Price, Product};
use crate::domain::id::{PriceListId, ProductId, Version};
use crate::domain::machine::Outcome;
use crate::domain::money::Currency;
use crate::domain::refusal::{Refusal, Violation, ViolationCode, none_of};
use crate::domain::text::{Code, Line, SearchText};

/// A price list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PriceList {
    pub id: PriceListId,
    /// The currency of all prices. The list has no effect for customers with another currency.
    pub currency: Currency,
    pub details: Details,
    pub version: Version,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// The editable part of a price list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Details {
    pub name: Line,
    /// Sorted by product, type and term.
    pub prices: Vec<ListPrice>,
}

/// The price of one certificate of a type for a whole term.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListPrice {
    pub product_id: ProductId,
    pub certificate_type: Code,
    pub term_months: i32,
    /// The currency of the list.
    pub currency: Currency,
    /// Minor units for the whole term.
    pub unit_price: i64,
}

type Products = BTreeMap<ProductId, Product>;

impl PriceList {
    /// Creates a price list.
    ///
    /// # Errors
    /// The currency is not in circulation, or a price is for something that is not sold in it.
    pub fn create(
        id: PriceListId,
        currency: Currency,
        details: Details,
        products: &Products,
        at: DateTime<Utc>,
    ) -> Result<Self, Refusal> {
        let details = details.checked(currency, currency.refused("/currency"), products)?;
        Ok(Self { id, currency, details, version: Version::FIRST, created_at: at, updated_at: at })
    }

    /// Returns the list with other details. Running terms keep their prices.
    ///
    /// # Errors
    /// The prices change, and a new price is for something that is not sold in the currency of the list.
    pub fn edit(&self, details: Details, products: &Products, at: DateTime<Utc>) -> Result<Outcome<Self>, Refusal> {
        if details.clone().sorted() == self.details {
            return Ok(Outcome::Unchanged);
        }
        // Prices of products that are no longer sold may stay on the list while the prices do not change. Only new
        // prices are checked.
        let details = if details.prices == self.details.prices {
            details
        } else {
            details.checked(self.currency, None, products)?
        };
        Ok(Outcome::Changed(Self { details, version: self.version.next(), updated_at: at, ..self.clone() }))
    }
}

impl Details {
    /// Returns the products that the list has prices for.
    #[must_use]
    pub fn product_ids(&self) -> BTreeSet<ProductId> {
        self.prices.iter().map(|price| price.product_id).collect()
    }

    fn sorted(mut self) -> Self {
        self.prices.sort_by(|a, b| a.key().cmp(&b.key()));
        self
    }

    fn checked(self, currency: Currency, wrong: Option<Violation>, products: &Products) -> Result<Self, Refusal> {
        let mut violations = Vec::from_iter(wrong);
        let mut seen = BTreeSet::new();
        for (index, price) in self.prices.iter().enumerate() {
            let wrong =
                |field: &str, code, detail: String| Violation::new(format!("/prices/{index}{field}"), code, detail);
            if !seen.insert(price.key()) {
                let detail =
                    "This combination of product, certificate type and term has two prices. Remove one.".to_owned();
                violations.push(wrong("", ViolationCode::Duplicate, detail));
            }
            if price.currency != currency {
                let detail = format!("The prices of this list are in {currency}. Use this currency.");
                violations.push(wrong("/unit_price/currency", ViolationCode::NotAllowed, detail));
            }
            let misfits = price.misfits(currency, products);
            violations.extend(misfits.into_iter().map(|(field, code, detail)| wrong(field, code, detail)));
        }
        none_of(violations)?;
        Ok(self.sorted())
    }
}

impl ListPrice {
    fn key(&self) -> (ProductId, &Code, i32) {
        (self.product_id, &self.certificate_type, self.term_months)
    }

    /// Returns what is wrong with a price that is not on sale.
    fn misfits(&self, currency: Currency, products: &Products) -> Vec<(&'static str, ViolationCode, String)> {
        let Some(product) = products.get(&self.product_id) else {
            let detail = "This product does not exist. List the products to find its id.".to_owned();
            return vec![("/product_id", ViolationCode::UnknownReference, detail)];
        };
        let mut found = Vec::new();
        if product.details.certificate_type(&self.certificate_type).is_none() {
            let detail = format!("The product {} has no such certificate type. Use one of its types.", product.code);
            found.push(("/certificate_type", ViolationCode::CertificateTypeNotInProduct, detail));
        }
        if !product.details.terms.contains(&self.term_months) {
            let detail =
                format!("The product is offered for {:?} months. Choose one of these terms.", product.details.terms);
            found.push(("/term_months", ViolationCode::TermNotOffered, detail));
        } else if !product.details.prices.iter().any(|price| price.currency == currency) {
            let detail = format!(
                "The product {} is not sold in {currency}. Add prices in {currency} to the product first.",
                product.code
            );
            found.push(("/product_id", ViolationCode::NotAllowed, detail));
        }
        found
    }
}

/// The prices of a list for some products.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overrides {
    pub price_list_id: PriceListId,
    pub currency: Currency,
    /// Minor units for the whole term, by product, type and term in months.
    pub unit_prices: BTreeMap<(ProductId, Code, i32), i64>,
}

/// Returns the product with the prices for a customer: the price of the first list that has one, or the product's own.
#[must_use]
pub fn offered(mut product: Product, lists: &[&Overrides]) -> Product {
    for price in &mut product.details.prices {
        let key = (product.id, price.certificate_type.clone(), price.term_months);
        let mut found = lists.iter().filter(|list| list.currency == price.currency);
        if let Some((list, unit_price)) = found.find_map(|list| Some((list, *list.unit_prices.get(&key)?))) {
            *price = Price { unit_price, price_list_id: Some(list.price_list_id), ..price.clone() };
        }
    }
    product
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PriceListFilter {
    /// The name contains this text.
    pub q: Option<SearchText>,
    pub currency: Option<Currency>,
}
