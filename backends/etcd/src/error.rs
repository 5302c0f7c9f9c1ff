//! What the client crate's errors mean.

use std::error::Error as _;

use etcd_client::Error;
use incumbent_core::ErrorKind;
use tonic::{Code, ConnectError, Status};

/// What a failed request leaves behind, and what to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Refused for good, by the ensemble or by our own side: nothing was written, nothing will be.
    Refused(ErrorKind),
    /// This member did nothing and will do nothing; another may.
    Elsewhere,
    /// A write may have landed, or may land later. A read that nobody else answers is of this kind.
    Ambiguous(ErrorKind),
}

use ErrorKind::{InvalidInput, PermissionDenied, Refused, SessionGone, Unavailable, Unexpected};
use Verdict::{Ambiguous, Elsewhere};

/// The one place that knows the client crate's errors.
#[allow(unreachable_patterns, reason = "a feature of the client crate that somebody else turns on adds a variant")]
pub(crate) fn verdict(error: &Error) -> Verdict {
    match error {
        Error::InvalidArgs(_) | Error::InvalidUri(_) => Verdict::Refused(InvalidInput),
        Error::TransportError(error) => transport(error),
        Error::GRpcStatus(status) => of_status(status),
        // The client crate's own words for a reply with a TTL of 0.
        Error::LeaseKeepAliveError(text) if text == "lease not found" => Verdict::Refused(SessionGone),
        // A closed stream.
        Error::IoError(_) | Error::WatchError(_) | Error::LeaseKeepAliveError(_) => Ambiguous(Unavailable),
        Error::Utf8Error(_)
        | Error::ElectError(_)
        | Error::InvalidMetadataValue(_)
        | Error::EndpointError(_)
        | Error::EndpointsNotManaged
        | Error::Internal(_) => Verdict::Refused(Unexpected),
        _ => Ambiguous(Unexpected),
    }
}

fn of_status(status: &Status) -> Verdict {
    // A status with a source was made on this side; its code says little: a broken connection is mostly `Unknown`.
    if let Some(source) = status.source() {
        return transport(source);
    }
    let message = status.message();
    match status.code() {
        // "no leader" and "learner" are said before a request is looked at, "too many requests" before it is proposed.
        Code::Unavailable if message.contains("no leader") || message.contains("learner") => Elsewhere,
        Code::ResourceExhausted if message.contains("too many requests") => Elsewhere,
        // Timed out, leader changed, server stopped.
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => Ambiguous(Unavailable),
        Code::PermissionDenied | Code::Unauthenticated => Verdict::Refused(PermissionDenied),
        Code::InvalidArgument if AUTHENTICATION.iter().any(|words| message.contains(words)) => {
            Verdict::Refused(PermissionDenied)
        }
        Code::NotFound if message.contains("lease not found") => Verdict::Refused(SessionGone),
        // Raft's own words, around a change of the leader or a stop.
        Code::Unknown if message.starts_with("raft") => Ambiguous(Unavailable),
        // Said by this side of an answer that it cannot take.
        Code::OutOfRange if !message.starts_with("etcdserver:") => Ambiguous(Unexpected),
        // Said by the server before it does anything; space exceeded and a corrupt cluster wait for an operator.
        Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::ResourceExhausted
        | Code::Unimplemented
        | Code::DataLoss => Verdict::Refused(Refused),
        Code::Ok | Code::Unknown | Code::Aborted | Code::Internal => Ambiguous(Unexpected),
    }
}

/// What the server says with the code of an invalid argument, but means us.
const AUTHENTICATION: [&str; 3] = ["user name is empty", "authentication failed", "revision of auth store is old"];

fn transport(error: &(dyn std::error::Error + 'static)) -> Verdict {
    let mut cause = Some(error);
    while let Some(error) = cause {
        // Without a connection nothing was sent.
        if error.is::<ConnectError>() {
            return Elsewhere;
        }
        cause = error.source();
    }
    Ambiguous(Unavailable)
}

/// Whether a lease of the asked id was there already.
pub(crate) fn lease_exists(error: &Error) -> bool {
    matches!(error, Error::GRpcStatus(status) if status.source().is_none() && status.message().contains("lease already exists"))
}

/// The error in a few words: what the server said, or the innermost cause.
pub(crate) fn describe(error: &Error) -> String {
    let cause: &(dyn std::error::Error + 'static) = match error {
        Error::GRpcStatus(status) => match status.source() {
            Some(source) => source,
            None if status.message().is_empty() => return format!("status {:?}", status.code()),
            None => return status.message().to_owned(),
        },
        Error::TransportError(error) => error,
        other => return other.to_string(),
    };
    let mut innermost = cause;
    while let Some(deeper) = innermost.source() {
        innermost = deeper;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn said(code: Code, message: &str) -> Error {
        Error::GRpcStatus(Status::new(code, message))
    }

    /// As the transport makes them: a code, and the true cause underneath.
    fn local(code: Code, source: impl std::error::Error + Send + Sync + 'static) -> Error {
        let mut status = Status::new(code, "transport");
        status.set_source(Arc::new(source));
        Error::GRpcStatus(status)
    }

    fn io() -> std::io::Error {
        std::io::Error::from(std::io::ErrorKind::ConnectionRefused)
    }

    #[test]
    fn every_error_has_its_verdict() {
        let utf8 = String::from_utf8(vec![0xff]).unwrap_err().utf8_error();
        for (error, expected) in [
            (Error::InvalidArgs(String::new()), Verdict::Refused(InvalidInput)),
            (Error::IoError(io()), Ambiguous(Unavailable)),
            (Error::WatchError("channel closed".into()), Ambiguous(Unavailable)),
            (Error::LeaseKeepAliveError("channel closed".into()), Ambiguous(Unavailable)),
            (Error::LeaseKeepAliveError("lease not found".into()), Verdict::Refused(SessionGone)),
            (Error::Utf8Error(utf8), Verdict::Refused(Unexpected)),
            (Error::ElectError(String::new()), Verdict::Refused(Unexpected)),
            (Error::EndpointError(String::new()), Verdict::Refused(Unexpected)),
            (Error::EndpointsNotManaged, Verdict::Refused(Unexpected)),
            (Error::Internal(String::new()), Verdict::Refused(Unexpected)),
            // What our side makes of a connection: only without one is it certain that nothing was sent.
            (local(Code::Unavailable, ConnectError(Box::new(io()))), Elsewhere),
            (local(Code::Unavailable, io()), Ambiguous(Unavailable)),
            (local(Code::Unknown, io()), Ambiguous(Unavailable)),
            (local(Code::Cancelled, io()), Ambiguous(Unavailable)),
            (local(Code::PermissionDenied, io()), Ambiguous(Unavailable)),
            // What the server says.
            (said(Code::Unavailable, "etcdserver: no leader"), Elsewhere),
            (said(Code::Unavailable, "etcdserver: rpc not supported for learner"), Elsewhere),
            (said(Code::ResourceExhausted, "etcdserver: too many requests"), Elsewhere),
            (said(Code::Unavailable, "etcdserver: leader changed"), Ambiguous(Unavailable)),
            (said(Code::Unavailable, "etcdserver: request timed out"), Ambiguous(Unavailable)),
            (
                said(Code::Unavailable, "etcdserver: request timed out, possibly due to previous leader failure"),
                Ambiguous(Unavailable),
            ),
            (said(Code::Unavailable, "etcdserver: server stopped"), Ambiguous(Unavailable)),
            (said(Code::Unavailable, "transport is closing"), Ambiguous(Unavailable)),
            (said(Code::DeadlineExceeded, "context deadline exceeded"), Ambiguous(Unavailable)),
            (said(Code::Cancelled, "context canceled"), Ambiguous(Unavailable)),
            (said(Code::PermissionDenied, "etcdserver: permission denied"), Verdict::Refused(PermissionDenied)),
            (said(Code::Unauthenticated, "etcdserver: invalid auth token"), Verdict::Refused(PermissionDenied)),
            (said(Code::InvalidArgument, "etcdserver: user name is empty"), Verdict::Refused(PermissionDenied)),
            (
                said(Code::InvalidArgument, "etcdserver: authentication failed, invalid user ID or password"),
                Verdict::Refused(PermissionDenied),
            ),
            (
                said(Code::InvalidArgument, "etcdserver: revision of auth store is old"),
                Verdict::Refused(PermissionDenied),
            ),
            (said(Code::InvalidArgument, "etcdserver: request is too large"), Verdict::Refused(Refused)),
            (said(Code::NotFound, "etcdserver: requested lease not found"), Verdict::Refused(SessionGone)),
            (said(Code::NotFound, "etcdserver: member not found"), Verdict::Refused(Refused)),
            (said(Code::AlreadyExists, ""), Verdict::Refused(Refused)),
            (said(Code::FailedPrecondition, "etcdserver: lease already exists"), Verdict::Refused(Refused)),
            (
                said(Code::OutOfRange, "etcdserver: mvcc: required revision has been compacted"),
                Verdict::Refused(Refused),
            ),
            (said(Code::OutOfRange, "Error, decoded message length too large"), Ambiguous(Unexpected)),
            (said(Code::ResourceExhausted, "etcdserver: mvcc: database space exceeded"), Verdict::Refused(Refused)),
            (said(Code::Unimplemented, "unknown service"), Verdict::Refused(Refused)),
            (said(Code::DataLoss, "etcdserver: corrupt cluster"), Verdict::Refused(Refused)),
            (said(Code::Ok, ""), Ambiguous(Unexpected)),
            (said(Code::Unknown, "raft proposal dropped"), Ambiguous(Unavailable)),
            (said(Code::Unknown, "raft: stopped"), Ambiguous(Unavailable)),
            (said(Code::Unknown, "something else"), Ambiguous(Unexpected)),
            (said(Code::Aborted, ""), Ambiguous(Unexpected)),
            (said(Code::Internal, ""), Ambiguous(Unexpected)),
        ] {
            assert_eq!(verdict(&error), expected, "{error:?}");
        }
    }

    #[test]
    fn a_taken_lease_id_is_recognised() {
        assert!(lease_exists(&said(Code::FailedPrecondition, "etcdserver: lease already exists")));
        assert!(!lease_exists(&said(Code::FailedPrecondition, "etcdserver: something else")));
    }

    #[test]
    fn the_innermost_cause_is_told() {
        assert_eq!(describe(&local(Code::Unknown, ConnectError(Box::new(io())))), "connection refused");
        assert_eq!(describe(&said(Code::Unavailable, "etcdserver: no leader")), "etcdserver: no leader");
        assert_eq!(describe(&said(Code::Internal, "")), "status Internal");
    }
}
