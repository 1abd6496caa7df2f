//! `cargo xtask demo`: a whole deployment on this machine, with applications to try it on.

mod applications;
mod extra;
mod people_api;
mod ports;
mod ready;
mod stop;

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use testkit::{Builder, Deployment};

use crate::cargo::build_programs;
use crate::packages;
use applications::Targets;
use ports::Ports;
use stop::Stop;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Write what is printed as JSON to this file once everything is up
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    /// The first of the ports to use; the others follow it
    #[arg(long, value_name = "N", default_value_t = 18443)]
    port_base: u16,
    /// Also apply this file (as `adit admin apply` takes it) and issue tokens for its applications
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Build and run the optimised programs
    #[arg(long)]
    release: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let stop = Stop::on_signals()?;
    let started = Instant::now();
    let ports = Ports::from_base(args.port_base)?;
    if let Some(file) = &args.ready_file {
        // A stale one would tell a script that we are ready.
        drop(fs::remove_file(file));
    }
    packages::ensure(packages::FOR_DEMO)?;
    let extra = args.config.as_deref().map(extra::Extra::read).transpose()?;
    let bin = build(args.release)?;
    stop.check()?;
    say("the applications: an SSH host, an HTTP API, an echo service, a database");
    let mut targets = Targets::start(&ports)?;
    stop.check()?;
    let mut allow = targets.allow();
    allow.extend(extra.iter().flat_map(|extra| extra.allow(SITE)));
    let mut deployment = deploy(bin, &ports, allow)?;
    stop.check()?;
    say("the applications: registering them, and issuing a token for each");
    let mut applications = targets.register(&deployment, &ports)?;
    if let Some(extra) = &extra {
        applications.extend(extra.add_to(&mut deployment)?);
    }
    ready::print(&mut deployment, &applications, started.elapsed());
    if let Some(file) = &args.ready_file {
        ready::write(file, &mut deployment, &applications)?;
    }
    let outcome = watch(&stop, &mut deployment);
    if let Some(file) = &args.ready_file {
        drop(fs::remove_file(file));
    }
    eprintln!("\nEnding connectors, relay and applications");
    drop(deployment);
    drop(targets);
    outcome
}

/// Names and user of what the demo makes.
pub(crate) const SITE: &str = "demo";
pub(crate) const USER: &str = "demo";

pub(crate) fn say(text: &str) {
    eprintln!("▶ {text}");
}

/// Builds the three programs with cargo's own progress shown; returns their folder.
fn build(release: bool) -> Result<PathBuf> {
    build_programs(release)?;
    let this = std::env::current_exe()?;
    let target = this.parent().and_then(|profile| profile.parent()).context("the target folder")?;
    Ok(target.join(if release { "release" } else { "debug" }))
}

fn deploy(bin: PathBuf, ports: &Ports, allow: Vec<String>) -> Result<Deployment> {
    let builder = Builder {
        doors: ports.doors(),
        // Applications are below it, and a wildcard below a single label is none to OpenSSL.
        domain: "relay.localhost".to_owned(),
        bin,
        site: SITE.to_owned(),
        allow,
        progress: say,
    };
    builder.start()
}

/// Until Ctrl-C, or until something that should run does not.
fn watch(stop: &Stop, deployment: &mut Deployment) -> Result<()> {
    while !stop.wait(Duration::from_millis(500)) {
        if !deployment.relay().is_running() {
            bail!("the relay ended\n{}", deployment.relay().tail());
        }
        for connector in deployment.connectors() {
            // Ending one to see what happens is a good use of a demo.
            if !connector.process.is_running() && !connector.reported {
                connector.reported = true;
                eprintln!(
                    "The connector {} has ended\n{}",
                    connector.name,
                    connector.process.tail()
                );
            }
        }
    }
    Ok(())
}
