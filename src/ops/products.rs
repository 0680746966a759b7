//! Products.

use super::record::Saved;
use super::{Context, Precondition, Result, found, milestones};
use crate::domain::id::ProductId;
use crate::domain::listing::{Page, ProductFilter, Whose, Window};
use crate::domain::machine::Outcome;
use crate::domain::product::{Details, Product};
use crate::domain::text::Code;
use crate::store::products;

/// Products, in order of their code.
///
/// # Errors
/// The database fails.
pub async fn list(cx: &Context, filter: &ProductFilter, window: &Window) -> Result<Page<Product>> {
    cx.db.statement(async |conn| Ok(products::list(conn, filter, None, window).await?)).await
}

/// A product.
///
/// # Errors
/// Not found.
pub async fn get(cx: &Context, id: ProductId) -> Result<Product> {
    cx.db.statement(async |conn| found(products::find(conn, id).await?, "product")).await
}

/// Creates a product.
///
/// # Errors
/// What the domain refuses, or the code is taken.
pub async fn create(cx: &Context, code: Code, details: Details) -> Result<Product> {
    let product = Product::create(cx.new_id(), code, details, cx.at)?;
    cx.write(async |tx| {
        products::insert(tx, &product).await?;
        cx.record(tx, [Saved::new(cx, None, &product)]).await?;
        Ok(product)
    })
    .await
}

/// Edits a product. Terms that run keep their prices.
///
/// # Errors
/// Not found, another version, or what the domain refuses.
pub async fn update(
    cx: &Context,
    id: ProductId,
    precondition: &Precondition,
    edit: impl FnOnce(Details) -> Details,
) -> Result<Product> {
    // Terms that have begun have the prices of before.
    milestones::settle(cx, Whose::Everyones).await?;
    cx.write(async |tx| {
        let product = found(products::lock(tx, id).await?, "product")?;
        precondition.check(product.version)?;
        let held = products::held_types(tx, id).await?;
        match product.edit(edit(product.details.clone()), &held, cx.at)? {
            Outcome::Unchanged => Ok(product),
            Outcome::Changed(changed) => {
                products::save(tx, &changed).await?;
                cx.record(tx, [Saved::new(cx, Some(&product), &changed)]).await?;
                Ok(changed)
            }
        }
    })
    .await
}
