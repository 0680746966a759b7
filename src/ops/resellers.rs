//! Resellers.

use super::record::Saved;
use super::{Context, Precondition, Result, found, milestones, price_lists};
use crate::domain::company::Company;
use crate::domain::id::ResellerId;
use crate::domain::listing::{CompanySort, Page, ResellerFilter, Whose, Window};
use crate::domain::machine::Outcome;
use crate::domain::reseller::{Command, Details, Reseller};
use crate::store::{Conn, resellers};

/// Resellers in the tenant.
///
/// # Errors
/// The database fails.
pub async fn list(cx: &Context, filter: &ResellerFilter, sort: CompanySort, window: &Window) -> Result<Page<Reseller>> {
    cx.db.statement(async |conn| Ok(resellers::list(conn, cx.actor.scope, filter, sort, window).await?)).await
}

/// A reseller.
///
/// # Errors
/// Not found.
pub async fn get(cx: &Context, id: ResellerId) -> Result<Reseller> {
    cx.db.statement(async |conn| found(resellers::find(conn, cx.actor.scope, id).await?, "reseller")).await
}

/// Creates a reseller.
///
/// # Errors
/// The external id is taken.
pub async fn create(cx: &Context, company: Company) -> Result<Reseller> {
    let reseller = Reseller::create(cx.new_id(), company, cx.at);
    cx.write(async |tx| {
        resellers::insert(tx, &reseller).await?;
        cx.record(tx, [Saved::new(cx, None, &reseller)]).await?;
        Ok(reseller)
    })
    .await
}

/// Edits a reseller's details.
///
/// # Errors
/// Not found, another version, the external id is taken, or the price list is none that can be assigned.
pub async fn update(
    cx: &Context,
    id: ResellerId,
    precondition: &Precondition,
    edit: impl FnOnce(Details) -> Details,
) -> Result<Reseller> {
    // Terms that have begun have the prices of before.
    milestones::settle(cx, Whose::Everyones).await?;
    cx.write(async |tx| {
        let reseller = lock(tx, cx, id, precondition).await?;
        let details = edit(reseller.details());
        if details.price_list_id != reseller.price_list_id {
            price_lists::check_right(cx)?;
            price_lists::check_assignment(tx, cx, details.price_list_id, None).await?;
        }
        let outcome = reseller.edit(details, cx.at);
        save(tx, cx, reseller, outcome).await
    })
    .await
}

/// Disables or enables a reseller. Its customers are not touched.
///
/// # Errors
/// Not found, or another version.
pub async fn transition(
    cx: &Context,
    id: ResellerId,
    precondition: &Precondition,
    command: Command,
) -> Result<Reseller> {
    cx.write(async |tx| {
        let reseller = lock(tx, cx, id, precondition).await?;
        let outcome = reseller.apply(command, cx.at);
        if outcome != Outcome::Unchanged {
            cx.change_access();
        }
        save(tx, cx, reseller, outcome).await
    })
    .await
}

async fn lock(tx: &Conn, cx: &Context, id: ResellerId, precondition: &Precondition) -> Result<Reseller> {
    let reseller = found(resellers::lock(tx, cx.actor.scope, id).await?, "reseller")?;
    precondition.check(reseller.version)?;
    Ok(reseller)
}

async fn save(tx: &Conn, cx: &Context, reseller: Reseller, outcome: Outcome<Reseller>) -> Result<Reseller> {
    match outcome {
        Outcome::Unchanged => Ok(reseller),
        Outcome::Changed(changed) => {
            resellers::save(tx, &changed).await?;
            cx.record(tx, [Saved::new(cx, Some(&reseller), &changed)]).await?;
            Ok(changed)
        }
    }
}
