//! The OpenAPI document: committed as generated, and valid by the rules that generated clients need.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "helpers of tests may fail loudly")]

use partner_platform::api::contract::document::DOCUMENT;
use serde_json::{Value, json};

/// All schemas of the document with their places.
fn schemas() -> Vec<(String, &'static Value)> {
    let mut found = Vec::new();
    collect(&DOCUMENT.value, "#", false, &mut found);
    found
}

fn collect(value: &'static Value, at: &str, is_schema: bool, found: &mut Vec<(String, &'static Value)>) {
    match value {
        Value::Object(object) => {
            if is_schema {
                found.push((at.to_owned(), value));
            }
            for (key, inner) in
                object.iter().filter(|(key, _)| !matches!(key.as_str(), "example" | "examples" | "enum"))
            {
                let here = format!("{at}/{key}");
                let is_map = matches!(key.as_str(), "properties" | "schemas");
                match inner {
                    Value::Object(all) if is_map => {
                        all.iter().for_each(|(name, inner)| collect(inner, &format!("{here}/{name}"), true, found));
                    }
                    _ => collect(inner, &here, matches!(key.as_str(), "schema" | "items"), found),
                }
            }
        }
        Value::Array(items) => {
            let is_choice = at.ends_with("/oneOf");
            items.iter().enumerate().for_each(|(n, item)| collect(item, &format!("{at}/{n}"), is_choice, found));
        }
        _ => {}
    }
}

fn has_type(schema: &Value, name: &str) -> bool {
    schema["type"] == name || schema["type"].as_array().is_some_and(|types| types.iter().any(|it| it == name))
}

fn operations() -> impl Iterator<Item = (String, &'static Value)> {
    let paths = DOCUMENT.value["paths"].as_object().unwrap();
    paths.iter().flat_map(|(path, item)| {
        item.as_object().unwrap().iter().map(move |(method, operation)| (format!("{method} {path}"), operation))
    })
}

#[test]
fn the_committed_document_is_the_generated_one() {
    let committed = std::fs::read_to_string("openapi/openapi.json").unwrap();
    assert!(committed == DOCUMENT.text, "regenerate it: cargo run -- openapi > openapi/openapi.json");
}

#[test]
fn every_operation_introduces_itself() {
    let mut ids = Vec::new();
    for (place, operation) in operations() {
        let id = operation["operationId"].as_str().unwrap();
        assert!(id.chars().all(char::is_alphanumeric) && id.starts_with(char::is_lowercase), "{place}: {id}");
        assert!(!ids.contains(&id), "{id} is unique");
        ids.push(id);
        assert_eq!(operation["tags"].as_array().unwrap().len(), 1, "{place} has one tag");
        for text in ["summary", "description"] {
            assert!(operation[text].as_str().is_some_and(|text| text.len() > 5), "{place} has a {text}");
        }
    }
}

#[test]
fn every_answer_is_described_and_errors_are_shared() {
    for (place, operation) in operations() {
        let answers = operation["responses"].as_object().unwrap();
        assert!(!answers.contains_key("default"), "{place}");
        for (status, answer) in answers {
            if status.starts_with(['4', '5']) {
                assert!(
                    answer["$ref"].as_str().is_some_and(|it| it.starts_with("#/components/responses/")),
                    "{place} {status}"
                );
            } else {
                assert!(!answer["description"].as_str().unwrap_or_default().is_empty(), "{place} {status}");
            }
        }
    }
}

#[test]
fn an_error_has_the_headers_of_each_of_its_codes() {
    let responses = &DOCUMENT.value["components"]["responses"];
    for (answer, header) in [
        ("Unauthorized", "WWW-Authenticate"),
        ("Conflict", "Retry-After"),
        ("PreconditionFailed", "ETag"),
        ("TooManyRequests", "Retry-After"),
        ("ServiceUnavailable", "Retry-After"),
    ] {
        let documented = &responses[answer]["headers"][header];
        assert!(documented["description"].is_string() && documented["schema"].is_object(), "{answer} has {header}");
    }
    let with_retry =
        responses.as_object().unwrap().values().filter(|answer| answer["headers"]["Retry-After"].is_object());
    assert_eq!(with_retry.count(), 3);
}

#[test]
fn every_reference_leads_somewhere() {
    for (at, schema) in schemas() {
        if let Some(reference) = schema["$ref"].as_str() {
            assert!(DOCUMENT.value.pointer(reference.trim_start_matches('#')).is_some(), "{at}: {reference}");
        }
    }
}

#[test]
fn objects_and_enums_have_names() {
    for (at, schema) in schemas() {
        let is_component = at.starts_with("#/components/schemas/") && at.matches('/').count() == 3;
        if !is_component {
            assert!(schema["properties"].is_null() && schema["enum"].is_null(), "{at} is a component of its own");
        }
        if !schema["enum"].is_null() {
            assert_eq!(schema["type"], "string", "{at} is a plain enum of strings");
        }
    }
}

#[test]
fn everything_has_bounds() {
    for (at, schema) in schemas() {
        let has = |keyword: &str| !schema[keyword].is_null();
        if has_type(schema, "string") && !has("enum") && !at.contains("/metrics/") {
            assert!(has("maxLength"), "{at} has a maxLength");
        }
        if has_type(schema, "array") {
            assert!(has("maxItems"), "{at} has maxItems");
        }
        if has_type(schema, "integer") {
            assert!(has("minimum") && has("maximum"), "{at} has bounds");
            assert!(schema["format"] == "int32" || schema["format"] == "int64", "{at} has a format with a size");
        }
        assert!(!has_type(schema, "number"), "{at}: there are no floating-point numbers");
    }
}

#[test]
fn requests_are_closed_and_answers_are_open_and_no_schema_is_both() {
    for (at, schema) in schemas().into_iter().filter(|(_, schema)| !schema["properties"].is_null()) {
        let name = at.rsplit('/').next().unwrap();
        let closed = schema["additionalProperties"] == false;
        let is_request = ["Create", "Patch", "Add", "Set", "Line", "Request", "Confirmation", "Amount"];
        let may_be_request = is_request.iter().any(|ending| name.ends_with(ending));
        assert!(!closed || may_be_request, "{name} is a response, which must stay open for new fields");
    }
    for (place, operation) in operations() {
        if let Some(reference) = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].as_str() {
            let schema = DOCUMENT.value.pointer(reference.trim_start_matches('#')).unwrap();
            assert_eq!(schema["additionalProperties"], false, "{place} rejects unknown fields");
        }
    }
}

#[test]
fn only_patches_take_null() {
    for (at, schema) in schemas() {
        let Some(name) = at.strip_prefix("#/components/schemas/").and_then(|rest| rest.split('/').next()) else {
            continue;
        };
        let is_request = DOCUMENT.value["components"]["schemas"][name]["additionalProperties"] == false;
        let null = has_type(schema, "null")
            || schema["oneOf"].as_array().is_some_and(|all| all.iter().any(|it| it["type"] == "null"));
        // Here null is a value: the renewal quantity follows the current quantity, or the line is never low.
        let has_null = ["RenewalInventorySetLine", "InventoryThresholdsSetLine"];
        if is_request && null && !has_null.contains(&name) {
            assert!(name.ends_with("Patch"), "{at} cannot be null");
        }
    }
}

/// The examples of the responses of all operations, with their schemas.
fn answer_examples() -> Vec<(String, &'static Value, &'static Value)> {
    let answers = operations().flat_map(|(place, operation)| {
        let answers = operation["responses"].as_object().unwrap().iter();
        answers.map(move |(status, answer)| (format!("{place} {status}"), &answer["content"]["application/json"]))
    });
    answers
        .filter(|(_, content)| !content["schema"].is_null())
        .map(|(place, content)| (place, &content["example"], &content["schema"]))
        .collect()
}

/// All objects in a value. The first is the value itself.
fn objects(value: &'static Value) -> Vec<&'static Value> {
    let inner: Vec<_> = match value {
        Value::Object(object) => object.values().collect(),
        Value::Array(items) => items.iter().collect(),
        _ => Vec::new(),
    };
    value.is_object().then_some(value).into_iter().chain(inner.into_iter().flat_map(objects)).collect()
}

#[test]
fn every_example_of_an_answer_is_as_its_schema_says() {
    let component = |name: &String| json!({ "$ref": format!("#/components/schemas/{name}") });
    let schemas = DOCUMENT.value["components"]["schemas"].as_object().unwrap();
    let own = schemas.iter().filter(|(_, schema)| !schema["example"].is_null());
    let own = own.map(|(name, schema)| (name.clone(), &schema["example"], component(name)));
    let answers = answer_examples().into_iter().map(|(place, example, schema)| (place, example, schema.clone()));
    for (place, example, mut schema) in answers.chain(own) {
        schema["components"] = DOCUMENT.value["components"].clone();
        let validator = jsonschema::options().should_validate_formats(true).build(&schema).unwrap();
        let errors: Vec<_> = validator.iter_errors(example).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{place}: {errors:?} in {example}");
    }
}

#[test]
fn an_example_of_an_answer_could_be_true() {
    // A field that is present in one state and null in the others.
    let states = [
        ("suspended", "suspended"),
        ("cancelled", "cancelled"),
        ("disabled", "disabled"),
        ("revoked", "revoked"),
        ("voided", "void"),
        ("paid_at", "paid"),
        ("released_at", "released"),
        ("invoice_id", "invoiced"),
    ];
    for (place, example, _) in answer_examples() {
        assert!(!example.to_string().contains("\"text\""), "{place} has only placeholder texts: {example}");
        for object in objects(example) {
            let number = |field: &str| object[field].as_i64().unwrap();
            let status = object["status"].as_str();
            for (field, state) in states.iter().filter(|(field, _)| status.is_some() && object.get(field).is_some()) {
                assert_eq!(!object[field].is_null(), status == Some(state), "{place}: {field} of {object}");
            }
            if object["state"] == "in_progress" {
                assert!(object["status"].is_null() && object["expires_at"].is_null(), "{place}: {object}");
            }
            if object["outcome"] == "succeeded" {
                assert!(object["code"].is_null(), "{place}: {object}");
            }
            if object.get("overage").is_some() {
                let quantity = number(if object.get("quantity").is_some() { "quantity" } else { "inventory" });
                assert_eq!(number("available"), (quantity - number("used")).max(0), "{place}: {object}");
                assert_eq!(number("overage"), (number("used") - quantity).max(0), "{place}: {object}");
            }
            if object.get("delta").is_some() {
                assert_eq!(number("before") + number("delta"), number("after"), "{place}: {object}");
            }
            if let (Some(start), Some(end)) = (object["start_date"].as_str(), object["end_date"].as_str()) {
                assert!(start < end, "{place}: {object}");
            }
            if let Some(created) = object["created_at"].as_str() {
                let end = object["expires_at"].as_str();
                assert!(end.is_none_or(|end| created < end), "{place}: {object}");
            }
            if object.get("cursor").is_some() {
                assert_ne!(object["data"], json!({}), "{place}: an event has data");
            }
            for (field, value) in object.as_object().unwrap().iter().filter(|(field, _)| *field != "line1") {
                assert_ne!(value, "12 Harbour Street", "{place}: {field}");
            }
        }
    }
}
