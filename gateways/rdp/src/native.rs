//! A native client of a desktop where the relay signs in: it is let in with a login that is good once,
//! and what it then says goes to the target under the relay's account.

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use access::text::in_full;
use access::{Code, EndReason, Explain, Side};
use aws_lc_rs::rand;
use bytes::Bytes;
use futures_util::{StreamExt as _, future};
use ntlm::filetime;
use rustls::ServerConfig;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use session::Session;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, WriteHalf, split};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::io::ReaderStream;
use tokio_util::sync::CancellationToken;

use crate::Gateway;
use crate::clipboard::Client;
use crate::credssp::LoginError;
use crate::desktop::{Desktop, Ending, Line};
use crate::frame::{length, sequence};
use crate::host::{Host, Said};
use crate::negotiation::{Protocols, confirm, needs_nla, offered};
use crate::target::{Means, frame};
use crate::words::{TargetError, told};

/// Shows a native client whose desktop it is.
pub trait Shown: Send + Sync {
    /// The certificate for a host's name, with its key.
    fn shown(&self, host: &str) -> Option<Arc<CertifiedKey>>;
}

/// Why a native client was not let in.
#[derive(Debug, thiserror::Error)]
enum NotIn {
    #[error("the client broke off")]
    Broken(#[from] io::Error),
    #[error("the client says what is not understood")]
    Strange(#[source] TargetError),
    #[error("the client does not sign in by NLA")]
    WithoutNla,
    #[error("the client's login failed")]
    Login(#[from] LoginError),
    #[error("the client showed another password, or a login that is used up, over or another's")]
    Refused,
    #[error("the relay has no certificate to show")]
    NoCertificate,
    #[error("the client did not sign in within {after:?}")]
    TimedOut { after: Duration },
}

impl Gateway {
    /// Serves a native client until it or the target leaves or the session ends. `left` says that the
    /// client is gone, where its bytes do not.
    pub(crate) async fn serve<S>(&self, session: Session, io: S, left: CancellationToken) -> Ending
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let mut lease = session.lease();
        let entered = async {
            let entering = Box::pin(self.let_in(&session, io));
            let client = timeout(LOGIN, entering).await;
            let client = client.map_err(|_| NotIn::TimedOut { after: LOGIN }).flatten();
            let client = client.map_err(|error| Over::NotIn(Box::new(error)))?;
            let means = Means {
                trust: &self.trust,
                secrets: &*self.secrets,
                certificates: &*self.certificates,
            };
            let target = means.reach(&session, Protocols::ALL).await;
            Ok((client, target.map_err(|error| Over::Target(Box::new(error)))?))
        };
        let entered = tokio::select! {
            biased;
            reason = lease.ended() => Err(Over::Lease(reason)),
            () = left.cancelled() => Err(Over::Left),
            entered = entered => entered,
        };
        match entered {
            Ok((client, target)) => {
                let desktop = Desktop::new(session, target, Client::Native, None);
                Box::pin(carry(desktop, client, left)).await
            }
            Err(over) => over.end(session, lease.last_words().as_deref()),
        }
    }

    /// From a client's first frame to the end of its login.
    async fn let_in<S>(&self, session: &Session, mut io: S) -> Result<TlsStream<S>, NotIn>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let first = frame(&mut io, length).await.map_err(strange)?;
        let offers = offered(&first).map_err(|fault| NotIn::Strange(fault.into()))?;
        if !offers.has_nla() {
            io.write_all(&needs_nla()).await?;
            io.flush().await?;
            return Err(NotIn::WithoutNla);
        }
        io.write_all(&confirm(FLAGS, Protocols::NLA)).await?;
        io.flush().await?;
        let host = format!("{}.{}", session.application().label(), self.domain);
        let shown = self.shown.shown(&host).ok_or(NotIn::NoCertificate)?;
        let key = public_key(&shown).ok_or(NotIn::NoCertificate)?;
        let mut client = TlsAcceptor::from(config(shown)?).accept(io).await?;
        self.sign_in(session, &mut client, &key).await?;
        Ok(client)
    }

    /// Has the client show that it knows the password of a login that is its user's.
    async fn sign_in<S>(
        &self,
        session: &Session,
        client: &mut TlsStream<S>,
        key: &[u8],
    ) -> Result<(), NotIn>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let now = SystemTime::now();
        let mut challenge = [0; 8];
        rand::fill(&mut challenge)
            .map_err(|_| io::Error::other("the system has no random bytes"))?;
        let mut host = Host::new(key, challenge, filetime(now));
        let whose = (session.user(), session.application().id);
        let claimed = std::cell::RefCell::new(String::new());
        loop {
            let sent = frame(client, sequence).await.map_err(strange)?;
            let said = host.answered(&sent, &|user| {
                user.clone_into(&mut claimed.borrow_mut());
                self.passes.find(user, whose, now)
            })?;
            match said {
                Said::Send(bytes) => client.write_all(&bytes).await?,
                Said::Done => break,
                Said::Refuse(bytes) => {
                    self.passes.wrong(&claimed.borrow());
                    client.write_all(&bytes).await?;
                    hang_up(client).await;
                    return Err(NotIn::Refused);
                }
            }
            client.flush().await?;
        }
        let user = claimed.into_inner();
        if self.passes.spend(&user) { Ok(()) } else { Err(NotIn::Refused) }
    }
}

/// Carries between a client and its desktop.
async fn carry<S>(desktop: Desktop, client: TlsStream<S>, left: CancellationToken) -> Ending
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let (from, to) = split(client);
    let up = ReaderStream::with_capacity(from, READ);
    let up = up.take_while(|bytes| future::ready(bytes.is_ok()));
    let up = up.filter_map(|bytes| future::ready(bytes.ok()));
    let up = Box::pin(up.take_until(left.cancelled_owned()));
    let (down, queue) = mpsc::channel(PIECES);
    let mut write = Box::pin(write(to, queue));
    let mut carry = Box::pin(desktop.carry(Line { up, down }));
    let ending = tokio::select! {
        ending = &mut carry => ending,
        // It takes no more, which whoever sends to it is told.
        () = &mut write => return carry.await,
    };
    drop(carry);
    // Whoever carries the line says why the relay ends it; TLS's word for the end would come before that.
    if ending.side != Side::Relay {
        drop(timeout(LAST, write).await);
    }
    ending
}

/// Writes what there is, and flushes where there is no more for now.
async fn write<S: AsyncRead + AsyncWrite>(
    mut to: WriteHalf<TlsStream<S>>,
    mut queue: mpsc::Receiver<Bytes>,
) where
    TlsStream<S>: AsyncWrite,
{
    while let Some(bytes) = queue.recv().await {
        let written = async {
            to.write_all(&bytes).await?;
            if queue.is_empty() { to.flush().await } else { Ok(()) }
        };
        if written.await.is_err() {
            return;
        }
    }
    hang_up(&mut to).await;
}

/// Says TLS's own word for the end. What is below may be somebody else's to close, and then waits.
async fn hang_up(to: &mut (impl AsyncWrite + Unpin)) {
    drop(timeout(WORD, to.shutdown()).await);
}

/// Why there is no desktop.
enum Over {
    Lease(EndReason),
    Left,
    NotIn(Box<NotIn>),
    Target(Box<TargetError>),
}

impl Over {
    fn end(self, session: Session, words: Option<&str>) -> Ending {
        let ending = match self {
            Self::Lease(reason) => Ending {
                reason,
                side: Side::Relay,
                words: told(reason, words),
                code: reason.code(),
            },
            Self::Left => {
                let reason = EndReason::Broken;
                Ending {
                    reason,
                    side: Side::Client,
                    words: told(reason, None),
                    code: reason.code(),
                }
            }
            Self::NotIn(error) => {
                session.note("desktop.login_refused", &in_full(&*error));
                let words = "the login that is good once was not shown".to_owned();
                let (reason, side) = (EndReason::Failed, Side::Client);
                Ending { reason, side, words, code: Code("desktop.login_refused") }
            }
            Self::Target(error) => {
                session.note("target.login_failed", &in_full(&*error));
                let (reason, side) = error.outcome();
                Ending { reason, side, words: error.public().into_owned(), code: error.code() }
            }
        };
        tracing::debug!(session = %session.id(), code = %ending.code, "No desktop");
        session.end(ending.reason, ending.side);
        ending
    }
}

fn strange(error: TargetError) -> NotIn {
    match error {
        TargetError::Broken(error) => NotIn::Broken(error),
        other => NotIn::Strange(other),
    }
}

/// What a login is bound to: the key of the certificate, as it stands there.
fn public_key(shown: &CertifiedKey) -> Option<Vec<u8>> {
    let (_, leaf) = x509_parser::parse_x509_certificate(shown.cert.first()?).ok()?;
    Some(leaf.public_key().subject_public_key.data.to_vec())
}

fn config(shown: Arc<CertifiedKey>) -> Result<Arc<ServerConfig>, NotIn> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(io::Error::other)?.with_no_client_auth();
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(shown)));
    // Each session has its own, so there is nothing to resume.
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// That settings beyond the first ones are understood, and pictures on a channel of their own.
const FLAGS: u8 = 1 | 2;
/// People may be asked for their password in it.
const LOGIN: Duration = Duration::from_secs(120);
/// For a client to take the last that it is sent.
const LAST: Duration = Duration::from_secs(1);
const WORD: Duration = Duration::from_millis(100);
const READ: usize = 16 * 1024;
/// What waits to be written.
const PIECES: usize = 16;
