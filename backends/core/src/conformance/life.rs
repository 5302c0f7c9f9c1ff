use std::sync::Arc;

use futures::future::{Either, select};

use super::harness::{Context, alive, deadline, join, later};
use crate::{Moment, PlaceEvent};

pub(super) async fn life_is_provable(context: &Context) {
    let session = context.session().await;
    let clock = context.clock();
    let (ttl, _warm) = (session.ttl(), session.demand().hold());
    let begun = clock.now();
    while clock.now() < begun + ttl {
        // Read in this order, the bound cannot be too narrow.
        let until = deadline(&session).until();
        let bound = clock.now() + ttl;
        assert!(until < bound, "no life is proven for a whole TTL from now: {}", later(until, bound));
        clock.sleep_until(clock.now() + ttl / 20).await;
    }

    let Some((doomed, scissors)) = context.cuttable_session().await else {
        context.unchecked("that the deadline passes before the ensemble ends a session that is cut off");
        return;
    };
    let election = context.election();
    join(&doomed, &election).await;
    let (own, place) = join(&session, &election).await;
    let mut watch = session.watch(&election, &own, &place);
    let _warm = doomed.demand().hold();
    // In the middle of its life: when a heartbeat has put the deadline of its creation off.
    let cell = deadline(&doomed);
    context.within("a proof of life", cell.moved_from(cell.until())).await;
    scissors.cut().await;

    let mut latest = Moment::ORIGIN;
    let vanishes = async {
        loop {
            latest = latest.max(alive(&doomed).map_or(Moment::ORIGIN, |deadline| deadline.until()));
            let look_again = clock.sleep_until(clock.now() + ttl / 100);
            if let Either::Left((event, _)) = select(watch.next(), Box::pin(look_again)).await {
                return event;
            }
        }
    };
    let event = context.within("the end of a session that is cut off", vanishes).await;
    let vanished = clock.now();
    assert!(matches!(event, PlaceEvent::AheadGone { .. }), "told {event:?}");
    assert!(latest > Moment::ORIGIN, "the session had a deadline when it was cut off");
    assert!(latest <= vanished, "the deadline lay {} than the end of the session", later(latest, vanished));
    assert!(alive(&doomed).is_none_or(|deadline| !deadline.holds(vanished)), "the deadline has passed");
    scissors.heal().await;
}

pub(super) async fn warmth_keeps_life_proven(context: &Context) {
    let session = context.session().await;
    let clock = context.clock();
    let warm = session.demand().hold();
    assert!(session.demand().is_warm(), "a demand that is held is warm");
    let cell = deadline(&session);
    assert!(cell.holds(clock.now()), "a fresh session is proven alive");
    let begun = clock.now();
    while clock.now() < begun + session.ttl() * 2 {
        assert!(cell.holds(clock.now()), "the deadline passed {:?} after warmth began", clock.now().since(begun));
        assert!(Arc::ptr_eq(&cell, &deadline(&session)), "a deadline that holds is put off, not replaced");
        clock.sleep_until(clock.now() + session.ttl() / 50).await;
    }
    drop(warm);
    assert!(!session.demand().is_warm(), "a demand that nobody holds is not warm");

    // Whether it stayed proven or not meanwhile, it is soon when it is wanted again.
    let _warm = session.demand().hold();
    let mut life = session.life();
    let proven = async {
        while !deadline(&session).holds(clock.now()) {
            life.changed().await.expect("the session lives");
        }
    };
    context.within("a new proof of life", proven).await;
}
