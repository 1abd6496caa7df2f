use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::account::id;
use crate::client_ca::ClientCa;
use crate::openssl::self_signed;
use crate::process::Process;
use crate::run::run;
use crate::wait::eventually;
use crate::{free_port, is_root};

/// A MariaDB server of its own, on a port of its own, with a database in it and its general log.
#[derive(Debug)]
pub struct MariaDb {
    // Dropped before the directory it writes to.
    _process: Process,
    port: u16,
    clients: ClientCa,
    dir: TempDir,
}

impl MariaDb {
    pub const DATABASE: &str = "orders";

    /// Starts one on a free port. It speaks TLS, with a certificate of its own for `localhost`.
    pub fn start() -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("adit-mariadb-").tempdir()?;
        let owner = Owner::find()?;
        owner.give(dir.path())?;
        initialise(&owner, dir.path())?;
        certificate(&owner, dir.path())?;
        let clients = ClientCa::make(dir.path())?;
        let port = free_port()?;
        let process = launch(&owner, port, dir.path())?;
        let server = Self { _process: process, port, clients, dir };
        let asked = || server.admin("", "select 1");
        eventually(SOON, "MariaDB answers", || asked().is_ok())?;
        server.admin("", &format!("create database {}", Self::DATABASE))?;
        server.admin(Self::DATABASE, SAMPLE)?;
        Ok(server)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Runs SQL as the server's superuser, past every door.
    pub fn admin(&self, database: &str, sql: &str) -> Result<String> {
        let mut client = Command::new("mariadb");
        client.args(["--no-defaults", "-N", "-B", "-uroot", "--socket"]);
        client.arg(self.dir.path().join("sock")).args(["-e", sql, database]);
        run(&mut client, SOON)?.ok()
    }

    /// Its certificate, which signs itself.
    pub fn certificate(&self) -> PathBuf {
        self.dir.path().join("server.crt")
    }

    /// The CA of clients' certificates.
    pub fn clients(&self) -> &ClientCa {
        &self.clients
    }

    /// Its general log: everything that it was asked.
    pub fn logged(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&fs::read(self.dir.path().join("general.log"))?).into_owned())
    }
}

/// The account the server runs as: it refuses to run as root.
struct Owner {
    ids: Option<(u32, u32)>,
}

impl Owner {
    fn find() -> Result<Self> {
        if !is_root() {
            return Ok(Self { ids: None });
        }
        let ids =
            id(&["-u", "mysql"]).context("there is no account mysql: install mariadb-server")?;
        Ok(Self { ids: Some((ids.parse()?, id(&["-g", "mysql"])?.parse()?)) })
    }

    fn give(&self, path: &Path) -> Result<()> {
        if let Some((user, group)) = self.ids {
            std::os::unix::fs::chown(path, Some(user), Some(group))?;
        }
        Ok(())
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir("/");
        if let Some((user, group)) = self.ids {
            command.uid(user).gid(group);
        }
        command
    }
}

fn initialise(owner: &Owner, dir: &Path) -> Result<()> {
    let mut install = owner.command("mariadb-install-db");
    install.args(["--no-defaults", "--auth-root-authentication-method=normal"]);
    install.args(["--skip-test-db", "--skip-name-resolve"]).env("TMPDIR", dir);
    install.arg(format!("--datadir={}", dir.join("data").display()));
    let install = run(&mut install, INSTALL)?.ok();
    install
        .map(drop)
        .context("there is no MariaDB: install mariadb-server (`cargo xtask test` does)")
}

fn certificate(owner: &Owner, dir: &Path) -> Result<()> {
    let (key, certificate) = (dir.join("server.key"), dir.join("server.crt"));
    let mut openssl = self_signed(&certificate, &key);
    openssl.args(["-subj", "/CN=localhost"]);
    openssl.args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]);
    openssl.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
    run(&mut openssl, SOON)?.ok().context("a certificate for MariaDB")?;
    owner.give(&key)?;
    owner.give(&certificate)
}

fn launch(owner: &Owner, port: u16, dir: &Path) -> Result<Process> {
    let mut server = owner.command("mariadbd");
    // One that starts removes the temporary tables of others from a folder that they share.
    server.env("TMPDIR", dir);
    let file = |name: &str| dir.join(name).display().to_string();
    server.arg("--no-defaults").arg(format!("--datadir={}", file("data")));
    server.arg(format!("--socket={}", file("sock"))).arg(format!("--pid-file={}", file("pid")));
    server.arg(format!("--ssl-cert={}", file("server.crt")));
    server.arg(format!("--ssl-key={}", file("server.key")));
    server.arg(format!("--ssl-ca={}", file("clients.crt")));
    server.arg("--general-log=1").arg(format!("--general-log-file={}", file("general.log")));
    server.arg(format!("--port={port}"));
    server.args(["--bind-address=127.0.0.1", "--skip-name-resolve", "--skip-log-bin"]);
    server.args(["--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=64M"]);
    server.args(["--max-allowed-packet=128M", "--local-infile=1", "--max-connections=200"]);
    server.arg("--plugin-load-add=auth_ed25519");
    Process::start("mariadbd", server, &dir.join("log"))
}

const SOON: Duration = Duration::from_secs(30);
const INSTALL: Duration = Duration::from_secs(90);
const SAMPLE: &str = "
create table orders (id int primary key, customer varchar(40) not null, cents int not null);
insert into orders select seq, concat('customer ', seq % 7), seq * 125 from seq_1_to_100;";
