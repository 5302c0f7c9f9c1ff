//! Thousands of candidates in one process.

mod support;

use std::time::{Duration, Instant};

use futures::future::join_all;
use incumbent_core::PlaceEvent;
use incumbent_testkit::{etcd::Cluster, etcd_or_skip};
use support::{Proxies, election, join, session, within};

const CROWD: usize = 1000;

#[tokio::test]
async fn two_thousand_watches_are_made_quickly_and_each_is_told() {
    let mut cluster = Cluster::builder(etcd_or_skip!()).start().await;
    let proxies = Proxies::before(&cluster).await;
    let etcd = proxies.connect().await;
    let (mine, election) = (session(&etcd).await, election());
    let mut entries = Vec::new();
    for _ in 0..CROWD / 50 {
        entries.extend(join_all((0..50).map(|_| join(&mine, &election))).await);
    }
    entries.sort_by_key(|(key, _)| key.token);

    let began = Instant::now();
    let mut watches: Vec<_> = entries.iter().map(|(key, place)| mine.watch(&election, key, place)).collect();
    assert!(began.elapsed() < Duration::from_millis(500), "making them waits for nothing: {:?}", began.elapsed());
    let current = &proxies.0[proxies.current()];
    let all = 2 * CROWD as u64 - 1;
    current.until(|counts| counts.events_of("Watch/Watch") >= all).await;
    println!("{all} watches stood after {:?}", began.elapsed());

    // Each goes on over another member.
    let began = Instant::now();
    cluster.kill(proxies.current());
    cluster.wait_healthy().await;
    for (key, _) in entries.iter().take(CROWD / 2) {
        within("removing", async { while mine.remove(&election, key).await.is_err() {} }).await;
    }
    for (index, watch) in watches.iter_mut().enumerate().take(CROWD / 2 + 1) {
        let event = within("the end", watch.next()).await;
        if index < CROWD / 2 {
            assert!(
                matches!(event, PlaceEvent::OwnGone | PlaceEvent::AheadGone { unbroken: false }),
                "{index}: {event:?}"
            );
        } else {
            assert_eq!(event, PlaceEvent::AheadGone { unbroken: false });
        }
    }
    println!("all were told {:?} after the member died", began.elapsed());
    let (heir, _) = &entries[CROWD / 2];
    assert!(mine.place(&election, heir).await.unwrap().unwrap().is_head());
}
