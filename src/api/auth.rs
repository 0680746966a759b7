//! Who asks: the key or token in `Authorization`, what it may do and what it sees. A handler that takes a
//! [`Permit`] cannot be reached without the right.

use std::future::{Ready, ready};
use std::marker::PhantomData;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::header;
use actix_web::middleware::Next;
use actix_web::{FromRequest, HttpMessage, HttpRequest, ResponseError, web};

use super::code::ErrorCode;
use super::problem::Problem;
use crate::app::AppState;
use crate::domain::access::{Actor, Identity, Right, Scope, needs};
use crate::domain::credential::Rejection;
use crate::domain::reseller::ResellerStatus;
use crate::domain::secret::Secret;
use crate::oidc::{Claims, Oidc};
use crate::ops::{Context, access, sandbox};

/// A right as a type.
pub trait Needed: 'static {
    /// The right.
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

/// Proof that the caller has a right, and what a use case needs to know of the caller.
pub struct Permit<R> {
    /// For the use case.
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

/// Finds out who asks before anything else of the request is looked at.
///
/// # Errors
/// Never on its own account: a problem is an answer.
pub async fn authenticate(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    // What is not served is not found, with or without a key.
    if request.match_pattern().is_some() {
        match caller(request.request()).await {
            Err(problem) => return Ok(request.into_response(problem.error_response())),
            Ok((_, Some(refusal))) if request.method().is_safe() => {
                return Ok(request.into_response(refusal.error_response()));
            }
            // `write` looks once more when all of the request is there, and tells who was refused.
            Ok((cx, _)) => {
                request.extensions_mut().insert(cx);
            }
        }
    }
    Ok(next.call(request).await?.map_into_boxed_body())
}

/// What a use case needs to know of who asks now.
///
/// # Errors
/// Nobody who may.
pub(super) async fn context(request: &HttpRequest) -> Result<Context, Problem> {
    match caller(request).await? {
        (cx, None) => Ok(cx),
        (_, Some(refusal)) => Err(refusal),
    }
}

/// Who asks now, and why it is refused even so, if it is.
async fn caller(request: &HttpRequest) -> Result<(Context, Option<Problem>), Problem> {
    let state = request.app_data::<web::Data<AppState>>().ok_or_else(|| Problem::of(ErrorCode::Internal))?;
    let secret = bearer(request).ok_or_else(|| Problem::of(ErrorCode::Unauthenticated))?;
    let (actor, refusal) = match &state.oidc {
        Some(oidc) if !Secret::looks_like(secret) => of_token(state, oidc, secret).await?,
        _ => of_key(state, secret).await?,
    };
    if state.sandbox {
        // Another instance may have moved it.
        sandbox::follow(&state.db, &state.clock).await?;
    }
    let cx = Context::new(state.db.clone(), state.clock.clone(), actor).remembering(state.access.clone());
    Ok((cx, refusal.map(rejected)))
}

/// Who an actor is, and why it is rejected although everybody knows who it is.
type Known = (Actor, Option<Rejection>);

async fn of_key(state: &AppState, secret: &str) -> Result<Known, Problem> {
    let credential =
        access::credential(&state.db, &state.access, secret).await?.ok_or_else(Problem::unknown_credential)?;
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
    // A sandbox's clock is nothing to the issuer.
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

/// The key or token that is sent, if any.
pub(super) fn bearer(request: &HttpRequest) -> Option<&str> {
    let value = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, secret) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| secret.trim()).filter(|secret| !secret.is_empty())
}
