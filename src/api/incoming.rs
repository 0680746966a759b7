//! A request as one value, made once when it arrives. Routing, authorization, limits, audit, idempotency and logs read
//! this value; nothing else reads the request line or asks the router again.

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

use super::code::ErrorCode;
use super::openapi::Operation;
use super::problem::Problem;
use super::routes;
use crate::app::{AppState, Surface};
use crate::domain::event::ResourceType;
use crate::domain::secret::without_credentials;

/// The request header and response header with the id of a request.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest path that is repeated in a response or in the log.
const MAX_SHOWN_PATH: usize = 2000;

/// A request that has arrived.
#[derive(Debug)]
pub struct Incoming {
    /// Its id: the client's `X-Request-Id` if that is sane, or a new one.
    pub id: String,
    /// Its method as the client sent it. A HEAD is handled as a GET whose body is not sent.
    pub method: Method,
    /// Its path as the client sent it. Where [`Target`] is an operation, this is the one spelling of that path.
    pub path: String,
    /// Its query string, still encoded.
    pub query: String,
    /// What it is for.
    pub target: Target,
    /// The IP address that it comes from.
    pub source: Option<IpAddr>,
    /// The key or token that it presents.
    credential: Option<SecretString>,
    /// Its body, once that was read.
    body: OnceCell<Bytes>,
}

/// What a request is for.
#[derive(Debug)]
pub enum Target {
    /// An operation of the document.
    Operation {
        /// The operation.
        operation: &'static Operation,
        /// The variable part of the path, decoded.
        variable: Option<String>,
    },
    /// The pages of the documentation.
    Documentation,
    /// Nothing that is served.
    Refused {
        /// The path as the document has it, if it has it.
        template: Option<&'static str>,
        /// Why it is refused.
        problem: Box<Problem>,
    },
}

impl Incoming {
    /// The value of a request.
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

    /// The value that was made of a request when it arrived.
    ///
    /// # Errors
    /// There is none, which would be a mistake in how the server is built.
    pub fn of(request: &HttpRequest) -> Result<Rc<Self>, Problem> {
        request.extensions().get::<Rc<Self>>().cloned().ok_or_else(|| Problem::of(ErrorCode::Internal))
    }

    /// The operation that it is for, if it is for one.
    #[must_use]
    pub fn operation(&self) -> Option<&'static Operation> {
        match self.target {
            Target::Operation { operation, .. } => Some(operation),
            _ => None,
        }
    }

    /// The variable part of the path, decoded.
    #[must_use]
    pub fn variable(&self) -> Option<&str> {
        match &self.target {
            Target::Operation { variable, .. } => variable.as_deref(),
            _ => None,
        }
    }

    /// The path as the document has it: a label with few values, for metrics.
    #[must_use]
    pub fn route(&self) -> &'static str {
        match self.target {
            Target::Operation { operation, .. } => &operation.path,
            Target::Documentation => "/docs",
            Target::Refused { template, .. } => template.unwrap_or("unknown"),
        }
    }

    /// The resource that the path names.
    #[must_use]
    pub fn resource(&self) -> Option<(ResourceType, Uuid)> {
        let (_, name) = self.operation()?.path.split_once('{')?;
        let (name, _) = name.split_once("_id}")?;
        Some((name.parse().ok()?, self.variable()?.parse().ok()?))
    }

    /// The key or token that it presents.
    #[must_use]
    pub fn credential(&self) -> Option<&str> {
        self.credential.as_ref().map(ExposeSecret::expose_secret)
    }

    /// Its body; empty until that was read.
    #[must_use]
    pub fn body(&self) -> Bytes {
        self.body.get().cloned().unwrap_or_default()
    }

    /// Keeps the body that was read.
    pub(super) fn keep_body(&self, body: Bytes) {
        // It is read once.
        let _ = self.body.set(body);
    }

    /// The path for a response: no longer than is useful.
    #[must_use]
    pub fn shown_path(&self) -> &str {
        // A path is ASCII.
        self.path.get(..MAX_SHOWN_PATH).unwrap_or(&self.path)
    }

    /// The path for the log: without a key or a token, however often somebody escaped it.
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

/// Refuses a request that is for nothing that is served, before anything is done for it.
///
/// # Errors
/// Never: a problem is a response.
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

/// What is wrong with a head that actix accepts.
fn malformed(request: &ServiceRequest) -> Option<Problem> {
    let headers = request.headers();
    let refused = |detail: &str| Some(Problem::new(ErrorCode::MalformedRequest, detail));
    if headers.get_all(header::AUTHORIZATION).count() > 1 {
        return refused("The request has more than one `Authorization` header. Send only one.");
    }
    // An empty one is right where a client knows no name of the server (RFC 9110, section 7.2).
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

/// The parser of authorities takes any text for a port.
fn has_valid_port(host: Authority) -> bool {
    let port = host.as_str().strip_prefix(host.host()).unwrap_or_default();
    port.is_empty() || port == ":" || host.port_u16().is_some()
}

/// The id that the client sent, if it is sane.
fn sent_id(request: &ServiceRequest) -> Option<String> {
    let is_sane = |id: &&str| {
        let is_visible = (1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
        is_visible && without_credentials(id) == *id
    };
    request.headers().get(REQUEST_ID)?.to_str().ok().filter(is_sane).map(str::to_owned)
}

/// The connected address or, behind a proxy of ours, the address that the proxy added last.
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
