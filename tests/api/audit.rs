//! The audit trail: successful and failed writes with their callers, and the detection of altered or removed entries.

use partner_platform::domain::authorization::Role;
use partner_platform::domain::events::audit::{Broken, Link};
use partner_platform::ops::audit;
use serde_json::{Value, json};

use crate::coverage::{call, operations, recipe};
use crate::steps::{allocate, subscribe};
use crate::support::world::{World, company, id};
use crate::support::{Client, Database, Lock, Server};

async fn entries(client: &Client, query: &str) -> Vec<Value> {
    let list = client.get(&format!("/v1/audit-entries?{query}")).await.ok();
    list["data"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_write_is_told_once_with_who_from_where_and_how_it_ended() {
    let world = World::new().await;
    let billing = world.server.client(Role::Billing, Some(&world.reseller_id)).await;
    let (previews, writes): (Vec<_>, Vec<_>) =
        operations().filter(|operation| operation.method != "GET").partition(|operation| !operation.writes());
    for operation in previews.into_iter().chain(writes) {
        let recipe = recipe(&operation.id, &world);
        let path_id = recipe.id.as_str().unwrap_or_default();
        let refused = billing.with("x-request-id", &format!("refused-{}", operation.id));
        let done = world.admin.with("x-request-id", &format!("done-{}", operation.id));
        call(&refused, operation, path_id, recipe.body.as_ref()).await;
        let status = call(&done, operation, path_id, recipe.body.as_ref()).await.status;
        let refused = entries(&world.admin, &format!("request_id=refused-{}", operation.id)).await;
        let done = entries(&world.admin, &format!("request_id=done-{}", operation.id)).await;
        if !operation.writes() {
            assert_eq!((refused.len(), done.len()), (0, 0), "{}: a preview writes nothing", operation.id);
            continue;
        }
        assert_eq!((refused.len(), done.len()), (1, 1), "{}", operation.id);
        let (refused, done) = (&refused[0], &done[0]);
        assert_eq!(
            (&refused["outcome"], &refused["code"], &refused["role"], &refused["partner_id"]),
            (&json!("refused"), &json!("forbidden"), &json!("billing"), &world.reseller_id),
            "{}",
            operation.id
        );
        assert_eq!(
            (&done["outcome"], &done["code"], &done["status"], &done["partner_id"]),
            (&json!("succeeded"), &Value::Null, &json!(status), &Value::Null),
            "{}",
            operation.id
        );
        for entry in [refused, done] {
            assert_eq!(entry["operation"], json!(operation.id));
            assert_eq!(entry["source_address"], "127.0.0.1");
            assert!(entry["actor"].as_str().unwrap().starts_with("api_key:"));
            if recipe.id.is_string() {
                assert_eq!(entry["resource"]["id"], recipe.id, "{}", operation.id);
            }
        }
        assert!(refused["changes"].as_array().unwrap().is_empty(), "{}", operation.id);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_write_comes_from_is_what_the_proxy_says_last_with_or_without_a_port() {
    let world = World::on(Server::adjusted(|state, _| state.trust_forwarded_for = true).await).await;
    for (number, (forwarded, expected)) in [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1:5678", "192.0.2.1"),
        ("192.0.2.1, 192.0.2.2:80", "192.0.2.2"),
        ("2001:db8::1", "2001:db8::1"),
        ("192.0.2.1,[2001:db8::1]:80", "2001:db8::1"),
        ("192.0.2.1, unknown", "127.0.0.1"),
        ("192.0.2.1:", "127.0.0.1"),
    ]
    .into_iter()
    .enumerate()
    {
        let request = format!("forwarded-{number}");
        let client = world.admin.with("x-forwarded-for", forwarded).with("x-request-id", &request);
        client.post("/v1/customers", json!({})).await.violations();
        let entry = &entries(&world.admin, &format!("request_id={request}")).await[0];
        assert_eq!(entry["source_address"], expected, "{forwarded}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_told_with_its_fields_before_and_after() {
    let world = World::new().await;
    let suspend = world.admin.with("x-request-id", "suspend");
    suspend.post(&world.active("/suspend"), json!({ "reason": "Overdue" })).await.ok();
    let entry = &entries(&world.admin, "request_id=suspend").await[0];
    let change = &entry["changes"][0];
    assert_eq!(change["resource"], json!({ "type": "subscription", "id": world.active_id }));
    assert_eq!(change["before"], json!({ "status": "active", "suspended": null, "version": 1 }));
    let suspended = json!({ "at": "2027-01-01T12:00:00Z", "reason": "Overdue" });
    assert_eq!(change["after"], json!({ "status": "suspended", "suspended": suspended, "version": 2 }));

    let create = world.admin.with("x-request-id", "create");
    let created = create.post("/v1/customers", company("Audited")).await.created();
    let entry = &entries(&world.admin, "request_id=create").await[0];
    assert_eq!(entry["resource"], json!({ "type": "customer", "id": created["id"] }));
    assert_eq!(entry["changes"][0]["before"], Value::Null);
    assert_eq!(entry["changes"][0]["after"]["company_name"], "Audited");

    let allocate = world.admin.with("x-request-id", "allocate");
    let one = json!({ "certificate_type": "ov", "reference": "audited" });
    world.admin.act(&world.active("/enable")).await.ok();
    allocate.post(&world.active("/allocations"), one).await.created();
    let change = &entries(&world.admin, "request_id=allocate").await[0]["changes"][0];
    assert_eq!(change["resource"]["type"], "inventory");
    assert_eq!(change["before"]["data"][1]["current"]["used"], 0);
    assert_eq!(change["after"]["data"][1]["current"]["used"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_tried_what_is_anothers_is_told_as_having_tried() {
    let world = World::new().await;
    let other = world.other.with("x-request-id", "curious");
    other.act(&world.active("/suspend")).await.problem(404, "not_found");
    let entry = &entries(&world.admin, "request_id=curious").await[0];
    assert_eq!((&entry["code"], &entry["partner_id"]), (&json!("not_found"), &world.other_reseller_id));
    assert_eq!(entry["resource"], json!({ "type": "subscription", "id": world.active_id }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resellers_administrator_sees_what_its_own_did_and_nothing_else() {
    let world = World::new().await;
    world.admin.act(&world.active("/suspend")).await.ok();
    let theirs = entries(&world.own, "limit=200").await;
    assert!(!theirs.is_empty() && theirs.iter().all(|entry| entry["partner_id"] == world.reseller_id));
    assert!(entries(&world.other, "limit=200").await.is_empty());
    let query = format!("partner_id={}", id(&world.reseller_id));
    assert_eq!(entries(&world.admin, &query).await, theirs);
    let found = world.other.get(&format!("/v1/audit-entries?{query}")).await.violations();
    assert_eq!(found, [("partner_id".to_owned(), "unknown_reference".to_owned())]);
}

fn is_about(entry: &Value, id: &Value) -> bool {
    let changes = entry["changes"].as_array().unwrap();
    changes.iter().chain([entry]).any(|named| named["resource"]["id"] == *id)
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_was_done_to_a_subscription_is_found_by_its_id() {
    let world = World::new().await;
    let path = subscribe(&world, json!({})).await;
    let post = async |rest: &str, body: Value| {
        let answer = world.own.post(&format!("{path}/{rest}"), body).await;
        assert!(answer.status < 300, "{rest}: {}", answer.body);
    };
    post("suspend", json!({ "reason": "Overdue" })).await;
    post("enable", json!({})).await;
    post("inventory/current", json!({ "lines": [{ "certificate_type": "dv", "add": 1 }] })).await;
    let allocation = allocate(&world.own, &path, 1, "found").await;
    world.own.act(&format!("/v1/allocations/{}/release", id(&allocation["id"]))).await.ok();
    world.own.act(&format!("{path}/cancel")).await.problem(409, "invalid_transition");
    world.own.act(&format!("/v1/subscriptions/{}/cancel", id(&world.pending_id))).await.ok();

    let operations = async |client: &Client, about: &str| -> Vec<_> {
        let entries = entries(client, &format!("resource_id={about}")).await;
        entries.iter().map(|entry| entry["operation"].as_str().unwrap().to_owned()).collect()
    };
    let (about, pending) = (path.rsplit('/').next().unwrap(), id(&world.pending_id));
    let all = [
        "cancelSubscription",
        "releaseAllocation",
        "allocate",
        "addCurrentInventory",
        "enableSubscription",
        "suspendSubscription",
        "addSubscriptions",
    ];
    assert_eq!(operations(&world.admin, about).await, all);
    assert_eq!(operations(&world.admin, pending).await, ["cancelSubscription", "addSubscriptions"]);
    assert_eq!(operations(&world.own, about).await, all[..6], "the provider added it");
    assert!(operations(&world.other, about).await.is_empty());

    let database = &world.server.database;
    database.execute(include_str!("../../migrations/2026-11-25-000023_index_audited_resources/down.sql")).await;
    database.execute(include_str!("../../migrations/2026-11-25-000023_index_audited_resources/up.sql")).await;
    assert_eq!(operations(&world.admin, about).await, all, "older entries are found, too");
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_are_found_by_who_what_and_when() {
    let world = World::new().await;
    let all = entries(&world.admin, "limit=200").await;
    let actor = all[0]["actor"].as_str().unwrap();
    type Holds = fn(&Value, &World) -> bool;
    let checks: [(String, Holds); 4] = [
        (format!("actor={actor}"), |_, _| true),
        ("operation=suspendSubscription".to_owned(), |entry, _| entry["operation"] == "suspendSubscription"),
        (format!("resource_id={}", id(&world.lapsed_id)), |entry, world| is_about(entry, &world.lapsed_id)),
        ("occurred_before=2026-12-01T00:00:00Z".to_owned(), |entry, _| {
            entry["occurred_at"].as_str().unwrap() < "2026-12"
        }),
    ];
    for (query, holds) in checks {
        let found = entries(&world.admin, &format!("{query}&limit=200")).await;
        let expected: Vec<_> = all
            .iter()
            .filter(|entry| holds(entry, &world) && (!query.starts_with("actor") || entry["actor"] == actor))
            .cloned()
            .collect();
        assert!(!found.is_empty() && found.len() < all.len(), "{query}");
        assert_eq!(found, expected, "{query}");
    }
    assert!(entries(&world.admin, "outcome=refused").await.is_empty());
}

/// Does what only the owner of the database can do: disables the triggers that protect the trail.
async fn by_force(database: &Database, sql: &str) {
    let guards = |what: &str| {
        format!("ALTER TABLE audit_entries {what} TRIGGER USER; ALTER TABLE audit_seals {what} TRIGGER USER")
    };
    database.execute(&format!("{}; {sql}; {}", guards("DISABLE"), guards("ENABLE"))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_is_altered_or_removed_is_found() {
    let world = World::new().await;
    let (db, database) = (&world.server.db, &world.server.database);
    let sealed = audit::seal(db).await.unwrap();
    assert!(sealed > 10, "{sealed}");
    let verified = audit::verify(db, None).await.unwrap().unwrap();
    assert_eq!((verified.end.position, verified.open), (i64::try_from(sealed).unwrap(), 0));
    let end: Link = verified.end.to_string().parse().unwrap();
    assert_eq!(end, verified.end, "the printed end can be parsed again");

    let fifth = "WHERE id = (SELECT entry_id FROM audit_seals WHERE position = 5)";
    let restore = format!("DELETE FROM audit_entries {fifth}; INSERT INTO audit_entries SELECT * FROM copy");
    database.execute(&format!("CREATE TABLE copy AS SELECT * FROM audit_entries {fifth}")).await;
    for column in [
        "actor = 'system'",
        "role = 'sales'",
        "changes = '[]'",
        "occurred_at = now()",
        "source_address = null",
        "status = 299",
    ] {
        by_force(database, &format!("UPDATE audit_entries SET {column} {fifth}")).await;
        let broken = audit::verify(db, None).await.unwrap().unwrap_err();
        assert!(matches!(broken, Broken::Altered { position: 5, .. }), "{column}: {broken}");
        by_force(database, &restore).await;
    }
    assert!(audit::verify(db, Some(&end)).await.unwrap().is_ok());
    by_force(database, &format!("DELETE FROM audit_entries {fifth}")).await;
    assert_eq!(audit::verify(db, None).await.unwrap(), Err(Broken::Missing(5)));
    by_force(database, "INSERT INTO audit_entries SELECT * FROM copy").await;

    // A removed end can only be detected with a known end.
    let cut = format!("DELETE FROM audit_seals WHERE position = {sealed}");
    by_force(database, &cut).await;
    assert!(matches!(audit::verify(db, None).await.unwrap(), Err(Broken::CutOff { .. })));
    let last = "SELECT position, seal FROM audit_seals ORDER BY position DESC LIMIT 1";
    database.execute(&format!("UPDATE audit_chain SET (position, seal) = ({last})")).await;
    assert!(audit::verify(db, None).await.unwrap().is_ok());
    let broken = audit::verify(db, Some(&end)).await.unwrap().unwrap_err();
    assert!(matches!(broken, Broken::CutOff { .. }), "{broken}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trail_that_was_rewritten_and_sealed_anew_is_found_by_an_end_that_is_known() {
    let world = World::new().await;
    let (db, database) = (&world.server.db, &world.server.database);
    audit::seal(db).await.unwrap();
    let known = audit::verify(db, None).await.unwrap().unwrap().end;
    by_force(
        database,
        "UPDATE audit_entries SET status = 299 WHERE id = (SELECT entry_id FROM audit_seals WHERE position = 5); \
         INSERT INTO audit_queue (entry_id) SELECT entry_id FROM audit_seals ORDER BY position; DELETE FROM audit_seals",
    )
    .await;
    database.execute("UPDATE audit_chain SET (position, seal) = (0, '')").await;
    world.admin.act(&world.active("/suspend")).await.ok();
    audit::seal(db).await.unwrap();
    let end = audit::verify(db, None).await.unwrap().unwrap().end;
    assert!(end.position > known.position, "the check cannot detect this alone");
    let broken = audit::verify(db, Some(&known)).await.unwrap();
    assert_eq!(broken, Err(Broken::Rewritten(known.position)));

    // The end in the database is a known end, too.
    database.execute("UPDATE audit_chain SET seal = sha256('')").await;
    assert_eq!(audit::verify(db, Some(&end)).await.unwrap(), Err(Broken::Rewritten(end.position)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trail_that_is_sealed_further_while_it_is_verified_holds() {
    let world = World::new().await;
    let (db, database) = (&world.server.db, &world.server.database);
    audit::seal(db).await.unwrap();
    let end = audit::verify(db, None).await.unwrap().unwrap().end;
    database.execute("CREATE TABLE sealed AS SELECT * FROM audit_seals").await;
    for table in ["audit_chain", "audit_seals"] {
        let reopen = "DELETE FROM audit_seals WHERE position > 5; \
            UPDATE audit_chain SET (position, seal) = (SELECT position, seal FROM sealed WHERE position = 5)";
        by_force(database, reopen).await;
        let lock = Lock::hold(database, table).await;
        let verifying = {
            let db = db.clone();
            tokio::spawn(async move { audit::verify(&db, None).await.unwrap() })
        };
        lock.wait_for(1).await;
        // The other entries are sealed while the check waits for the lock.
        let last = "SELECT position, seal FROM sealed ORDER BY position DESC LIMIT 1";
        lock.execute("INSERT INTO audit_seals SELECT * FROM sealed WHERE position > 5").await;
        lock.execute(&format!("UPDATE audit_chain SET (position, seal) = ({last})")).await;
        lock.release().await;
        assert_eq!(verifying.await.unwrap().map(|verified| verified.end), Ok(end.clone()), "{table}");
    }
}

/// Writes entries as if so many keys had been created.
async fn write(database: &Database, entries: usize) {
    let columns = "id, occurred_at, actor, role, request_id, operation, outcome, status, changes";
    let values = "gen_random_uuid(), now(), 'system', 'admin', number, 'createApiKey', 'succeeded', 200, '[]'";
    let rows = format!("SELECT {values} FROM generate_series(1, {entries}) AS number");
    database.execute(&format!("INSERT INTO audit_entries ({columns}) {rows}")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_entries_that_are_yet_to_be_sealed_are_counted() {
    let server = Server::start().await;
    write(&server.database, 1200).await;
    let verified = audit::verify(&server.db, None).await.unwrap().unwrap();
    assert_eq!((verified.end, verified.open), (Link::start(), 1200));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_entries_is_sealed_by_one_statement() {
    let server = Server::start().await;
    server
        .database
        .execute(
            "CREATE TABLE statements (); \
         CREATE FUNCTION count_statement() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN INSERT INTO statements DEFAULT VALUES; RETURN NULL; END $$; \
         CREATE TRIGGER counted AFTER INSERT ON audit_seals FOR EACH STATEMENT EXECUTE FUNCTION count_statement()",
        )
        .await;
    write(&server.database, 1200).await;
    assert_eq!(audit::seal(&server.db).await.unwrap(), 1200);
    assert_eq!(server.database.text("SELECT count(*) FROM statements").await, "3");
    let verified = audit::verify(&server.db, None).await.unwrap().unwrap();
    assert_eq!((verified.end.position, verified.open), (1200, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trail_refuses_to_be_changed() {
    let world = World::new().await;
    audit::seal(&world.server.db).await.unwrap();
    let client = crate::support::database::connect(&world.server.database).await;
    for sql in [
        "UPDATE audit_entries SET actor = 'system'",
        "UPDATE audit_seals SET position = position + 1",
        "DELETE FROM audit_seals",
        "TRUNCATE audit_seals",
        "DELETE FROM audit_entries",
        "TRUNCATE audit_entries",
    ] {
        let refused = client.batch_execute(sql).await.unwrap_err();
        assert!(refused.as_db_error().unwrap().message().contains("only ever added to"), "{sql}: {refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_seals_at_the_same_time_makes_one_chain() {
    let world = World::new().await;
    let beside = world.server.beside().await;
    for round in 0..5 {
        for number in 0..20 {
            world.admin.post("/v1/resellers", company(&format!("Sealed {round} {number}"))).await.created();
        }
        let verify = audit::verify(&world.server.db, None);
        let (one, other, verified) = tokio::join!(audit::seal(&world.server.db), audit::seal(&beside.db), verify);
        let _ = (one.unwrap(), other.unwrap());
        verified.unwrap().unwrap();
    }
    audit::seal(&world.server.db).await.unwrap();
    let verified = audit::verify(&world.server.db, None).await.unwrap().unwrap();
    assert_eq!(verified.open, 0);
    assert!(verified.end.position >= 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_known_and_tried_in_vain_is_told_however_early_it_is_refused() {
    let world = World::new().await;
    world.admin.with("idempotency-key", "once").post("/v1/resellers", company("Once")).await.created();
    world.admin.act(&format!("/v1/resellers/{}/disable", id(&world.other_reseller_id))).await.ok();
    let large = json!({ "company_name": "x".repeat(2_000_000) });
    let attempts = [
        (world.admin.with("idempotency-key", "once"), company("Twice"), 422, "idempotency_key_reused"),
        (world.admin.with("idempotency-key", "two words"), company("No key"), 422, "validation_failed"),
        (world.admin.with("idempotency-key", "large"), large.clone(), 413, "payload_too_large"),
        (world.admin.clone(), large, 413, "payload_too_large"),
        (world.other.clone(), company("Cut off"), 403, "reseller_disabled"),
    ];
    for (number, (client, body, status, code)) in attempts.into_iter().enumerate() {
        let request = format!("attempt-{number}");
        client.with("x-request-id", &request).post("/v1/resellers", body).await.problem(status, code);
        let told = entries(&world.admin, &format!("request_id={request}")).await;
        assert_eq!(told.len(), 1, "{number}");
        assert_eq!((&told[0]["outcome"], &told[0]["code"]), (&json!("refused"), &json!(code)));
        assert_eq!(told[0]["operation"], "createReseller");
    }
    let query = format!("partner_id={}", id(&world.other_reseller_id));
    assert_eq!(entries(&world.admin, &query).await[0]["code"], "reseller_disabled");
    world.other.get("/v1/customers").await.problem(403, "reseller_disabled");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_becomes_of_a_charge_is_told() {
    let world = World::new().await;
    let told = async |request: &str| {
        let entry = entries(&world.admin, &format!("request_id={request}")).await.remove(0);
        let changes = entry["changes"].as_array().unwrap().iter();
        changes.filter(|change| change["resource"]["type"] == "charge").cloned().collect::<Vec<_>>()
    };
    let pending = format!("/v1/subscriptions/{}/cancel", id(&world.pending_id));
    world.admin.with("x-request-id", "cancel").act(&pending).await.ok();
    let charges = told("cancel").await;
    assert!(!charges.is_empty());
    for charge in charges {
        assert_eq!(charge["before"], json!({ "status": "pending" }));
        assert_eq!(charge["after"], json!({ "status": "voided" }));
    }
    world.admin.with("x-request-id", "run").post("/v1/invoices/run", json!({})).await.ok();
    let invoice = world.admin.get("/v1/invoices").await.ok()["data"][0].clone();
    let on_it = json!({ "status": "invoiced", "invoice_id": invoice["id"] });
    let off_it = json!({ "status": "pending", "invoice_id": null });
    assert!(told("run").await.iter().any(|charge| charge["before"] == off_it && charge["after"] == on_it));
    let void = format!("/v1/invoices/{}/void", id(&invoice["id"]));
    world.admin.with("x-request-id", "void").act(&void).await.ok();
    let charges = told("void").await;
    assert!(!charges.is_empty());
    assert!(charges.iter().all(|charge| charge["before"] == on_it && charge["after"] == off_it), "{charges:?}");
}
