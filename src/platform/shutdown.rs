//! Stops the service without losing a request: after a signal, it becomes not ready, and then finishes its requests.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Whether the service is stopping.
#[derive(Debug, Clone, Default)]
pub struct Shutdown(watch::Sender<bool>);

impl Shutdown {
    /// Whether the service is stopping.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until the service is stopping.
    pub async fn draining(&self) {
        // This cannot fail, because `self` owns the sender.
        let _ = self.0.subscribe().wait_for(|draining| *draining).await;
    }

    /// Stops a server. It immediately becomes not ready, but continues to serve for `delay`, so that load balancers
    /// notice. Then `stop` finishes the requests in progress.
    pub async fn drain<F: Future<Output = ()>>(&self, delay: Duration, stop: impl FnOnce() -> F) {
        self.0.send_replace(true);
        tracing::info!(delay_seconds = delay.as_secs(), "stopping");
        tokio::time::sleep(delay).await;
        stop().await;
    }
}

/// Starts to listen for stop signals. The returned future waits for one.
///
/// # Errors
/// The signal handlers cannot be installed.
pub fn asked() -> std::io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
