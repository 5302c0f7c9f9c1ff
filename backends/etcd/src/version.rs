use std::fmt;

/// A fault of an etcd version that no client can make good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KnownHole {
    /// A leader whose disk stalls goes on revoking leases that a newer leader keeps alive
    /// ([etcd #15247](https://github.com/etcd-io/etcd/issues/15247)).
    RevokesLiveLeases,
    /// A member killed under load may come back with other data than the rest
    /// ([etcd #13766](https://github.com/etcd-io/etcd/issues/13766)).
    Inconsistency,
    /// A member that was paused while the leader changed may answer a linearizable read from before
    /// ([etcd #20418](https://github.com/etcd-io/etcd/issues/20418)).
    StaleReads,
}

impl fmt::Display for KnownHole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RevokesLiveLeases => {
                "can itself revoke live leases after its leader's disk stalls; upgrade to 3.4.31, 3.5.13 or later; until then \
                 only fencing tokens cover it"
            }
            Self::Inconsistency => {
                "can lose the consistency of its data when a member is killed under load; upgrade to 3.5.13 or later"
            }
            Self::StaleReads => {
                "can answer a linearizable read from before a change of its leader when a member was paused meanwhile; upgrade \
                 to 3.4.42, 3.5.28, 3.6.9 or later; until then only fencing tokens cover it"
            }
        })
    }
}

/// The known holes of a server version, such as `3.5.16`; none for what is no version number.
#[must_use]
pub fn known_holes(version: &str) -> Vec<KnownHole> {
    let Some(version) = parse(version) else { return Vec::new() };
    let mut holes = Vec::new();
    if version < (3, 4, 31) || ((3, 5, 0)..(3, 5, 13)).contains(&version) {
        holes.push(KnownHole::RevokesLiveLeases);
    }
    if ((3, 5, 0)..(3, 5, 3)).contains(&version) {
        holes.push(KnownHole::Inconsistency);
    }
    let fixed = match version {
        (3, 5, patch) => patch >= 28,
        (3, 6, patch) => patch >= 9,
        other => other >= (3, 4, 42),
    };
    if !fixed {
        holes.push(KnownHole::StaleReads);
    }
    holes
}

/// A pre-release counts as its release: it has no fix that the release lacks, and is no place to run elections anyway.
fn parse(version: &str) -> Option<(u64, u64, u64)> {
    let release = version.split(['-', '+']).next()?;
    let mut numbers = release.split('.').map(|number| number.parse().ok());
    let parsed = (numbers.next()??, numbers.next()??, numbers.next()??);
    numbers.next().is_none().then_some(parsed)
}

#[cfg(test)]
mod tests {
    use super::{KnownHole::*, *};

    #[test]
    fn holes_by_version() {
        for (version, holes) in [
            ("3.3.27", &[RevokesLiveLeases, StaleReads][..]),
            ("3.4.0", &[RevokesLiveLeases, StaleReads]),
            ("3.4.23", &[RevokesLiveLeases, StaleReads]),
            ("3.4.30", &[RevokesLiveLeases, StaleReads]),
            ("3.4.31", &[StaleReads]),
            ("3.4.41", &[StaleReads]),
            ("3.4.42", &[]),
            ("3.4.99", &[]),
            ("3.5.0", &[RevokesLiveLeases, Inconsistency, StaleReads]),
            ("3.5.0-rc.1", &[RevokesLiveLeases, Inconsistency, StaleReads]),
            ("3.5.2", &[RevokesLiveLeases, Inconsistency, StaleReads]),
            ("3.5.3", &[RevokesLiveLeases, StaleReads]),
            ("3.5.12", &[RevokesLiveLeases, StaleReads]),
            ("3.5.13", &[StaleReads]),
            ("3.5.16", &[StaleReads]),
            ("3.5.27", &[StaleReads]),
            ("3.5.28", &[]),
            ("3.6.0", &[StaleReads]),
            ("3.6.8", &[StaleReads]),
            ("3.6.9", &[]),
            ("4.0.0", &[]),
            ("", &[]),
            ("3.5", &[]),
            ("3.5.x", &[]),
            ("3.5.0.1", &[]),
        ] {
            assert_eq!(known_holes(version), holes, "{version}");
        }
    }
}
