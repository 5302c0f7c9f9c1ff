//! When to stop.

use tokio::sync::watch;

use crate::exit::Failure;

/// Whether somebody has asked the process to stop.
#[derive(Debug)]
pub(crate) struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Waits until it has been asked to.
    pub(crate) async fn asked(&mut self) {
        if self.0.wait_for(|asked| *asked).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// The first signal asks; a second one ends the process at once, with 128 and its number.
    #[cfg(unix)]
    pub(crate) fn on_signals() -> Result<Self, Failure> {
        use tokio::signal::unix::{SignalKind, signal};

        let failed = |error| Failure::Ensemble(format!("could not listen to signals: {error}"));
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let hangup = if is_ignored(SignalKind::hangup()) { None } else { signal(SignalKind::hangup()).ok() };
        let (ask, asked) = watch::channel(false);
        tokio::spawn(async move {
            let mut hangup = hangup;
            loop {
                let signal = tokio::select! {
                    _ = interrupt.recv() => SignalKind::interrupt(),
                    _ = terminate.recv() => SignalKind::terminate(),
                    () = received(&mut hangup) => SignalKind::hangup(),
                };
                if ask.send_replace(true) {
                    std::process::exit(128 + signal.as_raw_value());
                }
            }
        });
        Ok(Self(asked))
    }

    /// Ctrl-C asks; a second one ends the process at once.
    #[cfg(not(unix))]
    pub(crate) fn on_signals() -> Result<Self, Failure> {
        let (ask, asked) = watch::channel(false);
        tokio::spawn(async move {
            while tokio::signal::ctrl_c().await.is_ok() {
                if ask.send_replace(true) {
                    std::process::exit(130);
                }
            }
        });
        Ok(Self(asked))
    }
}

#[cfg(unix)]
async fn received(signal: &mut Option<tokio::signal::unix::Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

/// Whether whoever started the process wants it to go on after this signal, as `nohup` does.
#[cfg(unix)]
fn is_ignored(signal: tokio::signal::unix::SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // Where the system does not tell, the safe answer is that it is.
    mask.is_none_or(|mask| mask >> (signal.as_raw_value() - 1) & 1 == 1)
}
