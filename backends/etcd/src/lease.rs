use std::{
    fmt,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use etcd_client::{LeaseGrantOptions, ResponseHeader};
use incumbent_core::{Clock, Demand, Error, ErrorKind, Moment, Result, Revision, SessionId, SessionOptions};
use tokio::sync::{mpsc, watch};

use crate::{
    error::lease_exists,
    hub::Hub,
    janitor::{self, Retirement},
    lifeline::Lifeline,
    members::{Access, Members},
    queue,
};

/// What a lease is granted and kept on.
pub(crate) struct Site {
    pub(crate) clock: Clock,
    pub(crate) members: Arc<Members>,
    pub(crate) hub: Hub,
    pub(crate) closed: Arc<watch::Sender<bool>>,
}

/// A granted lease: what a session and its tasks share.
pub(crate) struct Lease {
    pub(crate) id: i64,
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
    /// Of the entry that joined last: what the confirming read reads.
    own_key: Mutex<Option<String>>,
    /// Whether somebody has taken it on to revoke it.
    revoking: AtomicBool,
    janitor: OnceLock<mpsc::UnboundedSender<Retirement>>,
}

impl Lease {
    /// A lease of an id of our choice, so that a grant whose answer was lost is recognised.
    pub(crate) async fn grant(site: Site, options: &SessionOptions) -> Result<Self> {
        const OPERATION: &str = "open a session";
        let id = fastrand::i64(1..=i64::MAX);
        let asked = i64::try_from(options.ttl.as_millis().div_ceil(1000)).unwrap_or(i64::MAX).max(1);
        let bound = options.request_timeout();
        // The earliest moment at which it may have begun.
        let opened = site.clock.now();
        let granted = site.members.call(OPERATION, Access::Read, bound, |mut stubs| async move {
            match stubs.lease.grant(asked, Some(LeaseGrantOptions::new().with_id(id))).await {
                Ok(granted) => Ok((granted.ttl(), granted.header().map(ResponseHeader::cluster_id))),
                // By an attempt whose answer we never saw: the id is one of 2^63.
                Err(error) if lease_exists(&error) => {
                    // A member that has not applied the grant yet knows of none.
                    let standing = stubs.lease.time_to_live(id, None).await?;
                    Ok((standing.granted_ttl(), standing.header().map(ResponseHeader::cluster_id)))
                }
                Err(error) => Err(error),
            }
        });
        let (seconds, cluster) = granted.await?;
        // A member that was not heard when the others were. Without a lease there, no entry can stand there either.
        site.members.check_cluster(cluster, "the member that granted the session")?;
        let ttl = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
        let lease = Self {
            id,
            ttl,
            interval: options.heartbeat(ttl),
            margin: options.margin(ttl),
            bound,
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
        };
        if ttl.is_zero() {
            let why = format!("the ensemble granted a TTL of {seconds} s");
            return Err(Error::new(ErrorKind::Unavailable, OPERATION).because(why));
        }
        if let Err(refused) = options.check(ttl, Duration::ZERO) {
            // Unrevoked it expires unused.
            let _ = lease.revoke().await;
            return Err(refused);
        }
        Ok(lease)
    }

    pub(crate) fn session(&self) -> SessionId {
        SessionId::new(self.id.cast_unsigned())
    }

    /// Why it ended or is suspended.
    pub(crate) fn error(&self, kind: ErrorKind, why: impl fmt::Display) -> Error {
        Error::new(kind, "keep session").on(self.session()).because(why)
    }

    /// Waits until the backend is closed.
    pub(crate) async fn closed(&self) {
        // The sender lives in self: the wait cannot fail.
        let _ = self.backend_closed.subscribe().wait_for(|closed| *closed).await;
    }

    pub(crate) fn own_key(&self) -> Option<String> {
        self.own_key.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn remember(&self, key: &str) {
        *self.own_key.lock().unwrap_or_else(PoisonError::into_inner) = Some(key.to_owned());
    }

    /// An error that tells of its end ends it here too.
    pub(crate) fn learn(&self, error: Error) -> Error {
        if error.kind() == ErrorKind::SessionGone {
            self.life.end(self.error(ErrorKind::SessionGone, "its lease expired or was revoked"));
        }
        error
    }

    /// Whether the caller is the first who wants to revoke it.
    pub(crate) fn claim_revocation(&self) -> bool {
        !self.revoking.swap(true, Ordering::AcqRel)
    }

    /// Revokes it; that it is not there is no error.
    pub(crate) async fn revoke(&self) -> Result<()> {
        let id = self.id;
        let revoked = self.members.call("close session", Access::Repeatable, self.bound, |mut stubs| async move {
            stubs.lease.revoke(id).await
        });
        match revoked.await {
            Err(error) if error.kind() != ErrorKind::SessionGone => Err(error.on(self.session())),
            _ => Ok(()),
        }
    }

    /// Deletes the entry of this key, if it lives with this lease; says at which revision it is gone.
    pub(crate) async fn sweep(&self, key: &str) -> Result<Revision> {
        let id = self.id;
        let swept = self.members.call("remove the entry", Access::Repeatable, self.bound, |mut stubs| async move {
            stubs.kv.txn(queue::retire(key, id)).await
        });
        queue::revision(swept.await.map_err(|error| error.on(key))?.header())
    }

    /// The task that removes retired entries; there is one as soon as somebody asks.
    pub(crate) fn janitor(self: &Arc<Self>) -> &mpsc::UnboundedSender<Retirement> {
        self.janitor.get_or_init(|| {
            let (janitor, retirements) = mpsc::unbounded_channel();
            tokio::spawn(janitor::run(Arc::clone(self), retirements));
            janitor
        })
    }
}
