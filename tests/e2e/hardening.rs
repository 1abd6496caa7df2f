//! What strangers and auditors find at the doors as they come.

use std::fs;
use std::io::Write as _;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use testkit::{Deployment, free_port, python_with, run};

use crate::support::World;

/// Clients before OpenSSH 9.9, and those that may use no Curve25519, have no post-quantum key exchange;
/// they are served, after all who have. Nothing else is worth a word to ssh-audit.
#[test]
fn ssh_audit_warns_of_nothing_but_clients_that_are_not_post_quantum_yet() -> Result<()> {
    let world = World::start()?;
    let mut audit = Command::new(python_with("ssh-audit==3.9.0")?.join("ssh-audit"));
    audit.args(["-j", "--skip-rate-test", "-p", &world.ssh_port(), "127.0.0.1"]);
    let report: Value = serde_json::from_str(&run(&mut audit, LONG)?.text())?;
    let first = report["kex"][0]["algorithm"].as_str();
    assert_eq!(first, Some("mlkem768x25519-sha256"), "{report}");
    assert_eq!(report["cves"], serde_json::json!([]), "{report}");
    let classical = [
        "curve25519-sha256",
        "curve25519-sha256@libssh.org",
        "diffie-hellman-group16-sha512",
        "diffie-hellman-group-exchange-sha256",
    ];
    let mut known = Vec::new();
    for kind in ["kex", "key", "enc", "mac"] {
        for algorithm in report[kind].as_array().context("a list of algorithms")? {
            let notes = &algorithm["notes"];
            assert_eq!(notes["fail"], Value::Null, "{algorithm}");
            match notes["warn"].as_array().map(Vec::as_slice) {
                None => {}
                Some([only]) if only == NOT_POST_QUANTUM => {
                    known.push(algorithm["algorithm"].as_str().unwrap_or_default());
                }
                Some(_) => panic!("{algorithm}"),
            }
        }
    }
    assert_eq!(known, classical, "{report}");
    Ok(())
}

/// Web, portal, API, RD Gateway, connectors by TLS and PostgreSQL share a port; MySQL has its own, where
/// sslyze can not ask: there it is the same versions and suites. Older clients let in, it is so too.
#[test]
fn tls_at_each_port_is_as_mozilla_advises() -> Result<()> {
    let mut deployment = Deployment::start()?;
    let (shared, mysql) = (deployment.doors().https, free_port()?);
    deployment.add_listen(&format!("mysql = \"127.0.0.1:{mysql}\""))?;
    deployment.restart_relay()?;
    tls_is_as_advised(&deployment, [shared, mysql], false)?;
    let mut file = fs::OpenOptions::new();
    let file = file.append(true).open(deployment.dir().join("relay/relay.toml"));
    file?.write_all(b"\n[tls]\nminimum = \"1.2\"\n")?;
    deployment.restart_relay()?;
    tls_is_as_advised(&deployment, [shared, mysql], true)
}

fn tls_is_as_advised(
    deployment: &Deployment,
    [shared, mysql]: [u16; 2],
    lets_older_in: bool,
) -> Result<()> {
    let sslyze = python_with("sslyze==6.3.1")?.join("sslyze");
    for knock in [&[][..], &["--starttls", "postgres"]] {
        let mut scan = Command::new(&sslyze);
        scan.args(["--mozilla_config=intermediate", "--sni", deployment.domain()]).args(knock);
        scan.arg("--certinfo_ca_file").arg(deployment.ca_file());
        let said = run(scan.arg(format!("127.0.0.1:{shared}")), LONG)?.both();
        anyhow::ensure!(said.contains("OK - Compliant"), "{knock:?}: {said}");
    }
    let chosen = |port: u16, knock: &[&str], version: &str| -> Result<String> {
        let mut openssl = Command::new("openssl");
        // Without a level, or it does not even ask for what is too old.
        openssl.args(["s_client", "-cipher", "ALL:@SECLEVEL=0", version]).args(knock);
        openssl.args(["-servername", deployment.domain(), "-connect"]);
        let said = run(openssl.arg(format!("127.0.0.1:{port}")), LONG)?.both();
        let line = said.lines().find(|line| line.contains("Cipher is"));
        Ok(line.with_context(|| format!("{version}: {said}"))?.to_owned())
    };
    let versions = ["-tls1", "-tls1_1", "-tls1_2", "-tls1_3"];
    for (version, speaks) in versions.into_iter().zip([false, false, lets_older_in, true]) {
        let there = chosen(mysql, &["-starttls", "mysql"], version)?;
        assert_eq!(there, chosen(shared, &[], version)?, "{version}");
        assert_eq!(!there.contains("(NONE)"), speaks, "{version}: {there}");
    }
    Ok(())
}

const NOT_POST_QUANTUM: &str = "does not provide protection against post-quantum attacks";
const LONG: Duration = Duration::from_secs(60);

/// Nothing that is refused tells whether there is such an application or token, or whose a key is:
/// not by its answer, and not by its time.
#[test]
fn what_is_refused_is_refused_alike_and_in_the_same_time() -> Result<()> {
    let world = World::start()?;
    let token = world.deployment.token("alice", "web1", &[])?;
    let revoked = world.deployment.token("alice", "web1", &[])?;
    world.deployment.admin(&["token", "revoke", "--user", "alice"])?.ok()?;
    let mut python = Command::new("/usr/bin/python3");
    python.args(["-W", "ignore", "-c", REFUSED]).env("PORT", world.ssh_port());
    python.env("REVOKED", revoked).env("MISTYPED", reversed(&token));
    let said = run(&mut python, LONG)?.ok()?;
    let refused: Vec<(String, String, f64)> = serde_json::from_str(&said)?;
    assert_eq!(refused.len(), 8, "{said}");
    for way in ["password", "publickey"] {
        let of = refused.iter().filter(|(what, ..)| what.starts_with(way));
        let (answers, times): (Vec<_>, Vec<_>) =
            of.map(|(_, answer, time)| (answer, *time)).unzip();
        assert!(answers.windows(2).all(|two| two[0] == two[1]), "{refused:?}");
        let longest = times.iter().copied().fold(0.0, f64::max);
        let shortest = times.iter().copied().fold(f64::MAX, f64::min);
        assert!(longest < 1.6 * shortest, "{refused:?}");
    }
    Ok(())
}

/// A text like a token that is none.
fn reversed(token: &str) -> String {
    token.chars().rev().collect()
}

/// Each way several times, in turn, each from an address of its own; the answers and median times.
const REFUSED: &str = r#"
import json, os, socket, statistics, time
import paramiko
key = paramiko.ECDSAKey.generate()
passwords = ["x", os.environ["MISTYPED"], os.environ["REVOKED"]]
ways = [("password", login, it) for login in ("ubuntu+web1", "ubuntu+nothing") for it in passwords]
ways += [("publickey", login, key) for login in ("ubuntu+web1", "ubuntu+nothing")]
taken, answers, address = [[] for _ in ways], [set() for _ in ways], 0
for turn in range(7):
    for n, (way, login, proof) in enumerate(ways):
        address += 1
        s = socket.create_connection(("127.0.0.1", int(os.environ["PORT"])),
                                     source_address=(f"127.9.0.{address}", 0))
        t = paramiko.Transport(s)
        t.start_client(timeout=20)
        began = time.monotonic()
        try:
            if way == "password":
                t.auth_password(login, proof, fallback=False)
            else:
                t.auth_publickey(login, proof)
            answer = "in"
        except paramiko.SSHException as e:
            answer = f"{type(e).__name__}: {e}"
        taken[n].append(time.monotonic() - began)
        answers[n].add(answer)
        t.close()
print(json.dumps([(f"{way} {login} {n}", " | ".join(sorted(answers[n])), statistics.median(taken[n]))
                  for n, (way, login, _) in enumerate(ways)]))
"#;
