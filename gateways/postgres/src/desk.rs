//! Statements of the relay's own: a few, simple, and with short answers.

use bytes::BytesMut;
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

use crate::proto::{message, text};
use crate::server::{Server, ServerError, Wire, read, told};

/// A login of the relay's own.
pub(crate) struct Desk {
    io: Wire,
}

impl Desk {
    pub(crate) fn new(server: Server) -> Self {
        Self { io: server.io }
    }

    /// Runs statements in one transaction, and gives the rows' columns as texts.
    pub(crate) async fn ask(&mut self, sql: &str) -> Result<Vec<Vec<String>>, ServerError> {
        let asking = Box::pin(self.exchange(sql));
        timeout(DEADLINE, asking).await.map_err(|_| ServerError::TimedOut { after: DEADLINE })?
    }

    /// Says goodbye.
    pub(crate) async fn leave(mut self) {
        let mut out = BytesMut::new();
        message(&mut out, b'X', |_| {});
        // It is over either way.
        drop(timeout(DEADLINE, self.io.write_all(&out)).await);
        drop(timeout(DEADLINE, self.io.shutdown()).await);
    }

    async fn exchange(&mut self, sql: &str) -> Result<Vec<Vec<String>>, ServerError> {
        let mut out = BytesMut::new();
        message(&mut out, b'Q', |out| text(out, sql));
        self.io.write_all(&out).await?;
        self.io.flush().await?;
        let (mut rows, mut failed) = (Vec::new(), None);
        loop {
            let (kind, body) = read(&mut self.io).await?;
            match kind {
                b'D' if rows.len() < MOST_ROWS => rows.push(columns(&body).ok_or(NO_ROW)?),
                b'D' => return Err(ServerError::Strange("more rows than were asked for")),
                b'E' => failed = Some(told(&body)),
                b'Z' => break,
                b'C' | b'T' | b'N' | b'S' | b'I' => {}
                _ => return Err(ServerError::Strange("a message that no answer has")),
            }
        }
        failed.map_or(Ok(rows), |told| Err(ServerError::Account(told)))
    }
}

/// The columns of a row; one that is null is an empty text.
fn columns(row: &[u8]) -> Option<Vec<String>> {
    let (count, mut rest) = row.split_first_chunk::<2>()?;
    let mut columns = Vec::new();
    for _ in 0..u16::from_be_bytes(*count) {
        let (length, values) = rest.split_first_chunk::<4>()?;
        // A length of -1 is null.
        let length = usize::try_from(i32::from_be_bytes(*length)).unwrap_or_default();
        let (value, behind) = values.split_at_checked(length)?;
        columns.push(String::from_utf8_lossy(value).into_owned());
        rest = behind;
    }
    Some(columns)
}

/// A text in SQL, whatever the server's `standard_conforming_strings` is.
pub(crate) fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// A name in SQL.
pub(crate) fn name(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

const NO_ROW: ServerError = ServerError::Strange("a row that is none");
/// For one exchange; what it does takes milliseconds, unless others hold it up.
const DEADLINE: std::time::Duration = std::time::Duration::from_secs(15);
const MOST_ROWS: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_its_columns() {
        let row = [0, 3, 0, 0, 0, 2, b'a', b'b', 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];
        assert_eq!(columns(&row).unwrap(), ["ab", "", ""]);
        for cut in 0..row.len() - 1 {
            assert_eq!(columns(&row[..cut]), None, "{cut}");
        }
    }

    #[test]
    fn no_text_gets_out_of_its_quotes() {
        assert_eq!(literal(r"a'b\c"), r"E'a''b\\c'");
        assert_eq!(name(r#"a"; drop role x"#), r#""a""; drop role x""#);
    }
}
