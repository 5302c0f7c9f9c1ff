//! The recipe on a real three-member etcd: what its members' faults must not do to it.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use incumbent::{CandidateEvent, Ensemble, ErrorKind, Leadership, LossReason, Options, connect, connect_with};
use incumbent_testkit::{etcd::Cluster, etcd_or_skip, proxy::Proxy};
use tokio::{sync::mpsc, time::timeout};
use tracing_subscriber::EnvFilter;

const SECOND: Duration = Duration::from_secs(1);

async fn ensemble(url: &str, ttl: Duration) -> Ensemble {
    // Shown when a test fails: RUST_LOG=debug tells more.
    let _ = tracing_subscriber::fmt().with_env_filter(EnvFilter::from_default_env()).with_test_writer().try_init();
    connect_with(url, Options::new().ttl(ttl)).await.unwrap()
}

/// Waits until the leadership is proven for longer than it was, watching that it never lapses.
async fn proven_anew(leadership: &Leadership, within: Duration) {
    let before = leadership.valid_until();
    let waiting = async {
        while leadership.valid_until() <= before {
            assert!(leadership.is_valid(), "leadership was lost: {:?}", leadership.lost().await);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(within, waiting).await.expect("the session's life is proven anew");
}

/// Stays for so long, and is valid at every look.
async fn holds_for(leadership: &Leadership, span: Duration) {
    let end = Instant::now() + span;
    while Instant::now() < end {
        assert!(leadership.is_valid(), "leadership was lost: {:?}", leadership.lost().await);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn the_loss_of_etcds_own_leader_costs_neither_leadership_nor_token() {
    let mut cluster = Cluster::builder(etcd_or_skip!()).start().await;
    let election = ensemble(&cluster.url(), 10 * SECOND).await.election("jobs/a").unwrap();
    let leadership = election.candidate().campaign().await.unwrap();
    let token = leadership.token();
    let leader = cluster.leader().await;
    cluster.kill(leader);
    let next = cluster.leader().await;
    assert_ne!(leader, next);
    proven_anew(&leadership, 10 * SECOND).await;
    assert_eq!(election.leader().await.unwrap().unwrap().key.token, token);
    leadership.resign().await.unwrap();
}

#[tokio::test]
async fn a_dead_member_first_in_the_list_costs_nothing() {
    let mut cluster = Cluster::builder(etcd_or_skip!()).start().await;
    cluster.kill(0);
    cluster.leader().await;
    let election = ensemble(&cluster.url(), 2 * SECOND).await.election("jobs/a").unwrap();
    let leadership = timeout(5 * SECOND, election.candidate().campaign()).await.unwrap().unwrap();
    holds_for(&leadership, 4 * SECOND).await;
    leadership.resign().await.unwrap();
}

/// Each member behind a proxy.
async fn proxied(cluster: &Cluster) -> (Vec<Proxy>, String) {
    let mut proxies = Vec::new();
    for endpoint in cluster.endpoints() {
        proxies.push(Proxy::start(endpoint).await);
    }
    let addresses: Vec<_> = proxies.iter().map(Proxy::address).collect();
    let url = format!("etcd://{}", addresses.join(","));
    (proxies, url)
}

#[tokio::test]
async fn members_cut_off_one_after_the_other_cost_nothing() {
    let cluster = Cluster::builder(etcd_or_skip!()).start().await;
    let (proxies, url) = proxied(&cluster).await;
    let election = ensemble(&url, 3 * SECOND).await.election("jobs/a").unwrap();
    let leadership = election.candidate().campaign().await.unwrap();
    for proxy in &proxies {
        proxy.blackhole(true);
        holds_for(&leadership, 4 * SECOND).await;
        proxy.heal();
        proven_anew(&leadership, 3 * SECOND).await;
    }
    leadership.resign().await.unwrap();
}

#[tokio::test]
async fn cut_off_from_all_a_leader_is_suspended_then_lost_before_the_next_leads() {
    let cluster = Cluster::builder(etcd_or_skip!()).start().await;
    let (proxies, url) = proxied(&cluster).await;
    let cut = ensemble(&url, 2 * SECOND).await.election("jobs/a").unwrap();
    let other = ensemble(&cluster.url(), 2 * SECOND).await.election("jobs/a").unwrap();
    let (events, mut heard) = mpsc::unbounded_channel();
    let leadership = cut.candidate().events(events).campaign().await.unwrap();
    let next = tokio::spawn(other.candidate().campaign());
    proxies.iter().for_each(|proxy| proxy.blackhole(true));
    let reason = timeout(4 * SECOND, leadership.lost()).await.unwrap();
    assert!(matches!(reason, LossReason::DeadlinePassed), "{reason}");
    assert!(!next.is_finished(), "the next one leads before the deadline of the first");
    let next = timeout(5 * SECOND, next).await.unwrap().unwrap().unwrap();
    assert!(next.token() > leadership.token());
    let mut told = Vec::new();
    while let Ok(event) = heard.try_recv() {
        told.push(event);
    }
    let suspended = told.iter().position(|event| matches!(event, CandidateEvent::Suspended { .. }));
    let lost = told.iter().position(|event| matches!(event, CandidateEvent::Lost { .. }));
    assert!(suspended.is_some() && suspended < lost, "{told:?}");
    // Healed, the loser's entry is gone and it can stand again.
    proxies.iter().for_each(Proxy::heal);
    drop(leadership);
    let again = tokio::spawn(cut.candidate().campaign());
    next.resign().await.unwrap();
    timeout(10 * SECOND, again).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn an_entry_deleted_by_an_operator_ends_leadership_at_once() {
    let cluster = Cluster::builder(etcd_or_skip!()).start().await;
    let election = ensemble(&cluster.url(), 10 * SECOND).await.election("jobs/a").unwrap();
    let leadership = election.candidate().campaign().await.unwrap();
    let status = cluster.etcdctl(&["del", "--prefix", "jobs/a/"]).status().unwrap();
    assert!(status.success());
    let reason = timeout(2 * SECOND, leadership.lost()).await.unwrap();
    assert!(matches!(reason, LossReason::EntryRemoved), "{reason}");
    assert!(!leadership.is_valid());
}

#[tokio::test]
async fn a_lost_reply_to_a_join_leaves_one_entry() {
    let cluster = Cluster::builder(etcd_or_skip!()).start().await;
    let proxy = Proxy::start(&cluster.endpoints()[0]).await;
    let election = ensemble(&format!("etcd://{}", proxy.address()), 5 * SECOND).await.election("jobs/a").unwrap();
    // So that the session stands before the fault.
    election.candidate().campaign().await.unwrap().resign().await.unwrap();
    let before = proxy.counts();
    proxy.drop_replies(true);
    let campaign = tokio::spawn(election.candidate().campaign());
    proxy.until(|counts| counts.events_of("KV/Txn") > before.events_of("KV/Txn")).await;
    proxy.reset();
    proxy.heal();
    let leadership = timeout(10 * SECOND, campaign).await.unwrap().unwrap().unwrap();
    let entries = election.candidates().await.unwrap();
    assert_eq!(entries.len(), 1, "{entries:?}");
    assert_eq!(entries[0].key.token, leadership.token());
    leadership.resign().await.unwrap();
    assert!(election.candidates().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_write_that_lands_later_blocks_nobody() {
    let mut cluster = Cluster::builder(etcd_or_skip!()).start().await;
    let leader = cluster.leader().await;
    let follower = (leader + 1) % cluster.len();
    // The candidate talks to the paused leader first, then to the others.
    let endpoints = cluster.endpoints();
    let order = [leader, follower, (leader + 2) % cluster.len()].map(|member| endpoints[member].clone());
    let election = ensemble(&format!("etcd://{}", order.join(",")), 10 * SECOND).await.election("jobs/a").unwrap();
    election.candidate().campaign().await.unwrap().resign().await.unwrap();
    cluster.pause(leader);
    let leadership = timeout(15 * SECOND, election.candidate().campaign()).await.unwrap().unwrap();
    leadership.resign().await.unwrap();
    cluster.resume(leader);
    // Whatever was under way through the paused member lands now, if it ever does.
    let other = ensemble(&cluster.url(), 10 * SECOND).await.election("jobs/a").unwrap();
    for _ in 0..20 {
        let next = timeout(3 * SECOND, other.candidate().campaign()).await.expect("nobody is in the way").unwrap();
        next.resign().await.unwrap();
    }
    assert!(election.candidates().await.unwrap().is_empty());
}

#[tokio::test]
async fn etcdctl_elect_and_ours_queue_behind_each_other() {
    let cluster = Cluster::builder(etcd_or_skip!()).start().await;
    let election = ensemble(&cluster.url(), 5 * SECOND).await.election("jobs/a").unwrap();
    let joined = async |count: usize| {
        let joined = async {
            while election.candidates().await.unwrap().len() != count {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(10 * SECOND, joined).await.expect("it joins the queue");
    };
    let leader = async || election.leader().await.unwrap().map(|entry| entry.profile.id);

    let ours = election.candidate().id("ours").campaign().await.unwrap();
    let mut peer = cluster.etcdctl(&["elect", "jobs/a", "peer"]).stdout(std::process::Stdio::null()).spawn().unwrap();
    joined(2).await;
    assert_eq!(leader().await.as_deref(), Some("ours"));
    let again = tokio::spawn(election.candidate().id("ours again").campaign());
    joined(3).await;
    ours.resign().await.unwrap();
    assert_eq!(leader().await.as_deref(), Some("peer"));
    assert!(!again.is_finished());
    // A killed etcdctl leaves its key to its lease of 60 s; its end is a revoked lease, as on Ctrl-C.
    let pid = rustix::process::Pid::from_raw(i32::try_from(peer.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    peer.wait().unwrap();
    let again = timeout(5 * SECOND, again).await.unwrap().unwrap().unwrap();
    assert_eq!(leader().await.as_deref(), Some("ours again"));
    again.resign().await.unwrap();
}

#[tokio::test]
async fn an_unreadable_payload_is_listed_and_waited_behind() {
    let cluster = Cluster::builder(etcd_or_skip!()).start().await;
    let election = ensemble(&cluster.url(), 5 * SECOND).await.election("jobs/a").unwrap();
    let mut client = incumbent::etcd::etcd_client::Client::connect(cluster.endpoints(), None).await.unwrap();
    let lease = client.lease_grant(60, None).await.unwrap().id();
    let options = incumbent::etcd::etcd_client::PutOptions::new().with_lease(lease);
    client.put(format!("jobs/a/{lease:x}"), b"\xff\xfe{".to_vec(), Some(options)).await.unwrap();
    let waiting = tokio::spawn(election.candidate().id("ours").campaign());
    let entry = loop {
        let entries = election.candidates().await.unwrap();
        if entries.len() == 2 {
            break entries[0].clone();
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(entry.profile.undecoded.as_deref(), Some(&b"\xff\xfe{"[..]));
    assert!(!entry.ours);
    assert!(!waiting.is_finished());
    client.lease_revoke(lease).await.unwrap();
    timeout(5 * SECOND, waiting).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn an_unreachable_ensemble_is_a_bounded_error_that_names_its_members() {
    let begin = Instant::now();
    let options = Options::new().connect_timeout(SECOND);
    let error = connect_with("etcd://127.0.0.1:1,127.0.0.1:2", options).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(begin.elapsed() < 3 * SECOND, "{:?}", begin.elapsed());
    for member in ["127.0.0.1:1", "127.0.0.1:2"] {
        assert!(error.to_string().contains(member), "{error}");
    }
}

#[tokio::test]
async fn a_silent_ensemble_is_a_bounded_error() {
    let cluster = Cluster::builder(etcd_or_skip!()).start().await;
    let proxy = Proxy::start(&cluster.endpoints()[0]).await;
    proxy.blackhole(true);
    let begin = Instant::now();
    let options = Options::new().connect_timeout(SECOND);
    let error = connect_with(&format!("etcd://{}", proxy.address()), options).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(begin.elapsed() < 4 * SECOND, "{:?}", begin.elapsed());
}

#[tokio::test]
async fn a_granted_ttl_that_differs_is_used_and_shown() {
    let cluster = Cluster::builder(etcd_or_skip!()).start().await;
    // etcd's floor is 3/2 of the election timeout, in whole seconds.
    let options = Options::new().ttl(Duration::from_millis(1_200)).request_timeout(Duration::from_millis(200));
    let ensemble = connect_with(&cluster.url(), options).await.unwrap();
    let leadership = ensemble.election("jobs/a").unwrap().candidate().campaign().await.unwrap();
    assert_eq!(ensemble.status().session.unwrap().ttl, 2 * SECOND);
    holds_for(&leadership, 3 * SECOND).await;
}

#[tokio::test]
async fn elections_that_nest_are_refused_by_name() {
    let cluster = Cluster::builder(etcd_or_skip!()).start().await;
    let ensemble = ensemble(&cluster.url(), 5 * SECOND).await;
    let deeper = ensemble.election("jobs/a/b").unwrap().candidate().campaign().await.unwrap();
    let error =
        timeout(5 * SECOND, ensemble.election("jobs/a").unwrap().candidate().campaign()).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    assert!(error.to_string().contains("jobs/a/b"), "{error}");
    assert!(deeper.is_valid());
    // A name that only begins alike is another election.
    timeout(5 * SECOND, ensemble.election("jobs/a/bc").unwrap().candidate().campaign()).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_closed_ensemble_leaves_nothing_behind() {
    let cluster = Cluster::builder(etcd_or_skip!()).start().await;
    let watching = connect(&cluster.url()).await.unwrap();
    let ensemble = ensemble(&cluster.url(), 60 * SECOND).await;
    let election = ensemble.election("jobs/a").unwrap();
    let leadership = election.candidate().campaign().await.unwrap();
    let waiting = tokio::spawn(election.candidate().campaign());
    let view = leadership.view();
    let job = tokio::spawn(async move {
        leadership.stopping().await;
        assert!(leadership.is_valid(), "the work is stopped before the entry goes");
    });
    ensemble.close(5 * SECOND).await.unwrap();
    job.await.unwrap();
    assert!(!view.is_valid());
    assert_eq!(waiting.await.unwrap().unwrap_err().kind(), ErrorKind::Closed);
    assert!(watching.election("jobs/a").unwrap().candidates().await.unwrap().is_empty());
    let leases = cluster.etcdctl(&["lease", "list"]).output().unwrap();
    assert!(String::from_utf8_lossy(&leases.stdout).contains("found 0 leases"), "{leases:?}");
}

#[tokio::test]
async fn a_dropped_ensemble_closes_its_session_in_the_background() {
    let cluster = Cluster::builder(etcd_or_skip!()).start().await;
    let watching = connect(&cluster.url()).await.unwrap().election("jobs/a").unwrap();
    let leadership =
        ensemble(&cluster.url(), 60 * SECOND).await.election("jobs/a").unwrap().candidate().campaign().await.unwrap();
    let mut observer = watching.observe();
    observer.next().await.unwrap();
    assert!(observer.current().is_some());
    drop(leadership);
    let gone = async {
        while observer.current().is_some() {
            observer.next().await.unwrap();
        }
    };
    timeout(5 * SECOND, gone).await.expect("the entry goes long before its TTL");
}

#[tokio::test]
async fn a_thousand_elections_share_one_session_and_its_heartbeat() {
    const ELECTIONS: usize = 1_000;
    let cluster = Cluster::builder(etcd_or_skip!()).start().await;
    let proxy = Proxy::start(&cluster.endpoints()[0]).await;
    let ensemble = ensemble(&format!("etcd://{}", proxy.address()), 5 * SECOND).await;
    let first = ensemble.election("one").unwrap().candidate().campaign().await.unwrap();
    let beats = async || {
        let before = proxy.counts();
        tokio::time::sleep(4 * SECOND).await;
        (proxy.counts() - before).messages_to("Lease/LeaseKeepAlive")
    };
    let with_one = beats().await;
    let before = resident_kib();
    let begin = Instant::now();
    let campaigns: Vec<_> = (0..ELECTIONS)
        .map(|number| tokio::spawn(ensemble.election(format!("many/{number}")).unwrap().candidate().campaign()))
        .collect();
    let mut led = Vec::new();
    for campaign in campaigns {
        led.push(campaign.await.unwrap().unwrap());
    }
    let joined = begin.elapsed();
    let memory = resident_kib() - before;
    println!("{ELECTIONS} elections joined in {joined:?}, {memory} KiB more resident");
    assert!(joined < 10 * SECOND, "{joined:?}");
    let with_many = beats().await;
    println!("keepalives in 4 s: {with_one} with one election, {with_many} with {ELECTIONS} more");
    assert!(with_many <= with_one + 1, "{with_one} then {with_many}");
    assert!(led.iter().all(|leadership| leadership.is_valid()) && first.is_valid());
    let mut sessions: Vec<_> = ensemble.elections("many/").await.unwrap();
    sessions.dedup();
    assert_eq!(sessions.len(), ELECTIONS);
    assert_eq!(ensemble.status().leading, ELECTIONS + 1);
    let begin = Instant::now();
    ensemble.close(10 * SECOND).await.unwrap_or_else(|error| panic!("{error}"));
    println!("all resigned and closed in {:?}", begin.elapsed());
}

/// Of this process, from the kernel.
fn resident_kib() -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// A service that already holds a client need not open a second one.
#[tokio::test]
async fn an_existing_client_can_be_used() {
    let cluster = Cluster::builder(etcd_or_skip!()).start().await;
    let client = incumbent::etcd::etcd_client::Client::connect(cluster.endpoints(), None).await.unwrap();
    let backend = Arc::new(incumbent::etcd::Etcd::from_client(client).await.unwrap());
    let ensemble = Ensemble::with_backend(backend, Options::new().ttl(5 * SECOND)).unwrap();
    let leadership = ensemble.election("jobs/a").unwrap().candidate().campaign().await.unwrap();
    holds_for(&leadership, 6 * SECOND).await;
    leadership.resign().await.unwrap();
}
