use std::sync::Arc;

use incumbent_core::{Ahead, Revision, Token};
use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const NEED: Duration = Duration::from_secs(2);

fn key(token: u64) -> EntryKey {
    EntryKey::new(format!("e{token}"), Token::new(token))
}

fn place(ahead: usize) -> Place {
    let next = (ahead > 0).then(|| Ahead { name: Arc::from("other"), token: None });
    Place { next, ahead, revision: Revision::new(1) }
}

fn error(kind: ErrorKind) -> Error {
    Error::new(kind, "try")
}

/// A campaign under a manual clock, with a session whose life is proven for five seconds.
struct Bench {
    campaign: Campaign,
    now: Moment,
    proven: Moment,
}

impl Bench {
    fn new() -> Self {
        let now = Moment::from_nanos(1_000_000_000);
        Self { campaign: Campaign::new(10 * SECOND, fastrand::Rng::with_seed(1)), now, proven: now + 5 * SECOND }
    }

    fn attached() -> Self {
        let mut bench = Self::new();
        bench.drain();
        bench.tell(Event::Attached { need: NEED });
        bench
    }

    fn waiting(ahead: usize) -> Self {
        let mut bench = Self::attached();
        bench.tell(Event::Enqueued { own: key(7), place: place(ahead) });
        bench
    }

    fn leading() -> Self {
        let mut bench = Self::waiting(0);
        assert!(bench.granted());
        bench
    }

    fn tell(&mut self, event: Event) {
        self.campaign.handle(self.now, self.proven, event);
    }

    fn drain(&mut self) -> Vec<Action> {
        std::iter::from_fn(|| self.campaign.poll_action()).collect()
    }

    fn granted(&mut self) -> bool {
        self.drain().iter().any(|action| matches!(action, Action::Grant(_)))
    }

    fn time_out(&mut self) {
        self.now = self.campaign.poll_timeout().expect("a timeout is set");
        self.tell(Event::Timeout);
    }
}

macro_rules! assert_asked {
    ($bench:expr, $pattern:pat) => {
        let actions = $bench.drain();
        assert!(actions.iter().any(|action| matches!(action, $pattern)), "{actions:?}");
    };
}

#[test]
fn the_head_of_the_queue_leads_at_once() {
    assert!(Bench::waiting(0).granted());
}

#[test]
fn the_only_successor_leads_on_the_event_alone() {
    let mut bench = Bench::waiting(1);
    bench.drain();
    bench.tell(Event::Watched(PlaceEvent::AheadGone { unbroken: true }));
    let actions = bench.drain();
    assert!(matches!(actions[..], [Action::Grant(_)]), "{actions:?}");
}

#[test]
fn a_gap_in_the_watch_asks_for_a_read_first() {
    let mut bench = Bench::waiting(1);
    bench.drain();
    bench.tell(Event::Watched(PlaceEvent::AheadGone { unbroken: false }));
    assert!(matches!(bench.drain()[..], [Action::ReadPlace(_)]));
    bench.tell(Event::Placed(Some(place(0))));
    assert!(bench.granted());
}

#[test]
fn far_from_the_head_a_broken_watch_asks_for_a_read_at_a_random_time() {
    let mut bench = Bench::waiting(9);
    bench.drain();
    bench.tell(Event::Watched(PlaceEvent::Broken));
    assert!(bench.drain().is_empty());
    bench.time_out();
    assert!(matches!(bench.drain()[..], [Action::ReadPlace(_)]));

    let mut next = Bench::waiting(2);
    next.drain();
    next.tell(Event::Watched(PlaceEvent::Broken));
    assert!(matches!(next.drain()[..], [Action::ReadPlace(_)]));
    next.tell(Event::Placed(Some(place(2))));
    next.drain();
    // Again so soon, it waits a little.
    next.tell(Event::Watched(PlaceEvent::Broken));
    let pause = next.campaign.poll_timeout().unwrap().since(next.now);
    assert!(!pause.is_zero() && pause <= FIRST_PAUSE, "{pause:?}");
    next.time_out();
    assert!(matches!(next.drain()[..], [Action::ReadPlace(_)]));
}

#[test]
fn behind_two_the_event_does_not_decide() {
    let mut bench = Bench::waiting(2);
    bench.drain();
    bench.tell(Event::Watched(PlaceEvent::AheadGone { unbroken: true }));
    assert!(matches!(bench.drain()[..], [Action::ReadPlace(_)]));
    bench.tell(Event::Placed(Some(place(1))));
    assert!(!bench.granted());
}

#[test]
fn without_enough_proven_life_nobody_leads() {
    let mut bench = Bench::attached();
    bench.proven = bench.now + NEED;
    bench.tell(Event::Enqueued { own: key(7), place: place(0) });
    assert!(!bench.granted());
    assert!(bench.campaign.awaits_proof());
    bench.proven = bench.now + NEED + Duration::from_nanos(1);
    bench.tell(Event::Proven);
    // What was verified before the proof may be outdated by now.
    assert!(matches!(bench.drain()[..], [Action::ReadPlace(_)]));
    bench.tell(Event::Placed(Some(place(0))));
    assert!(bench.granted());
}

#[test]
fn a_ghost_does_not_win() {
    // The own entry vanished with an expired lease; then the one before goes.
    let mut bench = Bench::waiting(1);
    bench.drain();
    bench.tell(Event::Watched(PlaceEvent::OwnGone));
    bench.tell(Event::Watched(PlaceEvent::AheadGone { unbroken: true }));
    assert!(!bench.granted());
}

#[test]
fn an_entry_removed_by_somebody_else_ends_leadership() {
    let mut bench = Bench::leading();
    bench.tell(Event::Watched(PlaceEvent::OwnGone));
    let actions = bench.drain();
    assert!(
        matches!(actions[..], [Action::Revoke(LossReason::EntryRemoved), Action::Warm(false), Action::Finish(Ok(()))]),
        "{actions:?}"
    );
}

#[test]
fn a_waiting_entry_removed_by_somebody_else_is_made_anew() {
    let mut bench = Bench::waiting(3);
    bench.drain();
    bench.tell(Event::Watched(PlaceEvent::OwnGone));
    bench.time_out();
    assert_asked!(bench, Action::Attach);
}

#[test]
fn a_lost_reply_is_asked_for_again_under_the_same_name_which_is_then_retired() {
    let mut bench = Bench::new();
    bench.drain();
    bench.tell(Event::Attached { need: NEED });
    let first = bench.drain();
    bench.tell(Event::EnqueueFailed(error(ErrorKind::OutcomeUnknown)));
    bench.drain();
    bench.time_out();
    let again = bench.drain();
    let name = |actions: &[Action]| {
        actions.iter().find_map(|action| if let Action::Enqueue(guid) = action { Some(*guid) } else { None })
    };
    assert_eq!(name(&first), name(&again));
    bench.tell(Event::Enqueued { own: key(7), place: place(0) });
    assert!(bench.granted());
    bench.tell(Event::Withdrawn);
    assert_asked!(bench, Action::Remove(_));
    bench.tell(Event::Removed);
    assert_asked!(bench, Action::Retire(_));
}

#[test]
fn giving_up_mid_join_retires_the_name() {
    let mut bench = Bench::attached();
    bench.drain();
    bench.tell(Event::Withdrawn);
    assert_asked!(bench, Action::Retire(_));
}

#[test]
fn a_resign_is_retried_until_the_entry_is_gone() {
    let mut bench = Bench::leading();
    bench.tell(Event::Withdrawn);
    for kind in [ErrorKind::Unavailable, ErrorKind::OutcomeUnknown, ErrorKind::Unavailable] {
        assert_asked!(bench, Action::Remove(_));
        bench.tell(Event::RemoveFailed(error(kind)));
        bench.time_out();
    }
    assert_asked!(bench, Action::Remove(_));
    bench.tell(Event::Removed);
    assert_asked!(bench, Action::Finish(Ok(())));
}

#[test]
fn a_refused_resign_says_so_and_goes_on_in_the_background() {
    let mut bench = Bench::leading();
    bench.tell(Event::Withdrawn);
    bench.tell(Event::RemoveFailed(error(ErrorKind::PermissionDenied)));
    let actions = bench.drain();
    assert!(actions.iter().any(|action| matches!(action, Action::Retire(_))), "{actions:?}");
    assert!(matches!(actions.last(), Some(Action::Finish(Err(_)))), "{actions:?}");
}

#[test]
fn an_ended_session_ends_leadership_and_makes_a_waiting_candidate_join_again() {
    let mut leading = Bench::leading();
    leading.tell(Event::SessionEnded(error(ErrorKind::SessionGone)));
    assert_asked!(leading, Action::Revoke(LossReason::SessionEnded(_)));

    let mut waiting = Bench::waiting(2);
    waiting.drain();
    waiting.tell(Event::SessionEnded(error(ErrorKind::SessionGone)));
    waiting.time_out();
    assert_asked!(waiting, Action::Attach);
}

#[test]
fn a_passed_deadline_ends_leadership_and_then_the_entry() {
    let mut bench = Bench::leading();
    bench.tell(Event::Lapsed);
    assert_asked!(bench, Action::Revoke(LossReason::DeadlinePassed));
    bench.time_out();
    assert_asked!(bench, Action::Remove(_));
}

#[test]
fn only_the_first_in_line_keep_their_session_warm() {
    for (ahead, expected) in [(0, true), (1, true), (2, true), (3, false)] {
        let warm = Bench::waiting(ahead).drain().into_iter().rev().find_map(|action| match action {
            Action::Warm(warm) => Some(warm),
            _ => None,
        });
        assert_eq!(warm, Some(expected), "behind {ahead}");
    }
}

#[test]
fn what_no_waiting_can_mend_is_told() {
    let mut bench = Bench::attached();
    bench.tell(Event::EnqueueFailed(error(ErrorKind::PermissionDenied)));
    assert_asked!(bench, Action::Finish(Err(_)));
}

/// An event that can happen, given what was asked for last.
#[derive(Clone, Debug)]
enum Step {
    /// The operation under way succeeds, with so many ahead; 9 stands for "not there".
    Succeed(usize),
    Fail(u8),
    AheadGone(bool),
    OwnGone,
    Broken,
    Proven(u64),
    SessionEnded,
    Withdraw,
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0usize..5).prop_map(Step::Succeed),
        1 => Just(Step::Succeed(9)),
        3 => (0u8..6).prop_map(Step::Fail),
        4 => any::<bool>().prop_map(Step::AheadGone),
        1 => Just(Step::OwnGone),
        1 => Just(Step::Broken),
        2 => (0u64..8).prop_map(Step::Proven),
        1 => Just(Step::SessionEnded),
        1 => Just(Step::Withdraw),
        4 => (0u64..2_000).prop_map(Step::Wait),
    ]
}

#[derive(Clone, Debug, PartialEq)]
enum Operation {
    Attach,
    Enqueue,
    Read,
    Remove,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_order_of_events_breaks_the_rules(steps in proptest::collection::vec(step(), 1..60)) {
        let mut bench = Bench::new();
        let (mut operation, mut watched, mut session) = (None, false, false);
        let (mut ahead, mut verified, mut own_gone) = (0, false, false);
        let (mut granted, mut revoked, mut finished) = (false, false, false);
        let mut token = 1;
        for step in steps {
            // What the step means depends on what is under way.
            let event = match (step, operation.clone()) {
                (Step::Succeed(_), Some(Operation::Attach)) => { session = true; Some(Event::Attached { need: NEED }) }
                (Step::Succeed(n), Some(Operation::Enqueue)) => {
                    token += 1;
                    (ahead, verified, own_gone) = (n % 5, true, false);
                    Some(Event::Enqueued { own: key(token), place: place(ahead) })
                }
                (Step::Succeed(9), Some(Operation::Read)) => { verified = false; Some(Event::Placed(None)) }
                (Step::Succeed(n), Some(Operation::Read)) => {
                    ahead = if granted { 0 } else { ahead.min(n) };
                    verified = true;
                    Some(Event::Placed(Some(place(ahead))))
                }
                (Step::Succeed(_), Some(Operation::Remove)) => Some(Event::Removed),
                (Step::Fail(n), Some(under_way)) => {
                    use ErrorKind::*;
                    let kinds = [Unavailable, OutcomeUnknown, SessionGone, PermissionDenied, Refused, Unexpected];
                    let kind = kinds[usize::from(n)];
                    session &= kind != SessionGone;
                    Some(match under_way {
                        Operation::Attach => Event::AttachFailed(error(kind)),
                        Operation::Enqueue => Event::EnqueueFailed(error(kind)),
                        Operation::Read => Event::PlaceFailed(error(kind)),
                        Operation::Remove => Event::RemoveFailed(error(kind)),
                    })
                }
                (Step::AheadGone(unbroken), _) if watched && ahead > 0 => {
                    ahead -= 1;
                    verified = unbroken && ahead == 0 && !own_gone;
                    bench.tell(Event::Watched(PlaceEvent::AheadGone { unbroken }));
                    None
                }
                (Step::OwnGone, _) if watched => {
                    (own_gone, verified) = (true, false);
                    bench.tell(Event::Watched(PlaceEvent::OwnGone));
                    None
                }
                (Step::Broken, _) if watched => {
                    (watched, verified) = (false, false);
                    bench.tell(Event::Watched(PlaceEvent::Broken));
                    None
                }
                (Step::Proven(seconds), _) => {
                    bench.proven = bench.now + Duration::from_secs(seconds);
                    bench.tell(Event::Proven);
                    None
                }
                (Step::SessionEnded, _) if session => {
                    // The driver gives up what was under way on that session.
                    (session, watched, operation) = (false, false, None);
                    bench.tell(Event::SessionEnded(error(ErrorKind::SessionGone)));
                    None
                }
                (Step::Withdraw, _) => { bench.tell(Event::Withdrawn); None }
                (Step::Wait(millis), _) => {
                    bench.now = bench.now + Duration::from_millis(millis);
                    if granted && !revoked && bench.now >= bench.proven {
                        bench.tell(Event::Lapsed);
                    }
                    bench.tell(Event::Timeout);
                    None
                }
                _ => None,
            };
            if let Some(event) = event {
                operation = None;
                bench.tell(event);
            }
            for action in bench.drain() {
                prop_assert!(!finished, "{action:?} after the end");
                match action {
                    Action::Attach => {
                        (session, watched) = (false, false);
                        operation = Some(Operation::Attach); }
                    Action::Enqueue(_) => operation = Some(Operation::Enqueue),
                    Action::ReadPlace(_) => operation = Some(Operation::Read),
                    Action::Remove(_) => operation = Some(Operation::Remove),
                    Action::Watch(..) => watched = true,
                    Action::Grant(_) => {
                        prop_assert!(!granted, "one candidacy, one guard");
                        prop_assert!(verified && ahead == 0 && !own_gone, "a grant without a verified head");
                        prop_assert!(bench.proven.since(bench.now) > NEED, "a grant without enough proven life");
                        granted = true;
                    }
                    Action::Revoke(_) => { prop_assert!(granted && !revoked); revoked = true; }
                    Action::Finish(_) => finished = true,
                    Action::Warm(_) | Action::Retire(_) | Action::Report(_) => {}
                }
            }
            if finished {
                break;
            }
            // Something can always still happen.
            let alive = operation.is_some() || bench.campaign.poll_timeout().is_some() || (session && watched);
            prop_assert!(alive, "stuck in {:?}", bench.campaign);
        }
    }
}
