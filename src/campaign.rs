//! The rules of standing for election: a state machine without tasks, sockets or clocks.
//!
//! The driver tells it what happened, and does what it asks for. At most one operation is asked for at a time; asking for
//! the next one gives the last one up.

use std::{collections::VecDeque, time::Duration};

use incumbent_core::{EntryKey, Error, ErrorKind, Guid, Moment, Place, PlaceEvent};

use crate::{LossReason, backoff::Backoff};

/// One candidacy: from the first attempt to join, over as many entries as it takes, to one leadership and its end.
#[derive(Debug)]
pub(crate) struct Campaign {
    phase: Phase,
    /// The name of the present entry, or of the attempt to make one.
    guid: Guid,
    /// Whether a write under that name may still land.
    tainted: bool,
    /// How much proven life a grant needs more than.
    need: Duration,
    longest_jitter: Duration,
    /// When a watch broke last.
    broken_at: Option<Moment>,
    retry_at: Option<Moment>,
    backoff: Backoff,
    rng: fastrand::Rng,
    actions: VecDeque<Action>,
}

#[derive(Debug)]
enum Phase {
    /// Waits for a session.
    Attaching,
    /// Waits for the entry to be made.
    Joining,
    /// The entry stands behind others and is watched with the one before it.
    Waiting {
        own: EntryKey,
        ahead: usize,
    },
    /// Something may have changed: the place is being read.
    Checking {
        own: EntryKey,
    },
    /// At the head, verified; the session's life is not proven for long enough.
    Electable {
        own: EntryKey,
    },
    /// A guard is out.
    Leading {
        own: EntryKey,
    },
    /// The guard is invalid but still held: its job may be stopping.
    Lost {
        own: EntryKey,
    },
    /// The entry is being removed.
    Leaving {
        own: EntryKey,
        outcome: Result<(), Error>,
    },
    Done,
}

/// What happened.
#[derive(Debug)]
pub(crate) enum Event {
    /// There is a session; a grant on it needs more than `need` of proven life.
    Attached {
        need: Duration,
    },
    AttachFailed(Error),
    Enqueued {
        own: EntryKey,
        place: Place,
    },
    EnqueueFailed(Error),
    Placed(Option<Place>),
    PlaceFailed(Error),
    Removed,
    RemoveFailed(Error),
    /// The place's watch has something to tell.
    Watched(PlaceEvent),
    /// The session's life may be proven for longer.
    Proven,
    /// The deadline of a leadership has passed.
    Lapsed,
    /// The session is over.
    SessionEnded(Error),
    /// The guard was dropped or resigned, or the campaign was given up.
    Withdrawn,
    /// The time asked for has come.
    Timeout,
}

/// What the driver is to do.
#[derive(Debug)]
pub(crate) enum Action {
    /// Get a session.
    Attach,
    /// Enqueue under this name.
    Enqueue(Guid),
    /// Read the entry's place.
    ReadPlace(EntryKey),
    /// Remove the entry.
    Remove(EntryKey),
    /// Watch entry and place from now on, in place of any watch before.
    Watch(EntryKey, Place),
    /// Hold the session's life proven, or no longer.
    Warm(bool),
    /// See to it that nothing of this name ever stands, in the background.
    Retire(Guid),
    /// Hand out a guard.
    Grant(EntryKey),
    /// End the guard's validity at once, and say why.
    Revoke(LossReason),
    /// Tell who listens.
    Report(Progress),
    /// The candidacy is over; nothing else follows.
    Finish(Result<(), Error>),
}

/// What a listener hears before leadership.
#[derive(Debug)]
pub(crate) enum Progress {
    Waiting { ahead: usize },
    Troubled(String),
    Rejoining(String),
}

/// Bounds of the pauses between attempts.
const FIRST_PAUSE: Duration = Duration::from_millis(25);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Within so long a time those who lost their place join again.
pub(crate) const LONGEST_JITTER: Duration = Duration::from_millis(500);

/// As many candidates behind the leader keep their session's life proven.
const WARM_SUCCESSORS: usize = 2;

impl Campaign {
    /// A candidacy that begins at once. `ttl` is the one asked for, and bounds all pauses.
    pub(crate) fn new(ttl: Duration, mut rng: fastrand::Rng) -> Self {
        let mut campaign = Self {
            phase: Phase::Done,
            guid: Guid::marked(rng.u128(..)),
            tainted: false,
            need: Duration::ZERO,
            longest_jitter: LONGEST_JITTER.min(ttl / 10),
            broken_at: None,
            retry_at: None,
            backoff: Backoff::between(FIRST_PAUSE, LONGEST_PAUSE.min(ttl / 4)),
            rng,
            actions: VecDeque::new(),
        };
        campaign.attach();
        campaign
    }

    /// When to send [`Event::Timeout`].
    pub(crate) fn poll_timeout(&self) -> Option<Moment> {
        self.retry_at
    }

    /// What to do next.
    pub(crate) fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Whether the next proof of the session's life matters now.
    pub(crate) fn awaits_proof(&self) -> bool {
        matches!(self.phase, Phase::Electable { .. })
    }

    /// Takes in what happened. `proven` is until when the session's life is proven.
    pub(crate) fn handle(&mut self, now: Moment, proven: Moment, event: Event) {
        match event {
            Event::Attached { need } if matches!(self.phase, Phase::Attaching) => {
                self.need = need;
                self.backoff.reset();
                self.act(Action::Warm(true));
                self.join();
            }
            Event::Enqueued { own, place } if matches!(self.phase, Phase::Joining) => {
                self.backoff.reset();
                self.act(Action::Watch(own.clone(), place.clone()));
                self.settle(now, proven, own, &place);
            }
            // The answer to what was given up meanwhile.
            Event::Attached { .. } | Event::Enqueued { .. } => {}
            Event::EnqueueFailed(error) => self.enqueue_failed(now, error),
            Event::AttachFailed(error) if error.is_retryable() => self.retry(now, &error),
            Event::AttachFailed(error) => self.finish(Err(error)),
            Event::Placed(place) => self.placed(now, proven, place),
            Event::PlaceFailed(error) => self.place_failed(now, error),
            Event::Removed => self.removed(),
            Event::RemoveFailed(error) => self.remove_failed(now, error),
            Event::Watched(event) => self.watched(now, proven, event),
            Event::Proven => self.proven(now, proven),
            Event::Lapsed => self.lapsed(now),
            Event::SessionEnded(error) => self.session_ended(now, error),
            Event::Withdrawn => self.withdrawn(),
            Event::Timeout => self.timeout(now),
        }
    }

    fn attach(&mut self) {
        self.phase = Phase::Attaching;
        self.act(Action::Attach);
    }

    fn join(&mut self) {
        self.phase = Phase::Joining;
        self.act(Action::Enqueue(self.guid));
    }

    /// A verified place decides: the head leads, all others wait.
    fn settle(&mut self, now: Moment, proven: Moment, own: EntryKey, place: &Place) {
        self.retry_at = None;
        if place.is_head() {
            self.act(Action::Warm(true));
            self.phase = Phase::Electable { own };
            self.grant_if_proven(now, proven);
        } else {
            self.act(Action::Warm(place.ahead <= WARM_SUCCESSORS));
            self.act(Action::Report(Progress::Waiting { ahead: place.ahead }));
            self.phase = Phase::Waiting { own, ahead: place.ahead };
        }
    }

    /// The proof that the head has waited for. What was verified before it may be outdated: one read first.
    fn proven(&mut self, now: Moment, proven: Moment) {
        if let Phase::Electable { own } = &self.phase
            && proven.since(now) > self.need
        {
            let own = own.clone();
            self.check(own);
        }
    }

    fn grant_if_proven(&mut self, now: Moment, proven: Moment) {
        if let Phase::Electable { own } = &self.phase
            && proven.since(now) > self.need
        {
            let own = own.clone();
            self.act(Action::Grant(own.clone()));
            self.phase = Phase::Leading { own };
        }
    }

    fn enqueue_failed(&mut self, now: Moment, error: Error) {
        match error.kind() {
            ErrorKind::OutcomeUnknown => {
                self.tainted = true;
                self.retry(now, &error);
            }
            ErrorKind::SessionGone => self.session_ended(now, error),
            _ if error.is_retryable() => self.retry(now, &error),
            _ => {
                self.retire_if_tainted();
                self.finish(Err(error));
            }
        }
    }

    fn placed(&mut self, now: Moment, proven: Moment, place: Option<Place>) {
        self.backoff.reset();
        match (std::mem::replace(&mut self.phase, Phase::Done), place) {
            (Phase::Checking { own }, Some(place)) => {
                self.act(Action::Watch(own.clone(), place.clone()));
                self.settle(now, proven, own, &place);
            }
            (Phase::Checking { .. }, None) => self.rejoin(now, "the entry is gone"),
            (Phase::Leading { own }, Some(place)) if place.is_head() => {
                self.act(Action::Watch(own.clone(), place));
                self.phase = Phase::Leading { own };
            }
            (Phase::Leading { .. }, _) => self.entry_gone(),
            (other, _) => self.phase = other,
        }
    }

    fn place_failed(&mut self, now: Moment, error: Error) {
        match &self.phase {
            Phase::Checking { .. } | Phase::Leading { .. } if error.kind() == ErrorKind::SessionGone => {
                self.session_ended(now, error);
            }
            // A leader goes on to its deadline, whatever the error.
            Phase::Leading { .. } => self.retry(now, &error),
            Phase::Checking { .. } if error.is_retryable() => self.retry(now, &error),
            Phase::Checking { own } => {
                let own = own.clone();
                self.leave(own, Err(error));
            }
            _ => {}
        }
    }

    fn watched(&mut self, now: Moment, proven: Moment, event: PlaceEvent) {
        match (std::mem::replace(&mut self.phase, Phase::Done), event) {
            (Phase::Leading { .. }, PlaceEvent::OwnGone) => self.entry_gone(),
            (Phase::Lost { .. }, PlaceEvent::OwnGone) => {
                self.retire_if_tainted();
                self.finish(Ok(()));
            }
            // The answer to the removal comes later, or is lost.
            (leaving @ Phase::Leaving { .. }, PlaceEvent::OwnGone) => {
                self.phase = leaving;
                self.removed();
            }
            (Phase::Waiting { .. } | Phase::Checking { .. } | Phase::Electable { .. }, PlaceEvent::OwnGone) => {
                self.rejoin(now, "the entry was removed");
            }
            // It was the only one ahead, the own entry stands, and nobody ever enters before it.
            (Phase::Waiting { own, ahead: 1 }, PlaceEvent::AheadGone { unbroken: true }) => {
                self.phase = Phase::Electable { own };
                self.grant_if_proven(now, proven);
            }
            (Phase::Waiting { own, .. }, PlaceEvent::AheadGone { .. }) => self.check(own),
            (Phase::Waiting { own, ahead }, PlaceEvent::Broken) => {
                self.phase = Phase::Checking { own };
                self.read_place_anew(now, ahead > WARM_SUCCESSORS);
            }
            (Phase::Electable { own } | Phase::Checking { own }, PlaceEvent::Broken) => {
                self.phase = Phase::Checking { own };
                self.read_place_anew(now, false);
            }
            (Phase::Leading { own }, PlaceEvent::Broken) => {
                self.phase = Phase::Leading { own };
                self.read_place_anew(now, false);
            }
            (other, _) => self.phase = other,
        }
    }

    fn check(&mut self, own: EntryKey) {
        self.retry_at = None;
        self.act(Action::ReadPlace(own.clone()));
        self.phase = Phase::Checking { own };
    }

    /// The watch broke, as perhaps all of the ensemble did: those far from the head do not read at once. Nor does anybody
    /// whose watch breaks again and again.
    fn read_place_anew(&mut self, now: Moment, far: bool) {
        let again = self.broken_at.replace(now).is_some_and(|before| now.since(before) < LONGEST_PAUSE);
        match &self.phase {
            _ if far => self.pause_at_random(now),
            Phase::Checking { own } | Phase::Leading { own } if !again => {
                self.retry_at = None;
                self.act(Action::ReadPlace(own.clone()));
            }
            _ => self.pause(now),
        }
    }

    fn entry_gone(&mut self) {
        self.act(Action::Revoke(LossReason::EntryRemoved));
        self.retire_if_tainted();
        self.finish(Ok(()));
    }

    /// The deadline has passed. The job gets until the longest pause to end before the entry goes.
    fn lapsed(&mut self, now: Moment) {
        if let Phase::Leading { own } = &self.phase {
            self.phase = Phase::Lost { own: own.clone() };
            self.act(Action::Revoke(LossReason::DeadlinePassed));
            self.retry_at = Some(now + LONGEST_PAUSE);
        }
    }

    fn session_ended(&mut self, now: Moment, error: Error) {
        match self.phase {
            Phase::Attaching | Phase::Done => {}
            Phase::Leading { .. } => {
                self.act(Action::Revoke(LossReason::SessionEnded(error)));
                self.finish(Ok(()));
            }
            // The entry died with its session.
            Phase::Lost { .. } => self.finish(Ok(())),
            Phase::Leaving { ref mut outcome, .. } => {
                let outcome = std::mem::replace(outcome, Ok(()));
                self.finish(outcome);
            }
            _ if error.kind() == ErrorKind::Closed => self.finish(Err(error)),
            _ => {
                self.tainted = false;
                self.rejoin(now, &error.to_string());
            }
        }
    }

    /// Stands again under a new name. Many may have lost their place at once: they do not come back at once.
    fn rejoin(&mut self, now: Moment, why: &str) {
        self.retire_if_tainted();
        self.guid = Guid::marked(self.rng.u128(..));
        self.phase = Phase::Attaching;
        self.act(Action::Report(Progress::Rejoining(why.into())));
        self.pause_at_random(now);
    }

    fn withdrawn(&mut self) {
        match std::mem::replace(&mut self.phase, Phase::Done) {
            Phase::Joining => {
                // The attempt in flight is given up, and may land.
                self.act(Action::Retire(self.guid));
                self.finish(Ok(()));
            }
            Phase::Waiting { own, .. }
            | Phase::Checking { own }
            | Phase::Electable { own }
            | Phase::Leading { own }
            | Phase::Lost { own } => self.leave(own, Ok(())),
            leaving @ Phase::Leaving { .. } => self.phase = leaving,
            Phase::Attaching => self.finish(Ok(())),
            Phase::Done => {}
        }
    }

    fn leave(&mut self, own: EntryKey, outcome: Result<(), Error>) {
        self.retry_at = None;
        self.backoff.reset();
        self.act(Action::Remove(own.clone()));
        self.phase = Phase::Leaving { own, outcome };
    }

    fn removed(&mut self) {
        if let Phase::Leaving { outcome, .. } = &mut self.phase {
            let outcome = std::mem::replace(outcome, Ok(()));
            self.retire_if_tainted();
            self.finish(outcome);
        }
    }

    fn remove_failed(&mut self, now: Moment, error: Error) {
        if error.kind() == ErrorKind::SessionGone {
            self.session_ended(now, error);
        } else if error.is_retryable() {
            self.retry(now, &error);
        } else if let Phase::Leaving { outcome, .. } = &mut self.phase {
            // Refused for good: say so, and go on trying behind the scenes, since the session carries others.
            let outcome = std::mem::replace(outcome, Ok(())).and(Err(error));
            self.act(Action::Retire(self.guid));
            self.finish(outcome);
        }
    }

    fn timeout(&mut self, now: Moment) {
        if self.retry_at.is_none_or(|at| now < at) {
            return;
        }
        self.retry_at = None;
        match &self.phase {
            Phase::Attaching => self.attach(),
            Phase::Joining => self.join(),
            Phase::Checking { own } | Phase::Leading { own } => self.act(Action::ReadPlace(own.clone())),
            Phase::Lost { own } => {
                let own = own.clone();
                self.leave(own, Ok(()));
            }
            Phase::Leaving { own, .. } => self.act(Action::Remove(own.clone())),
            Phase::Waiting { .. } | Phase::Electable { .. } | Phase::Done => {}
        }
    }

    fn retry(&mut self, now: Moment, error: &Error) {
        self.act(Action::Report(Progress::Troubled(error.to_string())));
        self.pause(now);
    }

    fn pause(&mut self, now: Moment) {
        self.retry_at = Some(now + self.backoff.next(&mut self.rng));
    }

    fn pause_at_random(&mut self, now: Moment) {
        self.retry_at = Some(now + self.longest_jitter.mul_f64(self.rng.f64()));
    }

    fn retire_if_tainted(&mut self) {
        if std::mem::take(&mut self.tainted) {
            self.act(Action::Retire(self.guid));
        }
    }

    fn finish(&mut self, outcome: Result<(), Error>) {
        self.phase = Phase::Done;
        self.retry_at = None;
        self.act(Action::Warm(false));
        self.act(Action::Finish(outcome));
    }

    fn act(&mut self, action: Action) {
        self.actions.push_back(action);
    }
}

#[cfg(test)]
mod tests;
