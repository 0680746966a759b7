//! The service itself: health, metrics, and the OpenAPI document.

use actix_web::http::header::ContentType;
use actix_web::{HttpResponse, get, web};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::api::contract::code::ErrorCode;
use crate::api::contract::document::DOCUMENT;
use crate::api::contract::problem::Problem;
use crate::api::contract::query::NoQuery;
use crate::api::state::AppState;
use crate::domain::label::label;
use crate::platform::db::Schema;

label! {
    /// `ok`. More values may be added.
    HealthStatus {
        Ok = "ok",
    }
}

/// The health of the service.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    pub status: HealthStatus,
}

/// All routes outside of `/v1`.
pub fn routes(config: &mut ServiceConfig<'_>) {
    config.service(healthz).service(readyz).service(metrics).service(openapi_json);
}

/// Check liveness
///
/// Returns 200 while the process is alive. Does not use the database. For liveness probes.
#[utoipa::path(tag = "Service", responses((status = 200, description = "The process is alive.", body = Health)))]
#[get("/healthz")]
pub async fn healthz(_: NoQuery) -> HttpResponse {
    HttpResponse::Ok().json(Health { status: HealthStatus::Ok })
}

/// Check readiness
///
/// Checks, at most once a second for all callers, that the database has the schema of this release. 503 says what is
/// missing. For readiness probes and load balancers.
#[utoipa::path(tag = "Service", extensions(("x-errors" = json!(["unavailable"]))), responses(
    (status = 200, description = "Requests can be served.", body = Health)
))]
#[get("/readyz")]
pub async fn readyz(state: web::Data<AppState>, _: NoQuery) -> Result<HttpResponse, Problem> {
    let not_ready = |why: &str| Err(Problem::new(ErrorCode::Unavailable, why));
    if state.shutdown.is_draining() {
        return not_ready("This instance is being stopped. Use another instance.");
    }
    match state.readiness.schema(&state.db).await {
        Ok(Schema::Current) => Ok(HttpResponse::Ok().json(Health { status: HealthStatus::Ok })),
        Ok(Schema::Behind(_)) => not_ready("The database lacks migrations. Run `migrate`."),
        Ok(Schema::Newer(_)) => not_ready("The database was migrated by a newer release. Run that release."),
        Err(error) => {
            tracing::warn!(%error, "not ready");
            not_ready("The database does not respond. Retry in a second.")
        }
    }
}

/// Metrics
///
/// Returns metrics in the Prometheus text format: requests by route and status, their duration, the connection pool,
/// and more.
#[utoipa::path(tag = "Service", responses(
    (status = 200, description = "The metrics.", body = String, content_type = "text/plain")
))]
#[get("/metrics")]
pub async fn metrics(state: web::Data<AppState>, _: NoQuery) -> HttpResponse {
    let text = state.metrics.render(state.db.pool_status());
    HttpResponse::Ok().insert_header(("content-type", "text/plain; version=0.0.4; charset=utf-8")).body(text)
}

/// The OpenAPI document
///
/// Returns this document.
#[utoipa::path(operation_id = "get_openapi_document", tag = "Service", responses(
    (status = 200, description = "The document.", body = OpenApiDocument)
))]
#[get("/openapi.json")]
pub async fn openapi_json(_: NoQuery) -> HttpResponse {
    HttpResponse::Ok().content_type(ContentType::json()).body(DOCUMENT.text.as_str())
}

#[derive(ToSchema)]
#[allow(dead_code, reason = "this is documentation")]
pub struct OpenApiDocument {
    /// The version of the specification.
    #[schema(max_length = 20, example = "3.1.0")]
    openapi: String,
}
