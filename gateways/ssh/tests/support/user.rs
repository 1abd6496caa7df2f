//! A user's SSH client in this process.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use russh::client::{
    self, AuthResult, ChannelOpenHandle, DisconnectReason, Handle, KeyboardInteractiveAuthResponse,
    Session,
};
use russh::keys::PublicKeyOrCertificate;
use russh::{Channel, ChannelId, ChannelMsg, ChannelOpenFailure};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::World;

pub(crate) struct Client {
    pub(crate) handle: Handle<Eyes>,
    pub(crate) goodbye: Arc<Mutex<Option<String>>>,
    pub(crate) arrived: Arc<Mutex<Vec<String>>>,
    banner: Arc<Mutex<String>>,
    unopened: Arc<Mutex<Vec<String>>>,
}

/// Takes any host key, remembers the server's goodbye, and sends back what arrives at ports.
#[derive(Default)]
pub(crate) struct Eyes {
    goodbye: Arc<Mutex<Option<String>>>,
    arrived: Arc<Mutex<Vec<String>>>,
    banner: Arc<Mutex<String>>,
    unopened: Arc<Mutex<Vec<String>>>,
    tasks: JoinSet<()>,
}

impl client::Handler for Eyes {
    type Error = russh::Error;

    async fn check_server_key(&mut self, _: &PublicKeyOrCertificate) -> Result<bool, russh::Error> {
        Ok(true)
    }

    async fn auth_banner(&mut self, banner: &str, _: &mut Session) -> Result<(), russh::Error> {
        self.banner.lock().unwrap().push_str(banner);
        Ok(())
    }

    async fn server_channel_open_forwarded_tcpip(
        &mut self,
        channel: Channel<client::Msg>,
        address: &str,
        port: u32,
        originator: &str,
        originator_port: u32,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        let arrival = format!("{originator}:{originator_port} at {address}:{port}");
        self.arrived.lock().unwrap().push(arrival);
        self.tasks.spawn(async move {
            reply.accept().await;
            let (mut reader, mut writer) = tokio::io::split(channel.into_stream());
            drop(tokio::io::copy(&mut reader, &mut writer).await);
        });
        Ok(())
    }

    async fn channel_open_failure(
        &mut self,
        _: ChannelId,
        _: ChannelOpenFailure,
        description: &str,
        _: &str,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        self.unopened.lock().unwrap().push(description.to_owned());
        Ok(())
    }

    async fn disconnected(
        &mut self,
        reason: DisconnectReason<russh::Error>,
    ) -> Result<(), russh::Error> {
        if let DisconnectReason::ReceivedDisconnect(info) = reason {
            *self.goodbye.lock().unwrap() = Some(info.message);
        }
        Ok(())
    }
}

/// What came out of a command.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) out: Vec<u8>,
    pub(crate) err: String,
    pub(crate) status: Option<u32>,
    pub(crate) signal: Option<String>,
    /// How often it was told, and what was said with it last.
    pub(crate) signals: usize,
    pub(crate) last_words: String,
    pub(crate) failed: bool,
}

impl Client {
    pub(crate) async fn connect(world: &World) -> Self {
        Self::over(TcpStream::connect(world.address).await.unwrap()).await
    }

    pub(crate) async fn over<S>(stream: S) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let config = client::Config { window_size: 1 << 20, ..client::Config::default() };
        let eyes = Eyes::default();
        let (goodbye, arrived) = (eyes.goodbye.clone(), eyes.arrived.clone());
        let (banner, unopened) = (eyes.banner.clone(), eyes.unopened.clone());
        let handle = client::connect_stream(Arc::new(config), stream, eyes).await.unwrap();
        Self { handle, goodbye, arrived, banner, unopened }
    }

    /// Signed in to a managed application.
    pub(crate) async fn signed_in(world: &World, user: &str, token: &str) -> Self {
        let mut client = Self::connect(world).await;
        let result = client.handle.authenticate_password(user, token).await.unwrap();
        assert_eq!(result, AuthResult::Success);
        client
    }

    /// Begins to sign in; the prompts.
    pub(crate) async fn ask(&mut self, user: &str) -> Vec<String> {
        let started = self.handle.authenticate_keyboard_interactive_start(user, None).await;
        prompts(started.unwrap())
    }

    pub(crate) async fn answer(&mut self, text: &str) -> KeyboardInteractiveAuthResponse {
        let answers = vec![text.to_owned()];
        self.handle.authenticate_keyboard_interactive_respond(answers).await.unwrap()
    }

    pub(crate) async fn exec(&self, command: &str) -> Channel<client::Msg> {
        let channel = self.handle.channel_open_session().await.unwrap();
        channel.exec(true, command).await.unwrap();
        channel
    }

    /// Runs a command to its end.
    pub(crate) async fn run(&self, command: &str) -> Outcome {
        let mut channel = self.exec(command).await;
        outcome(&mut channel).await
    }

    /// Asks for a port that is refused; what the server says.
    pub(crate) async fn refused(&self, host: &str, port: u32) -> String {
        let before = self.unopened.lock().unwrap().len();
        let opened = self.handle.channel_open_direct_tcpip(host, port, "::1", 1).await;
        assert!(opened.is_err(), "{host}:{port}");
        within(async {
            loop {
                if let Some(told) = self.unopened.lock().unwrap().get(before) {
                    return told.clone();
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
    }

    /// From where and to where connections came in.
    pub(crate) fn arrived(&self) -> Vec<String> {
        self.arrived.lock().unwrap().clone()
    }

    /// What the server showed before login.
    pub(crate) fn banner(&self) -> String {
        self.banner.lock().unwrap().clone()
    }

    /// The server's goodbye, once it has come.
    pub(crate) async fn goodbye(&self) -> Option<String> {
        for _ in 0..100 {
            if self.handle.is_closed() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        self.goodbye.lock().unwrap().clone()
    }
}

pub(crate) fn prompts(response: KeyboardInteractiveAuthResponse) -> Vec<String> {
    match response {
        KeyboardInteractiveAuthResponse::InfoRequest { prompts, .. } => {
            prompts.into_iter().map(|prompt| prompt.prompt).collect()
        }
        other => panic!("no question: {other:?}"),
    }
}

pub(crate) async fn outcome(channel: &mut Channel<client::Msg>) -> Outcome {
    let mut outcome = Outcome::default();
    let collect = async {
        while let Some(message) = channel.wait().await {
            match message {
                ChannelMsg::Data { data } => outcome.out.extend_from_slice(&data),
                ChannelMsg::ExtendedData { data, .. } => {
                    outcome.err.push_str(&String::from_utf8_lossy(&data));
                }
                ChannelMsg::ExitStatus { exit_status } => outcome.status = Some(exit_status),
                ChannelMsg::ExitSignal { signal_name, error_message, .. } => {
                    outcome.signal = Some(format!("{signal_name:?}"));
                    outcome.signals += 1;
                    outcome.last_words = error_message;
                }
                ChannelMsg::Failure => outcome.failed = true,
                ChannelMsg::Close => break,
                _ => {}
            }
        }
    };
    within(collect).await;
    outcome
}

/// No test waits longer. Longer than every deadline towards a target.
pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(30), future).await.expect("took too long")
}
