//! The task that joins a campaign to its session: performs what the state machine asks for, and tells it what happens.

use std::{future::pending, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use incumbent_core::{
    Deadline, ElectionName, EntryKey, Error, ErrorKind, Life, Moment, PlaceEvent, PlaceWatch, Profile, Result, Session,
    Warmth,
};
use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    CandidateEvent, Leadership, LossReason,
    campaign::{Action, Campaign, Event, Progress},
    ensemble::{Closing, Count, Shared},
    leadership::{ResignReply, Term},
};

pub(crate) struct Driver {
    pub(crate) ensemble: Arc<Shared>,
    pub(crate) election: ElectionName,
    pub(crate) profile: Profile,
    pub(crate) events: Option<mpsc::UnboundedSender<CandidateEvent>>,
}

/// The running half of a driver.
struct Running {
    driver: Driver,
    campaign: Campaign,
    /// Where the campaign's outcome goes, until it is decided.
    outcome: Option<oneshot::Sender<Result<Leadership>>>,
    session: Option<Attached>,
    /// The session's deadline when the campaign last looked at it.
    seen: Moment,
    operation: Option<BoxFuture<'static, Outcome>>,
    watch: Option<Box<dyn PlaceWatch>>,
    guard: Option<Guard>,
    resigning: Option<ResignReply>,
    closing: watch::Receiver<Closing>,
}

struct Attached {
    session: Arc<dyn Session>,
    life: watch::Receiver<Life>,
    warmth: Option<Warmth>,
}

struct Guard {
    term: Arc<Term>,
    /// Resolves when the guard is resigned or dropped.
    released: oneshot::Receiver<ResignReply>,
    /// Whether the campaign knows that the deadline has passed.
    lapsed: bool,
    _counted: Count,
}

enum Outcome {
    Attached(Arc<dyn Session>),
    Event(Event),
}

impl Driver {
    /// Stands until `outcome` is dropped, or leads until the guard is, and cleans up behind itself.
    pub(crate) async fn run(self, outcome: oneshot::Sender<Result<Leadership>>) {
        let campaign = Campaign::new(self.ensemble.options.session.ttl, fastrand::Rng::new());
        let mut closing = self.ensemble.closing.subscribe();
        // Closing may have begun since the campaign did.
        closing.mark_changed();
        let _counted = self.ensemble.candidates.count();
        let running = Running {
            driver: self,
            campaign,
            outcome: Some(outcome),
            session: None,
            seen: Moment::ORIGIN,
            operation: None,
            watch: None,
            guard: None,
            resigning: None,
            closing,
        };
        running.run().await;
    }
}

impl Running {
    async fn run(mut self) {
        loop {
            while let Some(action) = self.campaign.poll_action() {
                if let Action::Finish(result) = action {
                    return self.finish(result);
                }
                self.perform(action);
            }
            let event = self.next_event().await;
            if let Some(event) = event {
                let now = self.driver.ensemble.clock().now();
                let proven = self.session.as_ref().map_or(Moment::ORIGIN, |attached| attached.proven(now));
                self.seen = proven;
                self.campaign.handle(now, proven, event);
            }
        }
    }

    /// Waits for whatever comes first. Everything waited for is cancel safe.
    async fn next_event(&mut self) -> Option<Event> {
        let clock = self.driver.ensemble.clock().clone();
        let now = clock.now();
        let until = |moment: Option<Moment>| sleep(moment.map(|moment| moment.since(now)));
        let deadline = self.guard.as_ref().filter(|guard| !guard.lapsed).map(|guard| guard.term.session.until());
        let proof = self.session.as_ref().filter(|_| self.campaign.awaits_proof()).map(Attached::deadline);

        tokio::select! {
            biased;
            change = changed(&mut self.closing) => self.closing_changed(change),
            reply = released(&mut self.guard) => {
                self.resigning = reply;
                Some(Event::Withdrawn)
            }
            () = given_up(&mut self.outcome) => {
                self.outcome = None;
                Some(Event::Withdrawn)
            }
            alive = life_changed(&mut self.session) => self.life_changed(alive),
            event = watched(&mut self.watch) => {
                if event != (PlaceEvent::AheadGone { unbroken: true }) {
                    // It has nothing more to tell.
                    self.watch = None;
                }
                Some(Event::Watched(event))
            }
            outcome = completed(&mut self.operation) => {
                self.operation = None;
                self.completed(outcome)
            }
            () = moved(proof, self.seen) => Some(Event::Proven),
            () = until(deadline) => self.lapsed(),
            () = until(self.campaign.poll_timeout()) => Some(Event::Timeout),
        }
    }

    fn perform(&mut self, action: Action) {
        let election = self.driver.election.clone();
        match action {
            Action::Attach => {
                self.session = None;
                self.watch = None;
                let ensemble = Arc::clone(&self.driver.ensemble);
                self.operation = Some(Box::pin(async move {
                    match ensemble.session().await {
                        Ok(session) => Outcome::Attached(session),
                        Err(error) => Outcome::Event(Event::AttachFailed(error)),
                    }
                }));
            }
            Action::Enqueue(guid) => {
                let profile = self.driver.profile.clone();
                self.operate(move |session| async move {
                    match session.enqueue(&election, guid, &profile).await {
                        Ok((own, place)) => Event::Enqueued { own, place },
                        Err(error) => Event::EnqueueFailed(error),
                    }
                });
            }
            Action::ReadPlace(own) => self.operate(move |session| async move {
                session.place(&election, &own).await.map_or_else(Event::PlaceFailed, Event::Placed)
            }),
            Action::Remove(own) => self.operate(move |session| async move {
                session.remove(&election, &own).await.map_or_else(Event::RemoveFailed, |()| Event::Removed)
            }),
            Action::Watch(own, place) => {
                self.watch = self.session.as_ref().map(|attached| attached.session.watch(&election, &own, &place));
            }
            Action::Warm(warm) => {
                if let Some(attached) = &mut self.session
                    && warm != attached.warmth.is_some()
                {
                    attached.warmth = warm.then(|| attached.session.demand().hold());
                }
            }
            Action::Retire(guid) => {
                if let Some(attached) = &self.session {
                    self.driver.ensemble.retire(Arc::clone(&attached.session), election, guid);
                }
            }
            Action::Grant(own) => self.grant(&own),
            Action::Revoke(reason) => self.revoke(reason),
            Action::Report(progress) => self.report(progress.into()),
            // Taken out by the loop.
            Action::Finish(_) => {}
        }
    }

    fn operate<F>(&mut self, operation: impl FnOnce(Arc<dyn Session>) -> F)
    where
        F: Future<Output = Event> + Send + 'static,
    {
        if let Some(attached) = &self.session {
            let operation = operation(Arc::clone(&attached.session));
            self.operation = Some(Box::pin(async move { Outcome::Event(operation.await) }));
        }
    }

    fn completed(&mut self, outcome: Outcome) -> Option<Event> {
        match outcome {
            Outcome::Event(event) => Some(event),
            Outcome::Attached(session) => {
                let need = self.driver.ensemble.options.time_to_stop(session.ttl());
                let life = session.life();
                self.session = Some(Attached { session, life, warmth: None });
                Some(Event::Attached { need })
            }
        }
    }

    fn grant(&mut self, own: &EntryKey) {
        let Some(attached) = &self.session else { return };
        let ensemble = &self.driver.ensemble;
        let term = Arc::new(Term::new(
            self.driver.election.clone(),
            own.token,
            ensemble.clock().clone(),
            attached.deadline(),
            ensemble.options.time_to_stop(attached.session.ttl()),
        ));
        let remaining = term.until().since(ensemble.clock().now());
        tracing::info!(token = own.token.get(), session = %attached.session.id(), ?remaining, "leading");
        if attached.is_suspended() {
            term.contact(true);
        }
        let (leadership, released) = Leadership::new(Arc::clone(&term));
        self.guard = Some(Guard { term, released, lapsed: false, _counted: ensemble.leading.count() });
        self.report(CandidateEvent::Leading { token: own.token, remaining });
        // If nobody waits any more the guard drops here, and its release is the next event.
        if let Some(outcome) = self.outcome.take() {
            let _ = outcome.send(Ok(leadership));
        }
    }

    fn revoke(&mut self, reason: LossReason) {
        // What is lost already is not lost again, when its session ends for instance.
        if let Some(guard) = &self.guard
            && guard.term.end(reason.clone())
        {
            tracing::warn!(token = guard.term.token.get(), %reason, "leadership lost");
            self.report(CandidateEvent::Lost { reason });
        }
    }

    fn lapsed(&mut self) -> Option<Event> {
        let guard = self.guard.as_mut().filter(|guard| !guard.lapsed)?;
        guard.lapsed = !guard.term.session.holds(guard.term.clock.now());
        guard.lapsed.then_some(Event::Lapsed)
    }

    fn life_changed(&mut self, alive: bool) -> Option<Event> {
        let attached = self.session.as_mut()?;
        if !alive {
            let error = Error::new(ErrorKind::SessionGone, "keep the session")
                .on(attached.session.id())
                .because("the task that keeps it ended without a reason");
            self.session = None;
            return Some(Event::SessionEnded(error));
        }
        let life = attached.life.borrow_and_update().clone();
        match life {
            Life::Ended(error) => {
                self.watch = None;
                self.operation = None;
                self.session = None;
                Some(Event::SessionEnded(error))
            }
            Life::Alive { suspended, .. } => {
                let leads = self.guard.as_ref().filter(|guard| guard.term.is_valid());
                if let Some(guard) = leads {
                    guard.term.contact(suspended.is_some());
                }
                match (suspended.map(|error| error.to_string()), leads) {
                    (Some(reason), Some(_)) => self.report(CandidateEvent::Suspended { reason }),
                    (Some(reason), None) => self.report(CandidateEvent::Troubled { reason }),
                    (None, Some(_)) => self.report(CandidateEvent::Confirmed),
                    (None, None) => {}
                }
                // A new deadline takes the place of one that has passed.
                self.lapsed().or(Some(Event::Proven))
            }
        }
    }

    /// On closing, who leads is asked to stop and waited for; everybody else leaves at once.
    fn closing_changed(&mut self, closing: Closing) -> Option<Event> {
        match (&self.guard, closing) {
            (_, Closing::Open) => None,
            (Some(guard), Closing::Stop) => {
                guard.term.ask_to_stop();
                None
            }
            (Some(_), Closing::Force) => {
                // The entry goes when the guard does, after the work, or else with the session.
                self.revoke(LossReason::Closed);
                None
            }
            (None, _) => Some(Event::Withdrawn),
        }
    }

    fn finish(mut self, result: Result<()>) {
        if let Some(guard) = &self.guard {
            guard.term.end(LossReason::Resigned);
            match &result {
                Ok(()) => tracing::info!(token = guard.term.token.get(), "entry gone"),
                Err(error) => tracing::warn!(token = guard.term.token.get(), %error, "entry not removed"),
            }
        }
        if result.is_ok() && self.guard.as_ref().is_some_and(|guard| guard.term.is_resigned()) {
            self.report(CandidateEvent::Resigned);
        }
        if let Some(outcome) = self.outcome.take() {
            let closed = || Error::new(ErrorKind::Closed, "stand for").on(&self.driver.election);
            let _ = outcome.send(Err(result.clone().err().unwrap_or_else(closed)));
        }
        if let Some(reply) = self.resigning.take() {
            let _ = reply.send(result);
        }
    }

    fn report(&self, event: CandidateEvent) {
        tracing::debug!(%event, "candidate");
        if let Some(events) = &self.driver.events {
            let _ = events.send(event);
        }
    }
}

/// Whatever ends the driver ends the guard: nobody would notice that the entry is gone.
impl Drop for Guard {
    fn drop(&mut self) {
        let error = Error::new(ErrorKind::Unexpected, "keep the leadership of")
            .on(&self.term.election)
            .because("the task behind it ended; its panic or the shutdown of its runtime is the cause");
        // After an orderly end the first reason stays.
        self.term.end(LossReason::SessionEnded(error));
    }
}

impl Attached {
    fn deadline(&self) -> Arc<Deadline> {
        match &*self.life.borrow() {
            Life::Alive { deadline, .. } => Arc::clone(deadline),
            Life::Ended(_) => Arc::new(Deadline::new(Moment::ORIGIN)),
        }
    }

    fn proven(&self, now: Moment) -> Moment {
        let deadline = self.deadline();
        if deadline.holds(now) { deadline.until() } else { Moment::ORIGIN }
    }

    fn is_suspended(&self) -> bool {
        matches!(&*self.life.borrow(), Life::Alive { suspended: Some(_), .. })
    }
}

impl From<Progress> for CandidateEvent {
    fn from(progress: Progress) -> Self {
        match progress {
            Progress::Waiting { ahead } => Self::Waiting { ahead },
            Progress::Troubled(reason) => Self::Troubled { reason },
            Progress::Rejoining(reason) => Self::Rejoining { reason },
        }
    }
}

async fn sleep(span: Option<Duration>) {
    match span {
        Some(span) => tokio::time::sleep(span).await,
        None => pending().await,
    }
}

async fn changed(closing: &mut watch::Receiver<Closing>) -> Closing {
    match closing.changed().await {
        Ok(()) => *closing.borrow_and_update(),
        // The sender lives as long as the ensemble, which this driver holds.
        Err(_) => pending().await,
    }
}

/// Until the guard is let go; with the reply of a resignation, if it was one.
async fn released(guard: &mut Option<Guard>) -> Option<ResignReply> {
    match guard {
        Some(guard) if !guard.released.is_terminated() => (&mut guard.released).await.ok(),
        _ => pending().await,
    }
}

async fn given_up(outcome: &mut Option<oneshot::Sender<Result<Leadership>>>) {
    match outcome {
        Some(outcome) => outcome.closed().await,
        None => pending().await,
    }
}

/// `false` if the session can tell nothing any more.
async fn life_changed(session: &mut Option<Attached>) -> bool {
    match session {
        Some(attached) => attached.life.changed().await.is_ok(),
        None => pending().await,
    }
}

async fn watched(watch: &mut Option<Box<dyn PlaceWatch>>) -> PlaceEvent {
    match watch {
        Some(watch) => watch.next().await,
        None => pending().await,
    }
}

async fn completed(operation: &mut Option<BoxFuture<'static, Outcome>>) -> Outcome {
    match operation {
        Some(operation) => operation.await,
        None => pending().await,
    }
}

async fn moved(deadline: Option<Arc<Deadline>>, seen: Moment) {
    match deadline {
        Some(deadline) => deadline.moved_from(seen).await,
        None => pending().await,
    }
}
