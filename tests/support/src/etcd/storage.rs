//! Where members keep their data.

use std::env;
use std::fs;
use std::path::PathBuf;

/// A new folder, of a name used by no other, on a real disk: what a killed member has synced is then what it finds.
pub(crate) fn create() -> PathBuf {
    let folder = parent().join(format!("incumbent-etcd-{:016x}", fastrand::u64(..)));
    fs::create_dir(&folder).unwrap_or_else(|error| panic!("cannot create {}: {error}", folder.display()));
    folder
}

fn parent() -> PathBuf {
    let temporary = env::temp_dir();
    let on_disk = rustix::fs::statfs(&temporary).is_ok_and(|found| found.f_type != TMPFS_MAGIC);
    if on_disk { temporary } else { "/var/tmp".into() }
}

/// `TMPFS_MAGIC` of linux/magic.h.
const TMPFS_MAGIC: rustix::fs::FsWord = 0x0102_1994;
