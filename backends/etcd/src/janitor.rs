//! Removes the entries of retired names on sight, until the session ends.
//!
//! A put whose outcome is unknown may land seconds later. With a live lease it would block the election for ever.

use std::{collections::HashMap, sync::Arc, time::Duration};

use etcd_client::EventType;
use futures::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use incumbent_core::{Result, Revision};
use tokio::sync::{mpsc, oneshot};

use crate::{
    hub::{News, Registration, Sink, Target, WatchId},
    lease::Lease,
};

/// A name to retire, and whom to tell when its entry is gone for the first time.
pub(crate) struct Retirement {
    pub(crate) key: String,
    pub(crate) gone: oneshot::Sender<Result<()>>,
}

/// One task for all retired names of a session.
pub(crate) async fn run(lease: Arc<Lease>, mut retirements: mpsc::UnboundedReceiver<Retirement>) {
    let (sightings, mut seen) = mpsc::unbounded_channel();
    let mut janitor = Janitor {
        lease: &lease,
        sightings,
        watched: HashMap::new(),
        keys: HashMap::new(),
        sweeping: HashMap::new(),
        sweeps: FuturesUnordered::new(),
    };
    loop {
        tokio::select! {
            () = lease.life.ended() => return,
            retirement = retirements.recv() => match retirement {
                Some(Retirement { key, gone }) => janitor.retire(key, Some(gone), Duration::ZERO),
                // The session's last handle is dropped, and so its life ends.
                None => return,
            },
            Some(sighting) = seen.recv() => janitor.sighted(&sighting),
            Some(swept) = janitor.sweeps.next() => janitor.swept(swept),
        }
    }
}

struct Janitor<'a> {
    lease: &'a Lease,
    sightings: mpsc::UnboundedSender<Sighting>,
    /// By key.
    watched: HashMap<String, Registration>,
    keys: HashMap<WatchId, String>,
    /// The keys that are being swept, over and over until it succeeds: one sweep for each at a time.
    sweeping: HashMap<String, Sweeping>,
    sweeps: FuturesUnordered<BoxFuture<'a, Swept>>,
}

#[derive(Default)]
struct Sweeping {
    /// Who waits for the sweep under way.
    waiting: Vec<oneshot::Sender<Result<()>>>,
    /// Whether the entry was seen after that sweep had begun.
    again: bool,
}

struct Swept {
    key: String,
    result: Result<Revision>,
}

/// A watch that needs looking after.
#[derive(Debug)]
struct Sighting {
    watch: WatchId,
    broken: bool,
}

impl<'a> Janitor<'a> {
    /// Begins to sweep a key, unless that is under way.
    fn retire(&mut self, key: String, gone: Option<oneshot::Sender<Result<()>>>, pause: Duration) {
        let under_way = self.sweeping.contains_key(&key);
        let sweeping = self.sweeping.entry(key.clone()).or_default();
        sweeping.waiting.extend(gone);
        sweeping.again = under_way;
        if !under_way {
            self.sweep(key, pause);
        }
    }

    fn sweep(&self, key: String, pause: Duration) {
        let lease = self.lease;
        self.sweeps.push(Box::pin(async move {
            tokio::time::sleep(pause).await;
            let result = lease.sweep(&key).await;
            Swept { key, result }
        }));
    }

    /// Tells those who wait; after a failure goes on without them.
    fn swept(&mut self, Swept { key, result }: Swept) {
        let Sweeping { waiting, again } = self.sweeping.get_mut(&key).map(std::mem::take).unwrap_or_default();
        match &result {
            Ok(_) if again => self.sweep(key, Duration::ZERO),
            Ok(revision) => {
                self.sweeping.remove(&key);
                self.watch(key, *revision);
            }
            Err(error) => {
                tracing::debug!(session = %self.lease.session(), key, %error, "a retired entry may still stand; tried again");
                self.sweep(key, self.lease.interval.mul_f64(0.5 + fastrand::f64() / 2.0));
            }
        }
        for gone in waiting {
            // Nobody need wait for it.
            let _ = gone.send(result.clone().map(drop));
        }
    }

    /// Watches a key from the revision at which it was gone.
    fn watch(&mut self, key: String, after: Revision) {
        if self.watched.contains_key(&key) {
            return;
        }
        let target = Target { key: key.clone(), prefix: false, only: Some(EventType::Put), after };
        let registration = self.lease.hub.watch(target, Arc::new(Watchman(self.sightings.clone())));
        self.keys.insert(registration.id, key.clone());
        self.watched.insert(key, registration);
    }

    fn sighted(&mut self, sighting: &Sighting) {
        let Some(key) = self.keys.get(&sighting.watch).cloned() else { return };
        if sighting.broken {
            // Swept, it is watched anew.
            self.keys.remove(&sighting.watch);
            self.watched.remove(&key);
            self.retire(key, None, self.lease.interval);
        } else {
            tracing::warn!(session = %self.lease.session(), key, "a write that was given up has landed; its entry is removed");
            self.retire(key, None, Duration::ZERO);
        }
    }
}

struct Watchman(mpsc::UnboundedSender<Sighting>);

impl Sink for Watchman {
    fn tell(&self, watch: WatchId, news: News<'_>) {
        let broken = match news {
            News::Event(EventType::Put, _) => false,
            News::Broken => true,
            News::Event(EventType::Delete, _) | News::Lost(_) | News::Resumed => return,
        };
        // Fails when the session has ended.
        let _ = self.0.send(Sighting { watch, broken });
    }
}
