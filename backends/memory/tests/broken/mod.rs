//! Backends that break the contract, each in one way, most of them known from libraries in use.

mod session;

use std::sync::Arc;

use async_trait::async_trait;
use incumbent_core::{
    Backend, Capabilities, Clock, ElectionName, EndpointStatus, Error, ErrorKind, Queue, QueueEvent, QueueWatch,
    Result, Revision, Session, SessionOptions,
};
use incumbent_memory::Memory;

use session::BrokenSession;

/// How the contract is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Break {
    /// Newcomers are listed first.
    LastComesFirst,
    /// A join that does not look for its own name: each try creates another entry.
    NewNameEachTry,
    /// A place from a cache: once seen, an entry stands for ever.
    CachedPlace,
    /// Whoever asks stands at the head.
    EverybodyIsHead,
    /// Waits only for what happens after the call.
    ForgetfulWatch,
    /// A waiter that looks only at the entry ahead: its own end is never told.
    BlindToItself,
    /// Removes by name alone.
    InexactRemove,
    /// Retires nothing.
    ForgottenRetirement,
    /// Closing stops the heartbeats and leaves the rest to the TTL.
    LazyClose,
    /// Puts the deadline off while the timer runs, answered or not.
    UnprovenDeadline,
    /// The deadline of its creation is the only one.
    SingleProof,
    /// The session's end is noticed, and nobody told.
    SilentEnd,
    /// A session that is over opens another one by itself and goes on.
    Undead,
    /// An election that nobody stands in is an error.
    NoSuchElection,
    /// Tells of those who left, each one twice.
    EchoingQueue,
    /// Finds elections of any prefix.
    DeafToPrefix,
    /// An election is whatever begins with its name.
    NestedNames,
    /// Swaps bad options for the defaults.
    SwappedOptions,
}

impl Break {
    /// Each way, with clauses that do not hold then.
    pub(crate) const ALL: &[(Self, &[&str])] = &[
        (Self::LastComesFirst, &["order", "list_in_order"]),
        (Self::NewNameEachTry, &["enqueue_is_idempotent"]),
        (Self::CachedPlace, &["place_is_verified"]),
        (Self::EverybodyIsHead, &["order", "ahead_only_shrinks"]),
        (Self::ForgetfulWatch, &["watch_misses_nothing"]),
        (Self::BlindToItself, &["watch_tells_own_end"]),
        (Self::InexactRemove, &["remove_is_exact"]),
        (Self::ForgottenRetirement, &["retire_is_for_good"]),
        (Self::LazyClose, &["entries_die_with_the_session"]),
        (Self::UnprovenDeadline, &["life_is_provable"]),
        (Self::SingleProof, &["warmth_keeps_life_proven"]),
        (Self::SilentEnd, &["end_is_told"]),
        (Self::Undead, &["a_gone_session_refuses"]),
        (Self::NoSuchElection, &["list_of_nothing_is_empty"]),
        (Self::EchoingQueue, &["watch_queue_misses_nothing"]),
        (Self::DeafToPrefix, &["elections_are_found"]),
        (Self::NestedNames, &["names_do_not_nest"]),
        (Self::SwappedOptions, &["ttl_too_short_is_refused"]),
    ];
}

/// A client that breaks the contract.
#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) inner: Memory,
    pub(crate) how: Break,
}

#[async_trait]
impl Backend for Broken {
    fn name(&self) -> &'static str {
        "broken"
    }

    fn clock(&self) -> &Clock {
        self.inner.clock()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn open_session(&self, options: &SessionOptions) -> Result<Arc<dyn Session>> {
        let opened = match self.inner.open_session(options).await {
            Err(_) if self.how == Break::SwappedOptions => {
                self.inner.open_session(&SessionOptions::new(std::time::Duration::from_secs(5))).await
            }
            opened => opened,
        };
        Ok(Arc::new(BrokenSession::new(opened?, self.inner.clone(), self.how)))
    }

    async fn list(&self, election: &ElectionName) -> Result<Queue> {
        let mut queue = self.inner.list(election).await?;
        match self.how {
            Break::LastComesFirst => queue.entries.reverse(),
            Break::NoSuchElection if queue.entries.is_empty() => {
                return Err(Error::new(ErrorKind::Refused, "list").on(election));
            }
            Break::NestedNames => {
                for nested in self.inner.elections(election.as_str()).await? {
                    if nested != election.as_str() {
                        queue.entries.extend(self.inner.list(&ElectionName::new(nested)?).await?.entries);
                    }
                }
            }
            _ => {}
        }
        Ok(queue)
    }

    fn watch(&self, election: &ElectionName, from: Revision) -> Box<dyn QueueWatch> {
        let inner = self.inner.watch(election, from);
        match self.how {
            Break::EchoingQueue => Box::new(Echo { inner, again: None }),
            _ => inner,
        }
    }

    async fn elections(&self, prefix: &str) -> Result<Vec<String>> {
        self.inner.elections(if self.how == Break::DeafToPrefix { "" } else { prefix }).await
    }

    async fn endpoints(&self) -> Vec<EndpointStatus> {
        self.inner.endpoints().await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

#[derive(Debug)]
struct Echo {
    inner: Box<dyn QueueWatch>,
    again: Option<QueueEvent>,
}

#[async_trait]
impl QueueWatch for Echo {
    async fn next(&mut self) -> QueueEvent {
        if let Some(event) = self.again.take() {
            return event;
        }
        let event = self.inner.next().await;
        self.again = matches!(event, QueueEvent::Left(_)).then(|| event.clone());
        event
    }
}
