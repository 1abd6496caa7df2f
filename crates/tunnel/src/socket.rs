//! The UDP sockets below QUIC.
//!
//! quinn's own wait for two things at once: a socket that may be read, and one that may be written. The
//! kernel tells of the second each time that a datagram has left, so each one sent wakes its sender for
//! nothing. Here a socket is asked about writing only by who could not write.

use std::future::Future;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use quinn::udp::{RecvMeta, Transmit, UdpSocketState};
use quinn::{AsyncTimer, AsyncUdpSocket, Runtime, TokioRuntime, UdpPoller};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::{Sleep, sleep};

/// Tokio, with these sockets.
#[derive(Debug)]
pub(crate) struct Quiet;

impl Runtime for Quiet {
    fn new_timer(&self, at: Instant) -> Pin<Box<dyn AsyncTimer>> {
        TokioRuntime.new_timer(at)
    }

    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
        TokioRuntime.spawn(future);
    }

    fn wrap_udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        Ok(Arc::new(UdpSocket::new(socket)?))
    }

    fn now(&self) -> Instant {
        TokioRuntime.now()
    }
}

#[derive(Debug)]
struct UdpSocket {
    state: UdpSocketState,
    readable: AsyncFd<std::net::UdpSocket>,
    /// Whether it could not be written when it was last tried.
    full: AtomicBool,
}

impl UdpSocket {
    fn new(socket: std::net::UdpSocket) -> io::Result<Self> {
        let state = UdpSocketState::new((&socket).into())?;
        let (readable, full) = (watch(socket, Interest::READABLE)?, AtomicBool::new(false));
        Ok(Self { state, readable, full })
    }
}

impl AsyncUdpSocket for UdpSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Writable { socket: self, waiting: None })
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let sent = self.state.send(self.readable.get_ref().into(), transmit);
        if sent.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
            self.full.store(true, Relaxed);
        }
        sent
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut ready = ready!(self.readable.poll_read_ready(cx))?;
            let received =
                ready.try_io(|socket| self.state.recv(socket.get_ref().into(), bufs, meta));
            let Ok(received) = received else { continue };
            // recvmmsg(2) ends early only where nothing is left: what comes later tells of itself.
            if IN_BATCHES && received.as_ref().is_ok_and(|count| *count < bufs.len()) {
                ready.clear_ready();
            }
            return Poll::Ready(received);
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.readable.get_ref().local_addr()
    }

    fn may_fragment(&self) -> bool {
        self.state.may_fragment()
    }

    fn max_transmit_segments(&self) -> usize {
        self.state.max_gso_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.state.gro_segments()
    }
}

/// Waits until a full socket can be written, at a descriptor of its own that is open as long as
/// somebody waits. quinn asks before each datagram.
#[derive(Debug)]
struct Writable {
    socket: Arc<UdpSocket>,
    waiting: Option<Waiting>,
}

#[derive(Debug)]
enum Waiting {
    Told(AsyncFd<std::net::UdpSocket>),
    /// Where no descriptor is left. An error here would end every connection of the socket.
    Moment(Pin<Box<Sleep>>),
}

impl Waiting {
    fn new(own: io::Result<std::net::UdpSocket>) -> Self {
        match own.and_then(|own| watch(own, Interest::WRITABLE)) {
            Ok(own) => Self::Told(own),
            Err(_) => Self::Moment(Box::pin(sleep(MOMENT))),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Told(own) => ready!(own.poll_write_ready(cx))?.clear_ready(),
            Self::Moment(moment) => ready!(Future::poll(moment.as_mut(), cx)),
        }
        Poll::Ready(Ok(()))
    }
}

impl UdpPoller for Writable {
    fn poll_writable(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.waiting.is_none() && !this.socket.full.load(Relaxed) {
            return Poll::Ready(Ok(()));
        }
        let own = || this.socket.readable.get_ref().try_clone();
        ready!(this.waiting.get_or_insert_with(|| Waiting::new(own())).poll(cx))?;
        self.waiting = None;
        self.socket.full.store(false, Relaxed);
        Poll::Ready(Ok(()))
    }
}

#[expect(unsafe_code, reason = "tokio has no type for sockets watched for one thing only")]
fn watch(
    socket: std::net::UdpSocket,
    interest: Interest,
) -> io::Result<AsyncFd<std::net::UdpSocket>> {
    // SAFETY: the standard library's socket owns its descriptor and gives always the same one, and no
    // one here takes it out before the registration ends.
    let watched = unsafe { AsyncFd::register_with_interest(socket, interest) };
    watched.map_err(Into::into)
}

/// A full socket has long been emptied by then.
const MOMENT: Duration = Duration::from_millis(1);
const IN_BATCHES: bool = cfg!(any(target_os = "linux", target_os = "android"));

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::Write as _;
    use std::net::Ipv4Addr;

    use testkit::open_files;
    use tokio::io::AsyncReadExt as _;
    use tokio::runtime::Handle;
    use tokio::task::yield_now;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn what_is_sent_wakes_nobody_here() {
        let (here, there) =
            (socket(), std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
        let address = there.local_addr().unwrap();
        let slept = parks(|| {}).await;
        let sent = parks(|| {
            send(&*here, address, b"there");
            assert_eq!(there.recv(&mut [0; 8]).unwrap(), 5);
        });
        let sent = sent.await;
        assert!(
            sent < slept + ROUNDS / 2,
            "woken {sent} times for {ROUNDS} datagrams, not {slept}"
        );
    }

    /// How often this thread sleeps while it does `each` and is woken from outside, so many times.
    async fn parks(mut each: impl FnMut()) -> u64 {
        let (woken, mut waking) = std::os::unix::net::UnixStream::pair().unwrap();
        woken.set_nonblocking(true).unwrap();
        let mut woken = tokio::net::UnixStream::from_std(woken).unwrap();
        let (ask, asked) = std::sync::mpsc::channel::<()>();
        std::thread::spawn(move || {
            while asked.recv().is_ok() {
                std::thread::sleep(Duration::from_millis(2));
                waking.write_all(b"!").unwrap();
            }
        });
        let count = || Handle::current().metrics().worker_park_count(0);
        let before = count();
        for _ in 0..ROUNDS {
            each();
            ask.send(()).unwrap();
            woken.read_u8().await.unwrap();
        }
        count() - before
    }

    #[tokio::test]
    async fn what_comes_while_nothing_is_left_is_told() {
        let (here, there) = (socket(), socket());
        let address = here.local_addr().unwrap();
        for round in 0..ROUNDS {
            let count = 1 + round % 40;
            for _ in 0..count {
                send(&*there, address, b"here");
            }
            let mut came = 0;
            while came < count {
                came += timeout(Duration::from_secs(20), receive(&*here)).await.unwrap();
            }
            assert_eq!(came, count);
        }
        assert!(timeout(Duration::from_millis(5), receive(&*here)).await.is_err());
    }

    #[tokio::test]
    async fn only_who_could_not_write_waits_and_at_a_descriptor_for_that_long() {
        let here = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let here = Arc::new(UdpSocket::new(here).unwrap());
        let mut poller = here.clone().create_io_poller();
        let mut ask = || poll_now(|cx| poller.as_mut().poll_writable(cx));
        let before = open_files();
        assert!(ask().is_ready());
        assert_eq!(open_files(), before);
        for _ in 0..ROUNDS {
            here.full.store(true, Relaxed);
            // The kernel has not been asked yet.
            assert!(ask().is_pending());
            assert_eq!(open_files(), before + 1);
            while ask().is_pending() {
                yield_now().await;
            }
            assert!(!here.full.load(Relaxed));
            assert_eq!(open_files(), before);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_could_not_write_and_has_no_descriptor_to_wait_at_tries_again_in_a_moment() {
        let mut waiting = Waiting::new(Err(io::Error::from_raw_os_error(EMFILE)));
        assert!(poll_now(|cx| waiting.poll(cx)).is_pending());
        let begun = tokio::time::Instant::now();
        poll_fn(|cx| waiting.poll(cx)).await.unwrap();
        assert_eq!(begun.elapsed(), MOMENT);
    }

    fn poll_now<T>(mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
        poll(&mut Context::from_waker(std::task::Waker::noop()))
    }

    fn socket() -> Arc<dyn AsyncUdpSocket> {
        let socket = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        Quiet.wrap_udp_socket(socket).unwrap()
    }

    fn send(socket: &dyn AsyncUdpSocket, destination: SocketAddr, contents: &[u8]) {
        let (ecn, segment_size, src_ip) = (None, None, None);
        socket.try_send(&Transmit { destination, ecn, contents, segment_size, src_ip }).unwrap();
    }

    /// Datagrams that have come, counted.
    async fn receive(socket: &dyn AsyncUdpSocket) -> u64 {
        let mut space = vec![[0_u8; 4096]; 32];
        let mut bufs: Vec<IoSliceMut<'_>> =
            space.iter_mut().map(|one| IoSliceMut::new(one)).collect();
        let mut meta = [RecvMeta::default(); 32];
        let count = poll_fn(|cx| socket.poll_recv(cx, &mut bufs, &mut meta)).await.unwrap();
        meta.iter().take(count).map(|one| one.len.div_ceil(one.stride) as u64).sum()
    }

    const ROUNDS: u64 = 100;
    /// Too many open files.
    const EMFILE: i32 = 24;
}
