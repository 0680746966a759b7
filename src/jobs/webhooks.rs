//! The dispatcher: sends events to webhook endpoints. Each endpoint gets its own delivery workers (lanes), so that a
//! slow endpoint does not delay the others. Each worker ends after a time, so that many slow endpoints cannot occupy
//! all of them.

mod turns;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::{Id, JoinError, JoinSet};

use super::{PAUSE, Pace};
use crate::domain::authorization::Actor;
use crate::domain::id::WebhookEndpointId;
use crate::ops::courier::{self, Courier, LANES};
use crate::ops::{Context, Error};
use crate::platform::clock::Clock;
use crate::platform::db::Db;
use crate::platform::shutdown::Shutdown;
use turns::{TURN, share_out};

/// The maximum number of concurrent messages of an instance. Each message has a connection.
pub const MOST_LANES: usize = courier::MOST_SENDS;

/// How long the last turn of an endpoint is remembered. After this time, every other endpoint has had a turn.
const REMEMBERED: Duration = Duration::from_secs(3600);

/// Delivers in the background. Any number of instances can run it. They share the work.
pub struct Postman {
    pub db: Db,
    pub clock: Clock,
    pub courier: Courier,
    /// The maximum number of concurrent messages.
    pub most_lanes: usize,
    pub shutdown: Shutdown,
}

/// The running delivery workers.
#[derive(Default)]
struct Lanes {
    tasks: JoinSet<Result<(), Error>>,
    endpoints: HashMap<Id, WebhookEndpointId>,
    /// When the last worker of an endpoint started.
    last_turns: HashMap<WebhookEndpointId, Instant>,
}

impl Postman {
    /// Runs until the service is stopping, and then until the messages in progress are sent.
    pub async fn run(self) {
        let written = Notify::new();
        tokio::join!(self.write(&written), self.send(&written));
    }

    /// Queues deliveries, concurrently with sending, so that an endpoint that is far behind does not delay messages.
    async fn write(&self, written: &Notify) {
        let mut pace = Pace::new("webhook messages", PAUSE);
        while !self.shutdown.is_draining() {
            let looked = courier::fan_out(&self.cx(), || self.shutdown.is_draining()).await;
            if looked.is_ok() {
                written.notify_one();
            }
            pace.rest(&self.shutdown, looked).await;
        }
    }

    async fn send(&self, written: &Notify) {
        let mut lanes = Lanes::default();
        let mut pace = Pace::new("deliveries", PAUSE);
        while !self.shutdown.is_draining() {
            let looked = self.look(&mut lanes).await;
            tokio::select! {
                // The pace is polled first, because it must record the result of the run.
                biased;
                () = pace.rest(&self.shutdown, looked) => {}
                () = written.notified() => {}
            }
        }
        lanes.end().await;
    }

    async fn look(&self, lanes: &mut Lanes) -> Result<(), Error> {
        lanes.clear_away();
        let busy = lanes.busy();
        let full: Vec<_> = busy.iter().filter(|(_, count)| **count >= LANES).map(|(id, _)| *id).collect();
        let due = courier::due(&self.cx(), &full).await?;
        for id in share_out(&due, &busy, &lanes.last_turns, self.most_lanes) {
            if !self.shutdown.is_draining() {
                self.start(lanes, id);
            }
        }
        Ok(())
    }

    fn start(&self, lanes: &mut Lanes, id: WebhookEndpointId) {
        let (cx, courier, shutdown) = (self.cx(), self.courier.clone(), self.shutdown.clone());
        let began = Instant::now();
        let stop = move || shutdown.is_draining() || began.elapsed() >= TURN;
        let lane = async move { courier::deliver(&cx, &courier, id, stop).await };
        lanes.endpoints.insert(lanes.tasks.spawn(lane).id(), id);
        lanes.last_turns.insert(id, began);
    }

    fn cx(&self) -> Context {
        Context::new(self.db.clone(), self.clock.clone(), Actor::system())
    }
}

impl Lanes {
    /// The number of workers of each endpoint.
    fn busy(&self) -> HashMap<WebhookEndpointId, usize> {
        let mut busy = HashMap::new();
        self.endpoints.values().for_each(|id| *busy.entry(*id).or_default() += 1);
        busy
    }

    /// Removes workers that have ended.
    fn clear_away(&mut self) {
        while let Some(ended) = self.tasks.try_join_next_with_id() {
            self.forget(ended);
        }
        self.last_turns.retain(|_, began| began.elapsed() < REMEMBERED);
    }

    /// Waits until all workers have ended, successfully or not.
    async fn end(mut self) {
        while let Some(ended) = self.tasks.join_next_with_id().await {
            self.forget(ended);
        }
    }

    fn forget(&mut self, ended: Result<(Id, Result<(), Error>), JoinError>) {
        let task = match &ended {
            Ok((task, _)) => *task,
            Err(error) => error.id(),
        };
        let id = self.endpoints.remove(&task);
        let error = match ended {
            Ok((_, Ok(()))) => return,
            Ok((_, Err(error))) => error.to_string(),
            Err(error) => error.to_string(),
        };
        tracing::warn!(webhook_endpoint_id = id.map(|id| id.to_string()), error, "delivery worker failed; retrying");
    }
}
