//! Sends events to webhook endpoints. Each endpoint has lanes of its own, so that one which takes its time keeps
//! nobody else waiting; and has each for a time only, so that many which do so leave the others their turn.

mod turns;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::{Id, JoinError, JoinSet};

use super::{PAUSE, Pace};
use crate::clock::Clock;
use crate::db::Db;
use crate::domain::access::Actor;
use crate::domain::id::WebhookEndpointId;
use crate::ops::courier::{self, Courier, LANES};
use crate::ops::{Context, Error};
use crate::shutdown::Shutdown;
use turns::{TURN, share_out};

/// The most messages on their way at once of an instance that serves, as each has a connection.
pub const MOST_LANES: usize = courier::MOST_SENDS;

/// How long it is remembered when an endpoint last had its turn: by then, everybody else has had one.
const REMEMBERED: Duration = Duration::from_secs(3600);

/// What delivers in the background. Any number of instances can have it; they share the work.
pub struct Postman {
    pub db: Db,
    pub clock: Clock,
    /// What sends messages.
    pub courier: Courier,
    /// The most messages on their way at once.
    pub most_lanes: usize,
    /// When to stop.
    pub shutdown: Shutdown,
}

/// What is being sent at the moment.
#[derive(Default)]
struct Lanes {
    tasks: JoinSet<Result<(), Error>>,
    endpoints: HashMap<Id, WebhookEndpointId>,
    /// When an endpoint last got a lane.
    last_turns: HashMap<WebhookEndpointId, Instant>,
}

impl Postman {
    /// Works until the service is being stopped, and then until what is on its way has got there.
    pub async fn run(self) {
        let written = Notify::new();
        tokio::join!(self.write(&written), self.send(&written));
    }

    /// Writes down what is to be delivered, beside the sending: an endpoint that is far behind holds up no message.
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
                // The pace comes first, as it takes note of how the look has ended.
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
    /// How many there are of each endpoint.
    fn busy(&self) -> HashMap<WebhookEndpointId, usize> {
        let mut busy = HashMap::new();
        self.endpoints.values().for_each(|id| *busy.entry(*id).or_default() += 1);
        busy
    }

    /// Forgets those that have ended.
    fn clear_away(&mut self) {
        while let Some(ended) = self.tasks.try_join_next_with_id() {
            self.forget(ended);
        }
        self.last_turns.retain(|_, began| began.elapsed() < REMEMBERED);
    }

    /// Waits until all have ended, however they do.
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
        tracing::warn!(webhook_endpoint_id = id.map(|id| id.to_string()), error, "a delivery is to be repeated");
    }
}
