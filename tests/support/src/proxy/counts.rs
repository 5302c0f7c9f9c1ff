//! What a proxy has seen.

use std::collections::BTreeMap;
use std::iter::Sum;
use std::ops::{Add, Sub};

/// What a proxy has seen, by RPC method where it was gRPC.
///
/// A method is named as in `KV/Txn` for `/etcdserverpb.KV/Txn`; `?` stands for one that could not be read. Subtract
/// earlier counts for what came since; methods with no difference are then left out. Add those of several proxies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections accepted, those that were broken at once too.
    pub connections: u64,
    /// Bytes from both sides.
    pub bytes: u64,
    /// RPCs begun.
    pub requests: BTreeMap<String, u64>,
    /// gRPC messages from the client: one for a unary RPC, any number on a stream. Counted when complete.
    pub messages: BTreeMap<String, u64>,
    /// gRPC messages from the server. An RPC that fails has none.
    pub events: BTreeMap<String, u64>,
}

impl Counts {
    /// RPCs begun, of all methods.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests.values().sum()
    }

    /// RPCs begun of one method, say `KV/Txn`.
    #[must_use]
    pub fn requests_to(&self, method: &str) -> u64 {
        of(&self.requests, method)
    }

    /// Messages from the client, of all methods.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.messages.values().sum()
    }

    /// Messages from the client to one method, say `Lease/LeaseKeepAlive`.
    #[must_use]
    pub fn messages_to(&self, method: &str) -> u64 {
        of(&self.messages, method)
    }

    /// Messages from the server, of all methods.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.events.values().sum()
    }

    /// Messages from the server by one method, say `Watch/Watch`.
    #[must_use]
    pub fn events_of(&self, method: &str) -> u64 {
        of(&self.events, method)
    }

    fn combine(&self, other: &Self, with: impl Fn(u64, u64) -> u64 + Copy) -> Self {
        let each = |ours: &BTreeMap<String, u64>, theirs: &BTreeMap<String, u64>| {
            let methods = ours.keys().chain(theirs.keys());
            methods
                .map(|method| (method.clone(), with(of(ours, method), of(theirs, method))))
                .filter(|(_, count)| *count > 0)
                .collect()
        };
        Self {
            connections: with(self.connections, other.connections),
            bytes: with(self.bytes, other.bytes),
            requests: each(&self.requests, &other.requests),
            messages: each(&self.messages, &other.messages),
            events: each(&self.events, &other.events),
        }
    }
}

impl Sub for Counts {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        &self - &earlier
    }
}

impl Sub for &Counts {
    type Output = Counts;

    fn sub(self, earlier: Self) -> Counts {
        self.combine(earlier, |now, then| now - then)
    }
}

impl Add for Counts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        self.combine(&other, |one, another| one + another)
    }
}

impl Sum for Counts {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), Add::add)
    }
}

fn of(counts: &BTreeMap<String, u64>, method: &str) -> u64 {
    counts.get(method).copied().unwrap_or_default()
}
