//! One end's bytes: what has come of them, and what of the other end's has gone to it.

use std::io;

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::scan::{Fault, HELD, Scanner, Step, Writer};
use crate::wire::Wire;

pub(crate) struct End {
    pub(crate) io: Wire,
    pub(crate) buffer: BytesMut,
    pub(crate) scanner: Scanner,
    /// How much is read at once: more while much comes, so that an idle connection holds little.
    size: usize,
    /// Whether what was written to it are whole messages, so that another one can follow.
    pub(crate) is_between: bool,
}

impl End {
    pub(crate) fn new(io: Wire, writer: Writer) -> Self {
        let (buffer, scanner) = (BytesMut::new(), Scanner::new(writer));
        Self { io, buffer, scanner, size: LEAST, is_between: true }
    }

    /// Takes a step into what has come, from `at` on; `None`: more is needed.
    pub(crate) fn step(&mut self, at: usize) -> Result<Option<Step<'_>>, Fault> {
        let next = self.scanner.next_number();
        if self.io.is_compressed()
            && self.scanner.is_at_head()
            && let Some(number) = self.buffer.get_mut(at + 3)
        {
            // The other end may look at it.
            *number = next;
        }
        self.scanner.step(&self.buffer[at..])
    }

    /// Reads on; `false`: there is no more. Cancel-safe.
    pub(crate) async fn fill(&mut self) -> io::Result<bool> {
        if self.buffer.is_empty() && self.buffer.capacity() > self.size {
            self.buffer = BytesMut::new();
        }
        self.buffer.reserve(self.size);
        let room = self.buffer.capacity() - self.buffer.len();
        let read = self.io.read_buf(&mut self.buffer).await?;
        self.size = match read {
            read if read == room => (self.size * 4).min(MOST),
            read if read < self.size / 4 => (self.size / 2).max(LEAST),
            _ => self.size,
        };
        Ok(read > 0)
    }

    /// Whether more may be read ahead of its turn.
    pub(crate) fn has_room(&self) -> bool {
        self.buffer.len() < HELD
    }

    /// Sends the first `count` bytes to the other end.
    pub(crate) async fn pass(&mut self, to: &mut Self, count: usize) -> io::Result<()> {
        if count == 0 {
            return Ok(());
        }
        to.is_between = false;
        to.io.write_all(&self.buffer[..count]).await?;
        to.io.flush().await?;
        self.buffer.advance(count);
        to.is_between = self.scanner.is_between();
        Ok(())
    }

    /// Sends whole messages of our own.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.is_between = false;
        self.io.write_all(bytes).await?;
        self.io.flush().await?;
        self.is_between = true;
        Ok(())
    }
}

const LEAST: usize = 2 * 1024;
const MOST: usize = 2 * HELD;
