use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use etcd_client::{Client, GetOptions, ResponseHeader};
use incumbent_core::{
    Backend, Capabilities, Clock, ElectionName, EndpointStatus, Error, ErrorKind, Hosting, Member, Queue, QueueWatch,
    Result, Revision, Session, SessionOptions,
};
use tokio::sync::watch;

use crate::{
    EtcdConfig,
    hub::Hub,
    layout::{self, Row},
    lease::Site,
    members::{Access, Members},
    queue,
    session::EtcdSession,
    survey::{status, survey},
    watch::EtcdQueueWatch,
};

/// An etcd cluster.
///
/// All of one `Etcd` shares a connection to one member at a time, with one watch stream; when the member fails a request,
/// the next is asked. Its connections live on the runtime that it is made on, its sessions' tasks on the runtime that they
/// are opened on.
#[derive(Debug)]
pub struct Etcd {
    members: Arc<Members>,
    hub: Hub,
    clock: Clock,
    request_timeout: Duration,
    /// Shared with the sessions: they go on when this is dropped, and end when it is closed.
    closed: Arc<watch::Sender<bool>>,
}

impl Etcd {
    /// Connects to a cluster: asks every member how it is, and is back when one has answered and the others have had a
    /// moment to. Warns of members whose version has [`known_holes`](crate::known_holes).
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for endpoints that are none, or that are not of one cluster;
    /// [`Unavailable`](ErrorKind::Unavailable), naming every endpoint and what it said, if none answers.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connections made.
    pub async fn connect(config: EtcdConfig) -> Result<Self> {
        let members = Members::new(&config).await?;
        Self::over(members, config.request_timeout).await
    }

    /// Uses a client that the service already has, without its default key prefix or the like.
    ///
    /// Which member is asked is that client's choice, and a member that fails cannot be left for another; prefer
    /// [`connect`](Self::connect). Give it `require_leader` and HTTP/2 keepalive, or a watch on an isolated member hangs.
    ///
    /// # Errors
    /// [`Unavailable`](ErrorKind::Unavailable) if nothing answers.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the client as it was.
    pub async fn from_client(client: Client) -> Result<Self> {
        Self::over(Members::from_client(client), DEFAULT_REQUEST_TIMEOUT).await
    }

    async fn over(members: Members, request_timeout: Duration) -> Result<Self> {
        let members = Arc::new(members);
        survey(&members, request_timeout).await?;
        let hub = Hub::start(Arc::clone(&members), request_timeout);
        Ok(Self { members, hub, clock: Clock::boot(), request_timeout, closed: Arc::new(watch::Sender::new(false)) })
    }
}

const DEFAULT_REQUEST_TIMEOUT: Duration = Duration::from_secs(2);

#[async_trait]
impl Backend for Etcd {
    fn name(&self) -> &'static str {
        "etcd"
    }

    fn clock(&self) -> &Clock {
        &self.clock
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(Hosting::OwnThread)
    }

    async fn open_session(&self, options: &SessionOptions) -> Result<Arc<dyn Session>> {
        self.check("open a session")?;
        let site = Site {
            clock: self.clock.clone(),
            members: Arc::clone(&self.members),
            hub: self.hub.clone(),
            closed: Arc::clone(&self.closed),
        };
        Ok(Arc::new(EtcdSession::open(site, options).await?))
    }

    async fn list(&self, election: &ElectionName) -> Result<Queue> {
        self.check("list")?;
        let prefix = &layout::prefix(election);
        let read = self.members.call("list", Access::Read, self.request_timeout, |mut stubs| async move {
            stubs.kv.get(prefix.as_str(), Some(queue::all())).await
        });
        let answer = read.await.map_err(|error| error.on(election))?;
        let entries = queue::entries(election, answer.kvs().iter().map(Row::from));
        Ok(Queue { entries, revision: queue::revision(answer.header())? })
    }

    fn watch(&self, election: &ElectionName, from: Revision) -> Box<dyn QueueWatch> {
        Box::new(EtcdQueueWatch::new(&self.hub, election, from))
    }

    async fn elections(&self, prefix: &str) -> Result<Vec<String>> {
        self.check("list the elections")?;
        let mut found: Vec<String> = Vec::new();
        let mut from = prefix.as_bytes().to_vec();
        let end = end_of(prefix.as_bytes());
        loop {
            let (start, end) = (&from, &end);
            let read =
                self.members.call("list the elections", Access::Read, self.request_timeout, |mut stubs| async move {
                    let page = GetOptions::new().with_range(end.clone()).with_keys_only().with_limit(PAGE);
                    // An empty key is refused; no key is before this one.
                    let start = if start.is_empty() { vec![0] } else { start.clone() };
                    stubs.kv.get(start, Some(page)).await
                });
            let page = read.await.map_err(|error| error.on(format!("under {prefix:?}")))?;
            for election in page.kvs().iter().filter_map(|kv| Row::from(kv).election().map(str::to_owned)) {
                // Deeper elections stand between the entries of one.
                if let Err(at) = found.binary_search(&election) {
                    found.insert(at, election);
                }
            }
            match page.kvs().last() {
                // The first key after it.
                Some(last) if page.more() => from = [last.key(), &[0]].concat(),
                _ => return Ok(found),
            }
        }
    }

    async fn endpoints(&self) -> Vec<EndpointStatus> {
        let statuses = self.members.each().map(|(endpoint, stubs)| async move {
            let answer = status(stubs, self.request_timeout).await;
            let answer = answer.map_err(|silence| silence.why).map(|(took, status)| {
                let own = status.header().map(ResponseHeader::member_id);
                (took, Member::new(status.version(), own == Some(status.leader())))
            });
            EndpointStatus::new(endpoint.strip_prefix("http://").unwrap_or(endpoint), answer)
        });
        futures::future::join_all(statuses).await
    }

    async fn close(&self) {
        self.closed.send_replace(true);
        self.hub.close();
    }
}

/// Keys a listing of elections reads at a time.
const PAGE: i64 = 1000;

/// The first key after all that begin with `prefix`; for the empty prefix, or one of nothing but 0xff, what etcd takes for
/// "no end".
fn end_of(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < 0xff {
            end.push(last + 1);
            return end;
        }
    }
    vec![0]
}

impl Etcd {
    fn check(&self, operation: &'static str) -> Result<()> {
        if *self.closed.borrow() {
            return Err(Error::new(ErrorKind::Closed, operation).because("the backend was closed"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_ends_after_its_prefix() {
        for (prefix, end) in
            [(&b"a"[..], &b"b"[..]), (b"a/", b"a0"), (b"a\xff", b"b"), (b"", b"\0"), (b"\xff\xff", b"\0")]
        {
            assert_eq!(end_of(prefix), end);
        }
    }
}
