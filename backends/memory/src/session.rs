use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use incumbent_core::{
    Demand, ElectionName, EntryKey, Error, ErrorKind, Guid, Life, Moment, Place, PlaceWatch, Profile, Result, Session,
    SessionId, SessionOptions,
};
use tokio::{
    runtime::Handle,
    sync::watch,
    task::{AbortHandle, JoinHandle},
};

use crate::{
    ensemble::Ensemble,
    place_watch::PlaceFollower,
    pulse::{Pulse, proven_until},
    request::{Caller, Request},
    store::Store,
};

/// A session of one client. Dropped without [`close`](Session::close), it is as if its process had died: its entries
/// stay until the TTL is over.
#[derive(Debug)]
pub(crate) struct MemorySession {
    shared: Arc<Shared>,
    heart: AbortHandle,
}

/// What the session has in common with its heartbeats.
#[derive(Debug)]
struct Shared {
    caller: Caller,
    id: SessionId,
    ttl: Duration,
    options: SessionOptions,
    pulse: Pulse,
    demand: Demand,
    /// Names whose retirement failed: tried again after each heartbeat.
    unretired: Mutex<Vec<(ElectionName, Guid)>>,
}

impl MemorySession {
    pub(crate) async fn open(caller: Caller, options: SessionOptions) -> Result<Self> {
        let ttl = caller.ensemble.grant(options.ttl);
        options.check(ttl, Duration::ZERO)?;
        let Ok(runtime) = Handle::try_current() else {
            return Err(Error::new(ErrorKind::InvalidInput, OPEN)
                .because("its heartbeats need a tokio runtime; call it inside one"));
        };
        let sent = caller.ensemble.clock.now();
        let request = Request {
            operation: OPEN,
            subject: &caller.ensemble.endpoint(),
            writes: true,
            timeout: options.request_timeout(),
        };
        let id = caller.send(request, move |store, now| Ok(store.open(ttl, now))).await?;
        let pulse = Pulse::new(proven_until(sent, ttl, options.margin(ttl)));
        let unretired = Mutex::default();
        let shared = Arc::new(Shared { caller, id, ttl, options, pulse, demand: Demand::new(), unretired });
        let heart: JoinHandle<()> = runtime.spawn(Heart(Arc::clone(&shared)).beat(sent));
        runtime.spawn(Ensemble::reap(Arc::downgrade(&shared.caller.ensemble), id));
        Ok(Self { shared, heart: heart.abort_handle() })
    }
}

impl Shared {
    /// Sends a request of this session, unless it is over.
    async fn send<T: Send + 'static>(
        &self,
        (operation, writes): (&'static str, bool),
        election: &ElectionName,
        apply: impl FnOnce(&mut Store, Moment) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        if let Some(reason) = self.pulse.ended() {
            return Err(Error::new(reason.kind(), operation).on(election).because(&reason).caused_by(reason));
        }
        let request = Request { operation, subject: election, writes, timeout: self.options.request_timeout() };
        let answer = self.caller.send(request, apply).await;
        if let Err(error) = &answer
            && error.kind() == ErrorKind::SessionGone
        {
            self.pulse.end(error.clone());
        }
        answer
    }

    async fn retire(&self, election: &ElectionName, guid: Guid) -> Result<()> {
        let (id, of) = (self.id, election.clone());
        let answer =
            self.send(("retire a name in", true), election, move |store, now| store.retire(id, &of, guid, now)).await;
        if matches!(&answer, Err(error) if error.is_retryable()) {
            self.unretired().push((election.clone(), guid));
        }
        answer
    }

    fn unretired(&self) -> MutexGuard<'_, Vec<(ElectionName, Guid)>> {
        self.unretired.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The task that keeps the session. However it ends, the session says so.
struct Heart(Arc<Shared>);

impl Heart {
    async fn beat(self, opened: Moment) {
        let Shared { caller, id, ttl, options, pulse, .. } = &*self.0;
        let (id, clock) = (*id, &caller.ensemble.clock);
        let (interval, margin, timeout) = (options.heartbeat(*ttl), options.margin(*ttl), options.request_timeout());
        let subject = format!("session {id}");
        let mut sent = opened;
        loop {
            caller.ensemble.sleep_until(sent + interval).await;
            sent = clock.now();
            let request = Request { operation: KEEP, subject: &subject, writes: false, timeout };
            match caller.send(request, move |store, now| store.touch(id, now)).await {
                Ok(()) => pulse.proven(proven_until(sent, *ttl, margin), clock.now()),
                Err(gone) if gone.kind() == ErrorKind::SessionGone => return pulse.end(gone),
                Err(error) => {
                    pulse.missed(error);
                    continue;
                }
            }
            let again = mem::take(&mut *self.0.unretired());
            for (election, guid) in again {
                // What fails again is noted again.
                let _ = self.0.retire(&election, guid).await;
            }
        }
    }
}

impl Drop for Heart {
    fn drop(&mut self) {
        self.0.pulse.end(
            Error::new(ErrorKind::SessionGone, KEEP)
                .on(format_args!("session {}", self.0.id))
                .because("its heartbeats stopped: it was dropped, or the runtime it was opened on has ended"),
        );
    }
}

#[async_trait]
impl Session for MemorySession {
    fn id(&self) -> SessionId {
        self.shared.id
    }

    fn ttl(&self) -> Duration {
        self.shared.ttl
    }

    fn life(&self) -> watch::Receiver<Life> {
        self.shared.pulse.subscribe()
    }

    fn demand(&self) -> &Demand {
        &self.shared.demand
    }

    async fn enqueue(&self, election: &ElectionName, guid: Guid, profile: &Profile) -> Result<(EntryKey, Place)> {
        let (id, of, payload) = (self.shared.id, election.clone(), profile.encode().into());
        self.shared.send(("join", true), election, move |store, now| store.enqueue(id, &of, guid, payload, now)).await
    }

    async fn place(&self, election: &ElectionName, own: &EntryKey) -> Result<Option<Place>> {
        let (id, of, own) = (self.shared.id, election.clone(), own.clone());
        self.shared.send(("read the place in", false), election, move |store, _| store.place(id, &of, &own)).await
    }

    fn watch(&self, election: &ElectionName, own: &EntryKey, place: &Place) -> Box<dyn PlaceWatch> {
        let Caller { ensemble, link } = self.shared.caller.clone();
        Box::new(PlaceFollower::new(ensemble, link, election, own, place))
    }

    async fn remove(&self, election: &ElectionName, own: &EntryKey) -> Result<()> {
        let (id, of, own) = (self.shared.id, election.clone(), own.clone());
        self.shared.send(("resign from", true), election, move |store, now| store.remove(id, &of, &own, now)).await
    }

    async fn retire(&self, election: &ElectionName, guid: Guid) -> Result<()> {
        self.shared.retire(election, guid).await
    }

    async fn close(&self) -> Result<()> {
        let Shared { caller, id, options, pulse, .. } = &*self.shared;
        let (id, subject) = (*id, format!("session {id}"));
        pulse.end(Error::new(ErrorKind::Closed, KEEP).on(&subject).because("it was closed here"));
        self.heart.abort();
        let timeout = options.request_timeout();
        let request = Request { operation: "close", subject: &subject, writes: true, timeout };
        let close = move |store: &mut Store, now| {
            store.end(id, now);
            Ok(())
        };
        caller.send(request, close).await
    }
}

impl Drop for MemorySession {
    fn drop(&mut self) {
        self.heart.abort();
    }
}

const OPEN: &str = "open a session at";
const KEEP: &str = "keep";
