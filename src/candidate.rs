use std::{fmt, pin::Pin, sync::Arc, time::Duration};

use incumbent_core::{ElectionName, Error, ErrorKind, Profile, Result};
use tokio::sync::{mpsc, oneshot};
use tracing::Instrument;

use crate::{Backoff, CandidateEvent, Ensemble, Leadership, driver::Driver, ensemble::Closing, sessions::Sessions};

/// Somebody who can stand for an election: [`campaign`](Self::campaign) for a guard held by hand, or
/// [`run`](Self::run) for a job that runs on one replica only.
pub struct Candidate {
    pub(crate) ensemble: Ensemble,
    pub(crate) election: ElectionName,
    profile: Profile,
    events: Option<mpsc::UnboundedSender<CandidateEvent>>,
    pub(crate) until: Until,
    pub(crate) retry: Option<Backoff>,
    pub(crate) abort_on_overrun: bool,
}

/// What ends a run from outside.
pub(crate) type Until = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Candidate {
    pub(crate) fn new(ensemble: Ensemble, election: ElectionName) -> Self {
        let id = ensemble.0.options.identity.clone().unwrap_or_else(default_id);
        Self {
            ensemble,
            election,
            profile: Profile::new(id),
            events: None,
            until: Box::pin(std::future::pending()),
            retry: None,
            abort_on_overrun: false,
        }
    }

    /// Who it is, for people: shown by listings, not required to be unique. Default: the identity of the options, or host
    /// name, process id and four random digits.
    #[must_use]
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.profile.id = id.into();
        self
    }

    /// The address at which others reach this candidate when it leads. Default: none. With one, the entry holds a JSON
    /// object instead of the id alone, which libraries of other languages show as it is.
    #[must_use]
    pub fn advertise(mut self, address: impl Into<String>) -> Self {
        self.profile.address = Some(address.into());
        self
    }

    /// Adds to what the entry says of the candidate; the same remark as for [`advertise`](Self::advertise) holds.
    #[must_use]
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.profile.metadata.insert(key.into(), value.into());
        self
    }

    /// Who it is, as its entry will say.
    #[must_use]
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// Sends what happens to the candidate; sending never blocks it, and a closed receiver is ignored.
    #[must_use]
    pub fn events(mut self, events: mpsc::UnboundedSender<CandidateEvent>) -> Self {
        self.events = Some(events);
        self
    }

    /// Ends [`run`](Self::run) when `stop` completes: the job is asked to stop, the entry removed, and
    /// [`Stopped`](crate::Outcome::Stopped) returned. Default: never.
    ///
    /// ```
    /// # use std::{convert::Infallible, time::Duration};
    /// # use incumbent::Outcome;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let ensemble = incumbent::connect("memory://").await?;
    /// // In a service: async { let _ = tokio::signal::ctrl_c().await; }
    /// let shutdown = tokio::time::sleep(Duration::from_millis(100));
    /// let candidate = ensemble.election("billing/nightly-report")?.candidate().until(shutdown);
    /// let outcome = candidate.run(|leadership| async move {
    ///     while !leadership.is_stopping() {
    ///         tokio::time::sleep(Duration::from_millis(10)).await; // one step
    ///     }
    ///     Ok::<_, Infallible>(())
    /// });
    /// assert_eq!(outcome.await?, Outcome::Stopped);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn until<F>(mut self, stop: F) -> Self
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.until = Box::pin(async move {
            stop.await;
        });
        self
    }

    /// Lets [`run`](Self::run) go on after the job failed: it resigns, pauses, and stands again. Default: it returns the
    /// job's error. The pauses begin anew after a run that was longer than the cap.
    #[must_use]
    pub fn retry(mut self, backoff: Backoff) -> Self {
        self.retry = Some(backoff);
        self
    }

    /// Aborts the process if a job of [`run_blocking`](Self::run_blocking) still works when its leadership is over, since
    /// nothing else can stop it. Default: no.
    #[must_use]
    pub fn abort_on_overrun(mut self, abort: bool) -> Self {
        self.abort_on_overrun = abort;
        self
    }

    /// Stands until it leads. Disturbances are ridden out: it joins again by itself.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> incumbent::Result<()> {
    /// # let ensemble = incumbent::connect("memory://").await?;
    /// let election = ensemble.election("billing/nightly-report")?;
    /// let first = election.candidate().id("worker-1").campaign().await?;
    ///
    /// // Waits in the queue until the first one is gone.
    /// let second = tokio::spawn(election.candidate().id("worker-2").campaign());
    /// let token = first.token();
    /// first.resign().await?;
    /// let second = second.await.expect("campaigning does not panic")?;
    /// assert!(second.token() > token);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// What no waiting can mend: no permission, an entry of another election in the way, an ensemble closed on this side.
    ///
    /// # Cancel safety
    /// Dropping the future gives the candidacy up; its entry is removed in the background.
    pub async fn campaign(self) -> Result<Leadership> {
        self.stand().await
    }

    /// Stands until it leads, but no longer than `limit`; `None` if it did not lead by then. Losing is no error.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> incumbent::Result<()> {
    /// # let ensemble = incumbent::connect("memory://").await?;
    /// let election = ensemble.election("billing/nightly-report")?;
    /// let _leadership = election.candidate().campaign().await?;
    /// let other = election.candidate().try_campaign(Duration::from_millis(100)).await?;
    /// assert!(other.is_none());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As for [`campaign`](Self::campaign).
    ///
    /// # Cancel safety
    /// As for [`campaign`](Self::campaign).
    pub async fn try_campaign(self, limit: Duration) -> Result<Option<Leadership>> {
        match tokio::time::timeout(limit, self.stand()).await {
            Ok(leadership) => leadership.map(Some),
            Err(_) => Ok(None),
        }
    }

    /// One campaign; it begins when first polled.
    pub(crate) fn stand(&self) -> impl Future<Output = Result<Leadership>> + Send + use<> {
        let driver = Driver {
            ensemble: Arc::clone(&self.ensemble.0),
            election: self.election.clone(),
            profile: self.profile.clone(),
            events: self.events.clone(),
        };
        let span = tracing::info_span!("candidacy", election = %self.election, candidate = %self.profile.id);
        async move {
            if *driver.ensemble.closing.borrow() != Closing::Open {
                return Err(Sessions::closed("stand for the election"));
            }
            let lost = Error::new(ErrorKind::Unexpected, "stand for").on(&driver.election);
            let (outcome, decided) = oneshot::channel();
            let handle = driver.ensemble.handle().clone();
            handle.spawn(driver.run(outcome).instrument(span));
            let died =
                "the campaign's task ended without a reason; its panic or the shutdown of its runtime is the cause";
            decided.await.unwrap_or_else(|_| Err(lost.because(died)))
        }
    }
}

impl fmt::Debug for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Candidate")
            .field("election", &self.election)
            .field("profile", &self.profile)
            .finish_non_exhaustive()
    }
}

/// Host name, process id and four random digits.
fn default_id() -> String {
    format!("{}-{}-{:04x}", host_name(), std::process::id(), fastrand::u16(..))
}

#[cfg(unix)]
fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(not(unix))]
fn host_name() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_else(|_| "host".into())
}
