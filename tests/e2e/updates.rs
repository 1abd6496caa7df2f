//! Connectors that update themselves: published, fetched over the tunnel, and taken back.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use testkit::{Deployment, Output, Process, eventually, run};

use crate::support::{SOON, World};

#[test]
fn a_connector_drains_updates_itself_and_leaves_a_broken_version_alone() -> Result<()> {
    let mut fleet = Fleet::start()?;
    let (newer, broken) = (version('8'), version('9'));
    assert_eq!(fleet.update()?.status.code(), Some(1), "nothing is published");

    // A session that ends by itself while the connector drains.
    let token = fleet.world.token("web1")?;
    let mut ssh = fleet.world.ssh(&fleet.world.at("web1"), &token)?;
    ssh.arg("echo started; sleep 3; echo ended");
    let log = fleet.world.deployment.dir().join("client.log");
    let mut client = Process::start("ssh", ssh, &log)?;
    client.wait_for_log("started", SOON)?;
    let program = fleet.another_version(&newer)?;
    fleet.publish(&newer, &program)?;
    let output = fleet.update()?;
    let told = output.both();
    assert!(output.status.success(), "{told}");
    assert!(told.contains(" sessions go on"), "{told}");
    assert!(client.wait(SOON)?.success(), "{}", client.log());
    assert!(client.log().contains("ended"), "the session was cut: {}", client.log());
    fleet.runs(&newer)?;
    let process = fleet.world.deployment.connectors()[1].process.id();
    assert_eq!(fleet.world.exec("web1", "echo new")?.ok()?, "new\n");

    // One that says it is well and never reaches the relay.
    let script = format!(
        "#!/bin/sh\ncase $1 in\n--version) echo adit-connector {broken};;\nself-test) ;;\n\
         *) exec sleep 60;;\nesac\n"
    );
    let program = fleet.folder().join("broken");
    fs::write(&program, script)?;
    fleet.publish(&broken, &program)?;
    let output = fleet.update()?;
    assert_eq!(output.status.code(), Some(1), "{}", output.both());
    assert!(output.both().contains("update.unreached"), "{}", output.both());
    fleet.runs(&newer)?;
    assert_eq!(fleet.world.deployment.connectors()[1].process.id(), process);
    // Its connection had told the relay that it takes no more; another one takes them.
    eventually(SOON, "a session by the version that is back", || {
        fleet.world.exec("web1", "echo still").is_ok_and(|output| output.text() == "still\n")
    })?;
    let again = fleet.update()?;
    assert!(again.both().contains("was tried before"), "{}", again.both());
    let left: Vec<_> = fs::read_dir(fleet.program.parent().context("a folder")?)?
        .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
        .collect();
    assert!(!left.iter().any(|name| name.ends_with(".next")), "{left:?}");
    Ok(())
}

#[test]
fn a_connector_of_the_systems_packages_says_which_command_updates_it() -> Result<()> {
    let fleet = Fleet::start()?;
    let newer = version('8');
    let program = fleet.another_version(&newer)?;
    fleet.publish(&newer, &program)?;
    let marker = fleet.program.with_file_name("adit-connector.installed-by");
    fs::write(marker, "podman pull registry.example/adit-connector\n")?;
    let output = fleet.update()?;
    assert_eq!(output.status.code(), Some(1), "{}", output.both());
    let told = output.both();
    assert!(told.contains("update.packaged"), "{told}");
    assert!(told.contains("podman pull registry.example/adit-connector"), "{told}");
    Ok(())
}

/// A deployment whose second connector runs from a folder of its own and knows a publisher.
struct Fleet {
    world: World,
    key: PathBuf,
    state: PathBuf,
    program: PathBuf,
}

impl Fleet {
    fn start() -> Result<Self> {
        let mut world = World::start()?;
        let dir = world.deployment.dir().to_owned();
        let key = dir.join("publisher.pem");
        let mut keygen = relay(&["update", "keygen", "--out"])?;
        let public = run(keygen.arg(&key), SOON)?.ok()?;
        let file = dir.join("relay/relay.toml");
        let settings = format!("\n[updates]\nfolder = \"updates\"\nkey = {:?}\n", public.trim());
        fs::write(&file, fs::read_to_string(&file)? + &settings)?;
        world.deployment.restart_relay()?;
        world.deployment.join(Deployment::SITE, "self", &["127.0.0.1/32:*".to_owned()])?;
        for index in [0, 1] {
            world.deployment.connectors()[index].process.stop(SOON)?;
        }
        let state = world.deployment.connectors()[1].state.clone();
        let config = state.join("connector.toml");
        let text = fs::read_to_string(&config)?;
        assert!(text.contains(public.trim()), "joining did not tell the key:\n{text}");
        fs::write(&config, text.replace("[update]\n", "[update]\nreach = \"3s\"\n"))?;
        let program = dir.join("program/adit-connector");
        fs::create_dir(program.with_file_name(""))?;
        fs::copy(testkit::bin_dir()?.join("adit-connector"), &program)?;
        let mut fleet = Self { world, key, state, program };
        fleet.run()?;
        Ok(fleet)
    }

    fn run(&mut self) -> Result<()> {
        let mut command = Command::new(&self.program);
        command.arg("run").arg("--state").arg(&self.state);
        let log = self.world.deployment.dir().join("self.log");
        let process = Process::start("connector self", command, &log)?;
        self.world.deployment.connectors()[1].process = process;
        self.world.deployment.wait_for_connectors(1)
    }

    fn folder(&self) -> &Path {
        self.world.deployment.dir()
    }

    /// The program as it would be of another version: the text that says which it is, exchanged for
    /// one of the same length.
    fn another_version(&self, version: &str) -> Result<PathBuf> {
        let mut bytes = fs::read(&self.program)?;
        let said = format!("adit-connector {}", env!("CARGO_PKG_VERSION"));
        let says = format!("adit-connector {version}");
        anyhow::ensure!(said.len() == says.len(), "{said:?} and {says:?} differ in length");
        let mut place = 0;
        while let Some(found) =
            bytes[place..].windows(said.len()).position(|window| window == said.as_bytes())
        {
            place += found;
            bytes[place..place + said.len()].copy_from_slice(says.as_bytes());
        }
        anyhow::ensure!(place > 0, "the program does not say its version");
        let path = self.folder().join(format!("adit-connector-{version}"));
        fs::write(&path, bytes)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        Ok(path)
    }

    fn publish(&self, version: &str, program: &Path) -> Result<()> {
        let platform = format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS);
        let mut publish = relay(&["update", "publish", "--ring", "all", "--version", version])?;
        publish
            .arg("--key")
            .arg(&self.key)
            .arg("--folder")
            .arg(self.folder().join("relay/updates"));
        publish.arg("--file").arg(format!("{platform}={}", program.display()));
        run(&mut publish, SOON)?.ok().map(drop)
    }

    fn update(&self) -> Result<Output> {
        let mut update = Command::new(&self.program);
        update.args(["update", "--within", "30s", "--state"]).arg(&self.state);
        run(&mut update, SOON)
    }

    /// Waits until the relay lists the connector with this version.
    fn runs(&self, version: &str) -> Result<()> {
        let wanted = format!("adit-connector {version}");
        eventually(SOON, "the relay has the connector in its new version", || {
            let listed = self.world.deployment.admin_json(&["connector", "ls"]).unwrap_or_default();
            let rows = listed.as_array().cloned().unwrap_or_default();
            rows.iter().any(|row| row["version"] == wanted && row["online"] == true)
        })
    }
}

fn relay(args: &[&str]) -> Result<Command> {
    let mut command = Command::new(testkit::bin_dir()?.join("adit-relay"));
    command.args(args);
    Ok(command)
}

/// This version with another first digit, which makes it a later one.
fn version(first: char) -> String {
    let this = env!("CARGO_PKG_VERSION");
    format!("{first}{}", &this[1..])
}
