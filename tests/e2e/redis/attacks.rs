//! Bytes that no honest client sends: each ends in an error or a close, and others are served as
//! before.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use testkit::eventually;

use super::{SOON, Stage, plain_door, resident};

#[test]
fn bad_input_gets_in_nowhere_and_costs_nothing() -> Result<()> {
    let mut stage = Stage::start()?;
    let port = plain_door(&mut stage)?;
    let token = stage.token("alice")?;
    stage.redis.admin(&["SET", "hidden", "treasure"])?;
    let before = resident(stage.deployment.relay_id())?;
    let get = command(&["GET", "hidden"]);
    for (name, bytes) in before_login() {
        let bytes = [bytes, get.clone()].concat();
        let answer = send(port, &bytes).with_context(|| name.to_owned())?;
        ensure!(!answer.contains("treasure"), "{name} is served: {answer}");
        ensure!(!answer.contains("+OK"), "{name} logs in: {answer}");
    }
    for (name, bytes) in after_login() {
        let mut client = log_in(port, &token)?;
        // It may be cut before all of it is sent.
        drop(client.write_all(&[bytes, get.clone()].concat()));
        let (answer, closed) = drain(&mut client, LIMIT);
        ensure!(closed, "{name} goes on: {answer}");
        ensure!(answer.contains("protocol.violation"), "{name}: {answer}");
        ensure!(!answer.contains("treasure"), "{name} is served: {answer}");
    }
    for (name, bytes, expected) in refused() {
        let mut client = log_in(port, &token)?;
        client.write_all(&[bytes, command(&["GET", "hidden"])].concat())?;
        let (answer, _) = drain(&mut client, Duration::from_millis(400));
        ensure!(answer.contains(expected), "{name}: {answer}");
        ensure!(answer.contains("treasure"), "{name} is cut: {answer}");
    }
    assert_eq!(stage.cli(&token, &["GET", "hidden"])?.ok()?.trim(), "treasure");
    let grown = resident(stage.deployment.relay_id())?.saturating_sub(before);
    assert!(grown < 64 * 1024, "{grown} KiB more");
    eventually(SOON, "no session is open", || {
        stage.deployment.sessions().is_ok_and(|open| open.is_empty())
    })
}

fn before_login() -> Vec<(&'static str, Vec<u8>)> {
    let many: Vec<&str> = std::iter::repeat_n("x", 11).collect();
    let long = "x".repeat(20_000);
    vec![
        ("nothing", Vec::new()),
        ("an inline command", b"AUTH x\r\n".to_vec()),
        ("a request of HTTP", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
        ("a thousand commands", command(&["PING"]).repeat(1000)),
        ("two billion arguments", b"*2147483647\r\n".to_vec()),
        ("more arguments than a stranger may have", command(&many)),
        ("an argument of half a gigabyte", b"*2\r\n$4\r\nAUTH\r\n$536870912\r\n".to_vec()),
        ("an argument of a negative length", b"*2\r\n$4\r\nAUTH\r\n$-5\r\n".to_vec()),
        ("a long token", command(&["AUTH", &long])),
        ("a token with ends of lines", command(&["AUTH", "x\r\n+OK\r\n"])),
        ("no token", command(&["AUTH", ""])),
        ("AUTH of nothing", command(&["AUTH"])),
        ("AUTH of too much", command(&["AUTH", "a", "b", "c"])),
        ("HELLO of another version", command(&["HELLO", "4"])),
        ("HELLO of no number", command(&["HELLO", "x", "AUTH", "a", "b"])),
        ("HELLO with half an AUTH", command(&["HELLO", "3", "AUTH", "a"])),
        ("HELLO without AUTH", command(&["HELLO", "3"])),
        ("a reset", command(&["RESET"])),
        ("a user with control characters", command(&["AUTH", "a\nb\x1b]0;x\x07", "x"])),
        ("nested arrays", b"*1\r\n".repeat(1000)),
        ("zeros", vec![0; 4096]),
        ("a null", b"*2\r\n$4\r\nAUTH\r\n$-1\r\n".to_vec()),
        ("a wrong end", b"*2\r\n$4\r\nAUTHxx$1\r\nx\r\n".to_vec()),
    ]
}

/// What is sent by who is in, and cut.
fn after_login() -> Vec<(&'static str, Vec<u8>)> {
    let long = "x".repeat(40_000);
    vec![
        ("an inline command", b"GET hidden\r\n".to_vec()),
        ("a count of letters", b"*x\r\n".to_vec()),
        ("a count of a billion", b"*1000000000\r\n".to_vec()),
        ("a count of too many digits", b"*00000000000000000000000000001\r\n".to_vec()),
        ("a line without its return", b"*1\n$4\nPING\n".to_vec()),
        ("a length of 2^63", b"*2\r\n$3\r\nGET\r\n$9223372036854775808\r\n".to_vec()),
        ("a length of 513 MB", b"*2\r\n$3\r\nGET\r\n$537919488\r\n".to_vec()),
        ("a negative length", b"*2\r\n$3\r\nGET\r\n$-1\r\n".to_vec()),
        ("a shorter string than said", b"*2\r\n$3\r\nGET\r\n$9\r\nhidden\r\n*1\r\n".to_vec()),
        ("a longer string than said", b"*2\r\n$3\r\nGET\r\n$3\r\nhidden\r\n".to_vec()),
        ("a number for a string", b"*2\r\n$3\r\nGET\r\n:1\r\n".to_vec()),
        ("an array for a string", b"*2\r\n$3\r\nGET\r\n*1\r\n$1\r\na\r\n".to_vec()),
        ("a reply", b"+OK\r\n".to_vec()),
        ("a name of a kilobyte", command(&[&"x".repeat(1000), "a"])),
        ("a name of 40 KB", command(&[&long, "a"])),
        ("a token of 40 KB", command(&["AUTH", &long])),
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec()),
        (
            "a wrong end of a long string",
            [b"*2\r\n$3\r\nGET\r\n$40000\r\n".to_vec(), vec![b'x'; 40_002]].concat(),
        ),
    ]
}

/// What does not pass, and leaves the connection as it was.
fn refused() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    vec![
        ("PSYNC", command(&["PSYNC", "?", "-1"]), "database.replication"),
        ("SYNC", command(&["SYNC"]), "database.replication"),
        ("CLIENT REPLY", command(&["CLIENT", "REPLY", "SKIP"]), "database.command"),
        ("a wrong token", command(&["AUTH", "adit_access_wrong"]), "authn.failed"),
        (
            "the server's own account",
            command(&["AUTH", "cache_owner", "s3cret-of-the-level"]),
            "WRONGPASS",
        ),
        ("HELLO for another", command(&["HELLO", "3", "AUTH", "default", "x"]), "authn.failed"),
        ("AUTH of too much", command(&["AUTH", "a", "b", "c"]), "wrong number"),
        ("an empty command", b"*0\r\n".to_vec(), "treasure"),
    ]
}

fn log_in(port: u16, token: &str) -> Result<TcpStream> {
    let mut client = TcpStream::connect(("127.0.0.1", port))?;
    client.write_all(&command(&["AUTH", token]))?;
    client.set_read_timeout(Some(LIMIT))?;
    let mut answer = [0; 5];
    client.read_exact(&mut answer)?;
    ensure!(answer == *b"+OK\r\n", "{}", String::from_utf8_lossy(&answer));
    Ok(client)
}

fn send(port: u16, bytes: &[u8]) -> Result<String> {
    let mut client = TcpStream::connect(("127.0.0.1", port))?;
    // It may be cut before all of it is sent.
    drop(client.write_all(bytes));
    drop(client.shutdown(std::net::Shutdown::Write));
    let (answer, closed) = drain(&mut client, LIMIT);
    ensure!(closed, "it is still open: {answer}");
    Ok(answer)
}

/// What is answered within `limit`, and whether the connection has ended.
fn drain(client: &mut TcpStream, limit: Duration) -> (String, bool) {
    let (started, mut bytes, mut piece) = (Instant::now(), Vec::new(), [0; 65_536]);
    let mut closed = false;
    while let Some(left) = limit.checked_sub(started.elapsed()).filter(|left| !left.is_zero()) {
        drop(client.set_read_timeout(Some(left)));
        match client.read(&mut piece) {
            Ok(0) => {
                closed = true;
                break;
            }
            Ok(count) => bytes.extend_from_slice(&piece[..count]),
            Err(error) => {
                let waits = [std::io::ErrorKind::WouldBlock, std::io::ErrorKind::TimedOut];
                closed = !waits.contains(&error.kind());
                break;
            }
        }
    }
    (String::from_utf8_lossy(&bytes).into_owned(), closed)
}

fn command(args: &[&str]) -> Vec<u8> {
    let args = args.iter().map(|arg| format!("${}\r\n{arg}\r\n", arg.len()));
    let args: Vec<String> = args.collect();
    format!("*{}\r\n{}", args.len(), args.concat()).into_bytes()
}

/// How long a case may take; the time to show a token is longer.
const LIMIT: Duration = Duration::from_secs(20);
