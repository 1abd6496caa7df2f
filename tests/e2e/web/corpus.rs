//! Bytes that two servers could read differently, sent raw. An origin that notes every byte it gets
//! must see the honest requests and nothing else.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::Result;

use super::raw::Raw;
use super::stage::Stage;

#[test]
fn no_request_hides_in_another() -> Result<()> {
    let origin = Recorder::start()?;
    let stage = Stage::start()?;
    stage.publish("app", &origin.address)?;
    let raw = Raw::new(&stage, &stage.token()?)?;
    for (name, bytes) in raw.hidden() {
        origin.forget();
        let answers = raw.send(&bytes)?;
        let seen = origin.seen();
        assert!(!seen.contains("/hidden"), "{name}: the origin saw {seen:?}");
        let requests = seen.matches("HTTP/1.1\r\n").count();
        assert!(
            requests <= answers.matches("HTTP/1.").count(),
            "{name}: {requests} for {answers:?}"
        );
        assert!(answers.starts_with("HTTP/1."), "{name}: {answers:?}");
    }
    for (name, bytes) in raw.refused() {
        origin.forget();
        let answers = raw.send(&bytes)?;
        assert!(answers.starts_with("HTTP/1.1 4"), "{name}: {answers:?}");
        assert!(!origin.seen().contains("HTTP/1.1\r\n"), "{name}: {:?}", origin.seen());
    }
    for chunk in CHUNKS {
        origin.forget();
        // Its head has gone on when the body turns out not to be sound; the body never ends there.
        let answers = raw.send(&raw.with_body("Transfer-Encoding: chunked\r\n", chunk))?;
        assert!(answers.starts_with("HTTP/1.1 400"), "{chunk:?}: {answers:?}");
        assert!(!origin.seen().contains("0\r\n\r\n"), "{chunk:?}: {:?}", origin.seen());
    }
    let honest = raw.send(&raw.head("GET", "", "Connection: close\r\n"))?;
    assert!(honest.starts_with("HTTP/1.1 200"), "{honest:?}");
    Ok(())
}

impl Raw {
    /// Requests with a second one inside, which is for nobody.
    fn hidden(&self) -> Vec<(String, Vec<u8>)> {
        let inner = "GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n";
        let ended = format!("0\r\n\r\n{inner}");
        let length = ended.len();
        let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
        let h2c = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n";
        let mut cases = vec![
            ("after HTTP/1.0".to_owned(), self.head("POST", "HTTP/1.0", "")),
            ("before a 101".to_owned(), self.head("GET", "", upgrade)),
            ("with h2c".to_owned(), self.head("GET", "", h2c)),
            ("after close".to_owned(), self.head("GET", "", "Connection: close\r\n")),
        ];
        for (_, bytes) in &mut cases {
            bytes.extend_from_slice(inner.as_bytes());
        }
        for encoding in ENCODINGS {
            let fields = format!("Content-Length: {length}\r\n{encoding}\r\n");
            cases.push((format!("{encoding:?}"), self.with_body(&fields, &ended)));
        }
        cases
    }

    /// Bytes that are no request.
    fn refused(&self) -> Vec<(String, Vec<u8>)> {
        let length = |length: &&str| {
            let fields = format!("Content-Length: {length}\r\n");
            (format!("length {length:?}"), self.with_body(&fields, "AAAA"))
        };
        let mut cases: Vec<(String, Vec<u8>)> = LENGTHS.iter().map(length).collect();
        cases.extend(
            FIELDS.iter().map(|field| (format!("field {field:?}"), self.head("GET", "", field))),
        );
        let lines = String::from_utf8_lossy(&self.head("GET", "", "")).replace("\r\n", "\n");
        cases.push(("bare LF".to_owned(), lines.into_bytes()));
        for version in ["HTTP/0.9", "HTTP/2.0", "http/1.1", "HTTP/1.1 x"] {
            cases.push((version.to_owned(), self.head("GET", version, "")));
        }
        cases.push((
            "CONNECT".to_owned(),
            format!("CONNECT 127.0.0.1:1 HTTP/1.1\r\nHost: {}\r\n\r\n", self.host).into_bytes(),
        ));
        let other = format!(
            "GET http://127.0.0.1:1/ HTTP/1.1\r\nHost: {}\r\nX-Adit-Key: {}\r\n\r\n",
            self.host, self.token
        );
        cases.push(("another URL".to_owned(), other.into_bytes()));
        cases.push((
            "a long head".to_owned(),
            self.head("GET", "", &format!("A: {}\r\n", "a".repeat(70_000))),
        ));
        cases.push(("many headers".to_owned(), self.head("GET", "", &"A: b\r\n".repeat(120))));
        cases
    }

    fn with_body(&self, fields: &str, body: &str) -> Vec<u8> {
        let mut bytes = self.head("POST", "", fields);
        bytes.extend_from_slice(body.as_bytes());
        bytes
    }
}

const ENCODINGS: &[&str] = &[
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: xchunked",
    "Transfer-Encoding : chunked",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: x",
    "Transfer-Encoding:\tchunked",
    "X: X\nTransfer-Encoding: chunked",
    "Transfer-Encoding\r\n : chunked",
    "Transfer-Encoding: chunked, identity",
    "Transfer-Encoding: identity",
    "Transfer-Encoding: \"chunked\"",
    "transfer-encoding: chunked\0",
    "Transfer-Encoding:\u{b}chunked",
    "Transfer-Encoding: gzip, chunked",
    "Foo: bar\r\n Transfer-Encoding: chunked",
];

const LENGTHS: &[&str] = &[
    "+4",
    "-1",
    "4,4",
    "0x4",
    "4 4",
    "4\r\nContent-Length: 4",
    " ",
    "99999999999999999999",
    "4\u{b}",
];

const CHUNKS: &[&str] = &[
    "5;a\nAAAAA\r\n0\r\n\r\n",
    "10000000000000000\r\nA",
    "-1\r\nA",
    "1\r\nA0\r\n\r\n",
    "0\r\nContent-Length: 50\r\n\r\n",
    "1\nA\r\n",
];

const FIELDS: &[&str] = &[
    "A: b\r\n c: d\r\n",
    "A b: c\r\n",
    "A : b\r\n",
    "A: b\rB: c\r\n",
    "A: b\0\r\n",
    "Host: evil\r\n",
    "no colon\r\n",
];

/// An origin that notes each byte and answers what ends.
pub(super) struct Recorder {
    pub(super) address: String,
    bytes: Arc<Mutex<Vec<u8>>>,
}

impl Recorder {
    pub(super) fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?.to_string();
        let bytes = Arc::<Mutex<Vec<u8>>>::default();
        let noted = bytes.clone();
        // Ends with the test's process.
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let noted = noted.clone();
                thread::spawn(move || drop(note(stream, &noted)));
            }
        });
        Ok(Self { address, bytes })
    }

    fn forget(&self) {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    pub(super) fn seen(&self) -> String {
        let bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

fn note(mut stream: TcpStream, noted: &Mutex<Vec<u8>>) -> std::io::Result<()> {
    let mut buffer = [0; 65536];
    loop {
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        noted.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&buffer[..read]).to_lowercase();
        let open = text.contains("chunked") && !text.contains("0\r\n\r\n");
        if text.contains("\r\n\r\n") && !open {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
        }
    }
}
