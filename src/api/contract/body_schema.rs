//! Checks a JSON body against the API document while the body is parsed. Objects in a list are checked one by one and
//! not stored, unknown parts are skipped, and checking stops when the response cannot list more problems. So a rejected
//! body needs little more memory than its own bytes, whatever it contains.

use std::collections::HashMap;
use std::fmt;
use std::sync::{LazyLock, Mutex, PoisonError};

use jsonschema::Validator;
use serde::de::{self, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value, json};

use crate::api::contract::document::{or_null_mut, resolve};
use crate::api::contract::schema::{self, MAX_PROBLEMS};
use crate::domain::refusal::Violation;

/// The schemas, by their name in the API document.
static BODIES: LazyLock<Mutex<HashMap<String, &'static BodySchema>>> = LazyLock::new(Mutex::default);

/// The byte order mark, which some programs write at the start of a UTF-8 text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

pub struct BodySchema {
    name: String,
    root: Part,
}

/// The result of a check.
#[derive(Debug)]
pub struct Checked {
    /// The problems; at most as many as a response lists.
    pub violations: Vec<Violation>,
    /// The names of the fields, if the body is an object.
    pub fields: Option<Vec<String>>,
    /// Whether the body writes an integer as `1.0` or `1e3`, which JSON Schema allows.
    has_floats: bool,
}

/// A schema that is checked as a whole, except for the lists of objects in it.
struct Part {
    validator: Validator,
    shape: Shape,
}

/// The part of a value that is kept during parsing.
enum Shape {
    Object(HashMap<String, Self>),
    List(Box<List>),
    /// A list of plain values, with its maximum length.
    Values(usize),
    Value,
}

struct List {
    least: usize,
    most: usize,
    item: Part,
}

/// Returns the schema with a name in the API document.
pub fn named(name: &str) -> Option<&'static BodySchema> {
    let mut bodies = BODIES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(body) = bodies.get(name) {
        return Some(body);
    }
    let mut schema = json!({ "$ref": format!("#/components/schemas/{name}") });
    resolve(&mut schema);
    let root = Part::new(schema)?;
    // One for each schema, for the lifetime of the process.
    let body: &'static BodySchema = Box::leak(Box::new(BodySchema { name: name.to_owned(), root }));
    bodies.insert(name.to_owned(), body);
    Some(body)
}

impl BodySchema {
    /// Checks a body.
    ///
    /// # Errors
    /// The body is not JSON, or an object in it has a field twice.
    pub fn check(&self, bytes: &[u8]) -> serde_json::Result<Checked> {
        let mut check = Check::default();
        let value = check.parse(&self.name, &self.root.shape, bytes)?;
        let mut violations = schema::check(&self.root.validator, &value, &self.name, "");
        violations.append(&mut check.violations);
        violations.truncate(MAX_PROBLEMS);
        Ok(Checked { violations, fields: fields(&value), has_floats: check.has_floats })
    }
}

/// Parses the body of an operation that takes no body.
///
/// # Errors
/// The body is not JSON, or has a field twice.
pub fn check_empty(bytes: &[u8]) -> serde_json::Result<Checked> {
    let mut check = Check::default();
    let value = check.parse("", &Shape::Object(HashMap::new()), bytes)?;
    Ok(Checked { violations: Vec::new(), fields: fields(&value), has_floats: false })
}

/// Deserializes a body that was checked.
///
/// # Errors
/// The body is not a valid `T`, although it matches the API document.
pub fn read<T: de::DeserializeOwned>(bytes: &[u8], checked: &Checked) -> serde_json::Result<T> {
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    if checked.has_floats {
        let mut value = serde_json::from_slice(bytes)?;
        make_integers(&mut value);
        return serde_json::from_value(value);
    }
    serde_json::from_slice(bytes)
}

fn fields(value: &Value) -> Option<Vec<String>> {
    value.as_object().map(|object| object.keys().cloned().collect())
}

impl Part {
    fn new(mut schema: Value) -> Option<Self> {
        let shape = Shape::cut(&mut schema)?;
        Some(Self { validator: schema::compile(schema)?, shape })
    }
}

impl Shape {
    /// Removes the lists of objects from a schema. They are checked separately.
    fn cut(schema: &mut Value) -> Option<Self> {
        let Some(schema) = schema.as_object_mut() else { return Some(Self::Value) };
        if let Some(other) = or_null_mut(schema) {
            return Self::cut(other);
        }
        let bound = |name: &str| schema.get(name).and_then(Value::as_u64).and_then(|bound| usize::try_from(bound).ok());
        let (least, most) = (bound("minItems").unwrap_or(0), bound("maxItems").unwrap_or(usize::MAX));
        match schema.get("items") {
            Some(items) if items["properties"].is_object() => {
                let item = Part::new(items.clone())?;
                schema.retain(|keyword, _| !matches!(keyword.as_str(), "items" | "minItems" | "maxItems"));
                return Some(Self::List(Box::new(List { least, most, item })));
            }
            Some(_) => return Some(Self::Values(most)),
            None => {}
        }
        let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else {
            return Some(Self::Value);
        };
        let fields = properties.iter_mut().map(|(name, field)| Some((name.clone(), Self::cut(field)?)));
        fields.collect::<Option<_>>().map(Self::Object)
    }
}

/// A running check.
#[derive(Default)]
struct Check<'a> {
    name: &'a str,
    at: Vec<Step<'a>>,
    violations: Vec<Violation>,
    has_floats: bool,
}

enum Step<'a> {
    Field(&'a str),
    Item(usize),
}

impl<'a> Check<'a> {
    fn parse(&mut self, name: &'a str, shape: &'a Shape, bytes: &[u8]) -> serde_json::Result<Value> {
        self.name = name;
        let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
        let mut deserializer = serde_json::Deserializer::from_slice(bytes);
        let value = Seed { shape, check: self }.deserialize(&mut deserializer)?;
        deserializer.end()?;
        Ok(value)
    }

    /// The JSON pointer to the current position.
    fn pointer(&self) -> String {
        let step = |step: &Step<'_>| match step {
            Step::Field(name) => format!("/{name}"),
            Step::Item(index) => format!("/{index}"),
        };
        self.at.iter().map(step).collect()
    }

    fn is_full(&self) -> bool {
        self.violations.len() >= MAX_PROBLEMS
    }
}

/// Parses a value with a shape.
struct Seed<'c, 'a> {
    shape: &'a Shape,
    check: &'c mut Check<'a>,
}

impl<'de> DeserializeSeed<'de> for Seed<'_, '_> {
    type Value = Value;

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a> Seed<'_, 'a> {
    fn list<'de, A: SeqAccess<'de>>(self, list: &'a List, mut items: A) -> Result<Value, A::Error> {
        let Self { check, .. } = self;
        let first = check.violations.len();
        let mut count = 0;
        while count < list.most && !check.is_full() {
            check.at.push(Step::Item(count));
            let item = items.next_element_seed(Seed { shape: &list.item.shape, check: &mut *check })?;
            if let Some(item) = &item {
                let mut found = schema::check(&list.item.validator, item, check.name, &check.pointer());
                check.violations.append(&mut found);
            }
            check.at.pop();
            if item.is_none() {
                break;
            }
            count += 1;
        }
        count += skip(items)?;
        let of_list = match count {
            count if count < list.least => Some(schema::too_few_items(&check.pointer(), &list.least)),
            count if count > list.most => Some(schema::too_many_items(&check.pointer(), &list.most)),
            _ => None,
        };
        if let Some(violation) = of_list {
            check.violations.insert(first, violation);
        }
        Ok(Value::Array(Vec::new()))
    }
}

/// Skips and counts the remaining items.
fn skip<'de, A: SeqAccess<'de>>(mut items: A) -> Result<usize, A::Error> {
    let mut count = 0;
    while items.next_element::<IgnoredAny>()?.is_some() {
        count += 1;
    }
    Ok(count)
}

impl<'de> Visitor<'de> for Seed<'_, '_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        self.check.has_floats = true;
        Ok(number(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let most = match self.shape {
            Shape::List(list) => return self.list(list, items),
            Shape::Values(most) => most.saturating_add(1),
            Shape::Object(_) | Shape::Value => 0,
        };
        let mut kept = Vec::new();
        while kept.len() < most {
            match items.next_element_seed(Seed { shape: &Shape::Value, check: &mut *self.check })? {
                Some(item) => kept.push(item),
                None => break,
            }
        }
        skip(items)?;
        Ok(Value::Array(kept))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let Self { shape, check } = self;
        let Shape::Object(known) = shape else {
            while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Ok(Value::Object(Map::new()));
        };
        let mut all = Map::new();
        while let Some(key) = fields.next_key::<String>()? {
            if all.contains_key(&key) {
                return Err(de::Error::custom(format!("the field `{}` is listed twice", schema::quoted(&key))));
            }
            let value = match known.get_key_value(&key) {
                Some((name, shape)) => {
                    check.at.push(Step::Field(name));
                    let value = fields.next_value_seed(Seed { shape, check: &mut *check })?;
                    check.at.pop();
                    value
                }
                None => {
                    fields.next_value::<IgnoredAny>()?;
                    Value::Null
                }
            };
            // The response lists no more unknown fields than this.
            if all.len() <= known.len() + MAX_PROBLEMS {
                all.insert(key, value);
            }
        }
        Ok(Value::Object(all))
    }
}

/// To JSON Schema, `1.0` is an integer.
fn number(value: f64) -> Value {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    #[allow(clippy::cast_possible_truncation, reason = "it has no fraction and is small enough")]
    if value.fract() == 0.0 && value.abs() <= EXACT {
        Value::from(value as i64)
    } else {
        Number::from_f64(value).map_or(Value::Null, Value::Number)
    }
}

fn make_integers(value: &mut Value) {
    match value {
        Value::Number(found) if found.is_f64() => {
            if let Some(float) = found.as_f64() {
                *value = number(float);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(make_integers),
        Value::Object(fields) => fields.values_mut().for_each(make_integers),
        _ => {}
    }
}
