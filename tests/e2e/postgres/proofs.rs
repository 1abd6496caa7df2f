//! Clients that prove to know a token and do not show it.

use anyhow::{Context, Result};
use serde_json::Value;
use testkit::run;

use super::{SOON, Stage};
use crate::support::assert_says;

#[test]
fn who_demands_scram_gets_in_and_shows_the_token_to_nobody() -> Result<()> {
    let stage = Stage::start()?;
    let token = stage.token("alice")?;
    let id = id(&token)?;
    for user in [format!("x+adit_{id}"), format!("x+orders-db+adit_{id}")] {
        let mut psql = stage.psql(&token, &["-c", "select current_user"]);
        // Nothing but SCRAM can be bound.
        psql.env("PGUSER", &user).env("PGCHANNELBINDING", "require");
        assert_eq!(run(&mut psql, SOON)?.ok()?.trim(), "orders_owner", "{user}");
    }
    // A token is a token: it stands in the records, and its uses are counted.
    let opened = stage.deployment.audit("session.opened")?;
    assert!(opened.iter().all(|row| row["event"]["token"] == id.as_str()), "{opened:?}");
    let once = stage.deployment.token("alice", "orders-db", &["--uses", "1"])?;
    let by_proof = |token: &str, named: &str| {
        let mut psql = stage.psql(token, &["-c", "select 7"]);
        run(psql.env("PGUSER", format!("x+adit_{named}")), SOON)
    };
    assert_eq!(by_proof(&once, &self::id(&once)?)?.ok()?.trim(), "7");
    assert_says(&by_proof(&once, &self::id(&once)?)?, "token.used_up");
    // Another token, an id that is none, and no token at all are told alike.
    for (token, named) in
        [(&once, id.as_str()), (&token, "0000000000"), (&"x".to_owned(), id.as_str())]
    {
        let refused = by_proof(token, named)?;
        assert_says(&refused, "sign-in failed (authn.failed)");
    }
    // Without the id a password is asked for, which is bound to nothing.
    let mut psql = stage.psql(&token, &["-c", "select 1"]);
    let refused = run(psql.env("PGCHANNELBINDING", "require"), SOON)?;
    assert_says(&refused, "channel binding");
    Ok(())
}

#[test]
fn what_patterns_find_is_in_no_log() -> Result<()> {
    let stage = Stage::start()?;
    let document = stage.document()?;
    let mask = r#"mask = ['\b\d{16}\b', "(?i)password '([^']*)'", "contraseña '([^']*)'"]"#;
    let options = format!("[application.database]\n{mask}\n");
    let masked = document.replacen("[application.database]\n", &options, 1);
    let recorded = crate::support::grant("alice", "orders-db") + "recording = \"required\"\n";
    stage.deployment.apply(&(masked + &recorded))?.ok()?;
    let token = stage.token("alice")?;
    let sql = "select length('4111111111111111') /* password 'geheim' */";
    assert_eq!(stage.sql(&token, sql)?.ok()?.trim(), "16");
    let rows = super::statements::kept(&stage, 1)?;
    assert_eq!(rows[0]["text"], "select length('***') /* password '***' */");
    let id = rows[0]["session"].as_str().context("a session")?.to_owned();
    testkit::eventually(SOON, "the recording is whole", || {
        let shown = stage.deployment.admin(&["session", "recording", &id]);
        shown.is_ok_and(|shown| shown.both().contains("orders=> select length('***')"))
    })?;
    let shown = stage.deployment.admin(&["session", "recording", &id])?.ok()?;
    assert!(!shown.contains("geheim") && !shown.contains("4111"), "{shown}");
    let mut latin = stage.psql(&token, &[]);
    latin.env("PGCLIENTENCODING", "LATIN1");
    let spoken = b"select 2 /* contrase\xf1a 'geheim' \xc3\xa9 */;\nset client_encoding = utf8;\n\
        select 3 /* contrase\xc3\xb1a 'geheim' */;\nset client_encoding = win1252;\n\
        select 4 /* contrase\xf1a 'geheim' \x80 */;\n";
    testkit::run_with_input(&mut latin, spoken, SOON)?.ok()?;
    let rows = super::statements::kept(&stage, 6)?;
    let texts: Vec<_> = rows.iter().skip(1).step_by(2).map(|row| row["text"].clone()).collect();
    let wanted = [
        "select 2 /* contraseña '***' Ã© */;",
        "select 3 /* contraseña '***' */;",
        "select 4 /* contraseña '***' € */;",
    ];
    assert_eq!(texts, wanted);
    let bad = stage.document()?.replacen(
        "[application.database]\n",
        "[application.database]\nmask = ['(']\n",
        1,
    );
    assert_says(&stage.deployment.apply(&bad)?, "application.database");
    Ok(())
}

#[test]
fn logical_replication_passes_where_the_application_allows_it() -> Result<()> {
    let stage = Stage::start()?;
    stage.postgres.admin("orders", "alter role orders_owner replication")?;
    let token = stage.token("alice")?;
    let slot = |more: &[&str]| {
        let mut receive = stage.client("pg_recvlogical", &token);
        receive.args(["-d", "orders", "-S", "adit_test"]).args(more);
        run(&mut receive, SOON)
    };
    assert_says(&slot(&["--create-slot", "-P", "test_decoding"])?, "database.replication");
    let allowed = stage.document()?.replacen(
        "[application.database]\n",
        "[application.database]\nreplication = true\n",
        1,
    );
    stage.deployment.apply(&allowed)?.ok()?;
    slot(&["--create-slot", "-P", "test_decoding"])?.ok()?;
    stage.sql(&token, "update orders set cents = 77 where id = 7")?.ok()?;
    let end = stage.postgres.admin("orders", "select pg_current_wal_lsn()")?;
    let changes = slot(&["--start", "-n", "-f", "-", "--endpos", end.trim()])?.ok()?;
    assert!(changes.contains("cents[integer]:77"), "{changes}");
    slot(&["--drop-slot"])?.ok()?;
    // All of the server is more than one application.
    let mut physical = stage.client("pg_receivewal", &token);
    let folder = stage.deployment.dir().join("wal");
    std::fs::create_dir(&folder)?;
    physical.args(["--no-loop", "-D"]).arg(&folder);
    let refused = run(&mut physical, SOON)?;
    assert_says(&refused, "physical replication never passes here (database.replication)");
    assert_says(&refused, "adit tunnel APP");
    let rows: Vec<Value> = super::statements::kept(&stage, 2)?;
    assert!(
        rows.iter().any(|row| row["text"].to_string().contains("START_REPLICATION")),
        "{rows:?}"
    );
    Ok(())
}

/// A token's id, which may be told.
fn id(token: &str) -> Result<String> {
    Ok(token.splitn(3, '_').nth(2).context("a token")?.chars().take(10).collect())
}
