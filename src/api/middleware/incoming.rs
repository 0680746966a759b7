//! A request as one value, created once when it arrives. Routing, authorization, limits, audit, idempotency and logs
//! use this value. Nothing else reads the request line or the router again.

use std::cell::OnceCell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderName};
use actix_web::http::uri::Authority;
use actix_web::http::{Method, Version};
use actix_web::middleware::Next;
use actix_web::web::{self, Bytes};
use actix_web::{HttpMessage, HttpRequest, ResponseError};
use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use crate::api::contract::code::ErrorCode;
use crate::api::contract::document::Operation;
use crate::api::contract::problem::Problem;
use crate::api::routes;
use crate::api::state::{AppState, Surface};
use crate::domain::credentials::secret::without_credentials;
use crate::domain::events::ResourceType;

/// The request and response header with the id of a request.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The maximum length of a path in a response or in the log.
const MAX_SHOWN_PATH: usize = 2000;

/// A request that has arrived.
#[derive(Debug)]
pub struct Incoming {
    /// The client's `X-Request-Id` if it is valid, or a new id.
    pub id: String,
    /// The method from the client. HEAD is handled like GET, without sending the body.
    pub method: Method,
    /// The path from the client. If [`Target`] is an operation, the path is in its canonical form.
    pub path: String,
    /// The query string, still encoded.
    pub query: String,
    pub target: Target,
    /// The IP address of the client.
    pub source: Option<IpAddr>,
    credential: Option<SecretString>,
    /// The body, once it was read.
    body: OnceCell<Bytes>,
}

/// The target of a request.
#[derive(Debug)]
pub enum Target {
    /// An operation of the API document.
    Operation {
        operation: &'static Operation,
        /// The variable part of the path, decoded.
        variable: Option<String>,
    },
    Documentation,
    /// The request is rejected before any handler runs.
    Refused {
        /// The path in the API document, if it exists.
        template: Option<&'static str>,
        problem: Box<Problem>,
    },
}

impl Incoming {
    #[must_use]
    pub fn new(request: &ServiceRequest) -> Self {
        let state = request.app_data::<web::Data<AppState>>();
        let surface = request.app_data::<Surface>().copied().unwrap_or_default();
        let trusts_proxy = state.is_some_and(|state| state.trust_forwarded_for);
        let target = match malformed(request) {
            Some(problem) => Target::refused(None, problem),
            None => Target::of(request, surface),
        };
        Self {
            id: sent_id(request).or_else(|| Some(state?.clock.new_id().to_string())).unwrap_or_default(),
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            query: request.uri().query().unwrap_or_default().to_owned(),
            target,
            source: source(request, trusts_proxy),
            credential: bearer(request).map(SecretString::from),
            body: OnceCell::new(),
        }
    }

    /// Returns the value that was created when the request arrived.
    ///
    /// # Errors
    /// An internal error if the middleware did not run.
    pub fn of(request: &HttpRequest) -> Result<Rc<Self>, Problem> {
        request.extensions().get::<Rc<Self>>().cloned().ok_or_else(|| Problem::of(ErrorCode::Internal))
    }

    /// Returns the operation, if the target is one.
    #[must_use]
    pub fn operation(&self) -> Option<&'static Operation> {
        match self.target {
            Target::Operation { operation, .. } => Some(operation),
            _ => None,
        }
    }

    #[must_use]
    pub fn variable(&self) -> Option<&str> {
        match &self.target {
            Target::Operation { variable, .. } => variable.as_deref(),
            _ => None,
        }
    }

    /// The path in the API document: a label with few values, for metrics.
    #[must_use]
    pub fn route(&self) -> &'static str {
        match self.target {
            Target::Operation { operation, .. } => &operation.path,
            Target::Documentation => "/docs",
            Target::Refused { template, .. } => template.unwrap_or("unknown"),
        }
    }

    /// The resource that the path identifies.
    #[must_use]
    pub fn resource(&self) -> Option<(ResourceType, Uuid)> {
        let (_, name) = self.operation()?.path.split_once('{')?;
        let (name, _) = name.split_once("_id}")?;
        Some((name.parse().ok()?, self.variable()?.parse().ok()?))
    }

    #[must_use]
    pub fn credential(&self) -> Option<&str> {
        self.credential.as_ref().map(ExposeSecret::expose_secret)
    }

    /// The body; empty until it was read.
    #[must_use]
    pub fn body(&self) -> Bytes {
        self.body.get().cloned().unwrap_or_default()
    }

    pub(in crate::api) fn keep_body(&self, body: Bytes) {
        // The body is read only once.
        let _ = self.body.set(body);
    }

    /// The path for a response, truncated to a useful length.
    #[must_use]
    pub fn shown_path(&self) -> &str {
        // A path is ASCII.
        self.path.get(..MAX_SHOWN_PATH).unwrap_or(&self.path)
    }

    /// The path for the log, without keys and tokens, even if they are escaped several times.
    #[must_use]
    pub fn logged_path(&self) -> String {
        let mut path = self.shown_path().to_owned();
        loop {
            let decoded = percent_decode_str(&path).decode_utf8_lossy().into_owned();
            if decoded == path {
                return without_credentials(&decoded).into_owned();
            }
            path = decoded;
        }
    }
}

impl Target {
    fn of(request: &ServiceRequest, surface: Surface) -> Self {
        let (method, path) = (request.method(), request.uri().path());
        let not_found = |detail: &str| Self::refused(None, Problem::new(ErrorCode::NotFound, detail));
        if !routes::is_canonical(path) {
            return not_found(
                "The path escapes characters that need no escape. Write letters, digits, `-`, `.`, `_` and `~` \
                 unescaped.",
            );
        }
        if surface.has_documentation() && (path == "/docs" || path.starts_with("/docs/")) {
            return match *method {
                Method::GET | Method::HEAD => Self::Documentation,
                _ => Self::refused(Some("/docs"), Problem::method_not_allowed("GET, HEAD".to_owned())),
            };
        }
        let Some(found) = routes::find(path).filter(|found| surface.has(found.route.template)) else {
            return not_found("This path does not exist. See /docs for all paths.");
        };
        match found.route.operation(method.as_str()) {
            Some(operation) => Self::Operation { operation, variable: found.variable },
            None => Self::refused(Some(found.route.template), Problem::method_not_allowed(found.route.allow())),
        }
    }

    fn refused(template: Option<&'static str>, problem: Problem) -> Self {
        Self::Refused { template, problem: Box::new(problem) }
    }
}

/// Rejects requests without a valid target, before anything else is done.
///
/// # Errors
/// None: a problem is returned as a response.
pub async fn admit(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let refusal = match Incoming::of(request.request()).as_deref() {
        Ok(Incoming { target: Target::Refused { problem, .. }, .. }) => Some(problem.error_response()),
        Ok(_) => None,
        Err(problem) => Some(problem.error_response()),
    };
    match refusal {
        Some(refusal) => Ok(request.into_response(refusal)),
        None => Ok(next.call(request).await?.map_into_boxed_body()),
    }
}

/// Checks the parts of the request head that actix accepts although they are invalid.
fn malformed(request: &ServiceRequest) -> Option<Problem> {
    let headers = request.headers();
    let refused = |detail: &str| Some(Problem::new(ErrorCode::MalformedRequest, detail));
    if headers.get_all(header::AUTHORIZATION).count() > 1 {
        return refused("The request has more than one `Authorization` header. Send only one.");
    }
    // Empty is correct if the client knows no name of the server (RFC 9110, section 7.2).
    let is_host = |host: &str| host.is_empty() || (!host.contains('@') && host.parse().is_ok_and(has_valid_port));
    let host = headers.get(header::HOST).map(|host| host.to_str().ok().filter(|host| is_host(host)));
    match host {
        Some(None) => {
            refused("The `Host` header is invalid. Send the host name of the service, with the port if needed.")
        }
        None if request.version() == Version::HTTP_11 => refused("The request has no `Host` header. Add one."),
        _ => None,
    }
}

/// The parser of authorities accepts any text as a port.
fn has_valid_port(host: Authority) -> bool {
    let port = host.as_str().strip_prefix(host.host()).unwrap_or_default();
    port.is_empty() || port == ":" || host.port_u16().is_some()
}

/// The request id from the client, if it is valid.
fn sent_id(request: &ServiceRequest) -> Option<String> {
    let is_sane = |id: &&str| {
        let is_visible = (1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
        is_visible && without_credentials(id) == *id
    };
    request.headers().get(REQUEST_ID)?.to_str().ok().filter(is_sane).map(str::to_owned)
}

/// The address of the connection or, behind a trusted proxy, the last address that the proxy added.
fn source(request: &ServiceRequest, trusts_proxy: bool) -> Option<IpAddr> {
    let forwarded = || {
        let last = request.headers().get_all("x-forwarded-for").last()?.to_str().ok()?;
        let address = last.rsplit(',').next()?.trim();
        // Some proxies add the port.
        let with_port = || address.parse().ok().map(|address: SocketAddr| address.ip());
        address.parse::<IpAddr>().ok().or_else(with_port)
    };
    let named = if trusts_proxy { forwarded() } else { None };
    named.or_else(|| request.peer_addr().map(|peer| peer.ip()))
}

fn bearer(request: &ServiceRequest) -> Option<&str> {
    let value = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, credential) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| credential.trim()).filter(|credential| !credential.is_empty())
}
