use std::{
    fmt,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use etcd_client::LeaseGrantOptions;
use incumbent_core::{
    Clock, Demand, ElectionName, EntryKey, Error, ErrorKind, Guid, Life, Moment, Place, PlaceWatch, Profile, Result,
    Revision, Session, SessionId, SessionOptions,
};
use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    error::lease_exists,
    heartbeat,
    hub::Hub,
    janitor::{self, Retirement},
    layout::{self, Row},
    lifeline::Lifeline,
    members::{Access, Members},
    queue::{self, Enqueued},
    watch::EtcdPlaceWatch,
};

/// A lease, and the tasks that keep it.
///
/// Dropped without [`close`](Session::close), its heartbeat task revokes the lease if the ensemble can be reached; else
/// the entries go with the TTL.
pub(crate) struct EtcdSession {
    core: Arc<Core>,
}

/// What a session and its tasks share.
pub(crate) struct Core {
    pub(crate) lease: i64,
    pub(crate) ttl: Duration,
    pub(crate) interval: Duration,
    pub(crate) margin: Duration,
    /// Of one request.
    pub(crate) bound: Duration,
    /// The send instant of the grant.
    pub(crate) opened: Moment,
    pub(crate) clock: Clock,
    pub(crate) members: Arc<Members>,
    pub(crate) hub: Hub,
    pub(crate) life: Lifeline,
    pub(crate) demand: Demand,
    backend_closed: Arc<watch::Sender<bool>>,
    /// Of the entry enqueued last: what the confirming read reads.
    own_key: Mutex<Option<String>>,
    /// Whether somebody has taken it on to revoke the lease.
    revoking: AtomicBool,
    janitor: OnceLock<mpsc::UnboundedSender<Retirement>>,
}

/// What a session is opened on.
pub(crate) struct Site {
    pub(crate) clock: Clock,
    pub(crate) members: Arc<Members>,
    pub(crate) hub: Hub,
    pub(crate) closed: Arc<watch::Sender<bool>>,
}

impl EtcdSession {
    pub(crate) async fn open(site: Site, options: &SessionOptions) -> Result<Self> {
        let Grant { lease, ttl, opened } = grant(&site, options).await?;
        let core = Arc::new(Core {
            lease,
            ttl,
            interval: options.heartbeat(ttl),
            margin: options.margin(ttl),
            bound: options.request_timeout(),
            opened,
            life: Lifeline::new(site.clock.clone(), opened + ttl - options.margin(ttl)),
            clock: site.clock,
            members: site.members,
            hub: site.hub,
            demand: Demand::new(),
            backend_closed: site.closed,
            own_key: Mutex::default(),
            revoking: AtomicBool::new(false),
            janitor: OnceLock::new(),
        });
        if let Err(refused) = options.check(ttl, Duration::ZERO) {
            // Unrevoked it expires unused.
            let _ = core.revoke().await;
            return Err(refused);
        }
        tracing::debug!(session = %core.id(), ?ttl, "a session is open");
        tokio::spawn(heartbeat::run(Arc::clone(&core)));
        Ok(Self { core })
    }
}

struct Grant {
    lease: i64,
    ttl: Duration,
    opened: Moment,
}

/// A lease of an id of our choice, so that a grant whose answer was lost is recognised.
async fn grant(site: &Site, options: &SessionOptions) -> Result<Grant> {
    const OPERATION: &str = "open a session";
    let lease = fastrand::i64(1..=i64::MAX);
    let asked = i64::try_from(options.ttl.as_millis().div_ceil(1000)).unwrap_or(i64::MAX).max(1);
    let bound = options.request_timeout();
    // The earliest moment at which the lease may have begun.
    let opened = site.clock.now();
    let granted = site.members.call(OPERATION, Access::Read, bound, |mut stubs| async move {
        match stubs.lease.grant(asked, Some(LeaseGrantOptions::new().with_id(lease))).await {
            Ok(granted) => Ok(granted.ttl()),
            // By an attempt whose answer we never saw: the id is one of 2^63.
            Err(error) if lease_exists(&error) => {
                stubs.lease.time_to_live(lease, None).await.map(|standing| standing.granted_ttl())
            }
            Err(error) => Err(error),
        }
    });
    let seconds = granted.await?;
    let ttl = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    if ttl.is_zero() {
        return Err(
            Error::new(ErrorKind::Unexpected, OPERATION).because(format!("the ensemble granted a TTL of {seconds} s"))
        );
    }
    Ok(Grant { lease, ttl, opened })
}

impl Core {
    pub(crate) fn id(&self) -> SessionId {
        SessionId::new(self.lease.cast_unsigned())
    }

    /// Why it ended or is suspended.
    pub(crate) fn error(&self, kind: ErrorKind, why: impl fmt::Display) -> Error {
        Error::new(kind, "keep session").on(self.id()).because(why)
    }

    pub(crate) async fn closed(&self) {
        // The sender lives in self: the wait cannot fail.
        let _ = self.backend_closed.subscribe().wait_for(|closed| *closed).await;
    }

    pub(crate) fn own_key(&self) -> Option<String> {
        self.own_key.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn remember(&self, key: &str) {
        *self.own_key.lock().unwrap_or_else(PoisonError::into_inner) = Some(key.to_owned());
    }

    /// Whether the caller is the first who wants to revoke the lease.
    pub(crate) fn claim_revocation(&self) -> bool {
        !self.revoking.swap(true, Ordering::AcqRel)
    }

    /// Revokes the lease; a lease that is not there is no error.
    pub(crate) async fn revoke(&self) -> Result<()> {
        let lease = self.lease;
        let revoked = self.members.call("close a session", Access::Repeatable, self.bound, |mut stubs| async move {
            stubs.lease.revoke(lease).await
        });
        match revoked.await {
            Err(error) if error.kind() != ErrorKind::SessionGone => Err(error.on(self.id())),
            _ => Ok(()),
        }
    }

    /// Deletes the entry of this key, if it is of this session; says at which revision it is gone.
    pub(crate) async fn sweep(&self, key: &str) -> Result<Revision> {
        let lease = self.lease;
        let swept = self.members.call("remove the entry", Access::Repeatable, self.bound, |mut stubs| async move {
            stubs.kv.txn(queue::retire(key, lease)).await
        });
        queue::revision(swept.await.map_err(|error| error.on(key))?.header())
    }

    /// An error that tells of the session's end ends it here too.
    fn learn(&self, error: Error) -> Error {
        if error.kind() == ErrorKind::SessionGone {
            self.life.end(self.error(ErrorKind::SessionGone, "its lease expired or was revoked"));
        }
        error
    }

    async fn read_place(&self, election: &ElectionName, own: &EntryKey) -> Result<Option<Place>> {
        let prefix = &layout::prefix(election);
        let read = self.members.call("find the place in", Access::Read, self.bound, |mut stubs| async move {
            stubs.kv.get(prefix.as_str(), Some(queue::before(own.token))).await
        });
        let answer = read.await.map_err(|error| error.on(election))?;
        let rows: Vec<Row<'_>> = answer.kvs().iter().map(Row::from).collect();
        let stands = rows.first().is_some_and(|row| {
            row.token() == own.token && row.lease == self.lease && row.name(prefix) == Some(&own.name)
        });
        if !stands {
            return Ok(None);
        }
        queue::place(election, &rows, queue::revision(answer.header())?).map(Some)
    }

    async fn remove(&self, key: &str, own: &EntryKey) -> Result<()> {
        let mut rounds = 0;
        loop {
            let removed =
                self.members.call("remove the entry", Access::Repeatable, self.bound, |mut stubs| async move {
                    stubs.kv.txn(queue::remove(key, own.token)).await
                });
            rounds += 1;
            match removed.await {
                Ok(_) => return Ok(()),
                Err(error) if error.is_retryable() && rounds < REMOVAL_ROUNDS => {}
                Err(error) => return Err(error.on(key)),
            }
        }
    }

    /// Takes back an entry that must not stand; the error to return then.
    async fn withdraw(&self, key: &str, own: &EntryKey, refused: Error) -> Error {
        match self.remove(key, own).await {
            Ok(()) => refused,
            Err(error) => Error::new(ErrorKind::OutcomeUnknown, "join")
                .on(key)
                .because(format!("{refused}; and the entry put there could not be removed: {error}"))
                .caused_by(error),
        }
    }
}

/// Over all members.
const REMOVAL_ROUNDS: u32 = 2;

#[async_trait]
impl Session for EtcdSession {
    fn id(&self) -> SessionId {
        self.core.id()
    }

    fn ttl(&self) -> Duration {
        self.core.ttl
    }

    fn life(&self) -> watch::Receiver<Life> {
        self.core.life.subscribe()
    }

    fn demand(&self) -> &Demand {
        &self.core.demand
    }

    async fn enqueue(&self, election: &ElectionName, guid: Guid, profile: &Profile) -> Result<(EntryKey, Place)> {
        let core = &self.core;
        core.life.check("join")?;
        let name: Arc<str> = layout::name(core.lease, guid).into();
        let key = &layout::key(election, &name);
        let put = core.members.call("join", Access::Once, core.bound, |mut stubs| async move {
            stubs.kv.txn(queue::enqueue(election, key, profile.encode(), core.lease)).await
        });
        let answer = put.await.map_err(|error| core.learn(error.on(election)))?;
        match queue::enqueued(election, key, core.lease, &answer)? {
            Enqueued::New(token, place) => {
                core.remember(key);
                Ok((EntryKey::new(name, token), place))
            }
            Enqueued::Standing(token) => {
                core.remember(key);
                let own = EntryKey::new(name, token);
                match core.read_place(election, &own).await {
                    Ok(Some(place)) => Ok((own, place)),
                    Ok(None) => Err(Error::new(ErrorKind::Unavailable, "join")
                        .on(election)
                        .because("somebody removed the entry while it was looked for; join under another name")),
                    Err(refused) if refused.kind() == ErrorKind::Refused => {
                        Err(core.withdraw(key, &own, refused).await)
                    }
                    Err(unread) => Err(Error::new(ErrorKind::OutcomeUnknown, "join")
                        .on(election)
                        .because(format!("the entry stands, but: {unread}"))
                        .caused_by(unread)),
                }
            }
            Enqueued::Nested(token, deeper) => {
                let refused = queue::nested(election, &deeper);
                Err(core.withdraw(key, &EntryKey::new(name, token), refused).await)
            }
            Enqueued::Taken => Err(Error::new(ErrorKind::Refused, "join")
                .on(election)
                .because(format!("the key {key:?} lives with another lease; join under another name"))),
        }
    }

    async fn place(&self, election: &ElectionName, own: &EntryKey) -> Result<Option<Place>> {
        self.core.life.check("find the place in")?;
        self.core.read_place(election, own).await
    }

    fn watch(&self, election: &ElectionName, own: &EntryKey, place: &Place) -> Box<dyn PlaceWatch> {
        Box::new(EtcdPlaceWatch::new(&self.core.hub, election, own, place))
    }

    async fn remove(&self, election: &ElectionName, own: &EntryKey) -> Result<()> {
        self.core.life.check("remove the entry")?;
        self.core.remove(&layout::key(election, &own.name), own).await
    }

    async fn retire(&self, election: &ElectionName, guid: Guid) -> Result<()> {
        self.core.life.check("remove the entry")?;
        let janitor = self.core.janitor.get_or_init(|| {
            let (janitor, retirements) = mpsc::unbounded_channel();
            tokio::spawn(janitor::run(Arc::clone(&self.core), retirements));
            janitor
        });
        let key = layout::key(election, &layout::name(self.core.lease, guid));
        let (gone, answer) = oneshot::channel();
        // Both fail only when the session has ended meanwhile.
        let _ = janitor.send(Retirement { key, gone });
        match answer.await {
            Ok(result) => result,
            Err(_) => self.core.life.check("remove the entry").and_then(|()| {
                Err(self.core.error(ErrorKind::Unexpected, "the task that removes entries stopped; this is a bug"))
            }),
        }
    }

    async fn close(&self) -> Result<()> {
        self.core.claim_revocation();
        self.core.life.end(self.core.error(ErrorKind::Closed, "it was closed"));
        self.core.revoke().await
    }
}

impl Drop for EtcdSession {
    fn drop(&mut self) {
        // Its heartbeat then revokes the lease.
        self.core.life.end(self.core.error(ErrorKind::Closed, "its last handle was dropped"));
    }
}

impl fmt::Debug for EtcdSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdSession")
            .field("id", &self.core.id())
            .field("ttl", &self.core.ttl)
            .field("life", &self.core.life)
            .finish_non_exhaustive()
    }
}
