//! Invoices: from created to emailed to paid, or void, without any other change.

use chrono::{DateTime, Utc};
use partner_platform::domain::billing::invoice::{Action, Command, Invoice, InvoiceStatus, State};
use partner_platform::domain::id::InvoiceNumber;
use partner_platform::domain::machine::{Outcome, Verdict};
use proptest::prelude::*;

use crate::samples::{IN_TERM, START, changed, invoice, noon, text};

fn command(action: Action) -> Command {
    match action {
        Action::MarkEmailed => Command::MarkEmailed,
        Action::MarkPaid => Command::MarkPaid,
        Action::Void => Command::Void { reason: Some(text("Billed twice")) },
    }
}

fn done(invoice: &Invoice, action: Action, at: DateTime<Utc>) -> Invoice {
    changed(invoice.apply(command(action), at).unwrap())
}

fn any_steps() -> impl Strategy<Value = Vec<Action>> {
    prop::collection::vec(prop::sample::select(Action::ALL), 0..8)
}

#[test]
fn an_invoice_is_issued_with_the_sum_of_its_lines() {
    let invoice = invoice();
    assert_eq!((invoice.status(), invoice.version.0, invoice.line_count), (InvoiceStatus::Created, 1, 1));
    assert_eq!(invoice.total.to_string(), "USD 99.00");
    assert_eq!((invoice.emailed_at(), invoice.paid_at(), invoice.voided()), (None, None, None));
}

#[test]
fn an_invoice_keeps_when_it_was_emailed_and_paid() {
    let emailed = done(&invoice(), Action::MarkEmailed, noon(START));
    let paid = done(&emailed, Action::MarkPaid, noon(IN_TERM));
    assert_eq!(paid.state, State::Paid { emailed_at: noon(START), at: noon(IN_TERM) });
    let state = paid.state.clone();
    assert_eq!(paid, Invoice { state, version: paid.version, updated_at: noon(IN_TERM), ..invoice() });
    assert_eq!(paid.version.0, 3);
}

#[test]
fn a_void_invoice_says_when_and_why_and_whether_the_customer_had_it() {
    let reason = Some(text("Billed twice"));
    let voided = done(&invoice(), Action::Void, noon(IN_TERM));
    assert_eq!(voided.state, State::Void { emailed_at: None, at: noon(IN_TERM), reason: reason.clone() });
    let emailed = done(&invoice(), Action::MarkEmailed, noon(START));
    let voided = done(&emailed, Action::Void, noon(IN_TERM));
    assert_eq!(voided.state, State::Void { emailed_at: Some(noon(START)), at: noon(IN_TERM), reason });
}

#[test]
fn a_number_is_written_in_one_way() {
    let number = |year, sequence| InvoiceNumber { year, sequence };
    for (number, written) in [
        (number(2027, 1), "INV-2027-000001"),
        (number(2027, 999_999), "INV-2027-999999"),
        (number(2028, 1_000_000), "INV-2028-1000000"),
        (number(800, 999_999_999), "INV-0800-999999999"),
    ] {
        assert_eq!(number.to_string(), written);
        assert_eq!(written.parse(), Ok(number));
    }
    for other in ["INV-2027-1", "INV-2027-0000001", "INV-27-000001", "INV-2027-+00001", "INV-2027-9999999999", "2027"] {
        assert!(other.parse::<InvoiceNumber>().is_err(), "{other}");
    }
}

proptest! {
    #[test]
    fn whatever_is_tried_an_invoice_goes_forward_and_ends_paid_or_void(steps in any_steps()) {
        let mut invoice = invoice();
        for action in steps {
            let verdict = invoice.guard(action);
            let before = invoice.clone();
            match invoice.apply(command(action), noon(IN_TERM)) {
                Err(refusal) => prop_assert_eq!(verdict, Err(refusal)),
                Ok(Outcome::Unchanged) => prop_assert_eq!(verdict, Ok(Verdict::AlreadySo)),
                Ok(Outcome::Changed(after)) => {
                    prop_assert_eq!(verdict, Ok(Verdict::Proceed));
                    prop_assert!(after.status() > before.status(), "{} after {}", after.status(), before.status());
                    prop_assert_ne!(before.status(), InvoiceStatus::Paid);
                    prop_assert_eq!(after.version, before.version.next());
                    prop_assert_eq!(
                        after.guard(action),
                        Ok(Verdict::AlreadySo),
                        "repeating the action changes nothing"
                    );
                    invoice = after;
                }
            }
        }
    }
}
