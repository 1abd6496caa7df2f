use std::fs;
use std::io::Read;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;
use testkit::{Deployment, Echo, Postgres, PostgresOptions, Sshd, SshdOptions};

use super::ports::Ports;
use super::{SITE, USER, people_api, say};

/// What is printed, and written to the ready file, for one application.
#[derive(Debug, Serialize)]
pub(crate) struct Application {
    pub(crate) name: String,
    pub(crate) site: String,
    pub(crate) kind: String,
    /// Whose token it is.
    pub(crate) user: String,
    /// The account at the target.
    pub(crate) login: Option<String>,
    pub(crate) database: Option<String>,
    pub(crate) token: String,
    pub(crate) url: Option<String>,
    pub(crate) command: String,
}

/// The demo's own targets. Dropping them ends them.
pub(crate) struct Targets {
    sshd: Sshd,
    echo: Echo,
    api: u16,
    postgres: Option<Postgres>,
    /// Whether this machine's own sshd answers at its usual port.
    own_sshd: bool,
    /// The same for PostgreSQL, where we could not start one.
    own_postgres: bool,
}

impl Targets {
    pub(crate) fn start(ports: &Ports) -> Result<Self> {
        let options =
            SshdOptions { port: Some(ports.sshd()), own_home: true, ..SshdOptions::default() };
        people_api::serve(ports.api())?;
        let postgres = database(ports.postgres());
        let answers = || TcpStream::connect(("127.0.0.1", OWN_POSTGRES)).is_ok();
        Ok(Self {
            sshd: Sshd::start_with(options)?,
            echo: Echo::start(Some(ports.echo()))?,
            api: ports.api(),
            own_sshd: greets_as_ssh(OWN_SSHD),
            own_postgres: postgres.is_none() && answers(),
            postgres,
        })
    }

    /// What the connector must be allowed to dial: this machine's loopback, port by port.
    pub(crate) fn allow(&self) -> Vec<String> {
        let mut ports = vec![self.sshd.port(), self.echo.port(), self.api];
        ports.extend(self.postgres.as_ref().map(Postgres::port));
        ports.extend(self.own_sshd.then_some(OWN_SSHD));
        ports.extend(self.own_postgres.then_some(OWN_POSTGRES));
        ports.into_iter().map(|port| format!("127.0.0.1/32:{port}")).collect()
    }

    /// Registers the applications, grants them to the demo user, signs that user in and issues a
    /// token for each.
    pub(crate) fn register(
        &mut self,
        deployment: &Deployment,
        ports: &Ports,
    ) -> Result<Vec<Application>> {
        deployment.apply(&self.document()?)?.ok()?;
        deployment.login(USER)?;
        let adit = wrapper(deployment)?;
        let mut applications = self.ssh(deployment, &adit)?;
        applications.extend(self.others(deployment, ports, &adit)?);
        Ok(applications)
    }

    fn document(&self) -> Result<String> {
        let (account, host_key) = (self.sshd.account(), self.sshd.host_key()?);
        let key_file = self.sshd.client_key();
        let sshd = self.sshd.address();
        let mut text = format!("[[user]]\nname = {USER:?}\n");
        text += &application("web1", "ssh", &sshd);
        text +=
            &format!("account = {account:?}\nkey_file = {key_file:?}\nhost_key = {host_key:?}\n");
        text += &application("web2", "ssh", &sshd);
        text += &format!("host_key = {host_key:?}\n");
        text += &application("api", "web", &format!("127.0.0.1:{}", self.api));
        text += "allow_api = true\n";
        text += &application("echo", "tcp", &self.echo.address());
        if let Some(postgres) = &self.postgres {
            text += &application("orders-db", "postgres", &postgres.address());
            text += "allow_api = true\n";
        } else if self.own_postgres {
            text += &application("orders-db", "postgres", &format!("127.0.0.1:{OWN_POSTGRES}"));
        }
        if self.own_sshd {
            text += &application("this-host", "ssh", &format!("127.0.0.1:{OWN_SSHD}"));
        }
        Ok(text)
    }

    fn ssh(&self, deployment: &Deployment, adit: &Path) -> Result<Vec<Application>> {
        let account = self.sshd.account();
        let ssh = |application: &str| {
            format!(
                "ssh -p {} -o UserKnownHostsFile={} {account}+{application}@127.0.0.1",
                deployment.doors().ssh,
                deployment.known_hosts().display()
            )
        };
        // The agent's stream is raw here, so the target checks the user's own key itself.
        let with_own_key = format!(
            "{} ssh {account}@web2 -- -i {}",
            adit.display(),
            self.sshd.client_key().display()
        );
        let mut found = vec![
            issue(deployment, "web1", "ssh", ssh("web1"))?.login(account),
            issue(deployment, "web2", "ssh", with_own_key)?.login(account),
        ];
        if self.own_sshd {
            found.push(issue(deployment, "this-host", "ssh", ssh("this-host"))?.login(account));
        }
        Ok(found)
    }

    fn others(
        &self,
        deployment: &Deployment,
        ports: &Ports,
        adit: &Path,
    ) -> Result<Vec<Application>> {
        let adit = adit.display();
        let through = |name: &str, port: u16, client: &str| {
            format!("{adit} tunnel {name} --listen 127.0.0.1:{port} & sleep 2; {client}; kill $!")
        };
        let api = self.web(deployment)?;
        let echo = format!("echo hello | {adit} proxy echo");
        let mut found = vec![api, issue(deployment, "echo", "tcp", echo)?];
        let port = ports.tunnel(ports.postgres());
        if self.postgres.is_some() {
            let (user, database) = (Postgres::USER, Postgres::DATABASE);
            let sql = "select customer, sum(cents) from orders group by 1 order by 1";
            let psql = format!("psql -h 127.0.0.1 -p {port} -U {user} -d {database} -c '{sql}'");
            let command = through("orders-db", port, &psql);
            let one = issue(deployment, "orders-db", "postgres", command)?.login(user);
            found.push(Application { database: Some(database.to_owned()), ..one });
        } else if self.own_postgres {
            let psql = format!("psql -h 127.0.0.1 -p {port} -U postgres");
            let command = through("orders-db", port, &psql);
            found.push(issue(deployment, "orders-db", "postgres", command)?);
        }
        Ok(found)
    }

    /// By the web door: nothing but curl and the token.
    fn web(&self, deployment: &Deployment) -> Result<Application> {
        let (domain, port) = (deployment.domain(), deployment.doors().https);
        let url = format!("https://api-{SITE}.{domain}:{port}");
        let one = issue(deployment, "api", "web", String::new())?;
        let (ca, token) = (deployment.ca_file(), &one.token);
        let key = format!("-H 'X-Adit-Key: {token}'");
        let command = format!("curl --silent --cacert {} {key} {url}/api/v1/person", ca.display());
        Ok(Application { url: Some(url), command, ..one })
    }
}

impl Application {
    fn login(self, login: &str) -> Self {
        Self { login: Some(login.to_owned()), ..self }
    }
}

/// A token that works often and for a day: this is for trying things.
pub(crate) fn issue(
    deployment: &Deployment,
    name: &str,
    kind: &str,
    command: String,
) -> Result<Application> {
    let terms = ["--kind", "access", "--expires", "24h", "--uses", "100000"];
    let (short, site) = name.split_once('.').unwrap_or((name, SITE));
    Ok(Application {
        name: short.to_owned(),
        site: site.to_owned(),
        kind: kind.to_owned(),
        user: USER.to_owned(),
        login: None,
        database: None,
        token: deployment.token(USER, name, &terms)?,
        url: None,
        command,
    })
}

const OWN_SSHD: u16 = 22;
const OWN_POSTGRES: u16 = 5432;

fn application(name: &str, kind: &str, address: &str) -> String {
    format!(
        "[[grant]]\nuser = {USER:?}\napplication = \"{name}.{SITE}\"\nforwarding = true\n\
         [[application]]\nname = {name:?}\nsite = {SITE:?}\nkind = {kind:?}\naddress = {address:?}\n"
    )
}

/// A database of our own where its programs are installed; none is no reason to stop.
fn database(port: u16) -> Option<Postgres> {
    testkit::postgres_binaries()?;
    // It holds a sample and listens on loopback only; a password would be one more thing to paste.
    Postgres::start_with(PostgresOptions {
        port: Some(port),
        open: true,
        ..PostgresOptions::default()
    })
    .map_err(|error| say(&format!("without a database of its own: {error:#}")))
    .ok()
}

fn greets_as_ssh(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    let mut greeting = [0; 4];
    stream.set_read_timeout(Some(Duration::from_secs(2))).is_ok()
        && stream.read_exact(&mut greeting).is_ok()
        && &greeting == b"SSH-"
}

/// A short name for the agent with the demo user's login, for the printed commands.
fn wrapper(deployment: &Deployment) -> Result<PathBuf> {
    let file = deployment.dir().join("adit");
    let adit = deployment.adit(USER).get_program().to_string_lossy().into_owned();
    let home = deployment.home(USER);
    let script = format!("#!/bin/sh\nADIT_HOME='{}' exec '{adit}' \"$@\"\n", home.display());
    fs::write(&file, script)?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755))?;
    Ok(file)
}
