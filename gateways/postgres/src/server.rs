//! The server's side of the door: TLS, and the login that the user never sees.

use std::borrow::Cow;
use std::io;
use std::time::Duration;

use access::{Code, Explain};
use bytes::BytesMut;
use database::{Charset, Credential, CredentialError, Tls, TlsOptionsError};
use secrecy::ExposeSecret as _;
use session::DialError;
use splice::{BoxStream, Io};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::charset;
use crate::proto::{self, Key, TLS_REQUEST, begin, field, message, text};
use crate::scram::{self, Binding, PLAIN, PLUS, Scram, ScramError};

/// A connection whose login is over and that waits for what is asked.
pub(crate) struct Server {
    pub(crate) io: Wire,
    /// Cancels what runs on it.
    pub(crate) key: Option<Key>,
    /// In which its client's texts are.
    pub(crate) charset: Charset,
    /// What it said of itself, as its client is to have it.
    pub(crate) greeting: BytesMut,
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
    #[error("the server has no TLS")]
    NoTls,
    #[error("the TLS handshake failed")]
    Handshake(#[source] io::Error),
    #[error("the connection broke")]
    Broken(#[from] io::Error),
    #[error("the server says what is not understood: {0}")]
    Strange(&'static str),
    #[error("the server wants a way of logging in that is not spoken: {0}")]
    Way(u32),
    #[error("the server wants the password itself, and is not known by its certificate")]
    InTheClear,
    #[error(transparent)]
    Scram(#[from] ScramError),
    #[error("the server refused the login: {0}")]
    Refused(String),
    /// After the login: the database is not there, or has no room.
    #[error("the server refused the session: {message}")]
    Closed { message: String, error: BytesMut },
    #[error("no login within {after:?}")]
    TimedOut { after: Duration },
    #[error("no account was made for the session: {0}")]
    Account(String),
}

/// How the session is to begin.
pub(crate) struct Wanted<'a> {
    pub(crate) credential: &'a Credential,
    pub(crate) database: &'a str,
    pub(crate) settings: &'a [(String, String)],
}

/// Logs in over `stream`.
pub(crate) async fn log_in(
    stream: BoxStream,
    tls: Option<&Tls>,
    wanted: &Wanted<'_>,
) -> Result<Server, ServerError> {
    let login = async {
        let secured = secure(stream, tls).await?;
        let checked = tls.is_some_and(|tls| tls.checked);
        Login {
            io: secured.io,
            wanted,
            binding: secured.end_point,
            encrypted: secured.encrypted,
            checked,
        }
        .run()
        .await
    };
    let after = DEADLINE;
    // Boxed: it holds a handshake.
    timeout(after, Box::pin(login)).await.map_err(|_| ServerError::TimedOut { after })?
}

/// Asks a server to cancel what runs under `key`.
pub(crate) async fn cancel(
    stream: BoxStream,
    tls: Option<&Tls>,
    key: &Key,
) -> Result<(), ServerError> {
    let asking = async {
        let mut io = secure(stream, tls).await?.io;
        io.write_all(&proto::cancel(key)).await?;
        io.flush().await?;
        // The server closes once it has read it.
        drop(io.read(&mut [0]).await);
        Ok(())
    };
    let after = DEADLINE;
    timeout(after, Box::pin(asking)).await.map_err(|_| ServerError::TimedOut { after })?
}

/// A stream with what its TLS offers a login to be bound to.
struct Secured {
    io: Wire,
    encrypted: bool,
    end_point: Option<Vec<u8>>,
}

async fn secure(stream: BoxStream, tls: Option<&Tls>) -> Result<Secured, ServerError> {
    let mut io = Io::new(stream);
    let plain = |io| Secured { io: Box::new(io), encrypted: false, end_point: None };
    let Some(tls) = tls else { return Ok(plain(io)) };
    io.write_all(&TLS_REQUEST).await?;
    io.flush().await?;
    // Whatever else was sent in the clear is read as TLS, which it is not.
    match io.read_u8().await? {
        b'S' => {}
        b'N' if tls.optional => return Ok(plain(io)),
        b'N' => return Err(ServerError::NoTls),
        _ => return Err(ServerError::Strange("no answer to a request for TLS")),
    }
    let connector = TlsConnector::from(tls.config.clone());
    let io = connector.connect(tls.name.clone(), io).await.map_err(ServerError::Handshake)?;
    let shown = io.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let end_point = shown.and_then(|certificate| scram::end_point(certificate));
    Ok(Secured { io: Box::new(io), encrypted: true, end_point })
}

struct Login<'a> {
    io: Wire,
    wanted: &'a Wanted<'a>,
    binding: Option<Vec<u8>>,
    encrypted: bool,
    checked: bool,
}

impl Login<'_> {
    async fn run(mut self) -> Result<Server, ServerError> {
        self.begin().await?;
        loop {
            let (kind, body) = self.read().await?;
            match kind {
                b'R' => {
                    if self.authenticate(&body).await? {
                        return self.greeted().await;
                    }
                }
                b'N' => {}
                b'E' => return Err(ServerError::Refused(told(&body))),
                _ => return Err(ServerError::Strange("a message that no login has")),
            }
        }
    }

    async fn begin(&mut self) -> Result<(), ServerError> {
        let Wanted { credential, database, settings } = self.wanted;
        let who = [("user", credential.account.as_str()), ("database", database)];
        let settings = settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let mut out = BytesMut::new();
        begin(&mut out, who.into_iter().chain(settings));
        self.send(&out).await
    }

    /// Answers one request for a password. Whether the server is content.
    async fn authenticate(&mut self, body: &[u8]) -> Result<bool, ServerError> {
        let (way, rest) = body.split_first_chunk::<4>().ok_or(TOO_SHORT)?;
        let Credential { account, password } = self.wanted.credential;
        match u32::from_be_bytes(*way) {
            OK => return Ok(true),
            CLEARTEXT if self.checked && self.encrypted => {
                self.answer(|out| text(out, password.expose_secret())).await?;
            }
            CLEARTEXT => return Err(ServerError::InTheClear),
            MD5 => {
                let salt = rest.first_chunk::<4>().ok_or(TOO_SHORT)?;
                let answer = scram::md5(account, password, *salt);
                self.answer(|out| text(out, &answer)).await?;
            }
            SASL => self.scram(rest).await?,
            other => return Err(ServerError::Way(other)),
        }
        Ok(false)
    }

    async fn scram(&mut self, offered: &[u8]) -> Result<(), ServerError> {
        let offers = |name: &str| offered.split(|byte| *byte == 0).any(|o| o == name.as_bytes());
        let binding = match (self.binding.take(), offers(PLUS)) {
            (Some(hash), true) => Binding::Certificate(hash),
            (Some(_), false) => Binding::Unoffered,
            (None, _) => Binding::None,
        };
        if !matches!(binding, Binding::Certificate(_)) && !offers(PLAIN) {
            return Err(ServerError::Strange("no mechanism that is spoken"));
        }
        let scram = Scram::begin(binding)?;
        let first = scram.first();
        self.answer(|out| {
            text(out, scram.mechanism());
            out.extend_from_slice(&u32::try_from(first.len()).unwrap_or(u32::MAX).to_be_bytes());
            out.extend_from_slice(first.as_bytes());
        })
        .await?;
        let challenge = self.sasl(CONTINUE).await?;
        let password = self.wanted.credential.password.clone();
        // As many iterations as the server likes, which would hold others up.
        let proving = tokio::task::spawn_blocking(move || scram.prove(&challenge, &password));
        let proven = proving.await.map_err(io::Error::other)??;
        self.answer(|out| out.extend_from_slice(proven.message.as_bytes())).await?;
        let last = self.sasl(FINAL).await?;
        Ok(proven.check(&last)?)
    }

    async fn sasl(&mut self, wanted: u32) -> Result<BytesMut, ServerError> {
        let (kind, mut body) = self.read().await?;
        match (kind, body.first_chunk::<4>()) {
            (b'R', Some(way)) if u32::from_be_bytes(*way) == wanted => Ok(body.split_off(4)),
            (b'E', _) => Err(ServerError::Refused(told(&body))),
            _ => Err(ServerError::Strange("no SCRAM message")),
        }
    }

    /// Reads what the server says of itself, to the first ReadyForQuery.
    async fn greeted(mut self) -> Result<Server, ServerError> {
        let (mut key, mut charset, mut greeting) = (None, Charset::default(), BytesMut::new());
        loop {
            let (kind, body) = self.read().await?;
            match kind {
                b'K' => {
                    let (process, secret) = body.split_first_chunk::<4>().ok_or(TOO_SHORT)?;
                    let process = u32::from_be_bytes(*process);
                    key = Some(Key { process, secret: secret.to_vec() });
                }
                b'S' | b'N' if greeting.len() < MOST_GREETING => {
                    if let Some((b"client_encoding", name)) =
                        proto::setting(&body).filter(|_| kind == b'S')
                    {
                        charset = charset::named(name);
                    }
                    message(&mut greeting, kind, |out| out.extend_from_slice(&body));
                }
                b'S' | b'N' => return Err(ServerError::Strange("a greeting without an end")),
                b'E' => {
                    let mut error = BytesMut::new();
                    message(&mut error, b'E', |out| out.extend_from_slice(&body));
                    return Err(ServerError::Closed { message: told(&body), error });
                }
                b'Z' => return Ok(Server { io: self.io, key, charset, greeting }),
                _ => return Err(ServerError::Strange("a message that no greeting has")),
            }
        }
    }

    async fn answer(&mut self, body: impl FnOnce(&mut BytesMut)) -> Result<(), ServerError> {
        let mut out = BytesMut::new();
        message(&mut out, b'p', body);
        self.send(&out).await
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), ServerError> {
        self.io.write_all(bytes).await?;
        Ok(self.io.flush().await?)
    }

    async fn read(&mut self) -> Result<(u8, BytesMut), ServerError> {
        read(&mut self.io).await
    }
}

/// Reads a message of a login, or of what the relay asks by itself.
pub(crate) async fn read(io: &mut Wire) -> Result<(u8, BytesMut), ServerError> {
    let kind = io.read_u8().await?;
    let length = usize::try_from(io.read_u32().await?).unwrap_or(usize::MAX);
    let length = length.checked_sub(4).filter(|length| *length <= LONGEST);
    let length = length.ok_or(ServerError::Strange("a message of a length that none has"))?;
    let mut body = BytesMut::zeroed(length);
    io.read_exact(&mut body).await?;
    Ok((kind, body))
}

/// The text of an error, for the operator.
pub(crate) fn told(body: &[u8]) -> String {
    let part = |name| String::from_utf8_lossy(field(body, name).unwrap_or_default()).into_owned();
    let text: String = format!("{} {}", part(b'C'), part(b'M'));
    access::text::visible(&text).chars().take(MAX_TOLD).collect()
}

impl ServerError {
    /// What the server said, where its client may read it as it is.
    pub(crate) fn as_is(&self) -> Option<&BytesMut> {
        match self {
            Self::Closed { error, .. } => Some(error),
            Self::Dial(_)
            | Self::Options(_)
            | Self::Credential(_)
            | Self::NoTls
            | Self::Handshake(_)
            | Self::Broken(_)
            | Self::Strange(_)
            | Self::Way(_)
            | Self::InTheClear
            | Self::Scram(_)
            | Self::Refused(_)
            | Self::Account(_)
            | Self::TimedOut { .. } => None,
        }
    }
}

impl Explain for ServerError {
    fn code(&self) -> Code {
        match self {
            Self::Dial(error) => error.code(),
            Self::Options(error) => error.code(),
            Self::Credential(error) => error.code(),
            Self::NoTls | Self::Handshake(_) => Code("target.tls"),
            Self::Broken(_) => Code("target.broken"),
            Self::Strange(_) => Code("target.handshake"),
            Self::Way(_) | Self::InTheClear | Self::Scram(_) | Self::Refused(_) => {
                Code("target.login_refused")
            }
            Self::Closed { .. } => Code("target.login_refused"),
            Self::TimedOut { .. } => Code("target.timeout"),
            Self::Account(_) => Code("target.account"),
        }
    }

    fn public(&self) -> Cow<'static, str> {
        match self {
            Self::Dial(error) => error.public(),
            Self::Options(error) => error.public(),
            Self::Credential(error) => error.public(),
            Self::NoTls => "the database speaks no TLS, which its application demands".into(),
            Self::Handshake(_) => {
                "the relay does not trust the database's certificate, or it speaks no TLS".into()
            }
            Self::Broken(_) => "the connection to the database broke".into(),
            Self::Strange(_) => "the database does not speak PostgreSQL as expected".into(),
            Self::Way(_)
            | Self::InTheClear
            | Self::Scram(_)
            | Self::Refused(_)
            | Self::Closed { .. } => "the database refused the login".into(),
            Self::TimedOut { .. } => "the database does not answer".into(),
            Self::Account(_) => "no account could be made for you at the database".into(),
        }
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        Some(match self {
            Self::Dial(error) => return error.hint(),
            Self::Options(error) => return error.hint(),
            Self::Credential(error) => return error.hint(),
            Self::NoTls | Self::Handshake(_) => {
                "an admin checks `database` of the application: its CA, pin and mode of TLS".into()
            }
            Self::Broken(_) => "try again".into(),
            Self::Strange(_) | Self::TimedOut { .. } => {
                "check that a PostgreSQL server answers at the application's address".into()
            }
            Self::Way(_) | Self::InTheClear | Self::Scram(_) | Self::Refused(_) => {
                "an admin checks the application's account; the audit log says what was wrong"
                    .into()
            }
            Self::Account(_) => {
                "an admin checks what the application's account may do; the audit log says what \
                 was wrong"
                    .into()
            }
            Self::Closed { .. } => return None,
        })
    }
}

const TOO_SHORT: ServerError = ServerError::Strange("a message that is too short");
/// From a stream to the first ReadyForQuery.
const DEADLINE: Duration = Duration::from_secs(15);
/// The longest message of a login.
const LONGEST: usize = 64 * 1024;
/// The most that a server may say of itself.
const MOST_GREETING: usize = 64 * 1024;
const MAX_TOLD: usize = 300;
/// Kinds of authentication requests.
const OK: u32 = 0;
const CLEARTEXT: u32 = 3;
const MD5: u32 = 5;
const SASL: u32 = 10;
const CONTINUE: u32 = 11;
const FINAL: u32 = 12;
