//! The end of an ensemble on this side, and what is said of it before.

mod common;

use std::{sync::Arc, time::Duration};

use common::{Process, TTL, bounded, eventually, quiet};
use incumbent::{CandidateEvent, ErrorKind, LeadershipView, LossReason, Outcome, RunError, connect};
use tokio::{
    sync::{Notify, mpsc},
    time::{Instant, sleep, timeout},
};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn the_job_is_asked_to_stop_and_waited_for() {
    let process = Process::first();
    let begun = Arc::new(Notify::new());
    let begins = Arc::clone(&begun);
    let run = tokio::spawn(process.election.candidate().run(move |view: LeadershipView| {
        let begins = Arc::clone(&begins);
        async move {
            begins.notify_one();
            view.stopping().await;
            sleep(SECOND).await;
            assert!(view.is_valid(), "who stops has time to do so");
            Ok::<_, String>(())
        }
    }));
    bounded("the job begins", begun.notified()).await;
    let asked = Instant::now();
    process.ensemble.close(10 * SECOND).await.unwrap();
    let took = asked.elapsed();
    assert!(took >= SECOND && took < 2 * SECOND, "closing took {took:?}");
    assert_eq!(bounded("the run ends", run).await.unwrap().unwrap(), Outcome::Stopped);
    assert!(process.queue().is_empty() && process.memory.sessions_now().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_guard_that_is_held_on_to_is_lost_after_three_quarters() {
    let process = Process::first();
    let leadership = process.election.candidate().campaign().await.unwrap();
    let view = leadership.view();
    let asked = Instant::now();
    let close = tokio::spawn({
        let ensemble = process.ensemble.clone();
        async move { ensemble.close(8 * SECOND).await }
    });
    bounded("the holder is asked to stop", view.stopping()).await;
    assert!(asked.elapsed() < Duration::from_millis(10) && view.is_valid());
    let reason = bounded("the guard is lost", view.lost()).await;
    assert!(matches!(reason, LossReason::Closed), "{reason}");
    let held = asked.elapsed();
    assert!(held >= 6 * SECOND && held < 6 * SECOND + SECOND / 10, "lost after {held:?}");
    close.await.unwrap().unwrap();
    assert!(process.queue().is_empty() && !leadership.is_valid());
    leadership.resign().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn when_closing_returns_nothing_is_left_to_happen() {
    let process = Process::first();
    let _held = process.election.candidate().campaign().await.unwrap();
    process.ensemble.close(8 * SECOND).await.unwrap();
    let status = process.ensemble.status();
    assert_eq!((status.candidates, status.leading, status.closed), (0, 0, true));
}

#[tokio::test(start_paused = true)]
async fn who_waits_leaves_at_once() {
    let leading = Process::first();
    let other = leading.another();
    let _leadership = leading.election.candidate().id("leads").campaign().await.unwrap();
    let campaign = tokio::spawn(other.election.candidate().id("waits").campaign());
    leading.queue_becomes(&["leads", "waits"]).await;
    let asked = Instant::now();
    other.ensemble.close(10 * SECOND).await.unwrap();
    assert!(asked.elapsed() < SECOND / 10);
    let error = campaign.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert!(error.to_string().contains("jobs/a"), "{error}");
    assert_eq!(leading.queue(), ["leads"]);
}

#[tokio::test(start_paused = true)]
async fn nobody_stands_after_closing() {
    let process = Process::first();
    process.ensemble.close(SECOND).await.unwrap();
    let candidate = || process.election.candidate();
    assert_eq!(candidate().campaign().await.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(candidate().try_campaign(SECOND).await.unwrap_err().kind(), ErrorKind::Closed);
    let job = |_| async { Err::<(), _>("it ran") };
    assert!(matches!(candidate().run(job).await, Ok::<_, RunError<_>>(Outcome::Stopped)));
    let error = bounded("observing ends", process.election.observe().next()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert!(process.memory.sessions_now().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_campaign_that_begins_while_closing_leads_nothing() {
    let process = Process::first();
    // In one task: closing begins when the campaign has begun and its driver has not.
    let (led, closed) =
        tokio::join!(timeout(SECOND, process.election.candidate().campaign()), process.ensemble.close(SECOND));
    closed.unwrap();
    assert_eq!(led.unwrap().unwrap_err().kind(), ErrorKind::Closed);
    assert!(process.queue().is_empty() && process.memory.sessions_now().is_empty());
}

#[tokio::test(start_paused = true)]
async fn closing_twice_and_from_clones_is_closing_once() {
    let process = Process::first();
    let leadership = process.election.candidate().campaign().await.unwrap();
    let clone = process.ensemble.clone();
    let (one, other) = tokio::join!(process.ensemble.close(4 * SECOND), clone.close(8 * SECOND));
    one.unwrap();
    other.unwrap();
    assert!(!leadership.is_valid());
    process.ensemble.close(SECOND).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn closing_over_a_cut_link_says_so_in_time_and_can_be_done_again() {
    let process = Process::first();
    let leadership = process.election.candidate().campaign().await.unwrap();
    let session = process.ensemble.status().session.unwrap().id;
    process.memory.link().cut();
    let asked = Instant::now();
    let error = process.ensemble.close(4 * SECOND).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown);
    assert!(asked.elapsed() <= 4 * SECOND, "closing took {:?}", asked.elapsed());
    assert!(!leadership.is_valid());
    assert!(process.memory.session_alive(session));
    let error = process.ensemble.close(SECOND).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "nothing has become known since");
    process.memory.link().heal();
    process.ensemble.close(4 * SECOND).await.unwrap();
    assert!(!process.memory.session_alive(session));
}

#[tokio::test(start_paused = true)]
async fn closing_uses_all_of_its_time() {
    let process = Process::first();
    let _leadership = process.election.candidate().campaign().await.unwrap();
    process.memory.link().cut();
    let close = tokio::spawn({
        let ensemble = process.ensemble.clone();
        async move { ensemble.close(20 * SECOND).await }
    });
    // The requests of one timeout after the other are lost in the cut; the last is not.
    sleep(19 * SECOND).await;
    process.memory.link().heal();
    bounded("closing ends", close).await.unwrap().unwrap();
    assert!(process.memory.sessions_now().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_close_that_is_dropped_goes_on_when_called_again() {
    let process = Process::first();
    let leadership = process.election.candidate().campaign().await.unwrap();
    assert!(timeout(SECOND, process.ensemble.close(8 * SECOND)).await.is_err());
    assert!(leadership.is_stopping() && leadership.is_valid());
    process.ensemble.close(SECOND).await.unwrap();
    assert!(!leadership.is_valid());
    assert!(process.memory.sessions_now().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_last_handle_closes_the_session_in_the_background() {
    let Process { memory, ensemble, election } = Process::first();
    let leadership = election.candidate().campaign().await.unwrap();
    drop((ensemble, election));
    sleep(2 * TTL).await;
    assert!(leadership.is_valid(), "the guard is a handle too");
    assert_eq!(memory.sessions_now().len(), 1);
    drop(leadership);
    quiet().await;
    assert!(memory.sessions_now().is_empty(), "not only when its TTL is over");
}

#[tokio::test(start_paused = true)]
async fn an_observer_that_is_dropped_holds_nothing() {
    let Process { memory, ensemble, election } = Process::first();
    drop(election.candidate().campaign().await.unwrap());
    let mut observer = election.observe();
    observer.next().await.unwrap();
    drop((ensemble, election));
    quiet().await;
    assert_eq!(memory.sessions_now().len(), 1, "an observer is made from the ensemble");
    drop(observer);
    quiet().await;
    assert!(memory.sessions_now().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_status_follows_what_happens() {
    let process = Process::first();
    let status = || process.ensemble.status();
    assert!(status().is_ready() && status().is_live() && status().session.is_none());
    assert_eq!((status().candidates, status().leading), (0, 0));

    let leadership = process.election.candidate().campaign().await.unwrap();
    let waiting = tokio::spawn(process.election.candidate().campaign());
    eventually("both stand", || process.queue().len() == 2).await;
    let session = status().session.unwrap();
    assert_eq!(session.ttl, TTL);
    assert!(session.remaining > TTL / 2 && session.remaining <= TTL && session.trouble.is_none());
    assert!(process.memory.session_alive(session.id));
    assert_eq!((status().candidates, status().leading), (2, 1));
    assert!(status().is_ready());

    process.memory.link().cut();
    eventually("the cut shows", || !status().is_ready()).await;
    let trouble = status().session.unwrap().trouble.unwrap();
    assert_eq!(trouble.kind(), ErrorKind::Unavailable);
    assert!(status().is_live(), "no restart of the process can mend a cut");
    process.memory.link().heal();
    eventually("the repair shows", || status().is_ready()).await;

    drop(leadership);
    waiting.await.unwrap().unwrap();
    eventually("nobody stands", || status().candidates == 0).await;
    process.ensemble.close(SECOND).await.unwrap();
    assert!(status().closed && !status().is_ready() && status().is_live());
}

#[tokio::test(start_paused = true)]
async fn listeners_hear_of_closing() {
    let process = Process::first();
    let (events, mut heard) = mpsc::unbounded_channel();
    let _leadership = process.election.candidate().events(events).campaign().await.unwrap();
    process.ensemble.close(SECOND).await.unwrap();
    let mut reasons = Vec::new();
    while let Some(event) = heard.recv().await {
        if let CandidateEvent::Lost { reason } = event {
            reasons.push(reason);
        }
    }
    assert!(matches!(reasons[..], [LossReason::Closed]), "{reasons:?}");
}

#[tokio::test(start_paused = true)]
async fn closing_what_never_stood_is_nothing() {
    let ensemble = connect("memory://").await.unwrap();
    ensemble.close(SECOND).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_process_is_ready_while_nobody_in_it_needs_the_session_it_lost() {
    let process = Process::first();
    let status = || process.ensemble.status();
    let leadership = process.election.candidate().campaign().await.unwrap();
    process.memory.faults().expire(status().session.unwrap().id);
    leadership.lost().await;
    drop(leadership);
    eventually("it is over", || status().candidates == 0 && status().session.unwrap().ended).await;
    assert!(status().is_ready());
    process.election.candidate().campaign().await.unwrap();
    assert!(status().is_ready() && !status().session.unwrap().ended);
}
