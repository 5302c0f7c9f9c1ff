//! A web service of which every replica answers, while one of them also runs a background job.
//!
//! - `/ready` says whether this replica is in contact with the ensemble; one that does not lead is ready too.
//! - `/leader` says who leads, from what is known here, without asking the ensemble.
//!
//! ```sh
//! cargo run --example axum_service
//! ```
#![allow(clippy::print_stdout, reason = "an example prints")]

use std::{
    convert::Infallible,
    error::Error,
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use axum::{Router, extract::State, http::StatusCode, routing::get};
use futures::TryFutureExt;
use incumbent::{Ensemble, LeadershipView, Observer, connect};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    time::timeout,
};

type Failure = Box<dyn Error + Send + Sync>;
type Result<T, E = Failure> = std::result::Result<T, E>;

#[derive(Clone)]
struct App {
    ensemble: Ensemble,
    observer: Observer,
}

#[tokio::main]
async fn main() -> Result<()> {
    let url = std::env::var("INCUMBENT_URL").unwrap_or_else(|_| "memory://examples".into());
    let election = format!("examples/axum-service-{:08x}", fastrand::u32(..));
    let (shutdown, shutting_down) = watch::channel(false);

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let rounds = AtomicU64::new(0);
    let service = serve(listener, &url, election, shutting_down, &rounds);
    let visitor = async {
        visit(address).await?;
        let _ = shutdown.send(true);
        Ok(())
    };
    tokio::try_join!(service, visitor)?;

    let rounds = rounds.into_inner();
    println!("shut down after {rounds} rounds of the job");
    assert!(rounds > 0, "the job did not run");
    Ok(())
}

/// What a probe and a curious colleague would ask.
async fn visit(address: SocketAddr) -> Result<()> {
    timeout(Duration::from_secs(20), until_somebody_leads(address)).await??;
    let (status, body) = request(address, "/ready").await?;
    println!("GET /ready  -> {status} {body}");
    assert_eq!((status, body.as_str()), (200, "ready"));
    let (status, body) = request(address, "/leader").await?;
    println!("GET /leader -> {status} {body}");
    assert_eq!((status, body), (200, format!("http://{address}")));
    Ok(())
}

/// One replica: the web service on all of them, the job on the one that leads.
async fn serve(
    listener: TcpListener,
    url: &str,
    election: String,
    shutting_down: watch::Receiver<bool>,
    rounds: &AtomicU64,
) -> Result<()> {
    let ensemble = connect(url).await?;
    let election = ensemble.election(election)?;

    let job = election
        .candidate()
        .advertise(format!("http://{}", listener.local_addr()?))
        .until(requested(shutting_down.clone()))
        .run(|leadership| singleton(leadership, rounds));

    let app = App { ensemble: ensemble.clone(), observer: election.observe() };
    let router = Router::new().route("/ready", get(ready)).route("/leader", get(leader)).with_state(app);
    let web = axum::serve(listener, router).with_graceful_shutdown(requested(shutting_down));

    // The failure of either ends the other: a dropped run drops its job and resigns.
    tokio::try_join!(job.err_into::<Failure>(), web.into_future().err_into())?;
    ensemble.close(Duration::from_secs(5)).await?;
    Ok(())
}

/// The job that must not run twice.
async fn singleton(leadership: LeadershipView, rounds: &AtomicU64) -> Result<(), Infallible> {
    while !leadership.is_stopping() {
        rounds.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

async fn ready(State(app): State<App>) -> (StatusCode, &'static str) {
    if app.ensemble.status().is_ready() {
        (StatusCode::OK, "ready")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "no contact with the ensemble")
    }
}

async fn leader(State(app): State<App>) -> String {
    match app.observer.current() {
        Some(leader) => leader.profile.address.unwrap_or(leader.profile.id),
        None => "nobody".into(),
    }
}

async fn requested(mut shutting_down: watch::Receiver<bool>) {
    let _ = shutting_down.wait_for(|shutting_down| *shutting_down).await;
}

async fn until_somebody_leads(address: SocketAddr) -> Result<()> {
    while request(address, "/leader").await?.1 == "nobody" {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// As much of an HTTP client as this needs: the status and the body.
async fn request(address: SocketAddr, path: &str) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("no HTTP answer")?;
    let status = head.split(' ').nth(1).ok_or("no status")?.parse()?;
    Ok((status, body.into()))
}
