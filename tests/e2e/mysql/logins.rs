//! Clients that prove to know a token and do not show it.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};
use testkit::{Output, eventually, run};

use super::{SOON, Stage};
use crate::support::assert_says;

#[test]
fn who_names_the_tokens_id_proves_it_by_native_password() -> Result<()> {
    let mut stage = Stage::start()?;
    allow(&mut stage)?;
    let token = stage.token("alice")?;
    let id = id(&token)?;
    for user in [format!("x+adit_{id}"), format!("x+orders-db+adit_{id}")] {
        let said = prove(&stage, &user, &token)?.ok()?;
        assert_eq!(said.trim(), "orders_owner", "{user}");
    }
    // A token is a token: it stands in the records, and its uses are counted.
    let opened = stage.deployment.audit("session.opened")?;
    assert!(opened.iter().all(|row| row["event"]["token"] == id.as_str()), "{opened:?}");
    let once = stage.deployment.token("alice", "orders-db", &["--uses", "1"])?;
    let named = format!("x+adit_{}", self::id(&once)?);
    prove(&stage, &named, &once)?.ok()?;
    assert_says(&prove(&stage, &named, &once)?, "token.used_up");
    // Another token, an id that is none, and no token at all are told alike.
    let mine = format!("x+adit_{id}");
    for (user, token) in [(&*mine, &*once), ("x+adit_0000000000", &token), (&mine, "x")] {
        assert_says(&prove(&stage, user, token)?, "sign-in failed (authn.failed)");
    }
    // Whoever names none is asked for the token, as always.
    assert_eq!(stage.sql(&token, "select 7")?.ok()?.trim(), "7");
    Ok(())
}

#[test]
fn where_nobody_has_allowed_it_a_token_is_shown_and_not_proved() -> Result<()> {
    let stage = Stage::start()?;
    let token = stage.token("alice")?;
    let mut client = stage.client("mariadb", &token);
    client.args(["-N", "-B", "-u", &format!("x+adit_{}", id(&token)?), "-e", "select 7"]);
    assert_eq!(run(&mut client, SOON)?.ok()?.trim(), "7");
    Ok(())
}

#[test]
fn the_relay_shows_its_certificate_to_a_server_that_wants_one() -> Result<()> {
    let stage = Stage::start()?;
    let token = stage.token("alice")?;
    stage.mariadb.admin("", "alter user orders_owner require subject '/CN=orders_owner'")?;
    assert_says(&stage.sql(&token, "select 1")?, "target.login_refused");
    // Beside the passwords of levels.
    let pem = stage.mariadb.clients().issue("orders_owner")?;
    let document = stage.document("sni = \"localhost\"\n", true)?;
    let key = format!("allow_api = true\nkey_file = {pem:?}\n");
    let document = document.replacen("allow_api = true\n", &key, 1);
    stage.deployment.apply(&document)?.ok()?;
    let me = "select substring_index(current_user(), '@', 1)";
    assert_eq!(stage.sql(&token, me)?.ok()?.trim(), "orders_owner");
    Ok(())
}

fn prove(stage: &Stage, user: &str, token: &str) -> Result<Output> {
    let mut client = stage.client("mariadb", token);
    client.args(["-N", "-B", "-u", user, "--default-auth=mysql_native_password", "-e"]);
    run(client.arg("select substring_index(current_user(), '@', 1)"), SOON)
}

fn id(token: &str) -> Result<String> {
    Ok(token.splitn(3, '_').nth(2).context("a token")?.chars().take(10).collect())
}

/// Has the door take proofs.
fn allow(stage: &mut Stage) -> Result<()> {
    let file = stage.deployment.dir().join("relay/relay.toml");
    let text = fs::read_to_string(&file)?;
    fs::write(&file, text.replacen("[mysql]", "[mysql]\nnative_password = true", 1))?;
    let id = stage.deployment.relay_id();
    run(Command::new("kill").args(["-TERM", &id.to_string()]), SOON)?.ok()?;
    eventually(SOON, "the relay has ended", || !stage.deployment.relay().is_running())?;
    stage.deployment.start_relay()?;
    stage.deployment.wait_for_connectors(1)
}
