//! etcd clusters as processes of this machine.

mod binaries;
mod cluster;
mod guardian;
mod http;
mod member;
mod port;
mod storage;

pub use binaries::{Binaries, Missing};
pub use cluster::{Builder, Cluster};
pub use member::Member;
