//! Bytes that no honest client sends: each ends in an error or a close, with no login, and others are
//! served as before. A hostile server's bytes are cut as well.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use testkit::eventually;

use super::{SOON, Stage, resident};
use crate::support::{application, grant};

#[test]
fn bad_input_gets_in_nowhere_and_costs_nothing() -> Result<()> {
    let stage = Stage::with("mysql_tls = \"optional\"\n")?;
    let (port, token) = (stage.port(), stage.token("alice")?);
    let before = resident(stage.deployment.relay_id())?;
    let mut cases = before_login();
    cases.extend(instead_of_a_password());
    let after = after_login();
    assert!(cases.len() + after.len() >= 60, "{} cases", cases.len() + after.len());
    for (name, bytes) in cases {
        let answer = send(port, &bytes).with_context(|| name.clone())?;
        ensure!(!is_logged_in(&answer), "{name} logs in: {answer:?}");
    }
    for (name, bytes, cut) in after {
        let mut client = log_in(port, &token).with_context(|| name.to_owned())?;
        client.write_all(&bytes)?;
        let answer = drain(&mut client, if cut { LIMIT } else { Duration::from_millis(300) });
        let text = String::from_utf8_lossy(&answer.bytes).into_owned();
        if cut {
            ensure!(answer.closed, "{name} goes on: {text}");
            ensure!(text.contains("protocol.violation"), "{name}: {text}");
        } else {
            client.write_all(&packet(0, b"\x03select 4711"))?;
            let rest = drain(&mut client, Duration::from_millis(700));
            let text = String::from_utf8_lossy(&rest.bytes).into_owned();
            ensure!(text.contains("4711"), "{name} is cut: {text}");
        }
    }
    assert_eq!(stage.sql(&token, "select 1")?.ok()?.trim(), "1");
    let grown = resident(stage.deployment.relay_id())?.saturating_sub(before);
    assert!(grown < 64 * 1024, "{grown} KiB more");
    // What was cut has its end in the books, and nothing of it is open.
    eventually(SOON, "no session is open", || {
        stage.deployment.sessions().is_ok_and(|sessions| sessions.is_empty())
    })?;
    // What was wrong is on record too.
    let noted = stage.deployment.audit("session.action")?;
    let wrong = |row: &serde_json::Value| row["event"]["what"] == "protocol.violation";
    assert!(noted.iter().any(wrong), "{noted:?}");
    let ended = stage.deployment.audit("session.ended")?;
    let broken = |row: &serde_json::Value| row["event"]["reason"] == "broken";
    assert!(ended.iter().any(|row| broken(row) && row["event"]["side"] == "client"));
    // The server saw no half of a message: it has not lost a connection for one.
    let log = stage.mariadb.admin("", "show global status like 'Aborted_clients'")?;
    assert!(log.contains("Aborted_clients"), "{log}");
    Ok(())
}

#[test]
fn a_hostile_server_gets_no_file_and_no_desynchronised_client() -> Result<()> {
    let stage = Stage::with("mysql_tls = \"optional\"\n")?;
    let done = [&[0_u8, 0, 0, 2, 0, 0, 0][..]].concat();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("a file that nobody offered", packet(1, b"\xfb/etc/passwd")),
        ("two answers", [packet(1, &done), packet(1, &done)].concat()),
        ("an answer with a wrong number", packet(7, &done)),
        ("an empty answer", packet(1, b"")),
        ("an answer that is cut", packet(1, b"\0")),
        ("columns without an end", [packet(1, b"\x01"), packet(3, b"\x03def")].concat()),
        ("too many columns", packet(1, b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff")),
        ("half a column count", packet(1, b"\x01\x01")),
    ];
    for (name, answer) in cases {
        let server = Hostile::start(answer)?;
        let text = application("hostile", "mysql", &format!("127.0.0.1:{}", server.port))
            + &format!(
                "account = \"a\"\npassword_file = {:?}\n",
                stage.deployment.dir().join("level-password")
            )
            + "[application.database]\ntls = \"disable\"\n"
            + &grant("alice", "hostile");
        stage.deployment.apply(&text)?.ok()?;
        let token = stage.deployment.token("alice", "hostile", &["--uses", "10"])?;
        let mut client = log_in(stage.port(), &token).with_context(|| name.to_owned())?;
        client.write_all(&packet(0, b"\x03select 1"))?;
        let answer = drain(&mut client, LIMIT);
        let text = String::from_utf8_lossy(&answer.bytes).into_owned();
        ensure!(answer.closed, "{name}: the session goes on");
        ensure!(!text.contains("passwd"), "{name}: {text}");
        ensure!(text.contains("protocol.violation"), "{name}: {text}");
    }
    Ok(())
}

/// Lets everybody in, and answers everything with the same bytes.
struct Hostile {
    port: u16,
}

impl Hostile {
    fn start(answer: Vec<u8>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        // Ends with the test's process, and after one client.
        thread::spawn(move || -> Result<()> {
            let (mut io, _) = listener.accept()?;
            let capabilities = 0x01bf_f7ff_u32.to_le_bytes();
            let greeting = [
                &b"\x0a8.0.1-hostile\0\x01\0\0\0abcdefgh\0"[..],
                &capabilities[..2],
                &[45, 2, 0],
                &capabilities[2..],
                &[21],
                &[0; 10],
                b"ijklmnopqrst\0mysql_native_password\0",
            ];
            io.write_all(&packet(0, &greeting.concat()))?;
            let mut read = [0; 4096];
            let _ = io.read(&mut read)?;
            io.write_all(&packet(2, b"\0\0\0\x02\0\0\0"))?;
            let _ = io.read(&mut read)?;
            io.write_all(&answer)?;
            while io.read(&mut read)? > 0 {}
            Ok(())
        });
        Ok(Self { port })
    }
}

fn before_login() -> Vec<(String, Vec<u8>)> {
    let good = hello(CAPABILITIES, b"x", b"", "caching_sha2_password");
    let mut cases: Vec<(String, Vec<u8>)> = [0_usize, 1, 4, 31, 32]
        .into_iter()
        .map(|length| (format!("{length} bytes of a hello"), packet(1, &good[..length])))
        .collect();
    for number in [0, 2, 3, 128, 255] {
        cases.push((format!("a hello with the number {number}"), packet(number, &good)));
    }
    for capability in [9, 19] {
        let less = hello(CAPABILITIES & !(1 << capability), b"x", b"", "caching_sha2_password");
        cases.push((format!("a hello without capability {capability}"), packet(1, &less)));
    }
    let tls = [&(CAPABILITIES | 1 << 11).to_le_bytes()[..], &[0; 28]].concat();
    let attributes = |pairs: &[u8]| {
        [&hello(CAPABILITIES | 1 << 20, b"x", b"abc", "caching_sha2_password")[..], pairs].concat()
    };
    let answer = |bytes: &[u8]| [&CAPABILITIES.to_le_bytes()[..], &[0; 28], b"x\0", bytes].concat();
    let more: Vec<(&str, Vec<u8>)> = vec![
        ("zeros", vec![0; 4096]),
        ("ones", vec![0xff; 4096]),
        ("a hello of 16 MiB", [&[0xff, 0xff, 0xff, 1][..], &[7; 100_000]].concat()),
        ("a hello of 100,000 bytes", [&[0xa0, 0x86, 1, 1][..], &[7; 100_000]].concat()),
        (
            "a user of control characters",
            packet(1, &hello(CAPABILITIES, b"a\x1b]0;x\x07", b"", "p")),
        ),
        ("a user that is no text", packet(1, &hello(CAPABILITIES, b"\xff\xfe", b"", "p"))),
        ("a user without an end", packet(1, &good[..33])),
        ("an answer of 2^64-1 bytes", packet(1, &answer(b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff"))),
        ("an answer of 65535 bytes", packet(1, &answer(b"\xfc\xff\xffabc"))),
        ("an answer with NULL for a length", packet(1, &answer(b"\xfb"))),
        ("an answer with an error for a length", packet(1, &answer(b"\xff"))),
        ("attributes of 2^63 bytes", packet(1, &attributes(b"\xfe\0\0\0\0\0\0\0\x80"))),
        ("attributes that end early", packet(1, &attributes(b"\x05\x03abc\x09"))),
        ("a name without a value", packet(1, &attributes(b"\x04\x03abc"))),
        (
            "a request for TLS, and a hello in the clear",
            [packet(1, &tls), packet(2, &good)].concat(),
        ),
        ("two requests for TLS", [packet(1, &tls), packet(2, &tls)].concat()),
        (
            "a request for TLS of half a handshake",
            [packet(1, &tls), b"\x16\x03\x01\x02\0\x01".to_vec()].concat(),
        ),
        ("a query at once", packet(0, b"\x03select 1")),
        ("a query behind a hello", [packet(1, &good), packet(0, b"\x03select 1")].concat()),
        ("two hellos", [packet(1, &good), packet(1, &good)].concat()),
        ("HTTP", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        ("SSH", b"SSH-2.0-x\r\n".to_vec()),
        ("PostgreSQL", b"\0\0\0\x08\x04\xd2\x16\x2f".to_vec()),
    ];
    cases.extend(more.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)));
    cases
}

fn instead_of_a_password() -> Vec<(String, Vec<u8>)> {
    let start = packet(1, &hello(CAPABILITIES, b"x", &[7; 32], "caching_sha2_password"));
    let native = packet(1, &hello(CAPABILITIES, b"x", &[7; 20], "mysql_native_password"));
    let clear =
        |password: &[u8]| packet(1, &hello(CAPABILITIES, b"x", password, "mysql_clear_password"));
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("a request for a key", [start.clone(), packet(3, b"\x02")].concat()),
        ("no password", [start.clone(), packet(3, b"\0")].concat()),
        ("an empty packet", [start.clone(), packet(3, b"")].concat()),
        ("a password with a wrong number", [start.clone(), packet(9, b"adit_access_x\0")].concat()),
        ("a password that is no text", [start.clone(), packet(3, &[0xff; 40])].concat()),
        ("a password of 60,000 bytes", [start.clone(), packet(3, &[b'x'; 60_000])].concat()),
        (
            "a password of 16 MiB",
            [start.clone(), vec![0xff, 0xff, 0xff, 3], vec![b'x'; 1000]].concat(),
        ),
        ("a query for a password", [start.clone(), packet(0, b"\x03select 1")].concat()),
        ("a goodbye for a password", [start, packet(0, b"\x01")].concat()),
        ("a native answer", native.clone()),
        ("a native answer, and an empty one", [native.clone(), packet(3, b"")].concat()),
        ("a native answer, and another", [native, packet(3, &[7; 20]), packet(5, b"x\0")].concat()),
        ("a clear password that is none", clear(b"adit_access_no\0")),
        ("a clear password that is empty", clear(b"")),
        (
            "an unknown plugin",
            packet(1, &hello(CAPABILITIES, b"x", b"a", "authentication_windows_client")),
        ),
    ];
    cases.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)).collect()
}

/// What is sent by who is in, and whether that is cut.
fn after_login() -> Vec<(&'static str, Vec<u8>, bool)> {
    let sleep = packet(0, b"\x03select sleep(0.3)");
    vec![
        ("a query with the number 1", packet(1, b"\x03select 1"), true),
        ("a query with the number 255", packet(255, b"\x03select 1"), true),
        ("an empty message", packet(0, b""), true),
        ("a command of 0x00", packet(0, b"\0"), true),
        ("a command of 0x0b", packet(0, b"\x0bx"), true),
        ("a command of 0x0f", packet(0, b"\x0f"), true),
        ("a command of 0x20", packet(0, b"\x20"), true),
        ("a command of 0xff", packet(0, b"\xff"), true),
        ("MariaDB's bulk command", packet(0, b"\xfa\x01\0\0\0\0\0"), true),
        (
            "a hello after the login",
            packet(0, &hello(CAPABILITIES | 0x80, b"root", b"", "x")),
            true,
        ),
        ("a ping of 40,000 bytes", packet(0, &[0x0e; 40_000]), true),
        ("a database of a megabyte", [&[0, 0, 16, 0, 2][..], &[b'x'; 50_000]].concat(), true),
        ("an execution of nothing", packet(0, b"\x17"), true),
        ("a statement that is closed by half a number", packet(0, b"\x19\x01\0"), true),
        ("an option that is none", packet(0, b"\x1b\0"), true),
        ("a kill of half a number", packet(0, b"\x0c\x01"), true),
        ("a change of user that ends early", packet(0, b"\x11root"), true),
        ("a change of user with a long answer", packet(0, b"\x11root\0\xffabc"), true),
        (
            "a change of user, and more at once",
            [
                packet(0, b"\x11x\0\0orders\0\x2d\0mysql_clear_password\0"),
                packet(0, b"\x03select 1"),
            ]
            .concat(),
            true,
        ),
        (
            "a long query that kills",
            packet(0, &[b"\x03/*", &[b'x'; 40_000][..], b"*/ kill 1"].concat()),
            true,
        ),
        (
            "an execution of what was never prepared",
            packet(0, b"\x17\x63\0\0\0\0\x01\0\0\0"),
            false,
        ),
        ("a fetch of nothing", packet(0, b"\x1c\x63\0\0\0\x01\0\0\0"), false),
        ("a replica", packet(0, b"\x12\x04\0\0\0\0\0\x02\0\0\0"), false),
        ("a replica by GTID", packet(0, b"\x1e\0\0\x02\0\0\0"), false),
        ("a replica that registers", packet(0, b"\x15\x02\0\0\0"), false),
        ("a dump of a table", packet(0, b"\x13\x06orders\x06orders"), false),
        ("a kill of another connection", packet(0, b"\x0c\x01\0\0\0"), false),
        ("a kill by text", packet(0, b"\x03kill 1"), false),
        ("a query of no UTF-8", packet(0, b"\x03select '\xff\xfe'"), false),
        ("a query with zeros", packet(0, b"\x03select '\0\0'"), false),
        ("two queries at once", [sleep.clone(), packet(0, b"\x03select 2")].concat(), false),
        (
            "two queries, the second with a wrong number",
            [sleep, packet(1, b"\x03select 2")].concat(),
            true,
        ),
    ]
}

/// Protocol 4.1, transactions, secure connection, several statements and results, plugins and their
/// answers of any length.
const CAPABILITIES: u32 = 1 | 1 << 9 | 1 << 13 | 1 << 15 | 1 << 16 | 1 << 17 | 1 << 19 | 1 << 21;

fn hello(capabilities: u32, user: &[u8], answer: &[u8], plugin: &str) -> Vec<u8> {
    let length = [u8::try_from(answer.len()).unwrap_or(250)];
    let parts = [
        &capabilities.to_le_bytes()[..],
        &0x0100_0000_u32.to_le_bytes(),
        &[45],
        &[0; 23],
        user,
        b"\0",
        &length,
        answer,
        plugin.as_bytes(),
        b"\0",
    ];
    parts.concat()
}

fn log_in(port: u16, token: &str) -> Result<TcpStream> {
    let mut client = TcpStream::connect(("127.0.0.1", port))?;
    client.set_read_timeout(Some(LIMIT))?;
    ensure!(one(&mut client)?.first() == Some(&10), "no greeting");
    let password = [token.as_bytes(), b"\0"].concat();
    client.write_all(&packet(1, &hello(CAPABILITIES, b"x", &password, "mysql_clear_password")))?;
    let answer = one(&mut client)?;
    ensure!(answer.first() == Some(&0), "no login: {}", String::from_utf8_lossy(&answer));
    Ok(client)
}

fn one(client: &mut TcpStream) -> Result<Vec<u8>> {
    let mut head = [0; 4];
    client.read_exact(&mut head)?;
    let length = u32::from_le_bytes([head[0], head[1], head[2], 0]);
    let mut body = vec![0; usize::try_from(length)?];
    client.read_exact(&mut body)?;
    Ok(body)
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

/// OK, where a packet begins that is not the greeting.
fn is_logged_in(answer: &[u8]) -> bool {
    packets(answer).skip(1).any(|body| body.first() == Some(&0))
}

fn packets(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (head, rest) = bytes.split_first_chunk::<4>()?;
        let length = u32::from_le_bytes([head[0], head[1], head[2], 0]);
        let length = usize::try_from(length).ok()?;
        let body = rest.get(..length)?;
        bytes = &rest[length..];
        Some(body)
    })
}

fn packet(number: u8, body: &[u8]) -> Vec<u8> {
    let [a, b, c, _] = u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes();
    [&[a, b, c, number][..], body].concat()
}

/// How long a case may take; the time to show a token is longer.
const LIMIT: Duration = Duration::from_secs(20);
