//! A connection to each member, and which of them is asked.

use std::{
    fmt,
    future::Future,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use etcd_client::{Client, ConnectOptions, KvClient, LeaseClient, MaintenanceClient, WatchClient};
use incumbent_core::{Error, ErrorKind, Result};
use tokio::{runtime::Handle, sync::watch, time::timeout};

use crate::{
    EtcdConfig,
    error::{Verdict, describe, verdict},
};

/// The members, one of which is current: all requests and streams go there, until it fails one.
pub(crate) struct Members {
    all: Vec<Member>,
    current: watch::Sender<Route>,
    /// Where connections live, whoever asks.
    runtime: Handle,
    /// The id of their cluster, and who said so first.
    cluster: OnceLock<(u64, String)>,
}

/// A way to the ensemble: a member, and which of the connections made to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    member: usize,
    connection: u64,
}

struct Member {
    endpoint: String,
    client: Client,
    connection: AtomicU64,
    /// Whether the connection is ours to replace.
    ours: bool,
    stubs: Stubs,
}

/// What requests are made with.
#[derive(Clone)]
pub(crate) struct Stubs {
    pub(crate) kv: KvClient,
    pub(crate) lease: LeaseClient,
    pub(crate) watch: WatchClient,
    pub(crate) maintenance: MaintenanceClient,
}

/// What happens when a request failed and may have done something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// It changes nothing: another member is asked.
    Read,
    /// It does the same when done twice: another member is asked, but what may have landed is remembered.
    Repeatable,
    /// Nobody else is asked: the caller must know.
    Once,
}

/// How a request to one member failed.
#[derive(Debug)]
pub(crate) enum Fault {
    /// No answer in time.
    Silent(Duration),
    /// The client crate's error.
    Told(etcd_client::Error),
    /// A stream that ended without a word.
    Ended,
}

impl Members {
    /// One client each; connects to none.
    pub(crate) async fn new(config: &EtcdConfig) -> Result<Self> {
        let options = ConnectOptions::new()
            .with_require_leader(true)
            .with_connect_timeout(config.connect_timeout)
            .with_keep_alive(PING, PING_TIMEOUT)
            .with_keep_alive_while_idle(true);
        let mut all = Vec::new();
        for url in config.urls()? {
            let client = Client::connect([&url], Some(options.clone())).await.map_err(|error| {
                Error::new(ErrorKind::InvalidInput, "connect to").on(&url).because(describe(&error)).caused_by(error)
            })?;
            all.push(Member::new(url, client, true));
        }
        Ok(Self::of(all))
    }

    /// Somebody else's client, taken for one member.
    pub(crate) fn from_client(client: Client) -> Self {
        Self::of(vec![Member::new("the given client".into(), client, false)])
    }

    fn of(all: Vec<Member>) -> Self {
        let current = watch::Sender::new(Route { member: 0, connection: 0 });
        Self { all, current, runtime: Handle::current(), cluster: OnceLock::new() }
    }

    /// Makes one of these current: not all clients of a fleet the one that is named first.
    pub(crate) fn begin_with(&self, answered: &[usize]) {
        if let Some(member) = fastrand::choice(answered) {
            self.current.send_replace(self.route_to(*member));
        }
    }

    /// Refuses a member of another cluster than the first one's: every fail-over would lead to another queue, and another
    /// leader.
    pub(crate) fn check_cluster(&self, id: Option<u64>, endpoint: &str) -> Result<()> {
        let Some(id) = id else { return Ok(()) };
        let (first, at) = self.cluster.get_or_init(|| (id, endpoint.to_owned()));
        if *first == id {
            return Ok(());
        }
        Err(Error::new(ErrorKind::InvalidInput, "connect to").on("etcd").because(format!(
            "{at} is a member of cluster {first:x}, and {endpoint} of cluster {id:x}; name the members of one cluster"
        )))
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// The current route; changes when a request over it failed.
    pub(crate) fn current(&self) -> watch::Receiver<Route> {
        self.current.subscribe()
    }

    pub(crate) fn route(&self) -> Route {
        *self.current.borrow()
    }

    pub(crate) fn endpoint(&self, route: Route) -> &str {
        self.all.get(route.member).map_or("", |member| &member.endpoint)
    }

    /// `None` for a route of other members.
    pub(crate) fn stubs(&self, route: Route) -> Option<Stubs> {
        self.all.get(route.member).map(|member| member.stubs.clone())
    }

    /// Each member, for those who ask all of them.
    pub(crate) fn each(&self) -> impl Iterator<Item = (&str, Stubs)> {
        self.all.iter().map(|member| (member.endpoint.as_str(), member.stubs.clone()))
    }

    /// A request over this route failed: whoever asks next, asks another member, and a silent one over a new connection.
    pub(crate) fn failed(&self, route: Route, fault: &Fault) {
        if let (Fault::Silent(_), Some(member)) = (fault, self.all.get(route.member)) {
            member.renew(route.connection, &self.runtime);
        }
        self.current.send_if_modified(|current| {
            if *current != route {
                return false;
            }
            let next = self.route_to((route.member + 1) % self.all.len());
            tracing::debug!(
                member = self.endpoint(route),
                next = self.endpoint(next),
                fault = %fault,
                "the member failed a request; another is asked from now on"
            );
            // A single member that answers keeps its streams.
            let moves = next != *current;
            *current = next;
            moves
        });
    }

    /// Asks the current member, and where `access` allows it the others, each once.
    pub(crate) async fn call<T, F, R>(
        &self,
        operation: &'static str,
        access: Access,
        bound: Duration,
        request: R,
    ) -> Result<T>
    where
        T: Send,
        F: Future<Output = Result<T, etcd_client::Error>> + Send,
        R: Fn(Stubs) -> F + Send + Sync,
    {
        let first = self.route().member;
        let mut said = Vec::new();
        let mut kind = ErrorKind::Unavailable;
        for step in 0..self.len() {
            let route = self.route_to((first + step) % self.len());
            let Some(stubs) = self.stubs(route) else { break };
            let fault = match timeout(bound, request(stubs)).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) => Fault::Told(error),
                Err(_) => Fault::Silent(bound),
            };
            let verdict = fault.verdict();
            said.push(format!("{}: {fault}", self.endpoint(route)));
            if let Verdict::Refused(kind) = verdict {
                return Err(fault.into_error(kind, operation, &said));
            }
            self.failed(route, &fault);
            match (verdict, access) {
                (Verdict::Ambiguous(_), Access::Once) => {
                    return Err(fault.into_error(ErrorKind::OutcomeUnknown, operation, &said));
                }
                (Verdict::Ambiguous(_), Access::Repeatable) => kind = ErrorKind::OutcomeUnknown,
                (Verdict::Ambiguous(ErrorKind::Unexpected), Access::Read) => kind = ErrorKind::Unexpected,
                _ => {}
            }
        }
        Err(Error::new(kind, operation).because(said.join("; ")))
    }

    fn route_to(&self, member: usize) -> Route {
        let connection = self.all.get(member).map_or(0, |member| member.connection.load(Ordering::Acquire));
        Route { member, connection }
    }
}

/// etcd ends connections that are pinged more often than every 5 s while nothing else flows (`too_many_pings`), so pings
/// find a dead connection late. Heartbeats and request timeouts find it earlier; pings are for those who only watch.
const PING: Duration = Duration::from_secs(6);
const PING_TIMEOUT: Duration = Duration::from_secs(2);

impl Member {
    fn new(endpoint: String, client: Client, ours: bool) -> Self {
        let stubs = Stubs {
            // The queue of a large election is beyond the default of 4 MiB.
            kv: client.kv_client().max_decoding_message_size(MAX_ANSWER),
            lease: client.lease_client(),
            watch: client.watch_client().max_decoding_message_size(MAX_ANSWER),
            maintenance: client.maintenance_client(),
        };
        Self { endpoint, client, connection: AtomicU64::new(0), ours, stubs }
    }

    /// Lets the next request make a new connection; streams keep the old one. A connection that swallows everything would
    /// otherwise be used until the pings find out.
    fn renew(&self, connection: u64, runtime: &Handle) {
        let next = connection + 1;
        if !self.ours
            || self.connection.compare_exchange(connection, next, Ordering::AcqRel, Ordering::Acquire).is_err()
        {
            return;
        }
        let (client, endpoint) = (self.client.clone(), self.endpoint.clone());
        // A task: dropped between the two, it would leave the client without an endpoint.
        runtime.spawn(async move {
            let replaced = async {
                client.remove_endpoint(&endpoint).await?;
                client.add_endpoint(&endpoint).await
            };
            if let Err(error) = replaced.await {
                tracing::warn!(member = endpoint, %error, "could not replace the connection to a silent member");
            }
        });
    }
}

const MAX_ANSWER: usize = 256 << 20;

impl Fault {
    pub(crate) fn verdict(&self) -> Verdict {
        match self {
            Self::Told(error) => verdict(error),
            Self::Silent(_) | Self::Ended => Verdict::Ambiguous(ErrorKind::Unavailable),
        }
    }

    /// The error of an operation that ends with this fault.
    pub(crate) fn into_error(self, kind: ErrorKind, operation: &'static str, said: &[String]) -> Error {
        let error = Error::new(kind, operation).because(said.join("; "));
        match self {
            Self::Told(cause) => error.caused_by(cause),
            Self::Silent(_) | Self::Ended => error,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent(bound) => write!(f, "no answer within {bound:?}"),
            Self::Told(error) => f.write_str(&describe(error)),
            Self::Ended => f.write_str("the stream ended"),
        }
    }
}

impl fmt::Debug for Members {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.all.iter().map(|member| &member.endpoint)).finish()
    }
}
