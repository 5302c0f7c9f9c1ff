use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

/// What a candidate tells about itself in its entry: its id, and optionally where to reach it and free metadata.
///
/// In the store it is the id alone, as every other library writes it; with an address or metadata it is a JSON object,
/// `{"id":…,"address":…,"metadata":{…}}`, which only fleets of this SDK can read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// Who it is: host name, pod name, worker number.
    pub id: String,
    /// The address it advertises to those who look for the leader.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Anything else.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// What the store held, where it was not UTF-8; `id` then shows it as well as can be.
    #[serde(skip)]
    pub undecoded: Option<Vec<u8>>,
}

impl Profile {
    /// A profile with nothing but an id.
    #[must_use]
    pub fn new(id: impl Into<String>) -> Self {
        Self { id: id.into(), ..Self::default() }
    }

    /// The bytes to keep in the store.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        // An id that reads as an encoded profile is wrapped, so that decoding gives back what was encoded.
        if self.address.is_none() && self.metadata.is_empty() && structured(&self.id).is_none() {
            return self.id.clone().into_bytes();
        }
        // Strings and maps of strings always serialize.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads what any candidate, ours or a peer's, may have written. Never fails: what is not understood is the id.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => structured(text).unwrap_or_else(|| Self::new(text)),
            Err(_) => Self { undecoded: Some(bytes.to_vec()), ..Self::new(String::from_utf8_lossy(bytes)) },
        }
    }
}

fn structured(text: &str) -> Option<Profile> {
    if text.starts_with('{') { serde_json::from_str(text).ok() } else { None }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_id_alone_is_written_as_every_peer_writes_it() {
        assert_eq!(Profile::new("worker-7").encode(), b"worker-7");
    }

    #[test]
    fn the_id_comes_first() {
        let profile = Profile { address: Some("http://a".into()), ..Profile::new("w") };
        assert_eq!(profile.encode(), br#"{"id":"w","address":"http://a"}"#);
    }

    #[test]
    fn what_is_not_ours_is_the_id() {
        for text in ["", "{", r#"{"holder":"x"}"#, r#"{"id":7}"#, "[1]", "ünï"] {
            assert_eq!(Profile::decode(text.as_bytes()), Profile::new(text));
        }
        let lossy = Profile::decode(b"a\xff");
        assert_eq!((lossy.id.as_str(), lossy.undecoded.as_deref()), ("a\u{fffd}", Some(&b"a\xff"[..])));
    }

    proptest! {
        #[test]
        fn decoding_gives_back_what_was_encoded(
            id in any::<String>(),
            address in any::<Option<String>>(),
            metadata in proptest::collection::btree_map(any::<String>(), any::<String>(), 0..4),
        ) {
            let profile = Profile { id, address, metadata, undecoded: None };
            prop_assert_eq!(Profile::decode(&profile.encode()), profile);
        }

        #[test]
        fn an_id_that_looks_like_a_profile_is_still_an_id(id in "[a-z]{1,5}") {
            let profile = Profile::new(format!(r#"{{"id":"{id}"}}"#));
            prop_assert_eq!(Profile::decode(&profile.encode()), profile);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in any::<Vec<u8>>()) {
            let _ = Profile::decode(&bytes);
        }
    }
}
