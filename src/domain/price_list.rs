//! Price lists: other prices than the products' own, for the customers and resellers that they are assigned
//! to. A customer's own list goes before its reseller's, and that before the product.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::id::{PriceListId, ProductId, Version};
use super::machine::Outcome;
use super::money::Currency;
use super::product::{Price, Product};
use super::refusal::{Refusal, Violation, ViolationCode, none_of};
use super::text::{Code, Line};

/// A price list, without its prices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PriceList {
    /// Its id.
    pub id: PriceListId,
    /// What all its prices are in; it leaves customers alone that pay in another.
    pub currency: Currency,
    /// What can be edited.
    pub details: Details,
    /// How often it has changed.
    pub version: Version,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// What can be edited of a price list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Details {
    /// Its name.
    pub name: Line,
    /// Its prices, in order of product, type and term.
    pub prices: Vec<ListPrice>,
}

/// What one certificate of a type of a product costs for a whole term.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListPrice {
    /// The product.
    pub product_id: ProductId,
    /// The type.
    pub certificate_type: Code,
    /// The term in months.
    pub term_months: i32,
    /// The currency; the list's.
    pub currency: Currency,
    /// Minor units for the whole term.
    pub unit_price: i64,
}

type Products = BTreeMap<ProductId, Product>;

impl PriceList {
    /// A new price list.
    ///
    /// # Errors
    /// The currency must be in use, and every price of something that is sold in it.
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

    /// The list with other details. Terms that run keep their prices.
    ///
    /// # Errors
    /// When the prices change, every one must be of something that is sold in the list's currency.
    pub fn edit(&self, details: Details, products: &Products, at: DateTime<Utc>) -> Result<Outcome<Self>, Refusal> {
        if details.clone().sorted() == self.details {
            return Ok(Outcome::Unchanged);
        }
        // What is no longer sold may stay on the list while its prices do: only new prices have to be of use.
        let details = if details.prices == self.details.prices {
            details
        } else {
            details.checked(self.currency, None, products)?
        };
        Ok(Outcome::Changed(Self { details, version: self.version.next(), updated_at: at, ..self.clone() }))
    }
}

impl Details {
    /// The products that the prices are of.
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

    /// What of it is not on sale.
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

/// The prices that a list has for some products.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overrides {
    /// The list.
    pub price_list_id: PriceListId,
    /// Its currency.
    pub currency: Currency,
    /// Minor units for the whole term, by product, type and term in months.
    pub unit_prices: BTreeMap<(ProductId, Code, i32), i64>,
}

/// A product as it is offered to a customer: at the price of the first list that has one, else at its own.
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
