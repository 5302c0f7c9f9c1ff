use std::{convert::Infallible, error, fmt, sync::Arc};

/// What went wrong, in the words of a caller that has to decide what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The caller gave something that can never work: a bad name, URL, option, or durations in a wrong relation.
    InvalidInput,
    /// The ensemble answered, and refused: nothing was written. Trying again without a change is useless.
    Refused,
    /// The ensemble refused for lack of permission or wrong credentials: nothing was written.
    PermissionDenied,
    /// Nothing was written, and it may work later: no member answers, or there is no quorum.
    Unavailable,
    /// The write may have landed, or may land later.
    OutcomeUnknown,
    /// The session is over; its entries are gone or about to go.
    SessionGone,
    /// This side closed it.
    Closed,
    /// The ensemble answered something that this version cannot understand.
    Unexpected,
}

/// Why an operation failed: kind, operation, subject and cause, in one sentence.
///
/// Cheap to clone. No message holds a secret.
#[derive(Clone)]
pub struct Error(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    operation: &'static str,
    subject: Option<String>,
    reason: Option<String>,
    source: Option<Arc<dyn error::Error + Send + Sync>>,
}

/// The result of most calls.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A failed `operation`, named as one would say "could not *operation*".
    #[must_use]
    pub fn new(kind: ErrorKind, operation: &'static str) -> Self {
        Self(Arc::new(Inner { kind, operation, subject: None, reason: None, source: None }))
    }

    /// Names what the operation was on: a key, an endpoint, a value.
    #[must_use]
    pub fn on(self, subject: impl fmt::Display) -> Self {
        self.with(|inner| inner.subject = Some(subject.to_string()))
    }

    /// Says what came back and what to do about it.
    #[must_use]
    pub fn because(self, reason: impl fmt::Display) -> Self {
        self.with(|inner| inner.reason = Some(reason.to_string()))
    }

    /// Keeps the error underneath.
    #[must_use]
    pub fn caused_by(self, source: impl error::Error + Send + Sync + 'static) -> Self {
        self.with(|inner| inner.source = Some(Arc::new(source)))
    }

    fn with(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }

    /// The kind of failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What was tried.
    #[must_use]
    pub fn operation(&self) -> &'static str {
        self.0.operation
    }

    /// What it was tried on, where there is such a thing.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.0.subject.as_deref()
    }

    /// Whether the same call may succeed later without a change on the caller's side.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self.kind(), ErrorKind::Unavailable | ErrorKind::OutcomeUnknown | ErrorKind::SessionGone)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { kind, operation, subject, reason, .. } = &*self.0;
        write!(f, "could not {operation}")?;
        if let Some(subject) = subject {
            write!(f, " {subject}")?;
        }
        match reason {
            Some(reason) => write!(f, ": {reason}"),
            None => write!(f, ": {kind}"),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}({self})", self.kind())
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

/// A conversion that cannot fail has no error; so whoever takes what becomes a name takes a name, too.
impl From<Infallible> for Error {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InvalidInput => "the input is invalid",
            Self::Refused => "the ensemble refused",
            Self::PermissionDenied => "permission denied",
            Self::Unavailable => "the ensemble is unavailable",
            Self::OutcomeUnknown => "the outcome is unknown",
            Self::SessionGone => "the session is gone",
            Self::Closed => "it is closed",
            Self::Unexpected => "the ensemble's answer is not understood",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_sentence_says_it_all() {
        let error = Error::new(ErrorKind::Refused, "join").on("jobs/a").because("the queue is full; use another");
        assert_eq!(error.to_string(), "could not join jobs/a: the queue is full; use another");
        assert_eq!(format!("{error:?}"), "Refused(could not join jobs/a: the queue is full; use another)");
        assert_eq!(Error::new(ErrorKind::Closed, "join").to_string(), "could not join: it is closed");
    }

    #[test]
    fn only_what_may_pass_is_retryable() {
        use ErrorKind::*;
        for (kind, retryable) in [
            (InvalidInput, false),
            (Refused, false),
            (PermissionDenied, false),
            (Unavailable, true),
            (OutcomeUnknown, true),
            (SessionGone, true),
            (Closed, false),
            (Unexpected, false),
        ] {
            assert_eq!(Error::new(kind, "x").is_retryable(), retryable, "{kind:?}");
        }
    }
}
