//! The session that all elections of an ensemble share, and its renewal.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use incumbent_core::{Backend, Error, ErrorKind, Life, Moment, Result, Session, SessionId, SessionOptions};
use tokio::sync::watch;

use crate::{backoff::Backoff, status::SessionStatus};

/// Opens a session when there is none and shares it while it lives.
pub(crate) struct Sessions {
    backend: Arc<dyn Backend>,
    options: SessionOptions,
    /// Held while a session is being opened, so that many candidates open one.
    opening: tokio::sync::Mutex<Option<Failure>>,
    current: Mutex<Option<Arc<dyn Session>>>,
}

/// The latest failure to open, which answers those who ask right after it.
struct Failure {
    at: Moment,
    error: Error,
}

/// At most so often is opening tried, whoever asks.
const PAUSE: Duration = Duration::from_millis(20);

/// The longest pause between two attempts to close.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

impl Sessions {
    pub(crate) fn new(backend: Arc<dyn Backend>, options: SessionOptions) -> Self {
        Self { backend, options, opening: tokio::sync::Mutex::default(), current: Mutex::default() }
    }

    pub(crate) fn backend(&self) -> &Arc<dyn Backend> {
        &self.backend
    }

    pub(crate) async fn acquire(&self) -> Result<Arc<dyn Session>> {
        if let Some(session) = self.alive() {
            return Ok(session);
        }
        let mut failure = self.opening.lock().await;
        if let Some(session) = self.alive() {
            return Ok(session);
        }
        let now = self.backend.clock().now();
        if let Some(failure) = failure.as_ref().filter(|failure| now.since(failure.at) < PAUSE) {
            return Err(failure.error.clone());
        }
        match self.backend.open_session(&self.options).await {
            Ok(session) => {
                let (asked, granted) = (self.options.ttl, session.ttl());
                tracing::info!(session = %session.id(), ?granted, backend = self.backend.name(), "session opened");
                if asked != granted {
                    tracing::warn!(?asked, ?granted, "the ensemble granted another TTL than asked for");
                }
                tokio::spawn(log_life(session.id(), session.life()));
                *self.slot() = Some(Arc::clone(&session));
                Ok(session)
            }
            Err(error) => {
                *failure = Some(Failure { at: self.backend.clock().now(), error: error.clone() });
                Err(error)
            }
        }
    }

    pub(crate) fn status(&self) -> Option<SessionStatus> {
        let session = self.slot().clone()?;
        let life = session.life().borrow().clone();
        let now = self.backend.clock().now();
        let (remaining, trouble, ended) = match life {
            Life::Alive { deadline, suspended } => (deadline.until().since(now), suspended, false),
            Life::Ended(error) => (Duration::ZERO, Some(error), true),
        };
        Some(SessionStatus { id: session.id(), ttl: session.ttl(), remaining, trouble, ended })
    }

    /// Closes the session, trying until it is known to be over. Until then it stays, for whoever asks again.
    pub(crate) async fn close(&self) -> Result<()> {
        let Some(session) = self.slot().clone() else { return Ok(()) };
        let mut pauses = Backoff::between(PAUSE, LONGEST_PAUSE);
        let mut rng = fastrand::Rng::new();
        while let Err(error) = session.close().await {
            if !error.is_retryable() {
                return Err(error);
            }
            tokio::time::sleep(pauses.next(&mut rng)).await;
        }
        *self.slot() = None;
        Ok(())
    }

    fn alive(&self) -> Option<Arc<dyn Session>> {
        let mut slot = self.slot();
        let ended = slot.as_ref().is_some_and(|session| {
            let life = session.life();
            // A session whose tasks are gone tells nothing any more.
            life.has_changed().is_err() || matches!(&*life.borrow(), Life::Ended(_))
        });
        if ended {
            *slot = None;
        }
        slot.clone()
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<Arc<dyn Session>>> {
        // The slot holds one pointer: a panic cannot leave it half written.
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sessions {
    /// The error for whoever stands after closing.
    pub(crate) fn closed(operation: &'static str) -> Error {
        Error::new(ErrorKind::Closed, operation).because("the ensemble was closed on this side; connect again")
    }
}

/// Says in the log what becomes of a session, whoever is or is not there to be told.
async fn log_life(session: SessionId, mut life: watch::Receiver<Life>) {
    let mut suspended = false;
    while life.changed().await.is_ok() {
        match &*life.borrow_and_update() {
            Life::Alive { suspended: Some(error), .. } => tracing::warn!(%session, %error, "contact lost"),
            Life::Alive { suspended: None, .. } if suspended => tracing::info!(%session, "contact back"),
            Life::Alive { .. } => {}
            Life::Ended(error) if error.kind() == ErrorKind::Closed => return,
            Life::Ended(error) => return tracing::warn!(%session, %error, "session ended"),
        }
        suspended = matches!(&*life.borrow(), Life::Alive { suspended: Some(_), .. });
    }
}
