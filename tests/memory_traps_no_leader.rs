//! What broke other libraries, each test named after its trap: no leader, for ever.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may fail the test")]

mod common;

use std::time::Duration;

use common::{Process, TTL, bounded, eventually, quiet};
use incumbent::{CandidateEvent, ErrorKind, Leadership, Options, core::Backend as _};
use incumbent_memory::{Loss, Memory};
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

const SECOND: Duration = Duration::from_secs(1);
const MILLI: Duration = Duration::from_millis(1);

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
async fn lost_create_reply() {
    let process = Process::first();
    drop(process.election.candidate().campaign().await.unwrap());
    process.queue_becomes(&[]).await;
    for lost in 1..=3 {
        process.memory.link().lose_replies(Loss::Next(lost));
        let leadership = bounded("it leads", process.election.candidate().id("a").campaign()).await.unwrap();
        assert_eq!(process.queue(), ["a"], "one entry, however often it was asked for");
        leadership.resign().await.unwrap();
        assert!(process.queue().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn future_dropped_mid_join() {
    let (a, leads, b, _waits) = two().await;
    b.memory.link().cut();
    let campaign = b.election.candidate().id("dropped").campaign();
    assert!(timeout(TTL / 2, campaign).await.is_err());
    assert_eq!(a.queue(), ["a", "b"]);
    // What was under way lands now.
    b.memory.link().heal();
    sleep(2 * SECOND).await;
    assert_eq!(a.queue(), ["a", "b"]);
    drop(leads);
}

#[tokio::test(start_paused = true)]
async fn zombie_entry_after_a_join_that_failed() {
    let (a, _leads, b, _waits) = two().await;
    // It lands after its candidate has lost patience.
    b.memory.link().land_late(3 * SECOND);
    assert!(b.election.candidate().id("late").try_campaign(2 * SECOND).await.unwrap().is_none());
    sleep(2 * TTL).await;
    assert_eq!(a.queue(), ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn zombie_entry_after_a_resignation_that_failed() {
    let (a, leads, _b, waits) = two().await;
    a.memory.link().lose_requests(Loss::Next(3));
    let resigned = Instant::now();
    drop(leads);
    bounded("b leads", waits).await.unwrap().unwrap();
    // Each of them costs a request timeout and a pause.
    assert!(resigned.elapsed() < 3 * (SECOND + SECOND / 2), "it took {:?}", resigned.elapsed());
    assert_eq!(a.memory.sessions_now().len(), 2, "the session that carried it lives");
}

#[tokio::test(start_paused = true)]
async fn parent_reaped() {
    let process = Process::first();
    let candidate = |name: String| process.ensemble.election(name).unwrap().candidate();
    let observer = process.election.observe();
    // So many come and go that the store forgets them, those watched as well as others.
    for number in 0..1_000 {
        candidate(format!("jobs/{number}")).campaign().await.unwrap().resign().await.unwrap();
    }
    for name in ["jobs/0", "jobs/a"] {
        let leadership = candidate(name.into()).campaign().await.unwrap();
        quiet().await;
        assert!(leadership.is_valid());
        assert_eq!(observer.current().is_some(), name == "jobs/a");
    }
}

#[test]
fn loop_dead_silently() {
    let new = || tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let (dying, living) = (new(), new());
    let (a, b) = dying.block_on(async {
        let a = Process::first();
        let b = a.another();
        (a, b)
    });
    let leads = dying.block_on(a.election.candidate().id("a").campaign()).unwrap();
    let mut observer = {
        let _inside = dying.enter();
        b.election.observe()
    };
    let campaign = living.spawn({
        let candidate = b.election.candidate().id("b");
        async move { candidate.campaign().await }
    });
    // The campaign begins there and its work is done here.
    living.block_on(async { tokio::task::yield_now().await });
    dying.block_on(a.queue_becomes(&["a", "b"]));
    drop(dying);
    let died = living.block_on(campaign).unwrap().unwrap_err();
    assert!(died.kind() == ErrorKind::Unexpected && died.to_string().contains("runtime"), "{died}");
    let blind = living.block_on(async {
        loop {
            if let Err(error) = observer.next().await {
                return error;
            }
        }
    });
    assert!(blind.to_string().contains("runtime"), "{blind}");
    assert!(!leads.is_valid());
}

#[tokio::test(start_paused = true)]
async fn waiter_not_woken_after_suspension() {
    let (_a, leads, b, waits) = two().await;
    b.memory.link().cut();
    sleep(SECOND).await;
    leads.resign().await.unwrap();
    sleep(SECOND).await;
    assert!(!waits.is_finished());
    b.memory.link().heal();
    let healed = Instant::now();
    let leadership = bounded("b leads", waits).await.unwrap().unwrap();
    assert!(leadership.is_valid() && healed.elapsed() < SECOND, "it took {:?}", healed.elapsed());
}

#[tokio::test(start_paused = true)]
async fn waiter_not_woken_after_its_watch_broke() {
    let (_a, leads, b, waits) = two().await;
    b.memory.link().refuse(true);
    b.memory.link().break_watches();
    sleep(SECOND).await;
    leads.resign().await.unwrap();
    b.memory.link().refuse(false);
    assert!(timeout(2 * SECOND, waits).await.unwrap().unwrap().unwrap().is_valid());
}

#[tokio::test(start_paused = true)]
async fn listener_blocks_the_event_thread() {
    let process = Process::first();
    // Nobody ever reads what is told.
    let (events, _unread) = mpsc::unbounded_channel::<CandidateEvent>();
    for _ in 0..1_000 {
        process.election.candidate().events(events.clone()).campaign().await.unwrap().resign().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn stray_foreign_entry_is_listed_and_waited_behind() {
    let process = Process::first();
    let faults = process.memory.faults();
    let foreign = faults.insert_foreign(&process.name(), "a-stranger", b"\xff\xfe".to_vec(), None).unwrap();
    let waits = tokio::spawn(process.election.candidate().id("ours").campaign());
    eventually("ours stands", || process.queue().len() == 2).await;
    let entries = process.election.candidates().await.unwrap();
    assert!(!entries[0].ours && entries[1].ours);
    assert_eq!((entries[0].key.clone(), entries[0].session), (foreign, None));
    assert_eq!(entries[0].profile.undecoded.as_deref(), Some(&b"\xff\xfe"[..]));
    sleep(3 * TTL).await;
    assert!(!waits.is_finished(), "whoever stands first leads, whatever made it");
    assert!(faults.evict(&process.name(), "a-stranger"));
    bounded("ours leads", waits).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn foreign_entry_in_the_middle() {
    let (a, leads, _b, waits) = two().await;
    let other = a.another();
    let foreign_session = other.memory.open_session(&incumbent::core::SessionOptions::new(TTL)).await.unwrap();
    let id = Some(foreign_session.id());
    a.memory.faults().insert_foreign(&a.name(), "0-sorts-first", b"\x00".to_vec(), id).unwrap();
    let last = tokio::spawn(a.another().election.candidate().id("c").campaign());
    eventually("all stand", || a.queue().len() == 4).await;
    drop(leads);
    drop(bounded("b leads", waits).await.unwrap().unwrap());
    sleep(TTL).await;
    assert!(!last.is_finished(), "the foreign one leads");
    // It dies with its session.
    drop(foreign_session);
    let leadership = bounded("c leads", last).await.unwrap().unwrap();
    assert!(leadership.is_valid());
}

#[tokio::test(start_paused = true)]
async fn write_that_lands_later() {
    let process = Process::first();
    drop(process.election.candidate().campaign().await.unwrap());
    process.queue_becomes(&[]).await;
    // The first attempt to join hangs somewhere, the second one succeeds and is resigned: then the first one lands.
    process.memory.link().land_late(2 * TTL);
    let leadership = bounded("it leads", process.election.candidate().id("a").campaign()).await.unwrap();
    leadership.resign().await.unwrap();
    for _ in 0..300 {
        sleep(SECOND / 10).await;
        assert!(process.queue().is_empty(), "{:?}", process.queue());
    }
    assert!(process.memory.session_alive(session(&process)), "with a live session it would have stood for ever");
}

#[tokio::test(start_paused = true)]
async fn removal_that_lands_later() {
    let process = Process::first();
    let first = process.election.candidate().id("a").campaign().await.unwrap();
    process.memory.link().land_late(TTL);
    first.resign().await.unwrap();
    let second = process.election.candidate().id("a").campaign().await.unwrap();
    sleep(3 * TTL).await;
    assert!(second.is_valid(), "the removal of the first entry took the second");
    assert_eq!(process.queue(), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn guard_dropped_by_question_mark() {
    let (_a, leads, _b, waits) = two().await;
    async fn job(leadership: Leadership) -> Result<(), std::num::ParseIntError> {
        let _under = leadership;
        "nonsense".parse::<u32>()?;
        Ok(())
    }
    job(leads).await.unwrap_err();
    assert!(timeout(MILLI, waits).await.unwrap().unwrap().unwrap().is_valid());
}

#[tokio::test(start_paused = true)]
async fn uncapped_reconnect() {
    let (a, leads, b, waits) = two().await;
    for process in [&a, &b] {
        process.memory.link().refuse(true);
        process.memory.link().break_watches();
    }
    sleep(1_000 * TTL).await;
    assert!(!leads.is_valid() && a.memory.sessions_now().is_empty());
    drop(leads);
    b.memory.link().refuse(false);
    let leadership = timeout(2 * SECOND, waits).await.expect("long pauses have a cap").unwrap().unwrap();
    assert!(leadership.is_valid());
}

#[tokio::test(start_paused = true)]
async fn session_shorter_than_asked() {
    let memory = Memory::new().ttl(SECOND..=3 * SECOND);
    let process = Process::of(memory, Options::new().ttl(TTL).request_timeout(SECOND / 2));
    let leadership = process.election.candidate().campaign().await.unwrap();
    assert_eq!(process.ensemble.status().session.unwrap().ttl, 3 * SECOND);
    assert_eq!(leadership.remaining(), 3 * SECOND - SECOND * 3 / 10, "what was granted counts");
    process.memory.link().cut();
    bounded("it is asked to stop", leadership.stopping()).await;
    let left = leadership.remaining();
    assert!(left <= 3 * SECOND / 4 && left + 2 * MILLI >= 3 * SECOND / 4, "{left:?}");
}
