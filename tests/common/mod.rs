//! What tests on the in-process ensemble share.

#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may fail the test")]

use std::{sync::Arc, time::Duration};

use incumbent::{Election, ElectionName, Ensemble, Options};
use incumbent_memory::Memory;
use tokio::time::{sleep, timeout};

/// The TTL of all tests that say nothing else; its margin is 0.5 s and its stop_within 1.25 s.
pub(crate) const TTL: Duration = Duration::from_secs(5);

/// One process: a client of an ensemble, with a link of its own, and its election.
#[derive(Clone)]
pub(crate) struct Process {
    pub(crate) memory: Memory,
    pub(crate) ensemble: Ensemble,
    pub(crate) election: Election,
}

impl Process {
    /// The first one at a fresh ensemble.
    pub(crate) fn first() -> Self {
        Self::of(Memory::new(), Options::new().ttl(TTL))
    }

    /// Another one at the same ensemble.
    pub(crate) fn another(&self) -> Self {
        Self::of(self.memory.client(), Options::new().ttl(TTL))
    }

    pub(crate) fn of(memory: Memory, options: Options) -> Self {
        let ensemble = Ensemble::with_backend(Arc::new(memory.clone()), options).unwrap();
        let election = ensemble.election("jobs/a").unwrap();
        Self { memory, ensemble, election }
    }

    /// The ids of those who stand, in the store, at this moment.
    pub(crate) fn queue(&self) -> Vec<String> {
        self.memory.queue_now(&self.name()).into_iter().map(|entry| entry.profile.id).collect()
    }

    pub(crate) fn name(&self) -> ElectionName {
        self.election.name().clone()
    }

    /// Waits until exactly these stand, in this order.
    pub(crate) async fn queue_becomes(&self, ids: &[&str]) {
        eventually(&format!("the queue is {ids:?}"), || self.queue() == ids).await;
    }

    /// An operator deletes the entry of this candidate.
    pub(crate) fn evict(&self, id: &str) {
        let queue = self.memory.queue_now(&self.name());
        let entry = queue.iter().find(|entry| entry.profile.id == id).unwrap();
        assert!(self.memory.faults().evict(&self.name(), &entry.key.name));
    }
}

impl Process {
    /// An operator deletes the entry of this process's session.
    pub(crate) async fn evict_own_entry(&self) {
        let session = self.ensemble.status().session.map(|session| session.id);
        let queue = self.memory.queue_now(&self.name());
        let entry = queue.iter().find(|entry| entry.session == session).unwrap();
        assert!(self.memory.faults().evict(&self.name(), &entry.key.name));
        quiet().await;
    }
}

/// Waits until it is so, looking every millisecond of whatever time there is, for a minute of it at most.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    bounded(what, wait).await;
}

/// Waits for what must come, for a minute at most.
pub(crate) async fn bounded<T>(what: &str, future: impl Future<Output = T>) -> T {
    match timeout(Duration::from_secs(60), future).await {
        Ok(value) => value,
        Err(_) => panic!("it never came to be that {what}"),
    }
}

/// Lets every task that is ready run until it waits.
pub(crate) async fn quiet() {
    // Under paused time, the clock moves on only when nobody has anything to do.
    sleep(Duration::from_millis(1)).await;
}
