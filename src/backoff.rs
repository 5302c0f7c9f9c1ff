use std::time::Duration;

use incumbent_core::{Error, ErrorKind, Result};

/// Pauses between attempts: each up to twice as long as the one before, within a cap, and random within its upper half so
/// that many clients do not come back at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    cap: Duration,
    attempts: u32,
}

impl Backoff {
    /// Pauses of about `first` at the beginning and at most `cap`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if `first` is zero or greater than `cap`.
    pub fn new(first: Duration, cap: Duration) -> Result<Self> {
        if first.is_zero() || first > cap {
            return Err(Error::new(ErrorKind::InvalidInput, "use this backoff")
                .on(format!("{first:?} up to {cap:?}"))
                .because("the first pause must be above zero and not above the cap"));
        }
        Ok(Self::between(first, cap))
    }

    pub(crate) fn between(first: Duration, cap: Duration) -> Self {
        Self { first: first.min(cap), cap, attempts: 0 }
    }

    /// The pause before the next attempt.
    pub(crate) fn next(&mut self, rng: &mut fastrand::Rng) -> Duration {
        let ceiling = self.first.saturating_mul(1 << self.attempts.min(20)).min(self.cap);
        self.attempts += 1;
        ceiling.mul_f64(0.5 + rng.f64() / 2.0)
    }

    /// The longest pause.
    pub(crate) fn cap(&self) -> Duration {
        self.cap
    }

    /// Begins again with the first pause.
    pub(crate) fn reset(&mut self) {
        self.attempts = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_to_its_cap_and_stays_there() {
        let (first, cap) = (Duration::from_millis(50), Duration::from_secs(1));
        let mut backoff = Backoff::new(first, cap).unwrap();
        let mut rng = fastrand::Rng::with_seed(7);
        let pauses: Vec<_> = (0..40).map(|_| backoff.next(&mut rng)).collect();
        assert!(pauses[0] >= first / 2 && pauses[0] <= first);
        assert!(pauses.iter().all(|pause| *pause <= cap));
        assert!(pauses[10..].iter().all(|pause| *pause >= cap / 2));
        backoff.reset();
        assert!(backoff.next(&mut rng) <= first);
    }

    #[test]
    fn refuses_a_wrong_relation() {
        for (first, cap) in [(0, 1), (2, 1)] {
            let error = Backoff::new(Duration::from_secs(first), Duration::from_secs(cap)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
        }
    }
}
