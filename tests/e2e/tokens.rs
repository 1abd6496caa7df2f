//! What a token opens, and what it does not.

use std::time::Duration;

use anyhow::{Context, Result};
use testkit::{Output, run};

use crate::support::{SOON, World, application, assert_says, grant};

fn try_token(world: &World, login: &str, token: &str) -> Result<Output> {
    run(world.ssh(login, token)?.arg("echo in"), SOON)
}

#[test]
fn a_token_that_is_no_good_opens_nothing_and_says_why() -> Result<()> {
    let world = World::start()?;
    let deployment = &world.deployment;
    let login = world.at("web1");
    let refused = |token: &str, said: &str| -> Result<()> {
        let output = try_token(&world, &login, token)?;
        assert_eq!((output.text().as_str(), output.code()), ("", Some(255)), "{}", output.stderr);
        if !said.is_empty() {
            assert_says(&output, said);
        }
        Ok(())
    };

    refused("hunter2", "")?;
    let good = world.token("web1")?;
    let mut typo = good.clone();
    typo.replace_range(30..31, if &good[30..31] == "x" { "y" } else { "x" });
    refused(&typo, "")?;
    assert_eq!(try_token(&world, &login, &good)?.ok()?, "in\n");

    let expired = deployment.token("alice", "web1", &["--expires", "1s"])?;
    std::thread::sleep(Duration::from_millis(2100));
    refused(&expired, "expired")?;

    let once = deployment.token("alice", "web1", &["--uses", "1"])?;
    assert_eq!(try_token(&world, &login, &once)?.ok()?, "in\n");
    refused(&once, "used up")?;

    deployment.admin(&["token", "revoke", "--user", "alice", "--application", "web1"])?.ok()?;
    refused(&good, "revoked")?;
    Ok(())
}

#[test]
fn one_use_is_one_use_for_many_at_once() -> Result<()> {
    let world = World::start()?;
    let token = world.deployment.token("alice", "web1", &["--uses", "3"])?;
    world.askpass()?;
    let opened = std::thread::scope(|scope| {
        let attempts: Vec<_> =
            (0..12).map(|_| scope.spawn(|| try_token(&world, &world.at("web1"), &token))).collect();
        let outputs = attempts.into_iter().map(|attempt| attempt.join().expect("no panic"));
        outputs.filter(|output| output.as_ref().is_ok_and(|output| output.text() == "in\n")).count()
    });
    assert_eq!(opened, 3);
    Ok(())
}

#[test]
fn a_token_opens_its_own_application_only() -> Result<()> {
    let world = World::start()?;
    let token = world.token("echo")?;
    let output = try_token(&world, &world.at("web1"), &token)?;
    assert_eq!(output.text(), "", "{}", output.stderr);
    Ok(())
}

#[test]
fn unknown_and_forbidden_get_the_same_answer() -> Result<()> {
    let world = World::start()?;
    let deployment = &world.deployment;
    let host = application("secret", "ssh", &world.sshd.address());
    deployment.apply(&(host + &grant("bob", "secret")))?.ok()?;
    let answer = |application: &str| -> Result<String> {
        let token = world.token("web1")?;
        let mut output = try_token(&world, &world.at(application), &token)?;
        // A connection that is closed right behind the words can lose them on their way.
        for _ in 0..4 {
            if !output.stderr.contains("Connection closed") {
                break;
            }
            output = try_token(&world, &world.at(application), &token)?;
        }
        assert_eq!(output.text(), "", "{}", output.stderr);
        Ok(output.stderr.replace(application, "APP"))
    };
    assert_eq!(answer("secret")?, answer("absent")?);

    deployment.login("alice")?;
    let proxy = |application: &str| -> Result<String> {
        let output = run(deployment.adit("alice").args(["proxy", application]), SOON)?;
        assert_eq!(output.code(), Some(3), "{}", output.stderr);
        Ok(output.stderr.replace(application, "APP"))
    };
    assert_eq!(proxy("secret")?, proxy("absent")?);
    Ok(())
}

#[test]
fn an_api_token_replaces_the_one_before_and_only_where_allowed() -> Result<()> {
    let world = World::start()?;
    let deployment = &world.deployment;
    let issue = |application: &str| {
        let args = ["token", "issue", "--user", "alice", "--kind", "api", "--application"];
        deployment.admin(&[args.as_slice(), &[application]].concat())
    };
    let refused = issue("web1")?;
    assert!(!refused.status.success());
    assert_says(&refused, "token.api_not_allowed");
    issue("echo")?.ok()?;
    issue("echo")?.ok()?;
    let listed = deployment.admin_json(&["token", "ls"])?;
    let rows = listed.as_array().context("a list")?;
    let states = rows.iter().filter(|row| row["kind"] == "api").map(|row| row["state"].as_str());
    let mut states: Vec<_> = states.flatten().collect();
    states.sort_unstable();
    assert_eq!(states, ["live", "revoked"], "{listed}");
    Ok(())
}

#[test]
fn a_disabled_user_reaches_nothing_until_enabled() -> Result<()> {
    let world = World::start()?;
    let token = world.token("web1")?;
    world.deployment.admin(&["user", "disable", "alice"])?.ok()?;
    let output = try_token(&world, &world.at("web1"), &token)?;
    assert_eq!(output.text(), "", "{}", output.stderr);
    world.deployment.admin(&["user", "enable", "alice"])?.ok()?;
    let token = world.token("web1")?;
    assert_eq!(try_token(&world, &world.at("web1"), &token)?.ok()?, "in\n");
    Ok(())
}

#[test]
fn every_refusal_is_in_the_audit_log_with_its_reason() -> Result<()> {
    let world = World::start()?;
    let token = world.token("web1")?;
    try_token(&world, &world.at("absent"), &token)?;
    try_token(&world, &world.at("web1"), "adit_access_nonsense")?;
    let denied = world.deployment.audit("access.denied")?;
    assert!(denied.iter().any(|row| row.to_string().contains("absent")), "{denied:?}");
    assert!(!world.deployment.audit("authn.failed")?.is_empty());
    Ok(())
}
