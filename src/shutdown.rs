//! Stopping without losing a request: a signal, then not ready, then drained.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

/// Whether the service is being stopped.
#[derive(Debug, Clone, Default)]
pub struct Shutdown(Arc<AtomicBool>);

impl Shutdown {
    /// Whether the service is being stopped.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Stops a server: it is not ready any more, goes on for a while so that load balancers see it, and
    /// then `stop` finishes the requests that it has.
    pub async fn drain<F: Future<Output = ()>>(&self, delay: Duration, stop: impl FnOnce() -> F) {
        self.0.store(true, Ordering::Relaxed);
        tracing::info!(delay_seconds = delay.as_secs(), "stopping");
        tokio::time::sleep(delay).await;
        stop().await;
    }
}

/// Waits until the process is asked to stop.
///
/// # Errors
/// Signals cannot be listened to.
pub async fn asked() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
