//! Who brought the program here: what the system's packages brought, they update.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

/// The command that updates the program, where something else than this connector should.
pub(super) async fn command(program: &Path) -> Option<String> {
    if let Some(name) = said("dpkg", &["-S"], program).await {
        let name = name.split(':').next().unwrap_or_default();
        return Some(format!("apt-get install --only-upgrade {name}"));
    }
    if let Some(name) = said("rpm", &["-qf", "--queryformat", "%{NAME}"], program).await {
        return Some(format!("dnf upgrade {name}"));
    }
    // Beside the program, by whoever installs it in another way: the command, in its first line.
    let mut marker = program.as_os_str().to_owned();
    marker.push(".installed-by");
    let text = tokio::fs::read_to_string(marker).await.ok()?;
    let line = text.lines().next().unwrap_or_default();
    Some(line.chars().filter(|c| !c.is_control()).take(LONGEST).collect())
}

/// The first line of what a package manager says of a file that it has brought.
async fn said(manager: &str, args: &[&str], program: &Path) -> Option<String> {
    let mut command = Command::new(manager);
    command.args(args).arg(program).stdin(Stdio::null()).stderr(Stdio::null());
    command.kill_on_drop(true).env("LC_ALL", "C");
    let output = timeout(WITHIN, command.output()).await.ok()?.ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().next().filter(|line| !line.is_empty())?.to_owned();
    output.status.success().then_some(line)
}

const WITHIN: Duration = Duration::from_secs(10);
const LONGEST: usize = 200;
