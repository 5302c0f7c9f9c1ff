use std::collections::BTreeSet;

use futures::{FutureExt, future::join_all};

use super::harness::{Context, assert_next, join, join_as, place};
use crate::{EntryKey, Guid, Profile, Token};

pub(super) async fn order(context: &Context) {
    let (mine, theirs) = (context.session().await, context.others_session().await);
    let election = context.election();
    let mut keys: Vec<EntryKey> = Vec::new();
    for session in [&mine, &theirs, &mine, &theirs] {
        let (key, place) = join(session, &election).await;
        assert_next(&place, keys.last(), "on joining");
        assert_eq!(place.ahead.min(2), keys.len().min(2), "on joining as number {}: how many stand ahead", keys.len());
        if let Some(last) = keys.last() {
            assert!(key.token > last.token, "{} joined after {}", key.token, last.token);
        }
        keys.push(key);
    }
    context.holds(&election, &keys, "the listing").await;

    let at_once = join_all([&mine, &theirs, &mine, &theirs].map(|session| join(session, &election))).await;
    keys.extend(at_once.into_iter().map(|(key, _)| key));
    keys.sort_by_key(|key| key.token);
    assert_eq!(keys.iter().map(|key| key.token).collect::<BTreeSet<_>>().len(), keys.len(), "tokens are unlike");
    context.holds(&election, &keys, "the listing after joins at once").await;
    for (at, session) in [(0_usize, &mine), (1, &theirs), (2, &mine), (3, &theirs)] {
        let expected = at.checked_sub(1).map(|ahead| &keys[ahead]);
        assert_next(&place(session, &election, &keys[at]).await, expected, "read later");
    }
}

pub(super) async fn enqueue_is_idempotent(context: &Context) {
    let (mine, theirs) = (context.session().await, context.others_session().await);
    let (election, guid) = (context.election(), Guid::random());
    let (first, _) = join_as(&mine, &election, guid).await;
    let (second, _) = join(&theirs, &election).await;
    let (again, place) = join_as(&mine, &election, guid).await;
    assert_eq!(again, first, "the same entry");
    assert_next(&place, None, "the same place");
    let (third, _) = join(&mine, &election).await;
    let later = mine.enqueue(&election, guid, &Profile::new("with another profile")).await.expect("joining again");
    assert_eq!(later.0, first, "the same entry still");
    context.holds(&election, [&first, &second, &third], "nothing was created").await;

    let elsewhere = context.election_named("-elsewhere");
    let (there, _) = join_as(&mine, &elsewhere, guid).await;
    context.holds(&elsewhere, [&there], "another election has nothing to do with it").await;

    mine.remove(&election, &first).await.expect("removing");
    let (anew, place) = join_as(&mine, &election, guid).await;
    assert!(anew.token > third.token, "what was removed stands no more: the name joins at the end");
    assert_next(&place, Some(&third), "joined anew");
    context.holds(&election, [&second, &third, &anew], "the first joined anew").await;
}

pub(super) async fn ahead_only_shrinks(context: &Context) {
    let (mine, theirs) = (context.session().await, context.others_session().await);
    let election = context.election();
    let (first, _) = join(&mine, &election).await;
    let (second, _) = join(&theirs, &election).await;
    let (own, joined) = join(&mine, &election).await;
    let mut revision = joined.revision;
    for (step, leaves, next, ahead) in [
        ("before anybody leaves", None, Some(&second), 2),
        ("after the first left", Some((&mine, &first)), Some(&second), 1),
        ("after the second left", Some((&theirs, &second)), None, 0),
    ] {
        if let Some((session, key)) = leaves {
            session.remove(&election, key).await.expect("removing");
        }
        for session in [&mine, &theirs] {
            let (newcomer, place) = join(session, &election).await;
            assert!(newcomer.token > own.token, "{step}: a newcomer's token");
            assert!(!place.is_head(), "{step}: a newcomer stands behind");
        }
        let place = place(&mine, &election, &own).await;
        assert_next(&place, next, step);
        assert_eq!(place.ahead.min(2), ahead, "{step}: how many stand ahead");
        assert!(place.revision >= revision, "{step}: history goes forward");
        revision = place.revision;
    }
}

pub(super) async fn remove_is_exact(context: &Context) {
    let session = context.session().await;
    let (election, guid) = (context.election(), Guid::random());
    let (early, _) = join_as(&session, &election, guid).await;
    let (bystander, _) = join(&session, &election).await;
    session.remove(&election, &early).await.expect("removing");
    context.holds(&election, [&bystander], "the one removed is gone").await;
    session.remove(&election, &early).await.expect("removing what is gone is no error");

    let (late, _) = join_as(&session, &election, guid).await;
    for token in [early.token, Token::new(late.token.get() + 1)] {
        let stale = EntryKey::new(late.name.clone(), token);
        session.remove(&election, &stale).await.expect("removing what is not there is no error");
    }
    session.remove(&election, &early).await.expect("removing what is gone is no error");
    let nobody = EntryKey::new(Guid::random().to_string(), late.token);
    session.remove(&election, &nobody).await.expect("removing what never was is no error");
    context.holds(&election, [&bystander, &late], "another token is another entry").await;
    session.remove(&election, &late).await.expect("removing");
    context.holds(&election, [&bystander], "the later entry is gone too").await;
}

pub(super) async fn retire_is_for_good(context: &Context) {
    let (mine, theirs) = (context.session().await, context.others_session().await);
    let election = context.election();
    mine.retire(&election, Guid::random()).await.expect("retiring what never was is no error");
    context.holds(&election, [], "nothing was created").await;

    let guid = Guid::random();
    join_as(&mine, &election, guid).await;
    let (bystander, place) = join(&theirs, &election).await;
    let mut watch = theirs.watch(&election, &bystander, &place);
    mine.retire(&election, guid).await.expect("retiring");
    context.holds(&election, [&bystander], "gone when it returns, and nothing else").await;
    context.told_ahead_gone("telling that a retired entry went", &mut watch).await;
    mine.retire(&election, guid).await.expect("retiring again is no error");

    // A join that nobody waits for: it may land before the retirement, after it, or never.
    let profile = Profile::new("candidate");
    for _ in 0..5 {
        let guid = Guid::random();
        let abandoned = mine.enqueue(&election, guid, &profile).now_or_never();
        drop(abandoned);
        mine.retire(&election, guid).await.expect("retiring");
    }
    // What comes later through the same session, and what another client reads, shows it.
    let (marker, _) = join(&mine, &election).await;
    context
        .within("the removal of abandoned joins", async {
            while context.keys(&election).await != [bystander.clone(), marker.clone()] {
                context.clock().sleep_until(context.clock().now() + context.ttl() / 50).await;
            }
        })
        .await;
}
