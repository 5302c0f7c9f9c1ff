use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use incumbent_core::{Backend, Clock, ElectionName, EndpointStatus, Error, ErrorKind, Guid, Hosting, Result, Session};
use tokio::{runtime::Handle, sync::watch};

use crate::{Election, Options, backoff::Backoff, host::Host, sessions::Sessions, status::Status};

/// A connection to an ensemble, shared by all elections of a process: one session carries thousands of them.
///
/// Cheap to clone. When the last clone and everything made from it is gone, the session is closed in the background; to
/// wait for that, call [`close`](Self::close).
#[derive(Clone)]
pub struct Ensemble(pub(crate) Arc<Shared>);

impl Ensemble {
    /// Uses a backend of your own, or one that is already connected.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if the options' durations contradict each other, with the numbers, or if this is called
    /// outside of a tokio runtime.
    pub fn with_backend(backend: Arc<dyn Backend>, options: Options) -> Result<Self> {
        let own_thread = options.session_thread && backend.capabilities().hosting == Hosting::OwnThread;
        Self::hosted(backend, options, Host::new(own_thread)?)
    }

    pub(crate) fn hosted(backend: Arc<dyn Backend>, options: Options, host: Host) -> Result<Self> {
        options.check(options.session.ttl)?;
        let sessions = Arc::new(Sessions::new(backend, options.session.clone()));
        Ok(Self(Arc::new(Shared {
            options,
            sessions,
            host,
            closing: watch::Sender::new(Closing::Open),
            candidates: Counter::default(),
            leading: Counter::default(),
        })))
    }

    /// The election of this name.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if the name breaks a rule of [`ElectionName`].
    pub fn election<N>(&self, name: N) -> Result<Election>
    where
        N: TryInto<ElectionName>,
        Error: From<N::Error>,
    {
        Ok(Election::new(self.clone(), name.try_into()?))
    }

    /// The elections of this namespace that have at least one candidate and whose name begins with `prefix`.
    ///
    /// # Errors
    /// The ensemble cannot be reached or refuses the listing.
    ///
    /// # Cancel safety
    /// Nothing is lost by dropping the future.
    pub async fn elections(&self, prefix: &str) -> Result<Vec<ElectionName>> {
        let namespace = &self.0.options.namespace;
        let full = self.0.backend().elections(&format!("{}{prefix}", namespace.prefix())).await?;
        Ok(full.iter().filter_map(|name| namespace.strip(name)).collect())
    }

    /// How this process stands with the ensemble: for readiness and liveness checks. No I/O.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> incumbent::Result<()> {
    /// # let ensemble = incumbent::connect("memory://").await?;
    /// let _leadership = ensemble.election("billing/nightly-report")?.candidate().campaign().await?;
    /// let status = ensemble.status();
    /// assert!(status.is_ready());
    /// assert_eq!((status.candidates, status.leading), (1, 1));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn status(&self) -> Status {
        let shared = &self.0;
        Status {
            session: shared.sessions.status(),
            candidates: shared.candidates.get(),
            leading: shared.leading.get(),
            live: shared.host.is_live(),
            closed: *shared.closing.borrow() != Closing::Open,
        }
    }

    /// Asks every endpoint how it is. Bounded by the request timeout.
    ///
    /// # Cancel safety
    /// Nothing is lost by dropping the future.
    pub async fn endpoints(&self) -> Vec<EndpointStatus> {
        self.0.backend().endpoints().await
    }

    /// Steps down from everything and closes the session: jobs are asked to stop, entries are removed, then the session
    /// ends. Whoever still holds a guard when three quarters of `timeout` are over loses it.
    ///
    /// # Errors
    /// [`ErrorKind::OutcomeUnknown`] if the end of the session could not be confirmed within `timeout`: entries may then
    /// stand until its TTL has run out.
    ///
    /// # Cancel safety
    /// Dropping the future leaves what was begun going on; call it again to wait for it.
    pub async fn close(&self, timeout: Duration) -> Result<()> {
        let shared = &self.0;
        let grace = timeout.mul_f64(0.75);
        let close = async {
            shared.closing.send_if_modified(|closing| closing.advance(Closing::Stop));
            if tokio::time::timeout(grace, shared.candidates.zero()).await.is_err() {
                shared.closing.send_if_modified(|closing| closing.advance(Closing::Force));
            }
            let _ = tokio::time::timeout(timeout / 8, shared.candidates.zero()).await;
            let outcome = shared.sessions.close().await;
            // Whoever has held on to a guard learns of it from the session's end.
            let _ = tokio::time::timeout(timeout / 8, shared.candidates.zero()).await;
            shared.backend().close().await;
            outcome
        };
        tokio::time::timeout(timeout, close).await.unwrap_or_else(|_| {
            Err(Error::new(ErrorKind::OutcomeUnknown, "close the ensemble").because(format!(
                "the end of the session was not confirmed within {timeout:?}; entries may stand until its TTL has run out"
            )))
        })
    }
}

impl fmt::Debug for Ensemble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ensemble").field("backend", self.0.backend()).field("status", &self.status()).finish()
    }
}

/// What all clones, elections and drivers share.
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) closing: watch::Sender<Closing>,
    pub(crate) candidates: Counter,
    pub(crate) leading: Counter,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) host: Host,
}

/// How far closing has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Closing {
    Open,
    /// Jobs are asked to stop, and nobody stands any more.
    Stop,
    /// Guards are taken away.
    Force,
}

impl Closing {
    fn advance(&mut self, to: Self) -> bool {
        let forward = *self < to;
        *self = to.max(*self);
        forward
    }
}

impl Shared {
    pub(crate) fn backend(&self) -> &Arc<dyn Backend> {
        self.sessions.backend()
    }

    pub(crate) fn clock(&self) -> &Clock {
        self.backend().clock()
    }

    pub(crate) fn handle(&self) -> &Handle {
        self.host.handle()
    }

    /// The shared session, opened if there is none. Checked against the options once its TTL is granted.
    pub(crate) async fn session(&self) -> Result<Arc<dyn Session>> {
        let session = self.sessions.acquire().await?;
        self.options.check(session.ttl())?;
        Ok(session)
    }

    /// Sees to it, in the background and until the session ends, that no entry of this name stands.
    pub(crate) fn retire(&self, session: Arc<dyn Session>, election: ElectionName, guid: Guid) {
        let mut pauses = Backoff::between(Duration::from_millis(25), Duration::from_secs(1));
        let mut rng = fastrand::Rng::new();
        self.handle().spawn(async move {
            let mut life = session.life();
            while let Err(error) = session.retire(&election, guid).await {
                if matches!(error.kind(), ErrorKind::SessionGone | ErrorKind::Closed) {
                    break;
                }
                tracing::warn!(%election, %guid, %error, "an entry may be left behind; trying again");
                let pause = pauses.next(&mut rng);
                let ended = life.wait_for(|life| matches!(life, incumbent_core::Life::Ended(_)));
                if tokio::time::timeout(pause, ended).await.is_ok() {
                    break;
                }
            }
        });
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let sessions = Arc::clone(&self.sessions);
        self.host.finish(async move {
            if let Err(error) = sessions.close().await {
                tracing::warn!(%error, "the session was not closed; its entries go with its TTL");
            }
            sessions.backend().close().await;
        });
    }
}

/// Counts what is alive, and tells when nothing is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counter(Arc<(AtomicUsize, tokio::sync::Notify)>);

impl Counter {
    pub(crate) fn count(&self) -> Count {
        self.0.0.fetch_add(1, Ordering::AcqRel);
        Count(self.clone())
    }

    pub(crate) fn get(&self) -> usize {
        self.0.0.load(Ordering::Acquire)
    }

    async fn zero(&self) {
        loop {
            let gone = self.0.1.notified();
            if self.get() == 0 {
                return;
            }
            gone.await;
        }
    }
}

/// One of a [`Counter`], until dropped.
#[derive(Debug)]
pub(crate) struct Count(Counter);

impl Drop for Count {
    fn drop(&mut self) {
        let (count, gone) = &*self.0.0;
        if count.fetch_sub(1, Ordering::AcqRel) == 1 {
            gone.notify_waiters();
        }
    }
}
