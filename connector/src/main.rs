//! `adit-connector`.

use std::process::ExitCode;

use adit_connector::cli::{self, Cli};
use clap::Parser;

fn main() -> ExitCode {
    cli::main(Cli::parse())
}
