//! What the door keeps of statements, beside the server's own log.

use std::fmt::Write as _;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use testkit::{eventually, python_with, run, run_with_input};

use super::{SOON, Stage};
use crate::support::{compared, grant};

#[test]
fn a_thousand_statements_are_kept_as_the_server_logs_them() -> Result<()> {
    let stage = Stage::start()?;
    let token = stage.token("alice")?;
    let ((count, patience), mut script) = (compared(), "delimiter //\n".to_owned());
    for n in 0..count {
        let _ = match n % 5 {
            0 => writeln!(script, "select {n}, 'literal {n} of ümläut'//"),
            1 => writeln!(
                script,
                "select count(*) from orders /* comment {n} */\n where id > {}//",
                n % 90
            ),
            2 => writeln!(script, "update orders set cents = cents + 1 where id <= {}//", n % 100),
            3 => writeln!(script, "select {n}; select {n} + 1 from orders//"),
            _ => writeln!(script, "select nothing_{n}//"),
        };
    }
    let mut client =
        stage.mariadb(&token, &["--force", "--comments", "--default-character-set=utf8mb4"]);
    run_with_input(&mut client, script.as_bytes(), patience)?;
    // Every fifth is two; the client asks one by itself.
    let rows = kept(&stage, count * 6 / 5)?;
    let mine: Vec<String> = rows.iter().map(text).collect::<Result<_>>()?;
    let logged = logged(&stage.mariadb.logged()?);
    let theirs: Vec<String> =
        logged.iter().flat_map(|text| text.split("; ")).map(str::to_owned).collect();
    assert_eq!(mine.len(), theirs.len());
    for (mine, theirs) in mine.iter().zip(&theirs) {
        assert_eq!(mine, theirs);
    }
    let of = |text: &str| rows.iter().find(|row| row["text"] == text).context(text.to_owned());
    let row = of("update orders set cents = cents + 1 where id <= 22")?;
    assert_eq!((&row["rows"], &row["user"]), (&22.into(), &"alice".into()));
    assert_eq!((&row["client"], &row["database"]), (&"mysql".into(), &"orders".into()));
    assert_eq!(
        (&row["application"], &row["role"]),
        (&"orders-db-hq".into(), &"orders_owner".into())
    );
    assert!(row["micros"].as_u64().is_some_and(|micros| micros > 0));
    assert_eq!(of("select 13 + 1 from orders")?["rows"], 100);
    let failed = of("select nothing_14")?;
    assert_eq!((&failed["error"], &failed["rows"]), (&"1054".into(), &Value::Null));
    let failed = stage.deployment.admin_json(&["query", "ls", "--failed", "--limit", "1000"])?;
    assert_eq!(failed.as_array().context("rows")?.len(), (count / 5).min(1000));
    Ok(())
}

#[test]
fn a_database_that_is_opened_by_a_command_is_kept_and_so_is_one_that_is_not() -> Result<()> {
    let stage = Stage::start()?;
    let token = stage.token("alice")?;
    // The client opens them by no SQL.
    let input = b"use information_schema\nuse nothing\nselect 1;\n";
    run_with_input(&mut stage.mariadb(&token, &["--force"]), input, SOON)?;
    eventually(SOON, "the last one is kept", || {
        kept(&stage, 3).is_ok_and(|rows| rows.iter().any(|row| row["text"] == "select 1"))
    })?;
    let rows = kept(&stage, 3)?;
    let row = |text: &str| {
        let row = rows.iter().find(|row| row["text"] == text).context(text.to_owned());
        row.map(|row| (row["error"].clone(), row["database"].clone()))
    };
    assert_eq!(row("(use information_schema)")?, (Value::Null, "orders".into()));
    assert_eq!(row("(use nothing)")?, ("1044".into(), "information_schema".into()));
    assert_eq!(row("select 1")?, (Value::Null, "information_schema".into()));
    Ok(())
}

#[test]
fn what_must_be_recorded_is_on_the_disk_before_it_runs() -> Result<()> {
    let stage = Stage::start()?;
    stage.deployment.apply(&(grant("alice", "orders-db") + "recording = \"required\"\n"))?.ok()?;
    let token = stage.token("alice")?;
    let mut running = stage.running(&token, "select sleep(60) as recorded")?;
    eventually(SOON, "it runs", || {
        stage.threads("%recorded%").is_ok_and(|threads| threads.len() == 1)
    })?;
    // Under way, and kept already.
    let rows = stage.deployment.admin_json(&["query", "ls"])?;
    let row = rows.as_array().and_then(|rows| rows.first()).context("a row")?.clone();
    assert_eq!(row["text"], "select sleep(60) as recorded");
    assert_eq!(row["micros"], Value::Null);
    running.kill();
    assert_eq!(stage.sql(&token, "select 12")?.ok()?.trim(), "12");
    let row = kept(&stage, 2)?.pop().context("a row")?;
    assert_eq!((&row["text"], &row["rows"]), (&"select 12".into(), &1.into()));
    let id = row["session"].as_str().context("a session")?.to_owned();
    eventually(SOON, "the recording is whole", || {
        let shown = stage.deployment.admin(&["session", "recording", &id]);
        shown.is_ok_and(|shown| shown.both().contains("orders> select 12"))
    })
}

#[test]
fn a_mask_holds_in_the_log_and_in_recordings() -> Result<()> {
    let stage = Stage::start()?;
    let mask = r#"mask = ["(?i)secret\\s*=\\s*'([^']*)'", "contraseña '([^']*)'"]"#;
    let document = stage.document(&format!("sni = \"localhost\"\n{mask}\n"), true)?;
    let recorded = grant("alice", "orders-db") + "recording = \"required\"\n";
    stage.deployment.apply(&(document + &recorded))?.ok()?;
    let token = stage.token("alice")?;
    stage.sql(&token, "select 1; select 'told' from orders where 'secret' != '' and 1=1 /* SECRET = 'hunter2' */ limit 1")?.ok()?;
    let row = kept(&stage, 2)?.pop().context("a row")?;
    assert!(text(&row)?.contains("SECRET = '***'"), "{row}");
    let id = row["session"].as_str().context("a session")?.to_owned();
    eventually(SOON, "the recording is whole, and masked", || {
        let shown = stage.deployment.admin(&["session", "recording", &id]);
        shown.is_ok_and(|shown| {
            shown.both().contains("SECRET = '***'") && !shown.both().contains("hunter2")
        })
    })?;
    let mut latin = stage.mariadb(&token, &["--comments", "--default-character-set=latin1"]);
    let spoken = b"select 2 /* contrase\xf1a 'geheim' \xc3\xa9 */;\nset names utf8mb4;\n\
        select 3 /* contrase\xc3\xb1a 'geheim' */;\n";
    run_with_input(&mut latin, spoken, SOON)?.ok()?;
    let rows = kept(&stage, 5)?;
    let texts: Vec<String> = rows.iter().map(text).collect::<Result<_>>()?;
    for wanted in ["select 2 /* contraseña '***' Ã© */", "select 3 /* contraseña '***' */"] {
        assert!(texts.iter().any(|text| text == wanted), "{texts:?}");
    }
    Ok(())
}

#[test]
fn bound_values_are_kept_where_an_admin_says_so() -> Result<()> {
    let stage = Stage::start()?;
    let document = stage.document("sni = \"localhost\"\nvalues = true\n", true)?;
    stage.deployment.apply(&(document + &grant("alice", "orders-db")))?.ok()?;
    let token = stage.token("alice")?;
    let driver = python_with("mysql-connector-python==9.4.0")?;
    let mut python = Command::new(driver.join("python"));
    python.args(["-c", BIND]).arg(stage.port().to_string()).arg(stage.deployment.ca_file());
    run(python.env("TOKEN", &token), SOON)?.ok()?;
    let rows = kept(&stage, 2)?;
    let texts: Vec<String> = rows.iter().map(text).collect::<Result<_>>()?;
    let wanted = "select ?, ?, ?, ? -- 7, 'it''s ü', NULL, 1.5";
    assert_eq!(texts.iter().filter(|text| *text == wanted).count(), 2, "{texts:?}");
    Ok(())
}

const BIND: &str = "
import os, sys, mysql.connector
db = mysql.connector.connect(host='localhost', port=int(sys.argv[1]), user='x',
                             password=os.environ['TOKEN'], database='orders', ssl_ca=sys.argv[2],
                             ssl_verify_identity=True, use_pure=True, charset='utf8mb4',
                             collation='utf8mb4_general_ci')
cursor = db.cursor(prepared=True)
for _ in range(2):
    cursor.execute('select ?, ?, ?, ?', (7, \"it's ü\", None, 1.5))
    cursor.fetchall()
db.close()
";

/// At least so many statements, the first one first, without what the client asks by itself.
pub(super) fn kept(stage: &Stage, count: usize) -> Result<Vec<Value>> {
    let read = || -> Result<Vec<Value>> {
        let lines = stage.deployment.admin(&["query", "export"])?.ok()?;
        let rows = lines.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?;
        let own = |row: &Value| row["text"].as_str().is_some_and(|text| OF_CLIENTS.contains(&text));
        Ok(rows.into_iter().rev().filter(|row| !own(row)).collect())
    };
    let complete = |rows: &[Value]| {
        rows.len() >= count && rows.last().is_some_and(|row| row["micros"] != Value::Null)
    };
    eventually(SOON + Duration::from_secs(5), "the statements are kept", || {
        read().is_ok_and(|rows| complete(&rows))
    })?;
    read()
}

fn text(row: &Value) -> Result<String> {
    Ok(row["text"].as_str().context("a text")?.to_owned())
}

/// The texts that the server says it was asked by connections of the door, which may have more lines.
fn logged(log: &str) -> Vec<String> {
    let (mut all, mut ours, mut open): (Vec<String>, Vec<&str>, bool) = Default::default();
    for line in log.lines() {
        let Some((thread, command, said)) = entry(line) else {
            if let Some(last) = all.last_mut().filter(|_| open) {
                let _ = write!(last, "\n{line}");
            }
            continue;
        };
        if command == "Connect" && said.starts_with("orders_owner@") {
            ours.push(thread);
        }
        open = command == "Query" && ours.contains(&thread) && !OF_CLIENTS.contains(&said);
        if open {
            all.push(said.to_owned());
        }
    }
    all
}

/// `[time]\t[spaces]thread command\ttext`.
fn entry(line: &str) -> Option<(&str, &str, &str)> {
    let (head, said) = line.rsplit_once('\t').filter(|_| line.contains('\t'))?;
    let (thread, command) = head.rsplit('\t').next()?.trim().split_once(' ')?;
    let known = ["Query", "Connect", "Quit", "Init DB", "Prepare", "Execute", "Close stmt"];
    let numbered = thread.bytes().all(|byte| byte.is_ascii_digit());
    (numbered && known.contains(&command)).then_some((thread, command, said))
}

const OF_CLIENTS: [&str; 1] = ["select @@version_comment limit 1"];
