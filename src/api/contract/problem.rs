//! All errors as `application/problem+json` (RFC 9457). The only `match` from errors to codes is here, and it is
//! exhaustive.
#![allow(missing_docs, reason = "a field whose type is a component is described there")]

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::contract::code::ErrorCode;
use crate::api::contract::schema::MAX_PROBLEMS;
use crate::api::middleware::incoming::Incoming;
use crate::api::respond::resource::etag;
use crate::api::v1::quote::Quote;
use crate::domain::authorization::{Obstacle, Offer};
use crate::domain::id::Version;
use crate::domain::limits::budget::Exhausted;
use crate::domain::refusal::{Refusal, Violation, ViolationCode};
use crate::platform::oidc;
use crate::{ops, store};

/// The media type of errors.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// The `Retry-After` of temporary errors without a known duration, in seconds.
const RETRY_AFTER_SECONDS: &str = "2";

/// The challenge for a missing credential (RFC 6750).
const CHALLENGE: &str = "Bearer realm=\"partner-platform\"";

/// The challenge after a credential was rejected.
const REFUSED: &str = "Bearer realm=\"partner-platform\", error=\"invalid_token\"";

/// An error according to RFC 9457. `code` is stable and identifies the error; `detail` says what to do next.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Problem {
    /// The type of the problem: `urn:problem:` followed by the code.
    #[serde(rename = "type")]
    #[schema(max_length = 100, example = "urn:problem:validation_failed")]
    pub kind: String,
    /// When this type of problem occurs.
    #[schema(max_length = 200)]
    pub title: String,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599, example = 422)]
    pub status: i32,
    /// What is wrong with this request, and what to do next.
    #[schema(max_length = 10_000)]
    pub detail: String,
    /// The path of the request.
    #[schema(max_length = 10_000, example = "/v1/customers")]
    pub instance: String,
    pub code: ErrorCode,
    /// The id of the request, which is also in the logs of the service.
    #[schema(max_length = 128, example = "01990000-0000-7000-8000-000000000000")]
    pub request_id: String,
    /// All problems of the request. Omitted if there is no list.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false, max_items = 100)]
    pub errors: Vec<FieldError>,
    /// The actions of the resource, and whether each is allowed now. Omitted if there is no list.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false, max_items = 100)]
    pub actions: Vec<ActionState>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub quote: Option<Quote>,
    #[serde(skip)]
    #[schema(ignore)]
    pub(in crate::api) allow: Option<String>,
    #[serde(skip)]
    #[schema(ignore)]
    pub(in crate::api) current: Option<Version>,
    #[serde(skip)]
    #[schema(ignore)]
    pub(in crate::api) retry_after: Option<u64>,
}

/// A problem of a request, either at a `pointer` into the body or in a `parameter`.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct FieldError {
    /// JSON pointer (RFC 6901) to the value in the body.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_length = 1000, example = "/address/country")]
    pub pointer: Option<String>,
    /// The name of the query parameter or header.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_length = 200)]
    pub parameter: Option<String>,
    pub code: ViolationCode,
    /// What is wrong, and what to do.
    #[schema(max_length = 10_000)]
    pub detail: String,
}

/// An action, and whether the caller may take it now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(example = json!({ "action": "suspend", "allowed": true }))]
pub struct ActionState {
    /// The name of the action. More values may be added.
    #[schema(max_length = 100, example = "suspend")]
    pub action: String,
    /// Whether the caller may take the action now.
    pub allowed: bool,
    /// The error code if the action is denied; omitted if it is allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub code: Option<ErrorCode>,
    /// Why the action is denied, and what to do; omitted if it is allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_length = 10_000)]
    pub detail: Option<String>,
}

impl From<&Offer> for ActionState {
    fn from(offer: &Offer) -> Self {
        let code = offer.obstacle.as_ref().map(|obstacle| match obstacle {
            Obstacle::Forbidden(_) => ErrorCode::Forbidden,
            Obstacle::Refused(refusal) => code_of(refusal),
        });
        let detail = offer.obstacle.as_ref().map(ToString::to_string);
        Self { action: offer.action.to_owned(), allowed: code.is_none(), code, detail }
    }
}

impl FieldError {
    /// A problem of a value in the body.
    pub fn at(violation: Violation) -> Self {
        let Violation { pointer, code, detail } = violation;
        Self { pointer: Some(pointer), parameter: None, code, detail }
    }

    /// A problem of a query parameter or header.
    pub fn of_parameter(name: &str, code: ViolationCode, detail: impl Into<String>) -> Self {
        Self { pointer: None, parameter: Some(name.to_owned()), code, detail: detail.into() }
    }
}

impl Problem {
    /// Creates a problem. `detail` describes this case.
    pub fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:problem:{}", code.as_str()),
            title: code.title().to_owned(),
            status: i32::from(code.status().as_u16()),
            detail: detail.into(),
            instance: String::new(),
            code,
            request_id: String::new(),
            errors: Vec::new(),
            actions: Vec::new(),
            quote: None,
            allow: None,
            current: None,
            retry_after: None,
        }
    }

    /// Creates a problem whose title and next step are sufficient as the detail.
    pub fn of(code: ErrorCode) -> Self {
        Self::new(code, format!("{}. {}", code.title(), code.next_step()))
    }

    /// An unknown key or token. The detail must not reveal more, because the caller is not authenticated.
    pub fn unknown_credential() -> Self {
        let detail =
            "The API key or token is unknown or invalid. Check that it was copied completely, or create a new one.";
        Self::new(ErrorCode::Unauthenticated, detail)
    }

    /// Too many unknown keys from the same address.
    pub fn too_many_unknown_credentials(seconds_left: u64) -> Self {
        let detail = format!("This address has sent too many unknown keys. Retry after {seconds_left} seconds.");
        Self { retry_after: Some(seconds_left), ..Self::new(ErrorCode::RateLimited, detail) }
    }

    /// All problems of a request.
    pub fn invalid(mut errors: Vec<FieldError>) -> Self {
        errors.truncate(MAX_PROBLEMS);
        let detail =
            format!("The request has {} problem(s). Correct everything in `errors`, then send it again.", errors.len());
        Self { errors, ..Self::new(ErrorCode::ValidationFailed, detail) }
    }

    /// The path exists, but does not support the method.
    pub fn method_not_allowed(allow: String) -> Self {
        let detail = format!("This path does not support the method. Use one of {allow}.");
        Self { allow: Some(allow), ..Self::new(ErrorCode::MethodNotAllowed, detail) }
    }

    /// Converts the pointers in the errors to names of query parameters.
    pub fn about_parameters(mut self) -> Self {
        for error in &mut self.errors {
            let name = |pointer: String| pointer.split('/').nth(1).unwrap_or_default().to_owned();
            error.parameter = error.pointer.take().map(name);
        }
        self
    }

    /// Builds the response.
    pub(in crate::api) fn answer(mut self, incoming: &Incoming) -> HttpResponse {
        self.instance = incoming.shown_path().to_owned();
        self.request_id = incoming.id.clone();
        let mut answer = HttpResponse::build(self.status_code());
        answer.content_type(PROBLEM_JSON);
        match self.code {
            ErrorCode::Unauthenticated => {
                let challenge = if incoming.credential().is_some() { REFUSED } else { CHALLENGE };
                answer.insert_header((header::WWW_AUTHENTICATE, challenge));
            }
            ErrorCode::Unavailable | ErrorCode::IdempotencyInProgress | ErrorCode::TooManyConcurrentRequests => {
                answer.insert_header((header::RETRY_AFTER, RETRY_AFTER_SECONDS));
            }
            _ => {}
        }
        if let Some(seconds) = self.retry_after {
            answer.insert_header((header::RETRY_AFTER, seconds.to_string()));
        }
        if let Some(allow) = &self.allow {
            answer.insert_header((header::ALLOW, allow.as_str()));
        }
        if let Some(current) = self.current {
            answer.insert_header((header::ETAG, etag(current)));
        }
        answer.json(self)
    }
}

/// Returns the problem for a list whose filters are query parameters.
pub fn in_query(error: ops::Error) -> Problem {
    Problem::from(error).about_parameters()
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.detail)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.code.status()
    }

    /// Attaches the problem for the middleware, which knows the request.
    fn error_response(&self) -> HttpResponse {
        let mut answer = HttpResponse::new(self.status_code());
        answer.extensions_mut().insert(self.clone());
        answer
    }
}

impl From<ops::Error> for Problem {
    fn from(error: ops::Error) -> Self {
        let detail = error.to_string();
        match error {
            ops::Error::NotFound(_) => Self::new(ErrorCode::NotFound, detail),
            ops::Error::VersionMismatch { current } => {
                Self { current: Some(current), ..Self::new(ErrorCode::VersionMismatch, detail) }
            }
            ops::Error::QuoteStale(quote) => {
                Self { quote: Some((&*quote).into()), ..Self::new(ErrorCode::QuoteStale, detail) }
            }
            ops::Error::UnknownPlace => Self::new(ErrorCode::CursorInvalid, detail),
            ops::Error::CatchingUp => Self::new(ErrorCode::Unavailable, detail),
            ops::Error::Exhausted(exhausted) => exhausted.into(),
            ops::Error::IdempotencyInProgress => Self::new(ErrorCode::IdempotencyInProgress, detail),
            ops::Error::IdempotencyKeyReused => Self::new(ErrorCode::IdempotencyKeyReused, detail),
            ops::Error::DuplicateReference => Self::new(ErrorCode::DuplicateReference, detail),
            ops::Error::Refused { refusal, offers } => {
                let mut problem = Self::new(code_of(&refusal), detail);
                problem.actions = offers.iter().map(ActionState::from).collect();
                if let Refusal::Invalid(violations) = refusal {
                    problem.errors = violations.into_iter().take(MAX_PROBLEMS).map(FieldError::at).collect();
                }
                problem
            }
            ops::Error::Store(error) => error.into(),
        }
    }
}

impl From<store::Error> for Problem {
    fn from(error: store::Error) -> Self {
        use store::Unique;
        match error {
            store::Error::Taken(Unique::ResellerExternalId | Unique::CustomerExternalId) => {
                Self::of(ErrorCode::DuplicateExternalId)
            }
            store::Error::Taken(Unique::ProductCode) => Self::of(ErrorCode::DuplicateCode),
            store::Error::Taken(Unique::AllocationReference) => Self::of(ErrorCode::DuplicateReference),
            store::Error::Unavailable(reason) => {
                tracing::warn!(reason, "database unavailable");
                Self::of(ErrorCode::Unavailable)
            }
            store::Error::SumOutOfRange(_) => {
                let detail =
                    "The charges of a subscription add up to more than the maximum amount. Exclude it by a filter.";
                Self::new(ErrorCode::AmountOutOfRange, detail)
            }
            store::Error::Corrupt { .. } | store::Error::Database(_) => {
                tracing::error!(%error, "database error");
                Self::of(ErrorCode::Internal)
            }
        }
    }
}

impl From<Exhausted> for Problem {
    fn from(exhausted: Exhausted) -> Self {
        Self::new(ErrorCode::TooManyConcurrentRequests, exhausted.to_string())
    }
}

impl From<oidc::Error> for Problem {
    fn from(error: oidc::Error) -> Self {
        match error {
            oidc::Error::Invalid(reason) => {
                tracing::debug!(reason, "token rejected");
                Self::unknown_credential()
            }
            oidc::Error::Unassigned { .. } => Self::new(ErrorCode::Unauthenticated, error.to_string()),
            oidc::Error::Unavailable => Self::of(ErrorCode::Unavailable),
        }
    }
}

fn code_of(refusal: &Refusal) -> ErrorCode {
    match refusal {
        Refusal::Invalid(_) => ErrorCode::ValidationFailed,
        Refusal::InvalidTransition { .. } => ErrorCode::InvalidTransition,
        Refusal::SubscriptionSuspended => ErrorCode::SubscriptionSuspended,
        Refusal::TermEnded(_) => ErrorCode::TermEnded,
        Refusal::NothingToRenew => ErrorCode::NothingToRenew,
        Refusal::CustomerArchived => ErrorCode::CustomerArchived,
        Refusal::HasOpenSubscriptions(_) => ErrorCode::HasOpenSubscriptions,
        Refusal::ProductRetired(_) => ErrorCode::ProductRetired,
        Refusal::CertificateTypeInUse(_) => ErrorCode::CertificateTypeInUse,
        Refusal::InventoryExhausted { .. } => ErrorCode::InventoryExhausted,
        Refusal::Forbidden(_) | Refusal::BeyondScope => ErrorCode::Forbidden,
        Refusal::PriceListInUse => ErrorCode::PriceListInUse,
        Refusal::TooManyApiKeys(_) => ErrorCode::TooManyApiKeys,
        Refusal::TooManyWebhookEndpoints(_) => ErrorCode::TooManyWebhookEndpoints,
        Refusal::CurrencyFixed => ErrorCode::CurrencyFixed,
        Refusal::ResellerDisabled => ErrorCode::ResellerDisabled,
        Refusal::AmountOutOfRange => ErrorCode::AmountOutOfRange,
    }
}
