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
    let ((count, patience), mut script) = (compared(), String::new());
    for n in 0..count {
        let _ = match n % 5 {
            0 => writeln!(script, "select {n}, 'literal {n} of ümläut';"),
            1 => writeln!(
                script,
                "select count(*) from orders -- comment {n}\n where id > {};",
                n % 90
            ),
            2 => writeln!(script, "update orders set cents = cents + 1 where id = {};", n % 100),
            3 => writeln!(script, "select {n} \\; select {n} + 1;"),
            _ => writeln!(script, "select nothing_{n};"),
        };
    }
    let mut psql = stage.client("psql", &token);
    psql.args(["-X", "-q", "-A", "-t"]).env("PGAPPNAME", "audit-test");
    run_with_input(&mut psql, script.as_bytes(), patience)?;
    let rows = kept(&stage, count)?;
    let mine: Vec<String> = rows.iter().map(text).collect::<Result<_>>()?;
    let theirs = logged(&stage.postgres.logged()?, "orders_owner@orders ");
    assert_eq!(mine.len(), theirs.len());
    for (mine, theirs) in mine.iter().zip(&theirs) {
        assert_eq!(mine, theirs);
    }
    let row = &rows[2];
    assert_eq!(
        (&row["rows"], &row["user"], &row["client"]),
        (&1.into(), &"alice".into(), &"audit-test".into())
    );
    assert_eq!(
        (&row["application"], &row["role"]),
        (&"orders-db-hq".into(), &"orders_owner".into())
    );
    assert!(row["micros"].as_u64().is_some_and(|micros| micros > 0));
    assert_eq!((&rows[4]["error"], &rows[4]["rows"]), (&"42703".into(), &Value::Null));
    assert_eq!(rows[3]["rows"], 2);
    let id = row["session"].as_str().context("a session")?;
    let played = stage.deployment.admin(&["session", "play", id])?.ok()?;
    // Of more it tells the last ones, and how to have all.
    let first = count.saturating_sub(10_000);
    let failed = format!("orders=> select nothing_{};\n-- error 42703, ", first + 4);
    let (start, end) = (format!("literal {first} "), format!("nothing_{};", count - 1));
    let told = [start, failed, end].map(|text| played.find(&text));
    assert!(told.is_sorted() && told[0].is_some(), "{told:?}");
    let failed = stage.deployment.admin_json(&["query", "ls", "--failed", "--limit", "1000"])?;
    assert_eq!(failed.as_array().context("rows")?.len(), (count / 5).min(1000));
    Ok(())
}

#[test]
fn prepared_statements_are_kept_by_their_text() -> Result<()> {
    let stage = Stage::start()?;
    let token = stage.token("alice")?;
    let mut bench = stage.client("pgbench", &token);
    let script = stage.deployment.dir().join("script.sql");
    std::fs::write(&script, "\\set id 7\nselect cents from orders where id = :id;\n")?;
    bench.args(["-n", "-M", "prepared", "-t", "10", "-f"]).arg(&script);
    testkit::run(&mut bench, SOON)?.ok()?;
    let rows = kept(&stage, 10)?;
    let of_ours: Vec<_> =
        rows.iter().filter(|row| row["text"].to_string().contains("cents")).collect();
    assert_eq!(of_ours.len(), 10);
    assert!(
        of_ours.iter().all(|row| row["text"] == "select cents from orders where id = $1;"),
        "{rows:?}"
    );
    assert!(of_ours.iter().all(|row| row["rows"] == 1));
    let by_sql = b"prepare sp as select $1::int;\nexecute sp(7);\n";
    run_with_input(&mut stage.psql(&token, &[]), by_sql, SOON)?.ok()?;
    let row = kept(&stage, rows.len() + 2)?.pop().context("a row")?;
    assert_eq!(row["text"], "execute sp(7);", "as the server has it");
    Ok(())
}

#[test]
fn what_must_be_recorded_is_on_the_disk_before_it_runs() -> Result<()> {
    let stage = Stage::start()?;
    stage.deployment.apply(&(grant("alice", "orders-db") + "recording = \"required\"\n"))?.ok()?;
    let token = stage.token("alice")?;
    let mut running = stage.running(&token, "select pg_sleep(60) /* recorded */")?;
    eventually(SOON, "it runs", || stage.backends("%recorded%").is_ok_and(|count| count == 1))?;
    // Under way, and kept already.
    let rows = stage.deployment.admin_json(&["query", "ls"])?;
    let row = rows.as_array().and_then(|rows| rows.first()).context("a row")?.clone();
    assert_eq!(row["text"], "select pg_sleep(60) /* recorded */");
    assert_eq!(row["micros"], Value::Null);
    let cut = row["session"].as_str().context("a session")?.to_owned();
    stage.deployment.admin(&["session", "kill", &cut])?.ok()?;
    running.kill();
    let rows = kept(&stage, 1)?;
    assert_eq!(rows[0]["error"], "session.killed", "{rows:?}");
    eventually(SOON, "the statement that was cut short is in the recording", || {
        let shown = stage.deployment.admin(&["session", "recording", &cut]);
        shown.is_ok_and(|shown| shown.both().contains("orders=> select pg_sleep(60)"))
    })?;
    assert_eq!(stage.sql(&token, "select 12")?.ok()?.trim(), "12");
    let row = kept(&stage, 2)?.pop().context("a row")?;
    assert_eq!((&row["text"], &row["rows"]), (&"select 12".into(), &1.into()));
    let id = row["session"].as_str().context("a session")?.to_owned();
    eventually(SOON, "the recording is whole", || {
        let shown = stage.deployment.admin(&["session", "recording", &id]);
        shown.is_ok_and(|shown| shown.both().contains("orders=> select 12"))
    })
}

#[test]
fn no_end_of_a_session_keeps_a_statement_out_of_the_log() -> Result<()> {
    let stage = Stage::start()?;
    let token = stage.token("alice")?;
    let asked = "begin; update orders set cents = cents; commit; select pg_sleep(60)";
    let mut running = stage.running(&token, asked)?;
    eventually(SOON, "it runs", || stage.backends("%pg_sleep%").is_ok_and(|count| count == 1))?;
    running.kill();
    let row = kept(&stage, 1)?.pop().context("a row")?;
    assert_eq!((&row["text"], &row["rows"]), (&asked.into(), &Value::Null));
    let error = row["error"].as_str().context("an error")?;
    assert!(matches!(error, "session.broken" | "session.closed"), "{error}");
    assert!(row["micros"].as_u64().is_some_and(|micros| micros > 0), "{row}");
    Ok(())
}

#[test]
fn bound_values_are_kept_where_an_admin_says_so() -> Result<()> {
    let stage = Stage::start()?;
    let document =
        stage.document()?.replace("sni = ", "values = true\nmask = ['hunter\\d']\nsni = ");
    stage.deployment.apply(&(document + &grant("alice", "orders-db")))?.ok()?;
    let token = stage.token("alice")?;
    for (package, script) in [("psycopg[binary]==3.3.9", PSYCOPG), ("asyncpg==0.32.0", ASYNCPG)] {
        let mut python = Command::new(python_with(package)?.join("python"));
        python.args(["-c", script]).arg(stage.port().to_string()).arg(stage.deployment.ca_file());
        run(python.env("TOKEN", &token), SOON)?.ok()?;
    }
    let rows = kept(&stage, 3)?;
    let texts: Vec<String> = rows.iter().map(text).collect::<Result<_>>()?;
    let mine: Vec<&str> =
        texts.iter().filter_map(|text| text.strip_prefix("select $1::")).collect();
    let wanted = [
        // As text, in binary form by the client's types, and by those that the server told.
        "text, $2::text, $3::int -- 'it''s ü', NULL, '7'",
        "int8, $2::bytea -- 7, 0x00ff",
        "int, $2::numeric, $3::timestamptz, $4::uuid, $5::text, $6::jsonb -- 7, -12.50, \
         '2026-11-27T09:30:00Z', '12345678-1234-5678-1234-567812345678', '***', '{\"a\": 1}'",
    ];
    assert_eq!(mine, wanted, "{texts:?}");
    Ok(())
}

const PSYCOPG: &str = "
import os, sys, psycopg
with psycopg.connect(host='localhost', port=sys.argv[1], user='x+orders-db', dbname='orders',
                     password=os.environ['TOKEN'], sslmode='verify-full', sslrootcert=sys.argv[2],
                     autocommit=True) as c:
    c.execute('select %s::text, %s::text, %s::int', (\"it's ü\", None, '7'))
    c.execute('select %b::int8, %b::bytea', (7, b'\\0\\xff'))
";

const ASYNCPG: &str = "
import asyncio, datetime, decimal, os, ssl, sys, uuid
import asyncpg

async def main():
    c = await asyncpg.connect(host='localhost', port=int(sys.argv[1]), user='x+orders-db', database='orders',
                              password=os.environ['TOKEN'], ssl=ssl.create_default_context(cafile=sys.argv[2]))
    await c.fetch('select $1::int, $2::numeric, $3::timestamptz, $4::uuid, $5::text, $6::jsonb', 7,
                  decimal.Decimal('-12.50'),
                  datetime.datetime(2026, 11, 27, 9, 30, tzinfo=datetime.timezone.utc),
                  uuid.UUID('12345678123456781234567812345678'), 'hunter2', '{\"a\": 1}')
    await c.close()

asyncio.run(main())
";

/// At least so many statements, the first one first.
pub(super) fn kept(stage: &Stage, count: usize) -> Result<Vec<Value>> {
    let read = || -> Result<Vec<Value>> {
        let lines = stage.deployment.admin(&["query", "export"])?.ok()?;
        let rows = lines.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?;
        Ok(rows.into_iter().rev().collect())
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

/// The statements that the server says it was asked by this account, which may have more lines.
fn logged(log: &str, who: &str) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let mut open = false;
    for line in log.lines() {
        if let Some(more) = line.strip_prefix('\t').filter(|_| open) {
            if let Some(last) = all.last_mut() {
                let _ = write!(last, "\n{more}");
            }
            continue;
        }
        open = false;
        if let Some((_, said)) = line.split_once(who)
            && let Some(statement) = said.strip_prefix("LOG:  statement: ")
        {
            all.push(statement.to_owned());
            open = true;
        }
    }
    all
}
