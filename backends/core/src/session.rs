use std::{fmt, time::Duration};

use async_trait::async_trait;
use tokio::sync::watch;

use crate::{Demand, ElectionName, EntryKey, Guid, Life, Place, Profile, Result, SessionId};

/// A session with the ensemble: what entries live and die with.
///
/// # Contract
/// Each clause has a case of the same name in the `conformance` suite.
///
/// - `order`: entries of one election are ordered by their creation in the ensemble, and tokens strictly grow along it.
/// - `enqueue_is_idempotent`: enqueueing a [`Guid`] that already stands in that election under this session gives the
///   same [`EntryKey`] again and creates nothing.
/// - `place_is_verified`: [`place`](Self::place) is answered at the quorum; `None` means that the entry of that exact
///   name, token and session is not there.
/// - `ahead_only_shrinks`: what stands before an entry was created before it; nobody ever enters before it.
/// - `watch_misses_nothing`: a [`PlaceWatch`] tells of everything that happened after the revision of the place it was
///   made from, also if it happened before the call.
/// - `watch_tells_own_end`: it tells if the own entry is gone, whoever removed it, also after it has told that the one
///   ahead is gone.
/// - `remove_is_exact`: [`remove`](Self::remove) removes the entry of that exact token and no later one of its name;
///   removing what is gone is no error, unless the session is gone too.
/// - `retire_is_for_good`: after [`retire`](Self::retire) the entry of that guid is gone; if a write that was under way
///   creates it later, it is removed on sight until the session ends.
/// - `entries_die_with_the_session`: after the session's end its entries go, and watches of others tell it; when
///   [`close`](Self::close) returns `Ok` they are gone.
/// - `life_is_provable`: the deadline of [`Life::Alive`] never lies after the moment at which the ensemble may end the
///   session: it derives from the send instants of operations that prove life at the quorum. The first one is the send
///   instant of the session's own creation, so that a fresh session is proven at once.
/// - `warmth_keeps_life_proven`: while [`demand`](Self::demand) is held and the ensemble answers, the deadline keeps
///   holding.
/// - `end_is_told`: an expired or closed session says [`Life::Ended`] with the reason.
/// - `a_gone_session_refuses`: operations on an ended session fail with
///   [`SessionGone`](crate::ErrorKind::SessionGone) or [`Closed`](crate::ErrorKind::Closed) and create nothing.
///
/// # Errors
/// A write that failed says whether it may have landed: [`OutcomeUnknown`](crate::ErrorKind::OutcomeUnknown) if so, any
/// other kind if it certainly has not and never will. Reads say [`Unavailable`](crate::ErrorKind::Unavailable). Every
/// call is bounded by a small multiple of the request timeout.
///
/// # Cancel safety
/// Dropping the future of a write leaves its outcome unknown. Reads may be dropped freely.
#[async_trait]
pub trait Session: Send + Sync + fmt::Debug {
    /// The session's id in the ensemble.
    fn id(&self) -> SessionId;

    /// The granted time to live.
    fn ttl(&self) -> Duration;

    /// What is known of its life: a cell to read and a signal of change.
    fn life(&self) -> watch::Receiver<Life>;

    /// The count of those who need its life proven.
    fn demand(&self) -> &Demand;

    /// Puts an entry at the end of the election's queue, under the caller's name. One round trip.
    async fn enqueue(&self, election: &ElectionName, guid: Guid, profile: &Profile) -> Result<(EntryKey, Place)>;

    /// Where the entry stands, read at the quorum; `None` if it is not there. One round trip, of constant size.
    async fn place(&self, election: &ElectionName, own: &EntryKey) -> Result<Option<Place>>;

    /// Watches the own entry and the one before it, from the revision of `place` on. Waits for nothing.
    fn watch(&self, election: &ElectionName, own: &EntryKey, place: &Place) -> Box<dyn PlaceWatch>;

    /// Removes the entry. `Ok` if it is known to be gone.
    async fn remove(&self, election: &ElectionName, own: &EntryKey) -> Result<()>;

    /// Removes the entry of this guid, now and whenever a write under way should still create it.
    async fn retire(&self, election: &ElectionName, guid: Guid) -> Result<()>;

    /// Ends the session and with it all its entries. `Ok` if it is known to be over.
    async fn close(&self) -> Result<()>;
}

/// Follows one place in a queue until it changes.
#[async_trait]
pub trait PlaceWatch: Send + fmt::Debug {
    /// The next thing that happened.
    ///
    /// # Cancel safety
    /// Dropping the future loses no event.
    async fn next(&mut self) -> PlaceEvent;
}

/// What a [`PlaceWatch`] tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlaceEvent {
    /// The own entry is gone, or its name belongs to a later entry.
    OwnGone,
    /// The entry right before is gone.
    AheadGone {
        /// Whether both watches stood on one connection, without a gap, since the place was read; only then does this
        /// event alone prove that the own entry still stands. A store that orders the events of one entry only may tell of
        /// an own entry that somebody deletes at the same moment right after.
        unbroken: bool,
    },
    /// The watch is lost, and something may have been missed: read the place and watch anew.
    Broken,
}
