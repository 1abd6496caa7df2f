//! `cargo xtask bench`: what the way through Adit costs, beside a direct connection.

use std::process::Command;

use anyhow::Result;

use crate::cargo::{build_programs, cargo, root, step};
use crate::packages;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Arguments of benches/run.py; `cargo xtask bench -- --help` lists them
    #[arg(last = true)]
    rest: Vec<String>,
}

/// Builds the optimised programs and the load generator, then measures.
pub(crate) fn run(args: &Args) -> Result<()> {
    packages::ensure(packages::FOR_TESTS)?;
    packages::ensure(packages::FOR_BENCH)?;
    build_programs(true)?;
    step(&mut cargo(&["build", "--release", "-p", "testkit", "--example", "scrolling-desktop"]))?;
    // A workspace of its own: nothing of it is shipped or linted with us.
    step(cargo(&["build", "--release"]).current_dir(root().join("benches/loadgen")))?;
    let mut measure = Command::new("python3");
    step(measure.current_dir(root()).arg("benches/run.py").args(&args.rest))
}
