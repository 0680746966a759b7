//! Lists, creates, edits, archives and restores customers, and lists the products that a customer can buy.

use chrono::NaiveDate;
use tokio::try_join;

use super::work::{Entity, Saved};
use super::{Context, Named, Precondition, Result, found, milestones, offers, price_lists};
use crate::domain::authorization::{Right, Scope};
use crate::domain::catalog::product::{Product, ProductFilter};
use crate::domain::events::EventType;
use crate::domain::id::{CustomerId, ResellerId, Version};
use crate::domain::listing::{Page, Window};
use crate::domain::machine::{Outcome, Possibility};
use crate::domain::money::Currency;
use crate::domain::parties::company::{Company, CompanySort};
use crate::domain::parties::customer::{
    Action, Administration, AdministrationKind, Customer, CustomerFilter, Details, Holdings,
};
use crate::domain::parties::reseller::ResellerStatus;
use crate::domain::refusal::{Refusal, Violation, ViolationCode, none_of};
use crate::domain::subscription::Whose;
use crate::domain::text::Email;
use crate::store::{self, Conn, Write, customers, products, resellers};

/// A customer, with the facts about its subscriptions and orders that its rules depend on.
pub type Known = (Customer, Holdings);

/// The properties of a new customer.
pub struct NewCustomer {
    pub company: Company,
    /// The reseller that manages the customer. If `None`, the reseller of the caller, if any.
    pub partner_id: Option<ResellerId>,
    /// Who administers the products of the customer.
    pub administration: AdministrationKind,
    /// The email address of the customer's administrator.
    pub admin_email: Option<Email>,
    /// The currency in which the customer pays.
    pub currency: Currency,
}

/// Lists the customers in the tenant.
///
/// # Errors
/// The filter names a reseller that does not exist.
pub async fn list(cx: &Context, filter: &CustomerFilter, sort: CompanySort, window: &Window) -> Result<Page<Known>> {
    let named = [("partner_id", Named::Reseller(filter.partner_id))];
    milestones::current(cx, Whose::Everyones, async |conn| {
        cx.checked(conn, &named, customers::list(conn, cx.actor.scope, filter, sort, window)).await
    })
    .await
}

/// Returns the customer.
///
/// # Errors
/// The customer does not exist.
pub async fn get(cx: &Context, id: CustomerId) -> Result<Known> {
    let find = async |conn: &Conn| found(customers::find_with_holdings(conn, cx.actor.scope, id).await?, "customer");
    let is_due = |(.., next_due): &(Customer, Holdings, Option<NaiveDate>)| {
        next_due.is_some_and(|next_due| next_due <= cx.today())
    };
    let (customer, holdings, _) = milestones::current_one(cx, Whose::OfCustomer(id), find, is_due).await?;
    Ok((customer, holdings))
}

/// Creates a customer, managed by the reseller of the caller, or by the one that the provider chooses.
///
/// # Errors
/// The reseller does not exist or is disabled, or the external id is already in use.
pub async fn create(cx: &Context, new: NewCustomer) -> Result<Known> {
    cx.write(async |work| {
        let partner_id = new.partner_id.or(cx.actor.scope.reseller());
        let NewCustomer { company, administration, admin_email, currency, .. } = new;
        let administration = Administration::new(administration, admin_email);
        check_partner(work.conn, cx, partner_id, administration.as_ref().err()).await?;
        let administration = administration.map_err(Refusal::from)?;
        let customer = Customer::create(cx.new_id(), company, partner_id, administration, currency, cx.at)?;
        work.write([customers::insert(&customer)]);
        let known = (customer, Holdings::default());
        work.record(cx, [Saved::new(cx, None, &known)]);
        Ok(known)
    })
    .await
}

/// Edits the details of a customer. A different reseller in them moves the customer to that reseller.
///
/// # Errors
/// The customer does not exist, has another version, a rule denies the change, or the external id is already in use.
pub async fn update(
    cx: &Context,
    id: CustomerId,
    precondition: &Precondition,
    edit: impl FnOnce(Details) -> Details,
) -> Result<Known> {
    cx.change(Known::depends_on(id), async |work| {
        let (customer, holdings): Known = work.lock(cx, id, precondition).await?;
        let details = edit(customer.details());
        if details.partner_id != customer.partner_id {
            let administration = Administration::new(customer.administration.kind(), details.admin_email.clone());
            check_partner(work.conn, cx, details.partner_id, administration.as_ref().err()).await?;
            customers::lock_to_move(work.conn, id).await?;
        }
        let (list, currency) = (details.price_list_id, details.currency);
        if list != customer.price_list_id {
            price_lists::check_right(cx)?;
        }
        let outcome = customer.edit(details, holdings, cx.at)?;
        if (list, currency) != (customer.price_list_id, customer.currency) {
            price_lists::check_assignment(work.conn, cx, list, Some(currency)).await?;
        }
        Ok(work.save(cx, (customer, holdings), with(outcome, holdings)))
    })
    .await
}

/// Archives or restores a customer.
///
/// # Errors
/// The customer does not exist, has another version, or a rule denies the change.
pub async fn transition(cx: &Context, id: CustomerId, precondition: &Precondition, action: Action) -> Result<Known> {
    let apply = |(customer, holdings): &Known| Ok(with(customer.apply(action, *holdings, cx.at)?, *holdings));
    cx.change_one(id, precondition, apply).await
}

/// Adds the unchanged `holdings` to a changed customer.
fn with(outcome: Outcome<Customer>, holdings: Holdings) -> Outcome<Known> {
    match outcome {
        Outcome::Changed(customer) => Outcome::Changed((customer, holdings)),
        Outcome::Unchanged => Outcome::Unchanged,
    }
}

/// Lists the products that the customer can buy now. Empty for an archived customer.
///
/// # Errors
/// The customer does not exist.
pub async fn available_products(cx: &Context, id: CustomerId, window: &Window) -> Result<(Customer, Page<Product>)> {
    let read = async |conn: &Conn| {
        let customer = found(customers::find(conn, cx.actor.scope, id).await?, "customer")?;
        if customer.guard(Action::AddSubscriptions, Holdings::default()).is_err() {
            return Ok((customer, Page::empty()));
        }
        let page = products::list(conn, &ProductFilter::default(), Some(customer.currency), window).await?;
        let page = offers::of_page(conn, id, page).await?;
        Ok((customer, page))
    };
    cx.db.statement(read).await
}

impl Entity for Known {
    type Id = CustomerId;

    const NAME: &'static str = "customer";

    async fn lock(conn: &Conn, scope: Scope, id: CustomerId) -> store::Result<Option<Self>> {
        let (customer, holdings) = try_join!(biased; customers::lock(conn, scope, id), customers::holdings(conn, id))?;
        Ok(customer.map(|customer| (customer, holdings)))
    }

    fn depends_on(id: CustomerId) -> Option<Whose> {
        Some(Whose::OfCustomer(id))
    }

    fn version(&self) -> Version {
        self.0.version
    }

    fn possibilities(&self, _: &Context) -> Vec<(Right, Possibility)> {
        self.0.possibilities(self.1)
    }

    fn rows(&self, _: &Context, _: &Self) -> Vec<Write> {
        vec![customers::save(&self.0)]
    }

    fn told(&self, cx: &Context, before: &Self) -> Vec<Saved> {
        let has_left = before.0.partner_id.is_some() && before.0.partner_id != self.0.partner_id;
        let farewell = has_left.then(|| Saved::farewell(cx, before, self, EventType::CustomerReleased));
        farewell.into_iter().chain([Saved::new(cx, Some(before), self)]).collect()
    }
}

/// Checks that the actor may assign a customer to this reseller, or to the provider if `None`. `also` is another
/// violation of the request, to be reported together.
async fn check_partner(
    tx: &Conn,
    cx: &Context,
    partner_id: Option<ResellerId>,
    also: Option<&Violation>,
) -> Result<()> {
    let reseller = match partner_id {
        Some(id) => resellers::hold(tx, cx.actor.scope, id).await?,
        None => None,
    };
    let wrong = |code, detail| Some(Violation::new("/partner_id", code, detail));
    let wrong = match (partner_id, &reseller) {
        (None, _) if cx.actor.scope.reseller().is_some() => {
            wrong(ViolationCode::NotAllowed, "Only the provider can take over a customer. Omit this field.")
        }
        (Some(_), None) => {
            wrong(ViolationCode::UnknownReference, "This reseller does not exist. List the resellers to find its id.")
        }
        _ => None,
    };
    none_of(wrong.into_iter().chain(also.cloned()).collect())?;
    match reseller {
        Some(reseller) if reseller.status() == ResellerStatus::Disabled => Err(Refusal::ResellerDisabled.into()),
        _ => Ok(()),
    }
}
