//! Reaching the relay by whichever way works, with the programs as they are shipped.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use testkit::{OwnNetwork, Path, Squid, eventually, free_udp_port};

use crate::support::{SOON, World};

#[test]
fn a_connector_whose_udp_is_cut_takes_sessions_within_three_seconds_and_climbs_back() -> Result<()>
{
    let mut world = World::start()?;
    let path = world.path()?;
    world.deployment.lead_by(0, path.port())?;
    world.wait_for("quic", SOON)?;
    world.deployment.login("alice")?;
    let (_tunnel, port) = world.deployment.tunnel("alice", "echo")?;
    let mut live: Vec<_> = (0..20).map(|_| Client::connect(port)).collect::<Result<_>>()?;

    path.faults().no_udp.store(true, Relaxed);
    let cut = Instant::now();
    // Opened on a way that is dead, and answered by the next one.
    let mut new = Client::connect(port)?;
    assert!(cut.elapsed() < Duration::from_secs(3), "{:?}", cut.elapsed());
    world.wait_for("tls", SOON)?;
    new.echo()?;

    path.faults().no_udp.store(false, Relaxed);
    let freed = Instant::now();
    world.wait_for("quic", Duration::from_secs(60))?;
    assert!(freed.elapsed() < Duration::from_secs(60), "{:?}", freed.elapsed());
    // What was opened over TLS goes on, and new sessions take the better way.
    new.echo()?;
    Client::connect(port)?.echo()?;
    // Those of before the cut ended or went on; none of them hangs.
    let ended = live.iter_mut().map(|client| client.echo().is_err()).filter(|ended| *ended).count();
    assert!(ended <= live.len());
    let rows = world.deployment.audit("connector.state")?;
    let by: Vec<_> = rows.iter().filter_map(|row| row["event"]["transport"].as_str()).collect();
    assert!(by.contains(&"quic") && by.contains(&"tls"), "{by:?}");
    let listed = world.deployment.admin_json(&["connector", "ls"])?;
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "{listed}");
    Ok(())
}

#[test]
fn the_relay_says_what_a_connector_finds_on_its_ways_and_anew_when_it_falls_back() -> Result<()> {
    let mut world = World::start()?;
    let path = world.path()?;
    world.deployment.lead_by(0, path.port())?;
    world.wait_for("quic", SOON)?;
    let deployment = &world.deployment;
    let told = || -> Option<serde_json::Value> {
        let told = deployment.admin_json(&["connector", "doctor", "hq-1"]).ok()?;
        (told["at"].is_u64()).then_some(told)
    };
    let of = |told: &serde_json::Value, check: &str| {
        let mut findings = told["findings"].as_array()?.iter();
        findings.find(|finding| finding["check"] == check).cloned()
    };
    let outcome = |check: &str| Some(of(&told()?, check)?["outcome"].as_str()?.to_owned());
    eventually(SOON, "it has looked", || outcome("quic").as_deref() == Some("good"))?;

    path.faults().no_udp.store(true, Relaxed);
    world.wait_for("tls", SOON)?;
    // Falling back is looked at without anybody asking.
    eventually(SOON, "QUIC is a warning", || outcome("quic").as_deref() == Some("warning"))?;
    let quic = of(&told().context("a report")?, "quic").context("a line")?;
    assert!(quic["fix"].as_str().is_some_and(|fix| fix.contains("let UDP out")), "{quic}");
    let rows = deployment.admin_json(&["connector", "ls"])?;
    assert_eq!((&rows[0]["doctor"], &rows[0]["transport"]), (&"warning".into(), &"tls".into()));
    let shown = deployment.admin(&["connector", "doctor", "hq-1", "--again"])?.ok()?;
    assert!(shown.contains("let UDP out to port"), "{shown}");
    let asked = deployment.audit("admin.changed")?;
    let check = |row: &&serde_json::Value| row["event"]["object"] == "connector hq-1";
    assert!(asked.iter().any(|row| check(&row)), "{asked:?}");
    Ok(())
}

#[test]
fn an_agent_whose_udp_is_cut_opens_sessions_within_three_seconds() -> Result<()> {
    let world = World::start()?;
    let path = world.path()?;
    world.deployment.login("alice")?;
    let login = world.deployment.home("alice").join("login.json");
    let doors = world.deployment.doors();
    let by = fs::read_to_string(&login)?
        .replace(&doors.https.to_string(), &path.port().to_string())
        .replace(&doors.quic.to_string(), &path.port().to_string());
    fs::write(&login, by)?;
    let mut agent = world.deployment.adit("alice");
    agent.env("ADIT_RELAY", format!("https://localhost:{}", path.port()));
    let (_tunnel, port) = world.deployment.tunnel_by(agent, "echo")?;
    Client::connect(port)?.echo()?;
    path.faults().no_udp.store(true, Relaxed);
    let cut = Instant::now();
    let mut new = Client::connect(port)?;
    assert!(cut.elapsed() < Duration::from_secs(3), "{:?}", cut.elapsed());
    new.echo()?;
    let kept = fs::read_to_string(world.deployment.home("alice").join("transport"))?;
    assert_eq!(kept, "tls");
    Ok(())
}

#[test]
fn a_connector_goes_through_squid_and_says_what_it_wants() -> Result<()> {
    let mut world = World::start()?;
    let open = Squid::start(None)?;
    world.lead_through(&open, "")?;
    world.wait_for("tls", SOON)?;
    assert_eq!(world.exec("web1", "echo through")?.ok()?, "through\n");

    let closed = Squid::start(Some(("ann", "s3cret")))?;
    world.lead_through(&closed, "")?;
    let connector = &mut world.deployment.connectors()[0].process;
    connector.wait_for_log("[proxy.credentials]", SOON)?;
    let findings = world.deployment.doctor(0)?;
    let findings = findings.as_array().context("a list")?;
    let of = |check: &str| findings.iter().find(|finding| finding["check"] == check).cloned();
    assert_eq!(of("name").context("name")?["outcome"], "good");
    assert_eq!(of("quic").context("quic")?["outcome"], "bad");
    let proxy = of("proxy").context("proxy")?;
    assert_eq!(proxy["code"], "proxy.credentials", "{proxy}");
    assert!(proxy["fix"].as_str().is_some_and(|fix| fix.contains("password")), "{proxy}");
    world.lead_through(&closed, "ann:s3cret@")?;
    world.wait_for("tls", SOON)?;
    let findings = world.deployment.doctor(0)?;
    let bad: Vec<_> = findings.as_array().context("a list")?.iter().collect();
    assert!(bad.iter().all(|finding| finding["outcome"] != "bad"), "{findings}");
    let log = world.deployment.connectors()[0].process.log();
    assert!(!log.contains("s3cret"), "the proxy's password was logged: {log}");
    Ok(())
}

#[test]
fn where_the_kernel_drops_udp_a_connector_is_there_within_three_seconds() -> Result<()> {
    // Without a network of its own the same is seen over a path of this process's.
    let network = OwnNetwork::enter().inspect_err(|error| eprintln!("{error:#}; by a path")).ok();
    let mut world = World::start()?;
    let quic = world.deployment.doors().quic;
    let path = world.path()?;
    match &network {
        Some(network) => network.drop_udp(quic)?,
        None => path.faults().no_udp.store(true, Relaxed),
    }
    let began = Instant::now();
    match network {
        Some(_) => world.deployment.reconfigure(0, str::to_owned)?,
        None => world.deployment.lead_by(0, path.port())?,
    }
    world.wait_for("tls", SOON)?;
    // With what stopping and starting it took.
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    let log = world.deployment.connectors()[0].process.log();
    assert!(log.contains("Connected"), "{log}");
    if let Some(network) = network {
        network.free()?;
        world.wait_for("quic", Duration::from_secs(60))?;
    }
    Ok(())
}

impl World {
    /// A path to the relay, on which UDP and TCP have the same port.
    fn path(&self) -> Result<Path> {
        let doors = self.deployment.doors();
        Path::to(([127, 0, 0, 1], doors.quic).into(), ([127, 0, 0, 1], doors.https).into())
    }

    /// Has the connector go through a proxy, and its UDP nowhere.
    fn lead_through(&mut self, squid: &Squid, credentials: &str) -> Result<()> {
        let (quic, dead) = (self.deployment.doors().quic, free_udp_port()?);
        let url = squid.url().replace("http://", &format!("http://{credentials}"));
        self.deployment.reconfigure(0, |text| {
            let own = text.lines().filter(|line| !line.starts_with("proxy = "));
            let own = own.collect::<Vec<_>>().join("\n");
            let own = own.replace(&format!("localhost:{quic}\""), &format!("localhost:{dead}\""));
            format!("proxy = {url:?}\n{own}\n")
        })
    }

    /// Waits until the relay lists the connector as connected by this transport.
    fn wait_for(&self, transport: &str, within: Duration) -> Result<()> {
        let by = || {
            let listed = self.deployment.admin_json(&["connector", "ls"]).unwrap_or_default();
            listed[0]["online"] == true && listed[0]["transport"] == transport
        };
        eventually(within, &format!("the connector is connected by {transport}"), by)
    }
}

/// Of the echo service, through a tunnel.
struct Client(TcpStream);

impl Client {
    /// A connection whose bytes have come back.
    fn connect(port: u16) -> Result<Self> {
        let socket = TcpStream::connect(("127.0.0.1", port))?;
        socket.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut client = Self(socket);
        client.echo().context("a new session")?;
        Ok(client)
    }

    fn echo(&mut self) -> Result<()> {
        self.0.write_all(b"hello")?;
        let mut back = [0; 5];
        self.0.read_exact(&mut back)?;
        anyhow::ensure!(&back == b"hello");
        Ok(())
    }
}
