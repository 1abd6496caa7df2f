//! Each way in which a server asks for the account that its client never sees.

use anyhow::Result;
use serde_json::Value;
use testkit::Postgres;

use super::{SOON, Stage};
use crate::support::{application, assert_says};

#[test]
fn the_door_logs_in_however_the_server_asks() -> Result<()> {
    let stage = Stage::start()?;
    let token = stage.token("alice")?;
    for (way, kept_as, tls, comes_in) in [
        ("scram-sha-256", "scram-sha-256", "verify-full", true),
        ("scram-sha-256", "scram-sha-256", "disable", true),
        ("md5", "md5", "verify-full", true),
        ("md5", "md5", "disable", true),
        ("password", "scram-sha-256", "verify-full", true),
        // Whoever the server is, it would have the password then.
        ("password", "scram-sha-256", "require", false),
        ("password", "scram-sha-256", "disable", false),
        ("trust", "scram-sha-256", "verify-full", true),
        ("reject", "scram-sha-256", "verify-full", false),
    ] {
        demand(&stage, way, kept_as)?;
        stage.deployment.apply(&with_tls(&stage, tls)?)?.ok()?;
        let said = stage.sql(&token, "select current_user")?;
        if comes_in {
            assert_eq!(said.ok()?.trim(), "orders_owner", "{way} {tls}");
        } else {
            assert_says(&said, "target.login_refused");
        }
    }
    // Why a certificate will not do stands in the audit log.
    let elsewhere = stage.document()?.replace("sni = \"localhost\"", "sni = \"elsewhere.test\"");
    stage.deployment.apply(&elsewhere)?.ok()?;
    assert_says(&stage.sql(&token, "select 1")?, "target.tls");
    let noted = stage.deployment.audit("session.action")?;
    let why = |row: &Value| row["event"]["detail"].to_string().contains("not valid for name");
    assert!(noted.iter().any(why), "{noted:?}");
    Ok(())
}

/// Has the server ask this way for the account, whose password it keeps in this form.
fn demand(stage: &Stage, way: &str, kept_as: &str) -> Result<()> {
    let admin = |sql: &str| stage.postgres.admin(Postgres::DATABASE, sql);
    let file = admin("show hba_file")?;
    let password =
        format!("set password_encryption = '{kept_as}'; alter role orders_owner password");
    admin(&format!("{password} 's3cret-of-the-level'"))?;
    let line = |role: &str, way: &str| format!("select 'host all {role} 127.0.0.1/32 {way}'");
    let lines = [line("orders_owner", way), line("all", "scram-sha-256")].join(" union all ");
    admin(&format!("copy ({lines}) to '{}'", file.trim()))?;
    let read = || admin("select pg_conf_load_time()");
    let before = read()?;
    admin("select pg_reload_conf()")?;
    // In its own time.
    testkit::eventually(SOON, "the server has read it", || read().is_ok_and(|at| at != before))
}

fn with_tls(stage: &Stage, mode: &str) -> Result<String> {
    let document = stage.document()?;
    let options = format!("[application.database]\ntls = {mode:?}\n");
    let document = document.replacen("[application.database]\n", &options, 1);
    // A CA is for who checks.
    let without = |line: &&str| mode == "verify-full" || !line.starts_with("ca_file");
    Ok(document.lines().filter(without).map(|line| format!("{line}\n")).collect())
}

#[test]
fn the_relay_shows_its_certificate_to_a_server_that_lets_in_by_one() -> Result<()> {
    let stage = Stage::start()?;
    let token = stage.token("alice")?;
    let pem = stage.postgres.certify("orders_owner")?;
    assert_says(&stage.sql(&token, "select 1")?, "target.login_refused");
    let ca = stage.postgres.certificate();
    let document = application("orders-db", "postgres", &stage.postgres.address());
    let document = format!(
        "{document}account = \"orders_owner\"\nkey_file = {pem:?}\nca_file = {ca:?}\n\
         [application.database]\nsni = \"localhost\"\n"
    );
    stage.deployment.apply(&document)?.ok()?;
    assert_eq!(stage.sql(&token, "select current_user")?.ok()?.trim(), "orders_owner");
    // Nobody is shown the key.
    let shown = stage.deployment.admin(&["app", "show", "orders-db"])?.ok()?;
    assert!(!shown.contains("PRIVATE"), "{shown}");
    // A certificate of another name is none for this account.
    let other = stage.postgres.certify("orders_ro")?;
    let document = document.replace(&format!("{pem:?}"), &format!("{other:?}"));
    stage.deployment.apply(&document)?.ok()?;
    assert_says(&stage.sql(&token, "select 1")?, "target.login_refused");
    Ok(())
}
