use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::account::random_hex;
use crate::free_port;
use crate::openssl::self_signed;
use crate::process::Process;
use crate::run::{Output, run};
use crate::wait::eventually;

/// A Redis server of its own, on a port of its own, whose default account has a password.
#[derive(Debug)]
pub struct Redis {
    // Dropped before the directory it writes to.
    _process: Process,
    port: u16,
    password: String,
    tls: bool,
    dir: TempDir,
}

impl Redis {
    /// Starts one on a free port. `tls`: that port speaks TLS only, with a certificate of its own for
    /// `localhost`: [`Redis::certificate`].
    pub fn start(tls: bool) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("adit-redis-").tempdir()?;
        let (port, password) = (free_port()?, random_hex()?);
        let mut server = Command::new("redis-server");
        server.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        server.arg("--dir").arg(dir.path()).args(["--requirepass", &password]);
        let listen = port.to_string();
        if tls {
            certificate(dir.path())?;
            let file = |name: &str| dir.path().join(name);
            server.args(["--port", "0", "--tls-port", &listen, "--tls-auth-clients", "no"]);
            server.arg("--tls-cert-file").arg(file("server.crt"));
            server.arg("--tls-key-file").arg(file("server.key"));
        } else {
            server.args(["--port", &listen]);
        }
        let process = Process::start("redis-server", server, &dir.path().join("log"))
            .context("there is no Redis: install redis-server (`cargo xtask test` does)")?;
        let server = Self { _process: process, port, password, tls, dir };
        eventually(SOON, "Redis answers", || {
            server.admin(&["PING"]).is_ok_and(|said| said.trim() == "PONG")
        })?;
        Ok(server)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The password of the default account.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// Its certificate, which signs itself.
    pub fn certificate(&self) -> PathBuf {
        self.dir.path().join("server.crt")
    }

    /// `redis-cli` as its default account, past every door.
    pub fn client(&self, program: &str) -> Command {
        let mut client = Command::new(program);
        client.args(["-h", "127.0.0.1", "-p", &self.port.to_string()]);
        client.env("REDISCLI_AUTH", &self.password);
        if self.tls {
            client.arg("--tls").arg("--cacert").arg(self.certificate());
        }
        client
    }

    /// What a command is answered, past every door.
    pub fn admin(&self, command: &[&str]) -> Result<String> {
        run(self.client("redis-cli").args(command), SOON).and_then(Output::ok)
    }
}

fn certificate(dir: &Path) -> Result<()> {
    let config = dir.join("openssl.conf");
    fs::write(&config, OPENSSL)?;
    let mut openssl = self_signed(&dir.join("server.crt"), &dir.join("server.key"));
    run(openssl.arg("-config").arg(&config), SOON)?
        .ok()
        .context("a certificate for Redis")
        .map(drop)
}

/// One that signs itself, and nothing else.
const OPENSSL: &str = "[req]
distinguished_name = name
x509_extensions = ext
prompt = no
[name]
CN = localhost
[ext]
basicConstraints = critical, CA:FALSE
subjectAltName = DNS:localhost, IP:127.0.0.1
";
const SOON: Duration = Duration::from_secs(30);
