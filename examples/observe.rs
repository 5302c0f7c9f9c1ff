//! Finding the leader: a client forwards its requests to whoever leads, and goes on when another one does.
//!
//! What an observer knows is a hint that may be out of date. So whoever is asked looks at its own leadership before it
//! answers, and the client asks again after a refusal.
//!
//! ```sh
//! cargo run --example observe
//! ```
#![allow(clippy::print_stdout, reason = "an example prints")]

use std::{collections::HashMap, convert::Infallible, error::Error, time::Duration};

use incumbent::{Ensemble, LeadershipView, Observer, connect};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{oneshot, watch},
    time::timeout,
};

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

#[tokio::main]
async fn main() -> Result<()> {
    let url = std::env::var("INCUMBENT_URL").unwrap_or_else(|_| "memory://examples".into());
    let election = format!("examples/observe-{:08x}", fastrand::u32(..));

    let mut replicas = HashMap::new();
    for id in ["replica-1", "replica-2"] {
        let (stop, stopped) = oneshot::channel();
        let replica = tokio::spawn(replica(connect(&url).await?, election.clone(), id, stopped));
        replicas.insert(id, (stop, replica));
    }

    let ensemble = connect(&url).await?;
    let mut observer = ensemble.election(election)?.observe();
    let mut served = Vec::new();
    while !replicas.is_empty() {
        let answer = timeout(Duration::from_secs(20), ask_the_leader(&mut observer)).await??;
        println!("client: the leader answers: {answer}");

        // Stops whoever answered. The next request has to find the other one.
        let id = answer.split(' ').next().unwrap_or_default();
        let (id, (stop, replica)) = replicas.remove_entry(id).ok_or("an answer of nobody who leads")?;
        let _ = stop.send(());
        replica.await??;
        println!("{id} has stopped");
        served.push(id);
    }
    assert_eq!(served.len(), 2, "both replicas must have answered, one after the other");
    ensemble.close(Duration::from_secs(5)).await?;
    Ok(())
}

/// Sends one request to the leader, however often the leader changes meanwhile.
async fn ask_the_leader(observer: &mut Observer) -> Result<String> {
    loop {
        if let Some(address) = observer.current().and_then(|leader| leader.profile.address) {
            match ask(&address).await {
                Ok(answer) if answer != NOT_ME => return Ok(answer),
                Ok(answer) => println!("client: {address} says: {answer}"),
                Err(error) => println!("client: {address} does not answer: {error}"),
            }
        }
        // Something new, or the same again after a while: the leader may be a moment behind its entry.
        if let Ok(change) = timeout(Duration::from_millis(200), observer.next()).await {
            println!("client: observed {}", describe(&change?));
        }
    }
}

fn describe(change: &incumbent::Change) -> String {
    use incumbent::Change::{Joined, Leader, Left, Snapshot};
    match change {
        Snapshot(entries) => format!("{} candidates at first", entries.len()),
        Leader(entry) => format!("that {} leads with token {}", entry.profile, entry.key.token),
        Joined(entry) => format!("that {} joined", entry.profile),
        Left(entry) => format!("that {} left", entry.profile),
        other => format!("{other:?}"),
    }
}

async fn ask(address: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let mut answer = String::new();
    timeout(Duration::from_secs(1), stream.read_to_string(&mut answer)).await??;
    Ok(answer)
}

const NOT_ME: &str = "I do not lead";

/// A replica: it answers at its address all the time, and stands for the election meanwhile.
async fn replica(ensemble: Ensemble, election: String, id: &'static str, stopped: oneshot::Receiver<()>) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    let (leads, leadership) = watch::channel(None);
    let server = tokio::spawn(serve(listener, id, leadership));

    ensemble
        .election(election)?
        .candidate()
        .id(id)
        .advertise(address)
        .until(async move {
            let _ = stopped.await;
        })
        .run(|leadership| {
            // The server has the view from here on; the job has nothing else to do.
            leads.send_replace(Some(leadership.clone()));
            async move {
                leadership.stopping().await;
                Ok::<_, Infallible>(())
            }
        })
        .await?;
    server.abort();
    ensemble.close(Duration::from_secs(5)).await?;
    Ok(())
}

/// Answers each connection with one line.
async fn serve(listener: TcpListener, id: &str, leadership: watch::Receiver<Option<LeadershipView>>) -> Result<()> {
    loop {
        let (mut stream, _) = listener.accept().await?;
        let leadership = leadership.borrow().clone();
        let answer = match leadership.filter(LeadershipView::is_valid) {
            Some(leadership) => format!("{id} under token {}", leadership.token()),
            None => NOT_ME.into(),
        };
        stream.write_all(answer.as_bytes()).await?;
    }
}
