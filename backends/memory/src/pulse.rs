use std::{sync::Arc, time::Duration};

use incumbent_core::{Deadline, Error, Life, Moment};
use tokio::sync::watch;

/// What is known of a session's life: written by its heartbeats, read by everybody.
#[derive(Debug)]
pub(crate) struct Pulse(watch::Sender<Life>);

/// Until when a heartbeat sent at `sent` proves the session alive, if it was answered.
///
/// The store starts the session's time when the heartbeat arrives, which is not before it was sent.
pub(crate) fn proven_until(sent: Moment, ttl: Duration, margin: Duration) -> Moment {
    sent + ttl.saturating_sub(margin)
}

impl Pulse {
    pub(crate) fn new(until: Moment) -> Self {
        Self(watch::Sender::new(Life::Alive { deadline: Arc::new(Deadline::new(until)), suspended: None }))
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Life> {
        self.0.subscribe()
    }

    /// Life is proven until then.
    pub(crate) fn proven(&self, until: Moment, now: Moment) {
        self.0.send_if_modified(|life| {
            let Life::Alive { deadline, suspended } = life else { return false };
            let found = suspended.take().is_some();
            if deadline.extend(until, now) || until <= now {
                return found;
            }
            *deadline = Arc::new(Deadline::new(until));
            true
        });
    }

    /// A heartbeat failed; that alone ends nothing.
    pub(crate) fn missed(&self, error: Error) {
        self.0.send_if_modified(|life| match life {
            Life::Alive { suspended, .. } if suspended.is_none() => {
                *suspended = Some(error);
                true
            }
            _ => false,
        });
    }

    /// The session is over. The first reason stays.
    pub(crate) fn end(&self, error: Error) {
        self.0.send_if_modified(|life| {
            let Life::Alive { deadline, .. } = life else { return false };
            deadline.end();
            *life = Life::Ended(error);
            true
        });
    }

    /// Why it is over, if it is.
    pub(crate) fn ended(&self) -> Option<Error> {
        match &*self.0.borrow() {
            Life::Alive { .. } => None,
            Life::Ended(error) => Some(error.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use incumbent_core::ErrorKind;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(seconds: u32) -> Moment {
        Moment::ORIGIN + SECOND * seconds
    }

    fn error(kind: ErrorKind) -> Error {
        Error::new(kind, "keep the session")
    }

    #[test]
    fn a_deadline_lies_the_margin_before_the_ttl() {
        assert_eq!(proven_until(at(10), 5 * SECOND, SECOND), at(14));
        assert_eq!(proven_until(at(10), SECOND, 2 * SECOND), at(10));
    }

    #[test]
    fn a_heartbeat_puts_off_and_tells_nobody() {
        let pulse = Pulse::new(at(5));
        let mut life = pulse.subscribe();
        pulse.proven(at(9), at(4));
        assert!(!life.has_changed().unwrap());
        let Life::Alive { deadline, suspended: None } = life.borrow_and_update().clone() else { panic!() };
        assert_eq!(deadline.until(), at(9));
    }

    #[test]
    fn after_it_passed_a_new_deadline_comes_and_the_old_one_stays_passed() {
        let pulse = Pulse::new(at(5));
        let mut life = pulse.subscribe();
        let Life::Alive { deadline: old, .. } = life.borrow_and_update().clone() else { panic!() };
        pulse.proven(at(10), at(6));
        assert!(life.has_changed().unwrap());
        let Life::Alive { deadline: new, .. } = life.borrow_and_update().clone() else { panic!() };
        assert!(new.holds(at(6)) && !old.holds(at(6)));
        pulse.proven(at(11), at(12));
        assert!(!life.has_changed().unwrap(), "a proof that comes when it is over proves nothing");
    }

    #[test]
    fn contact_lost_and_found_is_told_once_each() {
        let pulse = Pulse::new(at(5));
        let mut life = pulse.subscribe();
        pulse.missed(error(ErrorKind::Unavailable));
        assert!(matches!(&*life.borrow_and_update(), Life::Alive { suspended: Some(_), .. }));
        pulse.missed(error(ErrorKind::Unavailable));
        assert!(!life.has_changed().unwrap());
        pulse.proven(at(6), at(2));
        assert!(matches!(&*life.borrow_and_update(), Life::Alive { suspended: None, .. }));
    }

    #[test]
    fn the_first_end_is_final() {
        let pulse = Pulse::new(at(5));
        pulse.end(error(ErrorKind::SessionGone));
        pulse.end(error(ErrorKind::Closed));
        pulse.proven(at(9), at(1));
        assert_eq!(pulse.ended().unwrap().kind(), ErrorKind::SessionGone);
    }
}
