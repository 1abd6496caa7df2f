//! An SSH server in this process that plays the target.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use russh::keys::{Certificate, PrivateKey};
use russh::server::{self, Auth, ChannelOpenHandle, Handler, Msg, Response, Session};
use russh::{Channel, ChannelId, ChannelMsg, Disconnect, MethodKind, MethodSet, Sig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// Lets `ubuntu` in with `right`. Its commands:
/// `echo` sends back its input, `flood N` sends N bytes, `sink` reads nothing until released and then
/// says how much there was, `arrive PORT` has somebody connect to a port, `status N` and `signal` end so, `both` writes to both outputs.
pub(crate) struct FakeTarget {
    pub(crate) address: SocketAddr,
    pub(crate) host_key: String,
    pub(crate) shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

#[derive(Default)]
pub(crate) struct Shared {
    pub(crate) passwords: Mutex<Vec<String>>,
    pub(crate) requests: Mutex<Vec<String>>,
    pub(crate) connections: std::sync::atomic::AtomicUsize,
    pub(crate) released: tokio::sync::Notify,
    pub(crate) leaving: tokio::sync::Notify,
}

/// The port it takes where it may choose; somebody connects to it at once.
pub(crate) const TAKEN: u32 = 4000;

/// The port it does not listen on.
pub(crate) const REFUSED: u32 = 81;

/// What it asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asks {
    Password,
    /// Two hidden questions, one after the other.
    TwoQuestions,
}

impl FakeTarget {
    pub(crate) async fn start(asks: Asks) -> Self {
        Self::showing(super::key(), Vec::new(), asks).await
    }

    /// One that shows certificates of its host key too.
    pub(crate) async fn showing(
        key: PrivateKey,
        certificates: Vec<Certificate>,
        asks: Asks,
    ) -> Self {
        let host_key = key.public_key().to_openssh().unwrap();
        let shared = Arc::new(Shared::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, (key, certificates), shared.clone(), asks));
        Self { address, host_key, shared, _tasks: tasks }
    }

    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn passwords(&self) -> Vec<String> {
        self.shared.passwords.lock().unwrap().clone()
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.shared.requests.lock().unwrap().clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(std::sync::atomic::Ordering::Relaxed)
    }
}

/// The same target on a pipe.
pub(crate) async fn play<S>(stream: S)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    carry(config((super::key(), Vec::new()), Asks::Password), stream, Arc::default()).await;
}

async fn carry<S>(config: Arc<server::Config>, stream: S, shared: Arc<Shared>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let leaving = shared.clone();
    let handler = Played { shared, round: 0, channels: Vec::new(), tasks: JoinSet::new() };
    let Ok(mut running) = server::run_stream(config, stream, handler).await else { return };
    let handle = running.handle();
    tokio::select! {
        _ = &mut running => {}
        () = leaving.leaving.notified() => {
            let (reason, nothing) = (Disconnect::ByApplication, String::new());
            handle.disconnect(reason, nothing.clone(), nothing).await.unwrap();
            drop(running.await);
        }
    }
}

fn config((key, certificates): Identity, asks: Asks) -> Arc<server::Config> {
    let methods = match asks {
        Asks::Password => MethodSet::from(&[MethodKind::Password][..]),
        Asks::TwoQuestions => MethodSet::from(&[MethodKind::KeyboardInteractive][..]),
    };
    Arc::new(server::Config {
        keys: vec![key],
        certificates,
        methods,
        auth_rejection_time: Duration::from_millis(1),
        ..server::Config::default()
    })
}

async fn accept(listener: TcpListener, shown: Identity, shared: Arc<Shared>, asks: Asks) {
    let config = config(shown, asks);
    let mut connections = JoinSet::new();
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        shared.connections.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let (config, shared) = (config.clone(), shared.clone());
        connections.spawn(carry(config, socket, shared));
    }
}

/// A host key and what vouches for it.
type Identity = (PrivateKey, Vec<Certificate>);

struct Played {
    shared: Arc<Shared>,
    round: usize,
    channels: Vec<Channel<Msg>>,
    tasks: JoinSet<()>,
}

impl Played {
    fn note(&self, request: String) {
        self.shared.requests.lock().unwrap().push(request);
    }

    fn take(&mut self, id: ChannelId) -> Channel<Msg> {
        let index = self.channels.iter().position(|channel| channel.id() == id).unwrap();
        self.channels.swap_remove(index)
    }
}

impl Handler for Played {
    type Error = russh::Error;

    async fn auth_password(&mut self, user: &str, password: &str) -> Result<Auth, russh::Error> {
        self.shared.passwords.lock().unwrap().push(password.to_owned());
        let right = user == "ubuntu" && password == "right";
        let methods = MethodSet::from(&[MethodKind::Password][..]);
        Ok(match right {
            true => Auth::Accept,
            false => Auth::Reject { proceed_with_methods: Some(methods), partial_success: false },
        })
    }

    async fn tcpip_forward(
        &mut self,
        address: &str,
        port: &mut u32,
        session: &mut Session,
    ) -> Result<bool, russh::Error> {
        self.note(format!("listen {address}:{port}"));
        if *port == 0 {
            *port = TAKEN;
        }
        if *port == TAKEN {
            // Somebody connects before the answer is on its way.
            let (address, port, handle) = (address.to_owned(), *port, session.handle());
            self.tasks.spawn(async move {
                arrive(&handle, &address, port).await;
            });
        }
        Ok(*port != REFUSED)
    }

    async fn cancel_tcpip_forward(
        &mut self,
        address: &str,
        port: u32,
        _: &mut Session,
    ) -> Result<bool, russh::Error> {
        self.note(format!("cancel {address}:{port}"));
        Ok(true)
    }

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        _: &str,
        _: &str,
        response: Option<Response<'a>>,
    ) -> Result<Auth, russh::Error> {
        let ask = |prompt: &'static str| Auth::Partial {
            name: "".into(),
            instructions: "two steps".into(),
            prompts: vec![(prompt.into(), false)].into(),
        };
        let Some(mut response) = response else {
            self.round = 0;
            return Ok(ask("First:"));
        };
        let answer = response.next().unwrap_or_default();
        self.round += 1;
        Ok(match (self.round, &answer[..]) {
            (1, b"one") => ask("Second:"),
            (2, b"two") => Auth::Accept,
            _ => Auth::Reject {
                proceed_with_methods: Some(MethodSet::from(&[MethodKind::KeyboardInteractive][..])),
                partial_success: false,
            },
        })
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        self.channels.push(channel);
        reply.accept().await;
        Ok(())
    }

    async fn env_request(
        &mut self,
        id: ChannelId,
        name: &str,
        value: &str,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        self.note(format!("env {name}={value}"));
        session.channel_success(id)
    }

    async fn pty_request(
        &mut self,
        id: ChannelId,
        term: &str,
        columns: u32,
        rows: u32,
        _: u32,
        _: u32,
        _: &[(russh::Pty, u32)],
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        self.note(format!("pty {term} {columns}x{rows}"));
        session.channel_success(id)
    }

    async fn window_change_request(
        &mut self,
        _: ChannelId,
        columns: u32,
        rows: u32,
        _: u32,
        _: u32,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        self.note(format!("window {columns}x{rows}"));
        Ok(())
    }

    async fn signal(
        &mut self,
        _: ChannelId,
        signal: Sig,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        self.note(format!("signal {signal:?}"));
        Ok(())
    }

    async fn subsystem_request(
        &mut self,
        id: ChannelId,
        name: &str,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        self.note(format!("subsystem {name}"));
        session.channel_failure(id)
    }

    async fn shell_request(
        &mut self,
        id: ChannelId,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        self.note("shell".to_owned());
        session.channel_success(id)?;
        let channel = self.take(id);
        self.tasks.spawn(echo(channel, session.handle()));
        Ok(())
    }

    async fn exec_request(
        &mut self,
        id: ChannelId,
        command: &[u8],
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        let command = String::from_utf8_lossy(command).into_owned();
        self.note(format!("exec {command}"));
        session.channel_success(id)?;
        let (channel, handle) = (self.take(id), session.handle());
        let shared = self.shared.clone();
        self.tasks.spawn(async move {
            match command.split_once(' ').unwrap_or((&command, "")) {
                ("flood", count) => flood(channel, handle, count.parse().unwrap()).await,
                ("status", number) => end(&channel, &handle, number.parse().unwrap()).await,
                ("arrive", port) => {
                    let arrived = arrive(&handle, "localhost", port.parse().unwrap()).await;
                    end(&channel, &handle, u32::from(!arrived)).await;
                }
                ("sink", _) => sink(channel, handle, &shared).await,
                ("signal", _) => {
                    let (id, text) = (channel.id(), "killed".to_owned());
                    handle
                        .exit_signal_request(id, Sig::TERM, false, text, "".into())
                        .await
                        .unwrap();
                    drop(channel.close().await);
                }
                ("both", _) => {
                    drop(channel.data_bytes(&b"out"[..]).await);
                    drop(channel.extended_data_bytes(1, &b"err"[..]).await);
                    end(&channel, &handle, 0).await;
                }
                _ => echo(channel, handle).await,
            }
        });
        Ok(())
    }
}

/// A connection to a port that was listened on: whether the other side took it and sent back what it
/// was sent.
async fn arrive(handle: &server::Handle, address: &str, port: u32) -> bool {
    let opened = handle.channel_open_forwarded_tcpip(address, port, "192.0.2.7", 7).await;
    let Ok(channel) = opened else { return false };
    let mut stream = channel.into_stream();
    stream.write_all(b"ping").await.unwrap();
    let mut back = [0; 4];
    stream.read_exact(&mut back).await.is_ok() && &back == b"ping"
}

async fn echo(mut channel: Channel<Msg>, handle: server::Handle) {
    while let Some(message) = channel.wait().await {
        match message {
            ChannelMsg::Data { data } => drop(channel.data_bytes(data).await),
            ChannelMsg::Eof => return end(&channel, &handle, 0).await,
            _ => {}
        }
    }
}

async fn flood(channel: Channel<Msg>, handle: server::Handle, count: usize) {
    let chunk = bytes::Bytes::from(vec![b'f'; 32 * 1024]);
    let mut left = count;
    while left > 0 {
        let part = chunk.slice(..left.min(chunk.len()));
        left -= part.len();
        if channel.data_bytes(part).await.is_err() {
            return;
        }
    }
    end(&channel, &handle, 0).await;
}

async fn sink(mut channel: Channel<Msg>, handle: server::Handle, shared: &Shared) {
    shared.released.notified().await;
    let mut count = 0;
    while let Some(message) = channel.wait().await {
        match message {
            ChannelMsg::Data { data } => count += data.len(),
            ChannelMsg::Eof => break,
            _ => {}
        }
    }
    drop(channel.data_bytes(count.to_string().into_bytes()).await);
    end(&channel, &handle, 0).await;
}

async fn end(channel: &Channel<Msg>, handle: &server::Handle, status: u32) {
    handle.exit_status_request(channel.id(), status).await.unwrap_or_default();
    drop(channel.eof().await);
    drop(channel.close().await);
}
