//! Where etcd's programs are.

use std::env;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The etcd programs to test with.
#[derive(Clone, Debug)]
pub struct Binaries {
    folder: PathBuf,
    version: String,
}

impl Binaries {
    /// The programs that the environment asks for: those in the folder `INCUMBENT_ETCD`, of whatever version; or else
    /// of the version `INCUMBENT_ETCD_VERSION`; or else of 3.5.
    ///
    /// # Errors
    ///
    /// [`Missing`] says what to run to get them.
    pub fn find() -> Result<Self, Missing> {
        if let Some(folder) = env::var_os("INCUMBENT_ETCD") {
            return Self::at(folder.into()).map_err(|error| Missing {
                what: format!("etcd in INCUMBENT_ETCD ({error})"),
                remedy: "put etcd and etcdctl there, or unset it".into(),
            });
        }
        Self::of(&env::var("INCUMBENT_ETCD_VERSION").unwrap_or_else(|_| "3.5".into()))
    }

    /// The programs of one minor version, say `3.4`: from `INCUMBENT_ETCD`, from the cache that `scripts/fetch-etcd`
    /// fills, or from the system.
    ///
    /// # Errors
    ///
    /// [`Missing`] says what to run to get them.
    pub fn of(version: &str) -> Result<Self, Missing> {
        let folders = [
            env::var_os("INCUMBENT_ETCD").map(PathBuf::from),
            cache().map(|cache| cache.join(format!("etcd-{version}"))),
            Some("/usr/bin".into()),
        ];
        let series = format!("{version}.");
        folders
            .into_iter()
            .flatten()
            .filter_map(|folder| Self::at(folder).ok())
            .find(|found| found.version.starts_with(&series))
            .ok_or_else(|| Missing { what: format!("etcd {version}"), remedy: remedy(version).into() })
    }

    fn at(folder: PathBuf) -> io::Result<Self> {
        let version = version_of(&folder.join("etcd"))?;
        if !folder.join("etcdctl").exists() {
            return Err(io::Error::other(format!("no etcdctl in {}", folder.display())));
        }
        Ok(Self { folder, version })
    }

    /// The full version, say `3.5.16`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The server's path.
    #[must_use]
    pub fn etcd(&self) -> PathBuf {
        self.folder.join("etcd")
    }

    /// The command line client's path.
    #[must_use]
    pub fn etcdctl(&self) -> PathBuf {
        self.folder.join("etcdctl")
    }
}

/// No such etcd here. Displays what to do about it.
#[derive(Clone, Debug)]
pub struct Missing {
    what: String,
    remedy: String,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no {}: {}", self.what, self.remedy)
    }
}

impl std::error::Error for Missing {}

fn remedy(version: &str) -> &'static str {
    match version {
        "3.5" => "run scripts/fetch-etcd, or set INCUMBENT_ETCD to a folder that holds etcd and etcdctl",
        "3.4" => "run `apt-get install etcd-server etcd-client` on Debian bookworm, or set INCUMBENT_ETCD to a folder",
        _ => "set INCUMBENT_ETCD to a folder that holds etcd and etcdctl of it",
    }
}

/// The same rule as in `scripts/fetch-etcd`.
fn cache() -> Option<PathBuf> {
    let set = |variable| env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("INCUMBENT_CACHE").or_else(|| {
        let home = || set("HOME").map(|home| home.join(".cache"));
        set("XDG_CACHE_HOME").or_else(home).map(|cache| cache.join("incumbent"))
    })
}

fn version_of(etcd: &Path) -> io::Result<String> {
    let output = Command::new(etcd)
        .arg("--version")
        .output()
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", etcd.display())))?;
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .find_map(|line| line.strip_prefix("etcd Version: "))
        .map(str::to_owned)
        .ok_or_else(|| io::Error::other(format!("{} told no version ({})", etcd.display(), output.status)))
}
