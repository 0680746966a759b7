//! Resellers: disabled and enabled, with nothing lost.

use partner_platform::domain::machine::Outcome;
use partner_platform::domain::parties::company::Company;
use partner_platform::domain::parties::reseller::{Command, Details, Reseller, ResellerStatus, State};

use crate::samples::{END, IN_TERM, changed, company, noon, reseller, text};

fn disabled() -> Reseller {
    changed(reseller().apply(Command::Disable { reason: Some(text("Contract ended")) }, noon(IN_TERM)))
}

#[test]
fn disabling_says_since_when_and_why_and_changes_nothing_else() {
    let state = State::Disabled { at: noon(IN_TERM), reason: Some(text("Contract ended")) };
    let expected = Reseller { state, version: reseller().version.next(), updated_at: noon(IN_TERM), ..reseller() };
    assert_eq!(disabled(), expected);
    assert_eq!(disabled().status(), ResellerStatus::Disabled);
}

#[test]
fn enabling_restores_everything() {
    let enabled = changed(disabled().apply(Command::Enable, noon(END)));
    let expected = Reseller { version: disabled().version.next(), updated_at: noon(END), ..reseller() };
    assert_eq!(enabled, expected);
}

#[test]
fn disabling_twice_keeps_the_first_reason() {
    assert_eq!(disabled().apply(Command::Disable { reason: Some(text("Again")) }, noon(END)), Outcome::Unchanged);
    assert_eq!(reseller().apply(Command::Enable, noon(END)), Outcome::Unchanged);
}

#[test]
fn a_disabled_reseller_is_edited_like_any_other() {
    let renamed = Company { name: text("Southwind"), ..company() };
    let details = Details { company: renamed.clone(), ..disabled().details() };
    let edited = changed(disabled().edit(details, noon(END)));
    let version = disabled().version.next();
    assert_eq!(edited, Reseller { company: renamed, version, updated_at: noon(END), ..disabled() });
    assert_eq!(disabled().edit(disabled().details(), noon(END)), Outcome::Unchanged);
}
