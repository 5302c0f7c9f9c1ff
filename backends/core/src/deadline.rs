use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

use crate::Moment;

/// Until when something is proven, shared between one writer and many readers.
///
/// A deadline may be put off while it has not passed. **Once a reader was told that it has passed, it stays passed**:
/// the first such answer is final, so nobody sees validity return. Reading takes no lock and does no I/O.
#[derive(Debug)]
pub struct Deadline {
    until: AtomicU64,
    moved: Notify,
}

impl Deadline {
    /// A deadline at `until`.
    #[must_use]
    pub const fn new(until: Moment) -> Self {
        Self { until: AtomicU64::new(until.as_nanos()), moved: Notify::const_new() }
    }

    /// The deadline as it stands; [`Moment::ORIGIN`] once it was seen passed or ended.
    #[must_use]
    pub fn until(&self) -> Moment {
        Moment::from_nanos(self.until.load(Ordering::Acquire))
    }

    /// Whether `now` is before the deadline. `false` is final.
    #[must_use]
    pub fn holds(&self, now: Moment) -> bool {
        let mut until = self.until();
        while now >= until {
            if until == Moment::ORIGIN {
                return false;
            }
            // Seals it, unless the writer was first: then its new deadline decides.
            match self.swap(until, Moment::ORIGIN) {
                Ok(()) => return false,
                Err(newer) => until = newer,
            }
        }
        true
    }

    /// Puts the deadline off to `until`, if it has not passed at `now`; an earlier `until` changes nothing. Says whether
    /// the deadline still holds.
    pub fn extend(&self, until: Moment, now: Moment) -> bool {
        loop {
            if !self.holds(now) {
                return false;
            }
            let current = self.until();
            if current == Moment::ORIGIN || until <= current {
                return current != Moment::ORIGIN;
            }
            if self.swap(current, until).is_ok() {
                self.moved.notify_waiters();
                return true;
            }
        }
    }

    /// Ends it at once and for good.
    pub fn end(&self) {
        self.until.store(Moment::ORIGIN.as_nanos(), Ordering::Release);
        self.moved.notify_waiters();
    }

    /// Waits until the deadline is another than `seen`.
    ///
    /// # Cancel safety
    /// Dropping the future ends the wait and nothing else.
    pub async fn moved_from(&self, seen: Moment) {
        loop {
            let moved = self.moved.notified();
            if self.until() != seen {
                return;
            }
            moved.await;
        }
    }

    fn swap(&self, from: Moment, to: Moment) -> Result<(), Moment> {
        self.until
            .compare_exchange(from.as_nanos(), to.as_nanos(), Ordering::AcqRel, Ordering::Acquire)
            .map(drop)
            .map_err(Moment::from_nanos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(nanos: u64) -> Moment {
        Moment::from_nanos(nanos)
    }

    #[test]
    fn holds_until_its_moment_exclusively() {
        let deadline = Deadline::new(at(10));
        assert!(deadline.holds(at(9)));
        assert!(!deadline.holds(at(10)));
    }

    #[test]
    fn the_first_no_is_final() {
        let deadline = Deadline::new(at(10));
        assert!(!deadline.holds(at(10)));
        assert!(!deadline.extend(at(99), at(5)));
        assert!(!deadline.holds(at(1)));
    }

    #[test]
    fn extends_only_forward_and_only_before_it_passed() {
        let deadline = Deadline::new(at(10));
        assert!(deadline.extend(at(20), at(5)));
        assert!(deadline.extend(at(15), at(5)));
        assert_eq!(deadline.until(), at(20));
        assert!(!deadline.extend(at(30), at(20)));
        assert!(!deadline.holds(at(6)));
    }

    #[test]
    fn an_end_is_at_once() {
        let deadline = Deadline::new(Moment::NEVER);
        deadline.end();
        assert!(!deadline.holds(at(1)));
        assert!(!deadline.extend(at(30), at(1)));
    }

    #[tokio::test]
    async fn a_waiter_is_told_of_an_extension() {
        let deadline = std::sync::Arc::new(Deadline::new(at(10)));
        let waiting = tokio::spawn({
            let deadline = std::sync::Arc::clone(&deadline);
            async move { deadline.moved_from(at(10)).await }
        });
        tokio::task::yield_now().await;
        deadline.extend(at(20), at(1));
        waiting.await.unwrap();
    }

    #[test]
    fn no_reader_sees_validity_return_while_a_writer_extends() {
        let deadline = Deadline::new(at(1_000));
        let clock = AtomicU64::new(1);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..200_000 {
                    let now = clock.fetch_add(1, Ordering::SeqCst);
                    deadline.extend(at(now + 3), at(now));
                }
            });
            for _ in 0..2 {
                scope.spawn(|| {
                    let mut held = true;
                    for _ in 0..200_000 {
                        let holds = deadline.holds(at(clock.fetch_add(1, Ordering::SeqCst)));
                        assert!(held || !holds, "validity came back");
                        held = holds;
                    }
                });
            }
        });
    }
}
