//! The PostgreSQL door, with the clients people use and PostgreSQL itself behind it.

mod accounts;
mod attacks;
mod drivers;
mod logins;
mod matrix;
mod proofs;
mod statements;

use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::Value;
use testkit::{Deployment, Output, Postgres, PostgresOptions, Process, eventually, resident, run};

use crate::support::{SOON, application, assert_says, grant};

/// A deployment with a database behind it that speaks TLS and logs statements. The application
/// `orders-db` has an account for each level; `alice` may do everything there.
pub(crate) struct Stage {
    pub(crate) deployment: Deployment,
    pub(crate) postgres: Postgres,
}

impl Stage {
    pub(crate) fn start() -> Result<Self> {
        let options = PostgresOptions { tls: true, statements: true, ..Default::default() };
        let stage =
            Self { deployment: Deployment::start()?, postgres: Postgres::start_with(options)? };
        stage.postgres.admin(Postgres::DATABASE, ACCOUNTS)?;
        stage.deployment.apply(&(stage.document()? + &grant("alice", "orders-db")))?.ok()?;
        Ok(stage)
    }

    pub(crate) fn document(&self) -> Result<String> {
        let password = self.deployment.dir().join("level-password");
        fs::write(&password, "s3cret-of-the-level")?;
        let ca = self.postgres.certificate();
        Ok([
            "[[user]]\nname = \"alice\"\n[[user]]\nname = \"bob\"\n".to_owned(),
            application("orders-db", "postgres", &self.postgres.address()),
            format!("allow_api = true\nca_file = {ca:?}\n"),
            "[application.database]\nsni = \"localhost\"\n".to_owned(),
            "[application.database.accounts]\n".to_owned(),
            "owner = \"orders_owner\"\neditor = \"orders_rw\"\nviewer = \"orders_ro\"\n".to_owned(),
            "[application.level_password_files]\n".to_owned(),
            format!("owner = {password:?}\neditor = {password:?}\nviewer = {password:?}\n"),
        ]
        .concat())
    }

    /// A token for many uses.
    pub(crate) fn token(&self, user: &str) -> Result<String> {
        self.deployment.token(user, "orders-db", &["--uses", "100000"])
    }

    pub(crate) fn port(&self) -> u16 {
        self.deployment.doors().https
    }

    /// `psql` through the door, by the token alone, which trusts the relay's CA only.
    pub(crate) fn psql(&self, token: &str, more: &[&str]) -> Command {
        let mut psql = self.client("psql", token);
        psql.args(["-X", "-A", "-t", "-v", "ON_ERROR_STOP=1"]).args(more);
        psql
    }

    pub(crate) fn client(&self, program: &str, token: &str) -> Command {
        let mut command = Command::new(self.postgres.bin().join(program));
        command.env("PGPASSWORD", token).env("PGHOST", "localhost").env("PGUSER", "reporting");
        command.env("PGDATABASE", Postgres::DATABASE).env("PGSSLMODE", "verify-full");
        command.env("PGSSLROOTCERT", self.deployment.ca_file()).env("PGCONNECT_TIMEOUT", "20");
        command.env("PGPORT", self.port().to_string());
        command
    }

    pub(crate) fn sql(&self, token: &str, sql: &str) -> Result<Output> {
        run(&mut self.psql(token, &["-c", sql]), SOON)
    }

    /// `psql` that runs `sql` by itself.
    fn running(&self, token: &str, sql: &str) -> Result<Process> {
        let log = self.deployment.dir().join(format!("psql-{}.log", uuid(token, sql)));
        Process::start("psql", self.psql(token, &["-c", sql]), &log)
    }

    /// How many statements like this are running, this question aside.
    fn backends(&self, like: &str) -> Result<usize> {
        let sql = format!(
            "select count(*) from pg_stat_activity \
             where state='active' and pid <> pg_backend_pid() and query like '{like}'"
        );
        Ok(self.postgres.admin(Postgres::DATABASE, &sql)?.trim().parse()?)
    }
}

fn uuid(token: &str, sql: &str) -> String {
    let word: String = sql.chars().filter(char::is_ascii_alphanumeric).take(20).collect();
    format!("{}-{word}", token.len())
}

#[test]
fn psql_comes_in_by_its_token_and_never_sees_the_password() -> Result<()> {
    let stage = Stage::start()?;
    let token = stage.token("alice")?;
    assert_eq!(stage.sql(&token, "select sum(cents) from orders")?.ok()?.trim(), "631250");
    assert_eq!(stage.sql(&token, "select current_user")?.ok()?.trim(), "orders_owner");
    let tls = "select ssl from pg_stat_ssl where pid = pg_backend_pid()";
    assert_eq!(stage.sql(&token, tls)?.ok()?.trim(), "t");
    // In each place that may name the application, and in all at once.
    for (user, options) in [
        ("x+orders-db", ""),
        ("x+orders-db.hq", "-c adit.application=orders-db-hq -c work_mem=7MB"),
        ("x", "-c adit.application=orders-db"),
    ] {
        let mut psql = stage.psql(&token, &["-c", "show work_mem"]);
        let shown = run(psql.env("PGUSER", user).env("PGOPTIONS", options), SOON)?.ok()?;
        let expected = if options.contains("work_mem") { "7MB" } else { "4MB" };
        assert_eq!(shown.trim(), expected, "{user} {options}");
    }
    let mut other = stage.psql(&token, &["-c", "select 1"]);
    let denied = run(other.env("PGUSER", "x+web1"), SOON)?;
    assert_says(&denied, "access.denied");
    let opened = &stage.deployment.audit("session.opened")?[0]["event"];
    assert_eq!((&opened["door"], &opened["login"]), (&"postgres".into(), &"orders_owner".into()));
    let ended = stage.deployment.audit("session.ended")?;
    let in_order =
        |row: &Value| row["event"]["reason"] == "closed" && row["event"]["side"] == "client";
    assert!(ended.iter().all(in_order), "{ended:?}");
    Ok(())
}

#[test]
fn who_shows_no_good_token_gets_in_nowhere() -> Result<()> {
    let stage = Stage::start()?;
    let token = stage.token("alice")?;
    let wrong = stage.sql("adit_access_wrong", "select 1")?;
    assert_says(&wrong, "sign-in failed (authn.failed)");
    assert_says(&wrong, "HINT:");
    // Another user's rule is no rule of bob's.
    let bobs = stage.deployment.token("bob", "orders-db", &["--uses", "5"]);
    if let Ok(bobs) = bobs {
        assert_says(&stage.sql(&bobs, "select 1")?, "access.denied");
    }
    let mut plain = stage.psql(&token, &["-c", "select 1"]);
    let refused = run(plain.env("PGSSLMODE", "disable"), SOON)?;
    assert_says(&refused, "tls.required");
    let mut replicating = stage.psql(&token, &["-c", "IDENTIFY_SYSTEM"]);
    replicating.args(["replication=database"]);
    assert_says(&run(&mut replicating, SOON)?, "database.replication");
    let absent = run(stage.psql(&token, &["-c", "select 1"]).env("PGDATABASE", "nothing"), SOON)?;
    assert_says(&absent, "database \"nothing\" does not exist");
    assert!(!absent.stderr.contains("HINT"), "{}", absent.both());
    let unnamed = run(stage.psql(&token, &["-c", "select 1"]).env_remove("PGDATABASE"), SOON)?;
    assert_says(&unnamed, "database \"reporting\" does not exist");
    assert_says(&unnamed, "the client named no database");
    let listed = stage.deployment.admin_json(&["token", "ls"])?;
    let rows = listed.as_array().context("tokens")?.iter();
    let mine = rows.filter(|row| row["user"] == "alice" && row["kind"] == "access");
    for id in mine.filter_map(|row| row["id"].as_str()) {
        stage.deployment.admin(&["token", "revoke", id])?.ok()?;
    }
    assert_says(&stage.sql(&token, "select 1")?, "token.revoked");
    Ok(())
}

#[test]
fn a_level_is_an_account_and_the_database_holds_it() -> Result<()> {
    let stage = Stage::start()?;
    let viewer = grant("alice", "orders-db") + "level = \"viewer\"\ndatabases = [\"orders\"]\n";
    stage.deployment.apply(&viewer)?.ok()?;
    let token = stage.token("alice")?;
    assert_eq!(stage.sql(&token, "select current_user")?.ok()?.trim(), "orders_ro");
    assert_says(&stage.sql(&token, "delete from orders")?, "permission denied");
    let other = run(stage.psql(&token, &["-c", "select 1"]).env("PGDATABASE", "postgres"), SOON)?;
    assert_says(&other, "opens other databases (access.denied)");
    assert_says(&other, "name one of them: orders");
    let detail = stage.deployment.audit("access.denied")?;
    assert!(detail[0]["event"]["detail"].to_string().contains("databases"), "{detail:?}");
    let editor = grant("alice", "orders-db") + "level = \"editor\"\n";
    stage.deployment.apply(&editor)?.ok()?;
    assert_eq!(stage.sql(&token, "update orders set cents = 0")?.ok()?.trim(), "UPDATE 100");
    assert_says(&stage.sql(&token, "drop table orders")?, "must be owner");
    let why = stage.deployment.admin(&["why", "alice", "orders-db"])?.ok()?;
    assert!(why.contains("may reach"), "{why}");
    // A level that is no account's is a denial.
    let (before, _) = stage
        .document()?
        .split_once("[application.database]")
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .context("options")?;
    let none = before + "[application.database]\nsni = \"localhost\"\n";
    stage.deployment.apply(&none)?.ok()?;
    assert_says(&stage.sql(&token, "select 1")?, "access.denied");
    stage.deployment.apply(&grant("alice", "orders-db"))?.ok()?;
    let unmanaged = stage.sql(&token, "select 1")?;
    assert_says(&unmanaged, "database.no_account");
    assert_says(&unmanaged, "adit tunnel orders-db");
    Ok(())
}

#[test]
fn a_cancel_reaches_its_own_statement_only() -> Result<()> {
    let stage = Stage::start()?;
    let token = stage.token("alice")?;
    let mut one = stage.running(&token, "select pg_sleep(100) /* one */")?;
    let mut two = stage.running(&token, "select pg_sleep(100), 2 /* two */")?;
    eventually(SOON, "both run", || {
        stage.backends("%pg_sleep(100)%/* % */%").is_ok_and(|n| n >= 2)
    })?;
    // As Ctrl-C does.
    run(Command::new("kill").args(["-INT", &one.id().to_string()]), SOON)?.ok()?;
    eventually(SOON, "psql has ended", || !one.is_running())?;
    assert!(one.tail().contains("canceling statement due to user request"), "{}", one.tail());
    assert!(two.is_running(), "{}", two.tail());
    Ok(())
}

#[test]
fn a_session_that_ends_says_so_within_a_second() -> Result<()> {
    let stage = Stage::start()?;
    for withdraw in ["kill", "revoke"] {
        let token = stage.token("alice")?;
        let mut psql = stage.running(&token, &format!("select pg_sleep(100) /* {withdraw} */"))?;
        eventually(SOON, "it runs", || {
            stage.backends(&format!("%/* {withdraw} */%")).is_ok_and(|n| n > 0)
        })?;
        let started = Instant::now();
        if withdraw == "kill" {
            let sessions = stage.deployment.sessions()?;
            let id = sessions[0]["id"].as_str().context("a session")?.to_owned();
            stage.deployment.admin(&["session", "kill", &id])?.ok()?;
        } else {
            stage.deployment.admin(&["user", "disable", "alice"])?.ok()?;
        }
        eventually(SOON, "psql has ended", || !psql.is_running())?;
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
        let said = psql.tail();
        let expected = if withdraw == "kill" { "session.killed" } else { "session.revoked" };
        assert!(said.contains(expected) && said.contains("FATAL"), "{said}");
    }
    Ok(())
}

#[test]
fn what_runs_ends_with_its_session_at_the_server_too() -> Result<()> {
    let stage = Stage::start()?;
    let token = stage.token("alice")?;
    for end in ["kill", "vanish"] {
        let mut psql = stage.running(&token, &format!("select pg_sleep(100) /* {end} */"))?;
        let running = || stage.backends(&format!("%/* {end} */%"));
        eventually(SOON, "it runs", || running().is_ok_and(|n| n == 1))?;
        if end == "kill" {
            let id = stage.deployment.sessions()?[0]["id"].as_str().context("one")?.to_owned();
            stage.deployment.admin(&["session", "kill", &id])?.ok()?;
        } else {
            psql.kill();
        }
        eventually(SOON, "it no longer runs", || running().is_ok_and(|n| n == 0))?;
    }
    // Who takes leave in order has what was asked done to its end.
    let script = "import socket,ssl,struct,sys,time\n".to_owned() + PARTING;
    let mut python = Command::new("python3");
    python.args(["-c", &script]).arg(stage.port().to_string()).arg(&token);
    run(&mut python, SOON)?.ok()?;
    eventually(SOON, "it was done", || {
        let done = "select count(*) from pg_tables where tablename = 'parting'";
        stage.postgres.admin(Postgres::DATABASE, done).is_ok_and(|n| n.trim() == "1")
    })
}

#[test]
fn a_gigabyte_goes_both_ways_through_little_memory() -> Result<()> {
    let stage = Stage::start()?;
    let token = stage.token("alice")?;
    let bytes = 256 * 1024 * 1024_u64;
    let rows = bytes / 1024;
    let copy = format!("select repeat('x', 1023) from generate_series(1, {rows})");
    let before = resident(stage.deployment.relay_id())?;
    let out = format!("\\copy ({copy}) to program 'wc -c'");
    let mut psql = stage.psql(&token, &["-c", &out]);
    let counted = run(&mut psql, Duration::from_secs(180))?.ok()?;
    assert!(counted.contains(&bytes.to_string()), "{counted}");
    let grown = resident(stage.deployment.relay_id())?.saturating_sub(before);
    assert!(grown < 64 * 1024, "{grown} KiB more");
    stage.sql(&token, "create table big (line text)")?.ok()?;
    let line = "x".repeat(1023);
    let into = format!("\\copy big from program 'yes {line} | head -n {rows}'");
    run(&mut stage.psql(&token, &["-c", &into]), Duration::from_secs(180))?.ok()?;
    assert_eq!(stage.sql(&token, "select count(*) from big")?.ok()?.trim(), rows.to_string());
    // One row of a hundred megabytes.
    let long =
        stage.sql(&token, "select length(repeat('y', 100000000)), md5(repeat('y', 100000000))")?;
    assert!(long.ok()?.starts_with("100000000|"));
    let grown = resident(stage.deployment.relay_id())?.saturating_sub(before);
    assert!(grown < 64 * 1024, "{grown} KiB more");
    Ok(())
}

#[test]
fn a_door_of_its_own_may_be_open_in_the_clear_on_this_machine() -> Result<()> {
    let mut stage = Stage::start()?;
    let port = attacks::plain_door(&mut stage)?;
    let token = stage.token("alice")?;
    for mode in ["disable", "verify-full"] {
        let mut psql = stage.psql(&token, &["-c", "select 7"]);
        psql.env("PGPORT", port.to_string()).env("PGSSLMODE", mode);
        assert_eq!(run(&mut psql, SOON)?.ok()?.trim(), "7", "{mode}");
    }
    Ok(())
}

#[test]
fn pgbench_and_many_at_once_are_as_without_us() -> Result<()> {
    let stage = Stage::start()?;
    let token = stage.token("alice")?;
    run(stage.client("pgbench", &token).args(["-i", "-q", "-s", "1"]), SOON)?.ok()?;
    for protocol in ["simple", "extended", "prepared"] {
        let mut bench = stage.client("pgbench", &token);
        bench.args(["-c", "8", "-j", "2", "-T", "3", "-n", "-M", protocol]);
        let report = run(&mut bench, SOON)?.ok()?;
        assert!(report.contains("number of failed transactions: 0"), "{report}");
    }
    let clients: Vec<_> = (0..20)
        .map(|n| {
            let mut psql = stage.psql(&token, &["-c", &format!("select {n} from pg_sleep(0.2)")]);
            thread::spawn(move || run(&mut psql, SOON).and_then(Output::ok))
        })
        .collect();
    for (n, client) in clients.into_iter().enumerate() {
        let got = client.join().map_err(|_| anyhow::anyhow!("a client panicked"))??;
        assert_eq!(got.trim(), n.to_string());
    }
    Ok(())
}

/// A client that asks for something that takes a while, says goodbye and goes.
const PARTING: &str = r#"
def message(kind, body): return kind + struct.pack(">I", len(body) + 4) + body
plain = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
plain.sendall(struct.pack(">II", 8, 80877103)); assert plain.recv(1) == b"S"
context = ssl.create_default_context(); context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
s = context.wrap_socket(plain)
s.sendall(message(b"", struct.pack(">I", 196608) + b"user\0x\0database\0orders\0\0"))
s.recv(9); s.sendall(message(b"p", sys.argv[2].encode() + b"\0"))
got = b""
while not got.endswith(b"Z\0\0\0\5I"): got += s.recv(4096)
slow = b"select pg_sleep(8); create table parting (n int)\0"
s.sendall(message(b"Q", slow) + message(b"X", b"")); s.close()
"#;

const ACCOUNTS: &str = "
create role orders_owner login password 's3cret-of-the-level' in role reporting;
create role orders_rw login password 's3cret-of-the-level';
create role orders_ro login password 's3cret-of-the-level';
alter table orders owner to reporting;
grant create, usage on schema public to orders_owner;
grant select, insert, update, delete on orders to orders_rw;
grant select on orders to orders_ro;";
