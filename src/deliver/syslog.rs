//! RFC 5424 over TLS, as RFC 5425 has it; over plain TCP on this machine, counted the same way.

use std::fmt::Write;
use std::io::ErrorKind;

use time::OffsetDateTime;
use time::macros::format_description;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::batch::{Batch, Record, SendError};
use super::net;
use crate::config::SyslogTo;

/// Sends the batch over a connection of its own. Syslog has no word for "taken"; but the receiver
/// answers the end of a connection with its own end (RFC 5425, 4.4), and has read by then whatever
/// came before it.
pub(super) async fn send(to: &SyslogTo, origin: &str, batch: &Batch) -> Result<(), SendError> {
    let frames: String =
        batch.records.iter().map(|record| framed(&message(record, origin))).collect();
    let socket = net::connect(&to.host, to.port).await?;
    match &to.tls {
        Some(files) => {
            let stream = net::secure(socket, &to.host, files, &[]).await?;
            hand_over(stream, frames.as_bytes()).await
        }
        None => hand_over(socket, frames.as_bytes()).await,
    }
}

async fn hand_over<S>(mut stream: S, frames: &[u8]) -> Result<(), SendError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let broke = |source| SendError::Broke { source };
    stream.write_all(frames).await.map_err(broke)?;
    stream.flush().await.map_err(broke)?;
    stream.shutdown().await.map_err(broke)?;
    loop {
        match stream.read(&mut [0; 512]).await {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            // Closed without TLS's own goodbye, as many do. With something unread it were a reset.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
            Err(source) => return Err(SendError::Unconfirmed { source }),
        }
    }
}

/// RFC 5425, 4.3.1: the length in octets comes first.
fn framed(message: &str) -> String {
    format!("{} {message}", message.len())
}

/// RFC 5424, 6. The message is the record's line of JSON, in ASCII.
fn message(record: &Record, origin: &str) -> String {
    let Record { row, line } = record;
    let severity = if WARNINGS.contains(&row.action.as_str()) { WARNING } else { INFORMATIONAL };
    let (priority, at) = (AUDIT * 8 + severity, timestamp(row.at_ms));
    let (origin, action) = (header(origin, 255), header(&row.action, 32));
    let mut data = format!("[adit@{ENTERPRISE} seq=\"{}\"", row.seq);
    let session = row.session.map(|session| session.to_string());
    let fields = [
        ("action", Some(row.action.as_str())),
        ("user", row.user.as_deref()),
        ("session", session.as_deref()),
        ("hash", Some(row.hash.as_str())),
    ];
    for (name, value) in fields {
        if let Some(value) = value {
            // Writing to a String does not fail.
            let _ = write!(data, " {name}=\"{}\"", parameter(value));
        }
    }
    format!("<{priority}>1 {at} {origin} adit-relay - {action} {data}] {line}")
}

/// RFC 5424, 6.3.3: three characters are written after a backslash. What would drive a terminal or
/// break the line is written out before.
fn parameter(value: &str) -> String {
    let visible = access::text::visible(value);
    let mut escaped = String::with_capacity(visible.len());
    for c in visible.chars() {
        if matches!(c, '"' | '\\' | ']') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// A field of the head: printable ASCII without blanks, or the sign for none.
fn header(text: &str, longest: usize) -> String {
    let kept: String = text.chars().filter(char::is_ascii_graphic).take(longest).collect();
    if kept.is_empty() { "-".to_owned() } else { kept }
}

fn timestamp(at_ms: u64) -> String {
    let form =
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(at_ms) * 1_000_000).ok();
    at.and_then(|at| at.format(form).ok()).unwrap_or_else(|| "-".to_owned())
}

/// The facility "log audit" and the severities of RFC 5424, 6.2.1.
const AUDIT: u32 = 13;
const WARNING: u32 = 4;
const INFORMATIONAL: u32 = 6;
const WARNINGS: [&str; 2] = ["access.denied", "authn.failed"];
/// The number that RFC 5612 keeps for who has none of their own.
const ENTERPRISE: u32 = 32473;

#[cfg(test)]
mod tests {
    use serde_json::json;
    use store::AuditRow;

    use super::*;

    #[test]
    fn a_message_is_as_the_rfc_has_it_and_nothing_in_it_can_break_out() {
        let row = AuditRow {
            seq: 7,
            at_ms: 1_800_000_000_042,
            action: "authn.failed".to_owned(),
            session: None,
            user: Some("a\"b\\c]d\n\u{1b}é".to_owned()),
            event: json!({ "action": "authn.failed" }),
            hash: "00".repeat(32),
        };
        let record = Record { line: row.line().unwrap(), row };
        let text = message(&record, "adit.example.com");
        let start = "<108>1 2027-01-15T08:00:00.042Z adit.example.com adit-relay - authn.failed \
                     [adit@32473 seq=\"7\" action=\"authn.failed\" \
                     user=\"a\\\"b\\\\c\\]d\\\\n\\\\u{1b}é\" hash=\"0000";
        assert!(text.starts_with(start), "{text}");
        assert!(text.ends_with(&format!("\"] {}", record.line)), "{text}");
        assert!(!text.contains(['\n', '\u{1b}']));
        // Octets, not characters.
        assert!(framed(&text).starts_with(&format!("{} <108>", text.chars().count() + 1)));
        assert_eq!(header("no blanks é", 255), "noblanks");
        assert_eq!(header("", 255), "-");
    }
}
