use std::time::Duration;

use crate::{Error, ErrorKind, Result};

/// What a session is opened with. All durations are greater than zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionOptions {
    /// The time to live to ask for; the ensemble grants what it sees fit.
    pub ttl: Duration,
    /// Time between two heartbeats; `None`: a fifth of the granted TTL.
    pub heartbeat: Option<Duration>,
    /// What the deadline keeps off the proven life, for the difference of two clocks' rates over one TTL and for
    /// scheduling; `None`: the greater of 0.3 s and a tenth of the granted TTL.
    pub margin: Option<Duration>,
    /// How long a request to one member may take before the next member is asked; `None`: a fifth of the TTL asked for,
    /// within 0.2 and 5 s.
    pub request_timeout: Option<Duration>,
}

impl SessionOptions {
    /// Defaults for a TTL.
    #[must_use]
    pub const fn new(ttl: Duration) -> Self {
        Self { ttl, heartbeat: None, margin: None, request_timeout: None }
    }

    /// The interval of heartbeats under a granted TTL.
    #[must_use]
    pub fn heartbeat(&self, granted: Duration) -> Duration {
        self.heartbeat.unwrap_or(granted / 5)
    }

    /// The margin under a granted TTL.
    #[must_use]
    pub fn margin(&self, granted: Duration) -> Duration {
        self.margin.unwrap_or((granted / 10).max(MIN_MARGIN))
    }

    /// The bound of one request.
    #[must_use]
    pub fn request_timeout(&self) -> Duration {
        self.request_timeout.unwrap_or((self.ttl / 5).clamp(MIN_REQUEST, MAX_REQUEST))
    }

    /// Checks the relations of the durations under a granted TTL: after the margin, `lost` and two heartbeats with a
    /// request in between, something must remain of it. `lost` is what else a backend's proof takes off.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] with the numbers.
    pub fn check(&self, granted: Duration, lost: Duration) -> Result<()> {
        let refused = |why: String| Err(Error::new(ErrorKind::InvalidInput, "use these durations").because(why));
        for (name, value) in [
            ("the TTL", self.ttl),
            ("the heartbeat interval", self.heartbeat(granted)),
            ("the margin", self.margin(granted)),
            ("the request timeout", self.request_timeout()),
        ] {
            if value.is_zero() {
                return refused(format!("{name} is 0; give a positive duration"));
            }
        }
        let (heartbeat, margin, request) = (self.heartbeat(granted), self.margin(granted), self.request_timeout());
        if request > granted / 3 {
            return refused(format!(
                "the request timeout of {request:?} is more than a third of the TTL of {granted:?}; a member that hangs \
                 would cost the session: lower it or raise the TTL"
            ));
        }
        let needed = [lost, heartbeat, request].into_iter().fold(margin, Duration::saturating_add);
        if needed >= granted {
            return refused(format!(
                "a TTL of {granted:?} leaves no validity after the margin ({margin:?}), the proof ({lost:?}), one heartbeat \
                 interval ({heartbeat:?}) and one request timeout ({request:?}); ask for a TTL above {needed:?}"
            ));
        }
        Ok(())
    }
}

const MIN_MARGIN: Duration = Duration::from_millis(300);
const MIN_REQUEST: Duration = Duration::from_millis(200);
const MAX_REQUEST: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_defaults_fit_the_usual_ttls() {
        for ttl in [2, 3, 5, 10, 15, 60, 600] {
            let ttl = ttl * SECOND;
            SessionOptions::new(ttl).check(ttl, Duration::ZERO).unwrap();
        }
    }

    #[test]
    fn wrong_relations_are_refused_with_the_numbers() {
        let five = SessionOptions::new(5 * SECOND);
        for (options, word) in [
            (SessionOptions { ttl: Duration::ZERO, ..five.clone() }, "the TTL is 0"),
            (SessionOptions { margin: Some(Duration::ZERO), ..five.clone() }, "the margin is 0"),
            (SessionOptions { heartbeat: Some(Duration::ZERO), ..five.clone() }, "heartbeat interval is 0"),
            (
                SessionOptions { request_timeout: Some(2 * SECOND), ..five.clone() },
                "more than a third of the TTL of 5s",
            ),
            (SessionOptions { heartbeat: Some(4 * SECOND), ..five.clone() }, "above 5.5s"),
            (SessionOptions { margin: Some(5 * SECOND), ..five }, "leaves no validity"),
        ] {
            let error = options.check(5 * SECOND, Duration::ZERO).unwrap_err();
            assert!(error.to_string().contains(word), "{error}");
        }
    }
}
