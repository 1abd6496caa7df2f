//! `adit-relay demo`: a whole deployment on this machine, set up by the programs beside this one as
//! their users would, and taken away again.

use std::fs::DirBuilder;
use std::net::Ipv4Addr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Runs until Ctrl-C or SIGTERM.
pub(crate) async fn run(tell: fn(&str)) -> anyhow::Result<()> {
    let demo = Demo::new()?;
    let echo = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let target = echo.local_addr()?.to_string();
    let (mut relay, url) = demo.relay(tell).await?;
    let mut connector = demo.connector(&url, tell).await?;
    let mut commands = vec![demo.application(&url, "echo", "tcp", &target).await?];
    if TcpStream::connect((Ipv4Addr::LOCALHOST, SSH)).await.is_ok() {
        commands.push(demo.application(&url, "this-host", "ssh", "127.0.0.1:22").await?);
    }
    tell(&format!("\nAdit runs on this machine: {url}. Paste into another terminal:\n"));
    commands.iter().for_each(|command| tell(&format!("  {command}")));
    tell("\nCtrl-C ends it and removes it.");
    let ended = tokio::select! {
        stopped = stopped() => stopped,
        status = relay.wait() => Err(anyhow::anyhow!("the relay ended: {}", status?)),
        status = connector.wait() => Err(anyhow::anyhow!("the connector ended: {}", status?)),
        answered = answer(echo) => answered,
    };
    end(connector).await;
    end(relay).await;
    ended
}

/// The demo's folder and the programs. Removes the folder when dropped.
struct Demo {
    folder: PathBuf,
    programs: PathBuf,
}

impl Demo {
    fn new() -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("this program's folder is not known")?;
        let programs = program.parent().context("this program's folder is not known")?.to_owned();
        for name in ["adit", "adit-connector"] {
            if !programs.join(name).exists() {
                bail!("{name} is not beside adit-relay in {}", programs.display());
            }
        }
        let folder = std::env::temp_dir().join(format!("adit-demo-{}", std::process::id()));
        DirBuilder::new().mode(0o700).create(&folder).context("could not make a folder")?;
        Ok(Self { folder, programs })
    }

    /// Starts a relay and signs its first admin in. Gives its URL.
    async fn relay(&self, tell: fn(&str)) -> anyhow::Result<(Child, String)> {
        tell("▶ the relay");
        let (data, any) = (self.path("relay"), "127.0.0.1:0");
        let doors = ["--https", any, "--quic", any, "--ssh", any];
        let mut init = vec!["init", "--data", &data, "--domain", "localhost"];
        init.extend(doors);
        let setup = self.run("adit-relay", &init).await?;
        let config = format!("{data}/relay.toml");
        let relay = self.start("adit-relay", &["serve", "--config", &config])?;
        let url = format!("https://{}", self.door("https").await?);
        let token = self.keep("setup-token", &setup)?;
        self.run("adit", &["login", &url, "--token-file", &token]).await?;
        Ok((relay, url))
    }

    async fn connector(&self, url: &str, tell: fn(&str)) -> anyhow::Result<Child> {
        tell("▶ the connector");
        self.run("adit", &["admin", "site", "add", "demo"]).await?;
        let join = self.run("adit", &["admin", "site", "join-token", "demo"]).await?;
        let (token, state) = (self.keep("join-token", &join)?, self.path("connector"));
        // The targets are on its own loopback, which it dials only where its list says so.
        let allow = ["--allow", "127.0.0.1/32:*"];
        let mut arguments = vec!["join", url, "--token-file", &token, "--state", &state];
        arguments.extend(allow);
        self.run("adit-connector", &arguments).await?;
        self.start("adit-connector", &["run", "--state", &state])
    }

    /// Registers a target, and gives the command that reaches it with nothing but a token.
    async fn application(
        &self,
        url: &str,
        name: &str,
        kind: &str,
        address: &str,
    ) -> anyhow::Result<String> {
        let site = ["--site", "demo", "--kind", kind, "--address", address];
        self.run("adit", &[&["admin", "app", "add", name], site.as_slice()].concat()).await?;
        let grant = ["admin", "grant", "add", "--user", "admin", "--application", name];
        self.run("adit", &grant).await?;
        let issue = ["admin", "token", "issue", "--user", "admin", "--application", name];
        let often = ["--kind", "access", "--uses", "1000"];
        let token = self.run("adit", &[issue.as_slice(), &often].concat()).await?;
        let adit = self.programs.join("adit");
        let (first, verb) = if kind == "ssh" { ("", "ssh") } else { ("echo hello | ", "proxy") };
        Ok(format!("{first}ADIT_TOKEN={token} {} --relay {url} {verb} {name}", adit.display()))
    }

    /// The address of a door, once the relay has opened it.
    async fn door(&self, name: &str) -> anyhow::Result<String> {
        let file = self.folder.join("relay/ready.json");
        for _ in 0..READY_TRIES {
            if let Ok(text) = std::fs::read_to_string(&file) {
                let ready: serde_json::Value = serde_json::from_str(&text)?;
                return Ok(ready[name].as_str().context("the relay has no such door")?.to_owned());
            }
            sleep(LOOK_AGAIN).await;
        }
        bail!("the relay did not start; see {}", self.path("adit-relay.log"))
    }

    /// Runs a program to its end and gives what it wrote to stdout.
    async fn run(&self, name: &str, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = self.command(name, arguments);
        let done = timeout(STEP, command.output()).await.context(name.to_owned())??;
        if !done.status.success() {
            bail!("{name} {}: {}", arguments[0], String::from_utf8_lossy(&done.stderr).trim());
        }
        Ok(String::from_utf8(done.stdout)?.trim().to_owned())
    }

    fn start(&self, name: &str, arguments: &[&str]) -> anyhow::Result<Child> {
        let log = std::fs::File::create(self.folder.join(format!("{name}.log")))?;
        let mut command = self.command(name, arguments);
        command.stdout(Stdio::null()).stderr(log);
        command.spawn().with_context(|| format!("could not start {name}"))
    }

    fn command(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.programs.join(name));
        command.args(arguments).env("ADIT_HOME", self.folder.join("home"));
        for name in ["ADIT_RELAY", "ADIT_CA", "ADIT_TOKEN"] {
            command.env_remove(name);
        }
        // Ctrl-C reaches this program only, which then ends the others in their order.
        command.stdin(Stdio::null()).process_group(0).kill_on_drop(true);
        command
    }

    fn keep(&self, name: &str, text: &str) -> anyhow::Result<String> {
        std::fs::write(self.folder.join(name), text)?;
        Ok(self.path(name))
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).to_string_lossy().into_owned()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        remove(&self.folder);
    }
}

fn remove(folder: &Path) {
    if let Err(error) = std::fs::remove_dir_all(folder) {
        tracing::warn!(%error, folder = %folder.display(), "Could not remove the demo");
    }
}

/// Sends everything back.
async fn answer(listener: TcpListener) -> anyhow::Result<()> {
    let mut peers = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = peers.join_next() => {}
            accepted = listener.accept(), if peers.len() < MOST_PEERS => {
                let (mut socket, _) = accepted?;
                peers.spawn(async move {
                    let (mut from, mut to) = socket.split();
                    // A peer that breaks off has had its echo.
                    drop(tokio::io::copy(&mut from, &mut to).await);
                });
            }
        }
    }
}

async fn stopped() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => Ok(pressed?),
        _ = terminate.recv() => Ok(()),
    }
}

/// Asks a program to end, and ends it when it does not.
async fn end(mut child: Child) {
    let Some(id) = child.id() else { return };
    let asked = Command::new("kill").arg(id.to_string()).status().await;
    if asked.is_err() || timeout(FAREWELL, child.wait()).await.is_err() {
        drop(child.kill().await);
    }
}

const SSH: u16 = 22;
const MOST_PEERS: usize = 64;
const STEP: Duration = Duration::from_secs(30);
const READY_TRIES: u32 = 300;
const LOOK_AGAIN: Duration = Duration::from_millis(100);
const FAREWELL: Duration = Duration::from_secs(15);
