//! Two relays on one database at the same time: whoever comes to one of them has all there is.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::Value;
use testkit::{Database, Process, eventually, run, until};

use crate::support::{SOON, World};
use crate::takeover::{Standby, also, move_to};

#[test]
fn two_relays_are_one_to_whoever_comes_to_either_and_one_goes_on_when_the_other_is_killed()
-> Result<()> {
    let (mut world, database) = (World::start()?, Database::create()?);
    world.deployment.login("alice")?;
    move_to(&mut world, &database.url())?;
    let two = Standby::of(&world)?;
    let one = world.deployment.dir().join("relay/relay.toml");
    for (config, name) in [(&one, "one"), (&two.config, "two")] {
        let cluster = format!("\n[cluster]\nname = {name:?}\nhost = \"127.0.0.1\"\n");
        fs::write(config, fs::read_to_string(config)? + &cluster)?;
    }
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
