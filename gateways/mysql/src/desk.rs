//! Statements of the relay's own: a few, simple, and with short answers.

use std::time::Duration;

use bytes::{BufMut as _, BytesMut};
use database::Credential;
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::proto::{self, Begin, Hello, QUERY, QUIT, Reader, UTF8MB4, capability, packet};
use crate::server::{Security, Server, ServerError, change, told};
use crate::wire::{Wire, send};

/// A login of the relay's own.
pub(crate) struct Desk {
    io: Wire,
    pub(crate) is_mariadb: bool,
    capabilities: u32,
    security: Security,
}

type Rows = Vec<Vec<String>>;

impl Desk {
    pub(crate) fn new(server: Server) -> Self {
        let Server { io, is_mariadb, capabilities, security, .. } = server;
        Self { io, is_mariadb, capabilities, security }
    }

    /// How it begins: able to do no more than it needs, so that answers have one layout.
    pub(crate) fn hello() -> Hello {
        Hello {
            capabilities: capability::LONG_PASSWORD
                | capability::LONG_FLAG
                | capability::TRANSACTIONS
                | capability::CONNECT_ATTRS,
            longest_packet: 1 << 24,
            charset: UTF8MB4,
            attributes: vec![(b"program_name".to_vec(), b"adit".to_vec())],
            ..Hello::default()
        }
    }

    /// Runs a statement, and gives the rows' columns as texts.
    pub(crate) async fn ask(&mut self, sql: &str) -> Result<Rows, ServerError> {
        let asking = Box::pin(exchange(&mut self.io, sql));
        timeout(DEADLINE, asking).await.map_err(|_| ServerError::TimedOut { after: DEADLINE })?
    }

    /// Has the server carry out what a client asked, and gives its answer of one packet.
    pub(crate) async fn put(&mut self, body: &[u8]) -> Result<Zeroizing<Vec<u8>>, ServerError> {
        say(&mut self.io, body).await
    }

    /// Ends a connection with what it does. One that has ended by itself is no failure.
    pub(crate) async fn kill(&mut self, thread: u32) -> Result<(), ServerError> {
        let sql = format!("kill connection {thread}");
        let answer = self.put(&[&[QUERY], sql.as_bytes()].concat()).await?;
        match proto::failure(&answer) {
            Some(failure) if failure.number != NO_SUCH_THREAD => {
                Err(ServerError::Kill(told(&failure)))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Begins anew as another account.
    pub(crate) async fn become_user(&mut self, credential: &Credential) -> Result<(), ServerError> {
        let Hello { longest_packet, charset, attributes, .. } = Self::hello();
        let begin = Begin {
            capabilities: self.capabilities,
            extended: 0,
            longest_packet,
            charset,
            user: &credential.account,
            answer: &[],
            database: None,
            plugin: "",
            attributes: &attributes,
        };
        change(&mut self.io, &mut self.security, credential, begin).await.map(drop)
    }

    /// Says goodbye.
    pub(crate) async fn leave(mut self) {
        let mut out = BytesMut::new();
        packet(&mut out, &mut 0, |out| out.put_u8(QUIT));
        // It is over either way.
        drop(timeout(DEADLINE, send(&mut self.io, &out)).await);
        drop(timeout(DEADLINE, self.io.shutdown()).await);
    }
}

/// Sends a message, and reads an answer that is one packet: OK or an error.
pub(crate) async fn say(io: &mut Wire, body: &[u8]) -> Result<Zeroizing<Vec<u8>>, ServerError> {
    let saying = async {
        let (mut out, mut number) = (BytesMut::new(), 0);
        packet(&mut out, &mut number, |out| out.put_slice(body));
        io.asks();
        send(io, &out).await?;
        let answer = io.packet(&mut number).await?;
        match answer.first() {
            Some(0x00 | 0xff) => Ok(answer),
            Some(_) | None => Err(ServerError::Strange("an answer that is neither OK nor error")),
        }
    };
    timeout(DEADLINE, saying).await.map_err(|_| ServerError::TimedOut { after: DEADLINE })?
}

async fn exchange(io: &mut Wire, sql: &str) -> Result<Rows, ServerError> {
    let (mut out, mut number) = (BytesMut::new(), 0);
    packet(&mut out, &mut number, |out| {
        out.put_u8(QUERY);
        out.put_slice(sql.as_bytes());
    });
    send(io, &out).await?;
    let first = io.packet(&mut number).await?;
    if let Some(failure) = proto::failure(&first) {
        return Err(ServerError::Account(told(&failure)));
    }
    if first.first() == Some(&0x00) {
        return Ok(Rows::new());
    }
    let count = Reader(&first).number().ok_or(NO_ROW)?;
    // Columns, and where they end.
    for _ in 0..=count.min(MOST_COLUMNS) {
        io.packet(&mut number).await?;
    }
    let mut rows = Rows::new();
    loop {
        let row = io.packet(&mut number).await?;
        match proto::failure(&row) {
            Some(failure) => return Err(ServerError::Account(told(&failure))),
            None if proto::end(&row).is_some() => return Ok(rows),
            None if rows.len() < MOST_ROWS => rows.push(columns(&row, count).ok_or(NO_ROW)?),
            None => return Err(ServerError::Strange("more rows than were asked for")),
        }
    }
}

/// The columns of a row; one that is null is an empty text.
fn columns(row: &[u8], count: u64) -> Option<Vec<String>> {
    let mut reader = Reader(row);
    let mut column = || match reader.0.split_first() {
        Some((&NULL, rest)) => {
            reader.0 = rest;
            Some(String::new())
        }
        Some(_) | None => Some(String::from_utf8_lossy(reader.counted()?).into_owned()),
    };
    (0..count.min(MOST_COLUMNS)).map(|_| column()).collect()
}

/// A name in SQL.
pub(crate) fn name(text: &str) -> String {
    format!("`{}`", text.replace('`', "``"))
}

const NO_ROW: ServerError = ServerError::Strange("a row that is none");
/// For one exchange; what it does takes milliseconds, unless others hold it up.
const DEADLINE: Duration = Duration::from_secs(15);
const MOST_ROWS: usize = 10_000;
const MOST_COLUMNS: u64 = 16;
const NULL: u8 = 0xfb;
/// `ER_NO_SUCH_THREAD`.
pub(crate) const NO_SUCH_THREAD: u16 = 1094;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_its_columns() {
        let row = [2, b'a', b'b', NULL, 0];
        assert_eq!(columns(&row, 3).unwrap(), ["ab", "", ""]);
        for cut in 0..row.len() {
            assert_eq!(columns(&row[..cut], 3), None, "{cut}");
        }
    }

    #[test]
    fn no_name_gets_out_of_its_quotes() {
        assert_eq!(name("a`; drop user x"), "`a``; drop user x`");
    }
}
