//! Letting go of leadership: resigning and dropping the guard.

mod common;

use std::time::Duration;

use common::{Process, TTL, bounded, eventually, quiet};
use incumbent::LossReason;
use incumbent_memory::Loss;
use tokio::time::{Instant, sleep, timeout};

const SECOND: Duration = Duration::from_secs(1);
const MILLI: Duration = Duration::from_millis(1);

#[tokio::test(start_paused = true)]
async fn resigning_ends_it_before_the_entry_goes() {
    let process = Process::first();
    let leadership = process.election.candidate().campaign().await.unwrap();
    let view = leadership.view();
    process.memory.link().delay_requests(SECOND / 10..=SECOND / 10);
    let resign = tokio::spawn(leadership.resign());
    quiet().await;
    assert!(!view.is_valid() && !process.queue().is_empty());
    let reason = bounded("the loss is told", view.lost()).await;
    assert!(matches!(reason, LossReason::Resigned), "{reason}");
    resign.await.unwrap().unwrap();
    assert!(process.queue().is_empty(), "who has waited for it finds the entry gone");
}

#[tokio::test(start_paused = true)]
async fn dropping_it_hands_over() {
    let process = Process::first();
    let leadership = process.election.candidate().id("a").campaign().await.unwrap();
    let next = tokio::spawn(process.another().election.candidate().id("b").campaign());
    process.queue_becomes(&["a", "b"]).await;
    let (view, token) = (leadership.view(), leadership.token());
    drop(leadership);
    assert!(!view.is_valid(), "at once, not when the entry is gone");
    let reason = bounded("the loss is told", view.lost()).await;
    assert!(matches!(reason, LossReason::Resigned), "{reason}");
    let next = timeout(MILLI, next).await.unwrap().unwrap().unwrap();
    assert!(next.token() > token);
}

#[tokio::test(start_paused = true)]
async fn a_resignation_that_is_dropped_goes_on() {
    let process = Process::first();
    let leadership = process.election.candidate().campaign().await.unwrap();
    process.memory.link().cut();
    assert!(timeout(SECOND, leadership.resign()).await.is_err());
    process.memory.link().heal();
    process.queue_becomes(&[]).await;
    eventually("nobody stands", || process.ensemble.status().candidates == 0).await;
    assert_eq!(process.memory.sessions_now().len(), 1, "the session carries others and is kept");
}

#[tokio::test(start_paused = true)]
async fn a_resignation_over_a_cut_waits_until_the_entry_is_gone() {
    let process = Process::first();
    let leadership = process.election.candidate().campaign().await.unwrap();
    process.memory.link().cut();
    let resign = tokio::spawn(leadership.resign());
    sleep(TTL / 2).await;
    assert!(!resign.is_finished() && !process.queue().is_empty());
    process.memory.link().heal();
    bounded("the resignation is answered", resign).await.unwrap().unwrap();
    assert!(process.queue().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_resignation_ends_with_the_session() {
    let process = Process::first();
    let leadership = process.election.candidate().campaign().await.unwrap();
    process.memory.link().cut();
    let resign = tokio::spawn(leadership.resign());
    sleep(2 * TTL).await;
    assert!(process.queue().is_empty(), "the TTL is over");
    process.memory.link().heal();
    bounded("the resignation is answered", resign).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_removal_whose_answer_is_lost_is_done_and_told() {
    let process = Process::first();
    let leadership = process.election.candidate().campaign().await.unwrap();
    process.memory.link().lose_replies(Loss::Next(1));
    leadership.resign().await.unwrap();
    assert!(process.queue().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_lost_guard_that_is_held_on_to_blocks_nobody() {
    let process = Process::first();
    let held = process.election.candidate().id("a").campaign().await.unwrap();
    let next = tokio::spawn(process.another().election.candidate().id("b").campaign());
    process.queue_becomes(&["a", "b"]).await;
    process.memory.link().cut();
    bounded("it is lost", held.lost()).await;
    // In time for its session, too late for its guard.
    process.memory.link().heal();
    let begun = Instant::now();
    let leadership = bounded("the next one leads", next).await.unwrap().unwrap();
    assert!(begun.elapsed() < 2 * SECOND, "it took {:?}", begun.elapsed());
    assert!(leadership.is_valid() && !held.is_valid());
    held.resign().await.unwrap();
    assert!(leadership.is_valid());
}
