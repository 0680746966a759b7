//! Lists, creates, edits and deletes price lists, and checks their assignment to customers and resellers.

use std::collections::BTreeMap;

use tokio::try_join;

use super::work::{Entity, Saved};
use super::{Context, Precondition, Result, found};
use crate::domain::authorization::{Right, Scope};
use crate::domain::catalog::price_list::{Details, PriceList, PriceListFilter};
use crate::domain::catalog::product::Product;
use crate::domain::id::{PriceListId, ProductId, Version};
use crate::domain::listing::{Page, Window};
use crate::domain::machine::Possibility;
use crate::domain::money::Currency;
use crate::domain::refusal::{Refusal, Violation, ViolationCode};
use crate::domain::subscription::Whose;
use crate::store::{self, Conn, Write, price_lists, products};

/// Lists the price lists in the tenant, without their prices but with the number of prices.
pub async fn list(cx: &Context, filter: &PriceListFilter, window: &Window) -> Result<Page<(PriceList, i64)>> {
    cx.db.statement(async |conn| Ok(price_lists::list(conn, cx.actor.scope, filter, window).await?)).await
}

/// Returns the price list.
///
/// # Errors
/// The price list does not exist.
pub async fn get(cx: &Context, id: PriceListId) -> Result<PriceList> {
    cx.db.statement(async |conn| found(price_lists::find(conn, cx.actor.scope, id).await?, "price list")).await
}

/// Creates a price list. It has no effect until it is assigned.
///
/// # Errors
/// A rule denies it.
pub async fn create(cx: &Context, currency: Currency, details: Details) -> Result<PriceList> {
    cx.write(async |work| {
        let products = products_of(work.conn, &details).await?;
        let list = PriceList::create(cx.new_id(), currency, details, &products, cx.at)?;
        work.write(price_lists::insert(&list));
        work.record(cx, [Saved::new(cx, None, &list)]);
        Ok(list)
    })
    .await
}

/// Edits a price list. Current terms keep their prices.
///
/// # Errors
/// The price list does not exist, has another version, or a rule denies the change.
pub async fn update(
    cx: &Context,
    id: PriceListId,
    precondition: &Precondition,
    edit: impl FnOnce(Details) -> Details,
) -> Result<PriceList> {
    cx.change(PriceList::depends_on(id), async |work| {
        let list: PriceList = work.lock(cx, id, precondition).await?;
        let details = edit(list.details.clone());
        let products = products_of(work.conn, &details).await?;
        let outcome = list.edit(details, &products, cx.at)?;
        Ok(work.save(cx, list, outcome))
    })
    .await
}

/// Deletes a price list that is not in use.
///
/// # Errors
/// The price list does not exist, has another version, or is in use.
pub async fn delete(cx: &Context, id: PriceListId, precondition: &Precondition) -> Result<()> {
    cx.write(async |work| {
        let list: PriceList = work.lock(cx, id, precondition).await?;
        if price_lists::is_in_use(work.conn, id).await? {
            return Err(Refusal::PriceListInUse.into());
        }
        work.write([price_lists::delete(id)]);
        work.record(cx, [Saved::deleted(cx, &list)]);
        Ok(())
    })
    .await
}

impl Entity for PriceList {
    type Id = PriceListId;

    const NAME: &'static str = "price list";

    async fn lock(conn: &Conn, scope: Scope, id: PriceListId) -> store::Result<Option<Self>> {
        price_lists::lock(conn, scope, id).await
    }

    /// Terms that start before the change must get the old prices, so due transitions are processed first.
    fn depends_on(_: PriceListId) -> Option<Whose> {
        Some(Whose::Everyones)
    }

    fn version(&self) -> Version {
        self.version
    }

    fn possibilities(&self, _: &Context) -> Vec<(Right, Possibility)> {
        Vec::new()
    }

    fn rows(&self, _: &Context, _: &Self) -> Vec<Write> {
        price_lists::save(self)
    }
}

async fn products_of(tx: &Conn, details: &Details) -> Result<BTreeMap<ProductId, Product>> {
    let ids: Vec<_> = details.product_ids().into_iter().collect();
    Ok(products::hold(tx, &ids).await?.into_iter().map(|product| (product.id, product)).collect())
}

/// Checks that the actor may assign and unassign price lists.
///
/// # Errors
/// The actor lacks the right.
pub(super) fn check_right(cx: &Context) -> Result<()> {
    if cx.actor.may(Right::WriteProducts) { Ok(()) } else { Err(Refusal::Forbidden(Right::WriteProducts).into()) }
}

/// Checks that this price list can be assigned, and locks it until the transaction ends. `currency` is the currency of
/// the customer that it is assigned to.
///
/// # Errors
/// The price list does not exist, or has another currency.
pub(super) async fn check_assignment(
    tx: &Conn,
    cx: &Context,
    id: Option<PriceListId>,
    currency: Option<Currency>,
) -> Result<()> {
    let Some(id) = id else { return Ok(()) };
    // A concurrent deletion waits for this lock, or this waits for the deletion.
    let keep = price_lists::keep(tx, id);
    let ((), list) = try_join!(biased; keep, price_lists::find(tx, cx.actor.scope, id))?;
    let wrong = |code, detail: String| Err(Refusal::from(Violation::new("/price_list_id", code, detail)).into());
    match list {
        None => wrong(
            ViolationCode::UnknownReference,
            "This price list does not exist. List the price lists to find its id.".to_owned(),
        ),
        Some(list) if currency.is_some_and(|currency| currency != list.currency) => {
            let detail = format!(
                "The list is in {}, but the customer pays in another currency. Assign a list in that currency.",
                list.currency
            );
            wrong(ViolationCode::NotAllowed, detail)
        }
        Some(_) => Ok(()),
    }
}
