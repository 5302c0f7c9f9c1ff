use std::{collections::BTreeSet, time::Duration};

use super::harness::{Context, join, joins_of};
use crate::{Entry, ErrorKind, Guid, Profile, QueueEvent, QueueWatch, SessionOptions};

pub(super) async fn list_in_order(context: &Context) {
    let (mine, theirs) = (context.session().await, context.others_session().await);
    let election = context.election();
    let profiles = [
        Profile::new("worker-7"),
        Profile { address: Some("http://10.0.0.7:8080".into()), ..Profile::new("wörker/7 {zone}") },
        Profile::new(r#"{"id":"an id that looks like a profile"}"#),
        Profile {
            metadata: [("zone".into(), "b".into()), ("empty".into(), String::new())].into(),
            ..Profile::new("worker-9")
        },
        Profile::new(""),
    ];
    let mut expected = Vec::new();
    for (profile, session) in profiles.iter().zip([&mine, &theirs, &mine, &mine, &theirs]) {
        let (key, _) = session.enqueue(&election, Guid::random(), profile).await.expect("joining");
        expected.push(Entry { key, session: Some(session.id()), profile: profile.clone(), ours: true });
    }
    for backend in [&context.backend, &context.other] {
        let queue = context.within("listing", backend.list(&election)).await.expect("listing");
        assert_eq!(queue.entries, expected);
    }
}

pub(super) async fn list_of_nothing_is_empty(context: &Context) {
    let session = context.session().await;
    let election = context.election();
    let never = context.within("listing", context.backend.list(&election)).await.expect("listing");
    assert_eq!(never.entries, [], "nobody ever joined");
    let (key, _) = join(&session, &election).await;
    session.remove(&election, &key).await.expect("removing");
    let left = context.within("listing", context.backend.list(&election)).await.expect("listing");
    assert_eq!(left.entries, [], "everybody left");
    assert!(left.revision >= never.revision, "history goes forward");
}

pub(super) async fn watch_queue_misses_nothing(context: &Context) {
    for _ in 0..ATTEMPTS {
        if follows_a_queue(context).await.is_some() {
            return;
        }
    }
    panic!("the watch said Broken in each of {ATTEMPTS} attempts, with nothing wrong");
}

/// One attempt in an election of its own; `None` if the watch broke, which it may.
async fn follows_a_queue(context: &Context) -> Option<()> {
    let (mine, theirs) = (context.session().await, context.others_session().await);
    let election = context.election_named(&format!("-{}", Guid::random()));
    let nothing = context.backend.list(&election).await.expect("listing");
    let first = joins_of(&mine, &election).await;
    let second = joins_of(&theirs, &election).await;
    let mut from_nothing = context.other.watch(&election, nothing.revision);
    assert_eq!(joined(context, &mut from_nothing).await?, first, "joined before the watch was made");
    assert_eq!(joined(context, &mut from_nothing).await?, second, "joined before the watch was made");

    let listed = context.backend.list(&election).await.expect("listing");
    assert_eq!(listed.entries, [first.clone(), second.clone()]);
    let mut from_listing = context.backend.watch(&election, listed.revision);
    let third = joins_of(&theirs, &election).await;
    for watch in [&mut from_nothing, &mut from_listing] {
        assert_eq!(joined(context, watch).await?, third, "each one is told once, and none that was listed");
    }
    theirs.remove(&election, &second.key).await.expect("removing");
    for watch in [&mut from_nothing, &mut from_listing] {
        assert_eq!(left(context, watch).await?, *second.key.name);
    }
    mine.close().await.expect("closing");
    for watch in [&mut from_nothing, &mut from_listing] {
        assert_eq!(left(context, watch).await?, *first.key.name, "with its session");
    }
    let fourth = joins_of(&theirs, &election).await;
    for watch in [&mut from_nothing, &mut from_listing] {
        assert_eq!(joined(context, watch).await?, fourth, "each one is told once");
    }
    Some(())
}

async fn joined(context: &Context, watch: &mut Box<dyn QueueWatch>) -> Option<Entry> {
    match context.within("telling who joined", change(watch)).await? {
        QueueEvent::Joined(entry) => Some(entry),
        event => panic!("told {event:?} when somebody joined"),
    }
}

async fn left(context: &Context, watch: &mut Box<dyn QueueWatch>) -> Option<String> {
    match context.within("telling who left", change(watch)).await? {
        QueueEvent::Left(name) => Some(name.to_string()),
        event => panic!("told {event:?} when somebody left"),
    }
}

/// The next change of the queue; `None` if the watch broke.
async fn change(watch: &mut Box<dyn QueueWatch>) -> Option<QueueEvent> {
    loop {
        match watch.next().await {
            QueueEvent::Suspended(_) | QueueEvent::Resumed => {}
            QueueEvent::Broken => return None,
            event => return Some(event),
        }
    }
}

pub(super) async fn elections_are_found(context: &Context) {
    let (mine, theirs) = (context.session().await, context.others_session().await);
    let prefix = context.election();
    let [one, two, three, beside] =
        ["/one", "/two/deeper", "/three", "-beside"].map(|more| context.election_named(more));
    let (first, _) = join(&mine, &one).await;
    for (session, election) in [(&theirs, &one), (&mine, &two), (&mine, &beside)] {
        join(session, election).await;
    }
    let (only, _) = join(&theirs, &three).await;
    theirs.remove(&three, &only).await.expect("removing");
    let found = async |prefix: &str| {
        let found = context.within("looking for elections", context.other.elections(prefix)).await;
        let found = found.expect("looking for elections");
        let unlike: BTreeSet<_> = found.iter().cloned().collect();
        assert_eq!(unlike.len(), found.len(), "each is named once: {found:?}");
        unlike
    };
    let names = |elections: &[&crate::ElectionName]| elections.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
    assert_eq!(found(&format!("{prefix}/")).await, names(&[&one, &two]), "those with entries");
    assert_eq!(found(&format!("{prefix}/t")).await, names(&[&two]), "a prefix may end within a segment");
    assert_eq!(found(&format!("{prefix}/nobody")).await, names(&[]));
    mine.remove(&one, &first).await.expect("removing");
    assert_eq!(found(prefix.as_str()).await, names(&[&one, &two, &beside]), "one entry is enough");
    theirs.close().await.expect("closing");
    assert_eq!(found(prefix.as_str()).await, names(&[&two, &beside]), "an election without entries is none");
}

pub(super) async fn names_do_not_nest(context: &Context) {
    let (mine, theirs) = (context.session().await, context.others_session().await);
    let [short, longer, deeper] = ["", "b", "/b"].map(|more| context.election_named(more));
    let (beside, _) = join(&theirs, &longer).await;
    let (own, place) = join(&mine, &short).await;
    assert!(place.is_head(), "{short} does not see the entries of {longer}");
    context.holds(&short, [&own], "its own entry alone").await;
    mine.remove(&short, &own).await.expect("removing");
    context.holds(&longer, [&beside], "the other one's entry stays").await;

    let (below, _) = join(&theirs, &deeper).await;
    match mine.enqueue(&short, Guid::random(), &Profile::new("candidate")).await {
        Ok((own, place)) => {
            assert!(place.is_head(), "{short} does not see the entries of {deeper}");
            context.holds(&short, [&own], "undisturbed").await;
            theirs.remove(&deeper, &below).await.expect("removing");
            let (_, place) = join(&theirs, &deeper).await;
            assert!(place.is_head(), "{deeper} does not see the entries of {short}");
            context.holds(&short, [&own], "undisturbed").await;
        }
        Err(error) => {
            assert!(
                matches!(error.kind(), ErrorKind::Refused | ErrorKind::InvalidInput),
                "joining {short} beside {deeper}: {error:?}"
            );
            assert!(error.to_string().contains(deeper.as_str()), "it names {deeper}: {error}");
            theirs.remove(&deeper, &below).await.expect("removing");
            let (_, place) = join(&mine, &short).await;
            assert!(place.is_head(), "nothing was left by what was refused, and now it is free");
        }
    }
}

pub(super) async fn ttl_too_short_is_refused(context: &Context) {
    let year = Duration::from_secs(365 * 24 * 3600);
    for options in [
        SessionOptions { margin: Some(year), ..SessionOptions::new(context.ttl()) },
        SessionOptions { heartbeat: Some(year), ..SessionOptions::new(context.ttl()) },
        SessionOptions { request_timeout: Some(year), ..SessionOptions::new(context.ttl()) },
        SessionOptions::new(Duration::ZERO),
    ] {
        let opening = context.within("opening a session", context.backend.open_session(&options)).await;
        let error = opening.expect_err("a session that leaves no validity");
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error:?}");
        assert!(error.to_string().contains(|c: char| c.is_ascii_digit()), "it says the numbers: {error}");
    }
    let session = context.session().await;
    assert!(session.ttl() > Duration::ZERO, "the granted TTL is known");
}

const ATTEMPTS: usize = 3;
