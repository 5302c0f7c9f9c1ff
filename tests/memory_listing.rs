//! What is seen of candidates and elections from outside: listings, ids, events.

mod common;

use std::{collections::BTreeSet, time::Duration};

use common::{Process, TTL, bounded, eventually};
use incumbent::{CandidateEvent, Options, connect};
use incumbent_memory::Memory;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn candidates_are_listed_in_order_with_all_they_say() {
    let process = Process::first();
    let other = process.another();
    let candidate = process.election.candidate().id("worker-7").advertise("http://10.0.0.7:8080");
    let leadership = candidate.metadata("zone", "b").metadata("version", "3").campaign().await.unwrap();
    let _waits = tokio::spawn(other.election.candidate().id("worker-8").campaign());
    process.queue_becomes(&["worker-7", "worker-8"]).await;

    let entries = other.election.candidates().await.unwrap();
    assert_eq!(entries.len(), 2);
    let [first, second] = [&entries[0], &entries[1]];
    assert_eq!(first.profile.id, "worker-7");
    assert_eq!(first.profile.address.as_deref(), Some("http://10.0.0.7:8080"));
    assert_eq!(first.profile.metadata, [("version", "3"), ("zone", "b")].map(|(k, v)| (k.into(), v.into())).into());
    assert_eq!(first.key.token, leadership.token());
    assert_eq!(first.session, process.ensemble.status().session.map(|session| session.id));
    assert_eq!((second.profile.id.as_str(), second.profile.address.as_ref()), ("worker-8", None));
    assert!(second.key.token > first.key.token && second.session != first.session);
    assert!(first.ours && second.ours);

    assert_eq!(other.election.leader().await.unwrap().unwrap().profile.id, "worker-7");
    assert_eq!(other.ensemble.election("jobs/b").unwrap().leader().await.unwrap(), None);
    assert!(other.ensemble.election("jobs/b").unwrap().candidates().await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_default_id_is_readable_and_unlike_others() {
    let process = Process::first();
    let ids: BTreeSet<_> = (0..50).map(|_| process.election.candidate().profile().id.clone()).collect();
    assert!(ids.len() > 45, "four random digits tell candidates apart: {ids:?}");
    let id = ids.first().unwrap();
    assert!(id.contains(&format!("-{}-", std::process::id())), "{id}");
    assert!(id.chars().all(|c| c.is_ascii_graphic()), "{id}");
    let identity = Process::of(Memory::new(), Options::new().identity("pod-3"));
    assert_eq!(identity.election.candidate().profile().id, "pod-3");
}

#[tokio::test(start_paused = true)]
async fn a_thousand_elections_share_one_session() {
    let process = Process::first();
    let mut held = Vec::new();
    for number in 0..1_000 {
        let election = process.ensemble.election(format!("jobs/{number}")).unwrap();
        held.push((election.clone(), election.candidate().campaign().await.unwrap()));
    }
    sleep(3 * TTL).await;
    let session = process.ensemble.status().session.unwrap().id;
    for (election, leadership) in &held {
        assert!(leadership.is_valid());
        assert_eq!(election.leader().await.unwrap().unwrap().session, Some(session));
    }
    assert_eq!(process.memory.sessions_now(), [session]);
    assert_eq!(process.ensemble.status().leading, 1_000);
    process.ensemble.close(10 * SECOND).await.unwrap();
    assert!(held.iter().all(|(_, leadership)| !leadership.is_valid()));
}

#[tokio::test(start_paused = true)]
async fn elections_are_listed_within_their_namespace() {
    let memory = Memory::new();
    let within = |namespace: &str| {
        let namespace = incumbent::Namespace::new(namespace).unwrap();
        Process::of(memory.client(), Options::new().namespace(namespace)).ensemble
    };
    let (prod, test, root) = (within("prod"), within("test"), within(""));
    let mut held = Vec::new();
    for (ensemble, name) in [(&prod, "jobs/a"), (&prod, "jobs/b"), (&prod, "other"), (&test, "jobs/a")] {
        held.push(ensemble.election(name).unwrap().candidate().campaign().await.unwrap());
    }
    let names = async |ensemble: &incumbent::Ensemble, prefix: &str| {
        let names = ensemble.elections(prefix).await.unwrap();
        names.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(names(&prod, "").await, ["jobs/a", "jobs/b", "other"]);
    assert_eq!(names(&prod, "jobs/").await, ["jobs/a", "jobs/b"]);
    assert_eq!(names(&test, "").await, ["jobs/a"]);
    assert_eq!(names(&test, "none").await, [""; 0]);
    assert_eq!(names(&root, "prod/").await, ["prod/jobs/a", "prod/jobs/b", "prod/other"]);
    assert_eq!(held[0].election().as_str(), "prod/jobs/a");
    assert_ne!(held[0].token(), held[3].token());
    drop(held);
    eventually("nobody stands", || prod.status().candidates + test.status().candidates == 0).await;
    assert!(names(&root, "").await.is_empty(), "an election without candidates is none");
}

#[tokio::test(start_paused = true)]
async fn listeners_hear_a_whole_life_in_order() {
    let process = Process::first();
    let other = process.another();
    let ahead = process.election.candidate().id("a").campaign().await.unwrap();
    let (events, mut heard) = mpsc::unbounded_channel();
    let campaign = tokio::spawn(other.election.candidate().id("b").events(events).campaign());
    process.queue_becomes(&["a", "b"]).await;
    other.evict_own_entry().await;
    process.queue_becomes(&["a", "b"]).await;
    ahead.resign().await.unwrap();
    let leadership = campaign.await.unwrap().unwrap();
    other.memory.link().cut();
    eventually("contact is lost", || leadership.is_suspended()).await;
    other.memory.link().heal();
    eventually("contact is back", || !leadership.is_suspended()).await;
    let token = leadership.token();
    leadership.resign().await.unwrap();

    let mut told = Vec::new();
    while let Some(event) = heard.recv().await {
        told.push(match event {
            CandidateEvent::Waiting { ahead } => format!("waiting behind {ahead}"),
            CandidateEvent::Rejoining { .. } => "rejoining".into(),
            CandidateEvent::Leading { token: with, remaining } => {
                assert!(with == token && remaining > TTL / 4);
                "leading".into()
            }
            CandidateEvent::Suspended { .. } => "suspended".into(),
            CandidateEvent::Confirmed => "confirmed".into(),
            CandidateEvent::Resigned => "resigned".into(),
            other => format!("{other}"),
        });
    }
    let life = ["waiting behind 1", "rejoining", "waiting behind 1", "leading", "suspended", "confirmed", "resigned"];
    assert_eq!(told, life);
}

#[tokio::test(start_paused = true)]
async fn listeners_hear_once_how_a_leadership_ended() {
    for (end, told) in [("drop", "Resigned"), ("resign", "Resigned"), ("evict", "Lost"), ("cut", "Lost")] {
        let process = Process::first();
        let (events, mut heard) = mpsc::unbounded_channel();
        let leadership = process.election.candidate().events(events).campaign().await.unwrap();
        match end {
            "drop" => drop(leadership),
            "resign" => leadership.resign().await.unwrap(),
            "evict" => {
                process.evict_own_entry().await;
                leadership.resign().await.unwrap();
            }
            _ => {
                process.memory.link().cut();
                bounded("it is lost", leadership.lost()).await;
                process.memory.link().heal();
                leadership.resign().await.unwrap();
            }
        }
        let mut ends = Vec::new();
        while let Some(event) = bounded("all is told", heard.recv()).await {
            match event {
                CandidateEvent::Lost { .. } => ends.push("Lost"),
                CandidateEvent::Resigned => ends.push("Resigned"),
                _ => {}
            }
        }
        assert_eq!(ends, [told], "{end}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_has_gone_disturbs_nobody() {
    let process = Process::first();
    let (events, heard) = mpsc::unbounded_channel();
    drop(heard);
    process.election.candidate().events(events).campaign().await.unwrap().resign().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_unnamed_ensemble_is_fresh_and_a_named_one_is_shared() {
    let election = async |url: &str| connect(url).await.unwrap().election("jobs/a").unwrap();
    let [fresh, other] = [election("memory://").await, election("memory://").await];
    let _both = [fresh.candidate().campaign().await.unwrap(), other.candidate().campaign().await.unwrap()];

    let name = format!("memory://shared-{}", std::process::id());
    let [one, same] = [election(&name).await, election(&name).await];
    let leadership = one.candidate().campaign().await.unwrap();
    assert!(same.candidate().try_campaign(SECOND).await.unwrap().is_none());
    assert_eq!(same.leader().await.unwrap().unwrap().key.token, leadership.token());
}

#[tokio::test(start_paused = true)]
async fn endpoints_say_how_they_are() {
    let process = Process::first();
    let [healthy] = &process.ensemble.endpoints().await[..] else { panic!() };
    let (took, member) = healthy.answer.as_ref().unwrap();
    assert!(took.is_zero() && member.leads && !member.version.is_empty());
    process.memory.link().cut();
    let begun = Instant::now();
    let [cut] = &process.ensemble.endpoints().await[..] else { panic!() };
    assert!(cut.answer.as_ref().unwrap_err().contains("no answer"), "{cut:?}");
    assert!(begun.elapsed() <= TTL, "bounded");
    let error = process.election.candidates().await.unwrap_err();
    assert!(error.is_retryable() && error.to_string().contains("jobs/a"), "{error}");
}
