//! Shutting down on SIGTERM: the job stops first, then the entry goes, and only then does another candidate lead.
//!
//! This process sends the signal to itself; with `--wait` it waits for yours.
//!
//! ```sh
//! cargo run --example graceful_shutdown
//! cargo run --example graceful_shutdown -- --wait
//! ```
#![allow(clippy::print_stdout, reason = "an example prints")]

use std::{
    convert::Infallible,
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use incumbent::{Change, LeadershipView, Observer, Outcome, connect};
use tokio::time::timeout;

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

#[tokio::main]
async fn main() -> Result<()> {
    let url = std::env::var("INCUMBENT_URL").unwrap_or_else(|_| "memory://examples".into());
    let name = format!("examples/graceful-shutdown-{:08x}", fastrand::u32(..));

    // This process.
    let ensemble = connect(&url).await?;
    let shutdown = Shutdown::install()?;
    let stopped = Arc::new(AtomicBool::new(false));
    let service = tokio::spawn({
        let (candidate, stopped) = (ensemble.election(name.as_str())?.candidate().id("this"), Arc::clone(&stopped));
        candidate.until(shutdown.requested()).run(move |leadership| work(leadership, Arc::clone(&stopped)))
    });

    // Somebody else's process: the candidate that is to take over, once this one leads.
    let elsewhere = connect(&url).await?;
    let mut observer = elsewhere.election(name.as_str())?.observe();
    stands(&mut observer, "this").await?;
    let next = tokio::spawn(elsewhere.election(name.as_str())?.candidate().id("next").campaign());
    stands(&mut observer, "next").await?;

    if std::env::args().any(|argument| argument == "--wait") {
        println!("waiting for SIGTERM: kill {}", std::process::id());
    } else {
        Shutdown::request()?;
    }

    let leadership = next.await??;
    assert!(stopped.load(Ordering::SeqCst), "the next one leads before the job has stopped");
    println!("next: I lead with token {}", leadership.token());

    assert_eq!(service.await??, Outcome::Stopped);
    ensemble.close(Duration::from_secs(5)).await?;
    println!("this: the entry is gone and the session closed; I may exit");

    leadership.resign().await?;
    elsewhere.close(Duration::from_secs(5)).await?;
    Ok(())
}

/// Works piece by piece. When it is asked to stop it ends the piece at hand and puts everything in order, for which it
/// has `stop_within`; then it would be dropped.
async fn work(leadership: LeadershipView, stopped: Arc<AtomicBool>) -> Result<(), Infallible> {
    println!("this: I lead with token {}", leadership.token());
    while !leadership.is_stopping() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    println!("this: asked to stop; putting everything in order");
    tokio::time::sleep(Duration::from_millis(300)).await;
    stopped.store(true, Ordering::SeqCst);
    println!("this: the job has stopped");
    Ok(())
}

/// Waits until this candidate stands. The first one to stand leads.
async fn stands(observer: &mut Observer, id: &str) -> Result<()> {
    let seen = async {
        loop {
            match observer.next().await? {
                Change::Snapshot(entries) if entries.iter().any(|entry| entry.profile.id == id) => return Ok(()),
                Change::Joined(entry) if entry.profile.id == id => return Ok(()),
                _ => {}
            }
        }
    };
    timeout(Duration::from_secs(20), seen).await?
}

/// What asks this process to end.
#[cfg(unix)]
struct Shutdown(tokio::signal::unix::Signal);

#[cfg(unix)]
impl Shutdown {
    /// From here on the signal does not kill the process.
    fn install() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self(signal(SignalKind::terminate())?))
    }

    async fn requested(mut self) {
        self.0.recv().await;
        println!("this: SIGTERM");
    }

    /// Does what `kill` does.
    fn request() -> std::io::Result<()> {
        use rustix::process::{Signal, getpid, kill_process};
        Ok(kill_process(getpid(), Signal::TERM)?)
    }
}

/// Where there is no SIGTERM, a flag stands for it.
#[cfg(not(unix))]
struct Shutdown;

#[cfg(not(unix))]
static REQUESTED: tokio::sync::Notify = tokio::sync::Notify::const_new();

#[cfg(not(unix))]
impl Shutdown {
    fn install() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn requested(self) {
        REQUESTED.notified().await;
    }

    fn request() -> std::io::Result<()> {
        REQUESTED.notify_one();
        Ok(())
    }
}
