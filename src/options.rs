use std::time::Duration;

use incumbent_core::{Error, ErrorKind, Namespace, Result, SessionOptions};

/// How an [`Ensemble`](crate::Ensemble) is used; every value has a default.
///
/// A longer TTL rides out longer disturbances; a shorter one hands over sooner after a crash. All other durations follow
/// from the TTL that the ensemble grants unless they are set.
///
/// ```
/// # use std::time::Duration;
/// use incumbent::{Options, connect_with};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> incumbent::Result<()> {
/// let options = Options::new().ttl(Duration::from_secs(5)).stop_within(Duration::from_secs(2));
/// let ensemble = connect_with("memory://", options).await?;
///
/// // The same by URL; and durations that contradict each other are refused, with the numbers.
/// connect_with("memory://?ttl=5s&stop_within=2s", Options::new()).await?;
/// let refused = connect_with("memory://?ttl=5s&stop_within=4s", Options::new()).await.unwrap_err();
/// assert!(refused.to_string().contains("a TTL of 5s is too short"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Options {
    pub(crate) session: SessionOptions,
    pub(crate) stop_within: Option<Duration>,
    pub(crate) connect_timeout: Duration,
    pub(crate) namespace: Namespace,
    pub(crate) identity: Option<String>,
    pub(crate) session_thread: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            session: SessionOptions::new(DEFAULT_TTL),
            stop_within: None,
            connect_timeout: DEFAULT_CONNECT_TIMEOUT,
            namespace: Namespace::default(),
            identity: None,
            session_thread: true,
        }
    }
}

impl Options {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The time to live to ask for: how long a crashed leader is waited for, at most. Default 10 s. The ensemble may grant
    /// another one: etcd whole seconds and not less than 2 at its defaults.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.session.ttl = ttl;
        self
    }

    /// Time between two heartbeats of the session. Default: a fifth of the granted TTL. More often means more requests at
    /// the ensemble, per session and not per election, and a deadline that lies further ahead.
    #[must_use]
    pub fn heartbeat(mut self, interval: Duration) -> Self {
        self.session.heartbeat = Some(interval);
        self
    }

    /// What the deadline keeps off the proven life, to bound the difference of two clocks' rates over one TTL and the
    /// latency of scheduling. Default: the greater of 0.3 s and a tenth of the granted TTL; never zero.
    #[must_use]
    pub fn margin(mut self, margin: Duration) -> Self {
        self.session.margin = Some(margin);
        self
    }

    /// How long a job may take to stop: it is asked to so long before the deadline, and no leadership is granted with less
    /// remaining. Default: a quarter of the granted TTL.
    #[must_use]
    pub fn stop_within(mut self, span: Duration) -> Self {
        self.stop_within = Some(span);
        self
    }

    /// How long a request to one member may take before the next member is asked; at most a third of the TTL. Default: a
    /// fifth of the TTL, within 0.2 and 5 s.
    #[must_use]
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.session.request_timeout = Some(timeout);
        self
    }

    /// How long connecting may take at most before an unreachable ensemble is an error. Default 5 s; members that do not
    /// answer within the request timeout are not waited for longer.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// A prefix of all election names. Default: none, or the path of the URL.
    #[must_use]
    pub fn namespace(mut self, namespace: Namespace) -> Self {
        self.namespace = namespace;
        self
    }

    /// The id of candidates that are given none. Default: host name, process id and four random digits.
    #[must_use]
    pub fn identity(mut self, id: impl Into<String>) -> Self {
        self.identity = Some(id.into());
        self
    }

    /// Whether heartbeats and campaigns run on a thread of their own, where a job that blocks its runtime cannot starve
    /// them. Default: yes. Without, they run on the runtime that connects. The in-process ensemble always does that.
    #[must_use]
    pub fn session_thread(mut self, own: bool) -> Self {
        self.session_thread = own;
        self
    }

    pub(crate) fn time_to_stop(&self, granted: Duration) -> Duration {
        self.stop_within.unwrap_or(granted / 4)
    }

    /// Checks all relations under the granted TTL, or, before there is one, under the TTL asked for.
    pub(crate) fn check(&self, granted: Duration) -> Result<()> {
        self.session.check(granted, Duration::ZERO)?;
        if self.connect_timeout.is_zero() {
            return Err(refused("the connect timeout is 0; give a positive duration".into()));
        }
        let (stop, margin, heartbeat) =
            (self.time_to_stop(granted), self.session.margin(granted), self.session.heartbeat(granted));
        let request = self.session.request_timeout();
        let needed = [heartbeat, request, stop].into_iter().fold(margin, Duration::saturating_add);
        if needed >= granted {
            return Err(refused(format!(
                "a TTL of {granted:?} is too short: margin ({margin:?}), heartbeat interval ({heartbeat:?}), one request \
                 timeout ({request:?}) and stop_within ({stop:?}) add up to {needed:?}; raise the TTL or lower these"
            )));
        }
        Ok(())
    }
}

fn refused(why: String) -> Error {
    Error::new(ErrorKind::InvalidInput, "use these durations").because(why)
}

const DEFAULT_TTL: Duration = Duration::from_secs(10);
const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_fit_the_usual_ttls() {
        for ttl in [2, 3, 5, 10, 30, 60] {
            let ttl = Duration::from_secs(ttl);
            Options::new().ttl(ttl).check(ttl).unwrap();
        }
    }

    #[test]
    fn wrong_relations_are_refused_with_the_numbers() {
        let second = Duration::from_secs(1);
        let error = Options::new().ttl(5 * second).stop_within(4 * second).check(5 * second).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("add up to 6.5s"), "{error}");
        assert!(Options::new().connect_timeout(Duration::ZERO).check(10 * second).is_err());
        assert!(Options::new().ttl(Duration::ZERO).check(Duration::ZERO).is_err());
    }
}
