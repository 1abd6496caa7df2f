use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// The cargo that runs us, in the repository's root.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root()).args(args);
    if std::env::var_os(INCREMENTAL).is_none() && !is_built_upon(&target()) {
        command.env(INCREMENTAL, "0");
    }
    command
}

/// Where cargo builds.
fn target() -> PathBuf {
    let own = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    root().join(own.unwrap_or_else(|| "target".into()))
}

/// Whether somebody who works on the code has built there, with what makes the next build quicker. It
/// takes several gigabytes, and is of no use to who builds once.
fn is_built_upon(target: &Path) -> bool {
    let kept = std::fs::read_dir(target.join("debug/incremental"));
    kept.into_iter()
        .flatten()
        .flatten()
        .any(|kept| kept.file_name().to_string_lossy().starts_with("adit_relay-"))
}

/// Told to a cargo that is not to compile by profile/adit.profdata.
pub(crate) const UNGUIDED: (&str, &str) = ("RUSTC_WRAPPER", "");

/// What this machine's programs are compiled for.
#[cfg(target_arch = "aarch64")]
pub(crate) const HOST: &str = "aarch64-unknown-linux-gnu";
#[cfg(not(target_arch = "aarch64"))]
pub(crate) const HOST: &str = "x86_64-unknown-linux-gnu";

const INCREMENTAL: &str = "CARGO_INCREMENTAL";

/// What builds the three programs, whose portal is made. One way for all tasks, so that none undoes the
/// other's work.
pub(crate) fn programs() -> Result<Command> {
    crate::portal::make()?;
    Ok(cargo(&["build", "--workspace", "--exclude", "xtask", "--bins"]))
}

/// Builds the three programs.
pub(crate) fn build_programs(release: bool) -> Result<()> {
    let mut build = programs()?;
    if release {
        crate::profile::check()?;
        build.arg("--release");
    }
    step(&mut build)
}

/// Runs a step with its output shown, saying aloud what is run.
pub(crate) fn step(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let name = name.rsplit('/').next().unwrap_or(&name).to_owned();
    let args: Vec<_> = command.get_args().map(|arg| arg.to_string_lossy().into_owned()).collect();
    let line = format!("{name} {}", args.join(" "));
    eprintln!("\n▶ {line}");
    let status = command.status().with_context(|| format!("run {line}"))?;
    if !status.success() {
        bail!("{line} failed ({status})");
    }
    Ok(())
}

/// Runs a tool, and gives what it says; its words are in the error where it fails.
pub(crate) fn read(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("run {name}"))?;
    if !output.status.success() {
        let (out, err) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        bail!("{name} failed ({}): {out}{err}", output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("what {name} says is not UTF-8"))
}

/// Removes a folder, where there is one.
pub(crate) fn remove(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_works_on_the_code_keeps_what_makes_the_next_build_quicker() {
        let target = tempfile::tempdir().unwrap();
        assert!(!is_built_upon(target.path()));
        let kept = target.path().join("debug/incremental");
        // Cargo builds the tasks themselves that way.
        std::fs::create_dir_all(kept.join("xtask-1a2b")).unwrap();
        assert!(!is_built_upon(target.path()));
        std::fs::create_dir(kept.join("adit_relay-3c4d")).unwrap();
        assert!(is_built_upon(target.path()));
    }
}
