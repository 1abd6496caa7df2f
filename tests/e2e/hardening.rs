//! What strangers and auditors find at the SSH door as it comes.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use testkit::{python_with, run};

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
    let classical =
        ["curve25519-sha256", "curve25519-sha256@libssh.org", "diffie-hellman-group16-sha512"];
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

const NOT_POST_QUANTUM: &str = "does not provide protection against post-quantum attacks";
const LONG: Duration = Duration::from_secs(60);
