use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use testkit::Deployment;

use super::USER;
use super::applications::Application;

/// Prints what runs and the commands to paste.
pub(crate) fn print(deployment: &mut Deployment, applications: &[Application], took: Duration) {
    let doors = deployment.doors();
    println!();
    println!("Adit runs on this machine (up in {:.1} s).", took.as_secs_f32());
    println!("  relay       {}  (SSH door: 127.0.0.1:{})", deployment.url(), doors.ssh);
    println!("  CA          {}", deployment.ca_file().display());
    for connector in deployment.connectors() {
        println!(
            "  connector   {} of site {}, process {}",
            connector.name,
            connector.site,
            connector.process.id()
        );
    }
    println!();
    println!("Paste any of these into another terminal. You are the user `{USER}`.");
    for application in applications {
        println!();
        println!("  {} ({})", application.name, application.kind);
        println!("    {}", application.command);
        if application.command.starts_with("ssh ") {
            println!("    Access token: {}", application.token);
        }
    }
    println!();
    println!("As an admin:");
    println!(
        "    export ADIT_RELAY={} ADIT_CA={} ADIT_TOKEN={}",
        deployment.url(),
        deployment.ca_file().display(),
        deployment.admin_token()
    );
    let adit = deployment.adit(USER).get_program().to_string_lossy().into_owned();
    println!("    {adit} admin session ls");
    println!("    {adit} admin audit export");
    println!();
    println!("Ctrl-C ends it all and removes it.");
}

/// Writes the same for scripts. The file appears whole or not at all.
pub(crate) fn write(
    file: &Path,
    deployment: &mut Deployment,
    applications: &[Application],
) -> Result<()> {
    let content = serde_json::to_string_pretty(&content(deployment, applications))?;
    let fresh = file.with_extension("part");
    fs::write(&fresh, content).with_context(|| fresh.display().to_string())?;
    fs::rename(&fresh, file).with_context(|| file.display().to_string())
}

fn content(deployment: &mut Deployment, applications: &[Application]) -> Value {
    let doors = deployment.doors();
    let at = |port: u16| format!("127.0.0.1:{port}");
    let connectors: Vec<_> = deployment
        .connectors()
        .iter()
        .map(|one| json!({"site": one.site, "pid": one.process.id(), "state": one.state}))
        .collect();
    json!({
        "relay": deployment.url(),
        "ca_file": deployment.ca_file(),
        "domain": deployment.domain(),
        "admin_token": deployment.admin_token(),
        "doors": {"https": at(doors.https), "quic": at(doors.quic), "ssh": at(doors.ssh)},
        "connectors": connectors,
        "applications": applications,
    })
}
