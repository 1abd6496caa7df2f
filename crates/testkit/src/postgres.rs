use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::account::{id, random_hex};
use crate::client_ca::ClientCa;
use crate::openssl::self_signed;
use crate::process::{Process, end_group};
use crate::run::{Output, run};
use crate::wait::eventually;
use crate::{free_port, is_root};

/// A PostgreSQL server of its own, on a port of its own, with a database and an account in it.
#[derive(Debug)]
pub struct Postgres {
    // Dropped before the directory it writes to.
    process: Process,
    options: PostgresOptions,
    port: u16,
    password: String,
    bin: PathBuf,
    dir: TempDir,
}

/// How a [`Postgres`] differs from the plain one.
#[derive(Clone, Copy, Debug, Default)]
pub struct PostgresOptions {
    /// `None`: a free one.
    pub port: Option<u16>,
    /// Let [`Postgres::USER`] into [`Postgres::DATABASE`] from this machine without a password.
    pub open: bool,
    /// Write to the disk what was committed, as a server does that must not lose it.
    pub durable: bool,
    /// Speak TLS, with a certificate of its own for `localhost`: [`Postgres::certificate`].
    pub tls: bool,
    /// Write every statement to its log: [`Postgres::logged`].
    pub statements: bool,
}

impl Postgres {
    /// The account that owns [`Self::DATABASE`].
    pub const USER: &str = "reporting";
    pub const DATABASE: &str = "orders";

    /// Starts one on a free port.
    pub fn start() -> Result<Self> {
        Self::start_with(PostgresOptions::default())
    }

    pub fn start_with(options: PostgresOptions) -> Result<Self> {
        let bin = postgres_binaries()
            .context("there is no PostgreSQL: install postgresql (`cargo xtask test` does)")?;
        let dir = tempfile::Builder::new().prefix("adit-postgres-").tempdir()?;
        let password = random_hex()?;
        let password_file = dir.path().join("password");
        fs::write(&password_file, &password)?;
        let owner = Owner::find()?;
        owner.give(dir.path())?;
        let data = dir.path().join("data");
        initialise(&owner, &bin, &data, &password_file)?;
        if options.open {
            open_to_all(&data.join("pg_hba.conf"))?;
        }
        if options.tls {
            certificate(&owner, dir.path())?;
            ClientCa::make(dir.path())?;
        }
        let port = options.port.map_or_else(free_port, Ok)?;
        let process = launch(&owner, &bin, port, dir.path(), options)?;
        let server = Self { process, options, port, password, bin, dir };
        server.fill()?;
        Ok(server)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Ends the server and all its backends at once, as a crash does.
    pub fn kill(&mut self) {
        self.process.kill();
        end_group(self.process.id());
    }

    /// Starts the server again after [`kill`](Self::kill), on the same port and data.
    pub fn start_again(&mut self) -> Result<()> {
        // What a server leaves behind when it is killed would stop the next one.
        drop(fs::remove_file(self.dir.path().join("data/postmaster.pid")));
        self.process =
            launch(&Owner::find()?, &self.bin, self.port, self.dir.path(), self.options)?;
        self.answers()
    }

    /// The URL of a database of this server, for its superuser.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{ADMIN}:{}@127.0.0.1:{}/{database}", self.password, self.port)
    }

    /// The password of [`Self::USER`].
    pub fn password(&self) -> &str {
        &self.password
    }

    /// Runs `psql` against `port`, which may be a tunnel's.
    pub fn psql(&self, port: u16, sql: &str) -> Result<Output> {
        self.psql_as(port, Self::USER, Self::DATABASE, sql)
    }

    /// `pgbench` or `psql` with this server's account, against `port`.
    pub fn client(&self, program: &str, port: u16) -> Command {
        self.client_as(program, port, Self::USER)
    }

    /// Runs SQL as the server's superuser, past every door.
    pub fn admin(&self, database: &str, sql: &str) -> Result<String> {
        self.psql_as(self.port, ADMIN, database, sql)?.ok()
    }

    /// Lets an account in by a certificate for its name alone, and gives the file of one. Of a server
    /// with TLS.
    pub fn certify(&self, account: &str) -> Result<PathBuf> {
        let access = self.dir.path().join("data/pg_hba.conf");
        let rest = fs::read_to_string(&access)?;
        fs::write(&access, format!("hostssl all {account} all cert\n{rest}"))?;
        self.admin(Self::DATABASE, "select pg_reload_conf()")?;
        ClientCa::of(self.dir.path()).issue(account)
    }

    /// The folder of its programs.
    pub fn bin(&self) -> &Path {
        &self.bin
    }

    /// Its certificate, which signs itself.
    pub fn certificate(&self) -> PathBuf {
        self.dir.path().join("server.crt")
    }

    /// What it has written to its log.
    pub fn logged(&self) -> Result<String> {
        Ok(fs::read_to_string(self.dir.path().join("log"))?)
    }

    fn client_as(&self, program: &str, port: u16, user: &str) -> Command {
        let mut command = Command::new(self.bin.join(program));
        command.env("PGPASSWORD", &self.password).env("PGCONNECT_TIMEOUT", "10");
        command.args(["-h", "127.0.0.1", "-p", &port.to_string(), "-U", user]);
        command
    }

    fn psql_as(&self, port: u16, user: &str, database: &str, sql: &str) -> Result<Output> {
        let mut psql = self.client_as("psql", port, user);
        psql.args(["-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", sql]);
        run(&mut psql, SOON)
    }

    fn answers(&self) -> Result<()> {
        let asked = || self.psql_as(self.port, ADMIN, ADMIN, "select 1")?.ok();
        eventually(SOON, "PostgreSQL answers", || asked().is_ok())
    }

    fn fill(&self) -> Result<()> {
        let (user, database, password) = (Self::USER, Self::DATABASE, &self.password);
        let admin = |database: &str, sql: &str| {
            self.psql_as(self.port, ADMIN, database, sql)?.ok().map(drop)
        };
        self.answers()?;
        admin(ADMIN, &format!("create role {user} login password '{password}'"))?;
        admin(ADMIN, &format!("create database {database} owner {user}"))?;
        self.psql(self.port, SAMPLE)?.ok().map(drop)
    }
}

/// The newest installed PostgreSQL's folder of binaries, where Debian puts it or in the path.
pub fn postgres_binaries() -> Option<PathBuf> {
    let mut found: Vec<_> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("bin"))
        .collect();
    let path = std::env::var_os("PATH").unwrap_or_default();
    found.sort_by_key(|bin| std::cmp::Reverse(version(bin)));
    found.extend(std::env::split_paths(&path));
    found.into_iter().find(|bin| bin.join("initdb").exists())
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

const ADMIN: &str = "postgres";
const SOON: Duration = Duration::from_secs(30);
const SAMPLE: &str = "
create table orders (id int primary key, customer text not null, cents int not null);
insert into orders select n, 'customer ' || n % 7, n * 125 from generate_series(1, 100) n;";

fn version(bin: &Path) -> u32 {
    let name = bin.parent().and_then(Path::file_name).unwrap_or_default();
    name.to_string_lossy().parse().unwrap_or(0)
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
        let ids = (id(&["-u", ADMIN])?.parse()?, id(&["-g", ADMIN])?.parse()?);
        Ok(Self { ids: Some(ids) })
    }

    fn give(&self, dir: &Path) -> Result<()> {
        if let Some((user, group)) = self.ids {
            std::os::unix::fs::chown(dir, Some(user), Some(group))?;
        }
        Ok(())
    }

    fn command(&self, program: &Path, dir: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(dir);
        if let Some((user, group)) = self.ids {
            command.uid(user).gid(group);
        }
        command
    }
}

/// The first line that fits decides, so ours goes first.
fn open_to_all(access: &Path) -> Result<()> {
    let (user, database) = (Postgres::USER, Postgres::DATABASE);
    let rest = fs::read_to_string(access)?;
    let line = format!("host {database} {user} 127.0.0.1/32 trust\n");
    Ok(fs::write(access, line + &rest)?)
}

fn certificate(owner: &Owner, dir: &Path) -> Result<()> {
    let (key, certificate) = (dir.join("server.key"), dir.join("server.crt"));
    let config = dir.join("openssl.conf");
    fs::write(&config, OPENSSL)?;
    let mut openssl = self_signed(&certificate, &key);
    run(openssl.arg("-config").arg(&config), SOON)?.ok().context("a certificate for PostgreSQL")?;
    owner.give(&key)?;
    owner.give(&certificate)
}

fn initialise(owner: &Owner, bin: &Path, data: &Path, password: &Path) -> Result<()> {
    let mut initdb = owner.command(&bin.join("initdb"), Path::new("/"));
    initdb.args(["-U", ADMIN, "--auth=scram-sha-256", "--no-sync", "-E", "UTF8", "--locale=C"]);
    initdb.arg("--pwfile").arg(password).arg("-D").arg(data);
    run(&mut initdb, SOON)?.ok().map(drop)
}

fn launch(
    owner: &Owner,
    bin: &Path,
    port: u16,
    dir: &Path,
    options: PostgresOptions,
) -> Result<Process> {
    let mut server = owner.command(&bin.join("postgres"), Path::new("/"));
    server.arg("-D").arg(dir.join("data")).args(["-p", &port.to_string()]);
    for setting in [
        "listen_addresses=127.0.0.1",
        "unix_socket_directories=",
        if options.durable { "fsync=on" } else { "fsync=off" },
        "max_connections=200",
        "wal_level=logical",
    ] {
        server.args(["-c", setting]);
    }
    if options.tls {
        let file = |name: &str| dir.join(name).display().to_string();
        server.args(["-c", "ssl=on", "-c", &format!("ssl_cert_file={}", file("server.crt"))]);
        server.args(["-c", &format!("ssl_key_file={}", file("server.key"))]);
        server.args(["-c", &format!("ssl_ca_file={}", file("clients.crt"))]);
    }
    if options.statements {
        server.args(["-c", "log_statement=all", "-c", "log_line_prefix=%m [%p] %q%u@%d "]);
    }
    Process::start("postgres", server, &dir.join("log"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_answers_its_own_account() -> Result<()> {
        let server = Postgres::start()?;
        let rows = server.psql(server.port(), "select count(*) from orders")?.ok()?;
        assert_eq!(rows.trim(), "100");
        Ok(())
    }
}
