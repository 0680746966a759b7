//! Logs as text or JSON, and metrics for Prometheus.

use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};

use clap::ValueEnum;
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use tracing::{Level, Metadata};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::platform::db::PoolStatus;

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Starts logging to standard error.
///
/// # Errors
/// The level is not a valid filter, or logging was started before.
pub fn init_logs(format: LogFormat, level: &str) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let logs = tracing_subscriber::fmt().with_env_filter(EnvFilter::try_new(level)?).with_writer(std::io::stderr);
    let logs = if std::io::stderr().is_terminal() { logs } else { logs.with_ansi(false) };
    match format {
        LogFormat::Text => logs.finish().with(filter_fn(is_for_the_log)).try_init()?,
        LogFormat::Json => {
            let logs = logs.json().flatten_event(true).with_current_span(true).with_span_list(false);
            logs.finish().with(filter_fn(is_for_the_log)).try_init()?;
        }
    }
    Ok(())
}

/// Data that is sent to the database belongs to tenants, and must not be logged at any level. The database client would
/// log it byte by byte.
fn is_for_the_log(event: &Metadata<'_>) -> bool {
    *event.level() <= Level::INFO || !event.target().starts_with("tokio_postgres")
}

/// The metrics of the process.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

/// Bounds of the latency histogram, in seconds.
const LATENCIES: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

static RECORDER: Mutex<Option<PrometheusHandle>> = Mutex::new(None);

impl Metrics {
    /// Starts measuring. A process has only one set of metrics.
    ///
    /// # Errors
    /// Another recorder is installed.
    pub fn start() -> Result<Self, BuildError> {
        let mut recorder = RECORDER.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(handle) = &*recorder {
            return Ok(Self(handle.clone()));
        }
        let handle = PrometheusBuilder::new().set_buckets(LATENCIES)?.install_recorder()?;
        metrics::describe_counter!("http_requests_total", "Requests by method, route and status.");
        metrics::describe_histogram!("http_request_duration_seconds", "Duration of requests by method and route.");
        let milestones = "Scheduled transitions of subscriptions that were processed, by milestone.";
        metrics::describe_counter!("subscription_milestones_total", milestones);
        let failures = "Due transitions of subscriptions that could not be processed, by code.";
        metrics::describe_counter!("subscription_milestone_failures_total", failures);
        let lookups =
            "Lookups of API keys and resellers in the database, because the cached state was missing or not reliable.";
        metrics::describe_counter!("access_lookups_total", lookups);
        metrics::describe_gauge!("budget_in_use", "Use of the concurrency budgets of this instance, by resource.");
        let refusals = "Requests rejected because a concurrency budget was exhausted, by resource and holder.";
        metrics::describe_counter!("budget_refusals_total", refusals);
        metrics::describe_counter!("webhook_attempts_total", "Delivery attempts to webhook endpoints, by outcome.");
        metrics::describe_gauge!("db_pool_connections", "Open database connections, by state (idle or busy).");
        metrics::describe_gauge!("db_pool_waiting", "Requests waiting for a database connection.");
        *recorder = Some(handle.clone());
        Ok(Self(handle))
    }

    /// Returns all metrics as text.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "a pool has few connections")]
    pub fn render(&self, pool: PoolStatus) -> String {
        metrics::gauge!("db_pool_connections", "state" => "idle").set(pool.idle as f64);
        metrics::gauge!("db_pool_connections", "state" => "busy").set(pool.open.saturating_sub(pool.idle) as f64);
        metrics::gauge!("db_pool_waiting").set(pool.waiting as f64);
        self.0.render()
    }

    /// Merges the measured values into the histograms. Call this every few seconds, or memory use grows.
    pub fn fold(&self) {
        self.0.run_upkeep();
    }
}
