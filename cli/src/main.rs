//! The incumbent command: stand for leadership from a terminal, and see every candidate.

mod args;
mod commands;
mod exit;
mod logs;
mod output;
mod record;
mod table;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    exit::conclude(commands::run(args::Cli::parse()))
}
