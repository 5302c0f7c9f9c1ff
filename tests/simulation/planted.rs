//! Backends with one bug each, of the kind that the world's libraries have had: the checkers must catch them.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use incumbent::{
    ElectionName, Profile, Result, SessionId,
    core::{
        Backend, Capabilities, Clock, Deadline, Demand, EndpointStatus, EntryKey, Guid, Life, Moment, Place,
        PlaceEvent, PlaceWatch, Queue, QueueWatch, Revision, Session, SessionOptions,
    },
};
use incumbent_memory::Memory;
use tokio::sync::watch;

/// Counts the proven life from the moment at which the answer is seen, not from the one at which the question was sent.
pub(crate) fn deadline_from_receipt(memory: Memory) -> Arc<dyn Backend> {
    Arc::new(Buggy { memory, bug: Bug::DeadlineFromReceipt })
}

/// Never looks whether the own entry still stands: etcd's v3election.
pub(crate) fn no_own_entry_check(memory: Memory) -> Arc<dyn Backend> {
    Arc::new(Buggy { memory, bug: Bug::NoOwnEntryCheck })
}

/// Takes the session for alive as long as nobody says otherwise, and is deaf.
pub(crate) fn never_lost(memory: Memory) -> Arc<dyn Backend> {
    Arc::new(Buggy { memory, bug: Bug::NeverLost })
}

/// Says that an entry is gone without having removed it.
pub(crate) fn pretended_removal(memory: Memory) -> Arc<dyn Backend> {
    Arc::new(Buggy { memory, bug: Bug::PretendedRemoval })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    DeadlineFromReceipt,
    NoOwnEntryCheck,
    NeverLost,
    PretendedRemoval,
}

#[derive(Debug)]
struct Buggy {
    memory: Memory,
    bug: Bug,
}

#[async_trait]
impl Backend for Buggy {
    fn name(&self) -> &'static str {
        "buggy"
    }

    fn clock(&self) -> &Clock {
        self.memory.clock()
    }

    fn capabilities(&self) -> Capabilities {
        self.memory.capabilities()
    }

    async fn open_session(&self, options: &SessionOptions) -> Result<Arc<dyn Session>> {
        let inner = self.memory.open_session(options).await?;
        let proof = inner.ttl() - options.margin(inner.ttl());
        let (sender, life) = watch::channel(inner.life().borrow().clone());
        let retelling = Retelling { of: inner.life(), to: sender, clock: self.memory.clock().clone(), proof };
        match self.bug {
            Bug::DeadlineFromReceipt => drop(tokio::spawn(retelling.at_receipts())),
            Bug::NeverLost => drop(tokio::spawn(retelling.blindly(inner.ttl()))),
            Bug::NoOwnEntryCheck | Bug::PretendedRemoval => {
                return Ok(Arc::new(BuggySession { life: inner.life(), inner, bug: self.bug }));
            }
        }
        Ok(Arc::new(BuggySession { inner, life, bug: self.bug }))
    }

    async fn list(&self, election: &ElectionName) -> Result<Queue> {
        self.memory.list(election).await
    }

    fn watch(&self, election: &ElectionName, from: Revision) -> Box<dyn QueueWatch> {
        self.memory.watch(election, from)
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
struct BuggySession {
    inner: Arc<dyn Session>,
    life: watch::Receiver<Life>,
    bug: Bug,
}

#[async_trait]
impl Session for BuggySession {
    fn id(&self) -> SessionId {
        self.inner.id()
    }

    fn ttl(&self) -> Duration {
        self.inner.ttl()
    }

    fn life(&self) -> watch::Receiver<Life> {
        self.life.clone()
    }

    fn demand(&self) -> &Demand {
        self.inner.demand()
    }

    async fn enqueue(&self, election: &ElectionName, guid: Guid, profile: &Profile) -> Result<(EntryKey, Place)> {
        self.inner.enqueue(election, guid, profile).await
    }

    async fn place(&self, election: &ElectionName, own: &EntryKey) -> Result<Option<Place>> {
        let place = self.inner.place(election, own).await?;
        let blind = self.bug == Bug::NoOwnEntryCheck;
        Ok(place.or_else(|| blind.then(|| Place { next: None, ahead: 0, revision: Revision::new(0) })))
    }

    fn watch(&self, election: &ElectionName, own: &EntryKey, place: &Place) -> Box<dyn PlaceWatch> {
        let watch = self.inner.watch(election, own, place);
        if self.bug == Bug::NoOwnEntryCheck { Box::new(Blind(watch)) } else { watch }
    }

    async fn remove(&self, election: &ElectionName, own: &EntryKey) -> Result<()> {
        if self.bug == Bug::PretendedRemoval { Ok(()) } else { self.inner.remove(election, own).await }
    }

    async fn retire(&self, election: &ElectionName, guid: Guid) -> Result<()> {
        self.inner.retire(election, guid).await
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}

/// Sees only what becomes of others.
#[derive(Debug)]
struct Blind(Box<dyn PlaceWatch>);

#[async_trait]
impl PlaceWatch for Blind {
    async fn next(&mut self) -> PlaceEvent {
        loop {
            match self.0.next().await {
                PlaceEvent::OwnGone => {}
                event => return event,
            }
        }
    }
}

/// Tells of a session's life, with a bug.
struct Retelling {
    of: watch::Receiver<Life>,
    to: watch::Sender<Life>,
    clock: Clock,
    /// The TTL without the margin.
    proof: Duration,
}

impl Retelling {
    async fn at_receipts(mut self) {
        let mut told = Arc::new(Deadline::new(self.clock.now() + self.proof));
        loop {
            let life = self.of.borrow_and_update().clone();
            let Life::Alive { deadline, suspended } = life else {
                told.end();
                let _ = self.to.send(life);
                return;
            };
            let _ = self.to.send(Life::Alive { deadline: Arc::clone(&told), suspended });
            let seen = deadline.until();
            tokio::select! {
                biased;
                () = deadline.moved_from(seen), if seen != Moment::ORIGIN => {}
                changed = self.of.changed() => if changed.is_err() { return },
            }
            let now = self.clock.now();
            let proven = deadline.until() != seen
                || matches!(&*self.of.borrow(), Life::Alive { deadline: newer, .. } if !Arc::ptr_eq(newer, &deadline));
            if proven && !told.extend(now + self.proof, now) {
                told = Arc::new(Deadline::new(now + self.proof));
            }
        }
    }

    async fn blindly(self, ttl: Duration) {
        let told = Arc::new(Deadline::new(self.clock.now() + ttl));
        let _ = self.to.send(Life::Alive { deadline: Arc::clone(&told), suspended: None });
        while !self.to.is_closed() {
            tokio::time::sleep(ttl / 10).await;
            let now = self.clock.now();
            told.extend(now + ttl, now);
        }
    }
}
