use std::{fmt, ops::RangeInclusive, sync::Arc, time::Duration};

use async_trait::async_trait;
use incumbent_core::{
    Backend, Capabilities, Clock, ElectionName, EndpointStatus, Entry, Hosting, Member, Queue, QueueWatch, Result,
    Revision, Session, SessionId, SessionOptions,
};

use crate::{
    Faults, Link,
    ensemble::Ensemble,
    queue_watch::QueueFollower,
    request::{Caller, Request},
    session::MemorySession,
};

/// One client of an ensemble inside the process.
///
/// [`client`](Self::client) gives another client of the same ensemble, with a [`Link`] of its own; `clone` gives the same
/// client. The ensemble lives as long as a client, a session or a watch of it.
#[derive(Clone)]
pub struct Memory(Caller);

impl Memory {
    /// A client of a fresh ensemble that nobody else knows.
    #[must_use]
    pub fn new() -> Self {
        Self::of(Ensemble::new(""))
    }

    /// A new client of the ensemble that this process knows by that name: made if there is none, and gone when nobody
    /// holds it any more.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self::of(Ensemble::named(name))
    }

    fn of(ensemble: Arc<Ensemble>) -> Self {
        let link = ensemble.new_link();
        Self(Caller { ensemble, link })
    }

    /// Another client of the same ensemble.
    #[must_use]
    pub fn client(&self) -> Self {
        Self::of(Arc::clone(&self.0.ensemble))
    }

    /// The client of that name; clients of one name share one link.
    #[must_use]
    pub fn client_named(&self, name: &str) -> Self {
        let ensemble = Arc::clone(&self.0.ensemble);
        let link = ensemble.link(name);
        Self(Caller { ensemble, link })
    }

    /// This client's way to the ensemble, to be damaged.
    #[must_use]
    pub fn link(&self) -> &Link {
        &self.0.link
    }

    /// What can go wrong with the whole ensemble, and what its operators can do.
    #[must_use]
    pub fn faults(&self) -> Faults {
        Faults::new(Arc::clone(&self.0.ensemble))
    }

    /// Lets the ensemble grant no TTL out of this range, as ZooKeeper does; by default 10 ms and more.
    #[must_use]
    pub fn ttl(self, limits: RangeInclusive<Duration>) -> Self {
        self.0.ensemble.limit_ttl(limits);
        self
    }

    /// Lets each election keep this many changes, for watches that come late: 256 by default. One that comes too late
    /// says [`Broken`](incumbent_core::QueueEvent::Broken).
    #[must_use]
    pub fn history(self, changes: usize) -> Self {
        self.0.ensemble.lock().history = changes;
        self
    }

    /// The queue as it is in the store at this moment, whatever the faults: the truth, for checkers.
    #[must_use]
    pub fn queue_now(&self, election: &ElectionName) -> Vec<Entry> {
        self.0.ensemble.apply(|store, _| store.list(election).entries)
    }

    /// Whether the session lives in the store at this moment.
    #[must_use]
    pub fn session_alive(&self, session: SessionId) -> bool {
        self.0.ensemble.apply(|store, _| store.expiry(session).is_some())
    }

    /// The sessions that live in the store at this moment.
    #[must_use]
    pub fn sessions_now(&self) -> Vec<SessionId> {
        self.0.ensemble.apply(|store, _| store.sessions())
    }

    fn read<'a>(operation: &'static str, subject: &'a (dyn fmt::Display + Sync)) -> Request<'a> {
        Request { operation, subject, writes: false, timeout: READ_TIMEOUT }
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Caller { ensemble, link } = &self.0;
        f.debug_struct("Memory").field("ensemble", &ensemble.endpoint()).field("client", &link.name()).finish()
    }
}

#[async_trait]
impl Backend for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn clock(&self) -> &Clock {
        &self.0.ensemble.clock
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(Hosting::Caller)
    }

    async fn open_session(&self, options: &SessionOptions) -> Result<Arc<dyn Session>> {
        Ok(Arc::new(MemorySession::open(self.0.clone(), options.clone()).await?))
    }

    async fn list(&self, election: &ElectionName) -> Result<Queue> {
        let of = election.clone();
        self.0.send(Self::read("list", election), move |store, _| Ok(store.list(&of))).await
    }

    fn watch(&self, election: &ElectionName, from: Revision) -> Box<dyn QueueWatch> {
        let Caller { ensemble, link } = self.0.clone();
        Box::new(QueueFollower::new(ensemble, link, election, from))
    }

    async fn elections(&self, prefix: &str) -> Result<Vec<String>> {
        let under = prefix.to_owned();
        self.0.send(Self::read("list the elections under", &prefix), move |store, _| Ok(store.elections(&under))).await
    }

    async fn endpoints(&self) -> Vec<EndpointStatus> {
        let endpoint = self.0.ensemble.endpoint();
        let asked = self.clock().now();
        let answer = self.0.send(Self::read("ask", &endpoint), |_, _| Ok(())).await;
        let took = self.clock().now().since(asked);
        let answer = answer.map(|()| (took, Member::new(env!("CARGO_PKG_VERSION"), true)));
        vec![EndpointStatus::new(endpoint, answer.map_err(|error| error.to_string()))]
    }

    /// Nothing to do: a client has no connection and no task of its own.
    async fn close(&self) {}
}

/// How long a request outside a session may take.
const READ_TIMEOUT: Duration = Duration::from_secs(1);
