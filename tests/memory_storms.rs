//! What many candidates ask of the ensemble at once.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may fail the test")]

mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use common::{Process, TTL, bounded, eventually, quiet};
use incumbent::{
    ElectionName, Ensemble, Options, Profile, Result, SessionId,
    core::{
        Backend, Capabilities, Clock, Demand, EndpointStatus, EntryKey, Guid, Life, Place, PlaceWatch, Queue,
        QueueWatch, Revision, Session, SessionOptions,
    },
};
use incumbent_memory::Memory;
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

const SECOND: Duration = Duration::from_secs(1);
const CROWD: usize = 20;

#[tokio::test(start_paused = true)]
async fn listing_per_failover() {
    let (asked, first, others) = crowd().await;
    asked.begin();
    // One in the middle goes, then the leader does.
    others[CROWD / 2].evict_own_entry().await;
    eventually("all stand again", || first.queue().len() == CROWD).await;
    assert_eq!(asked.counts(), Counts { enqueued: 1, placed: 1, ..Counts::default() }, "it joins, and one looks");
    asked.begin();
    first.evict_own_entry().await;
    eventually("all stand again", || first.queue().len() == CROWD).await;
    assert_eq!(asked.counts(), Counts { enqueued: 1, placed: 0, ..Counts::default() }, "its successor need not look");
}

#[tokio::test(start_paused = true)]
async fn reads_after_a_server_bounce() {
    let (asked, first, others) = crowd().await;
    asked.begin();
    for process in others.iter().chain([&first]) {
        process.memory.link().break_watches();
    }
    // Those far from the head take their time.
    sleep(SECOND).await;
    assert_eq!(asked.counts(), Counts { placed: CROWD, ..Counts::default() }, "one each");
}

#[tokio::test(start_paused = true)]
async fn waiting_asks_for_nothing() {
    let (asked, first, _others) = crowd().await;
    asked.begin();
    sleep(100 * TTL).await;
    assert_eq!(asked.counts(), Counts::default());
    assert_eq!(first.queue().len(), CROWD);
}

#[tokio::test(start_paused = true)]
async fn mass_loss_does_not_stampede() {
    let (_asked, first, _others) = crowd().await;
    for session in first.memory.sessions_now() {
        first.memory.faults().expire(session);
    }
    assert!(first.queue().is_empty());
    let (begun, mut arrivals) = (Instant::now(), Vec::new());
    while arrivals.len() < CROWD && begun.elapsed() < 60 * SECOND {
        quiet().await;
        arrivals.resize(first.queue().len().max(arrivals.len()), begun.elapsed());
    }
    assert!(begun.elapsed() < 2 * TTL, "all are back after {:?}", begun.elapsed());
    for window in arrivals.windows(CROWD / 2) {
        let span = window[window.len() - 1] - window[0];
        assert!(span > SECOND / 20, "half of them came back within {span:?}: {arrivals:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn reset_livelock() {
    let process = Process::first();
    let leads = process.election.candidate().id("leads").campaign().await.unwrap();
    let _waits = tokio::spawn(process.another().election.candidate().id("waits").campaign());
    // Somebody deletes whoever waits, at once, for a minute.
    let (begun, mut deleted) = (Instant::now(), 0);
    while begun.elapsed() < 60 * SECOND {
        quiet().await;
        if process.queue().len() > 1 {
            process.evict("waits");
            deleted += 1;
        }
    }
    assert!(deleted > 60, "it comes back: {deleted}");
    assert!(deleted < 60 * 10, "{deleted} entries in a minute");
    assert!(leads.is_valid());
}

/// A leader and those behind it, each a process of its own.
async fn crowd() -> (Arc<Asked>, Process, Vec<Process>) {
    let asked = Arc::new(Asked::default());
    let memory = Memory::new();
    let process = |number: usize| {
        let memory = memory.client();
        let backend = Counting { inner: memory.clone(), asked: Arc::clone(&asked) };
        let ensemble = Ensemble::with_backend(Arc::new(backend), Options::new().ttl(TTL)).unwrap();
        let election = ensemble.election("jobs/a").unwrap();
        (Process { memory, ensemble, election: election.clone() }, election.candidate().id(number.to_string()))
    };
    let mut processes = Vec::new();
    for number in 0..CROWD {
        let (process, candidate) = process(number);
        tokio::spawn(candidate.run(|view| async move {
            view.lost().await;
            Ok::<(), String>(())
        }));
        let stands = || process.queue().len() == number + 1;
        bounded("the next one stands", eventually("it stands", stands)).await;
        processes.push(process);
    }
    let first = processes.remove(0);
    (asked, first, processes)
}

/// How often the ensemble was asked for what.
#[derive(Debug, Default)]
struct Asked {
    enqueued: AtomicUsize,
    placed: AtomicUsize,
    removed: AtomicUsize,
    listed: AtomicUsize,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    enqueued: usize,
    placed: usize,
    removed: usize,
    listed: usize,
}

impl Asked {
    fn begin(&self) {
        for count in [&self.enqueued, &self.placed, &self.removed, &self.listed] {
            count.store(0, Ordering::SeqCst);
        }
    }

    fn counts(&self) -> Counts {
        let [enqueued, placed, removed, listed] =
            [&self.enqueued, &self.placed, &self.removed, &self.listed].map(|count| count.load(Ordering::SeqCst));
        Counts { enqueued, placed, removed, listed }
    }
}

#[derive(Debug)]
struct Counting {
    inner: Memory,
    asked: Arc<Asked>,
}

#[derive(Debug)]
struct CountingSession {
    inner: Arc<dyn Session>,
    asked: Arc<Asked>,
}

#[async_trait]
impl Backend for Counting {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn clock(&self) -> &Clock {
        self.inner.clock()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn open_session(&self, options: &SessionOptions) -> Result<Arc<dyn Session>> {
        let inner = self.inner.open_session(options).await?;
        Ok(Arc::new(CountingSession { inner, asked: Arc::clone(&self.asked) }))
    }

    async fn list(&self, election: &ElectionName) -> Result<Queue> {
        self.asked.listed.fetch_add(1, Ordering::SeqCst);
        self.inner.list(election).await
    }

    fn watch(&self, election: &ElectionName, from: Revision) -> Box<dyn QueueWatch> {
        self.inner.watch(election, from)
    }

    async fn elections(&self, prefix: &str) -> Result<Vec<String>> {
        self.inner.elections(prefix).await
    }

    async fn endpoints(&self) -> Vec<EndpointStatus> {
        self.inner.endpoints().await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

#[async_trait]
impl Session for CountingSession {
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
        self.asked.enqueued.fetch_add(1, Ordering::SeqCst);
        self.inner.enqueue(election, guid, profile).await
    }

    async fn place(&self, election: &ElectionName, own: &EntryKey) -> Result<Option<Place>> {
        self.asked.placed.fetch_add(1, Ordering::SeqCst);
        self.inner.place(election, own).await
    }

    fn watch(&self, election: &ElectionName, own: &EntryKey, place: &Place) -> Box<dyn PlaceWatch> {
        self.inner.watch(election, own, place)
    }

    async fn remove(&self, election: &ElectionName, own: &EntryKey) -> Result<()> {
        self.asked.removed.fetch_add(1, Ordering::SeqCst);
        self.inner.remove(election, own).await
    }

    async fn retire(&self, election: &ElectionName, guid: Guid) -> Result<()> {
        self.inner.retire(election, guid).await
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}
