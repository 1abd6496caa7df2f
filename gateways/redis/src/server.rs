//! The server's side of the door: TLS, and the login that the user never sees.

use std::borrow::Cow;
use std::io;
use std::time::Duration;

use access::{Code, Explain};
use bytes::BytesMut;
use database::{Credential, CredentialError, Tls, TlsOptionsError};
use secrecy::ExposeSecret as _;
use session::{DialError, Session};
use splice::{BoxStream, Io};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::client::Hello;
use crate::proto::{Fault, Secret};
use crate::reply::{Replies, Seen, Told};

/// A connection whose login is over.
pub(crate) struct Server {
    pub(crate) io: Wire,
    /// What was read behind the answer to the login.
    pub(crate) ahead: BytesMut,
    /// That answer, as its client is to have it.
    pub(crate) answer: Vec<u8>,
    /// What makes the server know us again.
    pub(crate) login: Secret,
}

/// Bytes to and from one end.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}
pub(crate) type Wire = Box<dyn Duplex>;

/// Why a server could not be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServerError {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error(transparent)]
    Options(#[from] TlsOptionsError),
    #[error(transparent)]
    Credential(#[from] CredentialError),
    #[error("the TLS handshake failed")]
    Handshake(#[source] io::Error),
    #[error("the connection broke")]
    Broken(#[from] io::Error),
    #[error("the server says what is not understood")]
    Strange(#[from] Fault),
    #[error("the server refused the login: {0}")]
    Refused(String),
    #[error("no login within {after:?}")]
    TimedOut { after: Duration },
}

/// Dials the session's application, and logs in there as `credential` says.
pub(crate) async fn log_in(
    session: &Session,
    tls: Option<&Tls>,
    credential: &Credential,
    hello: Option<&Hello>,
) -> Result<Server, ServerError> {
    let login = async {
        let io = secure(session, tls).await?;
        Login { io, ahead: BytesMut::new(), credential }.run(hello).await
    };
    let after = DEADLINE;
    // Boxed: it holds a handshake.
    timeout(after, Box::pin(login)).await.map_err(|_| ServerError::TimedOut { after })?
}

/// A stream with the TLS that is asked for. Nothing in the protocol asks whether a server has it, so
/// one that may do without is dialled again where the handshake fails.
async fn secure(session: &Session, tls: Option<&Tls>) -> Result<Wire, ServerError> {
    let stream = session.dial().await?;
    let Some(tls) = tls else { return Ok(Box::new(Io::new(stream))) };
    let shaken = timeout(if tls.optional { PROBE } else { DEADLINE }, shake(stream, tls)).await;
    match shaken {
        Ok(Ok(io)) => Ok(io),
        Ok(Err(_)) | Err(_) if tls.optional => Ok(Box::new(Io::new(session.dial().await?))),
        Ok(Err(error)) => Err(ServerError::Handshake(error)),
        Err(_) => Err(ServerError::TimedOut { after: DEADLINE }),
    }
}

async fn shake(stream: BoxStream, tls: &Tls) -> io::Result<Wire> {
    let connector = TlsConnector::from(tls.config.clone());
    let io = connector.connect(tls.name.clone(), Io::new(stream)).await?;
    Ok(Box::new(io))
}

struct Login<'a> {
    io: Wire,
    ahead: BytesMut,
    credential: &'a Credential,
}

impl Login<'_> {
    async fn run(mut self, hello: Option<&Hello>) -> Result<Server, ServerError> {
        let Credential { account, password } = self.credential;
        let (account, password) = (account.as_bytes(), password.expose_secret().as_bytes());
        let login = Secret::command(&[b"AUTH", account, password]);
        let first = match hello {
            None => login.clone(),
            Some(Hello { version, name }) => {
                let version = version.to_string();
                let mut args: Vec<&[u8]> =
                    vec![b"HELLO", version.as_bytes(), b"AUTH", account, password];
                if let Some(name) = name {
                    args.extend([&b"SETNAME"[..], name]);
                }
                Secret::command(&args)
            }
        };
        let (seen, answer) = self.ask(&first).await?;
        if !seen.is_error() {
            return Ok(Server { io: self.io, ahead: self.ahead, answer, login });
        }
        // Before Redis 6 there was one account, and it had no name.
        if hello.is_none() && account == b"default" && seen.text.starts_with(b"ERR wrong number") {
            let login = Secret::command(&[b"AUTH", password]);
            let (seen, answer) = self.ask(&login).await?;
            if !seen.is_error() {
                return Ok(Server { io: self.io, ahead: self.ahead, answer, login });
            }
            return Err(refused(&seen));
        }
        Err(refused(&seen))
    }

    /// Sends a command, and reads the reply to it.
    async fn ask(&mut self, command: &Secret) -> Result<(Seen, Vec<u8>), ServerError> {
        self.io.write_all(command.bytes()).await?;
        self.io.flush().await?;
        let (mut replies, mut looked) = (Replies::default(), 0);
        loop {
            let mut end = None;
            replies.scan(&self.ahead[looked..], |told| {
                if let (Told::Ends(at, seen), None) = (told, &end) {
                    end = Some((looked + at, seen));
                }
                Ok::<_, Fault>(())
            })?;
            if let Some((at, seen)) = end {
                return Ok((seen, self.ahead.split_to(at).to_vec()));
            }
            looked = self.ahead.len();
            if looked > MOST_ANSWER {
                return Err(Fault::Long.into());
            }
            if self.io.read_buf(&mut self.ahead).await? == 0 {
                return Err(ServerError::Broken(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }
}

/// The text of an error, for the operator.
fn refused(seen: &Seen) -> ServerError {
    ServerError::Refused(access::text::visible(&String::from_utf8_lossy(&seen.text)).to_string())
}

impl Explain for ServerError {
    fn code(&self) -> Code {
        match self {
            Self::Dial(error) => error.code(),
            Self::Options(error) => error.code(),
            Self::Credential(error) => error.code(),
            Self::Handshake(_) => Code("target.tls"),
            Self::Broken(_) => Code("target.broken"),
            Self::Strange(_) => Code("target.handshake"),
            Self::Refused(_) => Code("target.login_refused"),
            Self::TimedOut { .. } => Code("target.timeout"),
        }
    }

    fn public(&self) -> Cow<'static, str> {
        match self {
            Self::Dial(error) => error.public(),
            Self::Options(error) => error.public(),
            Self::Credential(error) => error.public(),
            Self::Handshake(_) => {
                "the relay does not trust the database's certificate, or it speaks no TLS".into()
            }
            Self::Broken(_) => "the connection to the database broke".into(),
            Self::Strange(_) => "the database does not speak Redis' protocol as expected".into(),
            Self::Refused(_) => "the database refused the login".into(),
            Self::TimedOut { .. } => "the database does not answer".into(),
        }
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        Some(match self {
            Self::Dial(error) => return error.hint(),
            Self::Options(error) => return error.hint(),
            Self::Credential(error) => return error.hint(),
            Self::Handshake(_) => {
                "an admin checks `database` of the application: its CA, pin and mode of TLS".into()
            }
            Self::Broken(_) => "try again".into(),
            Self::Strange(_) | Self::TimedOut { .. } => {
                "check that a Redis server answers at the application's address".into()
            }
            Self::Refused(_) => {
                "an admin checks the application's account; the audit log says what was wrong"
                    .into()
            }
        })
    }
}

/// From a stream to the answer to the login.
const DEADLINE: Duration = Duration::from_secs(15);
/// How long a server that may have no TLS has for a handshake: one without may wait for more.
const PROBE: Duration = Duration::from_secs(2);
/// The longest answer to a login.
const MOST_ANSWER: usize = 64 * 1024;
