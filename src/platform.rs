//! What talks to the machine: the database, the network, the clock, signals, logs.

pub mod clock;
pub mod db;
pub mod descriptors;
pub mod embedded;
pub mod oidc;
pub mod outbound;
pub mod shutdown;
pub mod telemetry;
pub mod tls;
