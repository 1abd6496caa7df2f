//! Some records that follow each other, and why they were not taken.

use std::io;
use std::path::PathBuf;

use axum::http::StatusCode;
use store::{AuditRow, Head, StoreError};

/// Records in their order, at least one.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) first: u64,
    pub(super) last: Head,
    pub(super) records: Vec<Record>,
}

/// A record and its line of JSON.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) row: AuditRow,
    pub(super) line: String,
}

/// Why a destination has not taken a batch.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    #[error("could not read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("the secret in {} is shorter than {least} bytes", path.display())]
    Secret { path: PathBuf, least: usize },
    #[error("the CA certificate, or the certificate to show, is not usable")]
    Tls(#[from] tunnel::tls::TlsError),
    #[error("{host:?} is not a host's name")]
    Name { host: String },
    #[error("{host}:{port} does not answer")]
    Connect { host: String, port: u16, source: io::Error },
    #[error("{host} is not who its name says, or does not speak TLS")]
    Handshake { host: String, source: io::Error },
    #[error("the connection broke")]
    Broke { source: io::Error },
    #[error("the receiver went away without having read everything")]
    Unconfirmed { source: io::Error },
    #[error("the exchange broke")]
    Exchange { source: hyper::Error },
    #[error("the request is not one")]
    Request { source: axum::http::Error },
    #[error("the receiver answered {status}")]
    Refused { status: StatusCode },
    #[error("the mail server answered: {answer}")]
    Mail { answer: String },
    #[error("could not write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("{} is not a plain file", path.display())]
    NotAFile { path: PathBuf },
    #[error("no answer within 20 s")]
    TimedOut,
    #[error("the audit log could not be read")]
    Store(#[from] StoreError),
}

impl Batch {
    /// As many of the rows as fit one batch; `None` where there are none.
    pub(super) fn of(rows: Vec<AuditRow>) -> Result<Option<Self>, StoreError> {
        let (mut records, mut bytes) = (Vec::with_capacity(rows.len()), 0);
        for row in rows {
            let line = row.line()?;
            bytes += line.len() + 1;
            if bytes > MOST_BYTES && !records.is_empty() {
                break;
            }
            records.push(Record { row, line });
        }
        let ends = records.first().zip(records.last());
        let Some((first, last)) = ends.map(|(first, last)| (first.row.seq, last.row.head())) else {
            return Ok(None);
        };
        Ok(Some(Self { first, last, records }))
    }

    /// A line for each record.
    pub(super) fn lines(&self) -> Vec<u8> {
        let lines = self.records.iter().flat_map(|record| [record.line.as_bytes(), b"\n"]);
        lines.collect::<Vec<_>>().concat()
    }
}

const MOST_BYTES: usize = 1 << 20;
