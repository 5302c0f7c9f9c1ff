use super::harness::{Context, assert_next, assert_over, deadline, ended, join, join_as, place};
use crate::{ErrorKind, Guid, Profile};

pub(super) async fn entries_die_with_the_session(context: &Context) {
    let (mine, theirs) = (context.session().await, context.others_session().await);
    let elections = [context.election(), context.election_named("-another")];
    let [election, another] = &elections;
    join(&theirs, election).await;
    join(&theirs, election).await;
    join(&theirs, another).await;
    let (own, from) = join(&mine, election).await;
    let (there, from_there) = join(&mine, another).await;
    let mut watch = mine.watch(election, &own, &from);
    let mut watch_there = mine.watch(another, &there, &from_there);
    theirs.close().await.expect("closing");
    context.holds(election, [&own], "all its entries are gone when close returns").await;
    context.holds(another, [&there], "in every election").await;
    context.told_ahead_gone("telling the end of a closed session's entry", &mut watch).await;
    context.told_ahead_gone("telling it in every election", &mut watch_there).await;
    assert!(place(&mine, election, &own).await.is_head(), "nothing of it is left");

    let doomed = context.others_session().await;
    join(&doomed, election).await;
    let (behind, from) = join(&mine, election).await;
    let mut watch = mine.watch(election, &behind, &from);
    if context.subject.expire(doomed.id()).await {
        context.told_ahead_gone("telling the end of an expired session's entry", &mut watch).await;
        let read = place(&mine, election, &behind).await;
        assert_next(&read, Some(&own), "after the one between went");
    } else {
        context.unchecked("entries of a session that the ensemble ends");
    }
}

pub(super) async fn end_is_told(context: &Context) {
    let session = context.session().await;
    let (mut life, cell) = (session.life(), deadline(&session));
    life.mark_unchanged();
    session.close().await.expect("closing");
    context.within("the change of life on closing", life.changed()).await.expect("its end is a change");
    let reason = context.within("the end of a closed session", ended(&session)).await;
    assert_eq!(reason.kind(), ErrorKind::Closed, "{reason:?}");
    assert!(!cell.holds(context.clock().now()), "no deadline outlives the session");
    session.close().await.expect("closing what is closed is no error");

    let doomed = context.session().await;
    let (_warm, cell) = (doomed.demand().hold(), deadline(&doomed));
    if context.subject.expire(doomed.id()).await {
        let reason = context.within("the end of an expired session", ended(&doomed)).await;
        assert_eq!(reason.kind(), ErrorKind::SessionGone, "{reason:?}");
        assert!(!cell.holds(context.clock().now()), "no deadline outlives the session");
        doomed.close().await.expect("closing what is gone is no error");
    } else {
        context.unchecked("the end of a session that the ensemble ends");
    }
}

pub(super) async fn a_gone_session_refuses(context: &Context) {
    let (mine, theirs) = (context.session().await, context.others_session().await);
    let (election, profile) = (context.election(), Profile::new("candidate"));
    let (bystander, _) = join(&theirs, &election).await;
    let guid = Guid::random();
    let (own, _) = join_as(&mine, &election, guid).await;
    mine.close().await.expect("closing");
    for guid in [guid, Guid::random()] {
        let error = mine.enqueue(&election, guid, &profile).await.expect_err("joining with a closed session");
        assert_over(&error, "joining with a closed session");
    }
    let error = mine.place(&election, &own).await.expect_err("reading a place with a closed session");
    assert_over(&error, "reading a place with a closed session");
    if let Err(error) = mine.remove(&election, &own).await {
        assert_over(&error, "removing with a closed session");
    }
    context.holds(&election, [&bystander], "nothing was created").await;

    let doomed = context.session().await;
    join(&doomed, &election).await;
    if context.subject.expire(doomed.id()).await {
        let error = doomed.enqueue(&election, Guid::random(), &profile).await.expect_err("joining with a session gone");
        assert_over(&error, "joining with a session that the ensemble has ended");
        context.holds(&election, [&bystander], "nothing was created").await;
    } else {
        context.unchecked("a session that the ensemble ends");
    }
}
