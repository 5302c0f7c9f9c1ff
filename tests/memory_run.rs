//! Jobs under leadership: `run`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may fail the test")]

mod common;

use std::time::Duration;

use common::{Process, TTL, bounded, eventually, quiet};
use incumbent::{Backoff, ErrorKind, LeadershipView, Options, Outcome, RunError};
use incumbent_memory::Memory;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep, timeout},
};

const SECOND: Duration = Duration::from_secs(1);
const MILLI: Duration = Duration::from_millis(1);
const STOP_WITHIN: Duration = Duration::from_millis(1_250);

/// Sends something when it is dropped.
struct OnDrop<T: Copy>(T, mpsc::UnboundedSender<T>);

impl<T: Copy> Drop for OnDrop<T> {
    fn drop(&mut self) {
        let _ = self.1.send(self.0);
    }
}

#[tokio::test(start_paused = true)]
async fn ok_finishes_and_resigns() {
    let process = Process::first();
    let leads = |view: LeadershipView| async move {
        assert!(view.is_valid());
        sleep(SECOND).await;
        Ok::<_, String>(view.token())
    };
    let Outcome::Finished(token) = process.election.candidate().run(leads).await.unwrap() else { panic!() };
    assert!(process.queue().is_empty(), "it is resigned when run returns");
    let Outcome::Finished(next) = process.election.candidate().run(leads).await.unwrap() else { panic!() };
    assert!(next > token);
}

#[tokio::test(start_paused = true)]
async fn an_error_resigns_and_is_returned() {
    let process = Process::first();
    let run = process.election.candidate().run(|_| async { Err::<(), _>("disk full") });
    match run.await {
        Err(RunError::Job(error)) => assert_eq!(error, "disk full"),
        other => panic!("{other:?}"),
    }
    assert!(process.queue().is_empty());
}

#[tokio::test(start_paused = true)]
async fn retry_runs_on_with_pauses() {
    let process = Process::first();
    let (first, cap) = (SECOND, 4 * SECOND);
    let (begins, mut begun) = mpsc::unbounded_channel();
    let candidate = process.election.candidate().retry(Backoff::new(first, cap).unwrap());
    let mut runs = 0;
    let run = candidate.run(move |view| {
        begins.send((Instant::now(), view.token())).unwrap();
        runs += 1;
        async move {
            match runs {
                // Longer than the cap: what follows begins anew.
                5 => sleep(5 * SECOND).await,
                8 => return Ok(runs),
                _ => {}
            }
            Err("again")
        }
    });
    assert_eq!(bounded("the last run ends", run).await.unwrap(), Outcome::Finished(8));
    let begun: Vec<_> = std::iter::from_fn(|| begun.try_recv().ok()).collect();
    assert!(begun.windows(2).all(|pair| pair[0].1 < pair[1].1), "each run has a token of its own");
    let mut pauses: Vec<_> = begun.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    pauses[4] -= 5 * SECOND;
    for (pause, ceiling) in pauses.iter().zip([1, 2, 4, 4, 1, 2, 4]) {
        let ceiling = SECOND * ceiling;
        assert!(*pause >= ceiling / 2 && *pause <= ceiling + 10 * MILLI, "{pauses:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn others_lead_while_it_pauses() {
    let process = Process::first();
    let candidate = process.election.candidate().retry(Backoff::new(10 * SECOND, 10 * SECOND).unwrap());
    let run = tokio::spawn(candidate.run(|_| async { Err::<(), _>("broken") }));
    let other = bounded("the other one leads", process.another().election.candidate().campaign()).await.unwrap();
    assert!(other.is_valid() && !run.is_finished());
    run.abort();
}

#[tokio::test(start_paused = true)]
async fn closing_ends_a_pause() {
    let process = Process::first();
    let hour = 3_600 * SECOND;
    let candidate = process.election.candidate().retry(Backoff::new(hour, hour).unwrap());
    let run = tokio::spawn(candidate.run(|_| async { Err::<(), _>("broken") }));
    eventually("it pauses", || process.memory.sessions_now().len() == 1 && process.queue().is_empty()).await;
    process.ensemble.close(SECOND).await.unwrap();
    assert_eq!(timeout(SECOND, run).await.unwrap().unwrap().unwrap(), Outcome::Stopped);
}

#[tokio::test(start_paused = true)]
async fn a_panic_resigns_and_goes_on() {
    let process = Process::first();
    let run = tokio::spawn(process.election.candidate().run(|_| async {
        sleep(SECOND).await;
        out_of_cheese()
    }));
    let panic = run.await.unwrap_err().into_panic();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"out of cheese"));
    assert!(process.queue().is_empty());
    assert_eq!(process.memory.sessions_now().len(), 1, "the session carries others and is kept");
}

fn out_of_cheese() -> Result<(), String> {
    std::panic::panic_any("out of cheese")
}

#[tokio::test(start_paused = true)]
async fn a_panic_before_the_first_await_resigns_as_well() {
    let process = Process::first();
    let run = tokio::spawn(process.election.candidate().run(|_| std::future::ready(out_of_cheese())));
    assert!(run.await.unwrap_err().is_panic());
    assert!(process.queue().is_empty());
}

#[tokio::test(start_paused = true)]
async fn until_lets_the_job_stop() {
    let process = Process::first();
    let (stop, stopped) = oneshot::channel::<()>();
    let candidate = process.election.candidate().until(async {
        let _ = stopped.await;
    });
    let (tells, mut told) = mpsc::unbounded_channel();
    let run = tokio::spawn(candidate.run(move |view: LeadershipView| {
        let tells = tells.clone();
        async move {
            tells.send("begins").unwrap();
            view.stopping().await;
            tells.send("stops").unwrap();
            sleep(SECOND).await;
            tells.send("has stopped").unwrap();
            Ok::<_, String>("a value")
        }
    }));
    assert_eq!(told.recv().await, Some("begins"));
    sleep(3 * TTL).await;
    let asked = Instant::now();
    stop.send(()).unwrap();
    assert_eq!(run.await.unwrap().unwrap(), Outcome::Stopped);
    assert_eq!((told.recv().await, told.recv().await), (Some("stops"), Some("has stopped")));
    assert!(asked.elapsed() >= SECOND && asked.elapsed() < SECOND + 10 * MILLI, "{:?}", asked.elapsed());
    assert!(process.queue().is_empty());
}

#[tokio::test(start_paused = true)]
async fn until_waits_for_a_deaf_job_no_longer_than_stop_within() {
    let process = Process::first();
    let (stop, stopped) = oneshot::channel::<()>();
    let candidate = process.election.candidate().until(async {
        let _ = stopped.await;
    });
    let (drops, mut dropped) = mpsc::unbounded_channel();
    let run = tokio::spawn(candidate.run(move |_| {
        let alive = OnDrop((), drops.clone());
        async move {
            sleep(1_000 * SECOND).await;
            drop(alive);
            Ok::<_, String>(())
        }
    }));
    eventually("it leads", || process.ensemble.status().leading == 1).await;
    stop.send(()).unwrap();
    let asked = Instant::now();
    dropped.recv().await.unwrap();
    let waited = asked.elapsed();
    assert!(waited >= STOP_WITHIN && waited <= STOP_WITHIN + 2 * MILLI, "{waited:?}");
    assert_eq!(run.await.unwrap().unwrap(), Outcome::Stopped);
    assert!(process.queue().is_empty());
}

#[tokio::test(start_paused = true)]
async fn until_ends_the_wait_of_who_does_not_lead() {
    let process = Process::first();
    let _leads = process.election.candidate().id("a").campaign().await.unwrap();
    let candidate = process.another().election.candidate().id("b").until(sleep(3 * TTL));
    let begun = Instant::now();
    let outcome = candidate.run(|_| async { Err::<(), _>("it ran") }).await.unwrap();
    assert_eq!(outcome, Outcome::Stopped);
    assert!(begun.elapsed() < 3 * TTL + 10 * MILLI);
    process.queue_becomes(&["a"]).await;
}

#[tokio::test(start_paused = true)]
async fn dropping_the_run_drops_the_job_and_resigns() {
    let process = Process::first();
    let (drops, mut dropped) = mpsc::unbounded_channel();
    let run = process.election.candidate().run(move |_| {
        let alive = OnDrop((), drops.clone());
        async move {
            sleep(1_000 * SECOND).await;
            drop(alive);
            Ok::<(), String>(())
        }
    });
    assert!(timeout(SECOND, run).await.is_err());
    dropped.try_recv().unwrap();
    quiet().await;
    assert!(process.queue().is_empty());
}

#[tokio::test(start_paused = true)]
async fn dropping_the_run_while_it_waits_leaves_no_entry() {
    let process = Process::first();
    let _leads = process.election.candidate().id("a").campaign().await.unwrap();
    let other = process.another();
    let run = other.election.candidate().id("b").run(|_| async { Ok::<(), String>(()) });
    assert!(timeout(SECOND, run).await.is_err());
    quiet().await;
    assert_eq!(process.queue(), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn what_no_waiting_can_mend_is_returned() {
    let memory = Memory::new().ttl(Duration::from_millis(10)..=Duration::from_millis(500));
    let process = Process::of(memory, Options::new().ttl(TTL));
    let run = process.election.candidate().run(|_| async { Ok::<(), String>(()) });
    match bounded("it is told", run).await {
        Err(RunError::Election(error)) => assert_eq!(error.kind(), ErrorKind::InvalidInput),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_keeps_its_state_from_run_to_run() {
    let process = Process::first();
    let mut runs = Vec::new();
    let retry = Backoff::new(MILLI, MILLI).unwrap();
    let outcome = process.election.candidate().retry(retry).run(|view| {
        runs.push(view.token());
        let enough = runs.len() == 3;
        async move { if enough { Ok(()) } else { Err("more") } }
    });
    assert_eq!(bounded("three runs end", outcome).await.unwrap(), Outcome::Finished(()));
    assert_eq!(runs.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_job_may_fail_with_any_error_that_can_be_shown() {
    type AnyError = Box<dyn std::error::Error + Send + Sync>;
    async fn work(process: &Process) -> Result<(), AnyError> {
        process.election.candidate().run(|_| async { Err::<(), AnyError>("no paper".into()) }).await?;
        Ok(())
    }
    assert_eq!(work(&Process::first()).await.unwrap_err().to_string(), "the job failed: no paper");
}
