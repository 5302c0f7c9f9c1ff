//! The proxy's door.

use std::io;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;
use tokio::net;

/// A listening socket whose queue of connections that nobody has accepted yet can be broken as well.
#[derive(Debug)]
pub(crate) struct Listener {
    // The lock makes accepting and resetting exclude each other: no connection slips through between.
    socket: Mutex<TcpListener>,
    address: String,
}

impl Listener {
    pub(crate) fn bind() -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
        socket.set_nonblocking(true).expect("a socket");
        let address = socket.local_addr().expect("a bound socket").to_string();
        Self { socket: Mutex::new(socket), address }
    }

    pub(crate) fn address(&self) -> String {
        self.address.clone()
    }

    /// The same socket, for a runtime.
    pub(crate) fn register(&self) -> io::Result<net::TcpListener> {
        net::TcpListener::from_std(self.lock().try_clone()?)
    }

    /// Accepts from the registered socket, and calls `note` before any reset can come between.
    pub(crate) fn poll_accept<T>(
        &self,
        registered: &net::TcpListener,
        context: &mut Context<'_>,
        note: impl Fn() -> T,
    ) -> Poll<io::Result<(net::TcpStream, T)>> {
        let _exclusive = self.lock();
        registered.poll_accept(context).map_ok(|(stream, _)| (stream, note()))
    }

    /// Calls `break_accepted` and breaks those not accepted yet; their number is returned.
    pub(crate) fn reset(&self, break_accepted: impl FnOnce()) -> u64 {
        let socket = self.lock();
        break_accepted();
        let mut broken = 0;
        while let Ok((stream, _)) = socket.accept() {
            close_by_reset(&stream);
            broken += 1;
        }
        broken
    }

    fn lock(&self) -> MutexGuard<'_, TcpListener> {
        self.socket.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closing `stream` will send a RST, not a FIN, and forget what is still to be sent.
pub(crate) fn close_by_reset(stream: &impl AsFd) {
    // Fails only for a connection that is broken already.
    let _ = set_socket_linger(stream, Some(Duration::ZERO));
}

/// Closing `stream` will send what is still to be sent, then a FIN.
pub(crate) fn close_in_order(stream: &impl AsFd) {
    let _ = set_socket_linger(stream, None);
}
