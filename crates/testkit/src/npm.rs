use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::run::run;

/// A folder with this package of npm, `name@version`, beside the folder of the running program; kept
/// for the next time.
pub fn node_with(package: &str) -> Result<PathBuf> {
    let this = std::env::current_exe()?;
    let built = this.ancestors().skip(1).find(|folder| !folder.ends_with("deps"));
    let folder = built.context("the running program has a folder")?.with_file_name(package);
    let done = folder.join("done");
    if !done.exists() {
        fs::create_dir_all(&folder)?;
        let mut npm = Command::new("npm");
        npm.args(["install", "--silent", "--ignore-scripts", "--prefix"]).arg(&folder);
        run(npm.arg(package), DOWNLOAD)?.ok()?;
        fs::write(done, "")?;
    }
    Ok(folder)
}

const DOWNLOAD: Duration = Duration::from_secs(300);
