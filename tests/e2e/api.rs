//! The API and the commands on top of it, from outside.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use testkit::{Deployment, SCHEMATHESIS, bin_dir, free_port, python_with, run};

use crate::support::{SOON, World};

#[test]
fn every_operation_answers_an_admin_as_it_is_described() -> Result<()> {
    as_described("admin")
}

#[test]
fn every_operation_answers_an_auditor_as_it_is_described() -> Result<()> {
    as_described("auditor")
}

#[test]
fn every_operation_answers_a_user_as_it_is_described() -> Result<()> {
    as_described("user")
}

/// What `cargo xtask soak` does for longer.
fn as_described(role: &str) -> Result<()> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/soak/run.py");
    let mut python = Command::new("/usr/bin/python3");
    python.arg(script).args(["--parts", "api", "--examples", "2", "--roles", role]);
    python.arg("--schemathesis").arg(python_with(SCHEMATHESIS)?.join("st"));
    run(python.arg("--bin").arg(bin_dir()?), PATIENCE)?.ok().map(drop)
}

#[test]
fn a_create_is_carried_out_once_though_the_relay_was_killed_meanwhile() -> Result<()> {
    let mut deployment = Deployment::start()?;
    deployment.apply("[[user]]\nname = \"alice\"\n")?.ok()?;
    let wanted = json!({ "user": "alice", "kind": "login" });
    let first = post(&deployment, "tokens", &wanted, "a-key")?;
    deployment.relay().kill();
    deployment.start_relay()?;
    let again = post(&deployment, "tokens", &wanted, "a-key")?;
    assert_eq!(again, first, "the same token, its text included");
    assert!(first["token"].as_str().is_some_and(|text| text.starts_with("adit_login_")), "{first}");
    let other = post(&deployment, "tokens", &wanted, "another-key")?;
    assert_ne!(other["id"], first["id"]);
    let listed = deployment.admin_json(&["token", "ls", "--user", "alice"])?;
    assert_eq!(listed.as_array().map(Vec::len), Some(2), "{listed}");
    let reused = post(&deployment, "tokens", &json!({ "user": "alice" }), "a-key")?;
    assert_eq!(reused["code"], "request.key_reused", "{reused}");
    Ok(())
}

#[test]
fn an_admin_sees_from_where_an_application_is_reached_and_why_not() -> Result<()> {
    let mut world = World::start()?;
    let (site, allow) = (Deployment::SITE, ["127.0.0.0/8:1".to_owned()]);
    world.deployment.join(site, "narrow", &allow)?;
    let checked = world.deployment.admin_json(&["app", "check", "web1"])?;
    let rows = checked.as_array().context("rows")?;
    let row = |name: &str| rows.iter().find(|row| row["name"] == name).cloned().unwrap_or_default();
    assert_eq!(row("narrow")["code"], "dial.not_allowed", "{checked}");
    let open = rows.iter().find(|row| row["name"] != "narrow").context("the other")?;
    assert_eq!((&open["reachable"], open["micros"].is_u64()), (&json!(true), true), "{checked}");
    let closed = format!(
        "[[application]]\nname = \"closed\"\nsite = \"hq\"\nkind = \"tcp\"\naddress = \"127.0.0.1:{}\"\n",
        free_port()?
    );
    world.deployment.apply(&closed)?.ok()?;
    let failed = world.deployment.admin(&["app", "check", "closed"])?;
    assert_eq!(failed.code(), Some(1), "{}", failed.both());
    assert!(failed.both().contains("dial.refused"), "{}", failed.both());
    Ok(())
}

#[test]
fn a_user_signs_in_with_a_key_they_registered_until_they_remove_it() -> Result<()> {
    let world = World::start()?;
    world.deployment.login("alice")?;
    let key = world.deployment.dir().join("laptop");
    let mut keygen = Command::new("ssh-keygen");
    run(keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key), SOON)?.ok()?;
    let adit = |args: &[&str]| run(world.deployment.adit("alice").args(args), SOON);
    let public = key.with_extension("pub");
    adit(&["key", "add", public.to_str().context("a path")?, "--expires", "1d"])?.ok()?;
    let ssh = || {
        let mut ssh = Command::new("ssh");
        ssh.args(["-F", "none", "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-i"]).arg(&key);
        ssh.arg("-o").arg(format!("UserKnownHostsFile={}", world.known_hosts()));
        ssh.args(["-p", &world.ssh_port(), &format!("{}@127.0.0.1", world.at("web1")), "echo in"]);
        run(&mut ssh, SOON)
    };
    assert_eq!(ssh()?.ok()?, "in\n");
    let keys: Value = serde_json::from_str(&adit(&["key", "ls", "--json"])?.ok()?)?;
    let fingerprint = keys[0]["fingerprint"].as_str().context("a fingerprint")?;
    adit(&["key", "rm", fingerprint])?.ok()?;
    assert_eq!(ssh()?.code(), Some(255));
    assert!(fs::exists(&key)?, "only the registration is gone");
    Ok(())
}

fn post(deployment: &Deployment, what: &str, body: &Value, key: &str) -> Result<Value> {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--cacert"]).arg(deployment.ca_file());
    curl.args(["--header", &format!("Authorization: Bearer {}", deployment.admin_token())]);
    curl.args(["--header", &format!("Idempotency-Key: {key}")]);
    curl.args(["--json", &body.to_string(), &format!("{}/api/v1/{what}", deployment.url())]);
    Ok(serde_json::from_str(&run(&mut curl, SOON)?.ok()?)?)
}

const PATIENCE: Duration = Duration::from_secs(230);
