//! Concurrent requests: the result is the same as if they had come one after another, in some order.

use futures_util::future::{join, join_all};
use partner_platform::domain::authorization::Role;
use serde_json::{Value, json};

use crate::steps::{all, allocate, assert_ledger_adds_up, subscribe, used, whole_orders};
use crate::support::world::{World, basket, company, id};
use crate::support::{Answer, Client};

/// How often a race of two requests is repeated, because either may win.
pub const ROUNDS: usize = 6;

/// Sends requests at the same time, each from its own task. Returns the responses in the order of the requests.
pub async fn at_once<F>(requests: impl IntoIterator<Item = F>) -> Vec<Answer>
where
    F: Future<Output = Answer> + Send + 'static,
{
    let tasks: Vec<_> = requests.into_iter().map(tokio::spawn).collect();
    join_all(tasks).await.into_iter().map(Result::unwrap).collect()
}

pub fn post(client: &Client, path: &str, body: Value) -> impl Future<Output = Answer> + Send + 'static {
    let (client, path) = (client.clone(), path.to_owned());
    async move { client.post(&path, body).await }
}

pub fn act(client: &Client, path: &str) -> impl Future<Output = Answer> + Send + 'static {
    let (client, path) = (client.clone(), path.to_owned());
    async move { client.act(&path).await }
}

fn patch(client: &Client, path: &str, body: Value) -> impl Future<Output = Answer> + Send + 'static {
    let (client, path) = (client.clone(), path.to_owned());
    async move { client.patch(&path, body).await }
}

/// Counts the successful responses. All others must be this problem.
#[track_caller]
pub fn successes(answers: Vec<Answer>, status: u16, code: &str) -> usize {
    let (done, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status < 300);
    for answer in refused {
        answer.problem(status, code);
    }
    done.len()
}

async fn clients(world: &World, count: usize) -> Vec<Client> {
    let mut clients = Vec::new();
    for index in 0..count {
        let reseller = (index % 2 == 0).then_some(&world.reseller_id);
        clients.push(world.server.client(Role::Admin, reseller).await);
    }
    clients
}

fn one(reference: &str) -> Value {
    json!({ "certificate_type": "dv", "reference": reference })
}

#[tokio::test(flavor = "multi_thread")]
async fn of_100_allocations_that_race_for_50_certificates_50_succeed() {
    let world = World::new().await;
    let path = subscribe(&world, json!({ "inventory": [{ "certificate_type": "dv", "quantity": 50 }] })).await;
    let clients = clients(&world, 5).await;
    let to = format!("{path}/allocations");
    let requests = (0..100).map(|number| post(&clients[number % 5], &to, one(&format!("host {number}"))));
    assert_eq!(successes(at_once(requests).await, 409, "inventory_exhausted"), 50);
    assert_eq!(used(&world.admin, &path).await, 50);
    assert_eq!(all(&world.admin, &to).await.len(), 50);
    assert_ledger_adds_up(&world.admin, &path).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_confirmations_of_one_quote_at_once_one_succeeds() {
    let world = World::new().await;
    let clients = clients(&world, 4).await;
    let more = json!({ "lines": [{ "certificate_type": "dv", "add": 2 }] });
    let confirmations =
        [(world.customer("/subscriptions"), basket(&world.product_id, 3)), (world.active("/inventory/current"), more)];
    for (path, mut body) in confirmations {
        for _ in 0..ROUNDS {
            let orders = whole_orders(&world.admin, "/v1/orders").await.len();
            let quote = world.admin.post(&format!("{path}/preview"), body.clone()).await.ok();
            body["digest"] = quote["digest"].clone();
            let answers = at_once(clients.iter().map(|client| post(client, &path, body.clone()))).await;
            assert_eq!(successes(answers, 409, "quote_stale"), 1, "{path}");
            assert_eq!(whole_orders(&world.admin, "/v1/orders").await.len(), orders + 1);
        }
    }
    let quantity = world.admin.get(&world.active("")).await.ok()["inventory"][0]["current"]["quantity"].clone();
    assert_eq!(quantity, 50 + 2 * ROUNDS);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_allocated_once_a_suspension_was_answered() {
    let world = World::new().await;
    let clients = clients(&world, 4).await;
    for _ in 0..ROUNDS {
        let path = subscribe(&world, json!({ "inventory": [{ "certificate_type": "dv", "quantity": 50 }] })).await;
        let to = format!("{path}/allocations");
        let request = |number: usize| tokio::spawn(post(&clients[number % 4], &to, one(&format!("host {number}"))));
        let early: Vec<_> = (0..20).map(request).collect();
        let suspension = tokio::spawn(act(&world.admin, &format!("{path}/suspend")));
        let late: Vec<_> = (20..40).map(request).collect();
        suspension.await.unwrap().ok();
        let then = used(&world.admin, &path).await;
        let answers: Vec<_> = join_all(early.into_iter().chain(late)).await.into_iter().map(Result::unwrap).collect();
        let allocated = successes(answers, 409, "subscription_suspended");
        assert_eq!(used(&world.admin, &path).await, then, "nothing was allocated after the suspension");
        assert_eq!(i64::try_from(allocated).unwrap(), then);
        assert_ledger_adds_up(&world.admin, &path).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_edits_of_one_version_at_once_one_succeeds() {
    let world = World::new().await;
    for path in [world.active(""), world.customer("")] {
        for round in 0..ROUNDS {
            let version = world.admin.get(&path).await.header("etag").to_owned();
            let client = world.admin.with("if-match", &version);
            let edits = (0..4).map(|number| json!({ "external_id": format!("po-{round}-{number}") }));
            let answers = at_once(edits.map(|edit| patch(&client, &path, edit))).await;
            let winner = answers.iter().find(|answer| answer.status == 200).unwrap().body.clone();
            assert_eq!(successes(answers, 412, "version_mismatch"), 1);
            assert_eq!(world.admin.get(&path).await.ok(), winner);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_reference_asked_for_at_once_is_one_allocation() {
    let world = World::new().await;
    let clients = clients(&world, 20).await;
    let to = world.active("/allocations");
    let answers = at_once(clients.iter().map(|client| post(client, &to, one("same")))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 19);
    assert!(answers.iter().all(|answer| answer.body == answers[0].body), "all responses name the same one");
    assert_eq!(used(&world.admin, &world.active("")).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_given_back_by_many_at_once_come_back_once() {
    let world = World::new().await;
    let clients = clients(&world, 10).await;
    let allocation = allocate(&world.admin, &world.active(""), 7, "seven").await;
    let path = format!("/v1/allocations/{}/release", id(&allocation["id"]));
    let answers = at_once(clients.iter().map(|client| act(client, &path))).await;
    assert!(answers.iter().all(|answer| answer.status == 200 && answer.body == answers[0].body));
    assert_eq!(used(&world.admin, &world.active("")).await, 1);
    assert_ledger_adds_up(&world.admin, &world.active("")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lapsed_subscription_is_renewed_once_and_a_pending_one_cancelled_once() {
    let world = World::new().await;
    let lapsed = format!("/v1/subscriptions/{}/renew", id(&world.lapsed_id));
    let answers = at_once((0..5).map(|_| act(&world.admin, &lapsed))).await;
    assert_eq!(successes(answers, 409, "invalid_transition"), 1);
    let pending = format!("/v1/subscriptions/{}/cancel", id(&world.pending_id));
    let answers = at_once((0..5).map(|_| act(&world.admin, &pending))).await;
    assert!(answers.iter().all(|answer| answer.status == 200 && answer.body == answers[0].body));
    let orders = whole_orders(&world.admin, "/v1/orders").await;
    for kind in ["renewal", "cancellation"] {
        assert_eq!(orders.iter().filter(|order| order["kind"] == kind).count(), 1, "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_external_id_wanted_by_many_at_once_goes_to_one() {
    let world = World::new().await;
    for path in ["/v1/customers", "/v1/resellers"] {
        let creations = (0..10).map(|number| {
            let mut body = company(&format!("Company {number}"));
            body["external_id"] = json!("crm-1");
            post(&world.admin, path, body)
        });
        assert_eq!(successes(at_once(creations).await, 409, "duplicate_external_id"), 1, "{path}");
        let found = world.admin.get(&format!("{path}?external_id=crm-1")).await.ok();
        assert_eq!(found["data"].as_array().unwrap().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_is_archived_or_sold_to_but_not_both() {
    let world = World::new().await;
    for round in 0..ROUNDS {
        let customer = world.admin.post("/v1/customers", company("Either or")).await.created();
        let path = format!("/v1/customers/{}", id(&customer["id"]));
        let archive = tokio::spawn(act(&world.admin, &format!("{path}/archive")));
        let add = tokio::spawn(post(&world.admin, &format!("{path}/subscriptions"), basket(&world.product_id, 1)));
        let (archived, added) = (archive.await.unwrap(), add.await.unwrap());
        let status = world.admin.get(&path).await.ok()["status"].clone();
        let held = world.admin.get(&format!("{path}/subscriptions")).await.ok()["data"].as_array().unwrap().len();
        match archived.status {
            200 => {
                added.problem(409, "customer_archived");
                assert_eq!((status, held), (json!("archived"), 0), "round {round}");
            }
            _ => {
                archived.problem(409, "has_open_subscriptions");
                added.created();
                assert_eq!((status, held), (json!("active"), 1), "round {round}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reseller_gets_no_customer_once_its_disabling_was_answered() {
    let world = World::new().await;
    for _ in 0..ROUNDS {
        let reseller = world.admin.post("/v1/resellers", company("On and off")).await.created();
        let customers = format!("/v1/customers?partner_id={}", id(&reseller["id"]));
        let count = async || world.admin.get(&customers).await.ok()["data"].as_array().unwrap().len();
        let mut body = company("Someone");
        body["partner_id"] = reseller["id"].clone();
        let create = || tokio::spawn(post(&world.admin, "/v1/customers", body.clone()));
        let early: Vec<_> = (0..5).map(|_| create()).collect();
        let disabling = tokio::spawn(act(&world.admin, &format!("/v1/resellers/{}/disable", id(&reseller["id"]))));
        let late: Vec<_> = (0..5).map(|_| create()).collect();
        disabling.await.unwrap().ok();
        let then = count().await;
        let answers: Vec<_> = join_all(early.into_iter().chain(late)).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(successes(answers, 403, "reseller_disabled"), then);
        assert_eq!(count().await, then);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_currency_is_fixed_by_the_first_order_even_at_the_same_time() {
    let world = World::new().await;
    for _ in 0..ROUNDS {
        let customer = world.admin.post("/v1/customers", company("Euro or dollar")).await.created();
        let path = format!("/v1/customers/{}", id(&customer["id"]));
        let change = tokio::spawn(patch(&world.admin, &path, json!({ "currency": "EUR" })));
        let add = tokio::spawn(post(&world.admin, &format!("{path}/subscriptions"), basket(&world.product_id, 1)));
        let (changed, added) = (change.await.unwrap(), add.await.unwrap().created());
        let currency = world.admin.get(&path).await.ok()["currency"].clone();
        assert_eq!(added["order"]["total"]["currency"], currency, "an order is in its customer's currency");
        if changed.status != 200 {
            changed.problem(409, "currency_fixed");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reseller_is_disabled_while_its_administrator_changes_keys_and_nobody_is_in_the_way() {
    let world = World::new().await;
    let reseller = format!("/v1/resellers/{}", id(&world.reseller_id));
    let key = json!({ "name": "another", "role": "sales", "partner_id": world.reseller_id });
    let key = world.admin.post("/v1/api-keys", key).await.created();
    let rename = format!("/v1/api-keys/{}", id(&key["api_key"]["id"]));
    for round in 0..15 {
        let edits = (0..4).map(|number| {
            let (own, name) = (world.own.clone(), format!("round {round} {number}"));
            let rename = rename.clone();
            async move { own.patch(&rename, json!({ "name": name })).await }
        });
        let disable = format!("{reseller}/disable");
        let (edited, disabled) = join(join_all(edits), world.admin.act(&disable)).await;
        disabled.ok();
        assert!(edited.iter().all(|answer| [200, 403].contains(&answer.status)), "round {round}");
        world.admin.act(&format!("{reseller}/enable")).await.ok();
    }
}
