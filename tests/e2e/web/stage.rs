//! A deployment with a Node application behind it, which `alice` may reach as `app`.

use std::process::Command;

use anyhow::Result;
use testkit::{Builder, Deployment, Process, free_port};

use crate::support::{SOON, application, grant};

pub(crate) struct Stage {
    pub(crate) deployment: Deployment,
    port: u16,
    _node: Process,
}

impl Stage {
    pub(crate) fn start() -> Result<Self> {
        let mut builder = Builder::new()?;
        // A wildcard below a single label is none to OpenSSL.
        builder.domain = "relay.localhost".to_owned();
        let deployment = builder.start()?;
        let (port, script) = (free_port()?, deployment.dir().join("app.js"));
        std::fs::write(&script, include_str!("app.js"))?;
        let mut command = Command::new("node");
        command.arg(script).arg(port.to_string());
        let mut node = Process::start("node", command, &deployment.dir().join("node.log"))?;
        node.wait_for_log("listening", SOON)?;
        let stage = Self { deployment, port, _node: node };
        stage.publish("app", &stage.address())?;
        stage.publish("other", &stage.address())?;
        Ok(stage)
    }

    /// An application that alice may reach with API tokens.
    pub(crate) fn publish(&self, name: &str, address: &str) -> Result<()> {
        let user = "[[user]]\nname = \"alice\"\n";
        let document = application(name, "web", address) + "allow_api = true\n";
        self.deployment.apply(&format!("{user}{document}{}", grant("alice", name)))?.ok()?;
        Ok(())
    }

    /// An API token of alice's for `app`; it takes the place of the last one.
    pub(crate) fn token(&self) -> Result<String> {
        self.deployment.token("alice", "app", &["--kind", "api"])
    }

    /// The application's own address.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Host and port of `app` at the relay.
    pub(crate) fn host(&self) -> String {
        self.host_of("app")
    }

    pub(crate) fn host_of(&self, name: &str) -> String {
        let (domain, port) = (self.deployment.domain(), self.deployment.doors().https);
        format!("{name}-{}.{domain}:{port}", Deployment::SITE)
    }

    pub(crate) fn url(&self, path: &str) -> String {
        self.url_of("app", path)
    }

    pub(crate) fn url_of(&self, name: &str, path: &str) -> String {
        format!("https://{}{path}", self.host_of(name))
    }

    /// Bytes that the open sessions have brought from the application.
    pub(crate) fn bytes_down(&self) -> u64 {
        let sessions = self.deployment.sessions().unwrap_or_default();
        sessions.iter().filter_map(|session| session["down"].as_u64()).sum()
    }

    /// curl for a path of `app`.
    pub(crate) fn curl(&self, path: &str) -> Command {
        self.anything(&self.url(path))
    }

    pub(crate) fn anything(&self, url: &str) -> Command {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--max-time", "30", "--cacert"]);
        curl.arg(self.deployment.ca_file()).arg(url);
        curl
    }
}
