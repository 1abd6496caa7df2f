//! The drivers people use, each in its own words.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use testkit::{python_with, run};

use super::Stage;

#[test]
fn pymysql_does_all_it_can_do() -> Result<()> {
    talks("PyMySQL==1.1.2", include_str!("pymysql_client.py"))
}

#[test]
fn mysql_connector_does_all_it_can_do() -> Result<()> {
    talks("mysql-connector-python==9.4.0", include_str!("connector_client.py"))
}

#[test]
fn mysql2_does_all_it_can_do() -> Result<()> {
    let stage = Stage::start()?;
    let token = stage.token("alice")?;
    let folder = stage.deployment.dir().join("node");
    fs::create_dir_all(&folder)?;
    let mut npm = Command::new("npm");
    npm.args(["install", "--silent", "--no-audit", "--no-fund", "mysql2@3.14.1"]);
    run(npm.current_dir(&folder), Duration::from_secs(200))?.ok()?;
    fs::write(folder.join("client.js"), include_str!("mysql2_client.js"))?;
    let mut node = Command::new("node");
    node.arg("client.js").arg(stage.port().to_string()).arg(&token);
    node.arg(stage.deployment.ca_file()).current_dir(&folder);
    let said = run(&mut node, Duration::from_secs(100))?.ok()?;
    assert!(said.trim().ends_with("done"), "{said}");
    Ok(())
}

fn talks(package: &str, script: &str) -> Result<()> {
    let stage = Stage::start()?;
    let token = stage.token("alice")?;
    let mut python = Command::new(python_with(package)?.join("python"));
    python.args(["-c", script]).arg(stage.port().to_string()).arg(&token);
    python.arg(stage.deployment.ca_file());
    let said = run(&mut python, Duration::from_secs(100))?.ok()?;
    assert!(said.trim().ends_with("done"), "{said}");
    Ok(())
}
