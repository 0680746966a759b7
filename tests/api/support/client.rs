//! A client that checks each response against the OpenAPI document: an undocumented status, or a body that does not
//! match its schema, fails the test that receives it.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex};

use partner_platform::api::contract::document::DOCUMENT;
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    key: Option<String>,
    headers: HeaderMap,
}

#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Client {
    pub fn new(base: &str, key: Option<&str>) -> Self {
        Self { http: super::http(), base: base.to_owned(), key: key.map(str::to_owned), headers: HeaderMap::new() }
    }

    /// The key that the client sends.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// The same client with an additional header on every request.
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut other = self.clone();
        let name: HeaderName = name.parse().unwrap();
        other.headers.insert(name, HeaderValue::from_str(value).unwrap());
        other
    }

    /// The same client for another server.
    pub fn at(&self, base: &str) -> Self {
        Self { base: base.to_owned(), ..self.clone() }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(Method::POST, path, Some(body.to_string().into())).await
    }

    /// An action: a POST without a body.
    pub async fn act(&self, path: &str) -> Answer {
        self.send(Method::POST, path, None).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        self.send(Method::PATCH, path, Some(body.to_string().into())).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.send(Method::PUT, path, Some(body.to_string().into())).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, None).await
    }

    pub async fn send(&self, method: Method, path: &str, body: Option<Vec<u8>>) -> Answer {
        let answer = self.open(method.clone(), path, body).await;
        let status = answer.status().as_u16();
        let headers = answer.headers().clone();
        let text = answer.text().await.unwrap();
        let answer = Answer { status, headers, body: serde_json::from_str(&text).unwrap_or(Value::String(text)) };
        check(method.as_str(), path, &answer);
        answer
    }

    /// Sends a request. The test reads the body of the response itself.
    pub async fn open(&self, method: Method, path: &str, body: Option<Vec<u8>>) -> reqwest::Response {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let Some(key) = &self.key {
            request = request.bearer_auth(key);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        // Replaces the headers above, because a test may need another content type.
        request.headers(self.headers.clone()).send().await.unwrap()
    }
}

impl Answer {
    /// The body of a successful response.
    #[track_caller]
    pub fn ok(self) -> Value {
        assert_eq!(self.status, 200, "{}", self.body);
        self.body
    }

    /// The body of a 201 response.
    #[track_caller]
    pub fn created(self) -> Value {
        assert_eq!(self.status, 201, "{}", self.body);
        assert!(self.headers.contains_key("location"), "a created resource has a location");
        self.body
    }

    /// A successful response without a body.
    #[track_caller]
    pub fn no_content(self) {
        assert_eq!((self.status, &self.body), (204, &json!("")), "{}", self.body);
    }

    /// The problem, which must have this status and code.
    #[track_caller]
    pub fn problem(self, status: u16, code: &str) -> Value {
        assert_eq!((self.status, self.body["code"].as_str()), (status, Some(code)), "{}", self.body);
        self.body
    }

    /// The places and codes of a 422, in no particular order.
    #[track_caller]
    pub fn violations(self) -> Vec<(String, String)> {
        let problem = self.problem(422, "validation_failed");
        let errors = problem["errors"].as_array().unwrap().iter();
        let mut found: Vec<_> = errors
            .map(|error| {
                let place = error.get("pointer").or_else(|| error.get("parameter")).unwrap();
                (place.as_str().unwrap().to_owned(), error["code"].as_str().unwrap().to_owned())
            })
            .collect();
        found.sort();
        found
    }

    #[track_caller]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("there is no header {name}")).to_str().unwrap()
    }
}

/// The headers that the document must describe.
const TOLD: [&str; 9] = [
    "etag",
    "retry-after",
    "x-request-id",
    "idempotency-replayed",
    "ratelimit",
    "ratelimit-policy",
    "location",
    "link",
    "content-disposition",
];

/// Checks that apply to every response.
fn check(method: &str, path: &str, answer: &Answer) {
    let context = format!("{method} {path} → {} {}", answer.status, answer.body);
    assert!(answer.headers.contains_key("x-request-id"), "every response has a request id: {context}");
    let kind = answer.headers.get("content-type").map_or("", |kind| kind.to_str().unwrap());
    if answer.status >= 400 && !path.starts_with("/readyz") {
        assert_eq!(kind, "application/problem+json", "every error is a problem: {context}");
        let problem = &answer.body;
        assert_eq!(problem["status"], json!(answer.status), "{context}");
        // A replayed response has the id of the request that it was first sent to.
        let is_replay = answer.headers.contains_key("idempotency-replayed");
        assert_eq!(problem["request_id"] == json!(answer.header("x-request-id")), !is_replay, "{context}");
        assert!(problem["detail"].as_str().unwrap().len() > 10, "a problem says what to do: {context}");
        assert_valid("#/components/schemas/Problem", problem, &context);
    }
    let route = path.split('?').next().unwrap();
    let Some((template, operation)) = operation(method, route) else { return };
    // The only status that no operation documents, because it is about the path.
    if answer.status == 405 {
        return;
    }
    let documented = &operation["responses"][answer.status.to_string()];
    assert!(!documented.is_null(), "the status is documented for {template}: {context}");
    let shared = documented["$ref"].as_str().map(|name| DOCUMENT.value.pointer(name.trim_start_matches('#')).unwrap());
    let headers = shared.unwrap_or(documented)["headers"].as_object().unwrap();
    let is_told = |sent: &str| headers.keys().any(|name| name.eq_ignore_ascii_case(sent));
    for sent in TOLD.iter().filter(|name| answer.headers.contains_key(**name)) {
        assert!(is_told(sent), "the header {sent} is documented for {template}: {context}");
    }
    if let Some(content) = documented["content"].as_object() {
        let media = content.get(kind.split(';').next().unwrap());
        let media = media.unwrap_or_else(|| panic!("the media type {kind} is documented for {template}: {context}"));
        if let Some(schema) = media["schema"]["$ref"].as_str() {
            assert_valid(schema, &answer.body, &context);
        }
    }
}

fn operation(method: &str, path: &str) -> Option<(&'static str, &'static Value)> {
    let parts: Vec<_> = path.split('/').collect();
    let fits = |template: &str| {
        let template: Vec<_> = template.split('/').collect();
        template.len() == parts.len()
            && template.iter().zip(&parts).all(|(want, have)| want.starts_with('{') || want == have)
    };
    let paths = DOCUMENT.value["paths"].as_object().unwrap();
    let (template, item) = paths.iter().find(|(template, _)| fits(template))?;
    Some((template, item.get(method.to_lowercase())?))
}

fn assert_valid(schema: &str, value: &Value, context: &str) {
    static VALIDATORS: LazyLock<Mutex<HashMap<String, &'static jsonschema::Validator>>> = LazyLock::new(Mutex::default);
    let validator = {
        let mut validators = VALIDATORS.lock().unwrap();
        *validators.entry(schema.to_owned()).or_insert_with(|| {
            let schema = json!({ "$ref": schema, "components": DOCUMENT.value["components"] });
            let options = jsonschema::options().should_validate_formats(true);
            Box::leak(Box::new(options.build(&schema).unwrap()))
        })
    };
    let errors: Vec<_> =
        validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "the response matches {schema}: {errors:?} in {context}");
}
