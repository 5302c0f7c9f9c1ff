//! Ports that no other test takes.

use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

/// A port of 127.0.0.1 that stays ours while this lives, also while the member on it is down.
///
/// Every test is a process of its own, so the claim must hold between processes: an abstract socket of a name made of
/// the port. The kernel gives it to one process and takes it back when that one dies, however it dies.
#[derive(Debug)]
pub(crate) struct Port {
    number: u16,
    _claim: UnixListener,
}

impl Port {
    pub(crate) fn claim() -> Self {
        (0..ATTEMPTS).find_map(|_| Self::try_claim(fastrand::u16(FIRST..LAST))).expect("no free port in 1000 attempts")
    }

    pub(crate) fn number(&self) -> u16 {
        self.number
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.number)
    }

    fn try_claim(number: u16) -> Option<Self> {
        let name = SocketAddr::from_abstract_name(format!("incumbent-port-{number}")).ok()?;
        let claim = UnixListener::bind_addr(&name).ok()?;
        // Programs that know nothing of the claims are seen by this.
        TcpListener::bind(("127.0.0.1", number)).ok()?;
        Some(Self { number, _claim: claim })
    }
}

/// Below Linux's ephemeral ports: an outgoing connection of somebody else would else take the port of a killed member.
const FIRST: u16 = 10_000;
const LAST: u16 = 30_000;
const ATTEMPTS: usize = 1000;
