use std::{
    collections::BTreeMap,
    fmt,
    ops::RangeInclusive,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use incumbent_core::{Clock, Moment, SessionId};
use tokio::sync::watch;

use crate::{link::Link, store::Store};

/// What all clients share: the store, its clock, and the links to it.
pub(crate) struct Ensemble {
    pub(crate) name: String,
    pub(crate) clock: Clock,
    store: Mutex<Store>,
    /// Written only under the store's lock.
    frozen: watch::Sender<bool>,
    links: Mutex<Links>,
}

struct Links {
    by_name: BTreeMap<String, Link>,
    ttl: RangeInclusive<Duration>,
}

impl Ensemble {
    pub(crate) fn new(name: impl Into<String>) -> Arc<Self> {
        Arc::new(Self {
            name: name.into(),
            clock: Clock::tokio(),
            store: Mutex::new(Store::new()),
            frozen: watch::Sender::new(false),
            links: Mutex::new(Links { by_name: BTreeMap::new(), ttl: MIN_TTL..=Duration::MAX }),
        })
    }

    /// The ensemble that the process knows by this name.
    pub(crate) fn named(name: &str) -> Arc<Self> {
        let mut known = lock(&KNOWN);
        if let Some(ensemble) = known.get(name).and_then(Weak::upgrade) {
            return ensemble;
        }
        known.retain(|_, ensemble| ensemble.strong_count() > 0);
        let ensemble = Self::new(name);
        known.insert(name.into(), Arc::downgrade(&ensemble));
        ensemble
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("memory://{}", self.name)
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Store> {
        lock(&self.store)
    }

    /// Does something in the store at once, whatever the faults.
    pub(crate) fn apply<T>(&self, operation: impl FnOnce(&mut Store, Moment) -> T) -> T {
        let mut store = self.lock();
        // Read under the lock, so that time goes forward from one access to the next.
        let now = self.clock.now();
        if !self.is_frozen() {
            store.settle(now);
        }
        operation(&mut store, now)
    }

    /// Does something in the store, as soon as it is not frozen.
    pub(crate) async fn apply_thawed<T>(&self, mut operation: impl FnOnce(&mut Store, Moment) -> T) -> T {
        loop {
            self.thawed().await;
            operation = match self.try_apply(operation) {
                Ok(done) => return done,
                Err(frozen_again) => frozen_again,
            };
        }
    }

    fn try_apply<T, F: FnOnce(&mut Store, Moment) -> T>(&self, operation: F) -> Result<T, F> {
        let mut store = self.lock();
        if self.is_frozen() {
            return Err(operation);
        }
        let now = self.clock.now();
        store.settle(now);
        Ok(operation(&mut store, now))
    }

    pub(crate) fn is_frozen(&self) -> bool {
        *self.frozen.borrow()
    }

    pub(crate) fn freeze(&self) {
        self.apply(|_, _| self.frozen.send_replace(true));
    }

    /// Goes on, with the time of every session begun anew.
    pub(crate) fn thaw(&self) {
        self.apply(|store, now| {
            if self.frozen.send_replace(false) {
                store.touch_all(now);
            }
        });
    }

    async fn thawed(&self) {
        // The sender lives in self: the wait cannot fail.
        let _ = self.frozen.subscribe().wait_for(|frozen| !frozen).await;
    }

    /// Waits until what is due at that moment has come over the link.
    pub(crate) async fn arrival(&self, link: &Link, due: Moment) {
        self.sleep_until(due).await;
        link.healed().await;
    }

    /// The clock is tokio's, whose timers need no second look.
    pub(crate) async fn sleep_until(&self, moment: Moment) {
        loop {
            let left = moment.since(self.clock.now());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left).await;
        }
    }

    /// Ends the session on time, whoever may have died, and returns when it is over.
    pub(crate) async fn reap(ensemble: Weak<Self>, id: SessionId) {
        loop {
            let Some(strong) = ensemble.upgrade() else { return };
            let Some(left) = strong.apply(|store, now| store.expiry(id).map(|end| end.since(now))) else { return };
            if strong.is_frozen() {
                let mut frozen = strong.frozen.subscribe();
                drop(strong);
                if frozen.wait_for(|frozen| !frozen).await.is_err() {
                    return;
                }
            } else {
                drop(strong);
                tokio::time::sleep(left).await;
            }
        }
    }

    pub(crate) fn limit_ttl(&self, ttl: RangeInclusive<Duration>) {
        lock(&self.links).ttl = ttl;
    }

    /// The TTL that is granted to who asks for `asked`.
    pub(crate) fn grant(&self, asked: Duration) -> Duration {
        let links = lock(&self.links);
        asked.min(*links.ttl.end()).max(*links.ttl.start())
    }

    /// The link of that name; the same one each time.
    pub(crate) fn link(self: &Arc<Self>, name: &str) -> Link {
        let mut links = lock(&self.links);
        links.by_name.entry(name.into()).or_insert_with(|| Link::new(name, Arc::downgrade(self))).clone()
    }

    /// A link of a name that none had before.
    pub(crate) fn new_link(self: &Arc<Self>) -> Link {
        let mut links = lock(&self.links);
        let taken = |number: &usize| links.by_name.contains_key(&format!("client-{number}"));
        let number = (links.by_name.len() + 1..).find(|number| !taken(number)).unwrap_or_default();
        let name = format!("client-{number}");
        let link = Link::new(&name, Arc::downgrade(self));
        links.by_name.insert(name, link.clone());
        link
    }

    pub(crate) fn links(&self) -> Vec<Link> {
        lock(&self.links).by_name.values().cloned().collect()
    }
}

impl fmt::Debug for Ensemble {
    /// Not the store: every session and watch shows its ensemble.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ensemble").field("endpoint", &self.endpoint()).finish_non_exhaustive()
    }
}

/// Locks; what a panicking thread left is whole, since no operation of ours panics halfway.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The named ensembles of this process, as long as anybody holds them.
static KNOWN: Mutex<BTreeMap<String, Weak<Ensemble>>> = Mutex::new(BTreeMap::new());

/// Below this, timers of a millisecond are too coarse for a session.
const MIN_TTL: Duration = Duration::from_millis(10);
