//! Writes that land late.

#![allow(clippy::unwrap_used, reason = "a helper fails its test")]

mod support;

use std::{sync::Arc, time::Duration};

use etcd_client::{Client, PutOptions};
use incumbent_core::{Backend, ElectionName, ErrorKind, Guid, Profile, Session};
use incumbent_etcd::Etcd;
use incumbent_testkit::{etcd::Cluster, etcd_or_skip, proxy::Proxy};
use support::{Proxies, TTL, connect, election, join, session, within};

/// Puts the entry as a join that was given up may do seconds later.
async fn lands(cluster: &Cluster, session: &Arc<dyn Session>, election: &ElectionName, guid: Guid) {
    let mut client = Client::connect(cluster.endpoints(), None).await.unwrap();
    let lease = session.id().get().cast_signed();
    let key = format!("{election}/{lease:x}-{guid}");
    let options = PutOptions::new().with_lease(lease);
    // The plain client may ask a member that is dead.
    within("the put", async { while client.put(key.clone(), "late", Some(options.clone())).await.is_err() {} }).await;
}

async fn only(etcd: &Etcd, election: &ElectionName, expected: &[&str]) {
    within("the queue as it should be", async {
        loop {
            let names: Vec<_> =
                etcd.list(election).await.unwrap().entries.into_iter().map(|entry| entry.key.name).collect();
            if names.iter().map(|name| &**name).eq(expected.iter().copied()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn an_entry_that_lands_after_it_was_retired_is_removed_on_sight() {
    let cluster = Cluster::builder(etcd_or_skip!()).start().await;
    let etcd = connect(cluster.endpoints()).await;
    let (mine, election) = (session(&etcd).await, election());
    let (bystander, _) = join(&mine, &election).await;
    let guids = [Guid::random(), Guid::random()];
    for guid in guids {
        mine.retire(&election, guid).await.unwrap();
    }
    // Twice each: it is for good.
    for guid in guids.into_iter().chain(guids) {
        lands(&cluster, &mine, &election, guid).await;
        only(&etcd, &election, &[&bystander.name]).await;
    }
}

#[tokio::test]
async fn it_is_removed_after_the_member_that_watched_for_it_died() {
    let mut cluster = Cluster::builder(etcd_or_skip!()).start().await;
    let proxies = Proxies::before(&cluster).await;
    let etcd = proxies.connect().await;
    let (mine, election, guid) = (session(&etcd).await, election(), Guid::random());
    mine.retire(&election, guid).await.unwrap();
    cluster.kill(proxies.current());
    cluster.wait_healthy().await;
    lands(&cluster, &mine, &election, guid).await;
    only(&etcd, &election, &[]).await;
}

#[tokio::test]
async fn a_join_that_the_leader_slept_through_does_not_stay() {
    let mut cluster = Cluster::builder(etcd_or_skip!()).start().await;
    for _ in 0..3 {
        let leader = cluster.leader().await;
        // Behind the leader alone.
        let etcd = connect([cluster.endpoints()[leader].clone()]).await;
        let (mine, election, guid) = (session(&etcd).await, election(), Guid::random());
        cluster.pause(leader);
        let error = mine.enqueue(&election, guid, &Profile::new("x")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "{error}");
        let error = mine.retire(&election, guid).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "{error}");
        cluster.resume(leader);
        cluster.wait_healthy().await;
        only(&etcd, &election, &[]).await;
        // Whether it has landed and been removed, or may land yet.
        tokio::time::sleep(TTL / 5).await;
        only(&etcd, &election, &[]).await;
        mine.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_name_that_is_retired_again_and_again_is_swept_by_one_chain() {
    let cluster = Cluster::builder(etcd_or_skip!()).members(1).start().await;
    let proxy = Proxy::start(&cluster.endpoints()[0]).await;
    let etcd = connect([proxy.address()]).await;
    let (mine, election, guid) = (session(&etcd).await, election(), Guid::random());
    proxy.drop_replies(true);
    let retiring = (0..20).map(|_| mine.retire(&election, guid));
    let told = within("every answer", futures::future::join_all(retiring)).await;
    assert!(told.iter().all(Result::is_err), "{told:?}");
    let before = proxy.counts();
    tokio::time::sleep(TTL).await;
    let sweeps = (proxy.counts() - before).requests_to("KV/Txn");
    assert!((1..=10).contains(&sweeps), "{sweeps} sweeps of one name in {TTL:?}");
}
