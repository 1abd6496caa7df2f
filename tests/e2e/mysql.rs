//! The MySQL door, with the clients people use and MariaDB itself behind it.

mod accounts;
mod attacks;
mod compression;
mod drivers;
mod logins;
mod matrix;
mod statements;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::Value;
use testkit::{Deployment, MariaDb, Output, Process, eventually, free_port, resident, run};

use crate::support::{SOON, application, assert_says, grant};

/// A deployment with a database behind it that speaks TLS and logs all. The application `orders-db`
/// has an account for each level; `alice` may do everything there.
pub(crate) struct Stage {
    pub(crate) deployment: Deployment,
    pub(crate) mariadb: MariaDb,
    port: u16,
}

impl Stage {
    pub(crate) fn start() -> Result<Self> {
        Self::with("")
    }

    /// With more lines below `[listen]`.
    pub(crate) fn with(listen: &str) -> Result<Self> {
        let (deployment, mariadb) = (Deployment::start()?, MariaDb::start()?);
        let mut stage = Self { deployment, mariadb, port: free_port()? };
        stage.listen(listen)?;
        stage.mariadb.admin(MariaDb::DATABASE, ACCOUNTS)?;
        let document = stage.document("sni = \"localhost\"\n", true)?;
        stage.deployment.apply(&(document + &grant("alice", "orders-db")))?.ok()?;
        Ok(stage)
    }

    /// Gives the relay the door, which it has not by itself.
    fn listen(&mut self, more: &str) -> Result<()> {
        let file = self.deployment.dir().join("relay/relay.toml");
        let door = format!("[listen]\nmysql = \"127.0.0.1:{}\"\n{more}", self.port);
        let text = fs::read_to_string(&file)?.replacen("[listen]", &door, 1);
        fs::write(&file, text + &format!("\n[mysql]\nversion = {VERSION:?}\n"))?;
        let id = self.deployment.relay_id();
        run(Command::new("kill").args(["-TERM", &id.to_string()]), SOON)?.ok()?;
        eventually(SOON, "the relay has ended", || !self.deployment.relay().is_running())?;
        self.deployment.start_relay()?;
        self.deployment.wait_for_connectors(1)
    }

    fn document(&self, database: &str, with_ca: bool) -> Result<String> {
        let password = self.deployment.dir().join("level-password");
        fs::write(&password, "s3cret-of-the-level")?;
        let ca = self.mariadb.certificate();
        let ca = if with_ca { format!("ca_file = {ca:?}\n") } else { String::new() };
        Ok([
            "[[user]]\nname = \"alice\"\n[[user]]\nname = \"bob\"\n".to_owned(),
            application("orders-db", "mysql", &self.mariadb.address()),
            format!("allow_api = true\n{ca}"),
            format!("[application.database]\n{database}"),
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
        self.port
    }

    /// `mariadb` through the door, by the token alone, which trusts the relay's CA only.
    pub(crate) fn mariadb(&self, token: &str, more: &[&str]) -> Command {
        let mut client = self.client("mariadb", token);
        client.args(["-N", "-B", "--comments", MariaDb::DATABASE]).args(more);
        client
    }

    pub(crate) fn client(&self, program: &str, token: &str) -> Command {
        let mut command = Command::new(program);
        command.args(["--no-defaults", "-ureporting", "--host=localhost", "--protocol=tcp"]);
        command.arg(format!("--port={}", self.port)).env("MYSQL_PWD", token);
        command.arg(format!("--ssl-ca={}", self.deployment.ca_file().display()));
        command.args(["--ssl-verify-server-cert", "--connect-timeout=20"]);
        command
    }

    pub(crate) fn sql(&self, token: &str, sql: &str) -> Result<Output> {
        run(&mut self.mariadb(token, &["-e", sql]), SOON)
    }

    /// `mariadb` that runs `sql` by itself.
    fn running(&self, token: &str, sql: &str) -> Result<Process> {
        let word: String = sql.chars().filter(char::is_ascii_alphanumeric).take(30).collect();
        let log = self.deployment.dir().join(format!("mariadb-{word}.log"));
        Process::start("mariadb", self.mariadb(token, &["-e", sql]), &log)
    }

    /// The server's numbers for the connections that run statements like this.
    fn threads(&self, like: &str) -> Result<Vec<u64>> {
        let sql = format!(
            "select id from information_schema.processlist \
             where command = 'Query' and info like '{like}' and id <> connection_id()"
        );
        self.mariadb.admin("", &sql)?.lines().map(|line| Ok(line.trim().parse()?)).collect()
    }
}

#[test]
fn mariadb_comes_in_by_its_token_and_never_sees_the_password() -> Result<()> {
    let stage = Stage::start()?;
    let token = stage.token("alice")?;
    assert_eq!(stage.sql(&token, "select sum(cents) from orders")?.ok()?.trim(), "631250");
    let me = "select substring_index(current_user(), '@', 1)";
    assert_eq!(stage.sql(&token, me)?.ok()?.trim(), "orders_owner");
    let tls = stage.sql(&token, "show status like 'Ssl_version'")?.ok()?;
    assert!(tls.contains("TLSv1.3"), "{tls}");
    for user in ["x+orders-db", "x+orders-db.hq", "x+", "x"] {
        let mut client = stage.client("mariadb", &token);
        client.args(["-N", "-B", "-u", user, "-e", "select 7"]);
        assert_eq!(run(&mut client, SOON)?.ok()?.trim(), "7", "{user}");
    }
    let mut other = stage.client("mariadb", &token);
    other.args(["-u", "x+web1", "-e", "select 1"]);
    assert_says(&run(&mut other, SOON)?, "access.denied");
    let opened = &stage.deployment.audit("session.opened")?[0]["event"];
    assert_eq!((&opened["door"], &opened["login"]), (&"mysql".into(), &"orders_owner".into()));
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
    for wrong in ["adit_access_wrong", "x", ""] {
        let wrong = stage.sql(wrong, "select 1")?;
        assert_says(&wrong, "sign-in failed (authn.failed)");
        assert_says(&wrong, "1045");
    }
    // Another user's rule is no rule of bob's.
    if let Ok(bobs) = stage.deployment.token("bob", "orders-db", &["--uses", "5"]) {
        assert_says(&stage.sql(&bobs, "select 1")?, "access.denied");
    }
    let mut plain = Command::new("mariadb");
    plain.args(["--no-defaults", "-ux", "--protocol=tcp", "-h127.0.0.1", "-e", "select 1"]);
    plain.arg("--skip-ssl");
    plain.arg(format!("--port={}", stage.port())).env("MYSQL_PWD", &token);
    assert_says(&run(&mut plain, SOON)?, "tls.required");
    let mut nobody = stage.client("mariadb", &token);
    nobody.args(["-e", "select 1", "nothing"]);
    // A name that was mistyped, and no account to be put right.
    let told = run(&mut nobody, SOON)?;
    assert_says(&told, "ERROR 1044 (42000): Access denied to database 'nothing'");
    assert!(!told.both().contains("orders_owner"));
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
    assert_says(&stage.sql(&token, "delete from orders")?, "command denied");
    let mut other = stage.client("mariadb", &token);
    other.args(["-e", "select 1", "information_schema"]);
    assert_says(&run(&mut other, SOON)?, "access.denied");
    assert_says(&stage.sql(&token, "use information_schema")?, "access.denied");
    assert_says(&stage.sql(&token, "select 1; use `mysql`")?, "access.denied");
    let editor = grant("alice", "orders-db") + "level = \"editor\"\n";
    stage.deployment.apply(&editor)?.ok()?;
    stage.sql(&token, "update orders set cents = 0")?.ok()?;
    assert_says(&stage.sql(&token, "drop table orders")?, "command denied");
    let why = stage.deployment.admin(&["why", "alice", "orders-db"])?.ok()?;
    assert!(why.contains("may reach"), "{why}");
    Ok(())
}

#[test]
fn the_server_is_spoken_to_as_its_application_says() -> Result<()> {
    let stage = Stage::start()?;
    let token = stage.token("alice")?;
    let cipher = "show status like 'Ssl_cipher'";
    for (mode, encrypted) in [("disable", false), ("prefer", true), ("require", true)] {
        let document = stage.document(&format!("tls = {mode:?}\n"), false)?;
        stage.deployment.apply(&document)?.ok()?;
        let shown = stage.sql(&token, cipher)?.ok()?;
        assert_eq!(shown.trim().contains("TLS_"), encrypted, "{mode}: {shown}");
    }
    // Not for this name.
    stage.deployment.apply(&stage.document("sni = \"elsewhere\"\n", true)?)?.ok()?;
    assert_says(&stage.sql(&token, "select 1")?, "target.tls");
    stage.deployment.apply(&stage.document("sni = \"localhost\"\n", true)?)?.ok()?;
    // MariaDB's own way to log in.
    let sql =
        "alter user orders_owner identified via ed25519 using password('s3cret-of-the-level')";
    stage.mariadb.admin("", sql)?;
    assert_eq!(stage.sql(&token, "select 12")?.ok()?.trim(), "12");
    stage.mariadb.admin("", "alter user orders_owner identified by 'another'")?;
    let refused = stage.sql(&token, "select 1")?;
    assert_says(&refused, "target.login_refused");
    assert!(!refused.both().contains("orders_owner"), "{}", refused.both());
    Ok(())
}

#[test]
fn a_kill_reaches_connections_of_the_same_user_only() -> Result<()> {
    let stage = Stage::start()?;
    stage.deployment.apply(&grant("bob", "orders-db"))?.ok()?;
    let (alice, bob) = (stage.token("alice")?, stage.token("bob")?);
    let mut mine = stage.running(&alice, "select sleep(100) /* mine */")?;
    let mut theirs = stage.running(&bob, "select sleep(100) /* theirs */")?;
    eventually(SOON, "both run", || {
        ["%/* mine */%", "%/* theirs */%"]
            .iter()
            .all(|like| stage.threads(like).is_ok_and(|threads| !threads.is_empty()))
    })?;
    let foreign = stage.threads("%/* theirs */%")?[0];
    for sql in [
        format!("kill {foreign}"),
        format!("/* x */ KILL QUERY {foreign}"),
        format!("select 1; kill hard connection {foreign}"),
        format!("/*!50000 kill {foreign} */"),
        "kill user orders_owner".to_owned(),
    ] {
        assert_says(&stage.sql(&alice, &sql)?, "database.kill");
        eventually(SOON, "what was refused is in the log", || {
            let rows = stage.deployment.admin_json(&["query", "ls", "--failed"]);
            // The client asks one statement at a time, and leaves comments out.
            rows.is_ok_and(|rows| {
                let text = rows[0]["text"].as_str();
                text.is_some_and(|text| sql.contains(text)) && rows[0]["error"] == "1095"
            })
        })?;
    }
    let before = stage.mariadb.logged()?;
    assert!(!before.to_lowercase().contains("kill"), "a kill has reached the server");
    let own = stage.threads("%/* mine */%")?[0];
    stage.sql(&alice, &format!("kill query {own}"))?.ok()?;
    eventually(SOON, "the statement has ended", || !mine.is_running())?;
    assert!(theirs.is_running(), "{}", theirs.tail());
    // As Ctrl-C does, which knows the number that the door gave.
    let mut interrupted = stage.running(&alice, "select sleep(100) /* interrupted */")?;
    eventually(SOON, "it runs", || {
        stage.threads("%/* interrupted */%").is_ok_and(|threads| !threads.is_empty())
    })?;
    run(Command::new("kill").args(["-INT", &interrupted.id().to_string()]), SOON)?.ok()?;
    eventually(SOON, "the client has ended", || !interrupted.is_running())?;
    assert!(theirs.is_running(), "{}", theirs.tail());
    theirs.kill();
    Ok(())
}

#[test]
fn what_a_server_reads_otherwise_than_it_looks_is_refused_as_well() -> Result<()> {
    let stage = Stage::start()?;
    let limited = grant("alice", "orders-db") + "databases = [\"orders\"]\n";
    stage.deployment.apply(&(limited + &grant("bob", "orders-db")))?.ok()?;
    let (alice, bob) = (stage.token("alice")?, stage.token("bob")?);
    let mut theirs = stage.running(&bob, "select sleep(100) /* theirs */")?;
    let there = || stage.threads("%/* theirs */%").is_ok_and(|threads| threads.len() == 1);
    eventually(SOON, "it runs", there)?;
    let foreign = stage.threads("%/* theirs */%")?[0];
    let (kill, open) = (format!("kill {foreign}"), "use information_schema".to_owned());
    for (before, behind) in [
        (&b"select 1 /*M!999999 ' */; "[..], &b"; -- '"[..]),
        (b"select 1 /*!999999 ' */; ", b"; -- '"),
        (b"set sql_mode = 'ansi_quotes'// select 1 as \"a\\\"; ", b"; -- \""),
        (b"set sql_mode = 'no_backslash_escapes'; select 'a\\'; ", b"; -- '"),
        (b"set names gbk// select '\xbf\\'; ", b"; -- '"),
        (b"set statement max_statement_time = 9 for ", b""),
        (b"begin not atomic select 1; end; ", b""),
    ] {
        for (what, code) in [(&kill, "database.kill"), (&open, "access.denied")] {
            let sql = [before, what.as_bytes(), behind].concat();
            let mut client = stage.mariadb(&alice, &["--delimiter=//", "-e"]);
            assert_says(&run(client.arg(OsStr::from_bytes(&sql)), SOON)?, code);
        }
    }
    assert!(theirs.is_running() && there(), "{}", theirs.tail());
    // What has the same letters as a text only is let on.
    let text = r#"select 'don\'t kill; use it', "{\"kill\": 1}" /*!50000 , 1 */"#;
    assert_eq!(stage.sql(&alice, text)?.ok()?.trim(), "don't kill; use it\t{\"kill\": 1}\t1");
    theirs.kill();
    Ok(())
}

#[test]
fn a_session_that_ends_says_so_within_a_second() -> Result<()> {
    let stage = Stage::start()?;
    for withdraw in ["kill", "revoke"] {
        let token = stage.token("alice")?;
        let mut client = stage.running(&token, &format!("select sleep(100) /* {withdraw} */"))?;
        eventually(SOON, "it runs", || {
            stage.threads(&format!("%/* {withdraw} */%")).is_ok_and(|threads| !threads.is_empty())
        })?;
        let started = Instant::now();
        if withdraw == "kill" {
            let sessions = stage.deployment.sessions()?;
            let id = sessions[0]["id"].as_str().context("a session")?.to_owned();
            stage.deployment.admin(&["session", "kill", &id])?.ok()?;
        } else {
            stage.deployment.admin(&["user", "disable", "alice"])?.ok()?;
        }
        eventually(SOON, "the client has ended", || !client.is_running())?;
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
        let said = client.tail();
        let expected = if withdraw == "kill" { "session.killed" } else { "session.revoked" };
        assert!(said.contains(expected) && said.contains("1053"), "{said}");
        eventually(SOON, "what was under way is in the log", || {
            let rows = stage.deployment.admin_json(&["query", "ls", "--failed"]);
            let text = format!("select sleep(100) /* {withdraw} */");
            rows.is_ok_and(|rows| rows[0]["text"] == text && rows[0]["error"] == expected)
        })?;
    }
    Ok(())
}

#[test]
fn no_statement_of_a_message_starts_when_its_session_is_over() -> Result<()> {
    let stage = Stage::start()?;
    let token = stage.token("alice")?;
    for end in ["withdrawn", "gone"] {
        let like = format!("select sleep(100) /* {end} */");
        let sql = format!("{like}; insert into orders values (4711, 'late', 1)//");
        let client = stage.mariadb(&token, &["--delimiter=//", "-e", &sql]);
        let log = stage.deployment.dir().join(format!("{end}.log"));
        let mut client = Process::start("mariadb", client, &log)?;
        let running = || stage.threads(&format!("{like}%")).map(|threads| threads.len());
        eventually(SOON, "it runs", || running().is_ok_and(|count| count == 1))?;
        match end {
            "gone" => client.kill(),
            _ => {
                let sessions = stage.deployment.sessions()?;
                let id = sessions[0]["id"].as_str().context("a session")?.to_owned();
                stage.deployment.admin(&["session", "kill", &id])?.ok()?;
            }
        }
        eventually(SOON, "it has ended", || running().is_ok_and(|count| count == 0))?;
        let late =
            stage.mariadb.admin(MariaDb::DATABASE, "select * from orders where id = 4711")?;
        assert_eq!(late, "", "{end}");
    }
    Ok(())
}

#[test]
fn a_file_of_the_clients_is_loaded_where_the_grant_lets_files_through() -> Result<()> {
    let stage = Stage::start()?;
    let token = stage.token("alice")?;
    let file = stage.deployment.dir().join("rows.csv");
    let rows: String = (1000..3000).map(|id| format!("{id},customer,{id}\n")).collect();
    fs::write(&file, rows)?;
    let load = format!(
        "load data local infile '{}' into table orders fields terminated by ','",
        file.display()
    );
    let loaded = run(&mut stage.mariadb(&token, &["--local-infile=1", "-e", &load]), SOON)?;
    loaded.ok()?;
    assert_eq!(stage.sql(&token, "select count(*) from orders")?.ok()?.trim(), "2100");
    let without = grant("alice", "orders-db") + "file_transfer = false\n";
    stage.deployment.apply(&without)?.ok()?;
    let refused = run(&mut stage.mariadb(&token, &["--local-infile=1", "-e", &load]), SOON)?;
    assert_says(&refused, "access.file_transfer");
    assert_eq!(stage.sql(&token, "select count(*) from orders")?.ok()?.trim(), "2100");
    Ok(())
}

#[test]
fn large_rows_pass_in_little_memory() -> Result<()> {
    let stage = Stage::start()?;
    let token = stage.token("alice")?;
    let before = resident(stage.deployment.relay_id())?;
    // More than one packet of 16 MiB, both ways.
    let sql = "select length(repeat('x', 50000000)), md5(repeat('y', 40000000))";
    assert!(stage.sql(&token, sql)?.ok()?.starts_with("50000000"));
    let mut long = stage.mariadb(&token, &["--max-allowed-packet=128M", "-e"]);
    let row = run(long.arg("select repeat('z', 40000000)"), SOON)?.ok()?;
    assert_eq!(row.trim().len(), 40_000_000);
    let file = stage.deployment.dir().join("long.sql");
    fs::write(&file, format!("select length('{}');", "w".repeat(20_000_000)))?;
    let mut from_file = stage.mariadb(&token, &["--max-allowed-packet=128M", "-e"]);
    let got = run(from_file.arg(format!("source {}", file.display())), SOON)?.ok()?;
    assert_eq!(got.trim(), "20000000");
    let grown = resident(stage.deployment.relay_id())?.saturating_sub(before);
    assert!(grown < 64 * 1024, "{grown} KiB more");
    Ok(())
}

/// As a MariaDB server calls itself.
const VERSION: &str = "5.5.5-10.11.6-MariaDB";
const ACCOUNTS: &str = "
create user orders_owner identified by 's3cret-of-the-level';
create user orders_rw identified by 's3cret-of-the-level';
create user orders_ro identified by 's3cret-of-the-level';
grant all on orders.* to orders_owner;
grant select, insert, update, delete on orders.* to orders_rw;
grant select on orders.* to orders_ro;";
