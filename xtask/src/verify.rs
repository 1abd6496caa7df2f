//! `cargo xtask test`: everything CI runs.

use std::process::Stdio;

use anyhow::Result;

use crate::cargo::{build_programs, cargo, step};
use crate::{arch, errors, packages};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Run only tests whose name contains this, and skip the checks before them
    filter: Option<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    packages::ensure(packages::FOR_TESTS)?;
    if args.filter.is_none() {
        checks()?;
    }
    // Tests start the three programs; only the relay's own are rebuilt by cargo for its tests.
    build_programs(false)?;
    tests(args.filter.as_deref())
}

fn checks() -> Result<()> {
    step(&mut cargo(&["fmt", "--all", "--check"]))?;
    let clippy = ["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"];
    step(&mut cargo(&clippy))?;
    arch::run()?;
    errors::run()
}

fn tests(filter: Option<&str>) -> Result<()> {
    if has_nextest() {
        let nextest = ["nextest", "run", "--workspace", "--profile", "ci"];
        return step(cargo(&nextest).args(filter));
    }
    eprintln!(
        "cargo-nextest is not installed, so `cargo test` runs the tests: without time limits, and \
         real-client tests one after another. Install it with: cargo install --locked cargo-nextest"
    );
    step(cargo(&["test", "--workspace"]).args(filter).args(["--", "--test-threads=1"]))
}

fn has_nextest() -> bool {
    let mut version = cargo(&["nextest", "--version"]);
    version.stdout(Stdio::null()).stderr(Stdio::null());
    version.status().is_ok_and(|status| status.success())
}
