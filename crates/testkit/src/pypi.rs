use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::run::run;

/// Makes up requests from an OpenAPI description.
pub const SCHEMATHESIS: &str = "schemathesis==4.32.0";

/// The programs of a Python of its own with this package of PyPI, `name==version`, beside the folder
/// of the running program; kept for the next time.
pub fn python_with(package: &str) -> Result<PathBuf> {
    let this = std::env::current_exe()?;
    let built = this.ancestors().skip(1).find(|folder| !folder.ends_with("deps"));
    let venv = built.context("the running program has a folder")?.with_file_name(package);
    let done = venv.join("done");
    if !done.exists() {
        // Debian's own python: another one in the path may be of a version the packages are not for.
        run(Command::new("/usr/bin/python3").args(["-m", "venv"]).arg(&venv), DOWNLOAD)?.ok()?;
        let mut pip = Command::new(venv.join("bin/pip"));
        run(pip.args(["--quiet", "install", package]), DOWNLOAD)?.ok()?;
        fs::write(done, "")?;
    }
    Ok(venv.join("bin"))
}

const DOWNLOAD: Duration = Duration::from_secs(300);
