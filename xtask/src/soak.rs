//! `cargo xtask soak`: the relay under kills, power cuts, bad disks and crowds.

use std::process::Command;

use anyhow::Result;
use testkit::{SCHEMATHESIS, python_with};

use crate::cargo::{build_programs, cargo, root, step};
use crate::packages;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Arguments of benches/soak/run.py; `cargo xtask soak -- --help` lists them
    #[arg(last = true)]
    rest: Vec<String>,
}

/// Builds the optimised programs, then breaks things around them.
pub(crate) fn run(args: &Args) -> Result<()> {
    packages::ensure(packages::FOR_SOAK)?;
    build_programs(true)?;
    if args.has("fleet") || !args.has("--parts") {
        let example = ["build", "--release", "-p", "adit-connector", "--example", "fleet"];
        step(&mut cargo(&example))?;
    }
    let mut soak = Command::new("python3");
    soak.current_dir(root()).arg("benches/soak/run.py");
    if args.has("api") || !args.has("--parts") {
        soak.arg("--schemathesis").arg(python_with(SCHEMATHESIS)?.join("st"));
    }
    step(soak.args(&args.rest))
}

impl Args {
    fn has(&self, word: &str) -> bool {
        self.rest.iter().any(|given| given == word)
    }
}
