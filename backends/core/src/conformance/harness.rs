use std::{
    future::Future,
    sync::{Arc, Mutex},
    time::Duration,
};

use crate::{
    Backend, Clock, Deadline, ElectionName, Entry, EntryKey, Error, ErrorKind, Guid, Life, Moment, Place, PlaceEvent,
    PlaceWatch, Profile, Session, SessionOptions,
    conformance::{Scissors, Subject},
};

/// What a case works with: two clients of the ensemble, names that nobody else has, and bounds for every wait.
pub(super) struct Context {
    pub(super) subject: Arc<dyn Subject>,
    /// Most of a case's work goes through this client,
    pub(super) backend: Arc<dyn Backend>,
    /// and through this one what another process would do.
    pub(super) other: Arc<dyn Backend>,
    name: String,
    opened: Mutex<Opened>,
}

#[derive(Default)]
struct Opened {
    sessions: Vec<Arc<dyn Session>>,
    backends: Vec<Arc<dyn Backend>>,
    unchecked: Vec<&'static str>,
}

impl Context {
    pub(super) async fn new(subject: Arc<dyn Subject>, case: &str) -> Self {
        let (backend, other) = (subject.connect().await, subject.connect().await);
        let name = format!("conformance-{case}-{:016x}", fastrand::u64(..));
        Self { subject, backend, other, name, opened: Mutex::default() }
    }

    /// Closes all that the case opened. Returns what was not checked.
    pub(super) async fn finish(self) -> Vec<&'static str> {
        let Opened { sessions, mut backends, unchecked } = self.opened.into_inner().unwrap();
        for session in sessions {
            // A case may have ended it, or made its end impossible.
            let _ = session.close().await;
        }
        backends.extend([self.backend, self.other]);
        for backend in backends {
            backend.close().await;
        }
        unchecked
    }

    pub(super) fn clock(&self) -> &Clock {
        self.backend.clock()
    }

    pub(super) fn ttl(&self) -> Duration {
        self.subject.ttl()
    }

    /// A session of this process.
    pub(super) async fn session(&self) -> Arc<dyn Session> {
        self.open(&self.backend, &SessionOptions::new(self.ttl())).await
    }

    /// A session of another process.
    pub(super) async fn others_session(&self) -> Arc<dyn Session> {
        self.open(&self.other, &SessionOptions::new(self.ttl())).await
    }

    /// A session whose client can be cut off, if the subject knows how.
    pub(super) async fn cuttable_session(&self) -> Option<(Arc<dyn Session>, Box<dyn Scissors>)> {
        let (backend, scissors) = self.subject.connect_cuttable().await?;
        // Next to no margin: what is proven must be exact, and what is not is seen.
        let options = SessionOptions { margin: Some(Duration::from_millis(1)), ..SessionOptions::new(self.ttl()) };
        let session = self.open(&backend, &options).await;
        self.opened.lock().unwrap().backends.push(backend);
        Some((session, scissors))
    }

    async fn open(&self, backend: &Arc<dyn Backend>, options: &SessionOptions) -> Arc<dyn Session> {
        let opening = self.within("opening a session", backend.open_session(options));
        let session = opening.await.expect("a session with the subject's TTL opens");
        self.opened.lock().unwrap().sessions.push(Arc::clone(&session));
        session
    }

    /// An election of this case.
    pub(super) fn election(&self) -> ElectionName {
        self.election_named("")
    }

    /// An election of this case: its name and `more`.
    pub(super) fn election_named(&self, more: &str) -> ElectionName {
        ElectionName::new(format!("{}{more}", self.name)).unwrap()
    }

    /// Waits for what must happen soon.
    pub(super) async fn within<T>(&self, what: &str, happens: impl Future<Output = T>) -> T {
        let patience = self.ttl() * 3 + PATIENCE;
        match tokio::time::timeout(patience, happens).await {
            Ok(happened) => happened,
            Err(_) => panic!("{what} did not happen within {patience:?}"),
        }
    }

    /// What the watch tells next.
    pub(super) async fn told(&self, what: &str, watch: &mut Box<dyn PlaceWatch>) -> PlaceEvent {
        self.within(what, watch.next()).await
    }

    /// Expects the watch to tell that the entry ahead went.
    pub(super) async fn told_ahead_gone(&self, what: &str, watch: &mut Box<dyn PlaceWatch>) {
        let event = self.told(what, watch).await;
        assert!(matches!(event, PlaceEvent::AheadGone { .. }), "{what}: told {event:?}");
    }

    /// Expects the watch to tell that the own entry went.
    pub(super) async fn told_own_gone(&self, what: &str, watch: &mut Box<dyn PlaceWatch>) {
        let event = self.told(what, watch).await;
        assert_eq!(event, PlaceEvent::OwnGone, "{what}");
    }

    /// The keys of the queue, in order.
    pub(super) async fn keys(&self, election: &ElectionName) -> Vec<EntryKey> {
        let queue = self.within("listing", self.other.list(election)).await.expect("listing");
        queue.entries.into_iter().map(|entry| entry.key).collect()
    }

    /// Asserts that the queue holds exactly these entries, in this order.
    pub(super) async fn holds<'a>(
        &self,
        election: &ElectionName,
        expected: impl IntoIterator<Item = &'a EntryKey>,
        when: &str,
    ) {
        let keys = self.keys(election).await;
        assert_eq!(keys.iter().collect::<Vec<_>>(), expected.into_iter().collect::<Vec<_>>(), "{when}");
    }

    /// Notes that something was not checked.
    pub(super) fn unchecked(&self, what: &'static str) {
        self.opened.lock().unwrap().unchecked.push(what);
    }
}

/// Joins under a new name.
pub(super) async fn join(session: &Arc<dyn Session>, election: &ElectionName) -> (EntryKey, Place) {
    join_as(session, election, Guid::random()).await
}

pub(super) async fn join_as(session: &Arc<dyn Session>, election: &ElectionName, guid: Guid) -> (EntryKey, Place) {
    session.enqueue(election, guid, &Profile::new(CANDIDATE)).await.expect("joining")
}

/// Joins under a new name; the entry as a listing must show it.
pub(super) async fn joins_of(session: &Arc<dyn Session>, election: &ElectionName) -> Entry {
    let (key, _) = join(session, election).await;
    Entry { key, session: Some(session.id()), profile: Profile::new(CANDIDATE), ours: true }
}

/// The place of an entry that stands.
pub(super) async fn place(session: &Arc<dyn Session>, election: &ElectionName, own: &EntryKey) -> Place {
    session.place(election, own).await.expect("reading the place").expect("the entry stands")
}

/// Asserts that what stands right before is that entry, or nothing.
pub(super) fn assert_next(place: &Place, expected: Option<&EntryKey>, when: &str) {
    let next = place.next.as_ref();
    assert_eq!(next.map(|ahead| &ahead.name), expected.map(|key| &key.name), "{when}: the entry ahead");
    if let Some(token) = next.and_then(|ahead| ahead.token) {
        assert_eq!(Some(token), expected.map(|key| key.token), "{when}: the token of the entry ahead");
    }
}

/// The deadline of a session, if it lives.
pub(super) fn alive(session: &Arc<dyn Session>) -> Option<Arc<Deadline>> {
    match &*session.life().borrow() {
        Life::Alive { deadline, .. } => Some(Arc::clone(deadline)),
        Life::Ended(_) => None,
    }
}

/// The deadline of a session that lives.
pub(super) fn deadline(session: &Arc<dyn Session>) -> Arc<Deadline> {
    alive(session).expect("the session lives")
}

/// Waits until the session says that it ended, and why.
pub(super) async fn ended(session: &Arc<dyn Session>) -> Error {
    let mut life = session.life();
    let end = life.wait_for(|life| matches!(life, Life::Ended(_))).await.expect("the session tells its end");
    match &*end {
        Life::Ended(error) => error.clone(),
        Life::Alive { .. } => unreachable!("waited for its end"),
    }
}

pub(super) fn assert_over(error: &Error, what: &str) {
    let over = matches!(error.kind(), ErrorKind::SessionGone | ErrorKind::Closed);
    assert!(over, "{what} must fail with SessionGone or Closed, not {error:?}");
}

/// How much later one moment is than another, for messages.
pub(super) fn later(moment: Moment, than: Moment) -> String {
    if moment >= than { format!("{:?} later", moment.since(than)) } else { format!("{:?} earlier", than.since(moment)) }
}

const CANDIDATE: &str = "candidate";

/// What a slow machine may take on top of three TTLs.
const PATIENCE: Duration = Duration::from_secs(5);
