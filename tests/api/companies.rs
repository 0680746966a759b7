//! What customers and resellers have in common: the details of a company, and editing them.

use serde_json::{Value, json};

use crate::support::world::{company, id};
use crate::support::{Client, Server};

const LISTS: [&str; 2] = ["/v1/resellers", "/v1/customers"];

/// A company with every field.
fn full() -> Value {
    json!({
        "company_name": "Northwind Traders",
        "address": {
            "line1": "12 Harbour Street", "line2": "Floor 3", "line3": "Desk 9",
            "city": "Brussels", "postal_code": "1050", "state": "BRU", "country": "BE"
        },
        "contact": {
            "name": "Grace Claes", "email": "grace@northwind.example", "phone": "+32 2 555 01 00", "extension": "204"
        },
        "external_id": "crm-4711",
    })
}

async fn create(admin: &Client, list: &str, body: Value) -> (String, Value) {
    let company = admin.post(list, body).await.created();
    (format!("{list}/{}", id(&company["id"])), company)
}

/// A merge patch as the response shows it: cleared fields are null.
fn merge(to: &mut Value, patch: &Value) {
    match patch {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| merge(&mut to[name], value)),
        value => *to = value.clone(),
    }
}

fn without_version(mut resource: Value) -> Value {
    resource["version"] = Value::Null;
    resource["updated_at"] = Value::Null;
    resource
}

fn later(server: &Server) {
    server.clock.set("2027-01-02T03:04:05.678901Z".parse().unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_field_is_answered_as_it_was_given() {
    let server = Server::start().await;
    let admin = server.admin().await;
    for list in LISTS {
        let (path, created) = create(&admin, list, full()).await;
        for (field, value) in full().as_object().unwrap() {
            assert_eq!(created[field], *value, "{list} {field}");
        }
        assert_eq!((&created["version"], &created["created_at"]), (&json!(1), &json!("2027-01-01T12:00:00Z")));
        assert_eq!(created["updated_at"], created["created_at"]);
        assert_eq!(admin.get(&path).await.ok(), created, "{list}");
        assert_eq!(admin.get(list).await.ok()["data"], json!([created]), "{list}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_out_is_null() {
    let server = Server::start().await;
    let admin = server.admin().await;
    for list in LISTS {
        let (_, mut created) = create(&admin, list, company("Small")).await;
        let address = created["address"].take();
        assert_eq!((&created["contact"], &created["external_id"]), (&Value::Null, &Value::Null), "{list}");
        for field in ["line2", "line3", "postal_code", "state"] {
            assert_eq!(address.get(field), Some(&Value::Null), "{list} {field}");
        }
        let mut hollow = company("Hollow");
        hollow["contact"] = json!({});
        assert_eq!(
            create(&admin, list, hollow).await.1["contact"],
            Value::Null,
            "an empty contact is no contact: {list}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn spaces_around_a_text_are_not_kept() {
    let server = Server::start().await;
    let admin = server.admin().await;
    for list in LISTS {
        let mut padded = full();
        for pointer in ["/company_name", "/address/line1", "/address/postal_code", "/contact/name", "/external_id"] {
            let text = padded.pointer_mut(pointer).unwrap();
            *text = json!(format!("  {}\u{a0} ", text.as_str().unwrap()));
        }
        let (path, created) = create(&admin, list, padded).await;
        for (field, value) in full().as_object().unwrap() {
            assert_eq!(created[field], *value, "{list} {field}");
        }
        let renamed = admin.patch(&path, json!({ "company_name": "  In  between " })).await.ok();
        assert_eq!(renamed["company_name"], "In  between", "{list}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patch_changes_what_it_names_and_nothing_else() {
    let server = Server::start().await;
    let admin = server.admin().await;
    let patches = [
        json!({ "company_name": "Northwind" }),
        json!({ "address": { "line1": "14 Harbour Street" } }),
        json!({ "address": { "line2": null, "line3": "Desk 10", "city": "Ghent" } }),
        json!({ "address": { "postal_code": null, "state": null, "country": "NL" } }),
        json!({ "contact": { "phone": null } }),
        json!({ "contact": { "name": "Ada Peeters", "extension": null } }),
        json!({ "external_id": "crm-1" }),
        json!({ "external_id": null }),
        json!({ "contact": null }),
        json!({ "contact": { "name": "Ada", "email": "ada@northwind.example", "phone": null, "extension": null } }),
        json!({ "company_name": "Last", "address": { "city": "Liège" }, "external_id": "crm-2", "contact": null }),
    ];
    for list in LISTS {
        let (path, created) = create(&admin, list, full()).await;
        let mut expected = without_version(created);
        for (patch, version) in patches.iter().zip(2..) {
            merge(&mut expected, patch);
            let answer = admin.patch(&path, patch.clone()).await;
            assert_eq!(answer.header("etag"), format!("\"{version}\""), "{list} {patch}");
            let patched = answer.ok();
            assert_eq!(patched["version"], json!(version), "{list} {patch}");
            assert_eq!(without_version(patched.clone()), expected, "{list} {patch}");
            assert_eq!(admin.get(&path).await.ok(), patched, "{list} {patch}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contact_of_which_nothing_is_left_is_null() {
    let server = Server::start().await;
    let admin = server.admin().await;
    for list in LISTS {
        let (path, _) = create(&admin, list, full()).await;
        let nothing = json!({ "contact": { "name": null, "email": null, "phone": null, "extension": null } });
        assert_eq!(admin.patch(&path, nothing).await.ok()["contact"], Value::Null, "{list}");
        let phone = admin.patch(&path, json!({ "contact": { "phone": "1" } })).await.ok();
        assert_eq!(phone["contact"], json!({ "name": null, "email": null, "phone": "1", "extension": null }), "{list}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn required_fields_cannot_be_cleared() {
    let server = Server::start().await;
    let admin = server.admin().await;
    for list in LISTS {
        let (path, _) = create(&admin, list, full()).await;
        let before = server.database.fingerprint().await;
        let found = admin.patch(&path, json!({ "company_name": null, "address": null })).await.violations();
        assert_eq!(found, required(["/address", "/company_name"]), "{list}");
        let lines = json!({ "address": { "line1": null, "city": null, "country": null, "line2": null } });
        let found = admin.patch(&path, lines).await.violations();
        assert_eq!(found, required(["/address/city", "/address/country", "/address/line1"]), "{list}");
        let found = admin.post(list, json!({ "company_name": "No address", "address": {} })).await.violations();
        assert_eq!(found, required(["/address/city", "/address/country", "/address/line1"]), "{list}");
        assert_eq!(before, server.database.fingerprint().await, "nothing changed");
    }
}

fn required<const N: usize>(pointers: [&str; N]) -> Vec<(String, String)> {
    pointers.map(|pointer| (pointer.to_owned(), "required".to_owned())).to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_platform_sets_cannot_be_changed() {
    let server = Server::start().await;
    let admin = server.admin().await;
    for list in LISTS {
        let (path, created) = create(&admin, list, full()).await;
        let before = server.database.fingerprint().await;
        for field in ["id", "status", "actions", "version", "created_at", "updated_at"] {
            // Not even to its present value, because the client may otherwise think that it can.
            let found = admin.patch(&path, json!({ (field): created[field], "other": 1 })).await.violations();
            let immutable = (format!("/{field}"), "immutable_field".to_owned());
            let unknown = ("/other".to_owned(), "unknown_field".to_owned());
            let mut expected = [immutable, unknown];
            expected.sort();
            assert_eq!(found, expected, "{list}");
        }
        assert_eq!(before, server.database.fingerprint().await, "nothing changed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patch_that_changes_nothing_is_no_new_version() {
    let server = Server::start().await;
    let admin = server.admin().await;
    let created: Vec<_> = [create(&admin, LISTS[0], full()).await, create(&admin, LISTS[1], full()).await].into();
    later(&server);
    for (path, before) in created {
        let padded = json!({ "company_name": "  Northwind Traders " });
        for patch in [json!({}), full(), padded, json!({ "address": {}, "contact": {} })] {
            assert_eq!(admin.patch(&path, patch.clone()).await.ok(), before, "{path} {patch}");
        }
        let moved = admin.patch(&path, json!({ "external_id": "other" })).await.ok();
        assert_eq!(moved["updated_at"], "2027-01-02T03:04:05.678901Z", "{path}");
        assert_eq!((&moved["created_at"], &moved["version"]), (&before["created_at"], &json!(2)), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_version_that_was_seen_may_be_changed() {
    let server = Server::start().await;
    let admin = server.admin().await;
    for list in LISTS {
        let (path, _) = create(&admin, list, company("First")).await;
        // A proxy that compresses responses makes the entity tag weak.
        for (tag, version) in
            [("\"1\"", 2), ("\"1\", \"2\"", 3), ("*", 4), ("W/\"4\"", 5), ("\"3\",W/\"5\"", 6), ("\"6-gzip\"", 7)]
        {
            let name = json!({ "company_name": format!("Name {version}") });
            let answer = admin.with("if-match", tag).patch(&path, name.clone()).await;
            assert_eq!(answer.header("etag"), format!("\"{version}\""), "{list}");
            assert_eq!(answer.ok()["company_name"], name["company_name"], "{list}");
        }
        admin.with("if-match", "\"3\"").patch(&path, json!({})).await.problem(412, "version_mismatch");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_external_id_is_taken_once_and_free_again_when_cleared() {
    let server = Server::start().await;
    let admin = server.admin().await;
    for list in LISTS {
        let (path, _) = create(&admin, list, full()).await;
        let (other, _) = create(&admin, list, company("Other")).await;
        let before = server.database.fingerprint().await;
        admin.post(list, full()).await.problem(409, "duplicate_external_id");
        let taken = json!({ "external_id": " crm-4711 ", "company_name": "Not kept" });
        admin.patch(&other, taken).await.problem(409, "duplicate_external_id");
        assert_eq!(before, server.database.fingerprint().await, "nothing changed");
        create(
            &admin,
            list,
            json!({ "external_id": "CRM-4711", "company_name": "Case", "address": full()["address"] }),
        )
        .await;
        admin.patch(&path, json!({ "external_id": null })).await.ok();
        let free = admin.patch(&other, json!({ "external_id": "crm-4711" })).await.ok();
        assert_eq!(free["external_id"], "crm-4711", "{list}");
    }
}
