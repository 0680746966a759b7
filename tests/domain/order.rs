//! Orders and charges: a confirmed quote is taken over exactly.

use partner_platform::domain::billing::add_subscriptions::{self, Item, ItemLine};
use partner_platform::domain::billing::order::{Bucket, ChargeStatus, Order, OrderLine};
use partner_platform::domain::billing::quote::{self, Plan};
use partner_platform::domain::id::{ChargeId, OrderId, SubscriptionId};
use partner_platform::domain::subscription::State;

use crate::samples::{IN_TERM, code, customer, day, id, in_state, item, noon, product, products, subscription};

fn confirm(plan: Plan) -> Order {
    let Plan { quote, subscriptions } = plan;
    Order::confirm(id::<OrderId>(50), customer().id, quote, &subscriptions, "system".to_owned(), noon(IN_TERM))
}

/// Two new subscriptions. The second has a type with no certificates now, but a renewal quantity.
fn basket_plan() -> Plan {
    let inventory = vec![
        ItemLine { certificate_type: code("ev"), quantity: 0, renewal_quantity: None },
        ItemLine { certificate_type: code("ov"), quantity: 2, renewal_quantity: Some(1) },
    ];
    let ids = &mut (100..).map(id::<SubscriptionId>);
    let items = [item(), Item { inventory, ..item() }];
    let products = products();
    let opened =
        add_subscriptions::open(&customer(), &items, &products, noon(IN_TERM), || ids.next().unwrap()).unwrap();
    quote::add_subscriptions(&customer(), opened, 0, day(IN_TERM)).unwrap()
}

#[test]
fn an_order_has_the_lines_and_the_total_of_its_quote() {
    let plan = basket_plan();
    let order = confirm(plan.clone());
    assert_eq!((order.kind, order.total), (plan.quote.kind, plan.quote.total));
    assert_eq!((order.customer_id, order.confirmed_at), (customer().id, noon(IN_TERM)));
    let ids: Vec<_> = order.lines.iter().map(|line| line.subscription_id).collect();
    assert_eq!(ids, [100, 101, 101, 101].map(|number| Some(id(number))), "each line refers to its subscription");
    for (ordered, quoted) in order.lines.iter().zip(&plan.quote.lines) {
        assert_eq!(ordered.amount, quoted.amount);
        assert_eq!(ordered.calculation, quoted.calculation);
        assert_eq!((ordered.quantity_before, ordered.quantity_after), (quoted.quantity_before, quoted.quantity_after));
    }
}

#[test]
fn the_charges_are_the_lines_with_an_amount() {
    let order = confirm(basket_plan());
    let ids = &mut (200..).map(id::<ChargeId>);
    let charges = order.charges(|| ids.next().unwrap());
    let charged: Vec<_> = charges.iter().map(|charge| (charge.subscription_id, charge.amount.amount)).collect();
    assert_eq!(charged, [(id(100), 29_700), (id(101), 19_800)]);
    assert_eq!(charges.iter().map(|charge| charge.amount.amount).sum::<i64>(), order.total.amount);
    assert!(charges.iter().all(|charge| charge.status == ChargeStatus::Pending && charge.order_id == order.id));
    assert!(charges.iter().all(|charge| charge.calculation.amount() == Ok(charge.amount.amount)));
    assert!(charges.iter().all(|charge| charge.due_date == day(IN_TERM) && charge.certificate_type == code("ov")));
}

#[test]
fn a_line_is_about_the_certificates_that_are_paid_for_or_else_about_the_change() {
    let line = confirm(basket_plan()).lines.remove(0);
    assert_eq!(line.certificates(), line.calculation.map(|calculation| calculation.quantity));
    for (before, after, certificates) in
        [(Some(5), Some(0), Some(-5)), (Some(1), Some(4), Some(3)), (None, Some(4), None), (Some(4), None, None)]
    {
        let free = OrderLine { calculation: None, quantity_before: before, quantity_after: after, ..line.clone() };
        assert_eq!(free.certificates(), certificates);
    }
}

#[test]
fn a_renewal_quantity_or_a_cancellation_is_an_order_without_charges() {
    let set =
        quote::set_renewal_inventory(&subscription(), &product(), &[(code("ov"), Some(3))], noon(IN_TERM)).unwrap();
    let cancel = quote::cancel(&in_state(State::Pending), None, noon("2025-12-01")).unwrap().unwrap();
    for plan in [set, cancel] {
        let order = confirm(plan);
        assert!(!order.lines.is_empty());
        assert_eq!(order.charges(|| panic!("no id is needed without a charge")), []);
    }
}

#[test]
fn lines_of_an_existing_subscription_keep_its_id() {
    let plan = quote::add_current_inventory(&subscription(), &product(), &[(code("ev"), 1)], noon(IN_TERM)).unwrap();
    let order = confirm(plan);
    assert_eq!((order.lines[0].subscription_id, order.lines[0].bucket), (Some(subscription().id), Bucket::Current));
}
