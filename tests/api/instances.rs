//! Several instances on one database: after a response of one instance, the change is visible on all of them.

use serde_json::json;

use crate::steps::{allocate, assert_ledger_adds_up};
use crate::support::world::{World, basket, id};

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_subscription_is_refused_everywhere_from_the_first_request_after_the_answer() {
    let world = World::new().await;
    let beside = world.server.beside().await;
    let there = world.admin.at(&beside.url);
    let one = |number: usize| json!({ "certificate_type": "dv", "reference": format!("host {number}") });
    for round in 0..20 {
        let (here, there) = if round % 2 == 0 { (&world.admin, &there) } else { (&there, &world.admin) };
        there.post(&world.active("/allocations"), one(round)).await.created();
        here.act(&world.active("/suspend")).await.ok();
        let refused = there.post(&world.active("/allocations"), one(round + 1000)).await;
        refused.problem(409, "subscription_suspended");
        here.act(&world.active("/enable")).await.ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archived_customer_is_refused_everywhere_from_the_first_request_after_the_answer() {
    let world = World::new().await;
    let beside = world.server.beside().await;
    let there = world.admin.at(&beside.url);
    let customer = format!("/v1/customers/{}", id(&world.idle_customer_id));
    for round in 0..20 {
        let (here, there) = if round % 2 == 0 { (&world.admin, &there) } else { (&there, &world.admin) };
        here.act(&format!("{customer}/archive")).await.ok();
        let add = basket(&world.product_id, 1);
        there.post(&format!("{customer}/subscriptions"), add).await.problem(409, "customer_archived");
        there.act(&format!("{customer}/restore")).await.ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_is_in_the_order_in_which_it_was_written_whichever_instance_did_so() {
    let world = World::new().await;
    let beside = world.server.beside().await;
    let there = world.admin.at(&beside.url);
    // Their clocks stand still, as if everything happened within one millisecond.
    for round in 0..10 {
        for (client, name) in [(&world.admin, "here"), (&there, "there")] {
            allocate(client, &world.active(""), 1, &format!("{name} {round}")).await;
        }
        assert_ledger_adds_up(&there, &world.active("")).await;
    }
    let now = world.admin.get(&world.active("/inventory")).await.ok();
    let instant = world.server.clock.now().to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true);
    let recorded = world.admin.get(&world.active(&format!("/inventory?as_of={instant}"))).await.ok();
    assert_eq!(recorded["data"][0]["current"]["used"], now["data"][0]["current"]["used"]);
}
