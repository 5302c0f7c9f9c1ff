//! Members that die, hang and come back.

mod support;

use std::time::{Duration, Instant};

use incumbent_core::{Backend, ErrorKind, Guid, Life, PlaceEvent, Profile, QueueEvent, SessionOptions};
use incumbent_testkit::{etcd::Cluster, etcd_or_skip, proxy::Proxy};
use support::{Proxies, TTL, connect, election, has_contact, is_suspended, join, lives, session, within};

#[tokio::test]
async fn watches_go_on_over_another_member_and_miss_nothing() {
    let mut cluster = Cluster::builder(etcd_or_skip!()).start().await;
    let proxies = Proxies::before(&cluster).await;
    let etcd = proxies.connect().await;
    // Another process: its requests do not go through the member that dies.
    let bystander = connect(cluster.endpoints()).await;
    let (mine, theirs, election) = (session(&etcd).await, session(&bystander).await, election());
    let (first, _) = join(&theirs, &election).await;
    let (own, place) = join(&mine, &election).await;
    let mut watch = mine.watch(&election, &own, &place);
    let mut queue = etcd.watch(&election, place.revision);
    let (third, _) = join(&theirs, &election).await;
    assert!(matches!(within("the third", queue.next()).await, QueueEvent::Joined(entry) if entry.key == third));

    let current = proxies.current();
    cluster.kill(current);
    assert!(matches!(within("the loss", queue.next()).await, QueueEvent::Suspended(_)));
    // Both happen while the watches may stand nowhere.
    for key in [&third, &first] {
        within("removing", async { while theirs.remove(&election, key).await.is_err() {} }).await;
    }
    let mut told = Vec::new();
    while told.len() < 2 {
        match within("what was missed", queue.next()).await {
            QueueEvent::Left(name) => told.push(name),
            QueueEvent::Resumed | QueueEvent::Suspended(_) => {}
            event => panic!("{event:?}"),
        }
    }
    assert_eq!(told, [third.name, first.name], "each once, in order");
    let event = within("the end of the one ahead", watch.next()).await;
    assert_eq!(event, PlaceEvent::AheadGone { unbroken: false }, "there was a gap");
    assert!(mine.place(&election, &own).await.unwrap().unwrap().is_head());
}

#[tokio::test]
async fn a_session_outlives_the_pause_of_each_member() {
    let mut cluster = Cluster::builder(etcd_or_skip!()).start().await;
    let etcd = connect(cluster.endpoints()).await;
    let mine = session(&etcd).await;
    let _warm = mine.demand().hold();
    let Life::Alive { deadline, .. } = mine.life().borrow().clone() else { panic!("it lives") };
    for member in 0..cluster.len() {
        // etcd's own leader sleeps for less than the TTL: one that wakes up after it may take leases from the living, up to
        // the version that closes `KnownHole::StaleReads`.
        let span = if cluster.leader().await == member { TTL / 5 * 3 } else { TTL + TTL / 10 };
        cluster.pause(member);
        let until = Instant::now() + span;
        while Instant::now() < until {
            assert!(deadline.holds(etcd.clock().now()), "member {member} paused: {:?}", mine.life());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        cluster.resume(member);
        cluster.wait_healthy().await;
        lives(&mine, "contact", has_contact).await;
        // The other members have the whole of it again.
        let held = deadline.until();
        within("another proof", deadline.moved_from(held)).await;
    }
    mine.close().await.unwrap();
}

#[tokio::test]
async fn a_silent_member_is_left_and_its_write_is_unknown() {
    let cluster = Cluster::builder(etcd_or_skip!()).start().await;
    let proxies = Proxies::before(&cluster).await;
    let etcd = proxies.connect().await;
    let (mine, election, guid) = (session(&etcd).await, election(), Guid::random());
    let current = proxies.current();
    proxies.0[current].blackhole(true);
    let error = mine.enqueue(&election, guid, &Profile::new("x")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "{error}");
    assert!(error.to_string().contains(proxies.0[current].address()), "{error}");
    let (key, _) = mine.enqueue(&election, guid, &Profile::new("x")).await.expect("another member takes it");
    assert_eq!(etcd.list(&election).await.unwrap().entries[0].key, key);
    mine.remove(&election, &key).await.unwrap();
}

#[tokio::test]
async fn a_join_whose_answer_was_lost_is_found_by_its_name() {
    let cluster = Cluster::builder(etcd_or_skip!()).start().await;
    let proxies = Proxies::before(&cluster).await;
    let etcd = proxies.connect().await;
    let (mine, election, guid) = (session(&etcd).await, election(), Guid::random());
    let current = &proxies.0[proxies.current()];
    current.drop_replies(true);
    let error = mine.enqueue(&election, guid, &Profile::new("x")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "{error}");
    let (behind, _) = join(&mine, &election).await;
    let (key, place) = mine.enqueue(&election, guid, &Profile::new("x")).await.unwrap();
    assert!(key.token < behind.token, "it is the one that was put first");
    assert!(place.is_head());
    assert_eq!(etcd.list(&election).await.unwrap().entries.len(), 2);
}

#[tokio::test]
async fn a_member_that_is_gone_is_passed_over() {
    let cluster = Cluster::builder(etcd_or_skip!()).start().await;
    let proxies = Proxies::before(&cluster).await;
    let etcd = proxies.connect().await;
    let (mine, election) = (session(&etcd).await, election());
    proxies.0[proxies.current()].refuse(true);
    proxies.0[proxies.current()].reset();
    // The connection that broke may have carried the write; what finds no connection certainly did not.
    let mut unknown = 0;
    for _ in 0..10 {
        match mine.enqueue(&election, Guid::random(), &Profile::new("x")).await {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::OutcomeUnknown => unknown += 1,
            Err(error) => panic!("{error:?}"),
        }
    }
    assert!(unknown <= 1, "{unknown}");
}

#[tokio::test]
async fn when_nobody_answers_it_is_told_in_time() {
    let cluster = Cluster::builder(etcd_or_skip!()).start().await;
    let proxies = Proxies::before(&cluster).await;
    let etcd = proxies.connect().await;
    let (mine, election) = (session(&etcd).await, election());
    let (own, _) = join(&mine, &election).await;
    let _warm = mine.demand().hold();
    proxies.0.iter().for_each(|proxy| proxy.blackhole(true));
    let asked = Instant::now();
    let error = mine.place(&election, &own).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    for proxy in &proxies.0 {
        assert!(error.to_string().contains(proxy.address()), "{error}");
    }
    assert!(asked.elapsed() < TTL, "a third of the TTL each at most: {:?}", asked.elapsed());
    assert_eq!(mine.remove(&election, &own).await.unwrap_err().kind(), ErrorKind::OutcomeUnknown);
    lives(&mine, "the suspension", is_suspended).await;
    proxies.0.iter().for_each(Proxy::heal);
    // Contact, or the end: the TTL has passed.
    lives(&mine, "certainty", |life| !is_suspended(life)).await;
}

#[tokio::test]
async fn a_single_endpoint_is_reached_over_a_new_connection() {
    let cluster = Cluster::builder(etcd_or_skip!()).members(1).start().await;
    let proxy = Proxy::start(&cluster.endpoints()[0]).await;
    let etcd = connect([proxy.address()]).await;
    let (mine, election) = (session(&etcd).await, election());
    let (own, place) = join(&mine, &election).await;
    let mut watch = mine.watch(&election, &own, &place);
    proxy.until(|counts| counts.messages_to("Watch/Watch") >= 1).await;
    let before = proxy.counts().connections;
    proxy.blackhole(true);
    lives(&mine, "the suspension", is_suspended).await;
    // The old connections are as good as dead, and nobody says so.
    proxy.until(|counts| counts.connections > before).await;
    proxy.blackhole(false);
    lives(&mine, "contact", has_contact).await;
    mine.remove(&election, &own).await.unwrap();
    assert_eq!(within("the own end", watch.next()).await, PlaceEvent::OwnGone);
}

#[tokio::test]
async fn who_only_looks_on_finds_a_silent_member_out() {
    let mut cluster = Cluster::builder(etcd_or_skip!()).start().await;
    let proxies = Proxies::before(&cluster).await;
    // No session, no heartbeat: the connection's own pings must do.
    let looker = proxies.connect().await;
    let candidate = connect(cluster.endpoints()).await;
    let election = election();
    let queue = looker.list(&election).await.unwrap();
    let mut watch = looker.watch(&election, queue.revision);
    let watched = |proxy: &Proxy| proxy.counts().events_of("Watch/Watch") > 0;
    within("the watch", async {
        while !proxies.0.iter().any(watched) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    let member = proxies.0.iter().position(watched).unwrap();
    cluster.pause(member);
    let mine = within("a session", async {
        loop {
            if let Ok(mine) = candidate.open_session(&SessionOptions::new(TTL)).await {
                return mine;
            }
        }
    })
    .await;
    let (key, _) = within("joining", async {
        loop {
            if let Ok(joined) = mine.enqueue(&election, Guid::random(), &Profile::new("x")).await {
                return joined;
            }
        }
    })
    .await;
    let mut suspended = false;
    loop {
        match within("news", watch.next()).await {
            QueueEvent::Suspended(_) => suspended = true,
            QueueEvent::Resumed => {}
            QueueEvent::Joined(entry) => {
                assert_eq!(entry.key, key);
                break;
            }
            event => panic!("{event:?}"),
        }
    }
    assert!(suspended);
    cluster.resume(member);
}
