//! Two relays on one database at the same time: whoever comes to one of them has all there is.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::Value;
use testkit::{
    Builder, Database, Deployment, Process, Sshd, SshdOptions, eventually, free_port, run, until,
};

use crate::support::{SOON, World, application, grant};
use crate::takeover::{Standby, also, move_to};

#[test]
fn two_relays_are_one_to_whoever_comes_to_either_and_one_goes_on_when_the_other_is_killed()
-> Result<()> {
    let mut builder = Builder::new()?;
    // A wildcard below a single label is none to OpenSSL.
    builder.domain = "relay.localhost".to_owned();
    let mut world = World::on(builder.start()?, Sshd::start_with(SshdOptions::default())?)?;
    let origin = Origin::start(&world)?;
    let web = application("app", "web", &origin.address) + "allow_api = true\n";
    world.deployment.apply(&(web + &grant("alice", "app")))?.ok()?;
    let database = Database::create()?;
    world.deployment.login("alice")?;
    move_to(&mut world, &database.url())?;
    let two = Standby::of(&world)?;
    several(&world, &two, |_| String::new())?;
    world.deployment.start_relay()?;
    let log = world.deployment.dir().join("two.log");
    let mut other = Process::start("two", two.serve()?, &log)?;
    other.wait_for_log("Ready", SOON)?;
    let twin = run(&mut two.serve()?, SOON)?;
    assert!(twin.both().contains("store.name_taken"), "{}", twin.both());

    // The connector knows the second relay only; people come to the first.
    let doors = world.deployment.doors();
    world.deployment.reconfigure(0, |text| {
        let text = text.replace(&format!(":{}\"", doors.https), &format!(":{}\"", two.https));
        text.replace(&format!(":{}\"", doors.quic), &format!(":{}\"", two.quic))
    })?;
    let at_two = until(SOON, "the connector is at the second relay", || {
        let listed = world.deployment.admin_json(&["connector", "ls"]).ok()?;
        (listed[0]["relays"] == serde_json::json!(["two"])).then_some(listed)
    });
    at_two.with_context(|| fs::read_to_string(&log).unwrap_or_default())?;
    assert_eq!(world.exec("web1", "echo through both")?.ok()?, "through both\n");
    let (_tunnel, port) = world.deployment.tunnel("alice", "echo")?;
    let mut through = TcpStream::connect(("127.0.0.1", port))?;
    says_back(&mut through, b"by the agent")?;
    let key = world.deployment.token("alice", "app", &["--kind", "api"])?;
    assert_eq!(run(&mut curl(&world, &key), SOON)?.ok()?, Origin::SAYS);

    // A session at the second is seen and ended at the first.
    let token = world.token("web1")?;
    let mut there = at(&world, &two, &token)?;
    let began = Instant::now();
    let killed = world.deployment.admin(&["session", "kill", &there.id])?.ok()?;
    there.client.wait(SOON)?;
    println!("ended from elsewhere after {:?}: {killed}", began.elapsed());
    let receipts = world.deployment.audit("access.withdrawn")?;
    let receipt = receipts.last().context("a receipt")?;
    assert_eq!(receipt["event"]["object"], format!("session {}", there.id));
    assert_eq!(receipt["event"]["ended"], 1, "{receipt}");
    assert!(receipt["event"]["millis"].as_u64() < Some(1000), "{receipt}");

    // The second dies; what it had is booked, and the connector is at the first.
    let also = also(doors.https, doors.quic);
    drop(through);
    world.deployment.reconfigure(0, |text| text.to_owned() + &also)?;
    eventually(SOON, "the connector is at both", || {
        let listed = world.deployment.admin_json(&["connector", "ls"]);
        listed.is_ok_and(|listed| listed[0]["relays"] == serde_json::json!(["one", "two"]))
    })?;
    let (_tunnel, port) = world.deployment.tunnel("alice", "echo")?;
    let mut kept = TcpStream::connect(("127.0.0.1", port))?;
    says_back(&mut kept, b"before")?;
    let lost = at(&world, &two, &token)?;
    other.kill();
    let killed = Instant::now();
    assert_eq!(world.exec("web1", "echo still")?.ok()?, "still\n");
    println!("a session by the relay that is left after {:?}", killed.elapsed());
    let booked = until(SOON, "what the killed relay had is booked", || {
        let ended = world.deployment.audit("session.ended").ok()?;
        ended.into_iter().find(|row| row["session"] == lost.id.as_str())
    })?;
    println!("booked after {:?}", killed.elapsed());
    assert_eq!(booked["event"]["reason"], "abandoned", "{booked}");
    says_back(&mut kept, b"after").context("the other relay's own session goes on")?;
    let rows = world.deployment.audit("session.ended")?;
    let abandoned = rows.iter().filter(|row| row["event"]["reason"] == "abandoned");
    assert_eq!(abandoned.count(), 1);
    world.deployment.relay().stop(SOON)?;
    let verified = world.deployment.verify_offline(&[])?;
    assert!(verified.status.success(), "{}", verified.both());
    Ok(())
}

#[test]
fn a_connector_that_names_one_relay_goes_on_by_another_one_when_that_is_killed() -> Result<()> {
    let (mut world, database) = (World::start()?, Database::create()?);
    move_to(&mut world, &database.url())?;
    let two = Standby::of(&world)?;
    let https = [world.deployment.doors().https, two.https];
    several(&world, &two, |place| {
        format!("connectors = \"https://127.0.0.1:{}\"\n", https[place])
    })?;
    world.deployment.start_relay()?;
    let log = world.deployment.dir().join("two.log");
    let mut other = Process::start("two", two.serve()?, &log)?;
    other.wait_for_log("Ready", SOON)?;
    let learned = until(SOON, "the connector is at both", || {
        let listed = world.deployment.admin_json(&["connector", "ls"]).ok()?;
        (listed[0]["relays"] == serde_json::json!(["one", "two"])).then_some(listed)
    });
    let learned = learned.with_context(|| fs::read_to_string(&log).unwrap_or_default())?;
    assert_eq!(learned[0]["cloned"], Value::Null, "both are one process's: {learned}");
    let state = world.deployment.connectors()[0].state.clone();
    let relays = || -> Result<Value> {
        let mut status = Command::new(testkit::bin_dir()?.join("adit-connector"));
        status.args(["status", "--json", "--state"]).arg(&state);
        Ok(serde_json::from_slice::<Value>(&run(&mut status, SOON)?.stdout)?["status"].take())
    };
    let shown = relays()?;
    // The first is reached by its own name, so the one that it is told by is not dialled too.
    assert_eq!(shown["relays"].as_array().map(Vec::len), Some(2), "{shown}");
    assert_eq!(shown["relays"][1]["told"], true, "{shown}");

    let token = world.token("web1")?;
    world.deployment.relay().kill();
    let killed = Instant::now();
    by(&world, &two, &token)?;
    let took = killed.elapsed();
    println!("a session by the relay that is left after {took:?}");
    assert!(took < Duration::from_secs(10), "{took:?}");

    // It starts anew while the relay that it names is still gone.
    world.deployment.connectors()[0].process.kill();
    world.deployment.start_connector(0)?;
    let started = Instant::now();
    eventually(SOON, "the connector has found the other relay again", || {
        relays().is_ok_and(|shown| shown["state"] == "connected")
    })?;
    by(&world, &two, &token)?;
    println!("the same after a start of the connector after {:?}", started.elapsed());

    // One that is taken away in order is forgotten.
    other.stop(SOON)?;
    world.deployment.start_relay()?;
    eventually(SOON, "only its own is left", || {
        relays().is_ok_and(|shown| shown["relays"].as_array().map(Vec::len) == Some(1))
    })
    .with_context(|| format!("{:?}", relays()))
}

/// Makes both relays of the world one of several, with further lines of `[cluster]`.
fn several(world: &World, two: &Standby, more: impl Fn(usize) -> String) -> Result<()> {
    let one = world.deployment.dir().join("relay/relay.toml");
    for (place, (config, name)) in [(&one, "one"), (&two.config, "two")].into_iter().enumerate() {
        let cluster = format!("\n[cluster]\nname = {name:?}\nhost = \"127.0.0.1\"\n");
        fs::write(config, fs::read_to_string(config)? + &cluster + &more(place))?;
    }
    Ok(())
}

/// A session at `web1` by the second relay, as soon as there is one.
fn by(world: &World, two: &Standby, token: &str) -> Result<()> {
    until(SOON, "a session by the second relay", || {
        let mut ssh = world.openssh("ssh", token).ok()?;
        ssh.args(["-p", &two.ssh.to_string(), &format!("{}@127.0.0.1", world.at("web1"))]);
        let output = run(ssh.arg("echo by two"), SOON).ok()?;
        (output.text() == "by two\n").then_some(())
    })
}

/// A web server that has one file.
struct Origin {
    address: String,
    _process: Process,
}

impl Origin {
    const SAYS: &str = "from the origin\n";

    fn start(world: &World) -> Result<Self> {
        let (port, root) = (free_port()?, world.deployment.dir().join("origin"));
        fs::create_dir(&root)?;
        fs::write(root.join("file"), Self::SAYS)?;
        let mut server = Command::new("python3");
        server.args(["-u", "-m", "http.server", "--bind", "127.0.0.1", "--directory"]);
        server.arg(root).arg(port.to_string());
        let log = world.deployment.dir().join("origin.log");
        let mut process = Process::start("the origin", server, &log)?;
        process.wait_for_log("Serving", SOON)?;
        Ok(Self { address: format!("127.0.0.1:{port}"), _process: process })
    }
}

/// Asks the first relay's web door for the origin's file.
fn curl(world: &World, key: &str) -> Command {
    let (deployment, port) = (&world.deployment, world.deployment.doors().https);
    let host = format!("app-{}.{}", Deployment::SITE, deployment.domain());
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--fail-with-body", "--max-time", "30", "--cacert"]);
    curl.arg(deployment.ca_file()).args(["--resolve", &format!("{host}:{port}:127.0.0.1")]);
    curl.args(["-H", &format!("X-Adit-Key: {key}"), &format!("https://{host}:{port}/file")]);
    curl
}

/// A shell at the second relay that stays.
struct There {
    client: Process,
    id: String,
}

fn at(world: &World, two: &Standby, token: &str) -> Result<There> {
    let before = ids(world)?;
    let mut ssh = world.openssh("ssh", token)?;
    ssh.args(["-p", &two.ssh.to_string(), &format!("{}@127.0.0.1", world.at("web1"))]);
    ssh.arg("sleep 600");
    let log = world.deployment.dir().join(format!("there-{}.log", before.len()));
    let client = Process::start("ssh at the second relay", ssh, &log)?;
    let id = until(SOON, "a session at the second relay", || {
        let sessions = world.deployment.sessions().ok()?;
        let new = |row: &&Value| row["relay"] == "two" && !before.contains(&id_of(row));
        sessions.iter().find(new).map(id_of)
    });
    let id = id.with_context(|| fs::read_to_string(&log).unwrap_or_default())?;
    Ok(There { client, id })
}

fn ids(world: &World) -> Result<Vec<String>> {
    Ok(world.deployment.sessions()?.iter().map(id_of).collect())
}

fn id_of(row: &Value) -> String {
    row["id"].as_str().unwrap_or_default().to_owned()
}

fn says_back(stream: &mut TcpStream, what: &[u8]) -> Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(15)))?;
    stream.write_all(what)?;
    let mut back = vec![0; what.len()];
    stream.read_exact(&mut back)?;
    anyhow::ensure!(back == what, "other bytes");
    Ok(())
}
