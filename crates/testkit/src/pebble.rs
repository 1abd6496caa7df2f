use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;

use crate::openssl::self_signed;
use crate::process::Process;
use crate::run::run;
use crate::wait::eventually;
use crate::{free_port, free_udp_port};

/// Pebble, the ACME CA for tests, for which every name leads to this machine. It proves each name
/// anew.
#[derive(Debug)]
pub struct Pebble {
    dir: PathBuf,
    api: u16,
    management: u16,
    _pebble: Process,
    _names: Process,
}

/// What a [`Pebble`] does besides issuing.
#[derive(Clone, Copy, Debug, Default)]
pub struct PebbleOptions {
    /// It refuses so many good nonces of a hundred.
    pub refused_nonces: u8,
    /// How long its certificates are good; `None`: for years.
    pub life: Option<Duration>,
}

impl Pebble {
    /// Looks at these ports for TLS-ALPN-01 and HTTP-01. Keeps its files in `dir`.
    pub fn start(dir: &Path, (tls, http): (u16, u16), options: PebbleOptions) -> Result<Self> {
        let PebbleOptions { refused_nonces, life } = options;
        fs::create_dir_all(dir)?;
        let (api, management, dns) = (free_port()?, free_port()?, free_udp_port()?);
        let names = names(dir, dns)?;
        certify(dir)?;
        let local = |port| format!("127.0.0.1:{port}");
        let mut config = json!({ "pebble": {
            "listenAddress": local(api), "managementListenAddress": local(management),
            "certificate": dir.join("cert.pem"), "privateKey": dir.join("key.pem"),
            "httpPort": http, "tlsPort": tls, "ocspResponderURL": "",
            "externalAccountBindingRequired": false,
        }});
        if let Some(life) = life {
            config["pebble"]["certificateValidityPeriod"] = life.as_secs().into();
        }
        fs::write(dir.join("pebble.json"), config.to_string())?;
        let mut command = Command::new("/usr/bin/pebble");
        command.arg("-config").arg(dir.join("pebble.json")).args(["-dnsserver", &local(dns)]);
        command.env("PEBBLE_VA_NOSLEEP", "1").env("PEBBLE_AUTHZREUSE", "0");
        command.env("PEBBLE_WFE_NONCEREJECT", refused_nonces.to_string());
        let pebble = Process::start("pebble", command, &dir.join("pebble.log"))?;
        let started = Self { dir: dir.to_owned(), api, management, _pebble: pebble, _names: names };
        eventually(SOON, "pebble listens", || started.root().is_ok())?;
        Ok(started)
    }

    pub fn directory(&self) -> String {
        format!("https://127.0.0.1:{}/dir", self.api)
    }

    /// Who vouches for its web server.
    pub fn ca_file(&self) -> PathBuf {
        self.dir.join("cert.pem")
    }

    /// The root of what it issues, in a file.
    pub fn root(&self) -> Result<PathBuf> {
        let file = self.dir.join("root.pem");
        let url = format!("https://127.0.0.1:{}/roots/0", self.management);
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-f", "--cacert"]).arg(self.ca_file()).arg("-o").arg(&file).arg(url);
        run(&mut curl, SOON)?.ok()?;
        Ok(file)
    }

    /// What it has written.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.join("pebble.log")).unwrap_or_default()
    }
}

/// A DNS server that says 127.0.0.1 of every name.
fn names(dir: &Path, port: u16) -> Result<Process> {
    let mut command = Command::new("/usr/bin/pebble-challtestsrv");
    let (dns, management) = (format!("127.0.0.1:{port}"), format!("127.0.0.1:{}", free_port()?));
    command.args(["-dns01", &dns, "-management", &management, "-defaultIPv6", ""]);
    command.args(["-http01", "", "-https01", "", "-tlsalpn01", ""]);
    Process::start("pebble-challtestsrv", command, &dir.join("names.log"))
}

fn certify(dir: &Path) -> Result<()> {
    let config = dir.join("openssl.conf");
    fs::write(&config, OPENSSL)?;
    let mut openssl = self_signed(&dir.join("cert.pem"), &dir.join("key.pem"));
    run(openssl.arg("-config").arg(&config), SOON)?
        .ok()
        .map(drop)
        .context("a certificate for pebble")
}

/// Its own root, which is none that could vouch for others.
const OPENSSL: &str = "[req]\ndistinguished_name = dn\nx509_extensions = ext\nprompt = no\n\
    [dn]\nCN = pebble\n\
    [ext]\nsubjectAltName = IP:127.0.0.1\nbasicConstraints = critical, CA:FALSE\n";
const SOON: Duration = Duration::from_secs(30);
