//! Bytes that no honest client sends: each ends in an error or a close, with no login, and others are
//! served as before. The cases are those of `pg_attacks.py`, and our own.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use testkit::{eventually, free_port};

use super::{SOON, Stage, resident};

#[test]
fn bad_input_gets_in_nowhere_and_costs_nothing() -> Result<()> {
    let mut stage = Stage::start()?;
    let port = plain_door(&mut stage)?;
    let token = stage.token("alice")?;
    let before = resident(stage.deployment.relay_id())?;
    let mut cases = before_login();
    cases.extend(instead_of_a_password());
    let tried = cases.len();
    for (name, bytes) in cases {
        let answer = send(port, &bytes).with_context(|| name.clone())?;
        ensure!(!is_logged_in(&answer), "{name} logs in: {answer:?}");
        ensure!(!has_rows(&answer), "{name} is given rows");
    }
    for (name, bytes) in over_tls_port() {
        let answer = send(stage.port(), &bytes).with_context(|| name.clone())?;
        ensure!(!is_logged_in(&answer), "{name} logs in: {answer:?}");
    }
    for (name, bytes, cut) in after_login() {
        let mut client = log_in(port, &token).with_context(|| name.to_owned())?;
        client.write_all(&bytes)?;
        let answer = drain(&mut client, if cut { LIMIT } else { Duration::from_millis(300) });
        let text = String::from_utf8_lossy(&answer.bytes).into_owned();
        if cut {
            ensure!(answer.closed, "{name} goes on: {text}");
            ensure!(
                text.contains("protocol.violation") && text.contains("FATAL"),
                "{name}: {text}"
            );
        } else {
            client.write_all(&message(b'Q', b"select 4711\0"))?;
            let rest = drain(&mut client, Duration::from_millis(500));
            let text = String::from_utf8_lossy(&rest.bytes).into_owned();
            ensure!(text.contains("4711"), "{name} is cut: {text}");
        }
    }
    assert_eq!(stage.sql(&token, "select 1")?.ok()?.trim(), "1");
    let grown = resident(stage.deployment.relay_id())?.saturating_sub(before);
    assert!(grown < 64 * 1024, "{grown} KiB more after {tried} cases");
    // What was cut has its end in the books, and nothing of it is open.
    eventually(SOON, "no session is open", || {
        stage.deployment.sessions().is_ok_and(|s| s.is_empty())
    })?;
    // What was wrong is on record too.
    let noted = stage.deployment.audit("session.action")?;
    let wrong = |row: &serde_json::Value| row["event"]["what"] == "protocol.violation";
    assert!(noted.iter().any(wrong), "{noted:?}");
    let ended = stage.deployment.audit("session.ended")?;
    assert!(
        ended
            .iter()
            .any(|row| row["event"]["reason"] == "broken" && row["event"]["side"] == "client")
    );
    Ok(())
}

/// Who says goodbye has ended its session, though the server closes first.
#[test]
fn a_goodbye_is_the_clients_end_whoever_closes_first() -> Result<()> {
    let mut stage = Stage::start()?;
    let port = plain_door(&mut stage)?;
    let token = stage.token("alice")?;
    let mut client = log_in(port, &token)?;
    client.write_all(&message(b'X', b""))?;
    ensure!(drain(&mut client, LIMIT).closed, "the server does not close");
    drop(client);
    eventually(SOON, "its end is in the books", || {
        stage.deployment.audit("session.ended").is_ok_and(|ended| ended.len() == 1)
    })?;
    let ended = &stage.deployment.audit("session.ended")?[0]["event"];
    assert_eq!((&ended["reason"], &ended["side"]), (&"closed".into(), &"client".into()));
    Ok(())
}

/// Gives the relay a door of its own, in the clear.
pub(super) fn plain_door(stage: &mut Stage) -> Result<u16> {
    let port = free_port()?;
    let door = format!("postgres = \"127.0.0.1:{port}\"\npostgres_tls = \"optional\"");
    stage.deployment.add_listen(&door)?;
    stage.deployment.restart_relay()?;
    Ok(port)
}

fn before_login() -> Vec<(String, Vec<u8>)> {
    let mut cases: Vec<(String, Vec<u8>)> =
        [0_u32, 1, 3, 4, 7, 8, 0x7fff_ffff, 0x8000_0000, u32::MAX, 1 << 30]
            .into_iter()
            .map(|length| {
                let rest = [&196_608_u32.to_be_bytes()[..], b"user\0x\0\0"].concat();
                (
                    format!("a startup of length {length}"),
                    [&length.to_be_bytes()[..], &rest].concat(),
                )
            })
            .collect();
    let start = startup(&[("user", "x"), ("database", "orders")]);
    let mut many = vec![("user", "x")];
    many.extend(std::iter::repeat_n(("k", "v"), 3000));
    let query = message(b'Q', b"select 1\0");
    let more: [(&str, Vec<u8>); 18] = [
        ("a startup without a user", startup(&[("database", "x")])),
        ("a startup with thousands of settings", startup(&many)),
        ("a startup that does not end", start[..start.len() - 1].to_vec()),
        ("options of nothing", startup(&[("user", "x"), ("options", "-c=")])),
        ("replication", startup(&[("user", "x"), ("replication", "database")])),
        ("a user with control characters", startup(&[("user", "a\nFATAL\x1b]0;x\x07")])),
        ("protocol 3.9999", packet(196_608 + 9999, b"user\0x\0\0")),
        ("protocol 2.0", packet(131_072, &[0; 288])),
        ("protocol 4.0", packet(4 << 16, b"user\0x\0\0")),
        ("GSS encryption twice", [packet(80_877_104, b""), packet(80_877_104, b"")].concat()),
        ("GSS encryption, then a startup", [packet(80_877_104, b""), start.clone()].concat()),
        ("a request for TLS with a body", packet(80_877_103, b"xxxx")),
        ("a guessed key", packet(80_877_102, &[0, 0, 0, 1, 0, 0, 0, 1])),
        ("a key of 4 KiB", packet(80_877_102, &[7; 4096])),
        ("a key that is no key", packet(80_877_102, &[0, 0, 0, 1])),
        ("a query at once", [start.clone(), query].concat()),
        ("a password before all", message(b'p', b"x")),
        ("two startups", [start.clone(), startup(&[("user", "admin")])].concat()),
    ];
    cases.extend(more.map(|(name, bytes)| (name.to_owned(), bytes)));
    cases
}

fn instead_of_a_password() -> Vec<(String, Vec<u8>)> {
    let start = startup(&[("user", "x"), ("database", "orders")]);
    let sasl = |length: u32, text: &[u8]| {
        message(b'p', &[b"SCRAM-SHA-256\0", &length.to_be_bytes()[..], text].concat())
    };
    let long = [b"n,,n=,r=".to_vec(), vec![b'a'; 60_002]].concat();
    let answers: [(&str, Vec<u8>); 10] = [
        ("a mechanism nobody asked for", sasl(4, b"n,,n")),
        ("a response of length -1", sasl(u32::MAX, b"")),
        ("a response of length 2^31-1", sasl(0x7fff_ffff, b"n,,")),
        ("a nonce of 60,000 bytes", sasl(60_010, &long)),
        (
            "a password of a gigabyte",
            [&[b'p'][..], &(1_u32 << 30).to_be_bytes(), &[7; 1000]].concat(),
        ),
        ("a password that does not end", message(b'p', b"x")),
        ("no password", message(b'p', b"\0")),
        ("a query for a password", message(b'Q', b"select 1\0")),
        ("a goodbye for a password", message(b'X', b"")),
        ("a password with a zero length", [&[b'p'][..], &0_u32.to_be_bytes()].concat()),
    ];
    let with = |(name, bytes): (&str, Vec<u8>)| (name.to_owned(), [start.clone(), bytes].concat());
    answers.map(with).into_iter().collect()
}

/// At a door where TLS is required.
fn over_tls_port() -> Vec<(String, Vec<u8>)> {
    let tls = packet(80_877_103, b"");
    let start = startup(&[("user", "x"), ("database", "orders")]);
    let query = message(b'Q', b"select 1\0");
    let cases: [(&str, Vec<u8>); 4] = [
        (
            "a startup in the clear behind a request for TLS",
            [tls.clone(), start.clone(), query].concat(),
        ),
        ("a thousand requests for TLS", tls.repeat(1000)),
        ("a startup in the clear", start),
        ("zeros", vec![0; 4096]),
    ];
    cases.map(|(name, bytes)| (name.to_owned(), bytes)).into_iter().collect()
}

/// What is sent by who is in, and whether that is cut.
fn after_login() -> Vec<(&'static str, Vec<u8>, bool)> {
    let head = |kind: u8, length: u32| {
        [&[kind][..], &length.to_be_bytes(), b"xxxxxxxxxxxxxxxxxxxx"].concat()
    };
    let sync = message(b'S', b"");
    vec![
        ("a length of 0", head(b'Q', 0), true),
        ("a length of 3", head(b'Q', 3), true),
        ("a length of 2^32-1", head(b'Q', u32::MAX), true),
        ("a length of 2^31", head(b'Q', 1 << 31), true),
        ("a type of 0xff", head(0xff, 8), true),
        ("a Sync of a megabyte", head(b'S', 1 << 20), true),
        ("a password", message(b'p', b"x\0"), true),
        ("a startup", startup(&[("user", "admin")]), true),
        ("a request for TLS", packet(80_877_103, b""), true),
        (
            "a Bind of many values that are not there",
            [message(b'B', b"\0\0\0\0\xff\xff"), sync.clone()].concat(),
            false,
        ),
        (
            "a Bind of a value of 2^31-1 bytes",
            [message(b'B', b"\0\0\0\0\0\x01\x7f\xff\xff\xff"), sync.clone()].concat(),
            false,
        ),
        ("a Parse that does not end", [message(b'P', b"aaaa"), sync.clone()].concat(), true),
        ("data out of place", message(b'd', b"x").repeat(1000), false),
        ("an end of data out of place", message(b'c', b"").repeat(1000), false),
        ("a function call of nothing", message(b'F', b"\0\0\0\x01\0\0\0\0\0\0"), false),
        (
            "a query among data",
            [message(b'Q', b"copy orders from stdin\0"), message(b'Q', b"select 1\0")].concat(),
            true,
        ),
    ]
}

fn log_in(port: u16, token: &str) -> Result<TcpStream> {
    let mut client = TcpStream::connect(("127.0.0.1", port))?;
    client.write_all(&startup(&[("user", "x"), ("database", "orders")]))?;
    client.write_all(&message(b'p', &[token.as_bytes(), b"\0"].concat()))?;
    let mut seen = Vec::new();
    client.set_read_timeout(Some(LIMIT))?;
    while !seen.ends_with(b"Z\0\0\0\x05I") {
        let mut bytes = [0; 4096];
        let count = client.read(&mut bytes)?;
        ensure!(count > 0, "no login: {}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&bytes[..count]);
    }
    Ok(client)
}

struct Answer {
    bytes: Vec<u8>,
    closed: bool,
}

fn send(port: u16, bytes: &[u8]) -> Result<Vec<u8>> {
    let mut client = TcpStream::connect(("127.0.0.1", port))?;
    // It may be cut before all of it is sent.
    drop(client.write_all(bytes));
    drop(client.shutdown(std::net::Shutdown::Write));
    let answer = drain(&mut client, LIMIT);
    ensure!(answer.closed, "it is still open");
    Ok(answer.bytes)
}

fn drain(client: &mut TcpStream, limit: Duration) -> Answer {
    let (started, mut bytes, mut piece) = (Instant::now(), Vec::new(), [0; 65_536]);
    while let Some(left) = limit.checked_sub(started.elapsed()).filter(|left| !left.is_zero()) {
        drop(client.set_read_timeout(Some(left)));
        match client.read(&mut piece) {
            Ok(0) => return Answer { bytes, closed: true },
            Ok(count) => bytes.extend_from_slice(&piece[..count]),
            Err(error) => {
                let waits = [std::io::ErrorKind::WouldBlock, std::io::ErrorKind::TimedOut];
                return Answer { bytes, closed: !waits.contains(&error.kind()) };
            }
        }
    }
    Answer { bytes, closed: false }
}

/// AuthenticationOk, where a message begins.
fn is_logged_in(answer: &[u8]) -> bool {
    messages(answer).any(|(kind, body)| kind == b'R' && body.starts_with(&[0; 4]))
}

fn has_rows(answer: &[u8]) -> bool {
    messages(answer).any(|(kind, _)| kind == b'D')
}

fn messages(mut bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let (head, rest) = bytes.split_first_chunk::<5>()?;
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
        let length = usize::try_from(length.checked_sub(4)?).ok()?;
        let body = rest.get(..length)?;
        bytes = &rest[length..];
        Some((head[0], body))
    })
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
    [&[kind][..], &length.to_be_bytes(), body].concat()
}

fn packet(version: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 8).unwrap_or(u32::MAX);
    [&length.to_be_bytes()[..], &version.to_be_bytes(), body].concat()
}

fn startup(settings: &[(&str, &str)]) -> Vec<u8> {
    let pairs =
        settings.iter().flat_map(|(name, value)| [name.as_bytes(), b"\0", value.as_bytes(), b"\0"]);
    let body: Vec<u8> = pairs.flatten().copied().chain([0]).collect();
    packet(196_608, &body)
}

/// How long a case may take; the time to show a token is longer.
const LIMIT: Duration = Duration::from_secs(20);
