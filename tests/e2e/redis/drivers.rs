//! The drivers people use, each in its own words.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use testkit::{python_with, run};

use super::Stage;

#[test]
fn redis_py_does_all_it_can_do() -> Result<()> {
    let stage = Stage::start()?;
    let token = stage.token("alice")?;
    let mut python = Command::new(python_with("redis==6.4.0")?.join("python"));
    python.args(["-c", include_str!("redis_py_client.py")]).arg(stage.port().to_string());
    python.arg(&token).arg(stage.deployment.ca_file());
    let said = run(&mut python, Duration::from_secs(100))?.ok()?;
    assert!(said.trim().ends_with("done"), "{said}");
    Ok(())
}

#[test]
fn ioredis_does_all_it_can_do() -> Result<()> {
    let stage = Stage::start()?;
    let token = stage.token("alice")?;
    let folder = stage.deployment.dir().join("ioredis");
    fs::create_dir(&folder)?;
    let mut npm = Command::new("npm");
    npm.args(["install", "--no-audit", "--no-fund", "--silent", "ioredis@5.8.2"]);
    run(npm.current_dir(&folder), Duration::from_secs(200))?.ok()?;
    fs::write(folder.join("client.js"), include_str!("ioredis_client.js"))?;
    let mut node = Command::new("node");
    node.arg("client.js").arg(stage.port().to_string()).arg(&token).arg(stage.deployment.ca_file());
    let said = run(node.current_dir(&folder), Duration::from_secs(100))?.ok()?;
    assert!(said.trim().ends_with("done"), "{said}");
    Ok(())
}
