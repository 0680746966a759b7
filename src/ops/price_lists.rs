//! Price lists.

use std::collections::BTreeMap;

use super::record::Saved;
use super::{Context, Precondition, Result, found, milestones};
use crate::domain::access::Right;
use crate::domain::id::{PriceListId, ProductId};
use crate::domain::listing::{Page, PriceListFilter, Whose, Window};
use crate::domain::machine::Outcome;
use crate::domain::money::Currency;
use crate::domain::price_list::{Details, PriceList};
use crate::domain::product::Product;
use crate::domain::refusal::{Refusal, Violation, ViolationCode};
use crate::store::{Conn, price_lists, products};

/// The price lists in the tenant, without their prices, and how many these are.
///
/// # Errors
/// The database fails.
pub async fn list(cx: &Context, filter: &PriceListFilter, window: &Window) -> Result<Page<(PriceList, i64)>> {
    cx.db.read(async |tx| Ok(price_lists::list(tx, cx.actor.scope, filter, window).await?)).await
}

/// A price list.
///
/// # Errors
/// Not found.
pub async fn get(cx: &Context, id: PriceListId) -> Result<PriceList> {
    cx.db.read(async |tx| found(price_lists::find(tx, cx.actor.scope, id).await?, "price list")).await
}

/// Creates a price list; it does nothing until it is assigned.
///
/// # Errors
/// What the domain refuses.
pub async fn create(cx: &Context, currency: Currency, details: Details) -> Result<PriceList> {
    cx.write(async |tx| {
        let products = products_of(tx, &details).await?;
        let list = PriceList::create(cx.new_id(), currency, details, &products, cx.at)?;
        price_lists::insert(tx, &list).await?;
        cx.record(tx, [Saved::new(cx, None, &list)]).await?;
        Ok(list)
    })
    .await
}

/// Edits a price list. Terms that run keep their prices.
///
/// # Errors
/// Not found, another version, or what the domain refuses.
pub async fn update(
    cx: &Context,
    id: PriceListId,
    precondition: &Precondition,
    edit: impl FnOnce(Details) -> Details,
) -> Result<PriceList> {
    // Terms that have begun have the prices of before.
    milestones::settle(cx, Whose::Everyones).await?;
    cx.write(async |tx| {
        let list = found(price_lists::lock(tx, cx.actor.scope, id).await?, "price list")?;
        precondition.check(list.version)?;
        let details = edit(list.details.clone());
        let products = products_of(tx, &details).await?;
        match list.edit(details, &products, cx.at)? {
            Outcome::Unchanged => Ok(list),
            Outcome::Changed(changed) => {
                price_lists::save(tx, &changed).await?;
                cx.record(tx, [Saved::new(cx, Some(&list), &changed)]).await?;
                Ok(changed)
            }
        }
    })
    .await
}

/// Deletes a price list that was never used.
///
/// # Errors
/// Not found, another version, or it is in use.
pub async fn delete(cx: &Context, id: PriceListId, precondition: &Precondition) -> Result<()> {
    cx.write(async |tx| {
        let list = found(price_lists::lock(tx, cx.actor.scope, id).await?, "price list")?;
        precondition.check(list.version)?;
        if price_lists::is_in_use(tx, id).await? {
            return Err(Refusal::PriceListInUse.into());
        }
        price_lists::delete(tx, id).await?;
        cx.record(tx, [Saved::deleted(cx, &list)]).await
    })
    .await
}

async fn products_of(tx: &Conn, details: &Details) -> Result<BTreeMap<ProductId, Product>> {
    let ids: Vec<_> = details.product_ids().into_iter().collect();
    Ok(products::hold(tx, &ids).await?.into_iter().map(|product| (product.id, product)).collect())
}

/// Succeeds when the actor may assign lists, and take them away.
///
/// # Errors
/// The right is missing.
pub(super) fn check_right(cx: &Context) -> Result<()> {
    if cx.actor.may(Right::WriteProducts) { Ok(()) } else { Err(Refusal::Forbidden(Right::WriteProducts).into()) }
}

/// Succeeds when this list, or none, can be assigned, and stays until the transaction ends. `currency` is that of
/// the customer that it is for.
///
/// # Errors
/// The list is unknown or in another currency.
pub(super) async fn check_assignment(
    tx: &Conn,
    cx: &Context,
    id: Option<PriceListId>,
    currency: Option<Currency>,
) -> Result<()> {
    let Some(id) = id else { return Ok(()) };
    // Whoever deletes it meanwhile waits, or is waited for.
    price_lists::keep(tx, &[id]).await?;
    let wrong = |code, detail: String| Err(Refusal::from(Violation::new("/price_list_id", code, detail)).into());
    match price_lists::find(tx, cx.actor.scope, id).await? {
        None => wrong(ViolationCode::UnknownReference, "There is no such price list; list the price lists.".to_owned()),
        Some(list) if currency.is_some_and(|currency| currency != list.currency) => {
            let detail = format!("The list is in {}, and the customer pays in another currency.", list.currency);
            wrong(ViolationCode::NotAllowed, detail)
        }
        Some(_) => Ok(()),
    }
}
