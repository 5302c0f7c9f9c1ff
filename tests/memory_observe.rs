//! Following an election without standing for it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may fail the test")]

mod common;

use std::time::Duration;

use common::{Process, TTL, bounded, eventually, quiet};
use incumbent::{Change, ErrorKind, Observer, core::Backend};
use tokio::time::{sleep, timeout};

const SECOND: Duration = Duration::from_secs(1);

/// The next change, in short.
async fn next(observer: &mut Observer) -> String {
    match bounded("something is told", observer.next()).await.unwrap() {
        Change::Snapshot(entries) => {
            let ids: Vec<_> = entries.iter().map(|entry| entry.profile.id.as_str()).collect();
            format!("snapshot {}", ids.join(" "))
        }
        Change::Leader(entry) => format!("leader {}", entry.profile.id),
        Change::Nobody => "nobody".into(),
        Change::Joined(entry) => format!("joined {}", entry.profile.id),
        Change::Left(entry) => format!("left {}", entry.profile.id),
        Change::Suspended => "suspended".into(),
        Change::Resumed => "resumed".into(),
        other => panic!("{other:?}"),
    }
}

async fn nothing_more(observer: &mut Observer) {
    if let Ok(change) = timeout(10 * TTL, observer.next()).await {
        panic!("{change:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_comes_first_and_then_each_change() {
    let process = Process::first();
    let a = process.election.candidate().id("a").campaign().await.unwrap();
    let mut observer = process.another().election.observe();
    assert_eq!(next(&mut observer).await, "snapshot a");
    let b = tokio::spawn(process.another().election.candidate().id("b").campaign());
    assert_eq!(next(&mut observer).await, "joined b");
    drop(a);
    assert_eq!(next(&mut observer).await, "left a");
    assert_eq!(next(&mut observer).await, "leader b");
    drop(b.await.unwrap().unwrap());
    assert_eq!(next(&mut observer).await, "left b");
    assert_eq!(next(&mut observer).await, "nobody");
    let _c = process.election.candidate().id("c").campaign().await.unwrap();
    assert_eq!(next(&mut observer).await, "joined c");
    assert_eq!(next(&mut observer).await, "leader c");
    nothing_more(&mut observer).await;
}

#[tokio::test(start_paused = true)]
async fn an_election_without_candidates_has_an_empty_snapshot() {
    let process = Process::first();
    let mut observer = process.election.observe();
    assert_eq!(next(&mut observer).await, "snapshot ");
    assert_eq!(observer.current(), None);
    nothing_more(&mut observer).await;
    assert!(process.memory.sessions_now().is_empty(), "who only looks needs no session");
}

#[tokio::test(start_paused = true)]
async fn the_current_leader_and_its_address_are_known_without_io() {
    let process = Process::first();
    let candidate = process.election.candidate().id("a").advertise("http://10.0.0.7:8080");
    let a = candidate.campaign().await.unwrap();
    let other = process.another();
    let observer = other.election.observe();
    assert_eq!(observer.current(), None, "nothing is known yet");
    eventually("it is known", || observer.current().is_some()).await;
    other.memory.link().cut();
    let current = observer.current().unwrap();
    assert_eq!(current.profile.address.as_deref(), Some("http://10.0.0.7:8080"));
    assert_eq!(current.key.token, a.token());
    drop(a);
    sleep(TTL).await;
    assert_eq!(observer.current().unwrap().profile.id, "a", "a hint, possibly outdated");
    other.memory.link().heal();
    eventually("it is known that nobody leads", || observer.current().is_none()).await;
}

#[tokio::test(start_paused = true)]
async fn a_leader_can_be_waited_for() {
    let process = Process::first();
    let mut observer = process.another().election.observe();
    assert!(timeout(10 * TTL, observer.leader()).await.is_err(), "nobody leads");
    let _a = process.election.candidate().id("a").campaign().await.unwrap();
    assert_eq!(bounded("somebody leads", observer.leader()).await.unwrap().profile.id, "a");
    assert_eq!(next(&mut observer).await, "snapshot a");
    assert_eq!(bounded("it is known", observer.leader()).await.unwrap().profile.id, "a");
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_gets_to_the_latest_state_in_one_step() {
    let process = Process::first();
    let mut observer = process.another().election.observe();
    assert_eq!(next(&mut observer).await, "snapshot ");
    for number in 0..1_000 {
        process.election.candidate().id(number.to_string()).campaign().await.unwrap().resign().await.unwrap();
    }
    let _last = process.election.candidate().id("last").campaign().await.unwrap();
    quiet().await;
    assert_eq!(next(&mut observer).await, "joined last");
    assert_eq!(next(&mut observer).await, "leader last");
    nothing_more(&mut observer).await;
}

#[tokio::test(start_paused = true)]
async fn each_clone_begins_with_a_snapshot_of_its_own() {
    let process = Process::first();
    let mut observer = process.election.observe();
    let mut early = observer.clone();
    assert_eq!(next(&mut observer).await, "snapshot ");
    let a = process.election.candidate().id("a").campaign().await.unwrap();
    assert_eq!(next(&mut observer).await, "joined a");
    // In the middle of what one change brings.
    let mut late = observer.clone();
    assert_eq!(next(&mut early).await, "snapshot a");
    assert_eq!(next(&mut late).await, "snapshot a");
    assert_eq!(next(&mut observer).await, "leader a");
    drop(a);
    for observer in [&mut observer, &mut early, &mut late] {
        assert_eq!(next(observer).await, "left a");
        assert_eq!(next(observer).await, "nobody");
    }
}

#[tokio::test(start_paused = true)]
async fn a_cut_is_told_and_nothing_is_missed() {
    let process = Process::first();
    let other = process.another();
    let a = process.election.candidate().id("a").campaign().await.unwrap();
    let mut observer = other.election.observe();
    assert_eq!(next(&mut observer).await, "snapshot a");
    other.memory.link().cut();
    assert_eq!(next(&mut observer).await, "suspended");
    drop(a);
    let _b = process.election.candidate().id("b").campaign().await.unwrap();
    nothing_more(&mut observer).await;
    other.memory.link().heal();
    let mut told = Vec::new();
    while told.last().map(String::as_str) != Some("leader b") {
        told.push(next(&mut observer).await);
    }
    assert_eq!(told[0], "resumed");
    assert!(told.contains(&"left a".into()) && told.contains(&"joined b".into()), "{told:?}");
    nothing_more(&mut observer).await;
}

#[tokio::test(start_paused = true)]
async fn broken_watches_are_made_anew() {
    let process = Process::first();
    let other = process.another();
    let mut observer = other.election.observe();
    assert_eq!(next(&mut observer).await, "snapshot ");
    for number in 0..5 {
        other.memory.link().break_watches();
        let id = number.to_string();
        let leadership = process.election.candidate().id(&id).campaign().await.unwrap();
        assert_eq!(next(&mut observer).await, format!("joined {id}"));
        assert_eq!(next(&mut observer).await, format!("leader {id}"));
        other.memory.link().break_watches();
        leadership.resign().await.unwrap();
        assert_eq!(next(&mut observer).await, format!("left {id}"));
        assert_eq!(next(&mut observer).await, "nobody");
    }
}

#[tokio::test(start_paused = true)]
async fn an_ensemble_that_does_not_answer_is_asked_again() {
    let process = Process::first();
    let other = process.another();
    let mut observer = other.election.observe();
    assert_eq!(next(&mut observer).await, "snapshot ");
    // The watch breaks, and no listing gets through.
    other.memory.link().refuse(true);
    other.memory.link().break_watches();
    assert_eq!(next(&mut observer).await, "suspended");
    let _a = process.election.candidate().id("a").campaign().await.unwrap();
    nothing_more(&mut observer).await;
    other.memory.link().refuse(false);
    let mut told = [next(&mut observer).await, next(&mut observer).await, next(&mut observer).await];
    told.sort();
    assert_eq!(told, ["joined a", "leader a", "resumed"]);
}

#[tokio::test(start_paused = true)]
async fn it_begins_when_the_ensemble_does() {
    let process = Process::first();
    let other = process.another();
    other.memory.link().refuse(true);
    let mut observer = other.election.observe();
    nothing_more(&mut observer).await;
    other.memory.link().refuse(false);
    assert_eq!(timeout(2 * SECOND, next(&mut observer)).await.unwrap(), "snapshot ");
}

#[tokio::test(start_paused = true)]
async fn a_history_that_is_too_short_costs_a_listing_and_nothing_else() {
    let process = Process::first();
    let memory = process.memory.client().history(1);
    let other = Process::of(memory, incumbent::Options::new());
    let mut observer = other.election.observe();
    assert_eq!(next(&mut observer).await, "snapshot ");
    other.memory.link().delay_replies(SECOND / 10..=SECOND / 10);
    for _ in 0..10 {
        drop(process.election.candidate().id("a").campaign().await.unwrap());
        quiet().await;
    }
    let _b = process.election.candidate().id("b").campaign().await.unwrap();
    sleep(SECOND).await;
    assert_eq!(observer.current().unwrap().profile.id, "b");
    assert_eq!(next(&mut observer).await, "joined b");
    assert_eq!(next(&mut observer).await, "leader b");
}

#[tokio::test(start_paused = true)]
async fn it_ends_with_a_reason() {
    let process = Process::first();
    let mut observer = process.election.observe();
    assert_eq!(next(&mut observer).await, "snapshot ");
    let waiting = tokio::spawn({
        let mut observer = observer.clone();
        async move {
            observer.next().await.unwrap();
            observer.next().await
        }
    });
    quiet().await;
    process.ensemble.close(SECOND).await.unwrap();
    let error = bounded("the end is told", waiting).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    for _ in 0..3 {
        let error = bounded("the end is told", observer.next()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Closed);
    }
    assert_eq!(observer.current(), None);
    assert_eq!(bounded("the end is told", observer.leader()).await.unwrap_err().kind(), ErrorKind::Closed);
}

#[tokio::test(start_paused = true)]
async fn observers_of_two_elections_do_not_see_each_others() {
    let process = Process::first();
    let mut observers =
        ["jobs/a", "jobs/a/b", "jobs/ab", "jobs"].map(|name| process.ensemble.election(name).unwrap().observe());
    for observer in &mut observers {
        assert_eq!(next(observer).await, "snapshot ");
    }
    let _leads = process.ensemble.election("jobs/a").unwrap().candidate().id("a").campaign().await.unwrap();
    let [a, others @ ..] = &mut observers;
    assert_eq!(next(a).await, "joined a");
    for observer in others {
        nothing_more(observer).await;
    }
    assert_eq!(process.memory.elections("").await.unwrap(), ["jobs/a"]);
}
