//! Crowds and floods at the HTTPS port: what they cost, and who notices.

use std::fs::OpenOptions;
use std::net::{IpAddr, SocketAddr};

use testkit::resident;

use super::*;
use crate::web::raw::{Connection, Raw};
use crate::web::stage::Stage;

#[test]
fn strangers_at_every_stage_of_a_connection_keep_no_request_out() -> Result<()> {
    let mut stage = Stage::start()?;
    // So few places that the crowd takes each of them several times over.
    let file = stage.deployment.dir().join("relay").join("relay.toml");
    let lines = "\n[limits]\nmax_unauthenticated = 128\n";
    OpenOptions::new().append(true).open(file)?.write_all(lines.as_bytes())?;
    stage.deployment.relay().stop(SOON)?;
    stage.deployment.start_relay()?;
    let token = stage.token()?;
    eventually(SOON, "the connector is back", || honest(&stage, &token).is_ok())?;
    let quiet = slowest(&stage, &token, 10)?;
    let raw = Raw::new(&stage, "adit_nothing")?;
    let port = stage.deployment.doors().https;
    let mut silent = Vec::new();
    for number in 0..700_u16 {
        let mut stream = stranger(number, port)?;
        // Some say nothing; some half a record of TLS.
        if number % 2 == 1 {
            stream.write_all(b"\x16\x03\x01\x02\x00\x01")?;
        }
        silent.push(stream);
        if number % 100 == 50 {
            let busy = slowest(&stage, &token, 3)?;
            assert!(busy <= limit(quiet), "{number} strangers: {busy:?} instead of {quiet:?}");
        }
    }
    let mut shaken: Vec<Connection> = Vec::new();
    for number in 0..100 {
        let mut stream = raw.connect(SOON)?;
        // One after the handshake, one within a head.
        let said: &[u8] = if number % 2 == 0 { b"\r\n" } else { b"GET /page HTTP/1.1\r\nHost: x" };
        // The door may have had to make room already.
        if stream.write_all(said).is_ok() {
            shaken.push(stream);
        }
    }
    let busy = slowest(&stage, &token, 10)?;
    assert!(busy <= limit(quiet), "{busy:?} instead of {quiet:?}");
    stage.deployment.sessions().context("the API with the port crowded")?;
    assert!(shaken.len() > 50, "the crowd had no time to speak");
    drop((silent, shaken));
    Ok(())
}

#[test]
fn floods_of_http_2_frames_cost_bounded_memory_and_nobody_elses_time() -> Result<()> {
    let stage = Stage::start()?;
    let token = stage.token()?;
    let quiet = slowest(&stage, &token, 10)?;
    let before = resident(stage.deployment.relay_id())?;
    let (mut most, mut busy) = (before, Duration::ZERO);
    let outcomes = std::thread::scope(|scope| {
        let floods = scope.spawn(|| stage.h2("", "flood"));
        while !floods.is_finished() {
            busy = busy.max(honest(&stage, &token)?);
            most = most.max(resident(stage.deployment.relay_id())?);
        }
        floods.join().unwrap_or_else(|_| anyhow::bail!("the floods panicked"))
    })?;
    println!("{outcomes:#?}\nslowest {busy:?}, quiet {quiet:?}; {before} KiB grew to {most} KiB");
    anyhow::ensure!(outcomes.len() > 15, "{outcomes:?}");
    let left: Vec<_> = outcomes.iter().filter(|(_, outcome)| *outcome != "ended").collect();
    anyhow::ensure!(left.iter().all(|(name, _)| HARMLESS.contains(&name.as_str())), "{left:?}");
    anyhow::ensure!(most < before + 64 * 1024, "{before} KiB grew to {most} KiB");
    // Both processors are the flood's too.
    anyhow::ensure!(busy < (quiet * 4).max(Duration::from_secs(10)), "{busy:?}");
    Ok(())
}

/// How long a request takes that comes from an address of its own.
fn honest(stage: &Stage, token: &str) -> Result<Duration> {
    let started = Instant::now();
    let mut curl = stage.curl("/echo");
    curl.args(["--http2", "--interface", "127.0.0.7", "-f", "-H"]);
    run(curl.arg(format!("X-Adit-Key: {token}")), SOON)?.ok()?;
    Ok(started.elapsed())
}

fn slowest(stage: &Stage, token: &str, times: usize) -> Result<Duration> {
    let each = (0..times).map(|_| honest(stage, token)).collect::<Result<Vec<_>>>()?;
    each.into_iter().max().context("once at least")
}

/// Twice as long as in quiet; what a program takes to start on a busy machine is in it.
fn limit(quiet: Duration) -> Duration {
    (quiet * 2).max(Duration::from_secs(2))
}

/// A connection from one of two hundred addresses.
fn stranger(number: u16, port: u16) -> Result<TcpStream> {
    let host = u8::try_from(number % 200)? + 1;
    let from = SocketAddr::new(IpAddr::from([127, 0, 1, host]), 0);
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.bind(&from.into())?;
    socket.connect(&SocketAddr::from(([127, 0, 0, 1], port)).into())?;
    Ok(socket.into())
}

/// What a connection may go on after: it is answered or ignored, frame by frame, and nothing of it
/// is kept but, behind a window of zero, answers to as many requests as may be under way. One on
/// which nothing is asked ends after a minute, whatever else it sends.
const HARMLESS: [&str; 6] =
    ["header list", "ping", "priority", "settings", "unknown frames", "window of zero"];
