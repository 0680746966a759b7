//! Lists, creates, edits, disables and enables resellers.

use super::work::{Entity, Saved};
use super::{Context, Precondition, Result, found, price_lists};
use crate::domain::authorization::{Right, Scope};
use crate::domain::id::{ResellerId, Version};
use crate::domain::listing::{Page, Window};
use crate::domain::machine::{Outcome, Possibility};
use crate::domain::parties::company::{Company, CompanySort};
use crate::domain::parties::reseller::{Command, Details, Reseller, ResellerFilter};
use crate::domain::subscription::Whose;
use crate::store::{self, Conn, Write, resellers};

/// Lists the resellers in the tenant.
pub async fn list(cx: &Context, filter: &ResellerFilter, sort: CompanySort, window: &Window) -> Result<Page<Reseller>> {
    cx.db.statement(async |conn| Ok(resellers::list(conn, cx.actor.scope, filter, sort, window).await?)).await
}

/// Returns the reseller.
///
/// # Errors
/// The reseller does not exist.
pub async fn get(cx: &Context, id: ResellerId) -> Result<Reseller> {
    cx.db.glance(async |conn: &Conn| found(resellers::find(conn, cx.actor.scope, id).await?, "reseller")).await
}

/// Creates a reseller.
///
/// # Errors
/// The external id is already in use.
pub async fn create(cx: &Context, company: Company) -> Result<Reseller> {
    let reseller = Reseller::create(cx.new_id(), company, cx.at);
    cx.write(async |work| {
        work.write([resellers::insert(&reseller)]);
        work.record(cx, [Saved::new(cx, None, &reseller)]);
        Ok(reseller)
    })
    .await
}

/// Edits the details of a reseller.
///
/// # Errors
/// The reseller does not exist, has another version, the external id is already in use, or the price list cannot be
/// assigned.
pub async fn update(
    cx: &Context,
    id: ResellerId,
    precondition: &Precondition,
    edit: impl FnOnce(Details) -> Details,
) -> Result<Reseller> {
    // Terms that start before the change must get the old prices, so due transitions are processed first.
    cx.change(Whose::Everyones, async |work| {
        let reseller: Reseller = work.lock(cx, id, precondition).await?;
        let details = edit(reseller.details());
        if details.price_list_id != reseller.price_list_id {
            price_lists::check_right(cx)?;
            price_lists::check_assignment(work.conn, cx, details.price_list_id, None).await?;
        }
        let outcome = reseller.edit(details, cx.at);
        Ok(work.save(cx, reseller, outcome))
    })
    .await
}

/// Disables or enables a reseller. Its customers do not change.
///
/// # Errors
/// The reseller does not exist, or has another version.
pub async fn transition(
    cx: &Context,
    id: ResellerId,
    precondition: &Precondition,
    command: Command,
) -> Result<Reseller> {
    let apply = |before: &Reseller| {
        let outcome = before.apply(command, cx.at);
        if outcome != Outcome::Unchanged {
            cx.change_access();
        }
        Ok(outcome)
    };
    cx.change_one(id, precondition, apply).await
}

impl Entity for Reseller {
    type Id = ResellerId;

    const NAME: &'static str = "reseller";

    async fn lock(conn: &Conn, scope: Scope, id: ResellerId) -> store::Result<Option<Self>> {
        resellers::lock(conn, scope, id).await
    }

    fn version(&self) -> Version {
        self.version
    }

    fn possibilities(&self, _: &Context) -> Vec<(Right, Possibility)> {
        self.possibilities()
    }

    fn rows(&self, _: &Context, _: &Self) -> Vec<Write> {
        vec![resellers::save(self)]
    }
}
