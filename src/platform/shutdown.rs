//! Stopping without losing a request: a signal, then not ready, then drained.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Whether the service is being stopped.
#[derive(Debug, Clone, Default)]
pub struct Shutdown(watch::Sender<bool>);

impl Shutdown {
    /// Whether the service is being stopped.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until the service is being stopped.
    pub async fn draining(&self) {
        // An error would mean that the sender is gone, and it is this.
        let _ = self.0.subscribe().wait_for(|draining| *draining).await;
    }

    /// Stops a server: it is not ready any more, goes on for a while so that load balancers see it, and
    /// then `stop` finishes the requests that it has.
    pub async fn drain<F: Future<Output = ()>>(&self, delay: Duration, stop: impl FnOnce() -> F) {
        self.0.send_replace(true);
        tracing::info!(delay_seconds = delay.as_secs(), "stopping");
        tokio::time::sleep(delay).await;
        stop().await;
    }
}

/// Listens from now on to whether the process is asked to stop, and then waits until it is.
///
/// # Errors
/// Signals cannot be listened to.
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
