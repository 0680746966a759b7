//! The state that the handlers share.

use std::time::Duration;

use crate::domain::money::Currency;
use crate::ops::budget::Budgets;
use crate::ops::courier::Courier;
use crate::ops::credential_cache::AccessCache;
use crate::ops::lookout::Lookout;
use crate::ops::rate_limits::RateLimits;
use crate::platform::clock::Clock;
use crate::platform::db::{Db, Readiness};
use crate::platform::oidc::Oidc;
use crate::platform::shutdown::Shutdown;
use crate::platform::telemetry::Metrics;

/// The state that all requests can use. Clones share it.
#[derive(Clone)]
pub struct AppState {
    pub db: Db,
    /// The credentials cache.
    pub access: AccessCache,
    pub clock: Clock,
    /// The currency of customers that are created without one.
    pub default_currency: Currency,
    /// Whether this is a sandbox, whose clock can be moved.
    pub sandbox: bool,
    /// The day of the month on which invoices are issued automatically, if any.
    pub invoice_day: Option<u32>,
    /// The name of the company that issues invoices.
    pub issuer: String,
    /// Whether the client address is taken from `X-Forwarded-For`.
    pub trust_forwarded_for: bool,
    /// Verifies OpenID Connect tokens, if an issuer is configured.
    pub oidc: Option<Oidc>,
    /// The timeout for a response.
    pub answer_timeout: Duration,
    pub rate_limits: RateLimits,
    /// The concurrency budgets.
    pub budgets: Budgets,
    /// The last known readiness of the service.
    pub readiness: Readiness,
    /// Sends messages to webhook endpoints.
    pub courier: Courier,
    /// The event feed watcher.
    pub lookout: Lookout,
    pub metrics: Metrics,
    /// Whether the service is stopping.
    pub shutdown: Shutdown,
}

/// Which operations a listener serves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Surface {
    /// All operations.
    #[default]
    Everything,
    /// The operations for clients.
    Clients,
    /// The operations for operators: health and metrics.
    Operators,
}

/// The paths of the operations for operators.
const FOR_OPERATORS: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

impl Surface {
    /// Whether an operation with this path is served.
    #[must_use]
    pub fn has(self, path: &str) -> bool {
        match self {
            Self::Everything => true,
            Self::Clients => !FOR_OPERATORS.contains(&path),
            Self::Operators => FOR_OPERATORS.contains(&path),
        }
    }

    /// Whether the pages of the documentation are served.
    #[must_use]
    pub fn has_documentation(self) -> bool {
        self != Self::Operators
    }
}
