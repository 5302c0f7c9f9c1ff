//! The end of a cluster whose test was killed.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A shell that waits for the end of the cluster, whatever ends it, then kills the members that still run and removes
/// their folder.
///
/// It waits on a pipe whose only writer is this process: not even SIGKILL leaves that open. `PR_SET_PDEATHSIG` would
/// be the usual way, but it needs `unsafe`, and kills when the spawning *thread* ends.
#[derive(Debug)]
pub(crate) struct Guardian(Child);

impl Guardian {
    /// Watches over all processes whose command line has a `--data-dir` in `folder`, those started later too.
    pub(crate) fn over(folder: &Path) -> Self {
        let shell = Command::new("/bin/sh")
            .args(["-c", SCRIPT])
            .env("folder", folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // A signal to the test's process group is not for the guardian: Ctrl-C, or the timeout of nextest.
            .process_group(0)
            .spawn();
        Self(shell.expect("/bin/sh starts"))
    }
}

/// The regular end: the folder is gone when this returns.
impl Drop for Guardian {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        match self.0.wait() {
            Ok(status) if status.success() => {}
            ended => eprintln!("something of the etcd cluster is left behind: {ended:?}"),
        }
    }
}

/// The command line is what tells a member from a process that got its pid since. The pattern goes in by a pipe, so
/// that grep's own command line does not match. The loop is for members that die slowly, writing.
const SCRIPT: &str = r#"
cat >/dev/null
for attempt in $(seq 100); do
    found=$(printf '%s\n' "--data-dir=$folder/" | grep -aslFf - /proc/[0-9]*/cmdline)
    [ -z "$found" ] && rm -rf "$folder" && exit
    for process in $found; do
        process=${process#/proc/}
        kill -9 "${process%/cmdline}"
    done
    sleep 0.05
done
exit 1
"#;
