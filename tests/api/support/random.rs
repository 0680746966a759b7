//! Random bodies from the schemas of the document: valid in most parts, and invalid in various ways in the others.

use fastrand::Rng;
use partner_platform::api::contract::document::DOCUMENT;
use serde_json::{Map, Value, json};

/// An operation with a body.
pub struct Target {
    pub id: &'static str,
    pub method: &'static str,
    pub path: &'static str,
    /// The name of the body's schema.
    pub schema: &'static str,
}

/// All operations of the document that have a body.
pub fn targets() -> Vec<Target> {
    let with_body = DOCUMENT.operations.iter().filter_map(|operation| {
        let documented = &DOCUMENT.value["paths"][&operation.path][operation.method.to_lowercase()];
        let schema = documented["requestBody"]["content"]["application/json"]["schema"]["$ref"].as_str()?;
        let schema = schema.rsplit('/').next()?;
        Some(Target { id: &operation.id, method: &operation.method, path: &operation.path, schema })
    });
    with_body.collect()
}

/// A body for a schema, as bytes. Sometimes it is not even JSON.
pub fn body(rng: &mut Rng, schema: &str) -> Vec<u8> {
    let schema = json!({ "$ref": format!("#/components/schemas/{schema}") });
    let wrongness = [0.0, 0.02, 0.1, 0.4][rng.usize(..4)];
    let mut text = value(rng, &schema, wrongness, 0).to_string().into_bytes();
    if rng.u8(..10) == 0 {
        for _ in 0..=rng.usize(..4) {
            let at = rng.usize(..=text.len());
            match rng.u8(..4) {
                0 => text.truncate(at),
                1 => text.insert(at, rng.u8(..)),
                2 => drop(text.splice(at.saturating_sub(3)..at, *b"\"\\u")),
                _ => text.extend_from_within(at..),
            }
        }
    }
    text.truncate(1 << 20);
    text
}

fn value(rng: &mut Rng, schema: &Value, wrongness: f64, depth: usize) -> Value {
    if rng.f64() < wrongness {
        return anything(rng, depth);
    }
    if let Some(reference) = schema["$ref"].as_str() {
        let target = DOCUMENT.value.pointer(reference.trim_start_matches('#')).unwrap();
        return value(rng, target, wrongness, depth);
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        let choice = rng.usize(..choices.len());
        return value(rng, &choices[choice], wrongness, depth);
    }
    if let Some(names) = schema["enum"].as_array() {
        return names[rng.usize(..names.len())].clone();
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) => kinds[rng.usize(..kinds.len())].as_str(),
        kind => kind.as_str(),
    };
    match kind {
        Some("object") => object(rng, schema, wrongness, depth),
        Some("array") => {
            let most = schema["maxItems"].as_u64().unwrap_or(10);
            let count = if rng.f64() < wrongness { rng.u64(..=most + 20) } else { rng.u64(..=most.min(4)) };
            (0..count).map(|_| value(rng, &schema["items"], wrongness, depth + 1)).collect()
        }
        Some("integer") => {
            let (least, most) = (schema["minimum"].as_i64().unwrap_or(-9), schema["maximum"].as_i64().unwrap_or(9999));
            match rng.u8(..8) {
                0 => json!(least),
                1 => json!(most),
                2 => json!(least.saturating_sub(1)),
                3 => json!(most.saturating_add(1)),
                4 => json!(1.0),
                _ => json!(rng.i64(least..=most.min(least.saturating_add(100)))),
            }
        }
        Some("boolean") => json!(rng.bool()),
        Some("null") => Value::Null,
        _ => text(rng, schema),
    }
}

fn object(rng: &mut Rng, schema: &Value, wrongness: f64, depth: usize) -> Value {
    let mut fields = Map::new();
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let is_required = required.iter().any(|other| other == name);
        if (is_required && rng.f64() >= wrongness) || rng.bool() {
            fields.insert(name.clone(), value(rng, field, wrongness, depth + 1));
        }
    }
    if rng.f64() < wrongness {
        for _ in 0..rng.usize(..300) {
            fields.insert(word(rng), anything(rng, depth + 1));
        }
    }
    Value::Object(fields)
}

fn text(rng: &mut Rng, schema: &Value) -> Value {
    match schema["format"].as_str() {
        Some("uuid") if rng.u8(..8) > 0 => return json!("01990000-0000-7000-8000-000000000000"),
        Some("date") if rng.u8(..8) > 0 => return json!(format!("20{}-{:02}-28", rng.u8(20..40), rng.u8(1..13))),
        Some("date-time") if rng.u8(..8) > 0 => return json!(format!("20{}-01-31T09:30:00+01:00", rng.u8(20..40))),
        _ => {}
    }
    if rng.bool()
        && let Some(example) = schema.get("example").or_else(|| schema["examples"].get(0))
    {
        return example.clone();
    }
    if let Some(codes) = schema["pattern"].as_str().and_then(|p| p.strip_prefix("^(")?.strip_suffix(")$"))
        && rng.u8(..8) > 0
    {
        let codes: Vec<_> = codes.split('|').collect();
        return json!(codes[rng.usize(..codes.len())]);
    }
    json!(word(rng))
}

/// Characters of all kinds, not only letters.
fn word(rng: &mut Rng) -> String {
    const ODD: [char; 24] = [
        ' ',
        '\0',
        '\n',
        '\t',
        '\u{7f}',
        '\u{85}',
        '\u{a0}',
        '\u{ad}',
        '\u{301}',
        '\u{34f}',
        '\u{115f}',
        '\u{200b}',
        '\u{200d}',
        '\u{202e}',
        '\u{2028}',
        '\u{2066}',
        '\u{2800}',
        '\u{3164}',
        '\u{fe0f}',
        '\u{feff}',
        '\u{fffe}',
        '\u{1f600}',
        '\u{e0041}',
        '\u{10ffff}',
    ];
    let length = [0, 1, 3, 10, 60, 300, 5000][rng.usize(..7)];
    let letter = |rng: &mut Rng| match rng.u8(..6) {
        0 => ODD[rng.usize(..ODD.len())],
        1 => rng.char(..),
        2 => rng.char('à'..='ÿ'),
        _ => rng.alphanumeric(),
    };
    (0..length).map(|_| letter(rng)).collect()
}

fn anything(rng: &mut Rng, depth: usize) -> Value {
    match rng.u8(..12) {
        0 => Value::Null,
        1 => json!(rng.bool()),
        2 => json!(rng.i64(..)),
        3 => json!(rng.u64(..)),
        4 => json!(f64::from_bits(rng.u64(..))),
        5 => json!(-0.0),
        6 => json!([]),
        7 => json!({}),
        8 if depth < 4 => (0..rng.usize(..2000)).map(|_| json!(0)).collect(),
        9 if depth < 4 => (0..rng.usize(..20)).map(|_| anything(rng, depth + 1)).collect(),
        10 => (0..rng.usize(..120)).fold(json!(1), |inner, _| json!([inner])),
        _ => json!(word(rng)),
    }
}
