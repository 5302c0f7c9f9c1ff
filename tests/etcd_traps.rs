//! What broke other libraries, on a real etcd. `tests/README.md` says which trap each one is.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::time::{Duration, Instant};

use incumbent::{
    CandidateEvent, Change, Election, Ensemble, Leadership, LossReason, Options, connect_with, etcd::etcd_client,
};
use incumbent_testkit::{etcd::Cluster, etcd_or_skip, proxy::Proxy};
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};
use tracing_subscriber::EnvFilter;

const SECOND: Duration = Duration::from_secs(1);

async fn ensemble(url: &str, ttl: Duration) -> Ensemble {
    // Shown when a test fails: RUST_LOG=debug tells more.
    let _ = tracing_subscriber::fmt().with_env_filter(EnvFilter::from_default_env()).with_test_writer().try_init();
    connect_with(url, Options::new().ttl(ttl)).await.unwrap()
}

async fn election(url: &str, ttl: Duration) -> Election {
    ensemble(url, ttl).await.election("jobs/a").unwrap()
}

fn through(proxy: &Proxy) -> String {
    format!("etcd://{}", proxy.address())
}

/// Stands in the background, and is back when the queue has so many entries.
async fn stand(election: &Election, entries: usize) -> JoinHandle<Leadership> {
    let (events, mut heard) = mpsc::unbounded_channel();
    let candidate = election.candidate().events(events);
    let campaign = tokio::spawn(async move { candidate.campaign().await.unwrap() });
    let waits = async { while !matches!(heard.recv().await, Some(CandidateEvent::Waiting { .. })) {} };
    timeout(10 * SECOND, waits).await.expect("it joins the queue");
    assert_eq!(election.candidates().await.unwrap().len(), entries);
    campaign
}

#[tokio::test]
async fn ghost_winner() {
    let cluster = Cluster::builder(etcd_or_skip!()).start().await;
    let leader = election(&cluster.url(), 60 * SECOND).await;
    let leadership = leader.candidate().campaign().await.unwrap();
    // Its lease is revoked behind its back while it is cut off, so that it cannot know.
    let proxy = Proxy::start(&cluster.endpoints()[0]).await;
    let ghost = election(&through(&proxy), 4 * SECOND).await;
    let campaign = stand(&ghost, 2).await;
    let entry = leader.candidates().await.unwrap().remove(1);
    proxy.blackhole(true);
    let lease = entry.session.unwrap().to_string();
    assert!(cluster.etcdctl(&["lease", "revoke", &lease]).status().unwrap().success());
    leadership.resign().await.unwrap();
    let other = timeout(5 * SECOND, leader.candidate().campaign()).await.unwrap().unwrap();
    // Healed, it sees both entries go at once, its own and the one ahead.
    proxy.heal();
    let wins = timeout(3 * SECOND, campaign).await;
    assert!(wins.is_err(), "a ghost won");
    assert!(other.is_valid());
    assert_eq!(leader.leader().await.unwrap().unwrap().key.token, other.token());
}

#[tokio::test]
async fn two_candidates_on_one_lease() {
    let cluster = Cluster::builder(etcd_or_skip!()).start().await;
    let election = election(&cluster.url(), 5 * SECOND).await;
    let first = election.candidate().id("first").campaign().await.unwrap();
    let second = stand(&election, 2).await;
    let entries = election.candidates().await.unwrap();
    assert_eq!(entries[0].session, entries[1].session);
    assert_ne!(entries[0].key.name, entries[1].key.name);
    assert!(!second.is_finished());
    first.resign().await.unwrap();
    assert_eq!(timeout(SECOND, second).await.unwrap().unwrap().token(), entries[1].key.token);
}

#[test]
fn stalled_runtime() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let cluster = Cluster::builder(etcd_or_skip!()).start().await;
        // The session on the very runtime that is stalled: the worst case.
        let options = Options::new().ttl(2 * SECOND).session_thread(false);
        let ensemble = connect_with(&cluster.url(), options).await.unwrap();
        let leadership = ensemble.election("jobs/a").unwrap().candidate().campaign().await.unwrap();
        std::thread::sleep(2 * SECOND);
        assert!(!leadership.is_valid());
        assert!(matches!(leadership.lost().await, LossReason::DeadlinePassed | LossReason::SessionEnded(_)));
    });
}

#[test]
fn blocking_job_does_not_starve_the_session() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let cluster = Cluster::builder(etcd_or_skip!()).start().await;
        let leadership = election(&cluster.url(), 2 * SECOND).await.candidate().campaign().await.unwrap();
        for _ in 0..40 {
            std::thread::sleep(SECOND / 10);
            assert!(leadership.is_valid());
        }
    });
}

#[tokio::test]
async fn zombie_key_after_a_resign_that_failed() {
    let cluster = Cluster::builder(etcd_or_skip!()).start().await;
    let proxy = Proxy::start(&cluster.endpoints()[0]).await;
    let cut = election(&through(&proxy), 60 * SECOND).await;
    let leadership = cut.candidate().campaign().await.unwrap();
    let next = stand(&election(&cluster.url(), 60 * SECOND).await, 2).await;
    proxy.cut();
    let mut resigning = tokio::spawn(leadership.resign());
    assert!(timeout(SECOND, &mut resigning).await.is_err(), "it is not known to be gone");
    assert!(!next.is_finished());
    proxy.heal();
    timeout(10 * SECOND, resigning).await.unwrap().unwrap().unwrap();
    timeout(SECOND, next).await.expect("long before the TTL of a minute").unwrap();
}

#[tokio::test]
async fn waiter_not_woken_after_a_suspension() {
    let cluster = Cluster::builder(etcd_or_skip!()).start().await;
    let leader = election(&cluster.url(), 60 * SECOND).await;
    let leadership = leader.candidate().campaign().await.unwrap();
    let proxy = Proxy::start(&cluster.endpoints()[0]).await;
    let waiter = stand(&election(&through(&proxy), 10 * SECOND).await, 2).await;
    proxy.blackhole(true);
    leadership.resign().await.unwrap();
    assert!(!waiter.is_finished());
    proxy.heal();
    assert!(timeout(5 * SECOND, waiter).await.expect("the event was not missed").unwrap().is_valid());
}

#[tokio::test]
async fn guard_dropped_by_question_mark() {
    async fn work(election: &Election) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let _leadership = election.candidate().campaign().await?;
        Err("the work failed")?
    }
    let cluster = Cluster::builder(etcd_or_skip!()).start().await;
    let election = election(&cluster.url(), 60 * SECOND).await;
    for _ in 0..3 {
        assert!(timeout(2 * SECOND, work(&election)).await.expect("the entry before is gone").is_err());
    }
}

#[tokio::test]
async fn future_dropped_mid_join() {
    let cluster = Cluster::builder(etcd_or_skip!()).start().await;
    let proxy = Proxy::start(&cluster.endpoints()[0]).await;
    let election = election(&through(&proxy), 60 * SECOND).await;
    election.candidate().campaign().await.unwrap().resign().await.unwrap();
    for millis in [1, 3, 10, 30] {
        // The request is on its way when the future is dropped.
        proxy.delay(Duration::from_millis(20));
        assert!(election.candidate().try_campaign(Duration::from_millis(millis)).await.unwrap().is_none());
        proxy.delay(Duration::ZERO);
        let leadership =
            timeout(2 * SECOND, election.candidate().campaign()).await.expect("nobody is in the way").unwrap();
        leadership.resign().await.unwrap();
    }
}

#[tokio::test]
async fn full_outage_and_back() {
    let mut cluster = Cluster::builder(etcd_or_skip!()).start().await;
    let ttl = 2 * SECOND;
    let mut candidates = Vec::new();
    for number in 0..3 {
        let election = election(&cluster.url(), ttl).await;
        let candidate = election.candidate().id(format!("candidate-{number}"));
        candidates.push(tokio::spawn(candidate.run(async |leadership: incumbent::LeadershipView| {
            leadership.lost().await;
            Ok::<_, std::convert::Infallible>(())
        })));
    }
    let watching = election(&cluster.url(), ttl).await;
    let led = async |within: Duration| {
        let led = async {
            loop {
                if let Ok(Some(leader)) = watching.leader().await {
                    return leader;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(within, led).await.expect("somebody leads")
    };
    let before = led(5 * SECOND).await;
    (0..cluster.len()).for_each(|member| cluster.pause(member));
    tokio::time::sleep(2 * ttl).await;
    (0..cluster.len()).for_each(|member| cluster.resume(member));
    cluster.wait_healthy().await;
    // etcd restarts the time of all leases when it elects its leader: an old entry may stand for a TTL more.
    let renewed = async {
        while led(ttl + 2 * SECOND).await.key == before.key {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(2 * ttl + 2 * SECOND, renewed).await.expect("the loser stands at the end of the queue");
    // Nobody has left an entry behind: three candidates, three entries.
    let settled = async {
        while watching.candidates().await.unwrap().len() != 3 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(2 * ttl + 2 * SECOND, settled).await.expect("three candidates, three entries");
    candidates.iter().for_each(JoinHandle::abort);
}

#[tokio::test]
async fn watch_on_an_isolated_member() {
    let mut cluster = Cluster::builder(etcd_or_skip!()).start().await;
    let endpoints = cluster.endpoints();
    // It only knows the member that is left alone.
    let mut observer = election(&format!("etcd://{}", endpoints[0]), 10 * SECOND).await.observe();
    assert!(matches!(observer.next().await.unwrap(), Change::Snapshot(_)));
    cluster.pause(1);
    cluster.pause(2);
    let change = timeout(15 * SECOND, observer.next()).await.expect("a member without a leader says so").unwrap();
    assert!(matches!(change, Change::Suspended), "{change:?}");
    cluster.resume(1);
    cluster.resume(2);
    let change = timeout(15 * SECOND, observer.next()).await.expect("it comes back").unwrap();
    assert!(matches!(change, Change::Resumed), "{change:?}");
    let leadership = election(&cluster.url(), 10 * SECOND).await.candidate().campaign().await.unwrap();
    let change = timeout(5 * SECOND, observer.next()).await.unwrap().unwrap();
    assert!(matches!(change, Change::Joined(_)), "{change:?}");
    assert_eq!(observer.current().unwrap().key.token, leadership.token());
}

#[tokio::test]
async fn reads_after_a_server_bounce() {
    let cluster = Cluster::builder(etcd_or_skip!()).start().await;
    let leader = election(&cluster.url(), 60 * SECOND).await;
    let leadership = leader.candidate().campaign().await.unwrap();
    let proxy = Proxy::start(&cluster.endpoints()[0]).await;
    let election = election(&through(&proxy), 60 * SECOND).await;
    let mut waiting = Vec::new();
    for place in 0..10 {
        waiting.push(stand(&election, place + 2).await);
    }
    let before = proxy.counts();
    proxy.reset();
    // Watches of own entry and predecessor are made anew; what they are is known.
    let sent = proxy.until(|counts| counts.messages_to("Watch/Watch") >= before.messages_to("Watch/Watch") + 20).await;
    let sent = sent - before;
    assert_eq!(sent.requests_to("KV/Txn"), 0, "{sent:?}");
    assert!(sent.requests_to("KV/Range") <= 1, "no more than a heartbeat's: {sent:?}");
    leadership.resign().await.unwrap();
    timeout(5 * SECOND, waiting.remove(0)).await.expect("the watches work").unwrap();
}

#[tokio::test]
async fn keys_of_a_peer_without_a_lease_block_and_are_shown() {
    let cluster = Cluster::builder(etcd_or_skip!()).start().await;
    assert!(cluster.etcdctl(&["put", "jobs/a/stray", "somebody"]).status().unwrap().success());
    let election = election(&cluster.url(), 5 * SECOND).await;
    let waiting = stand(&election, 2).await;
    let stray = election.leader().await.unwrap().unwrap();
    assert_eq!((stray.session, stray.ours, stray.profile.id.as_str()), (None, false, "somebody"));
    assert!(!waiting.is_finished());
    assert!(cluster.etcdctl(&["del", "jobs/a/stray"]).status().unwrap().success());
    timeout(5 * SECOND, waiting).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_handover_takes_no_ttl() {
    let cluster = Cluster::builder(etcd_or_skip!()).start().await;
    let (one, other) = (election(&cluster.url(), 60 * SECOND).await, election(&cluster.url(), 60 * SECOND).await);
    let mut leadership = one.candidate().campaign().await.unwrap();
    for turn in 0..10 {
        let next = stand(if turn % 2 == 0 { &other } else { &one }, 2).await;
        let begin = Instant::now();
        leadership.resign().await.unwrap();
        leadership = timeout(SECOND, next).await.unwrap().unwrap();
        assert!(begin.elapsed() < SECOND / 4, "{:?}", begin.elapsed());
    }
}

#[tokio::test]
async fn an_observer_of_a_mass_loss_starves_no_heartbeat() {
    const ENTRIES: usize = 8_000;
    let cluster = Cluster::builder(etcd_or_skip!()).start().await;
    let mut client = etcd_client::Client::connect(cluster.endpoints(), None).await.unwrap();
    let lease = client.lease_grant(600, None).await.unwrap().id();
    let puts = (0..16).map(|part| {
        let mut client = client.kv_client();
        tokio::spawn(async move {
            for entry in (part..ENTRIES).step_by(16) {
                let options = Some(etcd_client::PutOptions::new().with_lease(lease));
                client.put(format!("jobs/many/{lease:x}-{entry}"), "somebody", options).await.unwrap();
            }
        })
    });
    for put in puts.collect::<Vec<_>>() {
        put.await.unwrap();
    }
    let ensemble = ensemble(&cluster.url(), 2 * SECOND).await;
    let leadership = ensemble.election("jobs/a").unwrap().candidate().campaign().await.unwrap();
    let mut observer = ensemble.election("jobs/many").unwrap().observe();
    assert!(matches!(observer.next().await.unwrap(), Change::Snapshot(entries) if entries.len() == ENTRIES));
    client.lease_revoke(lease).await.unwrap();
    let begin = Instant::now();
    while observer.current().is_some() || begin.elapsed() < 3 * SECOND {
        assert!(leadership.is_valid(), "lost {:?} after the revocation", begin.elapsed());
        assert!(begin.elapsed() < 20 * SECOND, "the observer is behind for ever");
        tokio::time::sleep(SECOND / 200).await;
    }
}
