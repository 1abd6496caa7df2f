//! A local port whose connections each become a session.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use access::EndReason;
use splice::{Finish, Joined, Stream, Tcp, join};
use tokio::io::Interest;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep};

use super::{Board, Opener, told};
use crate::exit::{Exit, Failure};

/// Opens the local port.
pub fn bind(address: SocketAddr) -> Result<TcpListener, Failure> {
    listen(address).map_err(|error| {
        let failure = match error.kind() {
            io::ErrorKind::AddrInUse => {
                format!("another program already listens on {address}")
            }
            _ => format!("cannot listen on {address}: {error}"),
        };
        Failure::new(Exit::Failed, failure).hint("choose another port with --listen")
    })
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A tunnel that is started again must not wait for the old one's connections to time out.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Who comes to a port.
pub struct Clients {
    listener: TcpListener,
    /// One who came before there was anything to carry.
    first: Option<TcpStream>,
}

impl From<TcpListener> for Clients {
    fn from(listener: TcpListener) -> Self {
        Self { listener, first: None }
    }
}

impl Clients {
    /// Those of this port, once there is one.
    pub async fn first(listener: TcpListener) -> io::Result<Self> {
        let (first, _) = listener.accept().await?;
        Ok(Self { listener, first: Some(first) })
    }

    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The next one. Can be dropped without losing any.
    async fn accept(&mut self) -> io::Result<TcpStream> {
        match self.first.take() {
            Some(first) => Ok(first),
            None => self.listener.accept().await.map(|(socket, _)| socket),
        }
    }
}

/// Carries connections until it is dropped, which ends them all. How many there can be at once is
/// bounded by the process's limit of open files.
pub async fn serve<O: Opener>(clients: impl Into<Clients>, opener: Arc<O>, board: Arc<Board>) {
    let (mut clients, mut sessions) = (clients.into(), JoinSet::new());
    loop {
        tokio::select! {
            biased;
            Some(done) = sessions.join_next(), if !sessions.is_empty() => note(done),
            accepted = clients.accept() => match accepted {
                Ok(socket) => {
                    sessions.spawn(carry(socket, Arc::clone(&opener), Arc::clone(&board)));
                }
                Err(error) => {
                    board.complain(Failure::new(Exit::Failed, format!("cannot accept: {error}")));
                    // Out of files or memory: that does not pass within a microsecond.
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
}

async fn carry<O: Opener>(socket: TcpStream, opener: Arc<O>, board: Arc<Board>) {
    // Fails where the client is gone already.
    let Ok(socket) = Tcp::new(socket) else { return };
    let mut local = Local { socket, orderly: false };
    // Boxed, so that a session that is open does not keep the room that opening it took.
    let opened = Box::pin(open(local.socket.socket(), opener.as_ref())).await;
    match opened {
        Ok(mut remote) => {
            let live = board.session();
            match join(&mut local.socket, &mut remote, board.carried()).await {
                Finish::Closed(_) => local.orderly = true,
                Finish::Broken(Joined::First, _) => remote.abort(EndReason::Broken.number()),
                Finish::Broken(Joined::Second, error) => {
                    // Its client need not wait for what there is to say to its user.
                    let _ending = board.ending();
                    drop((local, live));
                    let failure = Box::pin(told(&error, opener.last_words(&remote))).await;
                    failure.into_iter().for_each(|failure| board.complain(failure));
                }
            }
        }
        Err(Some(failure)) => board.complain(failure),
        Err(None) => tracing::debug!("A client left before its session was open"),
    }
}

/// Opens a session for a client; `None` says that the client has gone away meanwhile.
async fn open<O: Opener>(client: &TcpStream, opener: &O) -> Result<O::Stream, Option<Failure>> {
    tokio::select! {
        biased;
        opened = opener.open() => opened.map_err(Some),
        () = gone(client) => Err(None),
    }
}

/// Completes when the client of a session that is not open yet has gone away.
///
/// A program that closes its connection looks like one that has said all and still listens, until
/// something is sent to it. So it has a moment more, in which most sessions open.
async fn gone(client: &TcpStream) {
    let mut closed = None;
    loop {
        sleep(LOOK).await;
        // What was received stays where it is: this asks for the connection's state only.
        let Ok(state) = client.ready(Interest::READABLE | Interest::WRITABLE).await else { return };
        if state.is_write_closed() {
            return;
        }
        if state.is_read_closed()
            && closed.get_or_insert_with(Instant::now).elapsed() >= HALF_CLOSED
        {
            return;
        }
    }
}

/// A client's connection. Unless both sides have ended in order, dropping it resets it: half of a
/// transfer must never look like the whole, whatever ends this program.
struct Local {
    socket: Tcp,
    orderly: bool,
}

impl Drop for Local {
    fn drop(&mut self) {
        if !self.orderly {
            self.socket.abort(EndReason::Broken.number());
        }
    }
}

fn note(done: Result<(), JoinError>) {
    if let Err(error) = done {
        tracing::error!(%error, "A session panicked");
    }
}

const BACKLOG: u32 = 4096;
/// How often a client is looked at while its session is being opened.
const LOOK: Duration = Duration::from_millis(100);
/// How long a client that has closed its side may wait for its session to open.
const HALF_CLOSED: Duration = Duration::from_secs(1);
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll};

    use bytes::Bytes;
    use splice::FromIo;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::sync::{mpsc, watch};
    use tokio::time::timeout;
    use tunnel::StreamError;

    use super::*;
    use crate::testing::Paper;

    #[tokio::test]
    async fn each_local_connection_becomes_a_session_of_its_own() {
        let (opener, mut targets) = fake();
        let paper = Paper::default();
        let (address, _serving) = start(opener, &paper);
        let mut first = TcpStream::connect(address).await.unwrap();
        let mut second = TcpStream::connect(address).await.unwrap();
        for client in [&mut first, &mut second] {
            client.write_all(b"ping").await.unwrap();
            let mut target = within(targets.recv()).await.unwrap();
            let mut got = [0; 4];
            target.read_exact(&mut got).await.unwrap();
            target.write_all(b"pong").await.unwrap();
            client.read_exact(&mut got).await.unwrap();
            assert_eq!(&got, b"pong");
        }
        assert_eq!(paper.err(), "");
    }

    #[tokio::test]
    async fn an_orderly_end_is_passed_on_as_one() {
        let (opener, mut targets) = fake();
        let (address, _serving) = start(opener, &Paper::default());
        let mut client = TcpStream::connect(address).await.unwrap();
        let mut target = within(targets.recv()).await.unwrap();
        client.shutdown().await.unwrap();
        assert_eq!(within(target.read(&mut [0])).await.unwrap(), 0);
        target.write_all(b"rest").await.unwrap();
        drop(target);
        let mut rest = String::new();
        within(client.read_to_string(&mut rest)).await.unwrap();
        assert_eq!(rest, "rest");
    }

    #[tokio::test]
    async fn a_session_the_relay_ends_is_explained_and_reset() {
        let (opener, mut targets) = fake();
        let opener = Fake { end: Some(EndReason::Killed), ..opener };
        let paper = Paper::default();
        let (address, _serving) = start(opener, &paper);
        let mut client = TcpStream::connect(address).await.unwrap();
        let _target = within(targets.recv()).await.unwrap();
        let error = within(client.read(&mut [0])).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        let told = "adit: db: an administrator ended this session [session.killed]\n";
        assert_eq!(paper.err(), told);
    }

    #[tokio::test]
    async fn the_words_of_the_admin_who_ended_it_are_said_before_all_is_said() {
        let (opener, mut targets) = fake();
        let (sender, words) = watch::channel(None);
        let opener = Fake { end: Some(EndReason::Killed), words: Some(words), ..opener };
        let (paper, listener) = (Paper::default(), bind(([127, 0, 0, 1], 0).into()).unwrap());
        let address = listener.local_addr().unwrap();
        let board = Arc::new(Board::new(paper.ui(false), "db"));
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, Arc::new(opener), board.clone()));
        let mut client = TcpStream::connect(address).await.unwrap();
        let _target = within(targets.recv()).await.unwrap();
        // The client hears of the end at once, whenever the words come.
        assert!(within(client.read(&mut [0])).await.is_err());
        assert_eq!(paper.err(), "");
        sender.send_replace(Some("back at five".into()));
        within(board.all_said()).await;
        let told = "adit: db: an administrator ended this session: back at five [session.killed]\n";
        assert_eq!(paper.err(), told);
    }

    #[tokio::test]
    async fn a_refused_session_resets_its_connection_at_once_and_is_explained() {
        let (opener, _targets) = fake();
        let opener = Fake { refuse: Some("access.denied"), ..opener };
        let paper = Paper::default();
        let (address, _serving) = start(opener, &paper);
        let mut client = TcpStream::connect(address).await.unwrap();
        let error = within(client.read(&mut [0])).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(paper.err(), "adit: db: no [access.denied]\n");
    }

    #[tokio::test]
    async fn stopping_the_tunnel_breaks_its_sessions_visibly() {
        let (opener, mut targets) = fake();
        let (address, serving) = start(opener, &Paper::default());
        let mut client = TcpStream::connect(address).await.unwrap();
        let _target = within(targets.recv()).await.unwrap();
        drop(serving);
        let error = within(client.read(&mut [0])).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert!(TcpStream::connect(address).await.is_err());
    }

    #[tokio::test]
    async fn a_client_that_leaves_while_its_session_opens_gives_it_up() {
        for reset in [true, false] {
            let (opener, _targets) = fake();
            let (asked, mut given_up) = mpsc::channel(1);
            let opener = Fake { never: Some(asked), ..opener };
            let paper = Paper::default();
            let (address, _serving) = start(opener, &paper);
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_all(b"half a request").await.unwrap();
            let mut client = Tcp::new(client).unwrap();
            if reset {
                client.abort(0);
            }
            drop(client);
            assert_eq!(within(given_up.recv()).await, Some(()), "reset: {reset}");
            assert_eq!(paper.err(), "");
        }
    }

    #[tokio::test]
    async fn a_client_that_has_said_all_may_wait_for_its_session() {
        let (opener, mut targets) = fake();
        let opener = Fake { late: Duration::from_millis(400), ..opener };
        let (address, _serving) = start(opener, &Paper::default());
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"all").await.unwrap();
        client.shutdown().await.unwrap();
        let mut target = within(targets.recv()).await.unwrap();
        let mut all = String::new();
        within(target.read_to_string(&mut all)).await.unwrap();
        assert_eq!(all, "all");
    }

    #[tokio::test]
    async fn an_idle_session_takes_little_room() {
        let (opener, _targets) = fake();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let board = Arc::new(Board::new(Paper::default().ui(false), "db"));
        let size = size_of_val(&carry(socket, Arc::new(opener), board));
        assert!(size <= 1536, "{size} bytes");
    }

    struct Fake {
        refuse: Option<&'static str>,
        end: Option<EndReason>,
        /// What comes with that; `None`: nothing ever.
        words: Option<watch::Receiver<Option<Arc<str>>>>,
        /// Opens nothing, and tells when that is given up.
        never: Option<mpsc::Sender<()>>,
        late: Duration,
        targets: mpsc::Sender<DuplexStream>,
    }

    impl Opener for Fake {
        type Stream = FakeStream;

        async fn open(&self) -> Result<FakeStream, Failure> {
            if let Some(code) = self.refuse {
                return Err(Failure::coded(code, "no"));
            }
            if let Some(sender) = self.never.clone() {
                let _told = Told(sender);
                std::future::pending::<()>().await;
            }
            sleep(self.late).await;
            let (ours, theirs) = duplex(1024);
            self.targets.send(theirs).await.unwrap();
            Ok(FakeStream { io: FromIo::new(ours), end: self.end })
        }

        async fn last_words(&self, _session: &FakeStream) -> Option<Arc<str>> {
            let mut words = self.words.clone()?;
            words.wait_for(Option::is_some).await.ok()?.clone()
        }
    }

    struct Told(mpsc::Sender<()>);

    impl Drop for Told {
        fn drop(&mut self) {
            self.0.try_send(()).unwrap();
        }
    }

    /// A stream to a target; with `end` the relay has ended it before its first byte.
    struct FakeStream {
        io: FromIo<DuplexStream>,
        end: Option<EndReason>,
    }

    impl Stream for FakeStream {
        fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
            match self.end {
                Some(reason) => Poll::Ready(Err(io::Error::other(StreamError::Ended(reason)))),
                None => self.io.poll_recv(cx),
            }
        }

        fn poll_send(&mut self, cx: &mut Context<'_>, data: &mut Bytes) -> Poll<io::Result<()>> {
            self.io.poll_send(cx, data)
        }

        fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.io.poll_flush(cx)
        }

        fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.io.poll_finish(cx)
        }

        fn abort(&mut self, code: u32) {
            self.io.abort(code);
        }
    }

    fn fake() -> (Fake, mpsc::Receiver<DuplexStream>) {
        let (targets, receiver) = mpsc::channel(8);
        let (refuse, end, words, never) = (None, None, None, None);
        (Fake { refuse, end, words, never, late: Duration::ZERO, targets }, receiver)
    }

    fn start(opener: Fake, paper: &Paper) -> (SocketAddr, JoinSet<()>) {
        let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = listener.local_addr().unwrap();
        let board = Arc::new(Board::new(paper.ui(false), "db"));
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, Arc::new(opener), board));
        (address, serving)
    }

    async fn within<T>(future: impl Future<Output = T>) -> T {
        timeout(Duration::from_secs(5), future).await.expect("took too long")
    }
}
