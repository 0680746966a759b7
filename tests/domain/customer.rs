//! Customers: archived, restored and edited.

use partner_platform::domain::machine::Outcome;
use partner_platform::domain::parties::customer::{
    Action, Administration, AdministrationKind, Customer, CustomerStatus, Details, Holdings,
};
use partner_platform::domain::refusal::{Refusal, ViolationCode};

use crate::samples::{END, IN_TERM, changed, customer, id, noon, problems, text};

const NOTHING: Holdings = Holdings { open_subscriptions: 0, has_orders: false };
const ORDERED: Holdings = Holdings { open_subscriptions: 0, has_orders: true };

fn archived() -> Customer {
    changed(customer().apply(Action::Archive, ORDERED, noon(IN_TERM)).unwrap())
}

fn once_more(before: Customer) -> Customer {
    Customer { version: before.version.next(), updated_at: noon(END), ..before }
}

#[test]
fn archiving_changes_the_status_only() {
    let done = changed(customer().apply(Action::Archive, ORDERED, noon(END)).unwrap());
    assert_eq!(done, Customer { status: CustomerStatus::Archived, ..once_more(customer()) });
}

#[test]
fn archiving_with_open_subscriptions_is_refused() {
    let holdings = Holdings { open_subscriptions: 2, has_orders: true };
    assert_eq!(customer().apply(Action::Archive, holdings, noon(END)), Err(Refusal::HasOpenSubscriptions(2)));
}

#[test]
fn restoring_brings_the_customer_back_as_it_was() {
    let done = changed(archived().apply(Action::Restore, ORDERED, noon(END)).unwrap());
    assert_eq!(done, Customer { version: archived().version.next(), updated_at: noon(END), ..customer() });
}

#[test]
fn archiving_or_restoring_twice_changes_nothing() {
    assert_eq!(archived().apply(Action::Archive, ORDERED, noon(END)), Ok(Outcome::Unchanged));
    assert_eq!(customer().apply(Action::Restore, NOTHING, noon(END)), Ok(Outcome::Unchanged));
}

#[test]
fn selling_is_no_change_and_not_to_an_archived_customer() {
    assert_eq!(customer().apply(Action::AddSubscriptions, NOTHING, noon(END)), Ok(Outcome::Unchanged));
    assert_eq!(archived().apply(Action::AddSubscriptions, ORDERED, noon(END)), Err(Refusal::CustomerArchived));
}

#[test]
fn moving_a_customer_to_another_reseller_is_an_edit_of_one_field() {
    let partner_id = Some(id(2));
    let done = changed(customer().edit(Details { partner_id, ..customer().details() }, ORDERED, noon(END)).unwrap());
    assert_eq!(done, Customer { partner_id, ..once_more(customer()) });
}

#[test]
fn an_archived_customer_is_not_edited() {
    let moved = Details { partner_id: Some(id(2)), ..archived().details() };
    assert_eq!(archived().edit(moved, ORDERED, noon(END)), Err(Refusal::CustomerArchived));
    assert_eq!(archived().edit(archived().details(), ORDERED, noon(END)), Ok(Outcome::Unchanged));
}

#[test]
fn the_currency_is_fixed_by_the_first_order() {
    let euros = Details { currency: text("EUR"), ..customer().details() };
    assert_eq!(customer().edit(euros.clone(), ORDERED, noon(END)), Err(Refusal::CurrencyFixed));
    let done = changed(customer().edit(euros, NOTHING, noon(END)).unwrap());
    assert_eq!(done, Customer { currency: text("EUR"), ..once_more(customer()) });
}

#[test]
fn an_administrator_s_address_goes_with_administration_by_the_customer() {
    let email = || Some(text("admin@northwind.example"));
    let code = |kind, email| Administration::new(kind, email).map_err(|violation| (violation.pointer, violation.code));
    let at_email = |code| Err(("/admin_email".to_owned(), code));
    assert_eq!(code(AdministrationKind::Partner, None), Ok(Administration::Partner));
    assert_eq!(code(AdministrationKind::Partner, email()), at_email(ViolationCode::NotAllowed));
    assert_eq!(code(AdministrationKind::Customer, None), at_email(ViolationCode::Required));
    let customer = Administration::Customer { admin_email: text("admin@northwind.example") };
    assert_eq!(code(AdministrationKind::Customer, email()), Ok(customer));
}

#[test]
fn an_edit_keeps_the_administration_and_takes_no_address_with_the_partner_s() {
    let details = Details { admin_email: Some(text("admin@northwind.example")), ..customer().details() };
    let refusal = customer().edit(details, NOTHING, noon(END)).unwrap_err();
    assert_eq!(problems(refusal), [("/admin_email".to_owned(), ViolationCode::NotAllowed)]);
}
