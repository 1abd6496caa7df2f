//! The Redis door, with the clients people use and Redis itself behind it.

mod attacks;
mod drivers;
mod kept;

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::Value;
use testkit::{Deployment, Output, Process, Redis, eventually, resident, run};

use crate::support::{SOON, application, assert_says, grant};

/// A deployment with a Redis behind it that speaks TLS. The application `cache` has an account for
/// each of two levels; `alice` may do everything there.
pub(crate) struct Stage {
    pub(crate) deployment: Deployment,
    pub(crate) redis: Redis,
}

impl Stage {
    pub(crate) fn start() -> Result<Self> {
        let stage = Self { deployment: Deployment::start()?, redis: Redis::start(true)? };
        for account in [
            "cache_owner on >s3cret-of-the-level ~* &* +@all",
            "cache_ro on >s3cret-of-the-level ~* &* +@read +@connection +acl|whoami",
        ] {
            let words: Vec<&str> =
                ["ACL", "SETUSER"].into_iter().chain(account.split(' ')).collect();
            stage.redis.admin(&words)?;
        }
        stage.deployment.apply(&(stage.document()? + &grant("alice", "cache")))?.ok()?;
        Ok(stage)
    }

    fn document(&self) -> Result<String> {
        let password = self.deployment.dir().join("level-password");
        fs::write(&password, "s3cret-of-the-level")?;
        let ca = self.redis.certificate();
        Ok([
            "[[user]]\nname = \"alice\"\n[[user]]\nname = \"bob\"\n".to_owned(),
            application("cache", "redis", &self.redis.address()),
            format!("allow_api = true\nca_file = {ca:?}\n"),
            "[application.database]\nsni = \"localhost\"\n".to_owned(),
            "[application.database.accounts]\nowner = \"cache_owner\"\nviewer = \"cache_ro\"\n"
                .to_owned(),
            format!(
                "[application.level_password_files]\nowner = {password:?}\nviewer = {password:?}\n"
            ),
        ]
        .concat())
    }

    /// A token for many uses.
    pub(crate) fn token(&self, user: &str) -> Result<String> {
        self.deployment.token(user, "cache", &["--uses", "100000"])
    }

    pub(crate) fn port(&self) -> u16 {
        self.deployment.doors().https
    }

    /// `redis-cli` or `redis-benchmark` through the door, which trusts the relay's CA only.
    pub(crate) fn client(&self, program: &str, token: &str) -> Command {
        let mut command = Command::new(program);
        command.args(["-h", "localhost", "-p", &self.port().to_string(), "--tls", "--cacert"]);
        command.arg(self.deployment.ca_file()).env("REDISCLI_AUTH", token);
        command
    }

    pub(crate) fn cli(&self, token: &str, command: &[&str]) -> Result<Output> {
        run(self.client("redis-cli", token).args(command), SOON)
    }

    /// `redis-cli` that runs a command by itself.
    fn running(&self, name: &str, token: &str, command: &[&str]) -> Result<Process> {
        let mut cli = self.client("redis-cli", token);
        cli.args(command);
        Process::start("redis-cli", cli, &self.deployment.dir().join(format!("{name}.log")))
    }
}

#[test]
fn redis_cli_comes_in_by_its_token_and_never_sees_the_password() -> Result<()> {
    let stage = Stage::start()?;
    let token = stage.token("alice")?;
    assert_eq!(stage.cli(&token, &["SET", "greeting", "hello"])?.ok()?.trim(), "OK");
    assert_eq!(stage.cli(&token, &["GET", "greeting"])?.ok()?.trim(), "hello");
    assert_eq!(stage.cli(&token, &["ACL", "WHOAMI"])?.ok()?.trim(), "cache_owner");
    assert_eq!(stage.cli(&token, &["-3", "ACL", "WHOAMI"])?.ok()?.trim(), "cache_owner");
    assert_eq!(stage.cli(&token, &["-n", "3", "DBSIZE"])?.ok()?.trim(), "0");
    // In each place that may name the application, and in all at once.
    for more in [
        &["--user", "x+cache"][..],
        &["--user", "cache"],
        &["--user", "default"],
        &["--user", "cache.hq", "-3"],
        &["--sni", "cache-hq.localhost"],
    ] {
        let mut cli = stage.client("redis-cli", &token);
        let said = run(cli.args(more).args(["GET", "greeting"]), SOON)?;
        assert_eq!(said.ok()?.trim(), "hello", "{more:?}");
    }
    let mut other = stage.client("redis-cli", &token);
    let denied = run(other.args(["--user", "x+web1", "GET", "greeting"]), SOON)?;
    assert_says(&denied, "access.denied");
    let opened = &stage.deployment.audit("session.opened")?[0]["event"];
    assert_eq!((&opened["door"], &opened["login"]), (&"redis".into(), &"cache_owner".into()));
    eventually(SOON, "all have ended", || {
        stage.deployment.sessions().is_ok_and(|open| open.is_empty())
    })?;
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
    let wrong = stage.cli("adit_access_wrong", &["GET", "a"])?;
    assert_says(&wrong, "WRONGPASS");
    assert_says(&wrong, "(authn.failed)");
    assert_says(&wrong, "NOAUTH");
    let mut nothing = stage.client("redis-cli", "");
    assert_says(&run(nothing.env_remove("REDISCLI_AUTH").args(["GET", "a"]), SOON)?, "NOAUTH");
    if let Ok(bobs) = stage.deployment.token("bob", "cache", &["--uses", "5"]) {
        assert_says(&stage.cli(&bobs, &["GET", "a"])?, "access.denied");
    }
    for refused in [&["REPLCONF", "ACK", "1"][..], &["CLIENT", "REPLY", "OFF"]] {
        let said = stage.cli(&token, refused)?;
        assert_says(&said, "NOPERM adit:");
    }
    let listed = stage.deployment.admin_json(&["token", "ls"])?;
    let rows = listed.as_array().context("tokens")?.iter();
    let mine = rows.filter(|row| row["user"] == "alice" && row["kind"] == "access");
    for id in mine.filter_map(|row| row["id"].as_str()) {
        stage.deployment.admin(&["token", "revoke", id])?.ok()?;
    }
    assert_says(&stage.cli(&token, &["GET", "a"])?, "token.revoked");
    Ok(())
}

#[test]
fn a_level_is_an_account_and_the_database_holds_it() -> Result<()> {
    let stage = Stage::start()?;
    let viewer = grant("alice", "cache") + "level = \"viewer\"\ndatabases = [\"0\", \"2\"]\n";
    stage.deployment.apply(&viewer)?.ok()?;
    let token = stage.token("alice")?;
    assert_eq!(stage.cli(&token, &["ACL", "WHOAMI"])?.ok()?.trim(), "cache_ro");
    assert_says(&stage.cli(&token, &["SET", "a", "1"])?, "NOPERM");
    assert_eq!(stage.cli(&token, &["-n", "2", "DBSIZE"])?.ok()?.trim(), "0");
    assert_says(&stage.cli(&token, &["SELECT", "1"])?, "database.command");
    let editor = grant("alice", "cache") + "level = \"editor\"\n";
    stage.deployment.apply(&editor)?.ok()?;
    assert_says(&stage.cli(&token, &["GET", "a"])?, "access.denied");
    Ok(())
}

#[test]
fn a_server_is_known_by_its_certificate_or_left_alone() -> Result<()> {
    let stage = Stage::start()?;
    let token = stage.token("alice")?;
    let with = |options: &str| -> Result<()> {
        let (before, after) = stage
            .document()?
            .split_once("[application.database]\nsni = \"localhost\"\n")
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .context("options")?;
        let before: String = before
            .lines()
            .filter(|l| !l.starts_with("ca_file"))
            .fold(String::new(), |a, l| a + l + "\n");
        let document = before + "[application.database]\n" + options + &after;
        stage.deployment.apply(&(document + &grant("alice", "cache")))?.ok().map(drop)
    };
    // The machine's CAs have not signed it.
    with("tls = \"verify-full\"\nsni = \"localhost\"\n")?;
    assert_says(&stage.cli(&token, &["PING"])?, "target.tls");
    for mode in ["require", "prefer"] {
        with(&format!("tls = {mode:?}\n"))?;
        assert_eq!(stage.cli(&token, &["PING"])?.ok()?.trim(), "PONG", "{mode}");
    }
    with("tls = \"disable\"\n")?;
    assert_says(&stage.cli(&token, &["PING"])?, "target.");
    Ok(())
}

#[test]
fn a_session_that_ends_says_so_within_a_second() -> Result<()> {
    let stage = Stage::start()?;
    for withdraw in ["kill", "revoke"] {
        let token = stage.token("alice")?;
        let mut waiting = stage.running(withdraw, &token, &["BLPOP", withdraw, "100"])?;
        eventually(SOON, "it waits", || {
            stage.redis.admin(&["CLIENT", "LIST"]).is_ok_and(|list| list.contains("cmd=blpop"))
        })?;
        let started = Instant::now();
        if withdraw == "kill" {
            let sessions = stage.deployment.sessions()?;
            let id = sessions[0]["id"].as_str().context("a session")?.to_owned();
            stage.deployment.admin(&["session", "kill", &id])?.ok()?;
        } else {
            stage.deployment.admin(&["user", "disable", "alice"])?.ok()?;
        }
        eventually(SOON, "redis-cli has its answer", || waiting.tail().contains("adit:"))?;
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
        let expected = if withdraw == "kill" { "session.killed" } else { "session.revoked" };
        assert!(waiting.tail().contains(expected), "{}", waiting.tail());
        waiting.kill();
        eventually(SOON, "what was under way is in the log", || {
            let rows = stage.deployment.admin_json(&["query", "ls", "--failed"]);
            let text = format!("BLPOP {withdraw}");
            rows.is_ok_and(|rows| rows[0]["text"] == text && rows[0]["error"] == expected)
        })?;
    }
    Ok(())
}

#[test]
fn great_values_go_both_ways_through_little_memory() -> Result<()> {
    let stage = Stage::start()?;
    let token = stage.token("alice")?;
    let megabytes = 200;
    let file = stage.deployment.dir().join("value");
    fs::write(&file, vec![b'x'; megabytes << 20])?;
    let before = resident(stage.deployment.relay_id())?;
    let mut set = stage.client("redis-cli", &token);
    set.args(["-x", "SET", "big"]).stdin(fs::File::open(&file)?);
    let set = set.output()?;
    assert_eq!(String::from_utf8_lossy(&set.stdout).trim(), "OK");
    assert_eq!(stage.redis.admin(&["STRLEN", "big"])?.trim(), (megabytes << 20).to_string());
    let got = stage.client("redis-cli", &token).args(["GET", "big"]).output()?;
    assert_eq!(got.stdout.len(), (megabytes << 20) + 1);
    let grown = resident(stage.deployment.relay_id())?.saturating_sub(before);
    assert!(grown < 64 * 1024, "{grown} KiB more");
    Ok(())
}

#[test]
fn a_door_of_its_own_may_be_open_in_the_clear_on_this_machine() -> Result<()> {
    let mut stage = Stage::start()?;
    let port = plain_door(&mut stage)?.to_string();
    let token = stage.token("alice")?;
    let mut plain = Command::new("redis-cli");
    plain.args(["-p", &port, "PING"]).env("REDISCLI_AUTH", &token);
    assert_eq!(run(&mut plain, SOON)?.ok()?.trim(), "PONG");
    let mut tls = Command::new("redis-cli");
    tls.args(["-h", "localhost", "-p", &port, "--tls", "--cacert"]).arg(stage.deployment.ca_file());
    assert_eq!(run(tls.arg("PING").env("REDISCLI_AUTH", &token), SOON)?.ok()?.trim(), "PONG");
    Ok(())
}

/// It ends what it sends by an empty line before an `ECHO` of its own.
#[test]
fn redis_cli_loads_a_file_by_its_pipe_mode_and_all_of_it_is_there() -> Result<()> {
    let stage = Stage::start()?;
    let commands: String =
        (0..3000).map(|n| format!("*3\r\n$3\r\nSET\r\n$8\r\npipe{n:04}\r\n$1\r\nv\r\n")).collect();
    let file = stage.deployment.dir().join("commands");
    fs::write(&file, commands)?;
    let token = stage.token("alice")?;
    let mut cli = stage.client("redis-cli", &token);
    cli.arg("--pipe").stdin(fs::File::open(&file)?);
    let piped = cli.output()?;
    let said = String::from_utf8_lossy(&piped.stdout);
    assert!(said.contains("errors: 0, replies: 3000"), "{said}");
    assert_eq!(stage.cli(&token, &["DBSIZE"])?.ok()?.trim(), "3000");
    Ok(())
}

#[test]
fn who_comes_to_the_https_port_in_the_clear_is_told_so() -> Result<()> {
    let stage = Stage::start()?;
    let mut cli = Command::new("redis-cli");
    cli.args(["-p", &stage.port().to_string(), "PING"]);
    assert_says(&run(&mut cli, SOON)?, "tls.required");
    let url = stage.deployment.url().replace("https://", "http://");
    let mut curl = Command::new("curl");
    assert_says(&run(curl.args(["-s", "-i", &url]), SOON)?, "HTTP/1.1 400 Bad Request");
    let mut post = Command::new("curl");
    post.args(["-s", "-d", "x=1", &url]);
    assert_says(&run(&mut post, SOON)?, r#""code":"tls.required""#);
    Ok(())
}

#[test]
fn redis_benchmark_is_as_without_us() -> Result<()> {
    let stage = Stage::start()?;
    let token = stage.token("alice")?;
    for pipeline in ["1", "16"] {
        let mut bench = stage.client("redis-benchmark", &token);
        bench.args(["-a", &token, "-c", "8", "-n", "4000", "-P", pipeline, "-q"]);
        bench.args(["-t", "ping_mbulk,set,get,incr,lpush,lrange_100,mset"]);
        let report = run(&mut bench, Duration::from_secs(90))?;
        assert!(!report.both().contains("rror"), "{}", report.both());
        let report = report.ok()?;
        assert_eq!(report.matches("requests per second").count(), 8, "{report}");
    }
    Ok(())
}

/// Gives the relay a door of its own, in the clear.
pub(crate) fn plain_door(stage: &mut Stage) -> Result<u16> {
    let port = testkit::free_port()?;
    let door = format!("redis = \"127.0.0.1:{port}\"\nredis_tls = \"optional\"");
    stage.deployment.add_listen(&door)?;
    stage.deployment.restart_relay()?;
    Ok(port)
}
