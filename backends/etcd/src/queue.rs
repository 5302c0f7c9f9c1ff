//! What the answers say about a queue.

use std::sync::Arc;

use etcd_client::{
    Compare, CompareOp, GetOptions, PutOptions, ResponseHeader, SortOrder, SortTarget, Txn, TxnOp, TxnOpResponse,
    TxnResponse,
};
use incumbent_core::{Ahead, ElectionName, Entry, Error, ErrorKind, Place, Result, Revision, Token};

use crate::layout::{self, Row};

/// One round trip: puts the entry if its key is not there, and reads the end of the queue; else reads the entry.
pub(crate) fn enqueue(election: &ElectionName, key: &str, value: Vec<u8>, lease: i64) -> Txn {
    Txn::new()
        .when([Compare::create_revision(key, CompareOp::Equal, 0)])
        .and_then([
            TxnOp::put(key, value, Some(PutOptions::new().with_lease(lease))),
            TxnOp::get(layout::prefix(election), Some(newest().with_keys_only())),
        ])
        .or_else([TxnOp::get(key, Some(GetOptions::new().with_keys_only()))])
}

/// The entry created at `token` and those right before it.
pub(crate) fn before(token: Token) -> GetOptions {
    newest().with_keys_only().with_max_create_revision(token.get().cast_signed())
}

/// All entries in order of succession.
pub(crate) fn all() -> GetOptions {
    GetOptions::new().with_prefix().with_sort(SortTarget::Create, SortOrder::Ascend)
}

fn newest() -> GetOptions {
    GetOptions::new().with_prefix().with_sort(SortTarget::Create, SortOrder::Descend).with_limit(SEEN)
}

/// Own entry, next, and enough for a count that is exact up to 2.
const SEEN: i64 = 4;

/// Deletes the key if it is the entry of this token.
pub(crate) fn remove(key: &str, token: Token) -> Txn {
    let ours = Compare::create_revision(key, CompareOp::Equal, token.get().cast_signed());
    Txn::new().when([ours]).and_then([TxnOp::delete(key, None)])
}

/// Deletes the key if it lives with this lease.
pub(crate) fn retire(key: &str, lease: i64) -> Txn {
    Txn::new().when([Compare::lease(key, CompareOp::Equal, lease)]).and_then([TxnOp::delete(key, None)])
}

/// What came of [`enqueue`].
#[derive(Debug)]
pub(crate) enum Enqueued {
    /// The entry is new.
    New(Token, Place),
    /// The entry was there.
    Standing(Token),
    /// The entry is new, but stands in the queue of a deeper election too, which begins with this key.
    Nested(Token, String),
    /// The key lives with another lease.
    Taken,
}

/// Reads the answer to [`enqueue`].
pub(crate) fn enqueued(election: &ElectionName, key: &str, lease: i64, answer: &TxnResponse) -> Result<Enqueued> {
    let unexpected =
        || Error::new(ErrorKind::Unexpected, "join").on(election).because("the answer to the put is incomplete");
    let responses = answer.op_responses();
    let Some(TxnOpResponse::Get(read)) = responses.last() else { return Err(unexpected()) };
    let rows: Vec<Row<'_>> = read.kvs().iter().map(Row::from).collect();
    let own = *rows.first().filter(|row| row.key == key.as_bytes()).ok_or_else(unexpected)?;
    if own.lease != lease {
        return Ok(Enqueued::Taken);
    }
    if !answer.succeeded() {
        return Ok(Enqueued::Standing(own.token()));
    }
    let prefix = layout::prefix(election);
    if let Some(deeper) = rows.iter().find(|row| row.name(&prefix).is_none()) {
        return Ok(Enqueued::Nested(own.token(), deeper.shown()));
    }
    let revision = revision(answer.header()).map_err(|_| unexpected())?;
    let mut place = place(election, &rows, revision)?;
    // Everybody else was there before.
    place.ahead = usize::try_from(read.count()).unwrap_or(0).saturating_sub(1);
    Ok(Enqueued::New(own.token(), place))
}

/// The place of the first of `rows`, which are in reverse order of succession.
pub(crate) fn place(election: &ElectionName, rows: &[Row<'_>], revision: Revision) -> Result<Place> {
    let next = match rows.get(1) {
        None => None,
        Some(row) => {
            let prefix = layout::prefix(election);
            let name: Arc<str> = row.name(&prefix).ok_or_else(|| blocked(election, &row.shown()))?.into();
            Some(Ahead { name, token: Some(row.token()) })
        }
    };
    Ok(Place { next, ahead: rows.len().saturating_sub(1), revision })
}

fn blocked(election: &ElectionName, key: &str) -> Error {
    Error::new(ErrorKind::Refused, "find the place in").on(election).because(format!(
        "it is blocked behind the key {key:?} of another election below it, or of no election at all; delete that key or \
         rename one of the elections"
    ))
}

pub(crate) fn nested(election: &ElectionName, key: &str) -> Error {
    Error::new(ErrorKind::Refused, "join").on(election).because(format!(
        "the key {key:?} of another election, or of no election at all, stands below it, and candidates would wait for it; \
         delete that key or rename one of the elections"
    ))
}

/// The entries among `rows`.
pub(crate) fn entries<'a>(election: &ElectionName, rows: impl Iterator<Item = Row<'a>>) -> Vec<Entry> {
    let prefix = layout::prefix(election);
    rows.filter_map(|row| row.entry(&prefix)).collect()
}

/// The point in history of an answer.
pub(crate) fn revision(header: Option<&ResponseHeader>) -> Result<Revision> {
    let header =
        header.ok_or_else(|| Error::new(ErrorKind::Unexpected, "read the answer").because("it has no header"))?;
    Ok(Revision::new(header.revision().cast_unsigned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows<'a>(keys: &[&'a str]) -> Vec<Row<'a>> {
        let created = (1..=100).rev();
        keys.iter()
            .zip(created)
            .map(|(key, created)| Row { key: key.as_bytes(), value: b"", created, lease: 1 })
            .collect()
    }

    #[test]
    fn the_second_newest_is_next() {
        let election = ElectionName::new("e").unwrap();
        for (keys, next, ahead) in [
            (&["e/own"][..], None, 0),
            (&["e/own", "e/a"], Some("a"), 1),
            (&["e/own", "e/b", "e/a"], Some("b"), 2),
            (&["e/own", "e/b", "e/sub/x"], Some("b"), 2),
        ] {
            let place = place(&election, &rows(keys), Revision::new(7)).unwrap();
            assert_eq!(place.next.as_ref().map(|next| &*next.name), next);
            assert_eq!(place.ahead, ahead);
            assert_eq!(place.is_head(), next.is_none());
        }
    }

    #[test]
    fn a_deeper_key_right_ahead_is_told_and_not_waited_for() {
        let election = ElectionName::new("e").unwrap();
        let error = place(&election, &rows(&["e/own", "e/sub/x"]), Revision::new(7)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused);
        assert!(error.to_string().contains("\"e/sub/x\""), "{error}");
    }
}
