use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;

use crate::{Clock, ElectionName, Entry, EntryKey, Result, Revision, Session, SessionOptions};

/// A kind of ensemble: opens sessions, and shows queues to those who only look.
///
/// # Contract
/// Each clause has a case of the same name in the `conformance` suite; those of sessions stand at [`Session`].
///
/// - `list_in_order`: [`list`](Self::list) gives the entries in order of succession, with profile, token and session.
/// - `list_of_nothing_is_empty`: an election nobody ever joined has an empty queue.
/// - `watch_queue_misses_nothing`: a [`QueueWatch`] from the revision of a listing tells everybody who joined or left
///   since, once and in order, or that it is broken.
/// - `elections_are_found`: [`elections`](Self::elections) names every election with at least one entry under a prefix.
/// - `names_do_not_nest`: `a` does not see the entries of `ab`; joining `a` while entries of `a/b` stand is refused with
///   their names, or else they do not disturb each other.
/// - `ttl_too_short_is_refused`: a session whose granted TTL leaves no validity is refused with
///   [`InvalidInput`](crate::ErrorKind::InvalidInput) and the numbers.
#[async_trait]
pub trait Backend: Send + Sync + fmt::Debug {
    /// The backend's name, such as `etcd`.
    fn name(&self) -> &'static str;

    /// The clock of all its deadlines.
    fn clock(&self) -> &Clock;

    /// What it can do and needs.
    fn capabilities(&self) -> Capabilities;

    /// Opens a session; the tasks that keep it run on the runtime that this is called on.
    async fn open_session(&self, options: &SessionOptions) -> Result<Arc<dyn Session>>;

    /// The queue of an election, read at the quorum.
    async fn list(&self, election: &ElectionName) -> Result<Queue>;

    /// Watches a queue from a listing's revision on.
    fn watch(&self, election: &ElectionName, from: Revision) -> Box<dyn QueueWatch>;

    /// The full names of the elections with at least one entry whose full name begins with `prefix`.
    async fn elections(&self, prefix: &str) -> Result<Vec<String>>;

    /// Asks every endpoint how it is. Bounded; an endpoint that does not answer says so in its status.
    async fn endpoints(&self) -> Vec<EndpointStatus>;

    /// Closes connections and ends tasks; sessions are closed one by one before.
    async fn close(&self);
}

/// What a backend can do and needs, as data.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// Where its tasks may run.
    pub hosting: Hosting,
    /// How many bytes of entry names one session may hold before another session is opened; `None`: no limit.
    pub entry_bytes: Option<usize>,
    /// How many bytes of watched names one session may hold before another session is opened; `None`: no limit.
    pub watched_bytes: Option<usize>,
}

impl Capabilities {
    /// No limits.
    #[must_use]
    pub const fn new(hosting: Hosting) -> Self {
        Self { hosting, entry_bytes: None, watched_bytes: None }
    }
}

/// Where a backend's tasks run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hosting {
    /// On a thread of their own by default, where a blocking job cannot starve them.
    OwnThread,
    /// On the caller's runtime, because the backend's time is that runtime's.
    Caller,
}

/// An election's queue at one revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    /// The entries in order of succession; the first one leads.
    pub entries: Vec<Entry>,
    /// The point in history of this listing.
    pub revision: Revision,
}

/// Follows an election's queue.
#[async_trait]
pub trait QueueWatch: Send + fmt::Debug {
    /// The next change.
    ///
    /// # Cancel safety
    /// Dropping the future loses no event.
    async fn next(&mut self) -> QueueEvent;
}

/// What a [`QueueWatch`] tells.
#[derive(Clone, Debug)]
pub enum QueueEvent {
    /// An entry was added at the end.
    Joined(Entry),
    /// An entry's profile was rewritten by its owner.
    Updated(Entry),
    /// The entry of this name went.
    Left(Arc<str>),
    /// Contact is lost; the watch goes on by itself when it is back.
    Suspended(crate::Error),
    /// Contact is back, and nothing was missed.
    Resumed,
    /// The watch is over, and something may have been missed: list and watch anew.
    Broken,
}

/// How one endpoint is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndpointStatus {
    /// Its address, without credentials.
    pub endpoint: String,
    /// How long its answer took, and what it said; or why there is none.
    pub answer: std::result::Result<(Duration, Member), String>,
}

/// What a member says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Member {
    /// The server's version.
    pub version: String,
    /// Whether it leads the ensemble.
    pub leads: bool,
}

impl Member {
    /// What a member answered.
    #[must_use]
    pub fn new(version: impl Into<String>, leads: bool) -> Self {
        Self { version: version.into(), leads }
    }
}

impl EndpointStatus {
    /// The status of one endpoint.
    #[must_use]
    pub fn new(endpoint: impl Into<String>, answer: std::result::Result<(Duration, Member), String>) -> Self {
        Self { endpoint: endpoint.into(), answer }
    }
}

impl EntryKey {
    /// The entry of this name and token.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>, token: crate::Token) -> Self {
        Self { name: name.into(), token }
    }
}
