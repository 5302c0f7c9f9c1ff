//! A backend that keeps the contract to the letter and is no help: calls fail now and then, done or not; watches break, stay
//! broken, and prove little. Nothing must come of it.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use incumbent::{
    ElectionName, Error, ErrorKind, Profile, Result, SessionId,
    core::{
        Backend, Capabilities, Clock, Demand, EndpointStatus, EntryKey, Guid, Life, Place, PlaceEvent, PlaceWatch,
        Queue, QueueEvent, QueueWatch, Revision, Session, SessionOptions,
    },
};
use incumbent_memory::Memory;
use tokio::sync::watch;

pub(crate) fn contrary(memory: Memory) -> Arc<dyn Backend> {
    Arc::new(Contrary { memory, mood: Mood::new() })
}

/// When to make trouble.
#[derive(Clone, Debug)]
struct Mood(Arc<Mutex<fastrand::Rng>>);

impl Mood {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(fastrand::Rng::new())))
    }

    fn is_bad(&self) -> bool {
        self.0.lock().unwrap().u8(..8) == 0
    }

    /// What certainly has not happened.
    fn allow(&self) -> Result<()> {
        if self.is_bad() { Err(Error::new(ErrorKind::Unavailable, "be of help")) } else { Ok(()) }
    }

    /// What has happened, and may be said to be unknown.
    fn tell<T>(&self, outcome: Result<T>) -> Result<T> {
        outcome.and_then(|done| {
            if self.is_bad() { Err(Error::new(ErrorKind::OutcomeUnknown, "be of help")) } else { Ok(done) }
        })
    }
}

#[derive(Debug)]
struct Contrary {
    memory: Memory,
    mood: Mood,
}

#[async_trait]
impl Backend for Contrary {
    fn name(&self) -> &'static str {
        "contrary"
    }

    fn clock(&self) -> &Clock {
        self.memory.clock()
    }

    fn capabilities(&self) -> Capabilities {
        self.memory.capabilities()
    }

    async fn open_session(&self, options: &SessionOptions) -> Result<Arc<dyn Session>> {
        self.mood.allow()?;
        let inner = self.memory.open_session(options).await?;
        Ok(Arc::new(ContrarySession { inner, mood: self.mood.clone() }))
    }

    async fn list(&self, election: &ElectionName) -> Result<Queue> {
        self.mood.allow()?;
        self.memory.list(election).await
    }

    fn watch(&self, election: &ElectionName, from: Revision) -> Box<dyn QueueWatch> {
        let inner = self.memory.watch(election, from);
        Box::new(ContraryWatch { inner, mood: self.mood.clone(), broken: false })
    }

    async fn elections(&self, prefix: &str) -> Result<Vec<String>> {
        self.memory.elections(prefix).await
    }

    async fn endpoints(&self) -> Vec<EndpointStatus> {
        self.memory.endpoints().await
    }

    async fn close(&self) {
        self.memory.close().await;
    }
}

#[derive(Debug)]
struct ContrarySession {
    inner: Arc<dyn Session>,
    mood: Mood,
}

#[async_trait]
impl Session for ContrarySession {
    fn id(&self) -> SessionId {
        self.inner.id()
    }

    fn ttl(&self) -> Duration {
        self.inner.ttl()
    }

    fn life(&self) -> watch::Receiver<Life> {
        self.inner.life()
    }

    fn demand(&self) -> &Demand {
        self.inner.demand()
    }

    async fn enqueue(&self, election: &ElectionName, guid: Guid, profile: &Profile) -> Result<(EntryKey, Place)> {
        self.mood.allow()?;
        self.mood.tell(self.inner.enqueue(election, guid, profile).await)
    }

    async fn place(&self, election: &ElectionName, own: &EntryKey) -> Result<Option<Place>> {
        self.mood.allow()?;
        self.inner.place(election, own).await
    }

    fn watch(&self, election: &ElectionName, own: &EntryKey, place: &Place) -> Box<dyn PlaceWatch> {
        let inner = self.inner.watch(election, own, place);
        Box::new(ContraryWatch { inner, mood: self.mood.clone(), broken: false })
    }

    async fn remove(&self, election: &ElectionName, own: &EntryKey) -> Result<()> {
        self.mood.allow()?;
        self.mood.tell(self.inner.remove(election, own).await)
    }

    async fn retire(&self, election: &ElectionName, guid: Guid) -> Result<()> {
        self.mood.allow()?;
        self.mood.tell(self.inner.retire(election, guid).await)
    }

    async fn close(&self) -> Result<()> {
        self.mood.allow()?;
        self.mood.tell(self.inner.close().await)
    }
}

/// Breaks in the place of an event, or on its own account, and says so whenever it is asked again.
#[derive(Debug)]
struct ContraryWatch<W: ?Sized> {
    mood: Mood,
    broken: bool,
    inner: Box<W>,
}

impl<W: ?Sized> ContraryWatch<W> {
    fn breaks(&mut self) -> bool {
        self.broken |= self.mood.is_bad();
        self.broken
    }
}

#[async_trait]
impl PlaceWatch for ContraryWatch<dyn PlaceWatch> {
    async fn next(&mut self) -> PlaceEvent {
        if self.breaks() {
            return PlaceEvent::Broken;
        }
        match self.inner.next().await {
            _ if self.breaks() => PlaceEvent::Broken,
            PlaceEvent::AheadGone { unbroken } => PlaceEvent::AheadGone { unbroken: unbroken && !self.mood.is_bad() },
            event => event,
        }
    }
}

#[async_trait]
impl QueueWatch for ContraryWatch<dyn QueueWatch> {
    async fn next(&mut self) -> QueueEvent {
        if self.breaks() {
            return QueueEvent::Broken;
        }
        let event = self.inner.next().await;
        if self.breaks() { QueueEvent::Broken } else { event }
    }
}
