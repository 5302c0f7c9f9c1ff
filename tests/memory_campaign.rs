//! Campaigns: how leadership begins.

mod common;

use std::time::Duration;

use common::{Process, TTL, bounded, eventually, quiet};
use incumbent::{CandidateEvent, ErrorKind, LossReason, Options};
use incumbent_memory::{Loss, Memory};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout},
};

const SECOND: Duration = Duration::from_secs(1);
const HOP: Duration = Duration::from_millis(100);

#[tokio::test(start_paused = true)]
async fn who_stands_alone_leads() {
    let process = Process::first();
    let leadership = process.election.candidate().id("a").campaign().await.unwrap();
    assert!(leadership.is_valid() && !leadership.is_stopping() && !leadership.is_suspended());
    assert_eq!(leadership.election().as_str(), "jobs/a");
    assert_eq!(leadership.remaining(), TTL - TTL / 10, "the TTL without the margin");
    let queue = process.memory.queue_now(&process.name());
    assert_eq!(queue[0].key.token, leadership.token());
}

#[tokio::test(start_paused = true)]
async fn leadership_goes_down_the_queue_and_tokens_grow() {
    let first = Process::first();
    let processes = [first.clone(), first.another(), first.another(), first.another()];
    let (led, mut leads) = mpsc::unbounded_channel();
    let mut stands = Vec::new();
    for (number, process) in processes.iter().enumerate() {
        let led = led.clone();
        let candidate = process.election.candidate().id(number.to_string());
        tokio::spawn(async move { led.send((number, candidate.campaign().await.unwrap())).unwrap() });
        stands.push(number.to_string());
        eventually("the next one stands", || first.queue() == stands).await;
    }
    let mut token = None;
    for turn in 0..processes.len() {
        let (number, leadership) = bounded("the next one leads", leads.recv()).await.unwrap();
        assert_eq!(number, turn);
        assert!(token < Some(leadership.token()));
        token = Some(leadership.token());
        leadership.resign().await.unwrap();
    }
    assert!(first.queue().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_passes_is_no_error_and_leaves_no_entry() {
    let process = Process::first();
    let _leads = process.election.candidate().id("a").campaign().await.unwrap();
    let begun = Instant::now();
    let led = process.another().election.candidate().id("b").try_campaign(3 * SECOND).await.unwrap();
    assert!(led.is_none());
    assert!(begun.elapsed() >= 3 * SECOND && begun.elapsed() < 3 * SECOND + HOP);
    quiet().await;
    assert_eq!(process.queue(), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn within_the_limit_it_leads() {
    let process = Process::first();
    let leads = process.election.candidate().campaign().await.unwrap();
    let next = tokio::spawn(process.another().election.candidate().try_campaign(3 * SECOND));
    sleep(SECOND).await;
    drop(leads);
    assert!(next.await.unwrap().unwrap().unwrap().is_valid());
}

#[tokio::test(start_paused = true)]
async fn a_grant_that_races_the_limit_leaks_nothing() {
    let (mut granted, mut given_up) = (0, 0);
    // The way of the handover ends right before, at, and right after the limit.
    for hop in 95..=105 {
        let process = Process::first();
        let leads = process.election.candidate().id("a").campaign().await.unwrap();
        let other = process.another();
        let next = tokio::spawn(other.election.candidate().id("b").try_campaign(SECOND));
        process.queue_becomes(&["a", "b"]).await;
        other.memory.link().delay_replies(Duration::from_millis(hop)..=Duration::from_millis(hop));
        sleep(SECOND - HOP - Duration::from_millis(1)).await;
        drop(leads);
        match next.await.unwrap().unwrap() {
            Some(leadership) => {
                assert!(leadership.is_valid());
                granted += 1;
                leadership.resign().await.unwrap();
            }
            None => given_up += 1,
        }
        process.queue_becomes(&[]).await;
        eventually("nobody stands", || other.ensemble.status().candidates == 0).await;
        assert_eq!(other.ensemble.status().leading, 0);
    }
    assert!(granted > 0 && given_up > 0, "{granted} granted, {given_up} given up");
}

#[tokio::test(start_paused = true)]
async fn a_limit_of_nothing_leaves_nothing() {
    let process = Process::first();
    for _ in 0..10 {
        drop(process.election.candidate().try_campaign(Duration::ZERO).await.unwrap());
    }
    process.queue_becomes(&[]).await;
}

#[tokio::test(start_paused = true)]
async fn a_campaign_dropped_on_its_way_leaves_no_entry() {
    // Session, join, and each reply take two tenths: each moment of it, and waiting as well.
    for tenth in 0..12 {
        let process = Process::first();
        let _leads = process.election.candidate().id("a").campaign().await.unwrap();
        let other = process.another();
        other.memory.link().delay_requests(HOP..=HOP);
        other.memory.link().delay_replies(HOP..=HOP);
        let campaign = other.election.candidate().id("b").campaign();
        assert!(timeout(HOP * tenth + HOP / 2, campaign).await.is_err());
        sleep(SECOND).await;
        assert_eq!(process.queue(), ["a"], "dropped after {tenth} tenths of a second");
        assert_eq!(other.ensemble.status().candidates, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_campaign_that_is_never_polled_does_nothing() {
    let process = Process::first();
    drop(process.election.candidate().campaign());
    quiet().await;
    assert!(process.memory.sessions_now().is_empty() && process.queue().is_empty());
}

#[tokio::test(start_paused = true)]
async fn one_round_trip_to_join_and_lead_and_one_to_resign() {
    let process = Process::first();
    drop(process.election.candidate().campaign().await.unwrap());
    process.queue_becomes(&[]).await;
    let link = process.memory.link();
    link.delay_requests(HOP..=HOP);
    link.delay_replies(HOP..=HOP);
    let begun = Instant::now();
    let leadership = process.election.candidate().campaign().await.unwrap();
    assert_eq!(begun.elapsed(), 2 * HOP, "the session exists: the join alone");
    let begun = Instant::now();
    leadership.resign().await.unwrap();
    assert_eq!(begun.elapsed(), 2 * HOP);
}

#[tokio::test(start_paused = true)]
async fn the_only_successor_leads_without_a_round_trip() {
    let process = Process::first();
    let leads = process.election.candidate().id("a").campaign().await.unwrap();
    let other = process.another();
    let next = tokio::spawn(other.election.candidate().id("b").campaign());
    process.queue_becomes(&["a", "b"]).await;
    other.memory.link().delay_requests(HOP..=HOP);
    other.memory.link().delay_replies(HOP..=HOP);
    leads.resign().await.unwrap();
    let gone = Instant::now();
    next.await.unwrap().unwrap();
    assert_eq!(gone.elapsed(), HOP, "the event's own way and nothing else");
}

#[tokio::test(start_paused = true)]
async fn after_a_gap_the_successor_reads_before_it_leads() {
    let process = Process::first();
    let leads = process.election.candidate().id("a").campaign().await.unwrap();
    let other = process.another();
    let next = tokio::spawn(other.election.candidate().id("b").campaign());
    process.queue_becomes(&["a", "b"]).await;
    other.memory.link().reconnect();
    other.memory.link().delay_requests(HOP..=HOP);
    other.memory.link().delay_replies(HOP..=HOP);
    leads.resign().await.unwrap();
    let gone = Instant::now();
    next.await.unwrap().unwrap();
    assert_eq!(gone.elapsed(), 3 * HOP, "the event's way, and one read");
}

#[tokio::test(start_paused = true)]
async fn nobody_is_granted_less_than_the_time_to_stop() {
    let process = Process::first();
    drop(process.election.candidate().campaign().await.unwrap());
    process.queue_becomes(&[]).await;
    // The answers to the heartbeats are lost: the session's proof runs out, and nothing else is wrong with it.
    process.memory.link().lose_replies(Loss::Always);
    let remaining = || process.ensemble.status().session.unwrap().remaining;
    eventually("less is left than it takes to stop", || remaining() < TTL / 4).await;
    process.memory.link().repair();
    let (begun, left) = (Instant::now(), remaining());
    let leadership = bounded("it leads", process.election.candidate().campaign()).await.unwrap();
    assert!(leadership.remaining() > TTL / 4, "{:?} remain", leadership.remaining());
    let waited = begun.elapsed();
    assert!(waited > SECOND / 10 && waited < left, "it waited {waited:?} for the next heartbeat");
}

#[tokio::test(start_paused = true)]
async fn two_candidates_of_one_process_are_two() {
    let process = Process::first();
    let first = process.election.candidate().id("a").campaign().await.unwrap();
    let second = tokio::spawn(process.election.candidate().id("b").campaign());
    process.queue_becomes(&["a", "b"]).await;
    sleep(2 * TTL).await;
    assert!(first.is_valid() && !second.is_finished());
    assert_eq!(process.memory.sessions_now().len(), 1);
    drop(first);
    assert!(bounded("the other one leads", second).await.unwrap().unwrap().is_valid());
}

#[tokio::test]
async fn it_works_in_real_time_as_well() {
    let process = Process::of(Memory::new(), Options::new().ttl(2 * SECOND));
    let leadership = process.election.candidate().campaign().await.unwrap();
    let before = leadership.valid_until();
    let next = tokio::spawn(process.another().election.candidate().campaign());
    eventually("a heartbeat puts the deadline off", || leadership.valid_until() > before).await;
    leadership.resign().await.unwrap();
    assert!(bounded("the next one leads", next).await.unwrap().unwrap().is_valid());
}

#[tokio::test(start_paused = true)]
async fn what_no_waiting_can_mend_ends_the_campaign() {
    // The ensemble grants less than leaves any validity.
    let memory = Memory::new().ttl(Duration::from_millis(10)..=Duration::from_millis(500));
    let process = Process::of(memory, Options::new().ttl(TTL));
    let error = bounded("it is told", process.election.candidate().campaign()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("500ms"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn an_ensemble_that_comes_late_is_waited_for() {
    let process = Process::first();
    process.memory.link().refuse(true);
    let (events, mut heard) = mpsc::unbounded_channel();
    let campaign = tokio::spawn(process.election.candidate().events(events).campaign());
    let trouble = bounded("trouble is told", heard.recv()).await.unwrap();
    assert!(matches!(&trouble, CandidateEvent::Troubled { reason } if reason.contains("refused")), "{trouble}");
    sleep(10 * TTL).await;
    process.memory.link().refuse(false);
    let back = Instant::now();
    let leadership = bounded("it leads", campaign).await.unwrap().unwrap();
    assert!(back.elapsed() <= 2 * SECOND, "it took {:?}", back.elapsed());
    assert!(!matches!(timeout(SECOND, leadership.lost()).await, Ok(LossReason::DeadlinePassed)));
}
