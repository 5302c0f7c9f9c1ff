//! The guard of a leadership, its views, and every way in which it ends.

mod common;

use std::time::Duration;

use common::{Process, TTL, bounded, eventually, quiet};
use incumbent::{ErrorKind, Leadership, LeadershipView, LossReason, core::Backend};
use tokio::time::{Instant, sleep, timeout};

const SECOND: Duration = Duration::from_secs(1);
const MILLI: Duration = Duration::from_millis(1);
const MARGIN: Duration = Duration::from_millis(500);

#[test]
fn a_view_fits_any_shared_state() {
    fn fits<T: Clone + Send + Sync + 'static>() {}
    fn moves<T: Send + Sync + 'static>() {}
    fits::<LeadershipView>();
    fits::<incumbent::Ensemble>();
    fits::<incumbent::Election>();
    fits::<incumbent::Observer>();
    moves::<Leadership>();
}

#[tokio::test(start_paused = true)]
async fn remaining_shrinks_until_a_heartbeat() {
    let process = Process::first();
    let leadership = process.election.candidate().campaign().await.unwrap();
    let at_first = leadership.remaining();
    sleep(SECOND / 2).await;
    assert_eq!(leadership.remaining(), at_first - SECOND / 2);
    let until = leadership.valid_until();
    eventually("a heartbeat puts it off", || leadership.valid_until() > until).await;
    assert!(leadership.remaining() > at_first - SECOND / 2);
    sleep(100 * TTL).await;
    assert!(leadership.is_valid(), "while there is contact it goes on for ever");
}

#[tokio::test(start_paused = true)]
async fn it_ends_at_its_deadline_to_the_millisecond() {
    let process = Process::first();
    let leadership = process.election.candidate().campaign().await.unwrap();
    let (view, clock) = (leadership.view(), process.memory.clock().clone());
    process.memory.link().cut();
    let until = view.valid_until();
    let cut = clock.now();
    while view.is_valid() {
        assert!(clock.now() < until && view.valid_until() == until);
        assert_eq!(view.remaining(), until.since(clock.now()));
        sleep(10 * MILLI).await;
    }
    assert!(clock.now() >= until && clock.now().since(until) <= 10 * MILLI);
    assert!(until.since(cut) <= TTL - MARGIN);
    assert_eq!((view.remaining(), view.valid_until()), (Duration::ZERO, incumbent::core::Moment::ORIGIN));
    let reason = bounded("the loss is told", view.lost()).await;
    assert!(matches!(reason, LossReason::DeadlinePassed), "{reason}");
    let session = process.ensemble.status().session.unwrap().id;
    assert!(process.memory.session_alive(session), "the store still waits, for a margin");
    // What was seen to be over stays over, whatever the session does.
    process.memory.link().heal();
    for _ in 0..100 {
        sleep(SECOND / 10).await;
        assert!(!view.is_valid() && !leadership.is_valid());
    }
    assert!(process.memory.session_alive(session), "the session goes on");
}

#[tokio::test(start_paused = true)]
async fn who_sleeps_on_lost_is_told_at_the_deadline() {
    let process = Process::first();
    let leadership = process.election.candidate().campaign().await.unwrap();
    process.memory.link().cut();
    let until = leadership.remaining();
    let begun = Instant::now();
    let reason = bounded("the loss is told", leadership.lost()).await;
    assert!(matches!(reason, LossReason::DeadlinePassed), "{reason}");
    assert!(begun.elapsed() >= until && begun.elapsed() <= until + 2 * MILLI, "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn it_is_asked_to_stop_while_there_is_time() {
    let process = Process::first();
    let leadership = process.election.candidate().campaign().await.unwrap();
    assert!(timeout(10 * TTL, leadership.stopping()).await.is_err(), "not while there is contact");
    process.memory.link().cut();
    bounded("it is asked to stop", leadership.stopping()).await;
    assert!(leadership.is_stopping() && leadership.is_valid());
    let left = leadership.remaining();
    assert!(left <= TTL / 4 && left >= TTL / 4 - 2 * MILLI, "{left:?} remain");
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_in_time_does_not_take_the_stop_back() {
    let process = Process::first();
    let leadership = process.election.candidate().campaign().await.unwrap();
    process.memory.link().cut();
    bounded("it is asked to stop", leadership.stopping()).await;
    process.memory.link().heal();
    eventually("contact is back", || !leadership.is_suspended()).await;
    assert!(leadership.is_stopping() && leadership.is_valid());
}

#[tokio::test(start_paused = true)]
async fn contact_lost_for_a_moment_only_suspends() {
    let process = Process::first();
    let leadership = process.election.candidate().campaign().await.unwrap();
    for _ in 0..5 {
        process.memory.link().cut();
        eventually("it is suspended", || leadership.is_suspended()).await;
        assert!(leadership.is_valid());
        process.memory.link().heal();
        eventually("it is confirmed", || !leadership.is_suspended()).await;
    }
    assert!(leadership.is_valid());
    let head = process.election.leader().await.unwrap().unwrap();
    assert_eq!(head.key.token, leadership.token());
}

#[tokio::test(start_paused = true)]
async fn it_rides_out_a_change_of_the_ensembles_leader() {
    let process = Process::first();
    let leadership = process.election.candidate().campaign().await.unwrap();
    for _ in 0..3 {
        process.memory.faults().freeze();
        sleep(TTL / 2).await;
        process.memory.faults().thaw();
        process.memory.link().break_watches();
        sleep(TTL).await;
    }
    assert!(leadership.is_valid() && timeout(TTL, leadership.lost()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_is_removed_ends_it_at_once() {
    let process = Process::first();
    let leadership = process.election.candidate().campaign().await.unwrap();
    sleep(SECOND).await;
    process.evict_own_entry().await;
    assert!(!leadership.is_valid());
    let reason = bounded("the loss is told", leadership.lost()).await;
    assert!(matches!(reason, LossReason::EntryRemoved), "{reason}");
    leadership.resign().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_revoked_ends_it_at_the_next_heartbeat() {
    let process = Process::first();
    let leadership = process.election.candidate().campaign().await.unwrap();
    // The watch tells nothing any more, and the read that follows it finds no session.
    process.memory.link().cut();
    process.memory.link().break_watches();
    let session = process.ensemble.status().session.unwrap().id;
    assert!(process.memory.faults().expire(session));
    quiet().await;
    assert!(leadership.is_valid(), "nobody can know it yet");
    process.memory.link().heal();
    let reason = timeout(SECOND, leadership.lost()).await.unwrap();
    let LossReason::SessionEnded(error) = &reason else { panic!("{reason}") };
    assert_eq!(error.kind(), ErrorKind::SessionGone);
    assert!(!leadership.is_valid());
    assert!(reason.to_string().contains(&session.to_string()), "{reason}");
    leadership.resign().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn after_a_loss_a_new_campaign_gets_a_new_token() {
    let process = Process::first();
    let first = process.election.candidate().campaign().await.unwrap();
    process.memory.link().cut();
    bounded("it is lost", first.lost()).await;
    process.memory.link().heal();
    let token = first.token();
    drop(first);
    let second = bounded("it leads again", process.election.candidate().campaign()).await.unwrap();
    assert!(second.token() > token);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sees_the_end_first_still_gets_its_reason() {
    let process = Process::first();
    for _ in 0..2_000 {
        let leadership = process.election.candidate().campaign().await.unwrap();
        let view = leadership.view();
        let (looks, begun) = tokio::sync::oneshot::channel();
        let looking = tokio::task::spawn_blocking(move || {
            looks.send(()).unwrap();
            let begun = std::time::Instant::now();
            while view.is_valid() && begun.elapsed() < 30 * SECOND {}
            tokio::runtime::Handle::current().block_on(view.lost())
        });
        begun.await.unwrap();
        leadership.resign().await.unwrap();
        let reason = bounded("the loss is told", looking).await.unwrap();
        assert!(matches!(reason, LossReason::Resigned), "{reason}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_sees_the_end_of_the_session_first_gets_its_reason() {
    let process = Process::first();
    let leadership = process.election.candidate().campaign().await.unwrap();
    process.memory.link().cut();
    process.memory.link().break_watches();
    assert!(process.memory.faults().expire(process.ensemble.status().session.unwrap().id));
    let looking = tokio::spawn({
        let view = leadership.view();
        async move {
            // No clock: it looks before anybody else can act.
            for _ in 0..1_000 {
                tokio::task::yield_now().await;
                if !view.is_valid() {
                    break;
                }
            }
            view.lost().await
        }
    });
    tokio::task::yield_now().await;
    process.memory.link().heal();
    let reason = bounded("the loss is told", looking).await.unwrap();
    assert!(matches!(reason, LossReason::SessionEnded(_)), "{reason}");
}

#[test]
fn the_end_of_its_runtime_ends_it() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let (process, leadership) = runtime.block_on(async {
        let process = Process::first();
        let leadership = process.election.candidate().campaign().await.unwrap();
        assert!(leadership.is_valid());
        (process, leadership)
    });
    drop(runtime);
    assert!(!leadership.is_valid(), "nobody keeps the session any more");
    let other = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let reason = other.block_on(leadership.lost());
    assert!(matches!(reason, LossReason::SessionEnded(_)), "{reason}");
    drop((process, leadership));
}
