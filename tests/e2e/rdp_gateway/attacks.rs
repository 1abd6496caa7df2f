//! What no honest client sends: each is cut or refused, and others are served as before.

use std::time::{Duration, Instant};

use super::raw::{
    Raw, UPGRADE, authorise, channel, data, framed, handshake, head, packet, text, tunnel,
};
use super::*;

#[test]
fn bad_input_gets_in_nowhere_and_costs_nothing() -> Result<()> {
    let mut stage = Stage::start(RdpSecurity::Tls)?;
    let token = stage.token("alice", "desk", 100_000)?;
    let before = stage.deployment.relay().resident()?;
    let (requests, packets, opened) = (requests(), packets(&token), in_a_channel());
    assert!(requests.len() + packets.len() + opened.len() >= 60);
    for (name, bytes) in requests {
        let mut raw = Raw::connect(&stage.deployment)?;
        // It may be cut before all of it is sent.
        drop(raw.write(&bytes));
        let (answer, closed) = raw.drain(SHORT);
        let answer = String::from_utf8_lossy(&answer);
        let status = answer.split(' ').nth(1).unwrap_or_default();
        let refused = status.starts_with(['4', '5']);
        ensure!(refused || (closed && answer.is_empty()), "{name}: {answer}");
    }
    for (name, packets) in packets {
        let mut raw = Raw::websocket(&stage.deployment)?;
        for packet in packets {
            drop(raw.write(&packet));
        }
        let (answer, closed) = raw.drain(LIMIT);
        ensure!(closed, "{name} is still open: {answer:?}");
    }
    stage.no_session_is_open().context("before a channel")?;
    assert!(stage.deployment.audit("session.opened")?.is_empty());
    for (name, bytes) in opened {
        let mut raw = Raw::channel(&stage.deployment, &token).with_context(|| name.to_owned())?;
        drop(raw.write(&bytes));
        let (answer, closed) = raw.drain(LIMIT);
        ensure!(closed, "{name} is still open: {answer:?}");
    }
    stage.no_session_is_open()?;
    let screen = Screen::start()?;
    assert!(stage.signs_in(&screen, WAYS[0], &token, DESK)?);
    let grown = stage.deployment.relay().resident()?.saturating_sub(before);
    assert!(grown < 64 * 1024, "{grown} KiB more");
    ensure!(!stage.deployment.relay().log().contains("panicked"));
    Ok(())
}

/// Requests that become nothing.
fn requests() -> Vec<(&'static str, Vec<u8>)> {
    let out = |fields: &str| head("RDG_OUT_DATA", "a", fields);
    let long = "x".repeat(70_000);
    vec![
        ("a page is asked for", head("GET", "a", UPGRADE)),
        ("something is posted", head("POST", "a", "Content-Length: 0\r\n")),
        ("another method of its kind", head("RDG_ANY_DATA", "a", "Content-Length: 0\r\n")),
        ("a password by NTLM", without_token("Authorization: NTLM TlRMTVNTUAABAAAA\r\n")),
        ("a password", without_token("Authorization: Basic YTpi\r\n")),
        (
            "a password for a WebSocket",
            without_token(&format!("Authorization: Basic YTpi\r\n{UPGRADE}")),
        ),
        ("no id", head("RDG_OUT_DATA", "", "")),
        ("a long id", head("RDG_OUT_DATA", &"a".repeat(65), "")),
        ("an id with spaces", head("RDG_OUT_DATA", "a b", "")),
        ("an id that is no ASCII", head("RDG_OUT_DATA", "\u{e4}", "")),
        ("a head without an end", out(&long)),
        (
            "a second half without a first",
            [
                head("RDG_IN_DATA", "none", "Transfer-Encoding: chunked\r\n"),
                b"e\r\n".to_vec(),
                handshake(),
                b"\r\n".to_vec(),
            ]
            .concat(),
        ),
        (
            "a second half whose chunks are none",
            [head("RDG_IN_DATA", "none", "Transfer-Encoding: chunked\r\n"), b"zz\r\n".to_vec()]
                .concat(),
        ),
        ("two lengths", out("Content-Length: 0\r\nContent-Length: 5\r\n")),
        ("a length and chunks", out("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n")),
        (
            "an old version",
            b"RDG_OUT_DATA /remoteDesktopGateway/ HTTP/1.0\r\nHost: localhost\r\n\r\n".to_vec(),
        ),
        (
            "a path below",
            b"RDG_OUT_DATA /remoteDesktopGateway/../api HTTP/1.1\r\nHost: localhost\r\n\r\n"
                .to_vec(),
        ),
        (
            "another host",
            b"RDG_OUT_DATA /remoteDesktopGateway/ HTTP/1.1\r\nHost: evil.test\r\n\r\n".to_vec(),
        ),
        ("no host", b"RDG_OUT_DATA /remoteDesktopGateway/ HTTP/1.1\r\n\r\n".to_vec()),
    ]
}

/// Of a client that has none, and says so.
fn without_token(fields: &str) -> Vec<u8> {
    String::from_utf8_lossy(&head("RDG_OUT_DATA", "a", fields))
        .replace("RDG-Auth-Scheme: PAA\r\n", "")
        .into_bytes()
}

/// What is sent on a WebSocket before there is a channel; in the last, with a good token.
fn packets(token: &str) -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let message = |bytes: &[u8]| framed(0x82, bytes);
    let one = |bytes: &[u8]| vec![message(bytes)];
    let lying = |kind: u16, length: u32, body: &[u8]| {
        message(&[&kind.to_le_bytes()[..], &[0, 0], &length.to_le_bytes(), body].concat())
    };
    let after = |bytes: Vec<u8>| vec![message(&handshake()), message(&bytes)];
    let in_tunnel = |bytes: Vec<u8>| {
        vec![message(&handshake()), message(&tunnel(token)), message(&authorise()), message(&bytes)]
    };
    vec![
        ("a text", vec![framed(0x81, b"hello")]),
        ("a close", vec![framed(0x88, &[])]),
        ("no mask", vec![[&[0x82, 14][..], &handshake()].concat()]),
        ("a reserved bit", vec![framed(0xc2, &handshake())]),
        ("an unknown kind of frame", vec![framed(0x8b, &handshake())]),
        (
            "a frame of 2^63 bytes",
            vec![[&[0x82, 0xff][..], &u64::MAX.to_be_bytes(), &[7; 4]].concat()],
        ),
        (
            "a frame of a megabyte",
            vec![[&[0x82, 0xff][..], &0x10_0000_u64.to_be_bytes(), &[7; 4]].concat()],
        ),
        ("a long ping", vec![framed(0x89, &[0; 200])]),
        ("a rest of no message", vec![framed(0x80, &handshake())]),
        (
            "RDP itself",
            one(b"\x03\x00\x00\x13\x0e\xe0\x00\x00\x00\x00\x00\x01\x00\x08\x00\x03\x00\x00\x00"),
        ),
        ("TLS", one(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")),
        ("HTTP", one(b"GET / HTTP/1.1\r\n\r\n")),
        ("zeros", one(&[0; 4096])),
        ("a packet of no length", vec![lying(1, 0, &[])]),
        ("a packet shorter than its head", vec![lying(1, 7, &[])]),
        ("a packet of four gigabytes", vec![lying(1, u32::MAX, &[0; 64])]),
        ("a packet of 64 KiB that is no data", vec![lying(4, 0x10000, &[0; 64])]),
        ("data of more than two bytes can say", vec![lying(10, 0x1000a, &[0; 64])]),
        ("a handshake without its end", one(&packet(1, &[1, 0]))),
        ("a handshake without a token", one(&packet(1, &[1, 0, 0, 0, 0, 0]))),
        ("a handshake for NTLM", one(&packet(1, &[1, 0, 0, 0, 4, 0]))),
        ("two handshakes", vec![message(&handshake()), message(&handshake())]),
        ("a server's packet", one(&packet(2, &[0; 10]))),
        ("an unknown packet", one(&packet(0x99, &[]))),
        ("data first", one(&data(b"hello"))),
        ("a channel first", one(&channel(&["desk"]))),
        ("a close first", one(&packet(16, &[0; 4]))),
        ("a tunnel first", one(&tunnel(token))),
        (
            "a thousand signs of life, and then data",
            vec![message(&packet(13, &[]).repeat(1000)), message(&data(b"x"))],
        ),
        ("a tunnel without its fields", after(packet(4, &[0; 3]))),
        ("a tunnel without a token", after(packet(4, &[0; 8]))),
        ("an empty token", after(tunnel(""))),
        ("a wrong token", after(tunnel("adit_access_wrong"))),
        ("a token of 8 KB", after(tunnel(&"x".repeat(4000)))),
        (
            "a token beyond its packet",
            after(packet(4, &[13, 0, 0, 0, 1, 0, 0, 0, 0xff, 0xff, 1, 0])),
        ),
        ("a token of an odd length", after(packet(4, &[13, 0, 0, 0, 1, 0, 0, 0, 3, 0, 65, 0, 66]))),
        ("a token of half a letter", after(packet(4, &[13, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0xd8]))),
        ("a token with ends of lines", after(tunnel("adit_access_x\r\nHost: x"))),
        ("a tunnel again, short", after(packet(4, &[13, 0, 0, 0, 2, 0, 0, 0, 1]))),
        ("data in the place of a tunnel", after(data(b"hello"))),
        (
            "a channel before it is authorised",
            vec![message(&handshake()), message(&tunnel(token)), message(&channel(&["desk"]))],
        ),
        ("a channel to nobody", in_tunnel(channel(&[]))),
        ("a channel to a hundred", in_tunnel(channel(&["desk"; 100]))),
        (
            "a channel to a name beyond its packet",
            in_tunnel(packet(8, &[1, 0, 0, 0, 3, 0, 0xff, 0xff])),
        ),
        ("a channel to an empty name", in_tunnel(channel(&[""]))),
        ("a channel to another", in_tunnel(channel(&["other"]))),
        ("a channel to a name with a zero in it", in_tunnel(channel(&["desk\0other"]))),
        ("a channel to an address", in_tunnel(channel(&["169.254.169.254"]))),
        ("data before a channel", in_tunnel(data(b"hello"))),
        (
            "a channel without its end, and then a close",
            vec![
                message(&handshake()),
                message(&tunnel(token)),
                message(&authorise()),
                message(&channel(&["desk"])[..12]),
                framed(0x88, &[]),
            ],
        ),
    ]
}

/// What is sent where a channel is open.
fn in_a_channel() -> Vec<(&'static str, Vec<u8>)> {
    let message = |bytes: &[u8]| framed(0x82, bytes);
    vec![
        ("a second handshake", message(&handshake())),
        ("a second channel", message(&channel(&["desk"]))),
        ("a second tunnel", message(&tunnel("x"))),
        ("a second name for the machine", message(&authorise())),
        ("data longer than its packet", message(&packet(10, &[9, 0, 1, 2, 3]))),
        ("data shorter than its packet", message(&packet(10, &[1, 0, 1, 2, 3]))),
        ("data without a length", message(&packet(10, &[]))),
        ("a service message", message(&packet(11, &text("hello")))),
        ("a text", framed(0x81, b"hello")),
        ("a close", message(&packet(16, &[0; 4]))),
        ("a close and more", message(&[packet(16, &[0; 4]), data(b"late")].concat())),
        ("an answer to no close", message(&packet(17, &[0; 4]))),
        ("a close of the WebSocket", framed(0x88, &[3, 0xe8])),
    ]
}

#[test]
fn what_a_client_says_of_its_address_and_of_others_halves_is_not_believed() -> Result<()> {
    let stage = Stage::start(RdpSecurity::Tls)?;
    let token = stage.token("alice", "desk", 100)?;
    // Where it says that it comes from is not where it comes from.
    let mut raw = Raw::connect(&stage.deployment)?;
    let forged = "X-Forwarded-For: 10.9.8.7\r\nForwarded: for=10.9.8.7\r\nX-Real-IP: 10.9.8.7\r\n";
    raw.write(&head("RDG_OUT_DATA", "a", &format!("{forged}{UPGRADE}")))?;
    ensure!(raw.head()?.starts_with("HTTP/1.1 101 "));
    for packet in [handshake(), tunnel(&token), authorise(), channel(&["desk"])] {
        raw.send(&packet)?;
        raw.packet()?;
    }
    assert_eq!(stage.deployment.sessions()?[0]["from"], "127.0.0.1");
    drop(raw);
    stage.no_session_is_open()?;
    // An id that somebody waits under is theirs alone, and only the first half that comes joins it.
    let mut first = Raw::connect(&stage.deployment)?;
    first.write(&head("RDG_OUT_DATA", "mine", ""))?;
    ensure!(first.head()?.starts_with("HTTP/1.1 200 "));
    let mut again = Raw::connect(&stage.deployment)?;
    again.write(&head("RDG_OUT_DATA", "mine", ""))?;
    ensure!(again.head()?.starts_with("HTTP/1.1 409 "));
    let chunked = "Transfer-Encoding: chunked\r\n";
    let mut half = Raw::connect(&stage.deployment)?;
    half.write(&head("RDG_IN_DATA", "mine", chunked))?;
    half.write(&[b"e\r\n", &handshake()[..], b"\r\n"].concat())?;
    let (answer, _) = first.drain(Duration::from_secs(2));
    ensure!(answer.ends_with(b"\x02\x00\r\n"), "no handshake: {answer:?}");
    let mut late = Raw::connect(&stage.deployment)?;
    late.write(&head("RDG_IN_DATA", "mine", chunked))?;
    late.write(&[b"e\r\n", &handshake()[..], b"\r\n"].concat())?;
    ensure!(late.head()?.starts_with("HTTP/1.1 409 "));
    Ok(())
}

#[test]
fn a_first_half_that_nobody_joins_is_let_go() -> Result<()> {
    let stage = Stage::start(RdpSecurity::Tls)?;
    let mut raw = Raw::connect(&stage.deployment)?;
    raw.write(&head("RDG_OUT_DATA", "alone", "Connection: close\r\n"))?;
    let started = Instant::now();
    let (answer, closed) = raw.drain(Duration::from_secs(50));
    assert!(closed, "{answer:?}");
    assert!(started.elapsed() > Duration::from_secs(10), "{:?}", started.elapsed());
    Ok(())
}

const LIMIT: Duration = Duration::from_secs(20);
/// For requests that leave a connection open for the next one.
const SHORT: Duration = Duration::from_millis(1500);
