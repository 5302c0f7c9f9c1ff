//! Jobs whose leadership is lost.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may fail the test")]

mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use common::{Process, TTL, bounded, eventually};
use incumbent::{
    CandidateEvent, LeadershipView, Outcome, Token,
    core::{Backend, Clock, Moment},
};
use tokio::{
    sync::{Notify, mpsc},
    time::{Instant, sleep},
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
async fn a_loss_drops_the_job_at_its_deadline_and_runs_it_again_with_a_greater_token() {
    let process = Process::first();
    let clock = process.memory.clock().clone();
    let (does, mut did) = mpsc::unbounded_channel();
    let ticking = clock.clone();
    let run = tokio::spawn(
        process.election.candidate().run(move |view: LeadershipView| deaf_job(view, ticking.clone(), does.clone())),
    );
    let Did::Begun(token) = did.recv().await.unwrap() else { panic!() };
    process.memory.link().cut();

    let (mut deadline, mut last, mut asked) = (Moment::ORIGIN, Moment::ORIGIN, None);
    loop {
        match bounded("the job is dropped", did.recv()).await.unwrap() {
            Did::Worked(now, until) => (last, deadline) = (now, until),
            Did::AskedToStop(now, until) => asked = Some(until.since(now)),
            Did::Dropped => break,
            Did::Begun(again) => panic!("{again} begins before {token} has ended"),
        }
    }
    let asked = asked.unwrap();
    assert!(asked <= STOP_WITHIN && asked >= STOP_WITHIN - 2 * MILLI, "asked to stop with {asked:?} remaining");
    assert!(last < deadline && deadline.since(last) <= 3 * MILLI, "worked until {last:?}, deadline {deadline:?}");
    assert!(clock.now().since(deadline) <= 3 * MILLI, "dropped at {:?}, deadline {deadline:?}", clock.now());

    process.memory.link().heal();
    let Did::Begun(again) = bounded("it leads again", did.recv()).await.unwrap() else { panic!() };
    assert!(again > token);
    run.abort();
}

/// What a job does, at which moment, and until when it may.
#[derive(Clone, Copy, Debug)]
enum Did {
    Begun(Token),
    Worked(Moment, Moment),
    AskedToStop(Moment, Moment),
    Dropped,
}

/// Hears that it is to stop, and works on.
async fn deaf_job(view: LeadershipView, clock: Clock, does: mpsc::UnboundedSender<Did>) -> Result<(), String> {
    let _alive = OnDrop(Did::Dropped, does.clone());
    does.send(Did::Begun(view.token())).unwrap();
    let tell = |what: fn(Moment, Moment) -> Did| does.send(what(clock.now(), view.valid_until())).unwrap();
    let mut stopping = false;
    loop {
        tell(Did::Worked);
        tokio::select! {
            () = view.stopping(), if !stopping => {
                tell(Did::AskedToStop);
                stopping = true;
            }
            () = sleep(MILLI) => {}
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_that_stops_when_asked_is_run_again() {
    let process = Process::first();
    let (begins, mut begun) = mpsc::unbounded_channel();
    let run = tokio::spawn(process.election.candidate().run(move |view: LeadershipView| {
        begins.send(view.token()).unwrap();
        async move {
            view.stopping().await;
            Ok::<_, String>("not finished, but stopped")
        }
    }));
    let first = begun.recv().await.unwrap();
    process.memory.link().cut();
    sleep(2 * TTL).await;
    assert!(!run.is_finished());
    process.memory.link().heal();
    let second = bounded("it leads again", begun.recv()).await.unwrap();
    assert!(second > first);
    run.abort();
}

#[tokio::test(start_paused = true)]
async fn a_moment_without_contact_does_not_touch_the_job() {
    let process = Process::first();
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let run = tokio::spawn(process.election.candidate().run(move |view: LeadershipView| {
        counted.fetch_add(1, Ordering::Relaxed);
        async move {
            view.lost().await;
            Ok::<(), String>(())
        }
    }));
    eventually("it leads", || runs.load(Ordering::Relaxed) == 1).await;
    for _ in 0..5 {
        process.memory.link().cut();
        eventually("the cut shows", || !process.ensemble.status().is_ready()).await;
        process.memory.link().heal();
        eventually("the repair shows", || process.ensemble.status().is_ready()).await;
    }
    assert!(!run.is_finished() && runs.load(Ordering::Relaxed) == 1);
    run.abort();
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_is_removed_drops_the_job_at_once() {
    let process = Process::first();
    let (drops, mut dropped) = mpsc::unbounded_channel();
    let run = tokio::spawn(process.election.candidate().run(move |view: LeadershipView| {
        let alive = OnDrop(view.token(), drops.clone());
        async move {
            sleep(1_000 * SECOND).await;
            drop(alive);
            Ok::<(), String>(())
        }
    }));
    eventually("it leads", || process.ensemble.status().leading == 1).await;
    let begun = Instant::now();
    process.evict_own_entry().await;
    let token = bounded("the job is dropped", dropped.recv()).await.unwrap();
    assert!(begun.elapsed() <= 2 * MILLI, "{:?}", begun.elapsed());
    eventually("it stands again", || process.queue().len() == 1).await;
    assert!(process.memory.queue_now(&process.name())[0].key.token > token);
    run.abort();
}

#[tokio::test(start_paused = true)]
async fn listeners_hear_of_each_leadership_of_a_run() {
    let process = Process::first();
    let (events, mut heard) = mpsc::unbounded_channel();
    let run = tokio::spawn(process.election.candidate().events(events).run(|view: LeadershipView| async move {
        view.stopping().await;
        Ok::<(), String>(())
    }));
    let mut told = Vec::new();
    for _ in 0..3 {
        loop {
            let event = bounded("something happens", heard.recv()).await.unwrap();
            told.push(event.to_string());
            if matches!(event, CandidateEvent::Leading { .. }) {
                break;
            }
        }
        process.evict_own_entry().await;
    }
    let lost = told.iter().filter(|event| event.contains("its entry was removed")).count();
    assert_eq!(lost, 2, "{told:?}");
    run.abort();
}

#[tokio::test(start_paused = true)]
async fn a_job_is_not_polled_after_its_deadline_when_the_runtime_stalled() {
    let process = Process::first();
    let (wake, step) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (woken, stepped) = (Arc::clone(&wake), Arc::clone(&step));
    let run = tokio::spawn(process.election.candidate().run(move |view: LeadershipView| {
        let (woken, stepped) = (Arc::clone(&woken), Arc::clone(&stepped));
        async move {
            while view.is_valid() {
                stepped.notify_one();
                woken.notified().await;
            }
            Err::<(), _>("polled after its deadline")
        }
    }));
    bounded("the job begins", step.notified()).await;
    // The job is due before the timers: they fire only when every task waits.
    wake.notify_one();
    tokio::time::advance(2 * TTL).await;
    bounded("the job begins again", step.notified()).await;
    assert!(!run.is_finished(), "{:?}", run.await);
    run.abort();
}

#[tokio::test(start_paused = true)]
async fn a_job_that_stopped_near_the_deadline_is_run_again_though_contact_is_back() {
    let process = Process::first();
    let runs = Arc::new(AtomicUsize::new(0));
    let link = process.memory.clone();
    let counted = Arc::clone(&runs);
    let run = process.election.candidate().run(move |leadership| {
        let (link, first) = (link.clone(), counted.fetch_add(1, Ordering::SeqCst) == 0);
        async move {
            if first {
                link.link().cut();
                leadership.stopping().await;
                // What it does to stop takes so long that contact is back when it is done.
                link.link().heal();
                while leadership.is_suspended() {
                    sleep(Duration::from_millis(1)).await;
                }
            }
            Ok::<_, std::convert::Infallible>(first)
        }
    });
    let finished = bounded("it finishes", run).await.unwrap();
    assert_eq!((finished, runs.load(Ordering::SeqCst)), (Outcome::Finished(false), 2));
}
