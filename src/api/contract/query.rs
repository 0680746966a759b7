//! Query parameters.

use std::collections::HashMap;
use std::future::{Ready, ready};
use std::sync::{LazyLock, Mutex, PoisonError};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use jsonschema::Validator;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::api::contract::code::ErrorCode;
use crate::api::contract::document::{self, DOCUMENT};
use crate::api::contract::problem::{FieldError, Problem};
use crate::api::contract::schema::{self, MAX_PROBLEMS};
use crate::api::middleware::incoming::Incoming;
use crate::domain::refusal::ViolationCode;

/// The parameters, by the path of the operation in the API document.
static PARAMETERS: LazyLock<Mutex<HashMap<String, &'static Parameters>>> = LazyLock::new(Mutex::default);

/// The parameters of an operation according to the API document.
struct Parameters {
    validator: Validator,
    /// The schema of each parameter, by name.
    schemas: Map<String, Value>,
}

/// Query parameters that are valid according to the API document. Only for GET operations.
pub struct Query<T> {
    pub value: T,
    /// The parameters as JSON.
    pub json: Map<String, Value>,
}

impl<T: DeserializeOwned> FromRequest for Query<T> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Incoming::of(request).and_then(|incoming| {
            let parameters = incoming.operation().and_then(|operation| parameters(&operation.path));
            parse(parameters.ok_or_else(|| Problem::of(ErrorCode::Internal))?, &incoming.query)
        }))
    }
}

/// No query parameters. Any parameter is rejected, because it would be silently dropped otherwise.
pub struct NoQuery;

impl FromRequest for NoQuery {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Incoming::of(request).and_then(|incoming| {
            let names = pairs(&incoming.query).take(MAX_PROBLEMS);
            let errors: Vec<_> = names.map(|(name, _)| unknown(&name)).collect();
            if errors.is_empty() { Ok(Self) } else { Err(Problem::invalid(errors)) }
        }))
    }
}

fn parse<T: DeserializeOwned>(parameters: &Parameters, query: &str) -> Result<Query<T>, Problem> {
    let mut errors = Vec::new();
    let mut json = Map::new();
    for (name, text) in pairs(query) {
        let Some(schema) = parameters.schemas.get(&name) else {
            if errors.len() < MAX_PROBLEMS {
                errors.push(unknown(&name));
            }
            continue;
        };
        if schema["type"] == "array" {
            // Clients repeat a parameter in two ways: `a=1&a=2` and `a=1,2`. One item beyond the maximum is enough to
            // report the error. The remaining items are not read.
            let most = schema["maxItems"].as_u64().and_then(|most| usize::try_from(most).ok()).unwrap_or(MAX_PROBLEMS);
            if let Value::Array(all) = json.entry(name).or_insert_with(|| json!([])) {
                let room = (most + 1).saturating_sub(all.len());
                all.extend(text.split(',').take(room).map(|item| typed(item, &schema["items"])));
            }
        } else if json.insert(name.clone(), typed(&text, schema)).is_some() && errors.len() < MAX_PROBLEMS {
            errors.push(FieldError::of_parameter(
                &name,
                ViolationCode::Duplicate,
                "This parameter is given more than once. Send it once.",
            ));
        }
    }
    let json = Value::Object(json);
    let mut invalid = invalid(parameters, &json);
    name_lost_plus(parameters, &json, &mut invalid);
    errors.extend(invalid);
    if !errors.is_empty() {
        return Err(Problem::invalid(errors));
    }
    let value = serde_json::from_value(json.clone()).map_err(|error| {
        let error = FieldError::of_parameter("", ViolationCode::InvalidFormat, error.to_string());
        Problem::invalid(vec![error])
    })?;
    let Value::Object(json) = json else { return Err(Problem::of(ErrorCode::Internal)) };
    Ok(Query { value, json })
}

/// The errors of parameters according to their schemas.
fn invalid(parameters: &Parameters, json: &Value) -> Vec<FieldError> {
    let violations = schema::check(&parameters.validator, json, "", "");
    Problem::invalid(violations.into_iter().map(FieldError::at).collect()).about_parameters().errors
}

/// An unescaped `+` in a query means a space, so the offset of an instant gets lost. If a value would be valid with `+`
/// in place of its spaces, the error says how to send it.
fn name_lost_plus(parameters: &Parameters, json: &Value, errors: &mut [FieldError]) {
    let mut restored = json.clone();
    for value in restored.as_object_mut().into_iter().flat_map(Map::values_mut) {
        if let Value::String(text) = value {
            *text = text.replace(' ', "+");
        }
    }
    if errors.is_empty() || restored == *json {
        return;
    }
    let still = invalid(parameters, &restored);
    for error in errors {
        let name = error.parameter.as_deref().unwrap_or_default();
        if json[name] != restored[name] && still.iter().all(|other| other.parameter != error.parameter) {
            error.detail.push_str(" In a query, `+` means a space. Send it as `%2B`.");
        }
    }
}

fn unknown(name: &str) -> FieldError {
    FieldError::of_parameter(
        &schema::quoted(name),
        ViolationCode::UnknownField,
        "This parameter does not exist. Omit it.",
    )
}

fn pairs(query: &str) -> impl Iterator<Item = (String, String)> {
    form_urlencoded::parse(query.as_bytes()).into_owned()
}

/// Converts the text to the JSON type of the schema, if possible.
fn typed(text: &str, schema: &Value) -> Value {
    match schema["type"].as_str() {
        Some("integer") => text.parse::<i64>().map_or_else(|_| Value::from(text), Value::from),
        Some("boolean") => text.parse::<bool>().map_or_else(|_| Value::from(text), Value::from),
        _ => Value::from(text),
    }
}

fn parameters(path: &str) -> Option<&'static Parameters> {
    let mut known = PARAMETERS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(parameters) = known.get(path) {
        return Some(parameters);
    }
    let documented = DOCUMENT.value["paths"][path]["get"]["parameters"].as_array().into_iter().flatten();
    let mut schemas = Map::new();
    for parameter in documented.filter(|parameter| parameter["in"] == "query") {
        let mut schema = parameter["schema"].clone();
        document::resolve(&mut schema);
        schemas.insert(parameter["name"].as_str()?.to_owned(), schema);
    }
    let validator = schema::compile(json!({ "type": "object", "properties": schemas }))?;
    // One for each operation, for the lifetime of the process.
    let parameters: &'static Parameters = Box::leak(Box::new(Parameters { validator, schemas }));
    known.insert(path.to_owned(), parameters);
    Some(parameters)
}
