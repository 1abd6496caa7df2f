//! `adit-connector`.

use std::process::ExitCode;

use adit_connector::cli::{self, Cli};
use clap::Parser;

/// docs/adr/0011-mimalloc-without-huge-pages.md
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::main(Cli::parse())
}
