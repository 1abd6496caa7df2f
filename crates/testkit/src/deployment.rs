use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use tempfile::TempDir;

use crate::process::Process;
use crate::run::{Output, run};
use crate::wait::until;
use crate::{free_port, free_udp_port, is_listening};

/// A relay with one site and its connectors, run by the programs as they are shipped.
#[derive(Debug)]
pub struct Deployment {
    // In the order in which they are ended.
    connectors: Vec<ConnectorProcess>,
    relay: Process,
    doors: Doors,
    domain: String,
    bin: PathBuf,
    admin_token: String,
    dir: TempDir,
}

/// The relay's ports on 127.0.0.1.
#[derive(Clone, Copy, Debug)]
pub struct Doors {
    pub https: u16,
    pub quic: u16,
    pub ssh: u16,
}

/// What a [`Deployment`] is started with.
#[derive(Debug)]
pub struct Builder {
    pub doors: Doors,
    pub domain: String,
    /// The folder of the three programs.
    pub bin: PathBuf,
    /// The site that is made first.
    pub site: String,
    /// What its connector may dial.
    pub allow: Vec<String>,
    /// Told about each step before it is taken.
    pub progress: fn(&str),
}

/// A connector of a deployment.
#[derive(Debug)]
pub struct ConnectorProcess {
    pub name: String,
    pub site: String,
    pub state: PathBuf,
    pub process: Process,
    /// Whether its end has been told to whoever watches it.
    pub reported: bool,
}

impl Deployment {
    /// A relay on free ports, and a connector of site [`Self::SITE`] that may dial this machine.
    pub fn start() -> Result<Self> {
        Builder::new()?.start()
    }

    pub const SITE: &str = "hq";

    pub fn doors(&self) -> Doors {
        self.doors
    }

    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// `https://localhost:…`
    pub fn url(&self) -> String {
        url(&self.domain, self.doors.https)
    }

    pub fn admin_token(&self) -> &str {
        &self.admin_token
    }

    /// The relay's CA certificate.
    pub fn ca_file(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// The relay's SSH host keys in the form of OpenSSH's known_hosts.
    pub fn known_hosts(&self) -> PathBuf {
        self.dir.path().join("known_hosts")
    }

    /// A folder that lives as long as the deployment.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn relay(&mut self) -> &mut Process {
        &mut self.relay
    }

    /// The relay's process id.
    pub fn relay_id(&self) -> u32 {
        self.relay.id()
    }

    pub fn connectors(&mut self) -> &mut Vec<ConnectorProcess> {
        &mut self.connectors
    }

    /// Starts the relay again after it has ended.
    pub fn start_relay(&mut self) -> Result<()> {
        self.relay = serve(&self.bin, self.dir.path())?;
        Ok(())
    }

    /// Adds lines to `[listen]` of the relay's configuration, for when it starts again.
    pub fn add_listen(&self, lines: &str) -> Result<()> {
        let file = self.dir.path().join("relay/relay.toml");
        let listen = format!("[listen]\n{lines}");
        let text = fs::read_to_string(&file)?.replacen("[listen]", &listen, 1);
        Ok(fs::write(&file, text)?)
    }

    /// Stops the relay in order, starts it again, and waits for a connector.
    pub fn restart_relay(&mut self) -> Result<()> {
        self.relay.stop(SOON)?;
        self.start_relay()?;
        self.wait_for_connectors(1)
    }

    /// Enrols one more connector of a site, and waits until the relay has it.
    pub fn join(&mut self, site: &str, name: &str, allow: &[String]) -> Result<()> {
        let token = self.admin(&["site", "join-token", site])?.ok()?;
        let token_file = self.dir.path().join(format!("join-{name}"));
        fs::write(&token_file, token.trim())?;
        let state = self.dir.path().join(format!("connector-{name}"));
        let mut join = self.program("adit-connector");
        join.args(["join", &self.url(), "--name", name, "--token-file"]).arg(&token_file);
        join.arg("--state").arg(&state);
        for entry in allow {
            join.args(["--allow", entry]);
        }
        run(&mut join, SOON)?.ok().with_context(|| format!("enrol connector {name}"))?;
        let process = self.run_connector(name, &state)?;
        let (name, site) = (name.to_owned(), site.to_owned());
        self.connectors.push(ConnectorProcess { name, site, state, process, reported: false });
        self.wait_for_connectors(self.connectors.len())
    }

    /// Starts a connector again after it has ended.
    pub fn start_connector(&mut self, index: usize) -> Result<()> {
        let connector = &self.connectors[index];
        let (name, state) = (connector.name.clone(), connector.state.clone());
        self.connectors[index].process = self.run_connector(&name, &state)?;
        self.connectors[index].reported = false;
        Ok(())
    }

    /// Changes a connector's configuration and starts it anew.
    pub fn reconfigure(&mut self, index: usize, change: impl FnOnce(&str) -> String) -> Result<()> {
        let connector = &mut self.connectors[index];
        let file = connector.state.join("connector.toml");
        connector.process.stop(SOON)?;
        fs::write(&file, change(&fs::read_to_string(&file)?))?;
        self.start_connector(index)
    }

    /// Has a connector reach the relay by another port of this machine.
    pub fn lead_by(&mut self, index: usize, port: u16) -> Result<()> {
        let Doors { https, quic, .. } = self.doors;
        self.reconfigure(index, |text| {
            let port = format!(":{port}\"");
            text.replace(&format!(":{https}\""), &port).replace(&format!(":{quic}\""), &port)
        })
    }

    /// `adit-connector doctor --json`, of a connector.
    pub fn doctor(&self, index: usize) -> Result<Value> {
        let mut command = self.program("adit-connector");
        command.args(["doctor", "--json", "--state"]).arg(&self.connectors[index].state);
        Ok(serde_json::from_slice(&run(&mut command, SOON)?.stdout)?)
    }

    /// Waits until the relay lists this many connectors as connected.
    pub fn wait_for_connectors(&self, count: usize) -> Result<()> {
        let what = format!("{count} connectors are connected");
        until(SOON, &what, || {
            let listed = self.admin_json(&["connector", "ls"]).ok()?;
            let online = listed.as_array()?.iter().filter(|connector| is_online(connector));
            (online.count() >= count).then_some(())
        })
        .with_context(|| self.relay.tail())
    }

    /// Applies a configuration document (TOML).
    pub fn apply(&self, document: &str) -> Result<Output> {
        let file = tempfile::Builder::new().suffix(".toml").tempfile_in(self.dir.path())?;
        fs::write(file.path(), document)?;
        let path = file.path().to_string_lossy().into_owned();
        self.admin(&["apply", "-f", &path])
    }

    /// Issues a token with `adit admin token issue`, whose further flags are `terms`.
    pub fn token(&self, user: &str, application: &str, terms: &[&str]) -> Result<String> {
        let mut args = vec!["token", "issue", "--user", user, "--application", application];
        args.extend(terms);
        Ok(self.admin(&args)?.ok()?.trim().to_owned())
    }

    /// `adit admin …` with an admin token and no login.
    pub fn admin(&self, args: &[&str]) -> Result<Output> {
        let mut command = self.adit("admin-token");
        command.env("ADIT_TOKEN", &self.admin_token).arg("admin").args(args);
        run(&mut command, SOON)
    }

    /// `adit admin … --json`.
    pub fn admin_json(&self, args: &[&str]) -> Result<Value> {
        let args = [args, &["--json"]].concat();
        Ok(serde_json::from_str(&self.admin(&args)?.ok()?)?)
    }

    /// The audit rows of one action, oldest first.
    pub fn audit(&self, action: &str) -> Result<Vec<Value>> {
        let text = self.admin(&["audit", "export"])?.ok()?;
        let rows = text.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?;
        Ok(rows.into_iter().filter(|row| row["action"] == action).collect())
    }

    /// `adit-relay audit verify`, on the database itself.
    pub fn verify_offline(&self, args: &[&str]) -> Result<Output> {
        let mut command = self.program("adit-relay");
        command.args(["audit", "verify", "--config"]).arg(self.dir.path().join("relay/relay.toml"));
        run(command.args(args), SOON)
    }

    /// `adit-relay rotate-host-key`, of a relay that does not run.
    pub fn rotate_host_key(&self, words: &[&str]) -> Result<Output> {
        let mut command = self.program("adit-relay");
        command.arg("rotate-host-key").args(words).arg("--config");
        run(command.arg(self.dir.path().join("relay/relay.toml")), SOON)
    }

    /// The sessions open now.
    pub fn sessions(&self) -> Result<Vec<Value>> {
        let listed = self.admin_json(&["session", "ls"])?;
        listed.as_array().cloned().context("a list of sessions")
    }

    /// Signs an agent of this user in; [`Self::adit`] with the same name then acts for them.
    pub fn login(&self, user: &str) -> Result<()> {
        let issue = ["token", "issue", "--user", user, "--kind", "login"];
        let token = self.admin(&issue)?.ok()?;
        let token_file = self.dir.path().join(format!("login-{user}"));
        fs::write(&token_file, token.trim())?;
        let mut command = self.adit(user);
        command.args(["login", &self.url(), "--token-file"]).arg(token_file);
        run(&mut command, SOON)?.ok().map(drop)
    }

    /// The agent, with a state of its own per name.
    pub fn adit(&self, name: &str) -> Command {
        let mut command = self.program("adit");
        command.env("ADIT_HOME", self.home(name)).env_remove("ADIT_TOKEN");
        command.env("ADIT_RELAY", self.url()).env("ADIT_CA", self.ca_file());
        command
    }

    /// Where the agent of that name keeps its login.
    pub fn home(&self, name: &str) -> PathBuf {
        self.dir.path().join("agents").join(name)
    }

    /// Starts `adit tunnel` for a user who is signed in, and waits until it listens.
    pub fn tunnel(&self, user: &str, application: &str) -> Result<(Process, u16)> {
        self.tunnel_by(self.adit(user), application)
    }

    /// As [`Self::tunnel`], for whoever `command` acts for: `adit` without its arguments.
    pub fn tunnel_by(&self, mut command: Command, application: &str) -> Result<(Process, u16)> {
        let port = free_port()?;
        let listen = format!("127.0.0.1:{port}");
        command.args(["tunnel", application, "--listen", &listen]);
        let log = self.dir.path().join(format!("tunnel-{port}.log"));
        let mut process = Process::start("adit tunnel", command, &log)?;
        let heard = || (is_listening(port) || !process.is_running()).then_some(());
        until(SOON, "adit tunnel listens", heard)?;
        anyhow::ensure!(process.is_running(), "adit tunnel ended\n{}", process.tail());
        Ok((process, port))
    }

    fn program(&self, name: &str) -> Command {
        Command::new(self.bin.join(name))
    }

    fn run_connector(&self, name: &str, state: &Path) -> Result<Process> {
        let mut command = self.program("adit-connector");
        command.arg("run").arg("--state").arg(state);
        let log = self.dir.path().join(format!("connector-{name}.log"));
        Process::start(&format!("connector {name}"), command, &log)
    }
}

impl Builder {
    /// Free ports, and the programs beside the one that runs.
    pub fn new() -> Result<Self> {
        let doors = Doors { https: free_udp_port()?, quic: free_udp_port()?, ssh: free_port()? };
        Ok(Self {
            doors,
            domain: "localhost".to_owned(),
            bin: bin_dir()?,
            site: Deployment::SITE.to_owned(),
            allow: vec!["127.0.0.1/32:*".to_owned()],
            progress: |_| {},
        })
    }

    pub fn start(self) -> Result<Deployment> {
        let dir = tempfile::Builder::new().prefix("adit-").tempdir()?;
        (self.progress)("the relay: configuration, database, CA and host keys");
        let setup_token = self.init(dir.path())?;
        (self.progress)("the relay: starting");
        let relay = serve(&self.bin, dir.path())?;
        let Self { doors, domain, bin, site, allow, progress } = self;
        let admin_token = String::new();
        let mut deployment =
            Deployment { connectors: Vec::new(), relay, doors, domain, bin, admin_token, dir };
        progress("the first admin: signing in with the setup token");
        deployment.first_admin(&setup_token)?;
        progress("the connector: enrolling and starting");
        deployment.admin(&["site", "add", &site])?.ok()?;
        deployment.join(&site, &format!("{site}-1"), &allow)?;
        Ok(deployment)
    }

    fn init(&self, dir: &Path) -> Result<String> {
        let mut init = Command::new(self.bin.join("adit-relay"));
        init.args(["init", "--domain", &self.domain, "--data"]).arg(dir.join("relay"));
        let Doors { https, quic, ssh } = self.doors;
        for (door, port) in [("--https", https), ("--quic", quic), ("--ssh", ssh)] {
            init.args([door, &format!("127.0.0.1:{port}")]);
        }
        let token = run(&mut init, SOON)?.ok().context("set the relay up")?;
        Ok(token.trim().to_owned())
    }
}

impl Deployment {
    /// Spends the setup token on a login, whose home then holds the relay's CA and host keys as the
    /// token's pin vouches for them, and issues the admin token that everything else uses.
    fn first_admin(&mut self, setup_token: &str) -> Result<()> {
        let token_file = self.dir.path().join("setup-token");
        fs::write(&token_file, setup_token)?;
        let mut login = self.adit("admin");
        login.env_remove("ADIT_CA").args(["login", &self.url(), "--token-file"]).arg(token_file);
        run(&mut login, SOON)?.ok().context("sign in with the setup token")?;
        fs::copy(self.home("admin").join("ca.pem"), self.ca_file()).context("the relay's CA")?;
        let mut issue = self.adit("admin");
        issue.args(["admin", "token", "issue", "--user", "admin", "--kind", "admin"]);
        self.admin_token = run(&mut issue, SOON)?.ok()?.trim().to_owned();
        fs::write(self.known_hosts(), self.host_key_lines()?).context("known hosts")
    }

    /// The SSH door's host keys, as the relay told the login over a connection that it pinned.
    fn host_key_lines(&self) -> Result<String> {
        let login = fs::read_to_string(self.home("admin").join("login.json"))?;
        let login: Value = serde_json::from_str(&login)?;
        let keys = login["ssh_host_keys"].as_array().context("host keys of the SSH door")?;
        let port = self.doors.ssh;
        let hosts = format!("[127.0.0.1]:{port},[localhost]:{port}");
        let lines = keys.iter().filter_map(Value::as_str).map(|key| format!("{hosts} {key}\n"));
        Ok(lines.collect())
    }
}

/// The folder of the programs built beside the running one.
pub fn bin_dir() -> Result<PathBuf> {
    let this = std::env::current_exe()?;
    let mut dir = this.parent().context("the running program has a folder")?;
    if dir.ends_with("deps") {
        dir = dir.parent().context("deps lies in a folder")?;
    }
    for program in ["adit-relay", "adit-connector", "adit"] {
        let file = dir.join(program);
        let build = "build it: cargo build -p adit-relay -p adit-connector -p adit-agent";
        anyhow::ensure!(file.exists(), "there is no {}; {build}", file.display());
    }
    Ok(dir.to_owned())
}

const SOON: Duration = Duration::from_secs(30);

fn url(domain: &str, https: u16) -> String {
    // Not every resolver knows names below it; the relay's certificate has this one too.
    let host = if domain.ends_with(".localhost") { "localhost" } else { domain };
    format!("https://{host}:{https}")
}

fn serve(bin: &Path, dir: &Path) -> Result<Process> {
    let ready = dir.join("relay").join("ready.json");
    drop(fs::remove_file(&ready));
    let mut command = Command::new(bin.join("adit-relay"));
    command.arg("serve").arg("--config").arg(dir.join("relay").join("relay.toml"));
    let mut process = Process::start("relay", command, &dir.join("relay.log"))?;
    until(SOON, "the relay listens", || (ready.exists() || !process.is_running()).then_some(()))
        .with_context(|| process.tail())?;
    anyhow::ensure!(process.is_running(), "the relay ended\n{}", process.tail());
    Ok(process)
}

fn is_online(connector: &Value) -> bool {
    connector["online"] == true || connector["state"] == "online"
}
