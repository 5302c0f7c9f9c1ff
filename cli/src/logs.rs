//! The SDK's own log, for whoever looks for a fault.

use std::{env, io};

use tracing_subscriber::EnvFilter;

use crate::exit::Failure;

/// Logs to standard error what `INCUMBENT_LOG` or else `RUST_LOG` asks for; nothing if neither is set.
pub(crate) fn init() -> Result<(), Failure> {
    let set = |name| env::var(name).ok().filter(|value| !value.is_empty()).map(|value| (name, value));
    let Some((name, value)) = set("INCUMBENT_LOG").or_else(|| set("RUST_LOG")) else { return Ok(()) };
    let filter = EnvFilter::try_new(&value).map_err(|error| {
        Failure::Usage(format!(
            "could not use {name}={value:?}: {error}; give a level such as debug or incumbent=trace"
        ))
    })?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        // It would panic where standard error is closed.
        .log_internal_errors(false)
        .init();
    Ok(())
}
