//! What the door keeps of commands, beside what the server saw.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use testkit::{Process, eventually, run_with_input};

use super::{SOON, Stage};
use crate::support::grant;

#[test]
fn a_thousand_commands_are_kept_as_the_server_sees_them() -> Result<()> {
    let stage = Stage::start()?;
    let token = stage.token("alice")?;
    let log = stage.deployment.dir().join("monitor.log");
    let mut monitor = stage.redis.client("redis-cli");
    monitor.arg("MONITOR");
    let _monitor = Process::start("redis-cli", monitor, &log)?;
    let seen = || std::fs::read_to_string(&log).unwrap_or_default();
    eventually(SOON, "the monitor sees", || {
        stage.redis.admin(&["ECHO", "ready"]).is_ok() && seen().contains("\"ready\"")
    })?;
    let mut script = String::new();
    for n in 0..200 {
        let _ = writeln!(script, "SET key:{n} \"secret {n}\"");
        let _ = writeln!(script, "mget key:{n} \"odd \\x00 {n}\" missing");
        let _ = writeln!(script, "LPUSH key:{n} secret");
        let _ = writeln!(script, "HSET hash:{n} field secret");
        let _ = writeln!(script, "EVAL \"return 1\" 1 key:{n} secret");
    }
    let mut cli = stage.client("redis-cli", &token);
    run_with_input(cli.arg("-n").arg("4"), script.as_bytes(), SOON)?;
    // One to choose the database.
    let rows = kept(&stage, 1001)?;
    assert_eq!(rows[0]["text"], "SELECT 4");
    let theirs = monitored(&seen());
    let mine = &rows[1..];
    assert_eq!(mine.len(), 1000);
    assert_eq!(theirs.len(), 1000);
    for (mine, theirs) in mine.iter().zip(&theirs) {
        assert_eq!(mine["text"], *theirs.as_str());
        assert_eq!(mine["database"], "4");
    }
    assert!(!format!("{rows:?}").contains("secret"));
    assert_eq!((&rows[1]["error"], &rows[3]["error"]), (&Value::Null, &"WRONGTYPE".into()));
    assert_eq!((&rows[2]["rows"], &rows[1]["user"]), (&3.into(), &"alice".into()));
    assert_eq!(
        (&rows[1]["application"], &rows[1]["role"]),
        (&"cache-hq".into(), &"cache_owner".into())
    );
    let failed = stage.deployment.admin_json(&["query", "ls", "--failed", "--limit", "1000"])?;
    assert_eq!(failed.as_array().context("rows")?.len(), 200);
    Ok(())
}

#[test]
fn what_must_be_recorded_is_on_the_disk_before_it_runs() -> Result<()> {
    let stage = Stage::start()?;
    stage.deployment.apply(&(grant("alice", "cache") + "recording = \"required\"\n"))?.ok()?;
    let token = stage.token("alice")?;
    let mut waiting = stage.running("recorded", &token, &["BLPOP", "recorded", "60"])?;
    eventually(SOON, "it waits", || {
        stage.redis.admin(&["CLIENT", "LIST"]).is_ok_and(|list| list.contains("cmd=blpop"))
    })?;
    // Under way, and kept already.
    let rows = stage.deployment.admin_json(&["query", "ls"])?;
    let rows = rows.as_array().context("rows")?;
    let row = rows.iter().find(|row| row["text"] == "BLPOP recorded").context("a row")?;
    assert_eq!(row["micros"], Value::Null);
    waiting.kill();
    assert_eq!(stage.cli(&token, &["SET", "a", "secret"])?.ok()?.trim(), "OK");
    let rows = kept(&stage, 2)?;
    let row = rows.iter().find(|row| row["text"] == "SET a").context("a row")?;
    let id = row["session"].as_str().context("a session")?.to_owned();
    eventually(SOON, "the recording is whole", || {
        let shown = stage.deployment.admin(&["session", "recording", &id]);
        shown.is_ok_and(|shown| {
            shown.both().contains("0> SET a") && !shown.both().contains("secret")
        })
    })
}

#[test]
fn a_mask_holds_in_keys() -> Result<()> {
    let stage = Stage::start()?;
    let masked = stage.document()?.replacen("sni =", "mask = [\"person:([a-z]+)\"]\nsni =", 1);
    stage.deployment.apply(&(masked + &grant("alice", "cache")))?.ok()?;
    let token = stage.token("alice")?;
    stage.cli(&token, &["SET", "person:jane:mood", "fine"])?.ok()?;
    assert_eq!(kept(&stage, 1)?[0]["text"], "SET person:***:mood");
    Ok(())
}

#[test]
fn values_are_kept_where_an_admin_says_so_and_passwords_never() -> Result<()> {
    let stage = Stage::start()?;
    let values = stage.document()?.replacen("sni =", "values = true\nsni =", 1);
    stage.deployment.apply(&(values + &grant("alice", "cache")))?.ok()?;
    let token = stage.token("alice")?;
    stage.cli(&token, &["SET", "mood", "quite fine"])?.ok()?;
    stage.cli(&token, &["CONFIG", "SET", "masterauth", "geheim"])?.ok()?;
    let rows = kept(&stage, 2)?;
    assert_eq!(rows[0]["text"], "SET mood \"quite fine\"");
    assert_eq!(rows[1]["text"], "CONFIG SET masterauth");
    Ok(())
}

/// At least so many commands, the first one first.
fn kept(stage: &Stage, count: usize) -> Result<Vec<Value>> {
    let read = || -> Result<Vec<Value>> {
        let lines = stage.deployment.admin(&["query", "export"])?.ok()?;
        let rows = lines.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?;
        let rows = rows.into_iter().rev().filter(|row| row["text"] != "COMMAND DOCS");
        Ok(rows.collect())
    };
    let complete = |rows: &[Value]| {
        rows.len() >= count && rows.last().is_some_and(|row| row["micros"] != Value::Null)
    };
    eventually(SOON + Duration::from_secs(5), "the commands are kept", || {
        read().is_ok_and(|rows| complete(&rows))
    })?;
    read()
}

/// The commands in database 4, as their names and keys.
fn monitored(log: &str) -> Vec<String> {
    let lines = log.lines().filter_map(|line| line.split_once(" [4 ")?.1.split_once("] "));
    lines.filter_map(|(_, words)| named(words)).collect()
}

fn named(words: &str) -> Option<String> {
    let inner = words.strip_prefix('"')?.strip_suffix('"')?;
    let words: Vec<&str> = inner.split("\" \"").collect();
    let name = words.first()?.to_uppercase();
    let keys: &[&str] = match name.as_str() {
        "SET" | "LPUSH" | "HSET" => words.get(1..2)?,
        "MGET" => words.get(1..)?,
        "EVAL" => words.get(3..4)?,
        _ => return None,
    };
    let shown = |key: &&str| match key.contains([' ', '\\']) {
        true => format!("\"{key}\""),
        false => (*key).to_owned(),
    };
    let keys: Vec<String> = keys.iter().map(shown).collect();
    Some(format!("{name} {}", keys.join(" ")))
}
