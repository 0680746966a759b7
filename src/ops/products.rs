//! Lists, creates and edits products.

use tokio::try_join;

use super::work::{Entity, Saved};
use super::{Context, Precondition, Result, found};
use crate::domain::authorization::{Right, Scope};
use crate::domain::catalog::product::{Details, Product, ProductFilter};
use crate::domain::id::{ProductId, Version};
use crate::domain::listing::{Page, Window};
use crate::domain::machine::Possibility;
use crate::domain::subscription::Whose;
use crate::domain::text::Code;
use crate::store::{self, Conn, Write, products};

/// Lists products, sorted by code.
pub async fn list(cx: &Context, filter: &ProductFilter, window: &Window) -> Result<Page<Product>> {
    cx.db.statement(async |conn| Ok(products::list(conn, filter, None, window).await?)).await
}

/// Returns the product.
///
/// # Errors
/// The product does not exist.
pub async fn get(cx: &Context, id: ProductId) -> Result<Product> {
    cx.db.glance(async |conn: &Conn| found(products::find(conn, id).await?, "product")).await
}

/// Creates a product.
///
/// # Errors
/// A rule denies it, or the code is already in use.
pub async fn create(cx: &Context, code: Code, details: Details) -> Result<Product> {
    let product = Product::create(cx.new_id(), code, details, cx.at)?;
    cx.write(async |work| {
        work.write([products::insert(&product)]);
        work.record(cx, [Saved::new(cx, None, &product)]);
        Ok(product)
    })
    .await
}

/// Edits a product. Current terms keep their prices.
///
/// # Errors
/// The product does not exist, has another version, or a rule denies the change.
pub async fn update(
    cx: &Context,
    id: ProductId,
    precondition: &Precondition,
    edit: impl FnOnce(Details) -> Details,
) -> Result<Product> {
    cx.change(Product::depends_on(id), async |work| {
        let lock = work.lock(cx, id, precondition);
        let held = async { Ok(products::held_types(work.conn, id).await?) };
        let (product, held): (Product, _) = try_join!(biased; lock, held)?;
        let outcome = product.edit(edit(product.details.clone()), &held, cx.at)?;
        Ok(work.save(cx, product, outcome))
    })
    .await
}

impl Entity for Product {
    type Id = ProductId;

    const NAME: &'static str = "product";

    async fn lock(conn: &Conn, _: Scope, id: ProductId) -> store::Result<Option<Self>> {
        products::lock(conn, id).await
    }

    /// Terms that start before the change must get the old prices, so due transitions are processed first.
    fn depends_on(_: ProductId) -> Option<Whose> {
        Some(Whose::Everyones)
    }

    fn version(&self) -> Version {
        self.version
    }

    fn possibilities(&self, _: &Context) -> Vec<(Right, Possibility)> {
        Vec::new()
    }

    fn rows(&self, _: &Context, _: &Self) -> Vec<Write> {
        vec![products::save(self)]
    }
}
