//! The proxy reads along what a real client says to a real etcd.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test helpers")]

use std::time::Duration;

use etcd_client::{Client, Compare, CompareOp, Txn, TxnOp};
use incumbent_testkit::etcd::Cluster;
use incumbent_testkit::etcd_or_skip;
use incumbent_testkit::proxy::Proxy;
use tokio::time::timeout;

#[tokio::test]
async fn rpcs_are_counted_by_method() {
    let cluster = Cluster::builder(etcd_or_skip!()).members(1).start().await;
    let proxy = Proxy::start(&cluster.endpoints()[0]).await;
    let mut client = Client::connect([proxy.address()], None).await.unwrap();

    let before = proxy.counts();
    for value in ["one", "two"] {
        client.txn(create(value)).await.unwrap();
    }
    let counts = proxy.counts() - before;
    assert_eq!(counts.requests, [("KV/Txn".to_owned(), 2)].into());
    assert_eq!(counts.messages, [("KV/Txn".to_owned(), 2)].into());
    assert_eq!(counts.events, [("KV/Txn".to_owned(), 2)].into());

    let before = proxy.counts();
    let mut watch = client.watch("key", None).await.unwrap();
    client.put("key", "three", None).await.unwrap();
    // First comes that the watch is there.
    while watch.message().await.unwrap().unwrap().events().is_empty() {}
    let counts = proxy.counts() - before;
    assert_eq!((counts.requests_to("Watch/Watch"), counts.requests_to("KV/Put")), (1, 1));
    // That the watch is there, then the put.
    assert_eq!((counts.messages_to("Watch/Watch"), counts.events_of("Watch/Watch")), (1, 2));
}

#[tokio::test]
async fn a_write_whose_reply_is_lost_has_landed() {
    let cluster = Cluster::builder(etcd_or_skip!()).members(1).start().await;
    let proxy = Proxy::start(&cluster.endpoints()[0]).await;
    let mut client = Client::connect([proxy.address()], None).await.unwrap();
    client.get("key", None).await.unwrap();

    proxy.drop_replies(true);
    let lost = timeout(Duration::from_secs(10), client.txn(create("value")));
    let reset = async {
        proxy.until(|counts| counts.events_of("KV/Txn") == 1).await;
        proxy.reset();
    };
    let (lost, ()) = tokio::join!(lost, reset);
    lost.unwrap().unwrap_err();

    let found = cluster.etcdctl(&["get", "--print-value-only", "key"]).output().unwrap();
    assert_eq!(found.stdout, b"value\n");
    proxy.heal();
    assert_eq!(client.get("key", None).await.unwrap().kvs()[0].value(), b"value");
    assert_eq!(proxy.counts().requests_to("KV/Txn"), 1);
}

fn create(value: &str) -> Txn {
    Txn::new().when([Compare::create_revision("key", CompareOp::Equal, 0)]).and_then([TxnOp::put("key", value, None)])
}
