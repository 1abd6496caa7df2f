//! The connection to a target: handshake, host key, and what the target may ask of us.

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use access::{Application, Code, EndReason, Explain, Side};
use russh::client::{self, ChannelOpenHandle, DisconnectReason, Msg, Session};
use russh::keys::{HashAlg, PublicKey, PublicKeyOrCertificate};
use russh::{Channel, Disconnect};
use session::{DialError, HostKeyVerdict};
use splice::{BoxStream, Io};
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::Gateway;
use crate::config::{self, TARGET_DEADLINE};
use crate::connection::Connection;
use crate::forward::{self, Back};
use crate::guard::Guarded;
use crate::host_certificate::{self, Unvouched};
use crate::proto::plain;
use crate::remote::{self, Arrived};
use crate::words;

/// One SSH connection to a target. Dropping it cuts the transport.
pub(crate) struct Target {
    pub(crate) handle: client::Handle<Knock>,
    shared: Arc<Shared>,
    _cut: DropGuard,
}

/// Why a target could not be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TargetError {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("the target's host key changed")]
    HostKeyChanged { known: String, presented: String },
    #[error("the target's host key is not vouched for")]
    HostCertificate(#[source] Unvouched),
    #[error("the host key could not be looked up")]
    HostKeyUnknown,
    #[error("the handshake failed")]
    Handshake { source: russh::Error },
    #[error("the target has only legacy algorithms: {theirs:?}")]
    Legacy { theirs: Vec<String> },
    #[error("the target did not answer within {after:?}")]
    TimedOut { after: Duration },
    #[error("the target refused every way of logging in")]
    Refused,
    #[error("nothing to log in to the target with")]
    NothingToShow,
    #[error("the stored credential can not be used")]
    Credential,
    #[error("the connection broke")]
    Broken { source: russh::Error },
    #[error("the session is over")]
    Over,
}

impl TargetError {
    fn of_handshake(source: russh::Error, application: &Application) -> Self {
        match source {
            russh::Error::NoCommonAlgo { theirs, .. }
                if !application.legacy_algorithms && config::is_legacy(&theirs) =>
            {
                Self::Legacy { theirs }
            }
            source => Self::Handshake { source },
        }
    }
}

impl Target {
    /// Speaks the handshake over `stream` and checks the host key.
    pub(crate) async fn connect(
        stream: BoxStream,
        application: &Arc<Application>,
        connection: &Arc<Connection>,
    ) -> Result<Self, TargetError> {
        let shared = Arc::new(Shared::default());
        let knock = Knock {
            application: application.clone(),
            gateway: connection.gateway.clone(),
            connection: Arc::downgrade(connection),
            shared: shared.clone(),
        };
        let cut = CancellationToken::new();
        let guarded = Guarded::new(Io::new(stream), cut.clone());
        let guard = cut.drop_guard();
        let config = config::client(application);
        // Boxed: it holds the buffers of a handshake.
        let connecting = Box::pin(client::connect_stream(config, guarded, knock));
        match timeout(TARGET_DEADLINE, connecting).await {
            Ok(Ok(handle)) => Ok(Self { handle, shared, _cut: guard }),
            Ok(Err(source)) => {
                let failed = || TargetError::of_handshake(source, application);
                Err(shared.take_trouble().unwrap_or_else(failed))
            }
            Err(_) => Err(TargetError::TimedOut { after: TARGET_DEADLINE }),
        }
    }

    /// Lets the target open channels to the user's agent.
    pub(crate) fn allow_agent(&self) {
        self.shared.agent.store(true, Relaxed);
    }

    /// Lets the target open channels to the user's display.
    pub(crate) fn allow_display(&self) {
        self.shared.display.store(true, Relaxed);
    }

    /// Ends the user's connection with this one: whoever listens would wait for nothing.
    pub(crate) fn keep_listening(&self) {
        self.shared.listens.store(true, Relaxed);
    }

    /// What the target said before login, made safe to show.
    pub(crate) fn banner(&self) -> String {
        std::mem::take(&mut *lock(&self.shared.banner))
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.handle.is_closed()
    }

    /// Says goodbye, so that the target's log tells an end from a broken line.
    pub(crate) async fn close(&self) {
        let goodbye = self.handle.disconnect(Disconnect::ByApplication, "", "");
        // It is over either way.
        drop(timeout(GOODBYE, goodbye).await);
    }
}

/// `SHA256:…` of a key in OpenSSH form.
fn fingerprint(line: &str) -> String {
    match PublicKey::from_openssh(line) {
        Ok(key) => key.fingerprint(HashAlg::Sha256).to_string(),
        Err(_) => "(unreadable)".to_owned(),
    }
}

#[derive(Default)]
struct Shared {
    trouble: Mutex<Option<TargetError>>,
    banner: Mutex<String>,
    agent: AtomicBool,
    display: AtomicBool,
    listens: AtomicBool,
}

impl Shared {
    fn take_trouble(&self) -> Option<TargetError> {
        lock(&self.trouble).take()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the library asks about a target. Every channel a target opens is refused, but those to the
/// user's agent and display where these are forwarded, and those from ports and sockets that it
/// listens on for the user.
pub(crate) struct Knock {
    application: Arc<Application>,
    gateway: Arc<Gateway>,
    // The connection owns its targets: were it owned in turn, neither would end where the owner is
    // dropped.
    connection: Weak<Connection>,
    shared: Arc<Shared>,
}

impl Knock {
    async fn judge(&self, presented: &str) -> Result<(), TargetError> {
        let verdict = self.gateway.target_keys.check(&self.application, presented).await.map_err(
            |error| {
                tracing::error!(%error, "Could not look up a target's host key");
                TargetError::HostKeyUnknown
            },
        )?;
        match verdict {
            HostKeyVerdict::Known => Ok(()),
            HostKeyVerdict::Learned => {
                self.note("target.host_key_learned", &fingerprint(presented)).await;
                Ok(())
            }
            HostKeyVerdict::Changed { known } => {
                let (known, presented) = (fingerprint(&known), fingerprint(presented));
                let detail = format!("known {known}, presented {presented}");
                self.note("target.host_key_changed", &detail).await;
                Err(TargetError::HostKeyChanged { known, presented })
            }
        }
    }
}

impl Knock {
    async fn judge_certificate(
        &self,
        shown: &PublicKeyOrCertificate,
        ca: &str,
    ) -> Result<(), TargetError> {
        let host = self.application.address.host();
        match host_certificate::check(shown, ca, host, SystemTime::now()) {
            Ok(()) => Ok(()),
            Err(why) => {
                self.note("target.host_certificate_refused", &why.to_string()).await;
                Err(TargetError::HostCertificate(why))
            }
        }
    }

    async fn note(&self, what: &str, detail: &str) {
        if let Some(connection) = self.connection.upgrade() {
            connection.note(what, detail).await;
        }
    }
}

impl Knock {
    /// Tells a user whose ports went with this connection, as a server's end tells it.
    fn stop_listening(&self) {
        if let Some(connection) = self.connection.upgrade().filter(|_| self.listens()) {
            if let Some(reach) = connection.reach() {
                reach.went_wrong(EndReason::Broken, Side::Target);
            }
            let shared = connection.clone();
            let ending = async move { shared.refuse(words::CONNECTION_LOST.to_owned()).await };
            // Fails only where the connection ends already.
            connection.try_run(ending);
        }
    }

    fn listens(&self) -> bool {
        let connection = self.connection.upgrade();
        let reach = connection.as_ref().and_then(|connection| connection.reach());
        self.shared.listens.load(Relaxed) && reach.is_some_and(|reach| !reach.ports().is_empty())
    }
}

impl client::Handler for Knock {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        key: &PublicKeyOrCertificate,
    ) -> Result<bool, russh::Error> {
        let judged = match host_certificate::ca(&self.application) {
            Some(ca) => self.judge_certificate(key, ca).await,
            None => {
                let mut presented = key.public_key();
                presented.set_comment("");
                self.judge(presented.to_openssh()?.trim()).await
            }
        };
        match judged {
            Ok(()) => Ok(true),
            Err(trouble) => {
                *lock(&self.shared.trouble) = Some(trouble);
                Ok(false)
            }
        }
    }

    async fn auth_banner(&mut self, banner: &str, _: &mut Session) -> Result<(), russh::Error> {
        let mut kept = lock(&self.shared.banner);
        let room = MAX_BANNER.saturating_sub(kept.len());
        kept.push_str(&plain(banner, room));
        Ok(())
    }

    async fn server_channel_open_agent_forward(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        if self.shared.agent.load(Relaxed)
            && let Some(connection) = self.connection.upgrade()
        {
            forward::back(&connection, Back::Agent, channel, reply);
        }
        Ok(())
    }

    async fn server_channel_open_forwarded_tcpip(
        &mut self,
        channel: Channel<Msg>,
        address: &str,
        port: u32,
        originator: &str,
        originator_port: u32,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        if let Some(connection) = self.connection.upgrade() {
            let (address, originator) = (address.to_owned(), originator.to_owned());
            let arrived = Arrived { address, port, originator, originator_port };
            remote::join(&connection, channel, reply, arrived);
        }
        Ok(())
    }

    async fn server_channel_open_forwarded_streamlocal(
        &mut self,
        channel: Channel<Msg>,
        path: &str,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        if let Some(connection) = self.connection.upgrade() {
            remote::join_socket(&connection, channel, reply, path);
        }
        Ok(())
    }

    async fn server_channel_open_session(
        &mut self,
        _: Channel<Msg>,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        Ok(())
    }

    async fn server_channel_open_direct_tcpip(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _: &str,
        _: u32,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        Ok(())
    }

    async fn server_channel_open_direct_streamlocal(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        Ok(())
    }

    async fn server_channel_open_x11(
        &mut self,
        channel: Channel<Msg>,
        originator: &str,
        port: u32,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        if self.shared.display.load(Relaxed)
            && let Some(connection) = self.connection.upgrade()
        {
            let from = Back::Display(plain(originator, MAX_ORIGINATOR), port);
            forward::back(&connection, from, channel, reply);
        }
        Ok(())
    }

    async fn disconnected(
        &mut self,
        reason: DisconnectReason<russh::Error>,
    ) -> Result<(), russh::Error> {
        self.stop_listening();
        match reason {
            DisconnectReason::ReceivedDisconnect(_) => {
                tracing::debug!("The target said goodbye");
                Ok(())
            }
            DisconnectReason::Error(error) => {
                tracing::debug!(%error, "The connection to the target ended");
                Err(error)
            }
        }
    }
}

const GOODBYE: Duration = Duration::from_millis(200);
const MAX_BANNER: usize = 4096;
const MAX_ORIGINATOR: usize = 255;

impl Explain for TargetError {
    fn code(&self) -> Code {
        match self {
            Self::Dial(error) => error.code(),
            Self::HostKeyChanged { .. } => Code("target.host_key_changed"),
            Self::HostCertificate(_) => Code("target.host_certificate"),
            Self::HostKeyUnknown => Code("store.unavailable"),
            Self::Handshake { .. } => Code("target.handshake"),
            Self::Legacy { .. } => Code("target.legacy"),
            Self::TimedOut { .. } => Code("target.timeout"),
            Self::Refused => Code("target.login_refused"),
            Self::NothingToShow => Code("target.no_credential"),
            Self::Credential => Code("target.bad_credential"),
            Self::Broken { .. } => Code("target.broken"),
            Self::Over => Code("session.closed"),
        }
    }

    fn public(&self) -> Cow<'static, str> {
        match self {
            Self::Dial(error) => error.public(),
            Self::HostKeyChanged { known, presented } => Cow::Owned(format!(
                "the application's host key has changed, so the connection is blocked: \
                 known {known}, presented {presented}"
            )),
            Self::HostCertificate(why) => Cow::Owned(format!(
                "the application's host key is not vouched for by its CA, so the connection is \
                 blocked: {why}"
            )),
            Self::HostKeyUnknown => "the relay can not check the application's host key".into(),
            Self::Handshake { .. } => "the application does not speak SSH as expected".into(),
            Self::Legacy { .. } => {
                "the application speaks SSH only with algorithms that are too weak".into()
            }
            Self::TimedOut { .. } => "the application does not answer".into(),
            Self::Refused => "the application refused the login".into(),
            Self::NothingToShow => "the application wants a login that was not given".into(),
            Self::Credential => "the stored credential of the application can not be used".into(),
            Self::Broken { .. } => "the connection to the application broke".into(),
            Self::Over => "the session is over".into(),
        }
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        Some(
            match self {
                Self::Dial(error) => return error.hint(),
                Self::HostKeyChanged { .. } => {
                    "if the host was reinstalled, an admin sets the application's new host key; \
                 otherwise somebody may be in between"
                }
                Self::HostCertificate(_) => {
                    "the host needs a certificate of that CA (HostCertificate in sshd_config), for \
                     the host in the application's address; otherwise somebody may be in between"
                }
                Self::HostKeyUnknown | Self::Broken { .. } | Self::Over => "try again",
                Self::Handshake { .. } | Self::TimedOut { .. } => {
                    "check that an SSH server answers at the application's address"
                }
                Self::Legacy { .. } => {
                    "upgrade its SSH server, or have an admin set legacy_algorithms on the application"
                }
                Self::Refused => "check the login name and its password or key",
                Self::NothingToShow => {
                    "sign in with a token at the prompt, forward your agent (ssh -A), or use a \
                 terminal (ssh -t)"
                }
                Self::Credential => "an admin sets it again",
            }
            .into(),
        )
    }
}
