//! The proof that a session lives.
//!
//! A keepalive is answered by the etcd leader alone, and a stale leader answers too. So its raft term is confirmed by a
//! linearizable read, which only the leader of the present term can serve: answered with the same term *after* the
//! keepalive, it proves that the keepalive was served by the true leader, whose lease clock ran from no earlier than the
//! moment at which the keepalive was **sent**.

use std::{sync::Arc, time::Duration};

use etcd_client::{GetOptions, LeaseKeepAliveStream, LeaseKeeper, ResponseHeader};
use incumbent_core::{Error, ErrorKind, Moment};
use tokio::time::timeout;

use crate::{
    error::Verdict,
    lease::Lease,
    members::{Fault, Route, Stubs},
};

/// One keepalive, and what is known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Beat {
    /// When it was sent.
    pub(crate) sent: Moment,
    /// The TTL in its reply.
    pub(crate) ttl: Duration,
    /// The raft term in its reply.
    pub(crate) term: u64,
    /// The raft term in the reply of a linearizable read that was sent after the reply had come.
    pub(crate) confirmed: Option<u64>,
}

impl Beat {
    /// Until when it proves the session alive, if it does.
    pub(crate) fn proves(&self, margin: Duration) -> Option<Moment> {
        (self.confirmed == Some(self.term)).then(|| self.sent + self.ttl - margin)
    }
}

/// Keeps a session and proves its life until it ends; then revokes the lease, unless somebody else does.
pub(crate) fn run(lease: Arc<Lease>) -> impl Future<Output = ()> + Send {
    // Made here and not in the future: a runtime may go before it is first polled.
    let ends = EndsLife(lease);
    async move {
        let lease = &ends.0;
        tokio::select! {
            () = lease.life.ended() => {}
            () = lease.closed() => lease.life.end(lease.error(ErrorKind::Closed, "the backend was closed")),
            end = Heartbeat::new(lease).beat_until_the_end() => lease.life.end(end),
        }
        if lease.claim_revocation()
            && let Err(error) = lease.revoke().await
        {
            tracing::debug!(session = %lease.session(), %error, "a lease is left to its expiry");
        }
    }
}

/// Whatever ends the task, it is told.
struct EndsLife(Arc<Lease>);

impl Drop for EndsLife {
    fn drop(&mut self) {
        self.0.life.end(
            self.0.error(ErrorKind::Unexpected, "its heartbeat stopped; this is a bug, or its runtime was shut down"),
        );
    }
}

struct Heartbeat<'a> {
    lease: &'a Lease,
    stream: Option<Stream>,
    /// Requests failed in a row.
    failures: u32,
    /// Beats in a row whose term was not confirmed.
    unconfirmed: u32,
}

/// A keepalive stream. One that let a request time out is dropped: a late reply would be taken for the next one's.
struct Stream {
    route: Route,
    keeper: LeaseKeeper,
    replies: LeaseKeepAliveStream,
}

/// How a beat ended.
enum Outcome {
    /// Somebody needed a proof, and here it is or is not.
    Asked(Beat),
    /// Nobody needed more than contact.
    Kept(Moment),
    Gone(Error),
    Failed(Route, Fault),
}

impl<'a> Heartbeat<'a> {
    fn new(lease: &'a Lease) -> Self {
        Self { lease, stream: None, failures: 0, unconfirmed: 0 }
    }

    async fn beat_until_the_end(mut self) -> Error {
        let lease = self.lease;
        // The grant was the first proof.
        let mut cold = false;
        let mut next = lease.opened + lease.interval;
        loop {
            tokio::select! {
                () = lease.clock.sleep_until(next) => {}
                () = lease.demand.wanted(), if cold => {}
            }
            let started = lease.clock.now();
            (cold, next) = match self.beat().await {
                Outcome::Asked(beat) => (false, self.asked(&beat)),
                Outcome::Kept(sent) => {
                    self.failures = 0;
                    lease.life.contact();
                    (true, sent + lease.interval)
                }
                Outcome::Gone(error) => return error,
                Outcome::Failed(route, fault) => (false, self.failed(started, route, &fault)),
            };
        }
    }

    /// Takes note of a beat that was to prove something; says when the next is due.
    fn asked(&mut self, beat: &Beat) -> Moment {
        let lease = self.lease;
        self.failures = 0;
        match beat.proves(lease.margin) {
            Some(until) => {
                self.unconfirmed = 0;
                lease.life.prove(until);
                beat.sent + lease.interval
            }
            None => {
                tracing::debug!(session = %lease.session(), term = beat.term, confirmed = ?beat.confirmed, "a beat was not confirmed");
                lease.life.contact();
                self.unconfirmed += 1;
                // The ensemble has just changed its leader: the next beat sees the new term only.
                if self.unconfirmed <= AT_ONCE { beat.sent } else { beat.sent + lease.interval }
            }
        }
    }

    /// Takes note of a failure; says when to try again.
    fn failed(&mut self, started: Moment, route: Route, fault: &Fault) -> Moment {
        let lease = self.lease;
        self.stream = None;
        self.failures = self.failures.saturating_add(1);
        let member = lease.members.endpoint(route);
        tracing::debug!(session = %lease.session(), member, %fault, failures = self.failures, "a heartbeat failed");
        let suspend = |kind| {
            lease.life.suspend(lease.error(kind, format!("{member}: {fault}; it lives until its TTL has passed")));
        };
        if let Verdict::Refused(kind) = fault.verdict() {
            // Any other member would say the same.
            suspend(kind);
            return started + lease.interval;
        }
        let members = u32::try_from(lease.members.len()).unwrap_or(1);
        // A member that is gone says so at once, and another takes over before anybody need know.
        if self.failures >= members || matches!(fault, Fault::Silent(_)) {
            suspend(ErrorKind::Unavailable);
        }
        lease.members.failed(route, fault);
        if self.failures < members {
            return started;
        }
        let rounds = self.failures / members;
        let pause = (FIRST_PAUSE * 2_u32.saturating_pow(rounds.min(8) - 1)).min(lease.interval);
        lease.clock.now() + pause.mul_f64(0.5 + fastrand::f64() / 2.0)
    }

    async fn beat(&mut self) -> Outcome {
        let lease = self.lease;
        let route = lease.members.route();
        let Some(stubs) = lease.members.stubs(route) else { return Outcome::Failed(route, Fault::Ended) };
        let (sent, ttl, term) = match self.keep_alive(route, &stubs).await {
            Ok(kept) => kept,
            Err(fault) => return self.fault(route, fault),
        };
        if ttl.is_zero() {
            return Outcome::Gone(self.gone());
        }
        if !lease.demand.is_warm() {
            return Outcome::Kept(sent);
        }
        match self.confirm(stubs).await {
            Ok(confirmed) => Outcome::Asked(Beat { sent, ttl, term, confirmed }),
            Err(fault) => self.fault(route, fault),
        }
    }

    /// One keepalive: when it was sent, the TTL and the term of its reply.
    async fn keep_alive(&mut self, route: Route, stubs: &Stubs) -> Result<(Moment, Duration, u64), Fault> {
        let lease = self.lease;
        let mut stream = match self.stream.take() {
            Some(stream) if stream.route == route => stream,
            _ => {
                // The client crate sends a keepalive of its own here and swallows the reply: it proves nothing.
                let mut stub = stubs.lease.clone();
                let opening = bounded(lease.bound, stub.keep_alive(lease.id)).await?;
                Stream { route, keeper: opening.0, replies: opening.1 }
            }
        };
        let sent = lease.clock.now();
        bounded(lease.bound, stream.keeper.keep_alive()).await?;
        let reply = bounded(lease.bound, stream.replies.message()).await?.ok_or(Fault::Ended)?;
        self.stream = Some(stream);
        let ttl = Duration::from_secs(u64::try_from(reply.ttl()).unwrap_or(0));
        Ok((sent, ttl, reply.header().map_or(0, ResponseHeader::raft_term)))
    }

    /// The term of a linearizable read; `None` if the ensemble lets this client read nothing yet.
    async fn confirm(&self, mut stubs: Stubs) -> Result<Option<u64>, Fault> {
        let own = self.lease.own_key();
        let known = own.is_some();
        let options = GetOptions::new().with_count_only();
        let key = own.unwrap_or_else(|| ANY_KEY.to_owned());
        let answer = match bounded(self.lease.bound, stubs.kv.get(key, Some(options))).await {
            Err(fault) if !known && fault.verdict() == Verdict::Refused(ErrorKind::PermissionDenied) => {
                return Ok(None);
            }
            answer => answer?,
        };
        Ok(answer.header().map(ResponseHeader::raft_term))
    }

    fn fault(&self, route: Route, fault: Fault) -> Outcome {
        match fault.verdict() {
            Verdict::Refused(ErrorKind::SessionGone) => Outcome::Gone(self.gone()),
            _ => Outcome::Failed(route, fault),
        }
    }

    fn gone(&self) -> Error {
        self.lease.error(ErrorKind::SessionGone, "its lease expired or was revoked")
    }
}

async fn bounded<T>(
    bound: Duration,
    request: impl Future<Output = Result<T, etcd_client::Error>> + Send,
) -> Result<T, Fault> {
    match timeout(bound, request).await {
        Ok(answer) => answer.map_err(Fault::Told),
        Err(_) => Err(Fault::Silent(bound)),
    }
}

/// Beats that follow an unconfirmed one at once.
const AT_ONCE: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// Read where there is no entry yet whose key is surely within this client's permissions; need not exist.
const ANY_KEY: &str = "incumbent";

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::ORIGIN + Duration::from_secs(seconds)
    }

    const BEAT: Beat = Beat { sent: at_const(100), ttl: Duration::from_secs(10), term: 3, confirmed: Some(3) };
    const MARGIN: Duration = Duration::from_secs(1);

    const fn at_const(seconds: u64) -> Moment {
        Moment::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn only_a_confirmed_beat_proves_and_from_its_sending_on() {
        for (beat, proof) in [
            (BEAT, Some(at(109))),
            (Beat { ttl: Duration::from_secs(2), ..BEAT }, Some(at(101))),
            (Beat { confirmed: None, ..BEAT }, None),
            (Beat { confirmed: Some(4), ..BEAT }, None),
            (Beat { confirmed: Some(2), ..BEAT }, None),
        ] {
            assert_eq!(beat.proves(MARGIN), proof, "{beat:?}");
        }
    }

    #[test]
    fn what_others_count_from_lies_later_and_proves_nothing() {
        let received = at(104);
        let from_receipt = received + BEAT.ttl - MARGIN;
        assert!(BEAT.proves(MARGIN).unwrap() < from_receipt);
        assert!(BEAT.proves(MARGIN).unwrap() < BEAT.sent + BEAT.ttl, "the margin is kept off");
    }
}
