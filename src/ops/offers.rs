//! Price resolution: products with the prices that apply to a customer, according to the price lists that are assigned
//! to the customer.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tokio::try_join;

use super::Result;
use crate::domain::catalog::price_list::{self, Overrides};
use crate::domain::catalog::product::Product;
use crate::domain::id::{CustomerId, PriceListId, ProductId};
use crate::domain::listing::Page;
use crate::domain::subscription::Subscription;
use crate::store::{Conn, price_lists, products};

/// Products, with the price lists of some customers.
pub(super) struct Offers {
    products: Vec<Product>,
    lists: HashMap<CustomerId, Vec<PriceListId>>,
    overrides: BTreeMap<PriceListId, Overrides>,
}

/// Finds products with the prices for a customer. Products that do not exist are omitted.
pub(super) async fn find(conn: &Conn, customer_id: CustomerId, ids: &[ProductId]) -> Result<Vec<Product>> {
    let products = products::find_all(conn, ids);
    let (products, lists) = try_join!(biased; products, price_lists::of_customer(conn, customer_id, ids))?;
    Ok(offered(products, &lists))
}

/// The same as [`find`], and locks the products and price lists until the transaction ends.
pub(super) async fn hold(conn: &Conn, customer_id: CustomerId, ids: &[ProductId]) -> Result<Vec<Product>> {
    let hold = price_lists::hold_those_of(conn, customer_id);
    // Read after the lock is granted.
    let lists = price_lists::of_customer(conn, customer_id, ids);
    let (products, (), lists) = try_join!(biased; products::hold(conn, ids), hold, lists)?;
    Ok(offered(products, &lists))
}

/// Applies the prices for a customer to a page of products.
pub(super) async fn of_page(conn: &Conn, customer_id: CustomerId, page: Page<Product>) -> Result<Page<Product>> {
    let ids: Vec<_> = page.rows.iter().map(|product| product.id).collect();
    let lists = price_lists::of_customer(conn, customer_id, &ids).await?;
    let lists: Vec<_> = lists.iter().collect();
    Ok(page.map(|product| price_list::offered(product, &lists)))
}

fn offered(products: Vec<Product>, lists: &[Overrides]) -> Vec<Product> {
    let lists: Vec<_> = lists.iter().collect();
    products.into_iter().map(|product| price_list::offered(product, &lists)).collect()
}

impl Offers {
    /// Loads the products of subscriptions and the price lists of their customers.
    pub(super) async fn of_subscriptions(tx: &Conn, subscriptions: &[Subscription]) -> Result<Self> {
        let product_ids = product_ids(subscriptions);
        let products = products::find_all(tx, &product_ids);
        let customer_ids = customer_ids(subscriptions);
        let assigned = price_lists::assigned(tx, &customer_ids);
        let (products, lists) = try_join!(biased; products, assigned)?;
        Self::with_overrides(tx, products, lists, &product_ids).await
    }

    /// The same as [`Offers::of_subscriptions`], and locks the price lists until the transaction ends.
    pub(super) async fn hold_of_subscriptions(tx: &Conn, subscriptions: &[Subscription]) -> Result<Self> {
        let product_ids = product_ids(subscriptions);
        let products = products::find_all(tx, &product_ids);
        let customer_ids = customer_ids(subscriptions);
        let hold = price_lists::hold_assigned(tx, &customer_ids);
        // Read after the lock is granted.
        let assigned = price_lists::assigned(tx, &customer_ids);
        let (products, (), lists) = try_join!(biased; products, hold, assigned)?;
        Self::with_overrides(tx, products, lists, &product_ids).await
    }

    async fn with_overrides(
        tx: &Conn,
        products: Vec<Product>,
        lists: HashMap<CustomerId, Vec<PriceListId>>,
        product_ids: &[ProductId],
    ) -> Result<Self> {
        let overrides = price_lists::overrides(tx, &lists.values().flatten().copied().collect(), product_ids).await?;
        Ok(Self { products, lists, overrides })
    }

    /// Returns a product with the prices for a customer.
    pub(super) fn to(&self, customer_id: CustomerId, product_id: ProductId) -> Option<Product> {
        let product = self.products.iter().find(|product| product.id == product_id)?;
        Some(price_list::offered(product.clone(), &self.lists_of(customer_id)))
    }

    fn lists_of(&self, customer_id: CustomerId) -> Vec<&Overrides> {
        let lists = self.lists.get(&customer_id).into_iter().flatten();
        lists.filter_map(|id| self.overrides.get(id)).collect()
    }
}

fn product_ids(subscriptions: &[Subscription]) -> Vec<ProductId> {
    let ids: BTreeSet<_> = subscriptions.iter().map(|subscription| subscription.product_id).collect();
    ids.into_iter().collect()
}

fn customer_ids(subscriptions: &[Subscription]) -> Vec<CustomerId> {
    let ids: BTreeSet<_> = subscriptions.iter().map(|subscription| subscription.customer_id).collect();
    ids.into_iter().collect()
}
