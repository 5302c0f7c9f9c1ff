//! The subcommands, a file each.

mod campaign;
mod candidates;
mod leader;
mod query;

use clap::Subcommand;
use tokio::runtime::Builder;

use crate::{args::Cli, exit::Failure, logs};

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Campaign(campaign::Campaign),
    Candidates(candidates::Candidates),
    Leader(leader::Leader),
}

/// Does what the command line asks for.
pub(crate) fn run(cli: Cli) -> Result<(), Failure> {
    logs::init()?;
    // One thread besides this one, so that signals count even while an answer cannot be written.
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| Failure::Ensemble(format!("could not start: {error}")))?;
    let result = runtime.block_on(async {
        match cli.command {
            Command::Campaign(campaign) => campaign.run(&cli.target).await,
            Command::Candidates(candidates) => candidates.run(&cli.target).await,
            Command::Leader(leader) => leader.run(&cli.target).await,
        }
    });
    // A host name that is still being looked up would be waited for.
    runtime.shutdown_background();
    result
}
