//! Keys: `<election>/<lease>-<guid>`, the lease in lowercase hexadecimal without padding.

use incumbent_core::{ElectionName, Entry, EntryKey, Guid, Profile, SessionId, Token};

/// What all keys of an election begin with.
pub(crate) fn prefix(election: &ElectionName) -> String {
    format!("{election}/")
}

/// The name of a session's entry, without the election's.
pub(crate) fn name(lease: i64, guid: Guid) -> String {
    format!("{lease:x}-{guid}")
}

/// The lease in a name.
pub(crate) fn lease(name: &str) -> &str {
    name.split_once('-').map_or(name, |(lease, _)| lease)
}

/// The key of an entry.
pub(crate) fn key(election: &ElectionName, name: &str) -> String {
    format!("{election}/{name}")
}

/// A key as the store gives it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) value: &'a [u8],
    pub(crate) created: i64,
    pub(crate) lease: i64,
}

impl<'a> From<&'a etcd_client::KeyValue> for Row<'a> {
    fn from(kv: &'a etcd_client::KeyValue) -> Self {
        Self { key: kv.key(), value: kv.value(), created: kv.create_revision(), lease: kv.lease() }
    }
}

impl Row<'_> {
    /// The name below `prefix`; `None` if it is not text or belongs to a deeper election.
    pub(crate) fn name(&self, prefix: &str) -> Option<&str> {
        let name = std::str::from_utf8(self.key.strip_prefix(prefix.as_bytes())?).ok()?;
        (!name.is_empty() && !name.contains('/')).then_some(name)
    }

    /// The key for a message.
    pub(crate) fn shown(&self) -> String {
        String::from_utf8_lossy(self.key).into_owned()
    }

    pub(crate) fn token(&self) -> Token {
        Token::new(self.created.cast_unsigned())
    }

    /// The entry that it is in the election of `prefix`.
    pub(crate) fn entry(&self, prefix: &str) -> Option<Entry> {
        let name = self.name(prefix)?;
        Some(Entry {
            key: EntryKey::new(name, self.token()),
            session: (self.lease != 0).then(|| SessionId::new(self.lease.cast_unsigned())),
            profile: Profile::decode(self.value),
            ours: name.split_once('-').is_some_and(|(_, guid)| Guid::parse(guid).is_some()),
        })
    }

    /// The election that it is an entry of, going by its shape alone: its last segment begins with its own lease.
    pub(crate) fn election(&self) -> Option<&str> {
        let (election, name) = std::str::from_utf8(self.key).ok()?.rsplit_once('/')?;
        (self.lease != 0 && lease(name) == format!("{:x}", self.lease)).then_some(election)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row<'a>(key: &'a str, value: &'a str, lease: i64) -> Row<'a> {
        Row { key: key.as_bytes(), value: value.as_bytes(), created: 7, lease }
    }

    #[test]
    fn an_entry_reads_back() {
        let election = ElectionName::new("billing/report").unwrap();
        let guid = Guid::random();
        let name = name(0x1a2b, guid);
        assert_eq!(name, format!("1a2b-{guid}"));
        let key = key(&election, &name);
        let entry = row(&key, "worker-7", 0x1a2b).entry(&prefix(&election)).unwrap();
        assert_eq!(entry.key, EntryKey::new(name, Token::new(7)));
        assert_eq!(entry.session, Some(SessionId::new(0x1a2b)));
        assert_eq!(entry.profile, Profile::new("worker-7"));
        assert!(entry.ours);
    }

    #[test]
    fn peers_are_entries_but_not_ours() {
        for (name, lease) in [("1a2b", 0x1a2b), ("1a2b-2", 0x1a2b), ("lock", 0)] {
            let entry = row(&format!("e/{name}"), "x", lease).entry("e/").unwrap();
            assert_eq!((&*entry.key.name, entry.ours), (name, false));
            assert_eq!(entry.session.is_some(), lease != 0);
        }
    }

    #[test]
    fn deeper_and_foreign_keys_are_no_entries() {
        for key in ["e/sub/1a2b", "e/", "e", "ef/1a2b", "f/1a2b"] {
            assert!(row(key, "", 1).entry("e/").is_none(), "{key}");
        }
    }

    #[test]
    fn elections_are_known_by_the_shape_of_their_entries() {
        for (key, lease, election) in [
            ("a/b/1a2b", 0x1a2b, Some("a/b")),
            ("a/1a2b-2", 0x1a2b, Some("a")),
            ("/a/1a2b-2-3", 0x1a2b, Some("/a")),
            ("a/1a2b", 0, None),
            ("a/1a2b", 0x1a2c, None),
            ("a/01a2b", 0x1a2b, None),
            ("a/1A2B", 0x1a2b, None),
            ("1a2b", 0x1a2b, None),
            ("registry/leases/kube-system/x", 0x1a2b, None),
        ] {
            assert_eq!(row(key, "", lease).election(), election, "{key}");
        }
    }
}
