//! `cargo xtask test`: everything CI runs.

use std::process::Stdio;

use anyhow::Result;
use testkit::{Cluster, Postgres};

use crate::cargo::{build_programs, cargo, step};
use crate::{arch, copies, errors, packages, portal};

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
    // One server for the whole run: making one takes longer than most tests.
    let server = Postgres::start()?;
    tests(args.filter.as_deref(), &server.url("postgres"))
}

fn checks() -> Result<()> {
    step(&mut cargo(&["fmt", "--all", "--check"]))?;
    portal::make()?;
    portal::check()?;
    let clippy = ["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"];
    step(&mut cargo(&clippy))?;
    arch::run()?;
    errors::run()?;
    copies::run()
}

fn tests(filter: Option<&str>, postgres: &str) -> Result<()> {
    if has_nextest() {
        let nextest = ["nextest", "run", "--workspace", "--profile", "ci"];
        return step(cargo(&nextest).args(filter).env(Cluster::VARIABLE, postgres));
    }
    eprintln!(
        "cargo-nextest is not installed, so `cargo test` runs the tests: without time limits, and \
         real-client tests one after another. Install it with: cargo install --locked cargo-nextest"
    );
    let one = ["--", "--test-threads=1"];
    step(cargo(&["test", "--workspace"]).args(filter).args(one).env(Cluster::VARIABLE, postgres))
}

fn has_nextest() -> bool {
    let mut version = cargo(&["nextest", "--version"]);
    version.stdout(Stdio::null()).stderr(Stdio::null());
    version.status().is_ok_and(|status| status.success())
}
