//! Stdin and stdout as one stream.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use splice::FromIo;
use tokio::io::{AsyncRead, AsyncWrite, Join, join};
use tokio::net::unix::pipe;

use crate::os::take_standard;

/// What is read from stdin, and what is written to stdout.
type Standard = FromIo<Join<Box<dyn AsyncRead + Send + Unpin>, Closing>>;

/// Takes stdin and stdout from this process, so that whoever reads our stdout sees it end when the
/// application ends it: `ssh` waits for that.
pub fn standard_streams() -> io::Result<Standard> {
    let stdin = take_standard(io::stdin())?;
    let stdout = take_standard(io::stdout())?;
    Ok(FromIo::new(join(reader(stdin)?, Closing::new(writer(stdout)?))))
}

/// A pipe, as ssh gives us one, is polled; anything else is read by a thread that may block.
fn reader(stdin: OwnedFd) -> io::Result<Box<dyn AsyncRead + Send + Unpin>> {
    let stdin = File::from(stdin);
    Ok(match pipe::Receiver::from_file(stdin.try_clone()?) {
        Ok(pipe) => Box::new(pipe),
        Err(_) => Box::new(tokio::fs::File::from_std(stdin)),
    })
}

fn writer(stdout: OwnedFd) -> io::Result<Box<dyn AsyncWrite + Send + Unpin>> {
    let stdout = File::from(stdout);
    Ok(match pipe::Sender::from_file(stdout.try_clone()?) {
        Ok(pipe) => Box::new(pipe),
        Err(_) => Box::new(tokio::fs::File::from_std(stdout)),
    })
}

/// A writer whose shutdown closes the file.
pub struct Closing(Option<Box<dyn AsyncWrite + Send + Unpin>>);

impl Closing {
    fn new(writer: Box<dyn AsyncWrite + Send + Unpin>) -> Self {
        Self(Some(writer))
    }

    fn open(&mut self) -> io::Result<Pin<&mut (dyn AsyncWrite + Send + Unpin)>> {
        match &mut self.0 {
            Some(writer) => Ok(Pin::new(writer.as_mut())),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }
}

impl AsyncWrite for Closing {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.open()?.poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.open()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(writer) = &mut self.0 {
            ready!(Pin::new(writer).poll_shutdown(cx))?;
        }
        self.0 = None;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn shutting_the_writer_down_ends_the_pipe_for_its_reader() {
        let (mut theirs, ours) = io::pipe().unwrap();
        let mut writer = Closing::new(writer(ours.into()).unwrap());
        writer.write_all(b"last words").await.unwrap();
        writer.shutdown().await.unwrap();
        let mut got = String::new();
        theirs.read_to_string(&mut got).unwrap();
        assert_eq!(got, "last words");
        assert!(writer.write_all(b"more").await.is_err());
    }

    #[tokio::test]
    async fn pipes_and_files_are_both_read_to_their_end() {
        let (ours, mut theirs) = io::pipe().unwrap();
        theirs.write_all(b"from a pipe").unwrap();
        drop(theirs);
        assert_eq!(all(reader(ours.into()).unwrap()).await, "from a pipe");
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"from a file").unwrap();
        std::io::Seek::rewind(&mut file).unwrap();
        assert_eq!(all(reader(file.into()).unwrap()).await, "from a file");
    }

    async fn all(mut reader: Box<dyn AsyncRead + Send + Unpin>) -> String {
        let mut text = String::new();
        let read = timeout(Duration::from_secs(5), reader.read_to_string(&mut text)).await;
        read.expect("took too long").unwrap();
        text
    }
}
