//! An OpenTelemetry collector.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::Result;

/// Takes OTLP requests and keeps what they say.
pub(super) struct Collector {
    pub(super) port: u16,
    text: Arc<Mutex<String>>,
}

impl Collector {
    pub(super) fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let (port, text) = (listener.local_addr()?.port(), Arc::<Mutex<String>>::default());
        let kept = text.clone();
        // Ends with the test's process.
        thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                if let Ok(request) = take(socket) {
                    kept.lock().unwrap_or_else(PoisonError::into_inner).push_str(&request);
                }
            }
        });
        Ok(Self { port, text })
    }

    pub(super) fn text(&self) -> String {
        self.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn take(mut socket: TcpStream) -> Result<String> {
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    let (mut all, mut part) = (Vec::new(), [0; 4096]);
    loop {
        let read = socket.read(&mut part)?;
        all.extend_from_slice(&part[..read]);
        let text = String::from_utf8_lossy(&all).into_owned();
        let whole = text.split_once("\r\n\r\n").is_some_and(|(head, body)| {
            let head = head.to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            length.and_then(|length| length.parse().ok()).is_some_and(|length| body.len() >= length)
        });
        if whole || read == 0 {
            socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")?;
            return Ok(text);
        }
    }
}
