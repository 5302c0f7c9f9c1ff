//! Ends, and that each is told.

mod support;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use etcd_client::Client;
use incumbent_core::{
    Backend, Entry, EntryKey, ErrorKind, Guid, Life, Place, PlaceEvent, Profile, QueueEvent, Revision, SessionOptions,
    Token,
};
use incumbent_etcd::{Etcd, EtcdConfig};
use incumbent_testkit::{etcd::Cluster, etcd_or_skip};
use support::{TTL, connect, election, has_ended, join, lives, session, within};

#[tokio::test]
async fn a_dropped_session_takes_its_entries_along_at_once() {
    let cluster = Cluster::builder(etcd_or_skip!()).start().await;
    let (etcd, other) = (connect(cluster.endpoints()).await, connect(cluster.endpoints()).await);
    let election = election();
    let (mine, theirs) = (session(&etcd).await, session(&other).await);
    join(&mine, &election).await;
    let (own, place) = join(&theirs, &election).await;
    let mut watch = theirs.watch(&election, &own, &place);
    let (dropped, life) = (Instant::now(), mine.life());
    drop(mine);
    assert!(matches!(within("the end", watch.next()).await, PlaceEvent::AheadGone { .. }));
    assert!(dropped.elapsed() < TTL / 2, "{:?}", dropped.elapsed());
    assert!(has_ended(&life.borrow()));
}

#[tokio::test]
async fn a_lease_revoked_by_somebody_ends_an_idle_session() {
    let cluster = Cluster::builder(etcd_or_skip!()).start().await;
    let etcd = connect(cluster.endpoints()).await;
    let mine = session(&etcd).await;
    assert!(cluster.etcdctl(&["lease", "revoke", &mine.id().to_string()]).output().unwrap().status.success());
    let Life::Ended(why) = lives(&mine, "the end", has_ended).await else { unreachable!() };
    assert_eq!(why.kind(), ErrorKind::SessionGone, "{why}");
}

#[tokio::test]
async fn closing_the_backend_ends_everything() {
    let cluster = Cluster::builder(etcd_or_skip!()).start().await;
    let (etcd, other) = (connect(cluster.endpoints()).await, connect(cluster.endpoints()).await);
    let (mine, election) = (session(&etcd).await, election());
    let (own, place) = join(&mine, &election).await;
    let mut watch = mine.watch(&election, &own, &place);
    let mut queue = etcd.watch(&election, place.revision);
    etcd.close().await;
    assert_eq!(within("the watch's end", watch.next()).await, PlaceEvent::Broken);
    assert!(matches!(within("the watch's end", queue.next()).await, QueueEvent::Broken));
    assert_eq!(within("a watch made later", mine.watch(&election, &own, &place).next()).await, PlaceEvent::Broken);
    let Life::Ended(why) = lives(&mine, "the end", has_ended).await else { unreachable!() };
    assert_eq!(why.kind(), ErrorKind::Closed, "{why}");
    assert_eq!(etcd.list(&election).await.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(etcd.open_session(&SessionOptions::new(TTL)).await.unwrap_err().kind(), ErrorKind::Closed);
    within("the lease's revocation", async {
        while other.list(&election).await.unwrap().entries != Vec::<Entry>::new() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

#[test]
fn a_runtime_that_goes_takes_the_sessions_life_along() {
    let binaries = etcd_or_skip!();
    let outer = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let cluster = outer.block_on(Cluster::builder(binaries).members(1).start());
    for pause in [Duration::ZERO, Duration::from_millis(100)] {
        let inner = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (mine, mut watch, clock) = inner.block_on(async {
            let etcd = connect(cluster.endpoints()).await;
            let (mine, election) = (session(&etcd).await, election());
            let key = EntryKey::new("1-x", Token::new(1));
            let place = Place { next: None, ahead: 0, revision: Revision::new(1) };
            let watch = mine.watch(&election, &key, &place);
            // Without one its tasks have not run yet.
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            (mine, watch, etcd.clock().clone())
        });
        let Life::Alive { deadline, .. } = mine.life().borrow().clone() else { panic!("it lives") };
        drop(inner);
        assert!(has_ended(&mine.life().borrow()), "after {pause:?}");
        assert!(!deadline.holds(clock.now()));
        assert_eq!(outer.block_on(within("the watch's end", watch.next())), PlaceEvent::Broken);
    }
}

#[tokio::test]
async fn an_ensemble_that_cannot_be_reached_is_named_with_all_it_said() {
    let asked = Instant::now();
    // Nobody listens on these.
    let error = Etcd::connect(EtcdConfig::new(["127.0.0.1:1", "http://127.0.0.1:2"])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let text = error.to_string();
    for word in ["127.0.0.1:1: ", "127.0.0.1:2: ", "refused"] {
        assert!(text.contains(word), "{text}");
    }
    assert!(asked.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn members_of_two_clusters_are_refused() {
    let binaries = etcd_or_skip!();
    let one = Cluster::builder(binaries.clone()).members(1).start().await;
    let another = Cluster::builder(binaries).members(1).start().await;
    let endpoints = [one.endpoints(), another.endpoints()].concat();
    let error = Etcd::connect(EtcdConfig::new(&endpoints)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(endpoints.iter().all(|endpoint| error.to_string().contains(endpoint)), "{error}");
}

#[tokio::test]
async fn a_member_that_is_down_does_not_delay_connecting() {
    let mut cluster = Cluster::builder(etcd_or_skip!()).start().await;
    let follower = cluster.follower().await;
    cluster.pause(follower);
    let asked = Instant::now();
    let etcd = connect(cluster.endpoints()).await;
    assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
    let asked = Instant::now();
    let statuses = etcd.endpoints().await;
    assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
    let answers = statuses.iter().map(|status| status.answer.as_ref());
    let (told, silent): (Vec<_>, Vec<_>) = answers.partition(Result::is_ok);
    assert_eq!((told.len(), silent.len()), (2, 1), "{statuses:?}");
    assert!(told.iter().flatten().all(|(_, member)| member.version == cluster.version()));
    assert_eq!(told.iter().flatten().filter(|(_, member)| member.leads).count(), 1, "{statuses:?}");
    assert_eq!(session(&etcd).await.ttl(), TTL);
}

#[tokio::test]
async fn a_client_that_the_service_has_will_do() {
    let cluster = Cluster::builder(etcd_or_skip!()).members(1).start().await;
    let client = Client::connect(cluster.endpoints(), None).await.unwrap();
    let etcd = Etcd::from_client(client).await.unwrap();
    let (mine, election, guid) = (session(&etcd).await, election(), Guid::random());
    let (own, place) = mine.enqueue(&election, guid, &Profile::new("x")).await.unwrap();
    let mut watch = mine.watch(&election, &own, &place);
    mine.retire(&election, guid).await.unwrap();
    assert_eq!(within("the own end", watch.next()).await, PlaceEvent::OwnGone);
    let life = mine.life();
    drop(Arc::clone(&mine));
    assert!(!has_ended(&life.borrow()), "another handle is left");
    mine.close().await.unwrap();
}

#[tokio::test]
async fn a_member_of_another_cluster_that_comes_later_opens_no_session() {
    let binaries = etcd_or_skip!();
    let mut one = Cluster::builder(binaries.clone()).members(1).start().await;
    let mut another = Cluster::builder(binaries).members(1).start().await;
    another.pause(0);
    let etcd = connect([one.endpoints(), another.endpoints()].concat()).await;
    another.resume(0);
    one.kill(0);
    let refused = within("the refusal", async {
        loop {
            let error = etcd.open_session(&SessionOptions::new(TTL)).await.unwrap_err();
            if error.kind() != ErrorKind::Unavailable {
                return error;
            }
        }
    })
    .await;
    assert_eq!(refused.kind(), ErrorKind::InvalidInput, "{refused}");
    assert!(refused.to_string().contains("name the members of one cluster"), "{refused}");
}
