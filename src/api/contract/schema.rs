//! Checks requests against the API document itself, so that the two cannot differ. Reports all problems of a request at
//! once, each with its pointer.

use std::fmt::Display;

use jsonschema::error::ValidationErrorKind as Kind;
use jsonschema::{Keyword, ValidationError, ValidationOptions, Validator};
use serde_json::{Map, Value, json};

use crate::api::contract::advice;
use crate::api::contract::document::{DOCUMENT, or_null};
use crate::domain::refusal::{Violation, ViolationCode};
use crate::domain::text::{self, Rule};

/// The maximum number of problems in a response. A body of 1 MiB can have many more.
pub const MAX_PROBLEMS: usize = 100;

/// Replaces `maxLength` in schemas with the format of a text.
const MAX_NORMALIZED: &str = "maxNormalizedLength";

/// Compiles a schema of the API document.
pub fn compile(mut schema: Value) -> Option<Validator> {
    for_checking(&mut schema);
    let options =
        jsonschema::options().should_validate_formats(true).with_keyword(MAX_NORMALIZED, MaxNormalized::keyword);
    let with_format = |options: ValidationOptions<'static>, (name, rule): (&'static str, &'static Rule)| {
        options.with_format(name, |text: &str| rule.accepts(text))
    };
    Rule::formats().fold(options, with_format).build(&schema).ok()
}

/// The maximum number of characters of a text after normalization. Before, the same name can be longer, with each
/// accent as a separate character.
struct MaxNormalized(usize);

impl MaxNormalized {
    #[allow(clippy::unnecessary_wraps, reason = "this is the signature that jsonschema asks for")]
    fn keyword<'a>(
        _: &'a Map<String, Value>,
        limit: &'a Value,
        _: jsonschema::paths::Location,
    ) -> Result<Box<dyn for<'i> Keyword<'i>>, ValidationError<'a>> {
        let limit = limit.as_u64().and_then(|limit| usize::try_from(limit).ok());
        Ok(Box::new(Self(limit.unwrap_or(usize::MAX))))
    }
}

impl<'i> Keyword<'i> for MaxNormalized {
    fn validate(&self, instance: &'i Value) -> Result<(), ValidationError<'i>> {
        if self.is_valid(instance) { Ok(()) } else { Err(ValidationError::custom(too_long(self.0))) }
    }

    fn is_valid(&self, instance: &'i Value) -> bool {
        instance.as_str().is_none_or(|text| text::length(text) <= self.0)
    }
}

fn too_long(limit: impl Display) -> String {
    format!("At most {limit} characters are allowed.")
}

/// Converts a choice between null and a schema to a condition on the type, so that the errors describe the problem
/// inside the value. Otherwise they would only say that no branch matches. A pattern that lists codes also defines the
/// length, so the length is not reported separately. The length of a text is limited in its stored form:
/// [`MaxNormalized`].
fn for_checking(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if let Some(other) = or_null(object).cloned() {
                object.remove("oneOf");
                object.insert("if".to_owned(), json!({ "type": "null" }));
                object.insert("else".to_owned(), other);
            }
            if object.get("pattern").and_then(Value::as_str).is_some_and(advice::lists_codes) {
                object.retain(|keyword, _| !matches!(keyword.as_str(), "minLength" | "maxLength"));
            }
            let limit = if has_text_format(object) { object.remove("maxLength") } else { None };
            if let Some(limit) = limit {
                object.insert(MAX_NORMALIZED.to_owned(), limit);
            }
            object.values_mut().for_each(for_checking);
        }
        Value::Array(items) => items.iter_mut().for_each(for_checking),
        _ => {}
    }
}

fn has_text_format(schema: &Map<String, Value>) -> bool {
    schema.get("format").and_then(Value::as_str).is_some_and(is_text_format)
}

fn is_text_format(format: &str) -> bool {
    Rule::formats().any(|(name, _)| name == format)
}

/// Returns the problems of a value according to a schema: at most [`MAX_PROBLEMS`]. `name` is the schema in the API
/// document that contains the value, and `at` is the pointer to the value.
pub fn check(validator: &Validator, value: &Value, name: &str, at: &str) -> Vec<Violation> {
    validator.iter_errors(value).flat_map(|error| explain(&error, name, at)).take(MAX_PROBLEMS).collect()
}

/// A list with too few items.
pub fn too_few_items(at: &str, least: &dyn Display) -> Violation {
    Violation::new(at, ViolationCode::TooShort, format!("At least {least} item(s) are required."))
}

/// A list with too many items.
pub fn too_many_items(at: &str, most: &dyn Display) -> Violation {
    Violation::new(at, ViolationCode::TooLong, format!("At most {most} items are allowed."))
}

fn explain(error: &ValidationError<'_>, schema: &str, at: &str) -> Vec<Violation> {
    use ViolationCode as Code;
    let at = format!("{at}{}", error.instance_path());
    let one = |code, detail: String| vec![Violation::new(at.clone(), code, detail)];
    match error.kind() {
        Kind::AdditionalProperties { unexpected } => unexpected
            .iter()
            .take(MAX_PROBLEMS)
            .map(|field| {
                let pointer = format!("{at}/{}", quoted(field).replace('~', "~0").replace('/', "~1"));
                if at.is_empty() && is_immutable(schema, field) {
                    let detail = "This field cannot be changed here. Omit it.";
                    Violation::new(pointer, Code::ImmutableField, detail)
                } else {
                    Violation::new(pointer, Code::UnknownField, "This field does not exist. Omit it.")
                }
            })
            .collect(),
        Kind::Required { property } => {
            let field = property.as_str().unwrap_or_default();
            vec![Violation::new(format!("{at}/{field}"), Code::Required, "This field is required.")]
        }
        Kind::Type { kind } if error.instance().is_null() => {
            let instead = if is_required(schema, &at) { "" } else { " (or omit the field)" };
            one(Code::Required, format!("This must be {}, not null{instead}.", advice::types(kind)))
        }
        Kind::Type { kind } => one(Code::InvalidType, format!("This must be {}.", advice::types(kind))),
        // The wrong type is reported already, and is the only problem.
        Kind::Enum { .. } if !error.instance().is_string() => Vec::new(),
        Kind::Enum { options } => one(Code::NotAllowed, format!("Only {options} are allowed.")),
        // The length is reported already, and is the only problem.
        Kind::Pattern { pattern } if error.instance().as_str() == Some("") && !advice::lists_codes(pattern) => {
            Vec::new()
        }
        Kind::Pattern { pattern } if advice::lists_codes(pattern) => one(Code::NotAllowed, advice::pattern(pattern)),
        Kind::Pattern { pattern } => one(Code::InvalidFormat, advice::pattern(pattern)),
        Kind::Format { format } if error.instance().as_str() == Some("") && is_text_format(format) => Vec::new(),
        Kind::Format { format } => one(Code::InvalidFormat, advice::format(format)),
        Kind::MinLength { limit } => one(Code::TooShort, format!("At least {limit} character(s) are required.")),
        Kind::MaxLength { limit } => one(Code::TooLong, too_long(limit)),
        Kind::Custom { keyword, message } if keyword == MAX_NORMALIZED => one(Code::TooLong, message.clone()),
        Kind::MinItems { limit } => vec![too_few_items(&at, limit)],
        Kind::MaxItems { limit } => vec![too_many_items(&at, limit)],
        Kind::Minimum { limit } => one(Code::OutOfRange, format!("The minimum is {limit}.")),
        Kind::Maximum { limit } => one(Code::OutOfRange, format!("The maximum is {limit}.")),
        Kind::UniqueItems => one(Code::Duplicate, "An item is listed twice. Remove one.".to_owned()),
        _ => one(Code::InvalidFormat, "This does not match the schema in the API document.".to_owned()),
    }
}

/// Whether a value is required at a place. An item of a list counts as required.
fn is_required(schema: &str, at: &str) -> bool {
    let schemas = &DOCUMENT.value["components"]["schemas"];
    let (mut schema, mut is_required) = (&schemas[schema], true);
    for part in at.split('/').skip(1) {
        schema = schema.as_object().and_then(or_null).unwrap_or(schema);
        if let Some(reference) = schema["$ref"].as_str() {
            schema = &schemas[reference.trim_start_matches("#/components/schemas/")];
        }
        let required = schema["required"].as_array().into_iter().flatten();
        is_required = !schema["items"].is_null() || required.into_iter().any(|field| field == part);
        schema = if schema["items"].is_null() { &schema["properties"][part] } else { &schema["items"] };
    }
    is_required
}

/// A name from a client, truncated to a useful length.
pub fn quoted(name: &str) -> String {
    name.chars().take(100).collect()
}

/// Whether a field that is unknown in a patch exists in the resource.
fn is_immutable(schema: &str, field: &str) -> bool {
    schema
        .strip_suffix("Patch")
        .is_some_and(|resource| !DOCUMENT.value["components"]["schemas"][resource]["properties"][field].is_null())
}
