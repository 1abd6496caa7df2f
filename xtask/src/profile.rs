//! `cargo xtask profile`: what the programs spend their time on, for the compiler (ADR 28).

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::bench::prepare;
use crate::cargo::{HOST, UNGUIDED, programs, read, remove, root, step};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// LLVM's tool of the compiler's version; without it, that of rustup's component llvm-tools
    #[arg(long, value_name = "FILE")]
    llvm_profdata: Option<PathBuf>,
}

/// Builds programs that count what they do, has each door used, and keeps the counts.
pub(crate) fn run(args: &Args) -> Result<()> {
    let merge = match &args.llvm_profdata {
        Some(tool) => tool.clone(),
        None => of_rustup()?,
    };
    prepare()?;
    let target = root().join("target/profile");
    let counts = target.join("counts");
    remove(&counts)?;
    // Functions are known by their symbols, and these are others where a target is named: build scripts
    // count as well, and what they have counted goes nowhere.
    let mut build = programs()?;
    build.arg("--release").env("CARGO_TARGET_DIR", &target).env("LLVM_PROFILE_FILE", "/dev/null");
    build.env("RUSTFLAGS", format!("-Cprofile-generate={}", counts.display()));
    step(build.envs([UNGUIDED]))?;
    let mut used = Command::new("python3");
    used.arg("benches/run.py").arg("--bin").arg(target.join("release"));
    used.args(["--reps", "1", "--gb", "0.5", "--quiet-limit", "0", "--parts"]).args(PARTS);
    step(used.current_dir(root()))?;
    let mut merge = Command::new(merge);
    merge.args(["merge", "--sparse", "--output"]).arg(root().join("profile/adit.profdata"));
    step(merge.arg(&counts))?;
    let taken = root().join("profile").join(TAKEN);
    std::fs::write(&taken, of()?).with_context(|| taken.display().to_string())
}

/// Says so where the profile fits these sources no more: symbols hold the versions of what is compiled.
pub(crate) fn check() -> Result<()> {
    let taken = root().join("profile").join(TAKEN);
    if std::fs::read_to_string(&taken).with_context(|| taken.display().to_string())? != of()? {
        eprintln!("{STALE}");
    }
    Ok(())
}

/// What a profile is taken of, by its sums.
fn of() -> Result<String> {
    let mut sums = Command::new("sha256sum");
    read(sums.args(["Cargo.lock", "rust-toolchain.toml"]).current_dir(root()))
}

/// The tool that comes with the compiler.
fn of_rustup() -> Result<PathBuf> {
    let mut rustc = Command::new("rustc");
    let sysroot = read(rustc.args(["--print", "sysroot"]).current_dir(root()))?;
    let tool = Path::new(sysroot.trim()).join("lib/rustlib").join(HOST).join("bin/llvm-profdata");
    if !tool.exists() {
        bail!("no {}: `rustup component add llvm-tools`, or --llvm-profdata FILE", tool.display());
    }
    Ok(tool)
}

/// Beside the profile: what it was taken of.
const TAKEN: &str = "taken-of.sha256";
const STALE: &str = "profile/adit.profdata was taken of other dependencies or of another compiler, so \
                     what is built is guided in part: `cargo xtask profile` takes it anew";

/// Every way that bytes take.
const PARTS: [&str; 9] =
    ["bulk", "latency", "connect", "ssh", "pg", "mysql", "redis", "rdp", "web"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_optimised_and_nothing_else_is_compiled_by_the_profile() {
        let wrapper = root().join("profile/rustc");
        let told = |level: &str| {
            let mut compiler = Command::new(&wrapper);
            compiler.args(["echo", "--crate-name", "a", "-C", level, "-C", "debuginfo=1"]);
            String::from_utf8(compiler.output().unwrap().stdout).unwrap().trim().to_owned()
        };
        assert_eq!(told("opt-level=0"), "--crate-name a -C opt-level=0 -C debuginfo=1");
        let optimised = told("opt-level=3");
        let (_, profile) = optimised.split_once("-Cprofile-use=").unwrap();
        let profile = Path::new(profile.split_whitespace().next().unwrap());
        assert_eq!(profile, root().join("profile/adit.profdata"));
        // LLVM's magic number, little-endian.
        assert_eq!(std::fs::read(profile).unwrap()[..8], *b"\xfflprofi\x81");
    }
}
