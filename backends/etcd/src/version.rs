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
            ("3.3.27", &[RevokesLiveLeases][..]),
            ("3.4.0", &[RevokesLiveLeases]),
            ("3.4.23", &[RevokesLiveLeases]),
            ("3.4.30", &[RevokesLiveLeases]),
            ("3.4.31", &[]),
            ("3.4.99", &[]),
            ("3.5.0", &[RevokesLiveLeases, Inconsistency]),
            ("3.5.0-rc.1", &[RevokesLiveLeases, Inconsistency]),
            ("3.5.2", &[RevokesLiveLeases, Inconsistency]),
            ("3.5.3", &[RevokesLiveLeases]),
            ("3.5.12", &[RevokesLiveLeases]),
            ("3.5.13", &[]),
            ("3.5.16", &[]),
            ("3.6.0", &[]),
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
