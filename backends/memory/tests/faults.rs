//! What goes wrong on purpose goes wrong as it says.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests may fail the test")]

use std::{sync::Arc, time::Duration};

use incumbent_core::{
    Backend, ElectionName, ErrorKind, Guid, Life, PlaceEvent, Profile, QueueEvent, Session, SessionOptions,
};
use incumbent_memory::{Loss, Memory};
use tokio::time::timeout;

const TTL: Duration = Duration::from_secs(5);
const LONG: Duration = Duration::from_secs(60);

fn election() -> ElectionName {
    ElectionName::new("billing/nightly-report").unwrap()
}

async fn session(memory: &Memory) -> Arc<dyn Session> {
    memory.open_session(&SessionOptions::new(TTL)).await.unwrap()
}

fn worker() -> Profile {
    Profile::new("worker-7")
}

#[tokio::test(start_paused = true)]
async fn a_cut_client_loses_its_session_on_time_and_learns_it_when_healed() {
    let memory = Memory::new();
    let (cut, other) = (memory.client(), memory.client());
    let (first, second) = (session(&cut).await, session(&other).await);
    first.enqueue(&election(), Guid::random(), &worker()).await.unwrap();
    let (own, place) = second.enqueue(&election(), Guid::random(), &worker()).await.unwrap();
    let mut watch = second.watch(&election(), &own, &place);
    let mut life = first.life();
    let Life::Alive { deadline, suspended: None } = life.borrow_and_update().clone() else { panic!("{life:?}") };

    let clock = memory.clock();
    let at = clock.now();
    cut.link().cut();
    life.changed().await.unwrap();
    assert!(matches!(&*life.borrow_and_update(), Life::Alive { suspended: Some(_), .. }));
    assert_eq!(first.place(&election(), &own).await.unwrap_err().kind(), ErrorKind::Unavailable);
    let write = first.enqueue(&election(), Guid::random(), &worker()).await.unwrap_err();
    assert_eq!(write.kind(), ErrorKind::OutcomeUnknown);

    assert_eq!(timeout(LONG, watch.next()).await.unwrap(), PlaceEvent::AheadGone { unbroken: true });
    assert!(!deadline.holds(clock.now()), "ended after its entry went");
    assert!(clock.now().since(at) <= TTL, "{:?}", clock.now().since(at));
    assert!(!memory.session_alive(first.id()));

    cut.link().heal();
    timeout(LONG, life.changed()).await.unwrap().unwrap();
    assert!(matches!(&*life.borrow(), Life::Ended(error) if error.kind() == ErrorKind::SessionGone));
    assert_eq!(memory.queue_now(&election()).len(), 1, "the write that was held found the session gone");
}

#[tokio::test(start_paused = true)]
async fn life_is_proven_from_the_sending_on() {
    let memory = Memory::new();
    let delay = Duration::from_millis(400);
    memory.link().delay_requests(delay..=delay);
    memory.link().delay_replies(delay..=delay);
    let opened = memory.clock().now();
    let session = session(&memory).await;
    let mut proven = Vec::new();
    for _ in 0..2 {
        let Life::Alive { deadline, .. } = session.life().borrow().clone() else { panic!() };
        proven.push(deadline.until().since(opened));
        deadline.moved_from(deadline.until()).await;
        // Timers are of whole milliseconds.
        assert!(memory.clock().now().since(opened) >= TTL / 5 * proven.len() as u32 + 2 * delay);
    }
    let margin = SessionOptions::new(TTL).margin(TTL);
    assert_eq!(proven, [TTL - margin, TTL - margin + TTL / 5]);
}

#[tokio::test(start_paused = true)]
async fn a_late_write_lands_and_retiring_removes_it() {
    let memory = Memory::new();
    let session = session(&memory).await;
    let guid = Guid::random();
    memory.link().land_late(3 * TTL);
    let error = session.enqueue(&election(), guid, &worker()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown);
    assert!(memory.queue_now(&election()).is_empty());
    let mut queue = memory.watch(&election(), memory.list(&election()).await.unwrap().revision);
    assert!(matches!(timeout(LONG, queue.next()).await.unwrap(), QueueEvent::Joined(_)));
    session.retire(&election(), guid).await.unwrap();
    assert!(matches!(timeout(LONG, queue.next()).await.unwrap(), QueueEvent::Left(_)));
    assert_eq!(session.enqueue(&election(), guid, &worker()).await.unwrap_err().kind(), ErrorKind::Refused);

    let other = Guid::random();
    memory.link().land_late(3 * TTL);
    session.enqueue(&election(), other, &worker()).await.unwrap_err();
    session.retire(&election(), other).await.unwrap();
    timeout(4 * TTL, queue.next()).await.expect_err("a retired name never stands");
    assert!(memory.queue_now(&election()).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_retirement_that_failed_is_done_when_there_is_contact() {
    let memory = Memory::new();
    let session = session(&memory).await;
    let (guid, link) = (Guid::random(), memory.link());
    session.enqueue(&election(), guid, &worker()).await.unwrap();
    link.lose_requests(Loss::Next(1));
    assert_eq!(session.retire(&election(), guid).await.unwrap_err().kind(), ErrorKind::OutcomeUnknown);
    let mut queue = memory.watch(&election(), memory.list(&election()).await.unwrap().revision);
    assert!(matches!(timeout(TTL, queue.next()).await.unwrap(), QueueEvent::Left(_)));
}

#[tokio::test(start_paused = true)]
async fn a_frozen_ensemble_ends_no_session_and_goes_on_where_it_was() {
    let memory = Memory::new();
    let session = session(&memory).await;
    let clock = memory.clock();
    let mut life = session.life();
    memory.faults().freeze();
    clock.sleep_until(clock.now() + 4 * TTL).await;
    assert!(memory.session_alive(session.id()));
    let Life::Alive { deadline: old, suspended: Some(_) } = life.borrow_and_update().clone() else { panic!() };
    assert!(!old.holds(clock.now()));
    memory.faults().thaw();
    timeout(TTL, life.changed()).await.unwrap().unwrap();
    let Life::Alive { deadline: new, suspended: None } = life.borrow_and_update().clone() else { panic!() };
    assert!(new.holds(clock.now()) && !old.holds(clock.now()));
}

#[tokio::test(start_paused = true)]
async fn a_lost_reply_leaves_the_write() {
    let memory = Memory::new();
    let session = session(&memory).await;
    let guid = Guid::random();
    memory.link().lose_replies(Loss::Next(1));
    let error = session.enqueue(&election(), guid, &worker()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown);
    let (key, _) = session.enqueue(&election(), guid, &worker()).await.unwrap();
    let entries = memory.queue_now(&election());
    assert_eq!(entries.iter().map(|entry| &entry.key).collect::<Vec<_>>(), [&key]);
}

#[tokio::test(start_paused = true)]
async fn a_refused_request_was_never_sent() {
    let memory = Memory::new();
    let session = session(&memory).await;
    memory.link().refuse(true);
    let error = session.enqueue(&election(), Guid::random(), &worker()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(memory.endpoints().await[0].answer.is_err());
    memory.link().repair();
    assert!(memory.queue_now(&election()).is_empty());
}

#[tokio::test(start_paused = true)]
async fn watches_break_and_reconnect() {
    let memory = Memory::new();
    let session = session(&memory).await;
    let (first, _) = session.enqueue(&election(), Guid::random(), &worker()).await.unwrap();
    let (own, place) = session.enqueue(&election(), Guid::random(), &worker()).await.unwrap();
    let mut broken = session.watch(&election(), &own, &place);
    memory.link().break_watches();
    assert_eq!(broken.next().await, PlaceEvent::Broken);

    let mut watch = session.watch(&election(), &own, &place);
    memory.link().reconnect();
    session.remove(&election(), &first).await.unwrap();
    assert_eq!(watch.next().await, PlaceEvent::AheadGone { unbroken: false });
    assert!(memory.faults().evict(&election(), &own.name));
    assert_eq!(watch.next().await, PlaceEvent::OwnGone);
}

#[tokio::test(start_paused = true)]
async fn events_are_held_while_cut_and_delayed_as_replies_are() {
    let memory = Memory::new();
    let (watcher, other) = (memory.client(), memory.client());
    let (mine, theirs) = (session(&watcher).await, session(&other).await);
    let (first, _) = theirs.enqueue(&election(), Guid::random(), &worker()).await.unwrap();
    let (own, place) = mine.enqueue(&election(), Guid::random(), &worker()).await.unwrap();
    let mut watch = mine.watch(&election(), &own, &place);
    let mut queue = watcher.watch(&election(), place.revision);
    watcher.link().cut();
    theirs.remove(&election(), &first).await.unwrap();
    timeout(TTL / 2, watch.next()).await.expect_err("nothing comes over a cut link");
    assert!(matches!(queue.next().await, QueueEvent::Suspended(_)));
    watcher.link().heal();
    assert_eq!(watch.next().await, PlaceEvent::AheadGone { unbroken: false });
    assert!(matches!(queue.next().await, QueueEvent::Resumed));
    assert!(matches!(queue.next().await, QueueEvent::Left(name) if name == first.name));

    let delay = Duration::from_millis(700);
    watcher.link().delay_replies(delay..=delay);
    theirs.enqueue(&election(), Guid::random(), &worker()).await.unwrap();
    let at = memory.clock().now();
    assert!(matches!(queue.next().await, QueueEvent::Joined(_)));
    assert!(memory.clock().now().since(at) >= delay);
}

#[tokio::test(start_paused = true)]
async fn one_end_of_a_session_with_both_entries_is_the_end_of_the_own_one() {
    let memory = Memory::new();
    let session = session(&memory).await;
    session.enqueue(&election(), Guid::random(), &worker()).await.unwrap();
    let (own, place) = session.enqueue(&election(), Guid::random(), &worker()).await.unwrap();
    let mut watch = session.watch(&election(), &own, &place);
    assert!(memory.faults().expire(session.id()));
    assert_eq!(watch.next().await, PlaceEvent::OwnGone);
}

#[tokio::test(start_paused = true)]
async fn a_strangers_entry_stands_in_line() {
    let memory = Memory::new();
    let session = session(&memory).await;
    let key = memory.faults().insert_foreign(&election(), "stray", b"\xff".to_vec(), None).unwrap();
    let (_, place) = session.enqueue(&election(), Guid::random(), &worker()).await.unwrap();
    assert_eq!(place.next.unwrap().token, Some(key.token));
    let entries = memory.list(&election()).await.unwrap().entries;
    assert!(!entries[0].ours && entries[1].ours);
    assert_eq!(entries[0].profile.undecoded.as_deref(), Some(&b"\xff"[..]));
    memory.faults().insert_foreign(&election(), "stray", "", None).unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_comes_too_late_is_broken() {
    let memory = Memory::new().history(2);
    let session = session(&memory).await;
    let from = memory.list(&election()).await.unwrap().revision;
    for _ in 0..3 {
        session.enqueue(&election(), Guid::random(), &worker()).await.unwrap();
    }
    assert!(matches!(memory.watch(&election(), from).next().await, QueueEvent::Broken));
}

#[tokio::test(start_paused = true)]
async fn the_granted_ttl_is_within_the_limits() {
    let memory = Memory::new().ttl(4 * TTL..=8 * TTL);
    assert_eq!(session(&memory).await.ttl(), 4 * TTL);
    let error = memory.open_session(&SessionOptions::new(Duration::ZERO)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[tokio::test(start_paused = true)]
async fn one_name_is_one_ensemble_while_somebody_holds_it() {
    let (one, two, other) = (Memory::named("shared"), Memory::named("shared"), Memory::named("other"));
    let session = session(&one).await;
    session.enqueue(&election(), Guid::random(), &worker()).await.unwrap();
    assert_eq!((two.queue_now(&election()).len(), other.queue_now(&election()).len()), (1, 0));
    assert_ne!(one.link().name(), two.link().name());
    session.close().await.unwrap();
    drop((session, one, two));
    assert!(Memory::named("shared").sessions_now().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_dropped_session_is_as_a_dead_process() {
    let memory = Memory::new();
    let session = session(&memory).await;
    session.enqueue(&election(), Guid::random(), &worker()).await.unwrap();
    let mut queue = memory.watch(&election(), memory.list(&election()).await.unwrap().revision);
    let (mut life, at) = (session.life(), memory.clock().now());
    drop(session);
    life.changed().await.unwrap();
    assert!(matches!(&*life.borrow(), Life::Ended(_)));
    assert!(matches!(timeout(LONG, queue.next()).await.unwrap(), QueueEvent::Left(_)));
    assert!(memory.clock().now().since(at) >= TTL);
}
