//! Real threads in real time.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may fail the test")]

mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use async_trait::async_trait;
use common::{Process, TTL, bounded, eventually};
use incumbent::{
    ElectionName, Ensemble, Options, Result,
    core::{
        Backend, Capabilities, Clock, EndpointStatus, Hosting, Queue, QueueWatch, Revision, Session, SessionOptions,
    },
};
use incumbent_memory::Memory;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_threads_lead_one_after_the_other() {
    const EACH: usize = 50;
    let first = Process::first();
    let (inside, greatest) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicU64::new(0)));
    let mut tasks = Vec::new();
    for number in 0..16 {
        let process = first.another();
        let (inside, greatest) = (Arc::clone(&inside), Arc::clone(&greatest));
        tasks.push(tokio::spawn(async move {
            for _ in 0..EACH {
                let leadership = process.election.candidate().id(number.to_string()).campaign().await.unwrap();
                assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two lead");
                assert!(greatest.swap(leadership.token().get(), Ordering::SeqCst) < leadership.token().get());
                tokio::task::yield_now().await;
                assert!(leadership.is_valid());
                inside.fetch_sub(1, Ordering::SeqCst);
                // Sometimes nobody waits until the entry is gone.
                if number % 2 == 0 { leadership.resign().await.unwrap() } else { drop(leadership) }
            }
            process.ensemble.close(TTL).await.unwrap();
        }));
    }
    for task in tasks {
        bounded("everybody has led often enough", task).await.unwrap();
    }
    assert!(first.queue().is_empty() && first.memory.sessions_now().is_empty());
}

#[tokio::test]
async fn a_blocked_runtime_does_not_starve_a_session_on_its_own_thread() {
    let (memory, ensemble) = on_its_own_thread(Duration::from_secs(3), true);
    let leadership = ensemble.election("jobs/a").unwrap().candidate().campaign().await.unwrap();
    for _ in 0..45 {
        thread::sleep(Duration::from_millis(100));
        assert!(leadership.is_valid());
    }
    drop((leadership, ensemble));
    // The thread ends with its last work.
    eventually("the session is closed", || memory.sessions_now().is_empty()).await;
}

#[tokio::test]
async fn a_blocked_runtime_starves_a_session_that_shares_it() {
    let (_memory, ensemble) = on_its_own_thread(Duration::from_secs(2), false);
    let leadership = ensemble.election("jobs/a").unwrap().candidate().campaign().await.unwrap();
    thread::sleep(Duration::from_secs(2));
    assert!(!leadership.is_valid(), "as was chosen, and nobody is deceived");
}

#[test]
fn an_ensemble_outlives_the_runtime_it_was_made_on() {
    let new = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let first = new();
    let (memory, ensemble) = first.block_on(async { on_its_own_thread(Duration::from_secs(3), true) });
    let leadership = first.block_on(ensemble.election("jobs/a").unwrap().candidate().campaign()).unwrap();
    drop(first);
    assert!(leadership.is_valid() && ensemble.status().is_live());
    new().block_on(async {
        leadership.resign().await.unwrap();
        let again = bounded("it leads again", ensemble.election("jobs/a").unwrap().candidate().campaign()).await;
        assert!(again.unwrap().is_valid());
        ensemble.close(Duration::from_secs(5)).await.unwrap();
    });
    assert!(memory.sessions_now().is_empty());
}

/// An ensemble in this process that lets its tasks run where those of a real one do.
fn on_its_own_thread(ttl: Duration, own: bool) -> (Memory, Ensemble) {
    let memory = Memory::new();
    let options = Options::new().ttl(ttl).session_thread(own);
    (memory.clone(), Ensemble::with_backend(Arc::new(Remote(memory)), options).unwrap())
}

#[derive(Debug)]
struct Remote(Memory);

#[async_trait]
impl Backend for Remote {
    fn name(&self) -> &'static str {
        "remote"
    }

    fn clock(&self) -> &Clock {
        self.0.clock()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(Hosting::OwnThread)
    }

    async fn open_session(&self, options: &SessionOptions) -> Result<Arc<dyn Session>> {
        self.0.open_session(options).await
    }

    async fn list(&self, election: &ElectionName) -> Result<Queue> {
        self.0.list(election).await
    }

    fn watch(&self, election: &ElectionName, from: Revision) -> Box<dyn QueueWatch> {
        self.0.watch(election, from)
    }

    async fn elections(&self, prefix: &str) -> Result<Vec<String>> {
        self.0.elections(prefix).await
    }

    async fn endpoints(&self) -> Vec<EndpointStatus> {
        self.0.endpoints().await
    }

    async fn close(&self) {
        self.0.close().await;
    }
}
