//! The OpenAPI document. utoipa collects the routes, and a second pass adds everything that follows from the form of
//! each operation, so that no handler repeats it.

mod base;
mod errors;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use actix_web::App;
use serde_json::{Map, Value, json};
use utoipa::OpenApi;
use utoipa_actix_web::AppExt;

use crate::api::contract::code::ErrorCode;
use crate::api::contract::example;
use crate::api::middleware::limit;
use crate::api::respond::csv::CSV;
use crate::domain::idempotency::{MAX_KEY, is_kept};

/// The document, created once.
pub static DOCUMENT: LazyLock<Document> = LazyLock::new(Document::build);

/// The description of authentication.
const SECURITY: &str = "An API key, as `Authorization: Bearer <key>`. If the service has an OpenID Connect issuer, \
    a token of the issuer is accepted in place of a key.";

/// The API document.
pub struct Document {
    pub value: Value,
    /// The JSON text that is served and committed.
    pub text: String,
    pub operations: Vec<Operation>,
}

/// An operation of the document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    pub id: String,
    /// In upper case.
    pub method: String,
    /// With `{…}` for the variable part.
    pub path: String,
    /// The media types of the successful response; JSON if it has no body.
    pub media_types: Vec<String>,
}

impl Operation {
    /// Whether the operation changes something. A preview is a POST that does not.
    #[must_use]
    pub fn writes(&self) -> bool {
        self.method != "GET" && !self.id.starts_with("preview")
    }
}

impl Document {
    fn build() -> Self {
        let app = App::new().into_utoipa_app().openapi(base::Base::openapi());
        let app = app.service(utoipa_actix_web::scope("/v1").configure(crate::api::v1::routes));
        let app = app.configure(crate::api::health::routes);
        let (_, api) = app.split_for_parts();
        let mut value = serde_json::to_value(&api).unwrap_or_default();
        inline_leaves(&mut value);
        complete(&mut value);
        let operations = operations(&value);
        let mut text = serde_json::to_string_pretty(&value).unwrap_or_default();
        text.push('\n');
        Self { value, text, operations }
    }
}

/// Returns the successful response of an operation.
fn success(operation: &Value) -> Option<&Value> {
    let answers = operation["responses"].as_object()?;
    answers.iter().find(|(status, _)| status.starts_with('2')).map(|(_, answer)| answer)
}

fn operations(document: &Value) -> Vec<Operation> {
    let paths = document["paths"].as_object().into_iter().flatten();
    let all = paths.flat_map(|(path, item)| item.as_object().into_iter().flatten().map(move |(m, op)| (path, m, op)));
    all.map(|(path, method, operation)| Operation {
        id: operation["operationId"].as_str().unwrap_or_default().to_owned(),
        method: method.to_uppercase(),
        path: path.clone(),
        media_types: media_types(operation),
    })
    .collect()
}

fn media_types(operation: &Value) -> Vec<String> {
    let content = success(operation).and_then(|answer| answer["content"].as_object());
    content.map_or_else(|| vec!["application/json".to_owned()], |content| content.keys().cloned().collect())
}

/// Replaces references to schemas of plain texts and numbers by the schemas themselves. Many client generators would
/// create a class for each of these components.
pub fn inline_leaves(value: &mut Value) {
    let leaves: BTreeMap<String, Value> = leaves(value);
    replace_leaves(value, &leaves);
    if let Some(schemas) = value["components"]["schemas"].as_object_mut() {
        schemas.retain(|name, _| !leaves.contains_key(name));
    }
}

fn leaves(value: &Value) -> BTreeMap<String, Value> {
    let schemas = value["components"]["schemas"].as_object().into_iter().flatten();
    schemas
        .filter(|(_, schema)| schema["enum"].is_null() && matches!(schema["type"].as_str(), Some("string" | "integer")))
        .map(|(name, schema)| (name.clone(), schema.clone()))
        .collect()
}

fn replace_leaves(value: &mut Value, leaves: &BTreeMap<String, Value>) {
    match value {
        Value::Object(object) => {
            object.values_mut().for_each(|inner| replace_leaves(inner, leaves));
            if let Some(leaf) = leaf(object, leaves) {
                object.remove("$ref");
                // The description at the reference takes precedence over the description of the component.
                for (key, inner) in leaf {
                    object.entry(key).or_insert(inner);
                }
            }
            nullable_leaf(object);
        }
        Value::Array(items) => items.iter_mut().for_each(|inner| replace_leaves(inner, leaves)),
        _ => {}
    }
}

fn leaf(object: &Map<String, Value>, leaves: &BTreeMap<String, Value>) -> Option<Map<String, Value>> {
    let name = object.get("$ref")?.as_str()?.strip_prefix("#/components/schemas/")?;
    leaves.get(name)?.as_object().cloned()
}

/// Converts a choice between null and a leaf to a leaf that can be null.
fn nullable_leaf(object: &mut Map<String, Value>) {
    let Some(Value::Object(leaf)) = or_null(object) else { return };
    if leaf.contains_key("$ref") {
        return;
    }
    let leaf = leaf.clone();
    object.remove("oneOf");
    for (key, inner) in leaf {
        let inner = if key == "type" { json!([inner, "null"]) } else { inner };
        object.entry(key).or_insert(inner);
    }
}

/// Returns the other branch of a choice between null and something.
pub fn or_null(schema: &Map<String, Value>) -> Option<&Value> {
    let null = json!({ "type": "null" });
    match schema.get("oneOf")?.as_array()?.as_slice() {
        [first, other] if *first == null => Some(other),
        [other, second] if *second == null => Some(other),
        _ => None,
    }
}

/// Like [`or_null`], but mutable.
pub fn or_null_mut(schema: &mut Map<String, Value>) -> Option<&mut Value> {
    or_null(schema)?;
    let branches = schema.get_mut("oneOf")?.as_array_mut()?;
    branches.iter_mut().find(|branch| branch["type"] != "null")
}

/// Replaces references to components by the components, for schemas that are used on their own.
pub fn resolve(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            let target = object.get("$ref").and_then(Value::as_str).and_then(|name| {
                DOCUMENT.value.pointer(name.trim_start_matches('#')).and_then(Value::as_object).cloned()
            });
            if let Some(target) = target {
                object.remove("$ref");
                for (key, inner) in target {
                    object.entry(key).or_insert(inner);
                }
            }
            object.values_mut().for_each(resolve);
        }
        Value::Array(items) => items.iter_mut().for_each(resolve),
        _ => {}
    }
}

fn complete(document: &mut Value) {
    document["components"]["securitySchemes"] = json!({
        "api_key": { "type": "http", "scheme": "bearer", "description": SECURITY }
    });
    document["components"]["schemas"]["ErrorCode"]["description"] = Value::from(errors::code_description());
    document["components"]["responses"] = errors::responses();
    for (_, refusal) in document["components"]["responses"].as_object_mut().into_iter().flatten() {
        document_request_id(refusal);
    }
    for code in ErrorCode::ALL.iter().filter(|code| is_replayed(**code)) {
        document_replay(&mut document["components"]["responses"][errors::response_name(*code)]);
    }
    bound_formats(document);
    let schemas = document["components"]["schemas"].clone();
    drop_examples(&mut document["components"]["schemas"]);
    let Some(paths) = document["paths"].as_object_mut() else { return };
    for (path, item) in paths {
        for (method, operation) in item.as_object_mut().into_iter().flatten() {
            complete_operation(path, method, operation, &schemas);
        }
    }
}

fn complete_operation(path: &str, method: &str, operation: &mut Value, schemas: &Value) {
    let id = operation["operationId"].as_str().map(camel_case).unwrap_or_default();
    operation["operationId"] = Value::from(id);
    let mut parameters = path_parameters(path);
    // If the path already contains an id, the query needs no filter with the same name.
    let in_path: Vec<_> = parameters.iter().map(|parameter| parameter["name"].clone()).collect();
    let declared = operation["parameters"].as_array().into_iter().flatten();
    parameters.extend(declared.filter(|parameter| !in_path.contains(&parameter["name"])).cloned());
    let takes_key = ["post", "put", "patch"].contains(&method);
    parameters.extend(takes_key.then(idempotency_key));
    let has = |place: &str| parameters.iter().any(|parameter| parameter["in"] == place);
    let has_parameter = |name: &str| parameters.iter().any(|parameter| parameter["name"] == name);
    let is_v1 = path.starts_with("/v1/");

    let mut codes = vec![ErrorCode::ValidationFailed];
    if is_v1 {
        codes.extend([ErrorCode::Unauthenticated, ErrorCode::Forbidden, ErrorCode::NotAcceptable]);
        codes.extend([ErrorCode::RateLimited, ErrorCode::Internal, ErrorCode::Unavailable]);
        operation["security"] = json!([{ "api_key": [] }]);
    } else {
        operation["security"] = json!([]);
    }
    if has("path") {
        codes.extend([ErrorCode::MalformedRequest, ErrorCode::NotFound]);
    }
    if has_parameter("cursor") {
        codes.push(ErrorCode::CursorInvalid);
    }
    if takes_key {
        codes.push(ErrorCode::IdempotencyInProgress);
    }
    if method != "get" {
        codes.extend([ErrorCode::MalformedRequest, ErrorCode::PayloadTooLarge, ErrorCode::UnsupportedMediaType]);
    }
    if has_parameter("If-Match") {
        codes.push(ErrorCode::VersionMismatch);
    }
    let own: Vec<_> = operation["x-errors"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    codes.extend(ErrorCode::ALL.iter().filter(|code| own.contains(&code.as_str())));

    let not_modified = has_parameter("If-None-Match");
    if !parameters.is_empty() {
        operation["parameters"] = Value::from(parameters);
    }
    if let Some(body) = operation.get_mut("requestBody") {
        let schema = body["content"]["application/json"]["schema"]["$ref"].as_str().unwrap_or_default();
        let optional = matches!(
            schema.rsplit('/').next(),
            Some(
                "ActionRequest"
                    | "ApiKeyRotateRequest"
                    | "Confirmation"
                    | "InvoiceRunRequest"
                    | "WebhookSecretRotateRequest"
            )
        );
        body["required"] = Value::from(!optional);
        body["description"] = Value::from("The request.");
    }
    if let Some(answers) = operation["responses"].as_object_mut() {
        for (status, answer) in answers.iter_mut() {
            complete_answer(status, answer, schemas);
            if takes_key {
                document_replay(answer);
            }
        }
        if not_modified {
            let mut answer = json!({ "description": "Your version is current." });
            answer["headers"]["ETag"] = header("The current version.");
            answers.insert("304".to_owned(), answer);
        }
        answers.values_mut().for_each(document_request_id);
        if is_v1 {
            answers.values_mut().for_each(limit::document);
        }
        for code in codes {
            let name = errors::response_name(code);
            answers
                .insert(code.status().as_str().to_owned(), json!({ "$ref": format!("#/components/responses/{name}") }));
        }
    }
}

/// Adds the headers of a response, and an example.
fn complete_answer(status: &str, answer: &mut Value, schemas: &Value) {
    let Some(reference) = answer["content"]["application/json"]["schema"]["$ref"].as_str().map(str::to_owned) else {
        return;
    };
    let schema = &schemas[reference.trim_start_matches("#/components/schemas/")];
    // If the response has the version of another resource, the handler describes the header.
    if let Some(description) = answer.pointer("/headers/ETag/description").and_then(Value::as_str) {
        answer["headers"]["ETag"] = header(description);
    }
    // A resource itself, or a resource with a secret that is shown once.
    if !schema["properties"]["version"].is_null() || !schema["properties"]["secret"].is_null() {
        answer["headers"]["ETag"] = header("The current version, for `If-Match` and `If-None-Match`.");
    }
    if status == "201" {
        answer["headers"]["Location"] = header("The path of the created resource.");
    }
    if !schema["properties"]["next_cursor"].is_null() {
        answer["headers"]["Link"] = header("The next page, as `rel=\"next\"`. Omitted on the last page.");
    }
    if !answer["content"][CSV].is_null() {
        answer["headers"]["Content-Disposition"] = header("The name of the file. Only for CSV.");
    }
    if status.starts_with('2') {
        answer["content"]["application/json"]["example"] = example::of(schema, schemas);
    }
}

fn header(description: &str) -> Value {
    json!({ "description": description, "schema": { "type": "string", "maxLength": 8192 } })
}

fn document_request_id(answer: &mut Value) {
    answer["headers"]["X-Request-Id"] = json!({
        "description": "The id of the request: from the request, or a new one.",
        "schema": { "type": "string", "maxLength": 128 },
    });
}

fn document_replay(answer: &mut Value) {
    answer["headers"]["Idempotency-Replayed"] = json!({
        "description": "`true` if this is the stored response to an earlier request with the same key.",
        "schema": { "type": "string", "maxLength": 4, "pattern": "^true$" },
    });
}

/// Whether an error response is stored for retries. Errors that occur before the lookup of stored responses are not.
fn is_replayed(code: ErrorCode) -> bool {
    use ErrorCode::{CorsRefused, MethodNotAllowed, NotAcceptable, PayloadTooLarge};
    is_kept(code.status().as_u16().into())
        && !matches!(code, CorsRefused | MethodNotAllowed | NotAcceptable | PayloadTooLarge)
}

/// Removes the examples of responses from the schemas. Only operations have complete examples.
fn drop_examples(schemas: &mut Value) {
    for (_, schema) in schemas.as_object_mut().into_iter().flatten() {
        let is_answer = !schema["properties"].is_null() && schema["additionalProperties"] != false;
        if let Some(schema) = schema.as_object_mut().filter(|_| is_answer) {
            schema.remove("example");
        }
    }
}

fn idempotency_key() -> Value {
    json!({
        "name": "Idempotency-Key",
        "in": "header",
        "required": false,
        "description": "A unique key for this request, preferably a UUID. If the request is sent again with the \
            same key, it is carried out only once, and returns the same response. Stored for 24 hours.",
        "schema": { "type": "string", "minLength": 1, "maxLength": MAX_KEY, "pattern": "^[!-~]+$" },
    })
}

fn path_parameters(path: &str) -> Vec<Value> {
    path.split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| {
            if name == "key" {
                return json!({
                    "name": name,
                    "in": "path",
                    "required": true,
                    "description": "The key of the request.",
                    "schema": { "type": "string", "minLength": 1, "maxLength": MAX_KEY, "pattern": "^[!-~]+$" },
                });
            }
            json!({
                "name": name,
                "in": "path",
                "required": true,
                "description": format!("The id of the {}.", name.trim_end_matches("_id")),
                "schema": { "type": "string", "format": "uuid", "minLength": 36, "maxLength": 36 },
            })
        })
        .collect()
}

/// Adds bounds to formats with a fixed length, also to nullable ones.
fn bound_formats(value: &mut Value) {
    match value {
        Value::Object(object) => {
            let bound = match object.get("format").and_then(Value::as_str) {
                Some("uuid") => Some(36),
                Some("date") => Some(10),
                Some("date-time") => Some(40),
                _ => None,
            };
            if let Some(bound) = bound {
                object.entry("maxLength").or_insert_with(|| Value::from(bound));
            }
            object.values_mut().for_each(bound_formats);
        }
        Value::Array(items) => items.iter_mut().for_each(bound_formats),
        _ => {}
    }
}

fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| {
        let (head, tail) = word.split_at(word.len().min(1));
        name + &head.to_uppercase() + tail
    })
}
