//! Resellers.

use super::{Context, Precondition, Result, found};
use crate::domain::company::Company;
use crate::domain::id::ResellerId;
use crate::domain::listing::{CompanySort, Page, ResellerFilter, Window};
use crate::domain::machine::Outcome;
use crate::domain::reseller::{Command, Reseller};
use crate::store::resellers;

/// Resellers in the tenant.
///
/// # Errors
/// The database fails.
pub async fn list(cx: &Context, filter: &ResellerFilter, sort: CompanySort, window: &Window) -> Result<Page<Reseller>> {
    cx.db.read(async |tx| Ok(resellers::list(tx, cx.actor.scope, filter, sort, window).await?)).await
}

/// A reseller.
///
/// # Errors
/// Not found.
pub async fn get(cx: &Context, id: ResellerId) -> Result<Reseller> {
    cx.db.read(async |tx| found(resellers::find(tx, cx.actor.scope, id).await?, "reseller")).await
}

/// Creates a reseller.
///
/// # Errors
/// The external id is taken.
pub async fn create(cx: &Context, company: Company) -> Result<Reseller> {
    let reseller = Reseller::create(cx.new_id(), company, cx.at);
    cx.db
        .transaction(async |tx| {
            resellers::insert(tx, &reseller).await?;
            Ok(reseller)
        })
        .await
}

/// Edits a reseller's details.
///
/// # Errors
/// Not found, another version, or the external id is taken.
pub async fn update(
    cx: &Context,
    id: ResellerId,
    precondition: &Precondition,
    edit: impl FnOnce(Company) -> Company,
) -> Result<Reseller> {
    change(cx, id, precondition, |reseller| reseller.edit(edit(reseller.company.clone()), cx.at)).await
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
    change(cx, id, precondition, |reseller| reseller.apply(command, cx.at)).await
}

async fn change(
    cx: &Context,
    id: ResellerId,
    precondition: &Precondition,
    change: impl FnOnce(&Reseller) -> Outcome<Reseller>,
) -> Result<Reseller> {
    cx.db
        .transaction(async |tx| {
            let reseller = found(resellers::lock(tx, cx.actor.scope, id).await?, "reseller")?;
            precondition.check(reseller.version)?;
            match change(&reseller) {
                Outcome::Unchanged => Ok(reseller),
                Outcome::Changed(changed) => {
                    resellers::save(tx, &changed).await?;
                    Ok(changed)
                }
            }
        })
        .await
}
