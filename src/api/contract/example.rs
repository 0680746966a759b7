//! Examples of responses, built from the schemas and their examples. The example of an object contains the fields whose
//! own examples would not fit together. The other fields are filled in.

use serde_json::{Map, Value, json};

/// Returns an example of a schema.
pub fn of(schema: &Value, schemas: &Value) -> Value {
    if let Some(name) = schema["$ref"].as_str() {
        return of(&schemas[name.trim_start_matches("#/components/schemas/")], schemas);
    }
    if !schema["properties"].is_null() {
        return object(schema, schemas);
    }
    if let Some(example) = schema.get("example").or_else(|| schema["examples"].get(0)).or_else(|| schema["enum"].get(0))
    {
        return example.clone();
    }
    if let Some(branches) = schema["oneOf"].as_array() {
        return branches.iter().find(|branch| branch["type"] != "null").map_or(Value::Null, |other| of(other, schemas));
    }
    let kind = schema["type"].as_str().or_else(|| schema["type"][0].as_str());
    match (kind, schema["format"].as_str()) {
        (Some("object"), _) => json!({}),
        (Some("array"), _) => json!([of(&schema["items"], schemas)]),
        (Some("boolean"), _) => json!(true),
        (Some("integer"), _) => schema.get("minimum").filter(|least| **least != json!(0)).cloned().unwrap_or(json!(10)),
        (_, Some("uuid")) => json!("01990000-0000-7000-8000-000000000000"),
        (_, Some("date")) => json!("2027-01-01"),
        (_, Some("date-time")) => json!("2026-01-01T09:30:00Z"),
        _ => json!("text"),
    }
}

fn object(schema: &Value, schemas: &Value) -> Value {
    let own = schema["example"].as_object();
    let required = schema["required"].as_array();
    // Leave optional fields out, unless the example contains them.
    let is_there = |name: &str| own.is_none() || required.is_some_and(|names| names.iter().any(|it| it == name));
    let properties = schema["properties"].as_object().into_iter().flatten().filter(|(name, _)| is_there(name));
    let mut example: Map<_, _> = properties.map(|(name, property)| (name.clone(), of(property, schemas))).collect();
    example.extend(own.into_iter().flatten().map(|(name, value)| (name.clone(), value.clone())));
    Value::Object(example)
}
