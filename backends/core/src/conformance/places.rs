use super::harness::{Context, assert_next, join, join_as, place};
use crate::{EntryKey, Guid, PlaceEvent, Token};

pub(super) async fn place_is_verified(context: &Context) {
    let (mine, theirs) = (context.session().await, context.others_session().await);
    let (election, elsewhere) = (context.election(), context.election_named("-elsewhere"));
    let (first, _) = join(&theirs, &election).await;
    let guid = Guid::random();
    let (own, joined) = join_as(&mine, &election, guid).await;
    let read = place(&mine, &election, &own).await;
    assert_next(&read, Some(&first), "read");
    assert_eq!(read.ahead, joined.ahead, "the same as on joining");
    join(&mine, &elsewhere).await;

    for (what, key, election) in [
        ("a later token", EntryKey::new(own.name.clone(), Token::new(own.token.get() + 1)), &election),
        ("the token of another", EntryKey::new(own.name.clone(), first.token), &election),
        ("the name of another", EntryKey::new(first.name.clone(), own.token), &election),
        ("nobody's name", EntryKey::new(Guid::random().to_string(), own.token), &election),
        ("another's entry", first.clone(), &election),
        ("another election", own.clone(), &elsewhere),
    ] {
        let place = mine.place(election, &key).await.expect("reading a place");
        assert_eq!(place, None, "with {what}");
    }
    mine.remove(&election, &own).await.expect("removing");
    assert_eq!(mine.place(&election, &own).await.expect("reading a place"), None, "after it was removed");
    let (anew, _) = join_as(&mine, &election, guid).await;
    assert_eq!(mine.place(&election, &own).await.expect("reading a place"), None, "after the name joined anew");

    if context.subject.evict(&election, &anew).await {
        assert_eq!(mine.place(&election, &anew).await.expect("reading a place"), None, "after somebody deleted it");
    } else {
        context.unchecked("an entry deleted by an operator");
    }
}

pub(super) async fn watch_misses_nothing(context: &Context) {
    let (mine, theirs) = (context.session().await, context.others_session().await);
    let election = context.election();
    let (first, _) = join(&theirs, &election).await;
    let (second, _) = join(&mine, &election).await;
    let (own, old) = join(&mine, &election).await;
    let mut early = mine.watch(&election, &own, &old);
    mine.remove(&election, &second).await.expect("removing");
    context.told_ahead_gone("telling what happens after the watch was made", &mut early).await;
    let mut late = mine.watch(&election, &own, &old);
    context.told_ahead_gone("telling what happened before the watch was made", &mut late).await;

    let read = place(&mine, &election, &own).await;
    assert_next(&read, Some(&first), "after the one between left");
    let (behind, from) = join(&theirs, &election).await;
    let mut bystander = theirs.watch(&election, &behind, &from);
    let mut watch = mine.watch(&election, &own, &read);
    theirs.remove(&election, &first).await.expect("removing");
    context.told_ahead_gone("telling that the first left", &mut watch).await;
    assert!(place(&mine, &election, &own).await.is_head(), "the own entry stands, at the head");

    // Who stands behind the own entry was told nothing of what went on further ahead.
    mine.remove(&election, &own).await.expect("removing");
    context.told_ahead_gone("telling those behind", &mut bystander).await;
    assert!(place(&theirs, &election, &behind).await.is_head(), "the one ahead was gone when that was told");

    let (third, from) = join(&mine, &election).await;
    let mut watch = mine.watch(&election, &third, &from);
    let (fourth, from) = join(&mine, &election).await;
    let mut last = mine.watch(&election, &fourth, &from);
    theirs.remove(&election, &behind).await.expect("removing");
    context.told_ahead_gone("telling the next one", &mut watch).await;
    mine.remove(&election, &fourth).await.expect("removing");
    context.told_own_gone("a watch tells of the entry right ahead and of no other", &mut last).await;
}

pub(super) async fn watch_tells_own_end(context: &Context) {
    let (mine, theirs) = (context.session().await, context.others_session().await);
    let election = context.election();
    let (head, from) = join(&mine, &election).await;
    let mut watch = mine.watch(&election, &head, &from);
    let (own, from) = join(&mine, &election).await;
    let mut second = mine.watch(&election, &own, &from);
    mine.remove(&election, &head).await.expect("removing");
    context.told_own_gone("telling the head that it went", &mut watch).await;
    let mut late = mine.watch(&election, &head, &from);
    context.told_own_gone("telling one that went before", &mut late).await;
    context.told_ahead_gone("telling the next one", &mut second).await;
    mine.remove(&election, &own).await.expect("removing");
    context.told_own_gone("the watch goes on after the one ahead went", &mut second).await;

    let (guid, (first, _)) = (Guid::random(), join(&theirs, &election).await);
    let (own, old) = join_as(&mine, &election, guid).await;
    let mut early = mine.watch(&election, &own, &old);
    mine.remove(&election, &own).await.expect("removing");
    let (anew, place) = join_as(&mine, &election, guid).await;
    context.told_own_gone("telling that the name has a later entry", &mut early).await;
    let mut late = mine.watch(&election, &own, &old);
    context.told_own_gone("telling that the name had a later entry", &mut late).await;

    let mut watch = mine.watch(&election, &anew, &place);
    if context.subject.evict(&election, &anew).await {
        context.told_own_gone("telling that somebody deleted it", &mut watch).await;
    } else {
        context.unchecked("an entry deleted by an operator");
    }
    theirs.remove(&election, &first).await.expect("removing");

    let doomed = context.session().await;
    join(&doomed, &election).await;
    let (own, place) = join(&doomed, &election).await;
    let mut watch = doomed.watch(&election, &own, &place);
    if context.subject.expire(doomed.id()).await {
        let event = context.told("telling the end of a session's own two entries", &mut watch).await;
        assert_ne!(event, PlaceEvent::AheadGone { unbroken: true }, "both went; that would prove that the own stands");
    } else {
        context.unchecked("two entries that go at once with their session");
    }
}
