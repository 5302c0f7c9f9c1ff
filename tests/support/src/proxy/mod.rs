//! A TCP proxy that misbehaves.

mod connection;
mod counts;
mod frames;
mod listener;
mod observer;
mod switches;

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime;
use tokio::sync::watch;
use tokio::time::timeout;

pub use counts::Counts;

use listener::Listener;
use switches::Switches;

/// A TCP proxy in front of one address, that delays, holds, breaks and counts what passes.
///
/// It runs on a thread of its own, so that neither a blocked runtime in the test stops it, nor it the test. A switch
/// holds for connections there are and for those to come, and from when its method returns: no byte that is sent later
/// gets by it. Dropping the proxy breaks its connections and frees its port.
#[derive(Debug)]
pub struct Proxy {
    address: String,
    listener: Arc<Listener>,
    switches: watch::Sender<Switches>,
    counts: Arc<watch::Sender<Counts>>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// A proxy for `target`, a `host:port`. It is connected to anew for each connection, and need not be up yet.
    #[expect(clippy::unused_async, reason = "starting anything here is awaited")]
    pub async fn start(target: impl Into<String>) -> Self {
        let listener = Arc::new(Listener::bind());
        let switches = watch::Sender::new(Switches::default());
        let counts = Arc::new(watch::Sender::new(Counts::default()));
        let serve = connection::serve(Arc::clone(&listener), target.into(), switches.subscribe(), Arc::clone(&counts));
        let thread = thread::Builder::new().name("proxy".into()).spawn(move || run(serve));
        Self { address: listener.address(), listener, switches, counts, thread: Some(thread.expect("a thread starts")) }
    }

    /// Where to connect to: `127.0.0.1:port`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Lets everything take `delay` longer in each direction: a round trip takes twice as much. Throughput stays as it
    /// is, as on a long cable. Bytes already on their way are delayed too. Connecting to the proxy is not.
    pub fn delay(&self, delay: Duration) {
        self.set(|switches| switches.delay = delay);
    }

    /// Lets what the target says take `delay` longer, on top of [`delay`](Self::delay).
    pub fn delay_replies(&self, delay: Duration) {
        self.set(|switches| switches.delay_replies = delay);
    }

    /// Holds everything back in both directions, the ends of connections too; new connections are accepted, and silent.
    ///
    /// Once switched off, all of it arrives in order, as by TCP after a partition shorter than its patience: a request
    /// may land long after its sender gave up. [`reset`](Self::reset) before that loses it instead.
    pub fn blackhole(&self, on: bool) {
        self.set(|switches| switches.blackhole = on);
    }

    /// Holds back what the target says: requests are carried out, and nobody hears of it. [`reset`](Self::reset) loses
    /// the replies; switched off before, they arrive late.
    pub fn drop_replies(&self, on: bool) {
        self.set(|switches| switches.drop_replies = on);
    }

    /// Breaks all connections there are by RST, towards both sides. What is held back is lost. New ones are welcome.
    pub fn reset(&self) {
        let broken = self.listener.reset(|| self.set(|switches| switches.resets += 1));
        self.counts.send_modify(|counts| counts.connections += broken);
    }

    /// Breaks new connections at once by RST, before the target hears of them.
    pub fn refuse(&self, on: bool) {
        self.set(|switches| switches.refuse = on);
    }

    /// As if the target's process had died: its connections break, and new ones do.
    pub fn cut(&self) {
        self.refuse(true);
        self.reset();
    }

    /// Switches everything off.
    pub fn heal(&self) {
        self.set(|switches| *switches = Switches { resets: switches.resets, ..Switches::default() });
    }

    /// What has reached the proxy so far, be it passed on or held back.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts.borrow().clone()
    }

    /// Waits until the counts satisfy `condition`, say that a reply has come which is being held back.
    ///
    /// # Panics
    ///
    /// After 10 s, with the counts.
    pub async fn until(&self, condition: impl FnMut(&Counts) -> bool + Send) -> Counts {
        let mut counts = self.counts.subscribe();
        let found = timeout(PATIENCE, counts.wait_for(condition)).await;
        if let Ok(Ok(counts)) = found {
            return counts.clone();
        }
        panic!("never came, only {:?}", self.counts());
    }

    fn set(&self, change: impl FnOnce(&mut Switches)) {
        self.switches.send_modify(change);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.set(|switches| switches.stopped = true);
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            eprintln!("the proxy at {} panicked", self.address);
        }
    }
}

fn run(serve: impl Future<Output = io::Result<()>>) {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    runtime.and_then(|runtime| runtime.block_on(serve)).expect("the proxy serves");
}

const PATIENCE: Duration = Duration::from_secs(10);
