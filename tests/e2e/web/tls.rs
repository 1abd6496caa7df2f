//! What the HTTPS port agrees to in a TLS handshake.

use std::io::Write;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use rustls::NamedGroup;
use testkit::run;

use super::raw::Raw;
use super::stage::Stage;
use crate::support::SOON;

#[test]
fn only_what_is_good_today_is_agreed_to_for_every_name() -> Result<()> {
    let stage = Stage::start()?;
    stage.name("app", &["wiki.example.test"])?;
    for name in ["relay.localhost", "app-hq.relay.localhost", "wiki.example.test"] {
        for old in ["-tls1", "-tls1_1", "-tls1_2"] {
            let said = stage.handshake(name, &[old, "-cipher", "ALL:@SECLEVEL=0"])?;
            ensure!(said.contains("Cipher is (NONE)"), "{name} {old}: {said}");
        }
        let said = stage.handshake(name, &["-tls1_3", "-alpn", "h2"])?;
        for good in [
            "Verify return code: 0 (ok)",
            "ALPN protocol: h2",
            "Compression: NONE",
            "Peer signature type: ECDSA",
            "TLSv1.3, Cipher is TLS_AES_256_GCM_SHA384",
        ] {
            ensure!(said.contains(good), "{name}: no {good} in {said}");
        }
        // Nothing of one connection opens another.
        ensure!(!said.contains("New Session Ticket arrived"), "{name}: {said}");
    }
    Ok(())
}

#[test]
fn stock_clients_without_tls_1_3_come_in_where_the_relay_is_told_so() -> Result<()> {
    let mut stage = Stage::start()?;
    let file = stage.deployment.dir().join("relay/relay.toml");
    let text = std::fs::read_to_string(&file)?;
    std::fs::write(&file, text + "\n[tls]\nminimum = \"1.2\"\n")?;
    stage.deployment.restart_relay()?;
    for name in ["relay.localhost", "app-hq.relay.localhost"] {
        for old in ["-tls1", "-tls1_1"] {
            let said = stage.handshake(name, &[old, "-cipher", "ALL:@SECLEVEL=0"])?;
            ensure!(said.contains("Cipher is (NONE)"), "{name} {old}: {said}");
        }
        // Neither without forward secrecy nor without authenticated encryption.
        for weak in ["kRSA", "SHA1:SHA256:SHA384:!AESGCM:!CHACHA20"] {
            let said = stage.handshake(name, &["-tls1_2", "-cipher", weak])?;
            ensure!(said.contains("Cipher is (NONE)"), "{name} {weak}: {said}");
        }
        let said = stage.handshake(name, &["-tls1_2"])?;
        for good in ["Verify return code: 0 (ok)", "TLSv1.2, Cipher is ECDHE-ECDSA-"] {
            ensure!(said.contains(good), "{name}: no {good} in {said}");
        }
        // Nothing of one connection opens another.
        ensure!(!said.contains("TLS session ticket:"), "{name}: {said}");
        let said = stage.handshake(name, &[])?;
        ensure!(said.contains("TLSv1.3, Cipher is TLS_AES_256_GCM_SHA384"), "{name}: {said}");
    }
    // Machines of ours are spoken to as ever.
    let said = stage.handshake("relay.localhost", &["-tls1_2", "-alpn", "adit/1"])?;
    ensure!(said.contains("Cipher is (NONE)"), "{said}");
    Ok(())
}

#[test]
fn a_key_exchange_that_quantum_computers_do_not_break_comes_first() -> Result<()> {
    let stage = Stage::start()?;
    let mut stream = Raw::new(&stage, "adit_nothing")?.connect(SOON)?;
    stream.write_all(b"GET")?;
    let group = stream.conn.negotiated_key_exchange_group().context("a group")?;
    ensure!(group.name() == NamedGroup::X25519MLKEM768, "{:?}", group.name());
    Ok(())
}

impl Stage {
    fn handshake(&self, name: &str, options: &[&str]) -> Result<String> {
        let at = format!("127.0.0.1:{}", self.deployment.doors().https);
        let mut openssl = Command::new("openssl");
        openssl.args(["s_client", "-connect", &at, "-servername", name]);
        openssl.args(["-verify_hostname", name, "-CAfile"]).arg(self.deployment.ca_file());
        openssl.args(options);
        Ok(run(&mut openssl, SOON)?.text())
    }
}
