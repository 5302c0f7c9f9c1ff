use std::{fmt, sync::Arc, time::Duration};

use incumbent_core::{Error, ErrorKind, Moment, Result};
use tokio::{
    runtime::Handle,
    sync::oneshot,
    time::{sleep, timeout},
};

use crate::{
    ensemble::Ensemble,
    link::{Link, Passage},
    store::Store,
};

/// One end of a link: what sends requests to the store and waits for replies.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) ensemble: Arc<Ensemble>,
    pub(crate) link: Link,
}

/// A request, for the error when it fails.
#[derive(Clone, Copy)]
pub(crate) struct Request<'a> {
    /// What it is, as one would say "could not ...".
    pub(crate) operation: &'static str,
    pub(crate) subject: &'a (dyn fmt::Display + Sync),
    pub(crate) writes: bool,
    pub(crate) timeout: Duration,
}

impl Caller {
    /// Sends a request and waits for its reply, up to the timeout. The request goes on by itself if the caller does not
    /// wait for it.
    pub(crate) async fn send<T: Send + 'static>(
        &self,
        request: Request<'_>,
        operation: impl FnOnce(&mut Store, Moment) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let Some(passage) = self.link.send(request.writes) else {
            return Err(request.failed(ErrorKind::Unavailable, "the connection is refused"));
        };
        // Who gets every answer at once must leave others their turn.
        tokio::task::consume_budget().await;
        if passage == Passage::FREE && !self.link.is_cut() && !self.ensemble.is_frozen() {
            return self.ensemble.apply(operation);
        }
        let Ok(runtime) = Handle::try_current() else {
            return Err(request.failed(ErrorKind::Unavailable, "there is no tokio runtime; call it inside one"));
        };
        let (reply, replied) = oneshot::channel();
        runtime.spawn(self.clone().carry(passage, operation, reply));
        let answer = async {
            match replied.await {
                Ok(answer) => answer,
                // Lost on the way: no caller learns that before its timeout.
                Err(_) => std::future::pending().await,
            }
        };
        timeout(request.timeout, answer).await.unwrap_or_else(|_| Err(request.unanswered()))
    }

    /// The way of one request to the store and of its reply back.
    async fn carry<T>(
        self,
        passage: Passage,
        operation: impl FnOnce(&mut Store, Moment) -> Result<T>,
        reply: oneshot::Sender<Result<T>>,
    ) {
        if !passage.arrives {
            return;
        }
        travel(passage.there).await;
        self.link.healed().await;
        let answer = self.ensemble.apply_thawed(operation).await;
        if passage.returns {
            travel(passage.back).await;
            self.link.healed().await;
            // Nobody may be waiting any more.
            let _ = reply.send(answer);
        }
    }
}

impl Request<'_> {
    fn unanswered(&self) -> Error {
        let kind = if self.writes { ErrorKind::OutcomeUnknown } else { ErrorKind::Unavailable };
        self.failed(kind, format_args!("no answer within {:?}", self.timeout))
    }

    fn failed(&self, kind: ErrorKind, reason: impl fmt::Display) -> Error {
        Error::new(kind, self.operation).on(self.subject).because(reason)
    }
}

/// A way without a delay takes no time, where a timer would take a millisecond.
async fn travel(span: Duration) {
    if !span.is_zero() {
        sleep(span).await;
    }
}
