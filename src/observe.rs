use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use futures::FutureExt;
use incumbent_core::{ElectionName, Entry, Error, ErrorKind, QueueEvent, Result, Revision, Token};
use tokio::{sync::watch, time::Instant};

use crate::{
    Ensemble,
    backoff::Backoff,
    ensemble::{Closing, Shared},
    sessions::Sessions,
};

/// Follows an election without standing for it. See [`Election::observe`](crate::Election::observe).
///
/// A background task keeps the latest state; it survives reconnects, and ends when the last clone of the observer is
/// dropped. Changes that come faster than they are read are merged, so that a slow reader costs no memory and always gets
/// to the latest state. A clone begins with a snapshot of its own.
#[derive(Debug)]
pub struct Observer {
    state: watch::Receiver<State>,
    seen: Option<Arc<[Entry]>>,
    suspended: bool,
    pending: VecDeque<Change>,
}

/// What an [`Observer`] tells.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Change {
    /// The first one: everybody who stands, in order of succession. The first leads.
    Snapshot(Arc<[Entry]>),
    /// Somebody else leads.
    Leader(Entry),
    /// Nobody leads.
    Nobody,
    /// Somebody joined the queue.
    Joined(Entry),
    /// Somebody left the queue.
    Left(Entry),
    /// Contact is lost for the moment: what was told last may be outdated.
    Suspended,
    /// Contact is back; what was missed follows.
    Resumed,
}

#[derive(Clone, Debug)]
enum State {
    /// Nothing is known yet.
    Unknown,
    Known {
        entries: Arc<[Entry]>,
        suspended: bool,
    },
    Ended(Error),
}

impl Observer {
    pub(crate) fn new(ensemble: Ensemble, election: ElectionName) -> Self {
        let (sender, state) = watch::channel(State::Unknown);
        let shared = ensemble.0;
        let task = Task { shared: Arc::clone(&shared), election, state: sender };
        shared.handle().spawn(task.run());
        Self::from_the_beginning(state)
    }

    fn from_the_beginning(state: watch::Receiver<State>) -> Self {
        Self { state, seen: None, suspended: false, pending: VecDeque::new() }
    }

    /// The next change; the first one is a [`Change::Snapshot`].
    ///
    /// # Errors
    /// Why nothing more will come: no permission, or the ensemble was closed on this side.
    ///
    /// # Cancel safety
    /// Nothing is lost by dropping the future.
    pub async fn next(&mut self) -> Result<Change> {
        loop {
            if let Some(change) = self.pending.pop_front() {
                return Ok(change);
            }
            let state = self.state.borrow_and_update().clone();
            match state {
                State::Unknown => {}
                State::Known { entries, suspended } => self.compare(entries, suspended),
                State::Ended(error) => return Err(error),
            }
            if self.pending.is_empty() && self.state.changed().await.is_err() {
                return Err(died());
            }
        }
    }

    /// Who leads, as far as is known here, without I/O: a hint, possibly outdated. `None` if nobody leads or nothing is
    /// known yet.
    #[must_use]
    pub fn current(&self) -> Option<Entry> {
        match &*self.state.borrow() {
            State::Known { entries, .. } => entries.first().cloned(),
            State::Unknown | State::Ended(_) => None,
        }
    }

    /// Waits until somebody leads, and says who: a hint, as [`current`](Self::current) is. Takes no change away from
    /// [`next`](Self::next).
    ///
    /// # Errors
    /// As for [`next`](Self::next).
    ///
    /// # Cancel safety
    /// Nothing is lost by dropping the future.
    pub async fn leader(&self) -> Result<Entry> {
        let mut state = self.state.clone();
        let settled = |state: &State| match state {
            State::Known { entries, .. } => !entries.is_empty(),
            State::Unknown => false,
            State::Ended(_) => true,
        };
        match state.wait_for(settled).await.as_deref() {
            Ok(State::Known { entries, .. }) => entries.first().cloned().ok_or_else(died),
            Ok(State::Ended(error)) => Err(error.clone()),
            Ok(State::Unknown) | Err(_) => Err(died()),
        }
    }

    fn compare(&mut self, entries: Arc<[Entry]>, suspended: bool) {
        if let Some(seen) = &self.seen {
            if self.suspended != suspended {
                self.pending.push_back(if suspended { Change::Suspended } else { Change::Resumed });
            }
            self.pending.extend(missing(seen, &entries).cloned().map(Change::Left));
            self.pending.extend(missing(&entries, seen).cloned().map(Change::Joined));
            let leader = |queue: &[Entry]| queue.first().map(|entry| entry.key.clone());
            if leader(seen) != leader(&entries) {
                self.pending.push_back(entries.first().cloned().map_or(Change::Nobody, Change::Leader));
            }
        } else {
            self.pending.push_back(Change::Snapshot(Arc::clone(&entries)));
            if suspended {
                self.pending.push_back(Change::Suspended);
            }
        }
        self.seen = Some(entries);
        self.suspended = suspended;
    }
}

impl Clone for Observer {
    fn clone(&self) -> Self {
        Self::from_the_beginning(self.state.clone())
    }
}

fn died() -> Error {
    let why = "the task that observes ended without a reason; its panic or the shutdown of its runtime is the cause";
    Error::new(ErrorKind::Unexpected, "observe the election").because(why)
}

/// The entries of one queue that the other has not.
fn missing<'a>(of: &'a [Entry], other: &[Entry]) -> impl Iterator<Item = &'a Entry> {
    let there: HashSet<_> = other.iter().map(|entry| entry.key.clone()).collect();
    of.iter().filter(move |entry| !there.contains(&entry.key))
}

/// A queue that changes: tokens are its order.
#[derive(Default)]
struct Queue {
    entries: BTreeMap<Token, Entry>,
    tokens: HashMap<Arc<str>, Token>,
}

impl Queue {
    fn join(&mut self, entry: Entry) {
        self.tokens.insert(Arc::clone(&entry.key.name), entry.key.token);
        self.entries.insert(entry.key.token, entry);
    }

    fn update(&mut self, entry: Entry) {
        if let Some(old) = self.entries.get_mut(&entry.key.token) {
            *old = entry;
        }
    }

    fn leave(&mut self, name: &str) {
        if let Some(token) = self.tokens.remove(name) {
            self.entries.remove(&token);
        }
    }
}

/// Keeps the state of one observer.
struct Task {
    shared: Arc<Shared>,
    election: ElectionName,
    state: watch::Sender<State>,
}

impl Task {
    async fn run(self) {
        let mut closing = self.shared.closing.subscribe();
        let error = tokio::select! {
            error = self.follow() => error,
            () = self.state.closed() => return,
            _ = closing.wait_for(|closing| *closing != Closing::Open) => Sessions::closed("observe the election"),
        };
        tracing::debug!(election = %self.election, %error, "observing ended");
        self.state.send_replace(State::Ended(error));
    }

    /// Lists and watches, over and over, until no waiting can mend what went wrong.
    async fn follow(&self) -> Error {
        let backend = self.shared.backend();
        let mut backoff = Backoff::between(FIRST_PAUSE, LONGEST_PAUSE);
        let mut rng = fastrand::Rng::new();
        loop {
            match backend.list(&self.election).await {
                Ok(listing) => {
                    let mut queue = Queue::default();
                    listing.entries.into_iter().for_each(|entry| queue.join(entry));
                    self.publish(&queue, false);
                    let begin = Instant::now();
                    self.watch(queue, listing.revision).await;
                    // A watch that breaks as soon as it is made must not turn this into a storm.
                    if begin.elapsed() > LONGEST_PAUSE {
                        backoff.reset();
                    }
                }
                Err(error) if error.is_retryable() => self.suspend(true),
                Err(error) => return error,
            }
            tokio::time::sleep(backoff.next(&mut rng)).await;
        }
    }

    /// Returns when something may have been missed.
    async fn watch(&self, mut queue: Queue, from: Revision) {
        let mut watch = self.shared.backend().watch(&self.election, from);
        let mut suspended = false;
        loop {
            let mut event = Some(watch.next().await);
            let mut taken = 0;
            // All that is there already is published at once: a lease may take thousands of entries along.
            while let Some(change) = event {
                match change {
                    QueueEvent::Joined(entry) => queue.join(entry),
                    QueueEvent::Updated(entry) => queue.update(entry),
                    QueueEvent::Left(name) => queue.leave(&name),
                    QueueEvent::Suspended(_) => suspended = true,
                    QueueEvent::Resumed => suspended = false,
                    QueueEvent::Broken => return self.publish(&queue, suspended),
                }
                taken += 1;
                event = if taken < BATCH { watch.next().now_or_never() } else { None };
            }
            self.publish(&queue, suspended);
            tokio::task::yield_now().await;
        }
    }

    fn publish(&self, queue: &Queue, suspended: bool) {
        let entries = queue.entries.values().cloned().collect();
        self.state.send_replace(State::Known { entries, suspended });
    }

    fn suspend(&self, lost: bool) {
        self.state.send_if_modified(|state| match state {
            State::Known { suspended, .. } => std::mem::replace(suspended, lost) != lost,
            State::Unknown | State::Ended(_) => false,
        });
    }
}

/// So many changes are taken in before others on the thread get their turn.
const BATCH: usize = 512;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
