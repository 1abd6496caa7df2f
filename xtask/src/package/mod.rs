//! `cargo xtask package`: the three programs as packages for Debian's family and for Fedora's, with a
//! list of what they are made of.
//!
//! Packages of the same programs are the same bytes: every time in them is `SOURCE_DATE_EPOCH`, or
//! that of the last commit; and so are the programs, whichever folder they are built in.

mod boot;
mod deb;
mod reproduce;
mod rpm;
mod sbom;
mod stage;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::cargo::{read, remove, root};
use crate::{packages, profile};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A folder with programs that are built already, instead of a release build
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,
    /// Where the packages go
    #[arg(long, value_name = "DIR", default_value = "target/package")]
    out: PathBuf,
    /// Instead, build the programs of the last commit twice, in two folders, and compare them
    #[arg(long, conflicts_with = "programs")]
    reproducible: bool,
    /// With --reproducible: only this program, which takes a part of the time
    #[arg(long, value_name = "PROGRAM", requires = "reproducible", value_parser = PROGRAMS)]
    only: Option<String>,
    /// Afterwards, boot a Debian with the packages and look at the services (root, systemd-nspawn)
    #[arg(long)]
    boot: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    if args.programs.is_none() {
        profile::check()?;
    }
    if args.reproducible {
        let programs = PROGRAMS.into_iter();
        let programs: Vec<_> = match &args.only {
            Some(only) => programs.filter(|program| program == only).collect(),
            None => programs.collect(),
        };
        return reproduce::run(&args.out.join("reproducible"), &programs, source_date()?);
    }
    packages::ensure(packages::FOR_PACKAGES)?;
    let programs = match &args.programs {
        Some(programs) => programs.clone(),
        None => {
            crate::portal::make()?;
            reproduce::compile(&root(), &args.out.join("build"), &PROGRAMS, source_date()?)?
        }
    };
    let files = make(&programs, &args.out, source_date()?, Effort::Best)?;
    files.iter().for_each(|file| println!("{}", file.display()));
    match args.boot {
        true => boot::run(&files, &args.out.canonicalize()?),
        false => Ok(()),
    }
}

/// What is packaged: one program each.
struct Package {
    name: &'static str,
    program: &'static str,
    summary: &'static str,
    description: &'static [&'static str],
    /// Runs as a service, with an account of its own.
    service: bool,
}

const PACKAGES: [Package; 3] = [
    Package {
        name: "adit-relay",
        program: "adit-relay",
        summary: "zero-trust access relay",
        description: &[
            "Gives people with issued, revocable tokens access to SSH, web, database",
            "and TCP applications behind a firewall, with the clients they have.",
            "Connectors inside the network dial out to it.",
        ],
        service: true,
    },
    Package {
        name: "adit-connector",
        program: "adit-connector",
        summary: "connects a private network to its Adit relay",
        description: &[
            "Runs inside a private network, dials out to the relay, and opens",
            "connections to the applications that the relay may reach there.",
            "It listens to nobody.",
        ],
        service: true,
    },
    Package {
        name: "adit",
        program: "adit",
        summary: "reach the applications behind an Adit relay",
        description: &[
            "Signs a person's machine in to a relay, issues tokens, opens local",
            "tunnels to applications, and administers the relay.",
        ],
        service: false,
    },
];

const PROGRAMS: [&str; 3] = [PACKAGES[0].program, PACKAGES[1].program, PACKAGES[2].program];

const VERSION: &str = env!("CARGO_PKG_VERSION");
const HOMEPAGE: &str = "https://adit.example.com/";
const MAINTAINER: &str = "Adit developers <developers@adit.example.com>";

/// Makes every package of the programs in `programs` below `out`, with `adit.cdx.json` and
/// `SHA256SUMS` beside them, and gives the files made.
///
/// # Errors
/// When a program is not there or a tool of packaging fails; `out` then holds what was made before.
fn make(programs: &Path, out: &Path, date: SourceDate, effort: Effort) -> Result<Vec<PathBuf>> {
    std::fs::create_dir_all(out).with_context(|| format!("make {}", out.display()))?;
    let out = out.canonicalize()?;
    let work = out.join("work");
    remove(&work)?;
    let mut files = Vec::new();
    for package in &PACKAGES {
        let tree = work.join(package.name);
        stage::stage(package, programs, &tree, date)?;
        files.push(deb::build(package, &tree, &out, date, effort)?);
        files.push(rpm::build(package, &tree, &out, date, effort)?);
    }
    remove(&work)?;
    files.push(sbom::write(&root(), &out, date)?);
    files.push(sums(&files, &out)?);
    Ok(files)
}

/// How small the packages get: the smallest takes minutes, which tests do not have.
#[derive(Clone, Copy, Debug)]
enum Effort {
    Best,
    #[cfg_attr(not(test), expect(dead_code, reason = "for the tests"))]
    Least,
}

/// Seconds since 1970 that stand for every time in a package.
#[derive(Clone, Copy, Debug)]
struct SourceDate(u64);

impl SourceDate {
    /// As `date` writes it.
    fn text(self, format: &str) -> Result<String> {
        let at = format!("@{}", self.0);
        let mut date = Command::new("date");
        Ok(read(date.args(["-u", "-d", &at, format]).env("LC_ALL", "C"))?.trim().to_owned())
    }
}

fn source_date() -> Result<SourceDate> {
    let text = match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(text) => text,
        Err(_) => {
            read(Command::new("git").args(["log", "-1", "--format=%ct"]).current_dir(root()))?
        }
    };
    Ok(SourceDate(text.trim().parse().context("SOURCE_DATE_EPOCH is not a number of seconds")?))
}

fn sums(files: &[PathBuf], out: &Path) -> Result<PathBuf> {
    let names = files.iter().filter_map(|file| file.file_name());
    let sums = read(Command::new("sha256sum").args(names).current_dir(out))?;
    let path = out.join("SHA256SUMS");
    std::fs::write(&path, sums)?;
    Ok(path)
}

/// Runs a tool that says nothing when all is well; its words are in the error otherwise.
fn quiet(command: &mut Command) -> Result<()> {
    read(command).map(drop)
}
