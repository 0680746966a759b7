//! Products as customers are offered them: at the prices of the lists that are assigned to them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Result;
use crate::domain::id::{CustomerId, PriceListId, ProductId};
use crate::domain::price_list::{self, Overrides};
use crate::domain::product::Product;
use crate::domain::subscription::Subscription;
use crate::store::{Conn, price_lists, products};

/// Some products, as some customers are offered them.
pub(super) struct Offers {
    products: Vec<Product>,
    lists: HashMap<CustomerId, Vec<PriceListId>>,
    overrides: BTreeMap<PriceListId, Overrides>,
}

/// Products as a customer is offered them, which must have been found.
///
/// # Errors
/// The database fails.
pub(super) async fn offered(tx: &Conn, customer_id: CustomerId, products: Vec<Product>) -> Result<Vec<Product>> {
    Ok(Offers::load(tx, &[customer_id], products).await?.into_products_for(customer_id))
}

/// The same, and the prices stay so until the transaction ends.
///
/// # Errors
/// The database fails.
pub(super) async fn hold_offered(tx: &Conn, customer_id: CustomerId, products: Vec<Product>) -> Result<Vec<Product>> {
    let lists = price_lists::assigned(tx, &[customer_id]).await?.remove(&customer_id).unwrap_or_default();
    if !lists.is_empty() {
        price_lists::keep(tx, &lists).await?;
    }
    offered(tx, customer_id, products).await
}

impl Offers {
    /// The products of subscriptions, as their customers are offered them.
    ///
    /// # Errors
    /// The database fails.
    pub(super) async fn of_subscriptions(tx: &Conn, subscriptions: &[Subscription]) -> Result<Self> {
        let product_ids: BTreeSet<_> = subscriptions.iter().map(|subscription| subscription.product_id).collect();
        let customer_ids: BTreeSet<_> = subscriptions.iter().map(|subscription| subscription.customer_id).collect();
        let products = products::find_all(tx, &Vec::from_iter(product_ids)).await?;
        Self::load(tx, &Vec::from_iter(customer_ids), products).await
    }

    async fn load(tx: &Conn, customer_ids: &[CustomerId], products: Vec<Product>) -> Result<Self> {
        let lists = price_lists::assigned(tx, customer_ids).await?;
        let product_ids: Vec<_> = products.iter().map(|product| product.id).collect();
        let overrides = price_lists::overrides(tx, &lists.values().flatten().copied().collect(), &product_ids).await?;
        Ok(Self { products, lists, overrides })
    }

    /// A product as a customer is offered it.
    pub(super) fn to(&self, customer_id: CustomerId, product_id: ProductId) -> Option<Product> {
        let product = self.products.iter().find(|product| product.id == product_id)?;
        Some(price_list::offered(product.clone(), &self.lists_of(customer_id)))
    }

    fn into_products_for(mut self, customer_id: CustomerId) -> Vec<Product> {
        let products = std::mem::take(&mut self.products);
        let lists = self.lists_of(customer_id);
        products.into_iter().map(|product| price_list::offered(product, &lists)).collect()
    }

    fn lists_of(&self, customer_id: CustomerId) -> Vec<&Overrides> {
        let lists = self.lists.get(&customer_id).into_iter().flatten();
        lists.filter_map(|id| self.overrides.get(id)).collect()
    }
}
