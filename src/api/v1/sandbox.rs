//! The clock of a sandbox.

use actix_web::{HttpResponse, get, post, web};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::contract::code::ErrorCode;
use crate::api::contract::json::Json;
use crate::api::contract::problem::{FieldError, Problem};
use crate::api::contract::query::NoQuery;
use crate::api::middleware::authenticate::{MoveClock, Permit, Read};
use crate::api::middleware::write;
use crate::api::state::AppState;
use crate::domain::refusal::{Violation, ViolationCode};
use crate::ops::sandbox::{self, Move, Reading};

/// The clock of a sandbox.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({ "moving_to": null }))]
pub struct SandboxClock {
    /// The current time of the sandbox. It advances like a normal clock.
    pub now: DateTime<Utc>,
    /// The instant that the clock is moving to; null if it is not being moved.
    #[schema(required)]
    pub moving_to: Option<DateTime<Utc>>,
}

/// Moves the clock of a sandbox forward: either by days, or to an instant.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "advance_days": 30 }))]
pub struct SandboxClockSet {
    /// The number of days to move forward.
    #[schema(nullable = false, minimum = 1, maximum = 3653)]
    pub advance_days: Option<i32>,
    /// The instant to move to, at most 3653 days ahead.
    #[schema(nullable = false)]
    pub now: Option<DateTime<Utc>>,
}

impl From<Reading> for SandboxClock {
    fn from(reading: Reading) -> Self {
        Self { now: reading.now, moving_to: reading.moving_to }
    }
}

impl SandboxClockSet {
    fn into_move(self) -> Result<Move, Problem> {
        let wrong = |pointer, code, detail| {
            let violation = Violation::new(pointer, code, detail);
            Err(Problem::invalid(vec![FieldError::at(violation)]))
        };
        match (self.advance_days, self.now) {
            (Some(days), None) => Ok(Move::ByDays(days)),
            (None, Some(now)) => Ok(Move::To(now)),
            (None, None) => wrong("/advance_days", ViolationCode::Required, "Send either `advance_days` or `now`."),
            (Some(_), Some(_)) => {
                wrong("/now", ViolationCode::NotAllowed, "Send either `advance_days` or `now`, not both.")
            }
        }
    }
}

fn check(state: &AppState) -> Result<(), Problem> {
    if state.sandbox {
        return Ok(());
    }
    let detail = "This service is not a sandbox, so its clock cannot be moved. Start the service with `--sandbox`.";
    Err(Problem::new(ErrorCode::NotFound, detail))
}

/// Read the sandbox's clock
///
/// Returns the time of the sandbox. 404 if the service is not a sandbox.
#[utoipa::path(tag = "Sandbox", extensions(("x-errors" = json!(["not_found"]))), responses(
    (status = 200, description = "The clock.", body = SandboxClock)
))]
#[get("/sandbox/clock")]
pub async fn get_sandbox_clock(
    permit: Permit<Read>,
    state: web::Data<AppState>,
    _: NoQuery,
) -> Result<HttpResponse, Problem> {
    check(&state)?;
    let reading = sandbox::read(&permit.cx).await?;
    Ok(HttpResponse::Ok().json(SandboxClock::from(reading)))
}

/// Move the sandbox's clock
///
/// Moves the clock forward, and processes all due transitions on the way in their order, as if the time had passed. The
/// response is sent when this is finished. An interrupted move continues automatically: a retry with the same key
/// returns where the clock is moving to. Role: the provider's admin.
#[utoipa::path(tag = "Sandbox", extensions(("x-errors" = json!(["not_found"]))), responses(
    (status = 200, description = "The updated clock.", body = SandboxClock)
))]
#[post("/sandbox/clock")]
pub async fn move_sandbox_clock(
    permit: Permit<MoveClock>,
    state: web::Data<AppState>,
    _: NoQuery,
    body: Json<SandboxClockSet>,
) -> Result<HttpResponse, Problem> {
    check(&state)?;
    let reading = sandbox::aim(&permit.cx, body.0.into_move()?).await?;
    // From here on, the clock is moved exactly once, even if the request is repeated or interrupted.
    write::end_early(&permit.cx, HttpResponse::Ok().json(SandboxClock::from(reading))).await?;
    sandbox::walk(&permit.cx, state.invoice_day, || false).await?;
    let reading = sandbox::read(&permit.cx).await?;
    Ok(HttpResponse::Ok().json(SandboxClock::from(reading)))
}
