//! Compression, as clients and servers agree on it at the login: the packets go in frames, each with
//! its length, a number, and the length of what is compressed in it; nought where nothing is.
//!
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_compression.html>

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::wire::Duplex;

/// Bytes to and from one end, in frames. What a frame holds is given on as it is unpacked, so one that
/// unpacks to much takes no more memory than another.
pub(crate) struct Compressed {
    io: Box<dyn Duplex>,
    reading: Reading,
    /// What has come of a frame's compressed bytes.
    input: BytesMut,
    /// Frames that have not gone yet.
    out: BytesMut,
    packer: Option<Box<Compress>>,
    /// The number of the next frame that goes.
    next: u8,
    /// Of the last one that came.
    seen: u8,
}

/// Where in what comes it is.
enum Reading {
    Head { bytes: [u8; HEAD], have: usize },
    Plain { left: usize },
    Packed { left: usize, unpacks_to: usize, unpacker: Box<Decompress> },
}

impl Compressed {
    pub(crate) fn new(io: Box<dyn Duplex>) -> Self {
        let (input, out) = (BytesMut::new(), BytesMut::new());
        Self { io, reading: HEADLESS, input, out, packer: None, next: 0, seen: 0 }
    }

    /// What goes now is asked.
    pub(crate) fn asks(&mut self) {
        self.next = 0;
    }

    /// What goes now answers what came.
    pub(crate) fn answers(&mut self) {
        self.next = self.seen.wrapping_add(1);
    }

    /// Takes the head of a frame.
    fn begin(&mut self, head: [u8; HEAD]) -> io::Result<()> {
        let [a, b, c, number, d, e, f] = head;
        let length =
            |a: u8, b: u8, c: u8| usize::from(a) | usize::from(b) << 8 | usize::from(c) << 16;
        let (left, unpacks_to) = (length(a, b, c), length(d, e, f));
        self.seen = number;
        self.reading = match (left, unpacks_to) {
            (0, _) => return Err(wrong("an empty frame")),
            (_, 0) => Reading::Plain { left },
            _ => Reading::Packed { left, unpacks_to, unpacker: Decompress::new(true).into() },
        };
        Ok(())
    }

    /// Unpacks some of a frame, `read` of whose bytes have just come.
    fn unpack(&mut self, read: usize, buf: &mut ReadBuf<'_>) -> io::Result<()> {
        let Reading::Packed { left, unpacks_to, unpacker } = &mut self.reading else {
            return Ok(());
        };
        *left -= read;
        let (before, mut none) = ((unpacker.total_in(), unpacker.total_out()), [0]);
        let room = (*unpacks_to).min(buf.remaining());
        // What ends a frame comes behind its last byte, where there must be room for none.
        let room = if room == 0 { &mut none } else { buf.initialize_unfilled_to(room) };
        let status = unpacker.decompress(&self.input, room, FlushDecompress::None);
        let status = status.map_err(|_| wrong("a frame that can not be unpacked"))?;
        let count = |now: u64, before: u64| usize::try_from(now - before).unwrap_or(usize::MAX);
        let taken = count(unpacker.total_in(), before.0);
        let made = count(unpacker.total_out(), before.1);
        let more = || wrong("a frame unpacks to more than it says");
        *unpacks_to = unpacks_to.checked_sub(made).ok_or_else(more)?;
        self.input.advance(taken);
        buf.advance(made);
        let all = self.input.is_empty() && *left == 0;
        match status {
            Status::StreamEnd if all && *unpacks_to == 0 => {
                (self.reading, self.input) = (HEADLESS, BytesMut::new());
                Ok(())
            }
            Status::StreamEnd => Err(wrong("a frame is not as long as it says")),
            Status::Ok | Status::BufError if all && made == 0 && taken == 0 => {
                Err(wrong("a frame is cut short"))
            }
            Status::Ok | Status::BufError => Ok(()),
        }
    }

    /// Appends these bytes as a frame.
    fn pack(&mut self, bytes: &[u8]) -> io::Result<()> {
        let at = self.out.len();
        self.out.extend_from_slice(&[0; HEAD]);
        let packed = bytes.len() >= LEAST && self.deflate(bytes, at)?;
        if !packed {
            self.out.truncate(at + HEAD);
            self.out.extend_from_slice(bytes);
        }
        let [a, b, c] = short(self.out.len() - at - HEAD);
        let [d, e, f] = short(if packed { bytes.len() } else { 0 });
        self.out[at..at + HEAD].copy_from_slice(&[a, b, c, self.next, d, e, f]);
        self.next = self.next.wrapping_add(1);
        Ok(())
    }

    /// Appends them compressed; `false`: that would be no shorter.
    fn deflate(&mut self, bytes: &[u8], at: usize) -> io::Result<bool> {
        let packer =
            self.packer.get_or_insert_with(|| Compress::new(Compression::fast(), true).into());
        packer.reset();
        self.out.resize(at + HEAD + bytes.len(), 0);
        let room = &mut self.out[at + HEAD..];
        let status = packer.compress(bytes, room, FlushCompress::Finish);
        let status = status.map_err(|_| wrong("it can not be compressed"))?;
        let length = usize::try_from(packer.total_out()).unwrap_or(usize::MAX);
        if bytes.len() < BULK {
            // It is large, and not needed while nothing much goes.
            self.packer = None;
        }
        let shorter = status == Status::StreamEnd && length < bytes.len();
        self.out.truncate(at + HEAD + length);
        Ok(shorter)
    }

    fn drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.out.is_empty() {
            let wrote = ready!(Pin::new(&mut self.io).poll_write(cx, &self.out))?;
            if wrote == 0 {
                return Poll::Ready(Err(ErrorKind::WriteZero.into()));
            }
            self.out.advance(wrote);
        }
        self.out = BytesMut::new();
        Poll::Ready(Ok(()))
    }

    /// Reads some of a packed frame's bytes, where there are none.
    fn refill(&mut self, cx: &mut Context<'_>, left: usize) -> Poll<io::Result<usize>> {
        if !self.input.is_empty() || left == 0 {
            return Poll::Ready(Ok(0));
        }
        self.input.resize(left.min(PIECE), 0);
        let mut piece = ReadBuf::new(&mut self.input);
        let read = Pin::new(&mut self.io).poll_read(cx, &mut piece);
        let count = piece.filled().len();
        self.input.truncate(count);
        ready!(read)?;
        if count == 0 {
            Poll::Ready(Err(ErrorKind::UnexpectedEof.into()))
        } else {
            Poll::Ready(Ok(count))
        }
    }
}

impl AsyncRead for Compressed {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        while buf.filled().len() == before {
            match &mut this.reading {
                Reading::Head { bytes, have } => {
                    let mut head = ReadBuf::new(&mut bytes[*have..]);
                    ready!(Pin::new(&mut this.io).poll_read(cx, &mut head))?;
                    let read = head.filled().len();
                    match (read, *have) {
                        (0, 0) => return Poll::Ready(Ok(())),
                        (0, _) => return Poll::Ready(Err(ErrorKind::UnexpectedEof.into())),
                        _ => *have += read,
                    }
                    if *have == HEAD {
                        let head = *bytes;
                        this.begin(head)?;
                    }
                }
                Reading::Plain { left } => {
                    let room = (*left).min(buf.remaining());
                    let mut piece = ReadBuf::new(buf.initialize_unfilled_to(room));
                    ready!(Pin::new(&mut this.io).poll_read(cx, &mut piece))?;
                    let read = piece.filled().len();
                    if read == 0 {
                        return Poll::Ready(Err(ErrorKind::UnexpectedEof.into()));
                    }
                    buf.advance(read);
                    *left -= read;
                    if *left == 0 {
                        this.reading = HEADLESS;
                    }
                }
                Reading::Packed { left, .. } => {
                    let left = *left;
                    let read = ready!(this.refill(cx, left))?;
                    this.unpack(read, buf)?;
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Compressed {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.drain(cx))?;
        let bytes = &buf[..buf.len().min(LONGEST)];
        this.pack(bytes)?;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.drain(cx))?;
        Pin::new(&mut this.io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.drain(cx))?;
        Pin::new(&mut this.io).poll_shutdown(cx)
    }
}

/// The three bytes of a length.
fn short(length: usize) -> [u8; 3] {
    // A frame of ours is far shorter than that can say.
    let [a, b, c, _] = u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
    [a, b, c]
}

fn wrong(what: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

const HEAD: usize = 7;
const HEADLESS: Reading = Reading::Head { bytes: [0; HEAD], have: 0 };
/// How much of a packed frame is read at once.
const PIECE: usize = 8 * 1024;
/// What is compressed at all, as servers have it.
const LEAST: usize = 50;
/// From here on more of that kind is to be expected.
const BULK: usize = 16 * 1024;
/// The most of ours in one frame.
const LONGEST: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
    use tokio::time::timeout;

    use super::*;

    fn frame(number: u8, packed: &[u8], unpacks_to: usize) -> Vec<u8> {
        let ([a, b, c], [d, e, f]) = (short(packed.len()), short(unpacks_to));
        [&[a, b, c, number, d, e, f][..], packed].concat()
    }

    fn zlib(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len() + 1024);
        let mut packer = Compress::new(Compression::best(), true);
        packer.compress_vec(bytes, &mut out, FlushCompress::Finish).unwrap();
        out
    }

    /// What is read of these bytes, and the most that is held meanwhile.
    async fn read(bytes: &[u8]) -> io::Result<(usize, usize)> {
        let (mut far, near) = duplex(4096);
        let bytes = bytes.to_vec();
        let writing = async move {
            drop(far.write_all(&bytes).await);
            drop(far.shutdown().await);
        };
        let reading = async {
            let mut io = Compressed::new(Box::new(near));
            let (mut piece, mut all, mut held) = ([0; 3000], 0, 0);
            loop {
                let count = io.read(&mut piece).await?;
                held = held.max(io.input.capacity());
                all += count;
                if count == 0 {
                    return Ok((all, held));
                }
            }
        };
        let both = async { tokio::join!(writing, reading).1 };
        timeout(Duration::from_secs(60), both).await.unwrap()
    }

    #[tokio::test]
    async fn a_frame_that_unpacks_to_a_thousand_times_as_much_is_held_in_little() {
        let zeros = vec![0; 0xff_ffff];
        let (all, held) = read(&frame(0, &zlib(&zeros), zeros.len())).await.unwrap();
        assert_eq!(all, zeros.len());
        assert!(held <= 2 * PIECE, "{held}");
    }

    #[tokio::test]
    async fn what_is_no_frame_ends_it() {
        let packed = zlib(&[7; 5000]);
        let (short, long) = (frame(0, &packed, 4999), frame(0, &packed, 5001));
        let behind = frame(0, &[&packed[..], &[0]].concat(), 5000);
        let cut = frame(0, &packed[..packed.len() - 5], 5000);
        let garbage = frame(0, &[1; 60], 5000);
        for bad in [short, long, behind, cut, garbage, frame(0, &[], 0), frame(0, &[], 9)] {
            let error = read(&bad).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
        }
        let whole = frame(0, &packed, 5000);
        for cut in 1..whole.len() {
            assert_eq!(read(&whole[..cut]).await.unwrap_err().kind(), ErrorKind::UnexpectedEof);
        }
        assert_eq!(read(&whole).await.unwrap().0, 5000);
    }

    #[tokio::test]
    async fn numbers_begin_with_each_question_and_go_on_in_its_answer() {
        let (mut far, near) = duplex(4096);
        let mut io = Compressed::new(Box::new(near));
        far.write_all(&frame(4, b"ask", 0)).await.unwrap();
        io.read_exact(&mut [0; 3]).await.unwrap();
        io.answers();
        io.write_all(b"one").await.unwrap();
        io.write_all(b"two").await.unwrap();
        io.asks();
        io.write_all(b"new").await.unwrap();
        io.flush().await.unwrap();
        let mut wrote = vec![0; 30];
        far.read_exact(&mut wrote).await.unwrap();
        let expected = [frame(5, b"one", 0), frame(6, b"two", 0), frame(0, b"new", 0)];
        assert_eq!(wrote, expected.concat());
    }

    proptest! {
        #[test]
        fn what_one_end_says_the_other_hears(
            pieces in prop::collection::vec((0usize..100_000, any::<u8>()), 1..4),
            room in 1usize..5000,
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let said: Vec<Vec<u8>> = pieces.iter().map(|(length, seed)| {
                (0..*length).map(|n| ((n * usize::from(*seed)) >> 7).to_le_bytes()[0]).collect()
            }).collect();
            let heard = runtime.block_on(async {
                let (far, near) = duplex(room);
                let (mut far, mut near) = (Compressed::new(Box::new(far)), Compressed::new(Box::new(near)));
                let (mut heard, whole) = (Vec::new(), said.concat());
                let saying = async {
                    for piece in &said {
                        far.write_all(piece).await.unwrap();
                    }
                    far.shutdown().await.unwrap();
                    drop(far);
                };
                tokio::join!(saying, async { near.read_to_end(&mut heard).await.unwrap() });
                prop_assert_eq!(heard.len(), whole.len());
                Ok::<_, TestCaseError>(heard == whole)
            })?;
            prop_assert!(heard);
        }
    }
}
