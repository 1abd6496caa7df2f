//! The drivers people use, each in its own words.

use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use testkit::{python_with, run};

use super::Stage;

#[test]
fn psycopg_does_all_it_can_do() -> Result<()> {
    talks("psycopg[binary]==3.3.9", include_str!("psycopg_client.py"))
}

#[test]
fn asyncpg_does_all_it_can_do() -> Result<()> {
    talks("asyncpg==0.32.0", include_str!("asyncpg_client.py"))
}

#[test]
fn pg8000_does_all_it_can_do() -> Result<()> {
    talks("pg8000==1.31.6", include_str!("pg8000_client.py"))
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
