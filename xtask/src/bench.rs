//! `cargo xtask bench`: what the way through Adit costs, beside a direct connection.

use std::process::Command;

use anyhow::Result;

use crate::cargo::{UNGUIDED, build_programs, cargo, root, step};
use crate::packages;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Arguments of benches/run.py; `cargo xtask bench -- --help` lists them
    #[arg(last = true)]
    rest: Vec<String>,
}

/// Builds the optimised programs and the load generator, then measures.
pub(crate) fn run(args: &Args) -> Result<()> {
    prepare()?;
    build_programs(true)?;
    step(&mut cargo(&["build", "--release", "-p", "testkit", "--example", "scrolling-desktop"]))?;
    let mut measure = Command::new("python3");
    step(measure.current_dir(root()).arg("benches/run.py").args(&args.rest))
}

/// Installs and builds what benches/run.py needs besides the programs. What makes load is a workspace of
/// its own, for nothing of it is shipped or linted with us.
pub(crate) fn prepare() -> Result<()> {
    packages::ensure(packages::FOR_TESTS)?;
    packages::ensure(packages::FOR_BENCH)?;
    let mut build = cargo(&["build", "--release"]);
    step(build.envs([UNGUIDED]).current_dir(root().join("benches/loadgen")))
}
