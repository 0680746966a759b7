//! Sample data to explore the API: a catalogue, resellers, customers and their subscriptions.
//!
//! The samples are in `demo.json`. Their names, codes and references mark them as samples. They are created through the
//! use cases, so that they contain nothing that a caller could not create.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use serde::Deserialize;

use super::customers::{self, NewCustomer};
use super::inventory::{self, Change};
use super::{Context, Error, Precondition, Result, allocations, found, products, resellers, subscriptions};
use crate::domain::billing::add_subscriptions::{Item, ItemLine};
use crate::domain::catalog::product::{CertificateType, Details, Price, ProductStatus};
use crate::domain::id::{CustomerId, ProductId, ResellerId, SubscriptionId};
use crate::domain::money::Currency;
use crate::domain::parties::company::{Address, Company, Contact};
use crate::domain::parties::customer::{Action, AdministrationKind};
use crate::domain::parties::reseller;
use crate::domain::subscription;
use crate::domain::text::{Code, CompanyName, Description, Email, ExternalId, Line, Reason, Reference};
use crate::store::{self, Unique};

const SAMPLES: &str = include_str!("demo.json");

/// Creates the samples and returns `true`, or returns `false` if they already exist. They exist if the code of the
/// first product is in use. So an interrupted seeding is not continued.
///
/// # Errors
/// The database fails, or the samples violate a rule.
pub async fn seed(cx: &Context) -> Result<bool> {
    let samples: Samples = serde_json::from_str(SAMPLES)
        .map_err(|_| store::Error::Corrupt { table: "demo.json", reason: "the tests say why" })?;
    let mut product_ids = BTreeMap::new();
    for sample in samples.products {
        match products::create(cx, sample.code.clone(), sample.details()).await {
            Ok(product) => product_ids.insert(product.code, product.id),
            Err(Error::Store(store::Error::Taken(Unique::ProductCode))) => return Ok(false),
            Err(error) => return Err(error),
        };
    }
    let mut reseller_ids = BTreeMap::new();
    let mut disabled = Vec::new();
    for sample in samples.resellers {
        let name = sample.company.external_id.clone();
        let id = resellers::create(cx, sample.company.into()).await?.id;
        reseller_ids.insert(name, id);
        disabled.extend(sample.disabled.map(|reason| (id, reason)));
    }
    for sample in samples.customers {
        sample.create(cx, &product_ids, &reseller_ids).await?;
    }
    // Disabled last, because a disabled reseller cannot get customers.
    for (id, reason) in disabled {
        let disable = reseller::Command::Disable { reason: Some(reason) };
        resellers::transition(cx, id, &Precondition::None, disable).await?;
    }
    Ok(true)
}

#[derive(Deserialize)]
struct Samples {
    products: Vec<SampleProduct>,
    resellers: Vec<SampleReseller>,
    customers: Vec<SampleCustomer>,
}

#[derive(Deserialize)]
struct SampleProduct {
    code: Code,
    name: Line,
    description: Description,
    terms: Vec<i32>,
    certificate_types: Vec<SampleType>,
}

#[derive(Deserialize)]
struct SampleType {
    #[serde(flatten)]
    certificate_type: CertificateType,
    /// One price for each term of the product, in the same order.
    prices: BTreeMap<Currency, Vec<i64>>,
}

impl SampleProduct {
    fn details(self) -> Details {
        let prices = self.certificate_types.iter().flat_map(|sample| sample.prices(&self.terms)).collect();
        Details {
            name: self.name,
            description: Some(self.description),
            status: ProductStatus::Active,
            prices,
            certificate_types: self.certificate_types.into_iter().map(|sample| sample.certificate_type).collect(),
            terms: self.terms,
        }
    }
}

impl SampleType {
    fn prices(&self, terms: &[i32]) -> Vec<Price> {
        let price = |currency, (&term_months, &unit_price)| Price {
            certificate_type: self.certificate_type.code.clone(),
            term_months,
            currency,
            unit_price,
            price_list_id: None,
        };
        let of_currency = |(&currency, prices)| terms.iter().zip(prices).map(move |term| price(currency, term));
        self.prices.iter().flat_map(of_currency).collect()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SampleCompany {
    name: CompanyName,
    address: Address,
    contact: Option<Contact>,
    external_id: ExternalId,
}

impl From<SampleCompany> for Company {
    fn from(sample: SampleCompany) -> Self {
        let SampleCompany { name, address, contact, external_id } = sample;
        Self { name, address, contact, external_id: Some(external_id) }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SampleReseller {
    company: SampleCompany,
    /// Why the reseller is disabled, if it is.
    disabled: Option<Reason>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SampleCustomer {
    company: SampleCompany,
    reseller: Option<ExternalId>,
    /// The administrator. If omitted, the provider administers the products.
    admin_email: Option<Email>,
    currency: Currency,
    #[serde(default)]
    subscriptions: Vec<SampleSubscription>,
    #[serde(default)]
    archived: bool,
}

impl SampleCustomer {
    async fn create(
        self,
        cx: &Context,
        product_ids: &BTreeMap<Code, ProductId>,
        reseller_ids: &BTreeMap<ExternalId, ResellerId>,
    ) -> Result<()> {
        let partner_id = self.reseller.map(|name| found(reseller_ids.get(&name).copied(), "reseller")).transpose()?;
        let administration =
            if self.admin_email.is_some() { AdministrationKind::Customer } else { AdministrationKind::Partner };
        let company = self.company.into();
        let admin_email = self.admin_email;
        let new = NewCustomer { company, partner_id, administration, admin_email, currency: self.currency };
        let (customer, _) = customers::create(cx, new).await?;
        for sample in self.subscriptions {
            let product_id = found(product_ids.get(&sample.product).copied(), "product")?;
            sample.add(cx, customer.id, product_id).await?;
        }
        if self.archived {
            customers::transition(cx, customer.id, &Precondition::None, Action::Archive).await?;
        }
        Ok(())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SampleSubscription {
    external_id: ExternalId,
    product: Code,
    term_months: i32,
    /// Relative to the day of the seeding. Negative if the term has already started.
    starts_in_days: i64,
    auto_renew: bool,
    inventory: BTreeMap<Code, i32>,
    #[serde(default)]
    then: Vec<Step>,
}

/// A change of a subscription after its creation.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Step {
    Allocate { certificate_type: Code, quantity: i32, reference: Reference },
    AddCurrent(BTreeMap<Code, i32>),
    SetRenewal(BTreeMap<Code, Option<i32>>),
    Suspend(Reason),
    Cancel(Reason),
}

impl SampleSubscription {
    async fn add(self, cx: &Context, customer_id: CustomerId, product_id: ProductId) -> Result<()> {
        let line = |(certificate_type, quantity)| ItemLine { certificate_type, quantity, renewal_quantity: None };
        let item = Item {
            product_id,
            term_months: self.term_months,
            start_date: cx.today().checked_add_signed(TimeDelta::days(self.starts_in_days)),
            auto_renew: self.auto_renew,
            external_id: Some(self.external_id),
            inventory: self.inventory.into_iter().map(line).collect(),
        };
        let (_, added) = subscriptions::add(cx, customer_id, &Precondition::None, &[item], None).await?;
        let subscription = found(added.first(), "subscription")?;
        for step in self.then {
            step.carry_out(cx, subscription.id).await?;
        }
        Ok(())
    }
}

impl Step {
    async fn carry_out(self, cx: &Context, id: SubscriptionId) -> Result<()> {
        let any = &Precondition::None;
        match self {
            Self::Allocate { certificate_type, quantity, reference } => {
                allocations::allocate(cx, id, certificate_type, quantity, reference).await.map(drop)
            }
            Self::AddCurrent(additions) => {
                let change = Change::AddCurrent(additions.into_iter().collect());
                inventory::confirm(cx, id, any, &change, None).await.map(drop)
            }
            Self::SetRenewal(quantities) => {
                let change = Change::SetRenewal(quantities.into_iter().collect());
                inventory::confirm(cx, id, any, &change, None).await.map(drop)
            }
            Self::Suspend(reason) => {
                let suspend = subscription::Command::Suspend { reason: Some(reason) };
                subscriptions::transition(cx, id, any, suspend).await.map(drop)
            }
            Self::Cancel(reason) => subscriptions::cancel(cx, id, any, Some(reason)).await.map(drop),
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_samples_keep_the_rules_of_their_types() {
        serde_json::from_str::<super::Samples>(super::SAMPLES).unwrap();
    }
}
