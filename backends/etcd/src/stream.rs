//! The task that keeps the hub's watches on a stream.

use std::{
    future::pending,
    sync::Arc,
    time::{Duration, Instant},
};

use etcd_client::{WatchRequestSender, WatchResponseStream};
use incumbent_core::{Error, ErrorKind};
use tokio::time::timeout;

use crate::{
    hub::{Shared, Wire},
    members::{Fault, Members, Route},
};

/// Serves the hub until it is closed.
pub(crate) fn run(shared: Arc<Shared>, members: Arc<Members>, bound: Duration) -> impl Future<Output = ()> + Send {
    // Made here and not in the future: a runtime may go before it is first polled.
    let breaks_all = BreaksAll(Arc::clone(&shared));
    async move {
        Task { shared, members, bound }.serve_all().await;
        drop(breaks_all);
    }
}

/// Whatever ends the task, nobody waits for ever on a watch.
struct BreaksAll(Arc<Shared>);

impl Drop for BreaksAll {
    fn drop(&mut self) {
        self.0.close();
    }
}

struct Task {
    shared: Arc<Shared>,
    members: Arc<Members>,
    bound: Duration,
}

/// Why a stream is left.
enum Left {
    Closed,
    Failed(Fault),
    /// Requests go to another member now.
    Moved,
    /// There is nothing to watch any more.
    Idle,
}

impl Task {
    async fn serve_all(self) {
        let mut failures = 0_u32;
        loop {
            while !self.shared.renew() {
                if self.shared.is_closed() {
                    return;
                }
                self.shared.changed.notified().await;
            }
            let route = self.members.route();
            let member = self.members.endpoint(route);
            let began = Instant::now();
            let fault = match self.serve(route).await {
                Left::Closed => return,
                Left::Idle => continue,
                Left::Moved => None,
                Left::Failed(fault) => Some(fault),
            };
            if began.elapsed() > LONGEST_PAUSE {
                failures = 0;
            }
            let reason = fault.as_ref().map_or_else(|| "requests go to another member now".into(), Fault::to_string);
            tracing::debug!(member, reason, "the watch stream is renewed");
            let why = Error::new(ErrorKind::Unavailable, "watch").on(member).because(&reason);
            self.shared.lose(&why);
            if let Some(fault) = fault {
                self.members.failed(route, &fault);
            }
            // The first round over all members is run through almost at once.
            let rounds = failures / u32::try_from(self.members.len()).unwrap_or(1);
            failures = failures.saturating_add(1);
            let pause = (FIRST_PAUSE * 2_u32.saturating_pow(rounds.min(8))).min(LONGEST_PAUSE);
            tokio::time::sleep(pause.mul_f64(fastrand::f64())).await;
        }
    }

    /// Runs one stream until it ends, or requests go another way.
    async fn serve(&self, route: Route) -> Left {
        let mut current = self.members.current();
        tokio::select! {
            left = self.stand(route) => left,
            _ = current.wait_for(|now| *now != route) => Left::Moved,
        }
    }

    async fn stand(&self, route: Route) -> Left {
        let Some(mut stubs) = self.members.stubs(route) else { return Left::Failed(Fault::Ended) };
        let Some(Wire::Create(key, options)) = self.shared.next_request() else { return Left::Idle };
        let stream = match timeout(self.bound, stubs.watch.watch(key, Some(options))).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Left::Failed(Fault::Told(error)),
            Err(_) => return Left::Failed(Fault::Silent(self.bound)),
        };
        let (requests, answers) = stream.split();
        // Sending waits for the server where many watches are made, and the server for us to read: both at once.
        tokio::select! {
            () = self.send(requests) => Left::Closed,
            fault = self.receive(answers) => Left::Failed(fault),
        }
    }

    /// Sends what is queued until the hub is closed.
    async fn send(&self, mut requests: WatchRequestSender) {
        loop {
            let sent = match self.shared.next_request() {
                Some(Wire::Create(key, options)) => requests.watch(key, Some(options)).await,
                Some(Wire::Cancel(id)) => requests.cancel(id).await,
                None if self.shared.is_closed() => return,
                None => {
                    self.shared.changed.notified().await;
                    Ok(())
                }
            };
            if sent.is_err() {
                // The reading side knows why.
                pending::<()>().await;
            }
        }
    }

    async fn receive(&self, mut answers: WatchResponseStream) -> Fault {
        loop {
            match answers.message().await {
                Ok(Some(answer)) => {
                    if let Err(reason) = self.shared.deliver(&answer) {
                        return Fault::Told(etcd_client::Error::WatchError(reason));
                    }
                }
                Ok(None) => return Fault::Ended,
                Err(error) => return Fault::Told(error),
            }
        }
    }
}

/// Short, but where requests are sent from member to member, watches need not follow each step.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
