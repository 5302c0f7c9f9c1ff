use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use incumbent_core::{
    Demand, ElectionName, EntryKey, Error, ErrorKind, Guid, Life, Place, PlaceWatch, Profile, Result, Session,
    SessionId, SessionOptions,
};
use tokio::sync::{oneshot, watch};

use crate::{
    heartbeat,
    janitor::Retirement,
    layout::{self, Row},
    lease::{Lease, Site},
    members::Access,
    queue::{self, Enqueued},
    watch::EtcdPlaceWatch,
};

/// A lease, and the tasks that keep it.
///
/// Dropped without [`close`](Session::close), its heartbeat task revokes the lease if the ensemble can be reached; else
/// the entries go with the TTL.
pub(crate) struct EtcdSession {
    lease: Arc<Lease>,
}

impl EtcdSession {
    pub(crate) async fn open(site: Site, options: &SessionOptions) -> Result<Self> {
        let lease = Arc::new(Lease::grant(site, options).await?);
        tracing::debug!(session = %lease.session(), ttl = ?lease.ttl, "a session is open");
        tokio::spawn(heartbeat::run(Arc::clone(&lease)));
        Ok(Self { lease })
    }

    async fn read_place(&self, election: &ElectionName, own: &EntryKey) -> Result<Option<Place>> {
        let lease = &self.lease;
        let prefix = &layout::prefix(election);
        let read = lease.members.call("find the place in", Access::Read, lease.bound, |mut stubs| async move {
            stubs.kv.get(prefix.as_str(), Some(queue::before(own.token))).await
        });
        let answer = read.await.map_err(|error| error.on(election))?;
        let rows: Vec<Row<'_>> = answer.kvs().iter().map(Row::from).collect();
        let stands = rows.first().is_some_and(|row| {
            row.token() == own.token && row.lease == lease.id && row.name(prefix) == Some(&own.name)
        });
        if !stands {
            return Ok(None);
        }
        queue::place(election, &rows, queue::revision(answer.header())?).map(Some)
    }

    async fn take_away(&self, key: &str, own: &EntryKey) -> Result<()> {
        let lease = &self.lease;
        let mut failure: Option<Error> = None;
        for _ in 0..REMOVAL_ROUNDS {
            let removed =
                lease.members.call("remove the entry", Access::Repeatable, lease.bound, |mut stubs| async move {
                    stubs.kv.txn(queue::remove(key, own.token)).await
                });
            match removed.await {
                Ok(_) => return Ok(()),
                // Once unknown it stays so, whatever the next round says.
                Err(error) if error.kind() == ErrorKind::OutcomeUnknown => failure = Some(error),
                Err(error) if error.kind() == ErrorKind::Unavailable => failure = failure.or(Some(error)),
                Err(error) => return Err(error.on(key)),
            }
        }
        failure.map_or(Ok(()), |error| Err(error.on(key)))
    }

    /// Takes back an entry that must not stand; the error to return then.
    async fn withdraw(&self, key: &str, own: &EntryKey, refused: Error) -> Error {
        match self.take_away(key, own).await {
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
        self.lease.session()
    }

    fn ttl(&self) -> Duration {
        self.lease.ttl
    }

    fn life(&self) -> watch::Receiver<Life> {
        self.lease.life.subscribe()
    }

    fn demand(&self) -> &Demand {
        &self.lease.demand
    }

    async fn enqueue(&self, election: &ElectionName, guid: Guid, profile: &Profile) -> Result<(EntryKey, Place)> {
        let lease = &self.lease;
        lease.life.check("join")?;
        let name: Arc<str> = layout::name(lease.id, guid).into();
        let key = &layout::key(election, &name);
        let put = lease.members.call("join", Access::Once, lease.bound, |mut stubs| async move {
            stubs.kv.txn(queue::enqueue(election, key, profile.encode(), lease.id)).await
        });
        let answer = put.await.map_err(|error| lease.learn(error.on(election)))?;
        let enqueued = queue::enqueued(election, key, lease.id, &answer)?;
        lease.remember(key);
        match enqueued {
            Enqueued::New(token, place) => Ok((EntryKey::new(name, token), place)),
            Enqueued::Standing(token) => {
                let own = EntryKey::new(name, token);
                match self.read_place(election, &own).await {
                    Ok(Some(place)) => Ok((own, place)),
                    Ok(None) => Err(Error::new(ErrorKind::Unavailable, "join")
                        .on(election)
                        .because("somebody removed the entry while it was looked for; join under another name")),
                    Err(error) if error.kind() == ErrorKind::Refused => Err(self.withdraw(key, &own, error).await),
                    Err(error) => Err(Error::new(ErrorKind::OutcomeUnknown, "join")
                        .on(election)
                        .because(format!("the entry stands, but: {error}"))
                        .caused_by(error)),
                }
            }
            Enqueued::Nested(token, deeper) => {
                let refused = queue::nested(election, &deeper);
                Err(self.withdraw(key, &EntryKey::new(name, token), refused).await)
            }
            Enqueued::Taken => Err(Error::new(ErrorKind::Refused, "join")
                .on(election)
                .because(format!("the key {key:?} lives with another lease; join under another name"))),
        }
    }

    async fn place(&self, election: &ElectionName, own: &EntryKey) -> Result<Option<Place>> {
        self.lease.life.check("find the place")?;
        self.read_place(election, own).await
    }

    fn watch(&self, election: &ElectionName, own: &EntryKey, place: &Place) -> Box<dyn PlaceWatch> {
        Box::new(EtcdPlaceWatch::new(&self.lease.hub, election, own, place))
    }

    async fn remove(&self, election: &ElectionName, own: &EntryKey) -> Result<()> {
        self.lease.life.check("remove the entry")?;
        self.take_away(&layout::key(election, &own.name), own).await
    }

    async fn retire(&self, election: &ElectionName, guid: Guid) -> Result<()> {
        self.lease.life.check("remove the entry")?;
        let key = layout::key(election, &layout::name(self.lease.id, guid));
        let (gone, answer) = oneshot::channel();
        // This and the answer fail only when the session has ended meanwhile.
        let _ = self.lease.janitor().send(Retirement { key, gone });
        match answer.await {
            Ok(result) => result,
            Err(_) => self.lease.life.check("remove the entry").and_then(|()| {
                Err(self.lease.error(ErrorKind::Unexpected, "the task that removes entries stopped; this is a bug"))
            }),
        }
    }

    async fn close(&self) -> Result<()> {
        self.lease.claim_revocation();
        self.lease.life.end(self.lease.error(ErrorKind::Closed, "it was closed"));
        self.lease.revoke().await
    }
}

impl Drop for EtcdSession {
    fn drop(&mut self) {
        // Its heartbeat then revokes the lease.
        self.lease.life.end(self.lease.error(ErrorKind::Closed, "its last handle was dropped"));
    }
}

impl fmt::Debug for EtcdSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdSession")
            .field("id", &self.lease.session())
            .field("ttl", &self.lease.ttl)
            .field("life", &self.lease.life)
            .finish_non_exhaustive()
    }
}
