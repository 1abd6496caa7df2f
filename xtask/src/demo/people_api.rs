//! The demo's HTTP API: who was asked for, and what arrived.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

/// Serves until the process ends.
pub(crate) fn serve(port: u16) -> Result<()> {
    let listener =
        TcpListener::bind(("127.0.0.1", port)).with_context(|| format!("port {port}"))?;
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            // A client that goes away is its own business.
            thread::spawn(move || drop(answer(&stream)));
        }
    });
    Ok(())
}

fn answer(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut lines = BufReader::new(stream.take(LONGEST)).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    let mut headers = serde_json::Map::new();
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), Value::from(value.trim()));
    }
    let path = request.split(' ').nth(1).unwrap_or("/");
    let (status, body) = respond(path, &headers);
    let body = format!("{body:#}\n");
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n"
    );
    let mut stream = stream;
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())
}

fn respond(path: &str, headers: &serde_json::Map<String, Value>) -> (&'static str, Value) {
    let path = path.split('?').next().unwrap_or(path);
    match path {
        "/" => ("200 OK", json!({"service": "people", "try": ["/api/v1/person", "/echo"]})),
        "/api/v1/person" => ("200 OK", json!(people())),
        "/echo" => ("200 OK", json!({"headers": headers})),
        other => {
            let person = other.strip_prefix("/api/v1/person/").and_then(|id| id.parse().ok());
            let found = person.and_then(|id: u64| people().into_iter().find(|one| one["id"] == id));
            found
                .map_or(("404 Not Found", json!({"error": "no such thing"})), |one| ("200 OK", one))
        }
    }
}

fn people() -> Vec<Value> {
    let names = ["Ada Lovelace", "Grace Hopper", "Alan Turing"];
    names.iter().zip(1u64..).map(|(name, id)| json!({"id": id, "name": name})).collect()
}

const LONGEST: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_found_by_number() {
        let get = |path| respond(path, &serde_json::Map::new());
        assert_eq!(get("/api/v1/person").1.as_array().map(Vec::len), Some(3));
        assert_eq!(get("/api/v1/person/2?x=1").1["name"], "Grace Hopper");
        assert_eq!(get("/api/v1/person/9").0, "404 Not Found");
    }
}
