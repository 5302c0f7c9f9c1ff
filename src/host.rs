//! Where heartbeats and campaigns run.

use std::{sync::mpsc, thread, time::Duration};

use futures::future::BoxFuture;
use incumbent_core::{Error, ErrorKind, Result};
use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
};

/// A runtime of its own on its own thread, or the caller's.
pub(crate) struct Host {
    handle: Handle,
    own: Option<OwnThread>,
}

struct OwnThread {
    thread: thread::JoinHandle<()>,
    finish: Option<oneshot::Sender<BoxFuture<'static, ()>>>,
}

impl Host {
    pub(crate) fn new(own_thread: bool) -> Result<Self> {
        if own_thread {
            return Self::own_thread();
        }
        let handle = Handle::try_current().map_err(|error| {
            Error::new(ErrorKind::InvalidInput, "connect")
                .because("this needs a tokio runtime: call it from async code under #[tokio::main]")
                .caused_by(error)
        })?;
        Ok(Self { handle, own: None })
    }

    fn own_thread() -> Result<Self> {
        let failed = |error: std::io::Error| {
            Error::new(ErrorKind::Unavailable, "start the session thread").because(&error).caused_by(error)
        };
        let (finish, finishing) = oneshot::channel::<BoxFuture<'static, ()>>();
        let (started, starting) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("incumbent".into())
            .spawn(move || {
                // Made here, so that it is dropped here: a runtime must not be dropped by async code.
                let runtime = match Builder::new_current_thread().enable_all().build() {
                    Ok(runtime) => runtime,
                    Err(error) => return drop(started.send(Err(error))),
                };
                let _ = started.send(Ok(runtime.handle().clone()));
                runtime.block_on(async {
                    if let Ok(last) = finishing.await {
                        let _ = tokio::time::timeout(LAST_WORK, last).await;
                    }
                });
            })
            .map_err(failed)?;
        let unheard = |_| Err(std::io::Error::other("the thread ended at once"));
        let handle = starting.recv().unwrap_or_else(unheard).map_err(failed)?;
        Ok(Self { handle, own: Some(OwnThread { thread, finish: Some(finish) }) })
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Whether tasks still run here.
    pub(crate) fn is_live(&self) -> bool {
        self.own.as_ref().is_none_or(|own| !own.thread.is_finished())
    }

    /// Does the last work, bounded, in the background; a thread of its own ends after it.
    pub(crate) fn finish(&mut self, last: impl Future<Output = ()> + Send + 'static) {
        match &mut self.own {
            Some(own) => {
                if let Some(finish) = own.finish.take() {
                    let _ = finish.send(Box::pin(last));
                }
            }
            None => {
                self.handle.spawn(async move {
                    let _ = tokio::time::timeout(LAST_WORK, last).await;
                });
            }
        }
    }
}

const LAST_WORK: Duration = Duration::from_secs(5);
