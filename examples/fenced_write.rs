//! Why a resource should check tokens: a leader that stood still wakes up and writes, long after it was deposed.
//!
//! No election can prevent that: between the leader's last look at its validity and its write, any time may pass. The
//! resource can: it remembers the greatest token that it has seen, and refuses smaller ones.
//!
//! ```sh
//! cargo run --example fenced_write
//! ```
#![allow(clippy::print_stdout, reason = "an example prints")]

use std::{
    error::Error,
    fmt,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::Duration,
};

use incumbent::{Ensemble, Leadership, Options, Token, connect_with};
use tokio::{runtime, sync::oneshot};

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

/// The resource: a ledger that every leader writes to.
#[derive(Default)]
struct Ledger(Mutex<Lines>);

#[derive(Default)]
struct Lines {
    greatest: Option<Token>,
    lines: Vec<String>,
}

impl Ledger {
    /// The check and the write are one step: here under a lock, in a database in one statement
    /// (`UPDATE … WHERE token <= $1`).
    fn write(&self, token: Token, line: &str) -> Result<(), Fenced> {
        let mut ledger = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match ledger.greatest {
            Some(greatest) if token < greatest => Err(Fenced { token, greatest }),
            _ => {
                ledger.greatest = Some(token);
                ledger.lines.push(line.into());
                Ok(())
            }
        }
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).lines.clone()
    }
}

fn main() -> Result<()> {
    let election = format!("examples/fenced-write-{:08x}", fastrand::u32(..));
    let ledger = Arc::new(Ledger::default());
    let (leads, led) = oneshot::channel();
    let (wake, woken) = mpsc::channel();

    let old = thread::spawn({
        let (election, ledger) = (election.clone(), Arc::clone(&ledger));
        move || runtime()?.block_on(old_leader(election, ledger, leads, woken))
    });
    let new = runtime()?.block_on(new_leader(election, Arc::clone(&ledger), led, wake));
    old.join().map_err(|_| "the old leader panicked")??;
    new?;

    assert_eq!(ledger.lines(), ["written by the old leader", "written by the new leader"]);
    Ok(())
}

async fn old_leader(
    election: String,
    ledger: Arc<Ledger>,
    leads: oneshot::Sender<()>,
    woken: mpsc::Receiver<()>,
) -> Result<()> {
    let (ensemble, leadership) = campaign(election, "old leader").await?;
    ledger.write(leadership.token(), "written by the old leader")?;
    let _ = leads.send(());

    assert!(leadership.is_valid());
    println!("old leader: I am valid, so I may write … and here the whole process stands still");
    // Its heartbeats run on this very thread, so nothing of this candidate goes on: as if its machine was suspended.
    woken.recv_timeout(Duration::from_secs(30))?;

    match ledger.write(leadership.token(), "written too late") {
        Ok(()) => return Err("the late write was taken".into()),
        Err(refused) => println!("old leader: I write, and the ledger says: {refused}"),
    }
    // Validity is a comparison with the clock. Nobody had to tell: the first look after the pause says no.
    assert!(!leadership.is_valid());
    println!("old leader: I look again, and I am not valid: {}", leadership.lost().await);
    ensemble.close(Duration::from_secs(5)).await?;
    Ok(())
}

async fn new_leader(
    election: String,
    ledger: Arc<Ledger>,
    led: oneshot::Receiver<()>,
    wake: mpsc::Sender<()>,
) -> Result<()> {
    led.await?;
    let (ensemble, leadership) = campaign(election, "new leader").await?;
    ledger.write(leadership.token(), "written by the new leader")?;
    println!("new leader: I have written; the old one may wake up");
    wake.send(())?;
    leadership.resign().await?;
    ensemble.close(Duration::from_secs(5)).await?;
    Ok(())
}

/// Connects as a process of its own would.
async fn campaign(election: String, id: &str) -> Result<(Ensemble, Leadership)> {
    let url = std::env::var("INCUMBENT_URL").unwrap_or_else(|_| "memory://examples".into());
    // Without a thread of their own, so that the heartbeats stand still with the candidate. The short TTL is the time
    // that the others wait for it.
    let options = Options::new().ttl(Duration::from_secs(2)).session_thread(false);
    let ensemble = connect_with(&url, options).await?;
    let leadership = ensemble.election(election)?.candidate().id(id).campaign().await?;
    println!("{id}: I lead with token {}, valid for {:.1?} from now", leadership.token(), leadership.remaining());
    Ok((ensemble, leadership))
}

/// One thread, one runtime: one process in miniature.
fn runtime() -> std::io::Result<runtime::Runtime> {
    runtime::Builder::new_current_thread().enable_all().build()
}

/// What the ledger says to a leader of the past.
#[derive(Debug)]
struct Fenced {
    token: Token,
    greatest: Token,
}

impl fmt::Display for Fenced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "token {} is refused, since {} has written", self.token, self.greatest)
    }
}

impl Error for Fenced {}
