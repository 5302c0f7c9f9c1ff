//! What it costs, in requests.

mod support;

use std::time::Duration;

use incumbent_core::{Backend, PlaceEvent};
use incumbent_testkit::{etcd::Cluster, etcd_or_skip, proxy::Proxy};
use support::{TTL, connect, election, join, session, within};

#[tokio::test]
async fn each_step_keeps_its_budget() {
    let cluster = Cluster::builder(etcd_or_skip!()).members(1).start().await;
    let proxy = Proxy::start(&cluster.endpoints()[0]).await;
    let etcd = connect([proxy.address()]).await;
    let (one, another, election) = (session(&etcd).await, session(&etcd).await, election());
    let since = |then| proxy.counts() - then;

    let before = proxy.counts();
    let (head, _) = join(&one, &election).await;
    let joined = since(before);
    assert_eq!((joined.requests(), joined.requests_to("KV/Txn")), (1, 1), "joining: {joined:?}");

    let (own, place) = join(&another, &election).await;
    let before = proxy.counts();
    let mut watch = another.watch(&election, &own, &place);
    proxy.until(|now| now.clone().events_of("Watch/Watch") >= before.events_of("Watch/Watch") + 2).await;
    let watched = since(before.clone());
    assert_eq!((watched.requests(), watched.requests_to("Watch/Watch")), (1, 1), "the first watch: {watched:?}");
    assert_eq!(watched.messages_to("Watch/Watch"), 2, "own entry and the one ahead: {watched:?}");

    let before = proxy.counts();
    one.remove(&election, &head).await.unwrap();
    assert_eq!(within("the end of the one ahead", watch.next()).await, PlaceEvent::AheadGone { unbroken: true });
    let left = since(before);
    assert_eq!((left.requests(), left.requests_to("KV/Txn")), (1, 1), "leaving, and learning of it: {left:?}");

    let before = proxy.counts();
    let place = another.place(&election, &own).await.unwrap().unwrap();
    let read = since(before);
    assert_eq!((read.requests(), read.requests_to("KV/Range")), (1, 1), "reading the place: {read:?}");

    let _more = another.watch(&election, &own, &place);
    let before = proxy.counts();
    let mut etcd_watch = etcd.watch(&election, place.revision);
    let (_third, _) = join(&one, &election).await;
    within("somebody joining", etcd_watch.next()).await;
    let watched = since(before);
    assert_eq!(watched.requests_to("Watch/Watch"), 0, "one stream for all: {watched:?}");
}

#[tokio::test]
async fn at_idle_there_is_the_keepalive_and_nothing_else() {
    let cluster = Cluster::builder(etcd_or_skip!()).members(1).start().await;
    let proxy = Proxy::start(&cluster.endpoints()[0]).await;
    let etcd = connect([proxy.address()]).await;
    let (session, election) = (session(&etcd).await, election());
    let mut watches = Vec::new();
    for _ in 0..10 {
        let (own, place) = join(&session, &election).await;
        watches.push(session.watch(&election, &own, &place));
    }
    // The keepalive stream is open.
    proxy.until(|now| now.messages_to("Lease/LeaseKeepAlive") >= 2).await;
    let before = proxy.counts();
    tokio::time::sleep(TTL * 2).await;
    let idle = proxy.counts() - before;
    assert_eq!(idle.requests(), 0, "{idle:?}");
    let beats = idle.messages();
    assert_eq!(idle.messages_to("Lease/LeaseKeepAlive"), beats, "{idle:?}");
    // One each fifth of the TTL.
    assert!((8..=11).contains(&beats), "{idle:?}");

    let before = proxy.counts();
    let _warm = session.demand().hold();
    proxy.until(|now| (now - &before).requests_to("KV/Range") == 1).await;
    let warm = proxy.counts() - before;
    assert!(warm.messages_to("Lease/LeaseKeepAlive") <= 1, "a proof at once: {warm:?}");
    let before = proxy.counts();
    tokio::time::sleep(TTL + Duration::from_millis(100)).await;
    let warm = proxy.counts() - before;
    let (kept, read) = (warm.messages_to("Lease/LeaseKeepAlive"), warm.requests_to("KV/Range"));
    assert_eq!((kept, warm.requests()), (read, read), "a keepalive and a read each: {warm:?}");
    assert!((4..=6).contains(&read), "{warm:?}");
}
