//! What broke other libraries, each test named after its trap: two leaders, and leaders who do not know.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may fail the test")]

mod common;

use std::{pin::pin, time::Duration};

use common::{Process, TTL, bounded, eventually, quiet};
use incumbent::{ErrorKind, Leadership, LeadershipView, LossReason, Outcome, core::Backend as _};
use incumbent_memory::Loss;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::{sleep, timeout},
};

const SECOND: Duration = Duration::from_secs(1);

/// A leads, b stands behind it.
async fn two() -> (Process, Leadership, Process, JoinHandle<incumbent::Result<Leadership>>) {
    let a = Process::first();
    let leads = a.election.candidate().id("a").campaign().await.unwrap();
    let b = a.another();
    let waits = tokio::spawn(b.election.candidate().id("b").campaign());
    a.queue_becomes(&["a", "b"]).await;
    (a, leads, b, waits)
}

fn session(process: &Process) -> incumbent::SessionId {
    process.ensemble.status().session.unwrap().id
}

#[tokio::test(start_paused = true)]
async fn ghost_winner() {
    let (a, leads, b, ghost) = two().await;
    // Its session dies while it cannot know, and the one ahead leaves.
    b.memory.link().cut();
    assert!(a.memory.faults().expire(session(&b)));
    leads.resign().await.unwrap();
    let c = a.another();
    let winner = bounded("c leads", c.election.candidate().id("c").campaign()).await.unwrap();
    b.memory.link().heal();
    sleep(2 * TTL).await;
    assert!(!ghost.is_finished() && winner.is_valid());
    assert_eq!(a.queue(), ["c", "b"], "it stands anew, behind the winner");
    let token = winner.token();
    drop(winner);
    assert!(bounded("b leads", ghost).await.unwrap().unwrap().token() > token);
}

#[tokio::test(start_paused = true)]
async fn own_path_of_an_expired_session() {
    let (a, _leads, b, waits) = two().await;
    let before = a.memory.queue_now(&a.name())[1].clone();
    b.memory.link().cut();
    assert!(a.memory.faults().expire(session(&b)));
    b.memory.link().heal();
    a.queue_becomes(&["a", "b"]).await;
    let after = a.memory.queue_now(&a.name())[1].clone();
    assert!(after.session != before.session && after.key.name != before.key.name);
    assert_eq!(after.session, Some(session(&b)));
    assert!(!waits.is_finished());
}

#[tokio::test(start_paused = true)]
async fn adopting_the_dying_sessions_entry() {
    let process = Process::first();
    drop(process.election.candidate().campaign().await.unwrap());
    process.queue_becomes(&[]).await;
    let dying = session(&process);
    // The entry is made, and nobody hears of it. Before it is looked for, its session dies.
    process.memory.link().lose_replies(Loss::Next(1));
    let campaign = tokio::spawn(process.election.candidate().id("a").campaign());
    process.queue_becomes(&["a"]).await;
    let orphan = process.memory.queue_now(&process.name())[0].clone();
    assert_eq!(orphan.session, Some(dying));
    assert!(process.memory.faults().expire(dying));
    let leadership = bounded("it leads", campaign).await.unwrap().unwrap();
    let [entry] = &process.memory.queue_now(&process.name())[..] else { panic!() };
    assert!(entry.key.token == leadership.token() && entry.key.name != orphan.key.name);
    assert!(entry.session == Some(session(&process)) && entry.session != Some(dying));
}

#[tokio::test(start_paused = true)]
async fn two_candidates_sharing_a_session() {
    let process = Process::first();
    let first = process.election.candidate().campaign().await.unwrap();
    assert!(process.election.candidate().try_campaign(10 * TTL).await.unwrap().is_none());
    assert!(first.is_valid());
}

#[tokio::test(start_paused = true)]
async fn local_expiry_too_late() {
    let (a, leads, _b, waits) = two().await;
    a.memory.link().cut();
    let deadline = leads.valid_until();
    let next = bounded("b leads", waits).await.unwrap().unwrap();
    assert!(!leads.is_valid() && next.is_valid());
    let gap = a.memory.clock().now().since(deadline);
    assert!(gap >= TTL / 10, "only {gap:?} between the old leader's deadline and the new leader");
}

#[tokio::test(start_paused = true)]
async fn runtime_stalled_or_process_paused() {
    let process = Process::first();
    let leadership = process.election.candidate().campaign().await.unwrap();
    let mut pause = pin!(tokio::time::advance(2 * TTL));
    assert!(futures::poll!(pause.as_mut()).is_pending());
    assert!(!leadership.is_valid(), "time has gone by, and nothing else has happened since");
    pause.await;
    let reason = bounded("the loss is told", leadership.lost()).await;
    assert!(matches!(reason, LossReason::DeadlinePassed | LossReason::SessionEnded(_)), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn released_before_the_work_stopped() {
    let process = Process::first();
    let (stop, stopped) = oneshot::channel::<()>();
    let (ends, mut ended) = mpsc::unbounded_channel();
    let store = process.clone();
    let run = tokio::spawn(process.election.candidate().id("a").until(stopped).run(move |view: LeadershipView| {
        let (ends, store) = (ends.clone(), store.clone());
        async move {
            view.stopping().await;
            sleep(SECOND).await;
            ends.send((view.is_valid(), store.queue())).unwrap();
            Ok::<(), String>(())
        }
    }));
    eventually("it leads", || process.ensemble.status().leading == 1).await;
    stop.send(()).unwrap();
    let (valid, queue) = bounded("the work stops", ended.recv()).await.unwrap();
    assert!(valid && queue == ["a"], "the entry stands until the work has stopped");
    assert_eq!(run.await.unwrap().unwrap(), Outcome::Stopped);
    assert!(process.queue().is_empty());
}

#[tokio::test(start_paused = true)]
async fn elected_again_in_its_own_shutdown() {
    let (a, leads, b, waits) = two().await;
    // The whole process of b goes down, and a's entry with it in the same breath.
    let run = tokio::spawn(b.election.candidate().id("b2").run(|_| async { Err::<(), _>("it ran") }));
    a.queue_becomes(&["a", "b", "b2"]).await;
    let (closed, ()) = tokio::join!(b.ensemble.close(10 * SECOND), async { drop(leads) });
    closed.unwrap();
    assert_eq!(waits.await.unwrap().unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(run.await.unwrap().unwrap(), Outcome::Stopped);
    sleep(2 * TTL).await;
    assert!(a.queue().is_empty());
    assert_eq!(a.memory.sessions_now(), [session(&a)]);
}

#[tokio::test(start_paused = true)]
async fn names_that_nest() {
    let process = Process::first();
    let mut held = Vec::new();
    for name in ["a", "a/b", "ab", "a/b/c", "b"] {
        let election = process.ensemble.election(name).unwrap();
        held.push(timeout(SECOND, election.candidate().campaign()).await.unwrap().unwrap());
        assert_eq!(election.candidates().await.unwrap().len(), 1);
    }
    assert!(held.iter().all(|leadership| leadership.is_valid()));
}

#[tokio::test(start_paused = true)]
async fn own_entry_deleted_by_an_operator() {
    let (a, leads, _b, waits) = two().await;
    a.evict_own_entry().await;
    assert!(!leads.is_valid());
    let reason = bounded("the loss is told", leads.lost()).await;
    assert!(matches!(reason, LossReason::EntryRemoved), "{reason}");
    assert!(bounded("b leads", waits).await.unwrap().unwrap().is_valid());
}

#[tokio::test(start_paused = true)]
async fn own_entry_deleted_behind_a_cut() {
    let (a, leads, _b, waits) = two().await;
    a.memory.link().cut();
    let deadline = leads.remaining();
    a.evict_own_entry().await;
    let next = bounded("b leads", waits).await.unwrap().unwrap();
    // Nobody can tell it. The overlap is bounded by its deadline, and covered by the tokens.
    assert!(leads.is_valid() && next.token() > leads.token());
    a.memory.link().heal();
    quiet().await;
    assert!(!leads.is_valid(), "it is told as soon as it can be, not when {deadline:?} are over");
}

#[tokio::test(start_paused = true)]
async fn own_entry_deleted_while_its_watch_is_broken() {
    let (a, leads, _b, waits) = two().await;
    a.memory.link().refuse(true);
    a.memory.link().break_watches();
    quiet().await;
    a.evict_own_entry().await;
    bounded("b leads", waits).await.unwrap().unwrap();
    a.memory.link().refuse(false);
    let reason = timeout(2 * SECOND, leads.lost()).await.expect("the next read tells it");
    assert!(matches!(reason, LossReason::EntryRemoved), "{reason}");
}
