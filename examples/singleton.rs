//! A job that runs on one replica only: three candidates stand, one counts, and when it is stopped the next takes over.
//!
//! ```sh
//! cargo run --example singleton
//! INCUMBENT_URL=etcd://127.0.0.1:2379 cargo run --features full --example singleton
//! ```
#![allow(clippy::print_stdout, reason = "an example prints")]

use std::{
    collections::HashMap,
    convert::Infallible,
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use incumbent::{LeadershipView, Outcome, Token, connect};
use tokio::sync::{mpsc, oneshot};

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

const REPLICAS: [&str; 3] = ["replica-1", "replica-2", "replica-3"];

/// What the job tells the outside.
struct Counted {
    replica: &'static str,
    token: Token,
    count: u32,
}

#[tokio::main]
async fn main() -> Result<()> {
    let url = std::env::var("INCUMBENT_URL").unwrap_or_else(|_| "memory://examples".into());
    // A name of its own for each run, since a real ensemble may still hold the entries of an earlier one.
    let election = format!("examples/singleton-{:08x}", fastrand::u32(..));

    let working = Arc::new(AtomicUsize::new(0));
    let (counted, mut counts) = mpsc::unbounded_channel();
    let mut replicas = HashMap::new();
    for name in REPLICAS {
        let (stop, stopped) = oneshot::channel();
        let job = Job { replica: name, working: Arc::clone(&working), counted: counted.clone() };
        let replica = tokio::spawn(replica(url.clone(), election.clone(), job, stopped));
        replicas.insert(name, (stop, replica));
    }
    drop(counted);

    // Each leader in turn counts to five and is stopped.
    let (mut last, mut led) = (None, 0);
    while let Some(Counted { replica, token, count }) = counts.recv().await {
        if count == 1 {
            println!("{replica} leads with token {token}");
            assert!(last < Some(token), "tokens must grow from leader to leader");
            (last, led) = (Some(token), led + 1);
        }
        println!("  {replica} counts {count}");
        if count == 5 {
            let (stop, replica) = replicas.remove(replica).ok_or("a replica led twice")?;
            let _ = stop.send(());
            assert_eq!(replica.await??, Outcome::Stopped);
        }
    }
    // Whoever never led has ended with an error.
    for (_, (_, replica)) in replicas {
        replica.await??;
    }
    assert_eq!(led, REPLICAS.len());
    println!("each of {} replicas counted, and never two at the same time", REPLICAS.len());
    Ok(())
}

/// What each process of a service would do: connect, stand, and run the job whenever it leads, until it is stopped.
async fn replica(url: String, election: String, job: Job, stopped: oneshot::Receiver<()>) -> Result<Outcome<()>> {
    let ensemble = connect(&url).await?;
    let outcome = ensemble
        .election(election)?
        .candidate()
        .id(job.replica)
        .until(async move {
            let _ = stopped.await;
        })
        .run(|leadership| job.clone().count(leadership))
        .await?;
    println!("{} has stopped", job.replica);
    ensemble.close(Duration::from_secs(5)).await?;
    Ok(outcome)
}

#[derive(Clone)]
struct Job {
    replica: &'static str,
    working: Arc<AtomicUsize>,
    counted: mpsc::UnboundedSender<Counted>,
}

impl Job {
    /// Counts until it is asked to stop. One that never asks whether it should is dropped in the end.
    async fn count(self, leadership: LeadershipView) -> Result<(), Infallible> {
        let _alone = Alone::begin(self.working);
        let mut count = 0;
        while !leadership.is_stopping() {
            count += 1;
            let _ = self.counted.send(Counted { replica: self.replica, token: leadership.token(), count });
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }
}

/// Fails if two jobs work at the same time.
struct Alone(Arc<AtomicUsize>);

impl Alone {
    fn begin(working: Arc<AtomicUsize>) -> Self {
        assert_eq!(working.fetch_add(1, Ordering::SeqCst), 0, "two replicas work at the same time");
        Self(working)
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
