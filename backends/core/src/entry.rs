use std::{fmt, sync::Arc};

use crate::Profile;

/// A fencing token: 64 bits, strictly growing from entry to entry of an election in the order in which they lead.
///
/// On etcd it is the entry's create revision, on ZooKeeper its czxid. A resource that remembers the greatest token it has
/// seen and refuses smaller ones is safe against any pause. A store restored from a backup may restart it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(u64);

impl Token {
    /// The token with this number.
    #[must_use]
    pub const fn new(token: u64) -> Self {
        Self(token)
    }

    /// Its number, to hand to a resource.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A session as the ensemble names it: lease id or ZooKeeper session id. Shown in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(u64);

impl SessionId {
    /// The session with this id.
    #[must_use]
    pub const fn new(id: u64) -> Self {
        Self(id)
    }

    /// Its number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::LowerHex::fmt(&self.0, f)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({self})")
    }
}

/// A point in a store's history: what to watch from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(u64);

impl Revision {
    /// The revision with this number.
    #[must_use]
    pub const fn new(revision: u64) -> Self {
        Self(revision)
    }

    /// Its number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// Which entry exactly: its name in the store, and the token that sets it apart from an earlier or later entry of that
/// name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EntryKey {
    /// The name as the store has it, without the election's.
    pub name: Arc<str>,
    /// Its token.
    pub token: Token,
}

/// An entry of an election's queue, as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Which entry.
    pub key: EntryKey,
    /// The session that it lives and dies with; `None` for an entry that some peer made without one and that stays for
    /// ever.
    pub session: Option<SessionId>,
    /// Who stands behind it.
    pub profile: Profile,
    /// Whether it was made by this SDK; no other may be removed on somebody's behalf.
    pub ours: bool,
}

/// Where an entry stands in its queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The entry right before it; `None` at the head of the queue.
    pub next: Option<Ahead>,
    /// How many stand before it, at least: exact up to 2.
    pub ahead: usize,
    /// The point in history of this answer.
    pub revision: Revision,
}

impl Place {
    /// Whether nobody stands before it.
    #[must_use]
    pub const fn is_head(&self) -> bool {
        self.next.is_none()
    }
}

/// The entry right before ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ahead {
    /// Its name in the store.
    pub name: Arc<str>,
    /// Its token, where a listing tells it.
    pub token: Option<Token>,
}
