//! Authentication: finds the actor for the key or token in `Authorization`. A handler that takes a [`Permit`] runs only
//! if the actor has the right.

use std::future::{Ready, ready};
use std::marker::PhantomData;
use std::net::IpAddr;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::{FromRequest, HttpMessage, HttpRequest, ResponseError, web};

use crate::api::contract::code::ErrorCode;
use crate::api::contract::problem::Problem;
use crate::api::middleware::incoming::Incoming;
use crate::api::respond::body;
use crate::api::state::AppState;
use crate::domain::authorization::{Actor, Identity, Right, Scope, needs};
use crate::domain::credentials::credential::Rejection;
use crate::domain::credentials::secret::Secret;
use crate::domain::limits::budget::Resource;
use crate::domain::parties::reseller::ResellerStatus;
use crate::ops::access::Looked;
use crate::ops::budget::Taken;
use crate::ops::{Context, access, sandbox};
use crate::platform::oidc::{Claims, Oidc};

/// A right as a type.
pub trait Needed: 'static {
    const RIGHT: Right;
}

macro_rules! rights {
    ($($name:ident)+) => {$(
        #[doc = concat!("[`Right::", stringify!($name), "`]")]
        pub struct $name;

        impl Needed for $name {
            const RIGHT: Right = Right::$name;
        }
    )+};
}

rights! {
    Read WriteCustomers WriteSubscriptions SuspendSubscriptions Allocate WriteResellers WriteProducts WriteInvoices
    MoveClock ManageApiKeys ManageWebhooks ReadAudit
}

/// Proof that the caller has a right, with the context for the use case.
pub struct Permit<R> {
    pub cx: Context,
    right: PhantomData<R>,
}

impl<R: Needed> FromRequest for Permit<R> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(match request.extensions().get::<Context>() {
            None => Err(Problem::of(ErrorCode::Unauthenticated)),
            Some(cx) if !cx.actor.may(R::RIGHT) => Err(Problem::new(ErrorCode::Forbidden, needs(R::RIGHT))),
            Some(cx) => Ok(Self { cx: cx.clone(), right: PhantomData }),
        })
    }
}

/// Authenticates the caller before anything else in the request is used, and takes a place in the budget of concurrent
/// requests of the caller and its tenant. The place is returned when the response is sent.
///
/// # Errors
/// Only the errors of the inner layers: a problem is returned as a response.
pub async fn authenticate(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let (cx, place) = match identify(request.request()).await {
        Err(problem) => return Ok(request.into_response(problem.error_response())),
        Ok((_, Some(refusal), _)) if request.method().is_safe() => {
            return Ok(request.into_response(refusal.error_response()));
        }
        // `write` authenticates again when the whole request has arrived, and records rejected callers.
        Ok((cx, _, place)) => (cx, place),
    };
    request.extensions_mut().insert(cx);
    Ok(body::hold(next.call(request).await?, place))
}

async fn identify(request: &HttpRequest) -> Result<(Context, Option<Problem>, Taken), Problem> {
    let (cx, refusal) = caller(request).await?;
    let state = state(request)?;
    let place = state.budgets.take(&cx.actor, Resource::Requests, 1)?;
    tracing::Span::current().record("caller", cx.actor.label()).record("tenant", cx.actor.scope.label());
    Ok((cx, refusal, place))
}

/// Returns the context of the caller as of now.
///
/// # Errors
/// The credential is no longer valid.
pub(in crate::api) async fn context(request: &HttpRequest) -> Result<Context, Problem> {
    match caller(request).await? {
        (cx, None) => Ok(cx),
        (_, Some(refusal)) => Err(refusal),
    }
}

fn state(request: &HttpRequest) -> Result<&web::Data<AppState>, Problem> {
    request.app_data::<web::Data<AppState>>().ok_or_else(|| Problem::of(ErrorCode::Internal))
}

/// Returns the caller of a request, and the reason if the caller is rejected.
async fn caller(request: &HttpRequest) -> Result<(Context, Option<Problem>), Problem> {
    let (state, incoming) = (state(request)?, Incoming::of(request)?);
    let secret = incoming.credential().ok_or_else(|| Problem::of(ErrorCode::Unauthenticated))?;
    let identified = match &state.oidc {
        Some(oidc) if !Secret::looks_like(secret) => of_token(state, oidc, secret).await,
        _ => of_key(state, secret, incoming.source).await,
    };
    let (actor, refusal) = identified?;
    if state.sandbox {
        // Another instance may have moved the clock.
        sandbox::follow(&state.db, &state.clock).await?;
    }
    let db = state.db.sharing(state.budgets.connections(actor.scope));
    let cx = Context::new(db, state.clock.clone(), actor).remembering(state.access.clone());
    Ok((cx, refusal.map(rejected)))
}

/// A known actor, and the reason if it is rejected.
type Known = (Actor, Option<Rejection>);

async fn of_key(state: &AppState, secret: &str, source: Option<IpAddr>) -> Result<Known, Problem> {
    let db = state.db.sharing(state.budgets.lookups());
    let credential = match access::credential(&db, &state.access, secret, source).await? {
        Looked::Known(credential) => credential,
        Looked::Unknown => return Err(Problem::unknown_credential()),
        Looked::TooOften { seconds_left } => return Err(Problem::too_many_unknown_credentials(seconds_left)),
    };
    let now = state.clock.now();
    let rejection = match credential.check(now) {
        Ok(()) => None,
        Err(Rejection::ResellerDisabled) => Some(Rejection::ResellerDisabled),
        Err(rejection) => return Err(rejected(rejection)),
    };
    state.access.note_use(credential.id, now);
    let scope = credential.partner_id.map_or(Scope::Partner, Scope::Reseller);
    Ok((Actor { identity: Identity::ApiKey(credential.id), role: credential.role, scope }, rejection))
}

async fn of_token(state: &AppState, oidc: &Oidc, token: &str) -> Result<Known, Problem> {
    // The issuer uses real time, not the time of a sandbox.
    let Claims { subject, role, reseller_id } = oidc.verify(token, state.clock.machine()).await?;
    let (scope, rejection) = match reseller_id {
        None => (Scope::Partner, None),
        Some(id) => match access::reseller_state(&state.db, &state.access, id).await? {
            Some(ResellerStatus::Enabled) => (Scope::Reseller(id), None),
            Some(ResellerStatus::Disabled) => (Scope::Reseller(id), Some(Rejection::ResellerDisabled)),
            None => return Err(Problem::unknown_credential()),
        },
    };
    Ok((Actor { identity: Identity::Subject(subject), role, scope }, rejection))
}

fn rejected(rejection: Rejection) -> Problem {
    let code = match rejection {
        Rejection::Revoked | Rejection::Expired | Rejection::Replaced => ErrorCode::Unauthenticated,
        Rejection::ResellerDisabled => ErrorCode::ResellerDisabled,
    };
    Problem::new(code, rejection.to_string())
}
