//! How the command ends: exit codes, and the one line that says why.

use std::{fmt, io, process::ExitCode};

use incumbent::{Error, ErrorKind};

use crate::output;

/// Shown by `--help`.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0        done; campaign: stopped as asked, and its entry is gone
  1        the ensemble cannot be reached, failed or refused
  2        wrong usage or input
  4        nobody leads (leader)
  5        permission denied
  129-143  campaign: a second signal came before it was done (128 + its number)

Log to standard error: INCUMBENT_LOG=debug (or RUST_LOG).";

/// Why a command did not do what it was asked to.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The SDK says why.
    Election(Error),
    /// There is no ensemble to ask.
    NoUrl,
    /// What was given cannot work.
    Usage(String),
    /// The ensemble did not do its part.
    Ensemble(String),
    /// There is no leader in this election.
    NobodyLeads(String),
    /// The answer cannot be written.
    Output(io::Error),
}

impl Failure {
    fn code(&self) -> u8 {
        match self {
            Self::Election(error) => match error.kind() {
                ErrorKind::InvalidInput => 2,
                ErrorKind::PermissionDenied => 5,
                _ => 1,
            },
            Self::NoUrl | Self::Usage(_) => 2,
            Self::NobodyLeads(_) => 4,
            // Whoever reads has read enough, as `head` does.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
            Self::Output(_) | Self::Ensemble(_) => 1,
        }
    }

    fn is_quiet(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Election(error) => error.fmt(f),
            Self::NoUrl => f.write_str(
                "could not find the ensemble: no URL is given; pass --url or set INCUMBENT_URL, such as \
                 INCUMBENT_URL=etcd://10.0.0.1:2379,10.0.0.2:2379,10.0.0.3:2379",
            ),
            Self::Usage(why) | Self::Ensemble(why) => f.write_str(why),
            Self::NobodyLeads(election) => write!(f, "could not name the leader of {election}: nobody stands"),
            Self::Output(error) => write!(f, "could not write to standard output: {error}"),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Election(error)
    }
}

/// Says what went wrong, if anything did, and with what the process ends.
pub(crate) fn conclude(result: Result<(), Failure>) -> ExitCode {
    let Err(failure) = result else { return ExitCode::SUCCESS };
    if !failure.is_quiet() {
        output::complain(&failure);
    }
    failure.code().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_has_its_documented_code() {
        let error = |kind| Failure::Election(Error::new(kind, "x"));
        let output = |kind: io::ErrorKind| Failure::Output(kind.into());
        for (failure, code) in [
            (error(ErrorKind::InvalidInput), 2),
            (error(ErrorKind::PermissionDenied), 5),
            (error(ErrorKind::Unavailable), 1),
            (error(ErrorKind::Refused), 1),
            (error(ErrorKind::OutcomeUnknown), 1),
            (Failure::NoUrl, 2),
            (Failure::Usage(String::new()), 2),
            (Failure::Ensemble(String::new()), 1),
            (Failure::NobodyLeads(String::new()), 4),
            (output(io::ErrorKind::BrokenPipe), 0),
            (output(io::ErrorKind::StorageFull), 1),
        ] {
            assert_eq!(failure.code(), code, "{failure:?}");
            assert!(code == 0 || EXIT_CODES.contains(&format!("\n  {code} ")), "{code} is not documented");
        }
    }
}
