use std::sync::Arc;

use incumbent_core::{Clock, Deadline, Error, Life, Moment, Result};
use tokio::sync::watch;

/// Publishes a session's [`Life`]: who learns something about it tells it here. What has ended stays ended.
#[derive(Debug)]
pub(crate) struct Lifeline {
    life: watch::Sender<Life>,
    clock: Clock,
}

impl Lifeline {
    /// A life proven until `until`.
    pub(crate) fn new(clock: Clock, until: Moment) -> Self {
        let life = Life::Alive { deadline: Arc::new(Deadline::new(until)), suspended: None };
        Self { life: watch::Sender::new(life), clock }
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Life> {
        self.life.subscribe()
    }

    /// There is contact, and the life is proven until `until`.
    pub(crate) fn prove(&self, until: Moment) {
        self.life.send_if_modified(|life| {
            let Life::Alive { deadline, suspended } = life else { return false };
            let now = self.clock.now();
            let was_suspended = suspended.take().is_some();
            if until <= now || deadline.extend(until, now) {
                return was_suspended;
            }
            *deadline = Arc::new(Deadline::new(until));
            true
        });
    }

    /// There is contact, but nothing is proven.
    pub(crate) fn contact(&self) {
        self.prove(Moment::ORIGIN);
    }

    /// There is no contact.
    pub(crate) fn suspend(&self, why: Error) {
        self.life.send_if_modified(|life| match life {
            Life::Alive { suspended, .. } => suspended.replace(why).is_none(),
            Life::Ended(_) => false,
        });
    }

    /// It is over. The first reason stays.
    pub(crate) fn end(&self, why: Error) {
        self.life.send_if_modified(|life| {
            let Life::Alive { deadline, .. } = life else { return false };
            deadline.end();
            *life = Life::Ended(why);
            true
        });
    }

    /// Refuses an operation on what is over.
    pub(crate) fn check(&self, operation: &'static str) -> Result<()> {
        match &*self.life.borrow() {
            Life::Alive { .. } => Ok(()),
            Life::Ended(why) => Err(Error::new(why.kind(), operation)
                .because(format!("the session is over; {why}"))
                .caused_by(why.clone())),
        }
    }

    /// Waits for its end.
    pub(crate) async fn ended(&self) {
        // The sender lives in self: the wait cannot fail.
        let _ = self.life.subscribe().wait_for(|life| matches!(life, Life::Ended(_))).await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use incumbent_core::ErrorKind;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn deadline(life: &watch::Receiver<Life>) -> Option<Arc<Deadline>> {
        match &*life.borrow() {
            Life::Alive { deadline, .. } => Some(Arc::clone(deadline)),
            Life::Ended(_) => None,
        }
    }

    fn error(kind: ErrorKind) -> Error {
        Error::new(kind, "test")
    }

    #[test]
    fn a_proof_in_time_moves_the_deadline_and_wakes_nobody() {
        let (clock, _hands) = Clock::manual();
        let line = Lifeline::new(clock.clone(), clock.now() + SECOND);
        let life = line.subscribe();
        line.prove(clock.now() + 3 * SECOND);
        assert!(!life.has_changed().unwrap());
        assert_eq!(deadline(&life).unwrap().until(), clock.now() + 3 * SECOND);
    }

    #[test]
    fn a_proof_after_the_deadline_comes_with_a_new_one() {
        let (clock, hands) = Clock::manual();
        let line = Lifeline::new(clock.clone(), clock.now() + SECOND);
        let life = line.subscribe();
        let old = deadline(&life).unwrap();
        hands.advance(SECOND);
        line.prove(clock.now());
        assert!(!life.has_changed().unwrap(), "a proof of the past proves nothing");
        line.prove(clock.now() + SECOND);
        assert!(life.has_changed().unwrap());
        assert!(!old.holds(clock.now()));
        assert!(deadline(&life).unwrap().holds(clock.now()));
    }

    #[test]
    fn contact_ends_the_suspension_and_proves_nothing() {
        let (clock, _hands) = Clock::manual();
        let line = Lifeline::new(clock.clone(), clock.now() + SECOND);
        let mut life = line.subscribe();
        line.suspend(error(ErrorKind::Unavailable));
        assert!(matches!(&*life.borrow_and_update(), Life::Alive { suspended: Some(_), .. }));
        line.suspend(error(ErrorKind::Unavailable));
        assert!(!life.has_changed().unwrap());
        line.contact();
        assert!(matches!(&*life.borrow_and_update(), Life::Alive { suspended: None, .. }));
        assert_eq!(deadline(&life).unwrap().until(), clock.now() + SECOND);
    }

    #[test]
    fn the_end_is_final_and_ends_the_deadline() {
        let (clock, _hands) = Clock::manual();
        let line = Lifeline::new(clock.clone(), clock.now() + SECOND);
        let life = line.subscribe();
        let old = deadline(&life).unwrap();
        line.end(error(ErrorKind::SessionGone));
        line.end(error(ErrorKind::Closed));
        line.prove(clock.now() + SECOND);
        assert!(!old.holds(clock.now()));
        assert!(matches!(&*life.borrow(), Life::Ended(why) if why.kind() == ErrorKind::SessionGone));
        assert_eq!(line.check("x").unwrap_err().kind(), ErrorKind::SessionGone);
    }
}
