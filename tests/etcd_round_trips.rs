//! What a step costs at a real etcd, counted at a proxy: requests, watch messages, and round trips in a row.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::time::{Duration, Instant};

use incumbent::{Election, Leadership, Options, connect_with};
use incumbent_testkit::{
    etcd::Cluster,
    etcd_or_skip,
    proxy::{Counts, Proxy},
};
use tokio::time::timeout;

const SECOND: Duration = Duration::from_secs(1);
/// Long enough that no heartbeat falls into what is counted.
const TTL: Duration = Duration::from_secs(300);
/// One way, so that a round trip takes twice as long.
const DELAY: Duration = Duration::from_millis(100);

/// A process of its own, as far as etcd can tell: one connection through one proxy, with a session that stands.
struct Client {
    proxy: Proxy,
    election: Election,
}

impl Client {
    async fn start(cluster: &Cluster) -> Self {
        let proxy = Proxy::start(&cluster.endpoints()[0]).await;
        let options = Options::new().ttl(TTL).request_timeout(5 * SECOND);
        let ensemble = connect_with(&format!("etcd://{}", proxy.address()), options).await.unwrap();
        // The session and the watch stream stand, and the keepalive that warmth asks for is over.
        ensemble.election("warm-up").unwrap().candidate().campaign().await.unwrap().resign().await.unwrap();
        let client = Self { proxy, election: ensemble.election("jobs/a").unwrap() };
        client.quiet().await;
        client
    }

    /// Waits until nothing was sent or received for half a second.
    async fn quiet(&self) {
        let mut before = self.proxy.counts();
        loop {
            tokio::time::sleep(SECOND / 2).await;
            let after = self.proxy.counts();
            if after.bytes == before.bytes {
                return;
            }
            before = after;
        }
    }

    async fn campaign(&self) -> Leadership {
        timeout(10 * SECOND, self.election.candidate().campaign()).await.unwrap().unwrap()
    }

    /// Stands in the background, and is back when it waits in the queue and its watches stand.
    async fn wait_in_line(&self, place: usize) -> tokio::task::JoinHandle<Leadership> {
        let campaign = tokio::spawn(self.election.candidate().campaign());
        let election = self.election.clone();
        while election.candidates().await.unwrap().len() <= place {
            tokio::task::yield_now().await;
        }
        self.quiet().await;
        tokio::spawn(async move { campaign.await.unwrap().unwrap() })
    }
}

/// Requests that read or write keys; the confirming read of a heartbeat is a `KV/Range` too.
fn key_requests(counts: &Counts) -> u64 {
    counts.requests_to("KV/Txn") + counts.requests_to("KV/Range") + counts.requests_to("KV/Put")
}

#[tokio::test]
async fn joining_an_empty_election_and_leading_is_one_round_trip() {
    let cluster = Cluster::builder(etcd_or_skip!()).start().await;
    let client = Client::start(&cluster).await;
    client.proxy.delay(DELAY);
    let before = client.proxy.counts();
    let begin = Instant::now();
    let leadership = client.campaign().await;
    let took = begin.elapsed();
    let sent = client.proxy.counts() - before;
    assert_eq!(sent.requests_to("KV/Txn"), 1, "{sent:?}");
    assert!(took >= 2 * DELAY && took < 4 * DELAY, "{took:?} is not one round trip of {:?}", 2 * DELAY);
    client.proxy.delay(Duration::ZERO);
    leadership.resign().await.unwrap();
}

#[tokio::test]
async fn joining_behind_others_adds_one_watch_and_resigning_is_one_round_trip() {
    let cluster = Cluster::builder(etcd_or_skip!()).start().await;
    let (leader, next) = (Client::start(&cluster).await, Client::start(&cluster).await);
    let leadership = leader.campaign().await;
    let before = next.proxy.counts();
    // Joining lists through the proxy until the entry stands: those reads are not counted.
    let waiting = next.wait_in_line(1).await;
    let sent = next.proxy.counts() - before;
    assert_eq!(sent.requests_to("KV/Txn"), 1, "{sent:?}");
    // Own entry and predecessor, created on the stream that stands, without waiting for either.
    assert_eq!(sent.messages_to("Watch/Watch"), 2, "{sent:?}");

    leader.quiet().await;
    let before = leader.proxy.counts();
    leadership.resign().await.unwrap();
    leader.quiet().await;
    let sent = leader.proxy.counts() - before;
    assert_eq!(key_requests(&sent), 1, "{sent:?}");
    waiting.await.unwrap();
}

#[tokio::test]
async fn the_only_successor_leads_without_a_round_trip() {
    let cluster = Cluster::builder(etcd_or_skip!()).start().await;
    let (leader, next) = (Client::start(&cluster).await, Client::start(&cluster).await);
    let leadership = leader.campaign().await;
    let waiting = next.wait_in_line(1).await;
    let before = next.proxy.counts();
    leadership.resign().await.unwrap();
    let successor = timeout(10 * SECOND, waiting).await.unwrap().unwrap();
    let sent = next.proxy.counts() - before;
    assert_eq!(key_requests(&sent), 0, "{sent:?}");
    assert!(sent.events_of("Watch/Watch") >= 1, "{sent:?}");
    assert!(successor.is_valid());
}

#[tokio::test]
async fn a_middle_candidates_death_wakes_exactly_one() {
    let cluster = Cluster::builder(etcd_or_skip!()).start().await;
    let mut clients = Vec::new();
    for _ in 0..6 {
        clients.push(Client::start(&cluster).await);
    }
    let mut waiting = Vec::new();
    for (place, client) in clients.iter().enumerate() {
        waiting.push(client.wait_in_line(place).await);
    }
    let before: Vec<_> = clients.iter().map(|client| client.proxy.counts()).collect();
    // The entry of the fourth goes, as if its process had died.
    let fourth = clients[0].election.candidates().await.unwrap().remove(3);
    let key = format!("jobs/a/{}", fourth.key.name);
    assert!(cluster.etcdctl(&["del", &key]).status().unwrap().success());
    // It joins again at the end of the queue; the fifth looks for the next one ahead; nobody else does anything.
    let rejoined = async {
        loop {
            let entries = clients[0].election.candidates().await.unwrap();
            if entries.len() == 6 && entries.iter().all(|entry| entry.key != fourth.key) {
                return;
            }
        }
    };
    timeout(10 * SECOND, rejoined).await.unwrap();
    for client in &clients {
        client.quiet().await;
    }
    let woken: Vec<_> = clients
        .iter()
        .zip(&before)
        .enumerate()
        .map(|(place, (client, before))| {
            let sent = client.proxy.counts() - before.clone();
            // The first one lists for this test.
            if place == 0 { sent.requests_to("KV/Txn") } else { key_requests(&sent) }
        })
        .collect();
    assert_eq!((woken[1], woken[2], woken[4], woken[5]), (0, 0, 1, 0), "{woken:?}");
}

#[tokio::test]
async fn waiting_costs_nothing_but_the_sessions_keepalive() {
    let cluster = Cluster::builder(etcd_or_skip!()).start().await;
    let (leader, next) = (Client::start(&cluster).await, Client::start(&cluster).await);
    let leadership = leader.campaign().await;
    let waiting = next.wait_in_line(1).await;
    let before = next.proxy.counts();
    tokio::time::sleep(3 * SECOND).await;
    let sent = next.proxy.counts() - before;
    assert_eq!(sent.requests(), 0, "{sent:?}");
    assert_eq!(sent.messages(), 0, "{sent:?}");
    leadership.resign().await.unwrap();
    waiting.await.unwrap();
}
