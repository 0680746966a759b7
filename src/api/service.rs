//! The service itself: health, metrics, and the OpenAPI document.

use actix_web::http::header::ContentType;
use actix_web::{HttpResponse, get, web};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use super::code::ErrorCode;
use super::openapi::DOCUMENT;
use super::problem::Problem;
use super::query::NoQuery;
use crate::app::AppState;
use crate::db::Schema;
use crate::domain::label::label;

label! {
    /// `ok`. Expect more values.
    HealthStatus {
        /// All is well.
        Ok = "ok",
    }
}

/// How the service is.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    /// How it is.
    pub status: HealthStatus,
}

/// Everything outside of `/v1`.
pub fn routes(config: &mut ServiceConfig<'_>) {
    config.service(healthz).service(readyz).service(metrics).service(openapi_json);
}

/// Is the process alive?
///
/// Answers without asking the database. For liveness probes.
#[utoipa::path(tag = "Service", responses((status = 200, description = "It is.", body = Health)))]
#[get("/healthz")]
pub async fn healthz(_: NoQuery) -> HttpResponse {
    HttpResponse::Ok().json(Health { status: HealthStatus::Ok })
}

/// Can requests be served?
///
/// Asks the database whether its schema is the one that this release was built for, at most once a second for all who
/// ask. 503 says what is missing. For readiness probes and load balancers.
#[utoipa::path(tag = "Service", extensions(("x-errors" = json!(["unavailable"]))), responses(
    (status = 200, description = "They can.", body = Health)
))]
#[get("/readyz")]
pub async fn readyz(state: web::Data<AppState>, _: NoQuery) -> Result<HttpResponse, Problem> {
    let not_ready = |why: &str| Err(Problem::new(ErrorCode::Unavailable, why));
    if state.shutdown.is_draining() {
        return not_ready("The service is being stopped; ask another instance.");
    }
    match state.readiness.schema(&state.db).await {
        Ok(Schema::Current) => Ok(HttpResponse::Ok().json(Health { status: HealthStatus::Ok })),
        Ok(Schema::Behind(_)) => not_ready("The database lacks migrations; run `migrate`."),
        Ok(Schema::Newer(_)) => not_ready("The database was migrated by a newer release; run that."),
        Err(error) => {
            tracing::warn!(%error, "not ready");
            not_ready("The database does not respond. It is asked again in a second.")
        }
    }
}

/// Metrics
///
/// In Prometheus' text format: requests by route and status, their duration, and the connection pool.
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
/// The document that this is written in.
#[utoipa::path(operation_id = "get_openapi_document", tag = "Service", responses(
    (status = 200, description = "The document.", body = OpenApiDocument)
))]
#[get("/openapi.json")]
pub async fn openapi_json(_: NoQuery) -> HttpResponse {
    HttpResponse::Ok().content_type(ContentType::json()).body(DOCUMENT.text.as_str())
}

/// An OpenAPI 3.1 document.
#[derive(ToSchema)]
#[allow(dead_code, reason = "this is documentation")]
pub struct OpenApiDocument {
    /// The version of the specification.
    #[schema(max_length = 20, example = "3.1.0")]
    openapi: String,
}
