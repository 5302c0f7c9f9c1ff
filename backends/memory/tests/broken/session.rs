use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use incumbent_core::{
    Ahead, Backend, Deadline, Demand, ElectionName, EntryKey, Guid, Life, Place, PlaceEvent, PlaceWatch, Profile,
    Result, Session, SessionId, SessionOptions,
};
use incumbent_memory::Memory;
use tokio::sync::watch;

use super::Break;

#[derive(Debug)]
pub(super) struct BrokenSession {
    inner: Arc<dyn Session>,
    memory: Memory,
    how: Break,
    life: watch::Sender<Life>,
    places: Mutex<HashMap<EntryKey, Place>>,
}

impl BrokenSession {
    pub(super) fn new(inner: Arc<dyn Session>, memory: Memory, how: Break) -> Self {
        let mut life = inner.life().borrow().clone();
        if let Life::Alive { deadline, .. } = &mut life {
            if matches!(how, Break::SingleProof | Break::UnprovenDeadline) {
                *deadline = Arc::new(Deadline::new(deadline.until()));
            }
            if how == Break::UnprovenDeadline {
                tokio::spawn(put_off(Arc::clone(deadline), memory.clone(), inner.ttl()));
            }
        }
        Self { inner, memory, how, life: watch::Sender::new(life), places: Mutex::default() }
    }
}

/// What a client does that takes its timer for the ensemble's answer.
async fn put_off(deadline: Arc<Deadline>, memory: Memory, ttl: Duration) {
    loop {
        let now = memory.clock().now();
        if !deadline.extend(now + ttl * 9 / 10, now) {
            return;
        }
        tokio::time::sleep(ttl / 5).await;
    }
}

#[async_trait]
impl Session for BrokenSession {
    fn id(&self) -> SessionId {
        self.inner.id()
    }

    fn ttl(&self) -> Duration {
        self.inner.ttl()
    }

    fn life(&self) -> watch::Receiver<Life> {
        match self.how {
            Break::SilentEnd | Break::SingleProof | Break::UnprovenDeadline => self.life.subscribe(),
            _ => self.inner.life(),
        }
    }

    fn demand(&self) -> &Demand {
        self.inner.demand()
    }

    async fn enqueue(&self, election: &ElectionName, guid: Guid, profile: &Profile) -> Result<(EntryKey, Place)> {
        let guid = if self.how == Break::NewNameEachTry { Guid::random() } else { guid };
        let joined = match self.inner.enqueue(election, guid, profile).await {
            Err(error) if self.how == Break::Undead && !self.memory.session_alive(self.id()) => {
                let another = self.memory.open_session(&SessionOptions::new(self.ttl())).await.map_err(|_| error)?;
                another.enqueue(election, guid, profile).await
            }
            joined => joined,
        };
        let (key, place) = joined?;
        self.places.lock().unwrap().insert(key.clone(), place.clone());
        Ok((key, place))
    }

    async fn place(&self, election: &ElectionName, own: &EntryKey) -> Result<Option<Place>> {
        if self.how == Break::CachedPlace
            && let Some(place) = self.places.lock().unwrap().get(own)
        {
            return Ok(Some(place.clone()));
        }
        let place = self.inner.place(election, own).await?;
        Ok(match self.how {
            Break::EverybodyIsHead => place.map(|place| Place { next: None, ahead: 0, ..place }),
            _ => place,
        })
    }

    fn watch(&self, election: &ElectionName, own: &EntryKey, place: &Place) -> Box<dyn PlaceWatch> {
        let mut place = place.clone();
        if self.how == Break::ForgetfulWatch {
            let stands =
                |ahead: &Ahead| self.memory.queue_now(election).iter().any(|entry| entry.key.name == ahead.name);
            place.next = place.next.filter(stands);
        }
        let inner = self.inner.watch(election, own, &place);
        if self.how == Break::BlindToItself { Box::new(Blind(inner)) } else { inner }
    }

    async fn remove(&self, election: &ElectionName, own: &EntryKey) -> Result<()> {
        let queue = self.memory.queue_now(election);
        let namesake = queue.into_iter().map(|entry| entry.key).find(|key| key.name == own.name);
        match namesake.filter(|_| self.how == Break::InexactRemove) {
            Some(key) => self.inner.remove(election, &key).await,
            None => self.inner.remove(election, own).await,
        }
    }

    async fn retire(&self, election: &ElectionName, guid: Guid) -> Result<()> {
        if self.how == Break::ForgottenRetirement {
            return Ok(());
        }
        self.inner.retire(election, guid).await
    }

    async fn close(&self) -> Result<()> {
        if self.how == Break::LazyClose {
            return Ok(());
        }
        self.inner.close().await
    }
}

#[derive(Debug)]
struct Blind(Box<dyn PlaceWatch>);

#[async_trait]
impl PlaceWatch for Blind {
    async fn next(&mut self) -> PlaceEvent {
        loop {
            let event = self.0.next().await;
            if event != PlaceEvent::OwnGone {
                return event;
            }
        }
    }
}
