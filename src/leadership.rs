use std::{fmt, sync::Arc, time::Duration};

use incumbent_core::{Clock, Deadline, ElectionName, Error, ErrorKind, Moment, Result, Token};
use tokio::sync::{oneshot, watch};

/// Why a leadership ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum LossReason {
    /// The session's life could not be proven anew before the deadline.
    DeadlinePassed,
    /// Somebody removed the candidate's entry.
    EntryRemoved,
    /// The session is over: it expired, was revoked, or lost its task.
    SessionEnded(Error),
    /// The holder resigned or dropped the guard.
    Resigned,
    /// The ensemble was closed on this side.
    Closed,
}

impl fmt::Display for LossReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DeadlinePassed => f.write_str("its deadline passed without a new proof of the session's life"),
            Self::EntryRemoved => f.write_str("its entry was removed"),
            Self::SessionEnded(error) => write!(f, "its session ended: {error}"),
            Self::Resigned => f.write_str("it was resigned"),
            Self::Closed => f.write_str("the ensemble was closed"),
        }
    }
}

/// The guard of a leadership: whoever holds it leads while [`is_valid`](LeadershipView::is_valid).
///
/// **Dropping it** ends its validity at once and hands the removal of the entry to a background task: the next candidate
/// leads within a round trip while runtime and store live, else when the session's TTL has run out. To wait for that, call
/// [`resign`](Self::resign). Stop the work *before* either.
///
/// ```
/// # use std::time::Duration;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> incumbent::Result<()> {
/// # let ensemble = incumbent::connect("memory://").await?;
/// let leadership = ensemble.election("billing/nightly-report")?.candidate().campaign().await?;
/// // A step of the work that may take up to 3 s.
/// if leadership.remaining() > Duration::from_secs(3) {
///     println!("written under token {}", leadership.token());
/// }
/// let view = leadership.view();
/// leadership.resign().await?;
/// assert!(!view.is_valid());
/// # Ok(())
/// # }
/// ```
pub struct Leadership {
    view: LeadershipView,
    /// Dropping it tells the driver to remove the entry.
    release: Option<oneshot::Sender<ResignReply>>,
}

/// Where the driver answers a resignation.
pub(crate) type ResignReply = oneshot::Sender<Result<()>>;

impl Leadership {
    pub(crate) fn new(term: Arc<Term>) -> (Self, oneshot::Receiver<ResignReply>) {
        let (release, released) = oneshot::channel();
        (Self { view: LeadershipView(term), release: Some(release) }, released)
    }

    /// Steps down: ends validity at once and removes the entry, so that the next in line leads. One round trip.
    ///
    /// # Errors
    /// The ensemble refuses the removal for good; it goes on being tried in the background and ends with the session's
    /// TTL at the latest. An ensemble that does not answer is no error: this waits until the entry or its session is
    /// known to be gone.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the removal to the background task.
    pub async fn resign(mut self) -> Result<()> {
        self.view.0.end(LossReason::Resigned);
        let (reply, answer) = oneshot::channel();
        match self.release.take().map(|release| release.send(reply)) {
            Some(Ok(())) => answer.await.unwrap_or_else(|_| {
                Err(Error::new(ErrorKind::OutcomeUnknown, "resign")
                    .on(&self.view.0.election)
                    .because("the task behind it ended; the entry goes with its session at the latest"))
            }),
            // The driver is gone: leadership was lost before, and nothing is left to remove.
            _ => Ok(()),
        }
    }

    /// A view to share with the job: cheap to clone, without the power to resign.
    #[must_use]
    pub fn view(&self) -> LeadershipView {
        self.view.clone()
    }
}

impl std::ops::Deref for Leadership {
    type Target = LeadershipView;

    fn deref(&self) -> &LeadershipView {
        &self.view
    }
}

impl Drop for Leadership {
    fn drop(&mut self) {
        self.view.0.end(LossReason::Resigned);
    }
}

impl fmt::Debug for Leadership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Leadership").field(&self.view.0).finish()
    }
}

/// What a job knows of the leadership that it runs under. Cheap to clone; fits a web service's shared state.
#[derive(Clone)]
pub struct LeadershipView(Arc<Term>);

impl LeadershipView {
    /// The fencing token; hand it to every resource that can check it.
    #[must_use]
    pub fn token(&self) -> Token {
        self.0.token
    }

    /// The election's name, with its namespace.
    #[must_use]
    pub fn election(&self) -> &ElectionName {
        &self.0.election
    }

    /// Whether this leadership is valid now: a comparison with the clock, without I/O or lock. `false` is final.
    ///
    /// `true` is no licence for what takes longer than [`remaining`](Self::remaining).
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.0.is_valid()
    }

    /// How long it is valid without a further proof; zero once it is not.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        let now = self.0.clock.now();
        if self.0.holds(now) { self.0.until().since(now) } else { Duration::ZERO }
    }

    /// Until when it is valid without a further proof, on the backend's clock; [`Moment::ORIGIN`] once it is not.
    #[must_use]
    pub fn valid_until(&self) -> Moment {
        if self.is_valid() { self.0.until() } else { Moment::ORIGIN }
    }

    /// Whether the job should come to an end: asked to, or no more than `stop_within` remains. `true` is final: a job that
    /// has begun to stop is not told to go on when contact returns.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        if self.0.standing.borrow().ends() {
            return true;
        }
        let near = self.remaining() <= self.0.stop_within;
        if near {
            self.0.ask_to_stop();
        }
        near
    }

    /// Whether contact with the ensemble is lost for the moment; the job may go on.
    #[must_use]
    pub fn is_suspended(&self) -> bool {
        self.0.standing.borrow().suspended
    }

    /// Waits until the job should come to an end.
    ///
    /// # Cancel safety
    /// Dropping the future ends the wait and nothing else.
    pub async fn stopping(&self) {
        let mut standing = self.0.standing.subscribe();
        while !self.is_stopping() {
            let begin = self.0.until() - self.0.stop_within;
            tokio::select! {
                () = self.0.clock.sleep_until(begin) => {}
                _ = standing.wait_for(Standing::ends) => {}
            }
        }
    }

    /// Waits until this leadership is over, and says why.
    ///
    /// # Cancel safety
    /// Dropping the future ends the wait and nothing else.
    pub async fn lost(&self) -> LossReason {
        let mut standing = self.0.standing.subscribe();
        while self.is_valid() {
            tokio::select! {
                () = self.0.clock.sleep_until(self.0.until()) => {}
                _ = standing.wait_for(Standing::is_lost) => {}
            }
        }
        // Validity ends before the reason is told. A driver that stalls says nothing: then the deadline has passed.
        let told = tokio::time::timeout(TELLING, standing.wait_for(Standing::is_lost)).await;
        match told {
            Ok(Ok(standing)) => standing.lost.clone().unwrap_or(LossReason::DeadlinePassed),
            _ => LossReason::DeadlinePassed,
        }
    }

    pub(crate) fn ask_to_stop(&self) {
        self.0.ask_to_stop();
    }

    pub(crate) fn stop_within(&self) -> Duration {
        self.0.stop_within
    }
}

impl fmt::Debug for LeadershipView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LeadershipView").field(&self.0).finish()
    }
}

/// What guard, views and driver share.
pub(crate) struct Term {
    pub(crate) election: ElectionName,
    pub(crate) token: Token,
    pub(crate) clock: Clock,
    /// Until when the session is proven to live; shared by all that lead on it.
    pub(crate) session: Arc<Deadline>,
    /// Ended when this leadership ends before its session.
    own: Deadline,
    stop_within: Duration,
    standing: watch::Sender<Standing>,
}

/// What has been told of a leadership.
#[derive(Debug, Default)]
struct Standing {
    suspended: bool,
    stop_asked: bool,
    lost: Option<LossReason>,
}

impl Standing {
    fn ends(&self) -> bool {
        self.stop_asked || self.is_lost()
    }

    fn is_lost(&self) -> bool {
        self.lost.is_some()
    }
}

/// How long after the end of validity its reason may come.
const TELLING: Duration = Duration::from_millis(5);

impl Term {
    pub(crate) fn new(
        election: ElectionName,
        token: Token,
        clock: Clock,
        session: Arc<Deadline>,
        stop_within: Duration,
    ) -> Self {
        let own = Deadline::new(Moment::NEVER);
        let standing = watch::Sender::new(Standing::default());
        Self { election, token, clock, session, own, stop_within, standing }
    }

    pub(crate) fn is_valid(&self) -> bool {
        self.holds(self.clock.now())
    }

    fn holds(&self, now: Moment) -> bool {
        self.own.holds(now) && self.session.holds(now)
    }

    pub(crate) fn until(&self) -> Moment {
        self.session.until().min(self.own.until())
    }

    /// Ends validity, then tells. The first reason stays; says whether this is it.
    pub(crate) fn end(&self, reason: LossReason) -> bool {
        self.own.end();
        self.standing.send_if_modified(|standing| {
            let first = !standing.is_lost();
            if first {
                standing.lost = Some(reason);
            }
            first
        })
    }

    /// Whether the holder let go of it before it was lost.
    pub(crate) fn is_resigned(&self) -> bool {
        matches!(self.standing.borrow().lost, Some(LossReason::Resigned))
    }

    pub(crate) fn ask_to_stop(&self) {
        self.standing.send_if_modified(|standing| !std::mem::replace(&mut standing.stop_asked, true));
    }

    pub(crate) fn contact(&self, suspended: bool) {
        self.standing.send_if_modified(|standing| std::mem::replace(&mut standing.suspended, suspended) != suspended);
    }
}

impl fmt::Debug for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Term")
            .field("election", &self.election)
            .field("token", &self.token)
            .field("standing", &*self.standing.borrow())
            .finish_non_exhaustive()
    }
}
