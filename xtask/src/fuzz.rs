//! `cargo xtask fuzz`: looks for inputs that break what is promised of a parser.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::cargo::{HOST, UNGUIDED, cargo, root, step};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Targets, by their folders in fuzz/corpus; all of them if none is named
    targets: Vec<String>,
    /// Seconds for each
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Keep what was learnt: smaller inputs that reach as much, in fuzz/corpus
    #[arg(long)]
    keep: bool,
}

/// Runs each target under libFuzzer, and fails on a finding.
pub(crate) fn run(args: &Args) -> Result<()> {
    let folder = root().join("fuzz/engine");
    let target = root().join("target/fuzz");
    let mut build = cargo(&["build", "--release", "--quiet"]);
    // Said by name, so that build scripts are not instrumented.
    let host = ["--target", HOST];
    build.args(host).env("RUSTFLAGS", INSTRUMENTED.join(" ")).env("CARGO_TARGET_DIR", &target);
    step(build.envs([UNGUIDED]).current_dir(&folder))?;
    let program = target.join(HOST).join("release/fuzz-engine");
    let mut broken = Vec::new();
    for name in names(args)? {
        let corpus = root().join("fuzz/corpus").join(&name);
        let (learnt, findings) = (target.join("learnt").join(&name), target.join("findings"));
        fs::create_dir_all(&learnt)?;
        fs::create_dir_all(&findings)?;
        let mut engine = Command::new(&program);
        engine.env("FUZZ_TARGET", &name).arg(&learnt).arg(&corpus);
        engine.arg(format!("-max_total_time={}", args.seconds));
        engine.arg(format!("-artifact_prefix={}/{name}-", findings.display()));
        engine.args(["-max_len=4096", "-timeout=5", "-rss_limit_mb=1024", "-print_final_stats=1"]);
        eprintln!("▶ {name}");
        if !engine.status().with_context(|| program.display().to_string())?.success() {
            broken.push(name);
            continue;
        }
        if args.keep {
            let mut merge = Command::new(&program);
            merge.env("FUZZ_TARGET", &name).arg("-merge=1").arg(&corpus).arg(&learnt);
            step(&mut merge)?;
        }
    }
    match broken.is_empty() {
        true => Ok(()),
        false => bail!("findings in {}: {}", target.join("findings").display(), broken.join(", ")),
    }
}

fn names(args: &Args) -> Result<Vec<String>> {
    if !args.targets.is_empty() {
        return Ok(args.targets.clone());
    }
    let folders = fs::read_dir(root().join("fuzz/corpus"))?;
    let names = folders.map(|folder| Ok(folder?.file_name().to_string_lossy().into_owned()));
    let mut names: Vec<_> = names.collect::<Result<_>>()?;
    names.sort();
    Ok(names)
}

/// What libFuzzer needs to see where an input goes; a stable compiler has all of it.
const INSTRUMENTED: &[&str] = &[
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
];
