//! The programs as packages have them, the same bytes from whichever folder; and two such builds,
//! from two folders, compared byte by byte.
//!
//! What would differ is where the sources, the registry and what is built lie, so paths are written as
//! if they lay in `/adit`, `/cargo` and `/target`; no build looks at the time or at the repository's
//! state.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::SourceDate;
use crate::cargo::{read, remove, root, step};

/// Builds these programs of the last commit twice below `out`, and compares them.
///
/// # Errors
/// When a build fails or the programs differ.
pub(super) fn run(out: &Path, programs: &[&str], date: SourceDate) -> Result<()> {
    std::fs::create_dir_all(out).with_context(|| format!("make {}", out.display()))?;
    let out = out.canonicalize()?;
    // Of different lengths: a path that is left shows by more than its text.
    let first = build(&out.join("one"), programs, date)?;
    let second = build(&out.join("another-one"), programs, date)?;
    for program in programs {
        let sums = [&first, &second].map(|folder| sum(&folder.join(program)));
        let [one, other] = sums;
        let (one, other) = (one?, other?);
        if one != other {
            bail!("{program} differs: {one} and {other}; both are kept in {}", out.display());
        }
        println!("{one}  {program}");
    }
    Ok(())
}

/// The folder of the programs.
fn build(folder: &Path, programs: &[&str], date: SourceDate) -> Result<PathBuf> {
    remove(folder)?;
    let sources = folder.join("sources");
    std::fs::create_dir_all(&sources)?;
    // What is committed, so that nothing else can make a difference.
    let archive = folder.join("sources.tar");
    let mut git = Command::new("git");
    git.args(["archive", "--format=tar", "HEAD", "--output"]).arg(&archive);
    step(git.current_dir(root()))?;
    step(Command::new("tar").arg("-xf").arg(&archive).arg("-C").arg(&sources))?;
    let portal = root().join("portal/ui/node_modules");
    if portal.exists() {
        let to = sources.join("portal/ui/node_modules");
        step(Command::new("cp").arg("-a").args([&portal, &to]))?;
    }
    step(Command::new("node").arg("portal/ui/make.mjs").current_dir(&sources))?;
    compile(&sources, &folder.join("target"), programs, date)
}

/// Builds programs of `sources`, whose portal is made, below `target`, and gives their folder. One
/// program is the same bytes as among all: what it is made of is told by the whole workspace.
/// `target` is for this alone: other builds are told other things.
///
/// # Errors
/// When the build fails.
pub(super) fn compile(
    sources: &Path,
    target: &Path,
    programs: &[&str],
    date: SourceDate,
) -> Result<PathBuf> {
    std::fs::create_dir_all(target).with_context(|| format!("make {}", target.display()))?;
    let target = target.canonicalize()?;
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--release", "--locked", "--workspace", "--exclude", "xtask"]);
    cargo.args(programs.iter().flat_map(|program| ["--bin", *program]));
    cargo.current_dir(sources).env("CARGO_TARGET_DIR", &target);
    for (name, value) in environment(sources, &target, date)? {
        cargo.env(name, value);
    }
    step(&mut cargo)?;
    Ok(target.join("release"))
}

/// What a build is told, so that it tells nothing of its machine.
fn environment(
    sources: &Path,
    target: &Path,
    date: SourceDate,
) -> Result<Vec<(&'static str, String)>> {
    let cargo = match std::env::var_os("CARGO_HOME") {
        Some(home) => PathBuf::from(home),
        None => PathBuf::from(std::env::var_os("HOME").context("HOME is not set")?).join(".cargo"),
    };
    // The last that fits counts: each may lie below the one before.
    let places = [(&*cargo, "/cargo"), (sources, "/adit"), (target, "/target")];
    let told = |word: &str| places.map(|(from, to)| format!("{word}={}={to}", from.display()));
    let (rust, c) = (told("--remap-path-prefix"), told("-ffile-prefix-map").join(" "));
    Ok(vec![
        ("CARGO_ENCODED_RUSTFLAGS", rust.join("\u{1f}")),
        ("CFLAGS", c.clone()),
        ("CXXFLAGS", c),
        ("SOURCE_DATE_EPOCH", date.0.to_string()),
    ])
}

fn sum(file: &Path) -> Result<String> {
    let text = read(Command::new("sha256sum").arg(file))?;
    text.split_whitespace().next().map(str::to_owned).context("sha256sum says nothing")
}
