//! Sends events to webhook endpoints. Each endpoint has lanes of its own, so that one which takes its time keeps
//! nobody else waiting.

use std::collections::HashMap;
use std::time::Duration;

use tokio::task::{Id, JoinSet};

use crate::clock::Clock;
use crate::db::Db;
use crate::domain::access::Actor;
use crate::domain::id::WebhookEndpointId;
use crate::ops::courier::{self, Courier, LANES};
use crate::ops::{Context, Error};
use crate::shutdown::Shutdown;

/// Between one look and the next.
const PAUSE: Duration = Duration::from_millis(500);

/// The longest pause after failures in a row; the first is [`PAUSE`].
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The most messages on their way at once, as each has a connection.
const MOST_LANES: usize = 800;

/// Between one sweep and the next.
const SWEEP_EVERY: Duration = Duration::from_secs(600);

/// What delivers in the background. Any number of instances can have it; they share the work.
pub struct Postman {
    /// The database.
    pub db: Db,
    /// What time it is.
    pub clock: Clock,
    /// What sends messages.
    pub courier: Courier,
    /// When to stop.
    pub shutdown: Shutdown,
}

/// What is being sent at the moment.
#[derive(Default)]
struct Lanes {
    tasks: JoinSet<Result<(), Error>>,
    endpoints: HashMap<Id, WebhookEndpointId>,
}

impl Postman {
    /// Works until the service is being stopped, and then until what is on its way has got there.
    pub async fn run(self) {
        tokio::join!(self.deliver(), self.sweep());
    }

    async fn deliver(&self) {
        let mut lanes = Lanes::default();
        let mut pause = PAUSE;
        while !self.shutdown.is_draining() {
            pause = match self.look(&mut lanes).await {
                Ok(()) => PAUSE,
                Err(error) => {
                    tracing::warn!(%error, "events cannot be delivered; it is tried again in {pause:?}");
                    (pause * 2).min(LONGEST_PAUSE)
                }
            };
            self.wait(pause).await;
        }
        lanes.tasks.join_all().await;
    }

    async fn look(&self, lanes: &mut Lanes) -> Result<(), Error> {
        lanes.clear_away();
        let stop = || self.shutdown.is_draining();
        courier::fan_out(&self.cx(), stop).await?;
        let busy = lanes.busy();
        let full: Vec<_> = busy.iter().filter(|(_, count)| **count >= LANES).map(|(id, _)| *id).collect();
        for due in courier::due(&self.cx(), &full).await? {
            let running = busy.get(&due.id).copied().unwrap_or_default();
            for _ in running..courier::lanes(due).max(running) {
                if lanes.tasks.len() < MOST_LANES && !stop() {
                    self.start(lanes, due.id);
                }
            }
        }
        Ok(())
    }

    fn start(&self, lanes: &mut Lanes, id: WebhookEndpointId) {
        let (cx, courier, shutdown) = (self.cx(), self.courier.clone(), self.shutdown.clone());
        let lane = async move { courier::deliver(&cx, &courier, id, || shutdown.is_draining()).await };
        lanes.endpoints.insert(lanes.tasks.spawn(lane).id(), id);
    }

    async fn sweep(&self) {
        while !self.shutdown.is_draining() {
            if let Err(error) = courier::sweep(&self.cx(), || self.shutdown.is_draining()).await {
                tracing::warn!(%error, "old deliveries cannot be deleted");
            }
            self.wait(SWEEP_EVERY).await;
        }
    }

    async fn wait(&self, pause: Duration) {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = self.shutdown.draining() => {}
        }
    }

    fn cx(&self) -> Context {
        Context::new(self.db.clone(), self.clock.clone(), Actor::system())
    }
}

impl Lanes {
    /// How many there are of each endpoint.
    fn busy(&self) -> HashMap<WebhookEndpointId, usize> {
        let mut busy = HashMap::new();
        self.endpoints.values().for_each(|id| *busy.entry(*id).or_default() += 1);
        busy
    }

    /// Forgets those that have ended.
    fn clear_away(&mut self) {
        while let Some(ended) = self.tasks.try_join_next_with_id() {
            let task = match &ended {
                Ok((task, _)) => *task,
                Err(error) => error.id(),
            };
            let id = self.endpoints.remove(&task);
            let error = match ended {
                Ok((_, Ok(()))) => continue,
                Ok((_, Err(error))) => error.to_string(),
                Err(error) => error.to_string(),
            };
            tracing::warn!(webhook_endpoint_id = id.map(|id| id.to_string()), error, "a delivery is to be repeated");
        }
    }
}
