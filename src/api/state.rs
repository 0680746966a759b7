//! What the handlers share.

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

/// What every request can use. Clones share it all.
#[derive(Clone)]
pub struct AppState {
    /// The database.
    pub db: Db,
    /// What is remembered of keys.
    pub access: AccessCache,
    /// What time it is.
    pub clock: Clock,
    /// What customers pay in when nothing else is said.
    pub default_currency: Currency,
    /// Whether the clock can be moved.
    pub sandbox: bool,
    /// Day of the month on which invoices are made by themselves, if they are.
    pub invoice_day: Option<u32>,
    /// Who issues invoices.
    pub issuer: String,
    /// Whether a proxy of ours says where requests come from.
    pub trust_forwarded_for: bool,
    /// Verifies tokens, if there is an issuer of them.
    pub oidc: Option<Oidc>,
    /// For a request to be answered.
    pub answer_timeout: Duration,
    /// How often callers may send requests.
    pub rate_limits: RateLimits,
    /// How much callers may have under way at a time.
    pub budgets: Budgets,
    /// Whether the service is ready, as of a moment ago.
    pub readiness: Readiness,
    /// What sends messages to webhook endpoints.
    pub courier: Courier,
    /// Looks for those who wait for events.
    pub lookout: Lookout,
    /// What is measured.
    pub metrics: Metrics,
    /// Whether the service is being stopped.
    pub shutdown: Shutdown,
}

/// Which operations a listener serves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Surface {
    /// All of them.
    #[default]
    Everything,
    /// Those for clients.
    Clients,
    /// Those for operators: health and metrics.
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
