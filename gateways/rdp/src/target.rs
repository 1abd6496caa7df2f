//! The target's side: negotiation, TLS with whoever it has to be, and the login that the user never
//! sees.

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use access::{Application, Login};
use aws_lc_rs::rand;
use ntlm::{Fresh, filetime};
use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use session::{Certificates, HostKeyVerdict, Secrets, Session, TargetCredential};
use splice::{BoxStream, Io};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use trust::Trust;

use crate::credssp::{Credssp, LoginError, Next, Occasion};
use crate::frame::{Fault, length, sequence};
use crate::negotiation::{Confirm, Failure, Protocols, confirm, confirmed, request};
use crate::settings::Account;
use crate::words::TargetError;

pub(crate) type Wire = TlsStream<Io<BoxStream>>;

/// A target that is ready for a client's settings, or for its login by NLA.
pub(crate) struct Target {
    pub(crate) wire: Wire,
    /// What it has chosen.
    pub(crate) protocol: Protocols,
    /// What the client is told that it has chosen.
    pub(crate) confirm: Vec<u8>,
    pub(crate) chain: Vec<CertificateDer<'static>>,
    /// As whom the relay signs in.
    pub(crate) account: Option<Account>,
}

/// What reaching a target needs.
pub(crate) struct Means<'a> {
    pub(crate) trust: &'a Trust,
    pub(crate) secrets: &'a dyn Secrets,
    pub(crate) certificates: &'a dyn Certificates,
}

impl Means<'_> {
    /// Dials the session's application for a client that can speak `offered`.
    pub(crate) async fn reach(
        &self,
        session: &Session,
        offered: Protocols,
    ) -> Result<Target, TargetError> {
        let reached = Box::pin(self.try_reach(session, offered));
        timeout(DEADLINE, reached).await.map_err(|_| TargetError::TimedOut { after: DEADLINE })?
    }

    async fn try_reach(
        &self,
        session: &Session,
        offered: Protocols,
    ) -> Result<Target, TargetError> {
        let application = session.application();
        let account = self.account(application).await?;
        // What the relay logs in with itself needs nothing of the client's.
        let offered = if account.is_some() { Protocols::ALL } else { offered };
        let mut io = Io::new(session.dial().await?);
        let (flags, protocol) = negotiate(&mut io, offered).await?;
        let mut wire = self.secure(io, application).await?;
        let certificates = wire.get_ref().1.peer_certificates().unwrap_or_default();
        let chain: Vec<_> = certificates.iter().map(|one| one.clone().into_owned()).collect();
        self.check(session, &chain).await?;
        let told = match &account {
            Some(account) if protocol.has_nla() => {
                let host = application.address.host();
                sign_in(&mut wire, account, protocol, (&chain, host)).await?;
                Protocols::TLS
            }
            Some(_) | None => protocol,
        };
        Ok(Target { wire, protocol, confirm: confirm(flags, told), chain, account })
    }

    /// The account that the relay signs in with; `None`: the user does.
    async fn account(&self, application: &Application) -> Result<Option<Account>, TargetError> {
        let account = match &application.login {
            Login::Transparent => return Ok(None),
            Login::Managed { account } => account,
            Login::Certificate { .. } => return Err(TargetError::NoCredential),
        };
        let found = self.secrets.credential(application.id).await;
        match found.map_err(|error| TargetError::Unreadable(error.detail))? {
            Some(TargetCredential::Password(password)) => Ok(Some(Account::new(account, password))),
            Some(TargetCredential::SshKey(_) | TargetCredential::Tls(_)) | None => {
                Err(TargetError::NoCredential)
            }
        }
    }

    async fn secure(
        &self,
        io: Io<BoxStream>,
        application: &Application,
    ) -> Result<Wire, TargetError> {
        let options = &application.rdp;
        let made = match options.learns() {
            // What is shown is looked at before anything is said.
            true => self.trust.anybody(),
            false => self.trust.client(options.ca.as_deref(), options.pin.as_deref()),
        };
        let mut config = made.map_err(|error| TargetError::Options(error.detail))?;
        // Each session has its own, so there is nothing to resume.
        config.resumption = Resumption::disabled();
        let connector = TlsConnector::from(Arc::new(config));
        connector.connect(name(application)?, io).await.map_err(TargetError::Handshake)
    }

    /// Whether whoever has shown this is the target, where TLS has not said so already.
    async fn check(
        &self,
        session: &Session,
        chain: &[CertificateDer<'_>],
    ) -> Result<(), TargetError> {
        let application = session.application();
        if !application.rdp.learns() {
            return Ok(());
        }
        if self.trust.vouched(chain, &name(application)?, UnixTime::now()) {
            return Ok(());
        }
        let first = chain.first().ok_or(Fault::Settings)?;
        let shown = trust::fingerprint(first);
        let verdict = self.certificates.learn(application.id, &shown).await;
        match verdict.map_err(|error| TargetError::Unreadable(error.detail))? {
            HostKeyVerdict::Known => Ok(()),
            HostKeyVerdict::Learned => {
                session.note("target.certificate_learned", &shown);
                Ok(())
            }
            HostKeyVerdict::Changed { known } => Err(TargetError::Changed { known, shown }),
        }
    }
}

fn name(application: &Application) -> Result<ServerName<'static>, TargetError> {
    let host = application.rdp.sni.as_deref().unwrap_or(application.address.host());
    let name = ServerName::try_from(host.to_owned());
    name.map_err(|_| TargetError::Options(format!("{host:?} is no server name")))
}

/// Asks a target what it speaks: its flags, and what it has chosen.
async fn negotiate(
    io: &mut Io<BoxStream>,
    offered: Protocols,
) -> Result<(u8, Protocols), TargetError> {
    if offered == Protocols::NONE {
        return Err(TargetError::NoTls { answer: None });
    }
    io.write_all(&request(offered)).await?;
    io.flush().await?;
    let answer = frame(io, length).await?;
    match confirmed(&answer)? {
        Confirm::Selected { flags, protocol } if protocol.both(offered) == protocol => {
            Ok((flags, protocol))
        }
        Confirm::Selected { .. } => Err(Fault::Settings.into()),
        Confirm::Failure(Failure::NoTls) => Err(TargetError::NoTls { answer: Some(answer) }),
        Confirm::Failure(why) => Err(TargetError::Negotiation { why, answer }),
    }
}

/// Signs in by NLA.
async fn sign_in(
    wire: &mut Wire,
    account: &Account,
    protocol: Protocols,
    (chain, host): (&[CertificateDer<'_>], &str),
) -> Result<(), TargetError> {
    let first = chain.first().ok_or(Fault::Settings)?;
    let (_, certificate) = x509_parser::parse_x509_certificate(first)
        .map_err(|error| TargetError::Handshake(io::Error::other(error.to_string())))?;
    let key = &certificate.public_key().subject_public_key.data;
    let mut login = Credssp::new(account, key, occasion(host)?);
    wire.write_all(&login.first()?).await?;
    wire.flush().await?;
    loop {
        let answer = frame(wire, sequence).await.map_err(refused)?;
        match login.answered(&answer)? {
            Next::Send(bytes) => wire.write_all(&bytes).await?,
            Next::Last(bytes) => {
                wire.write_all(&bytes).await?;
                break;
            }
        }
        wire.flush().await?;
    }
    wire.flush().await?;
    if protocol.has_result() {
        let mut result = [0; 4];
        wire.read_exact(&mut result).await?;
        if result != [0; 4] {
            let status = data_encoding::HEXLOWER.encode(&result);
            return Err(LoginError::Refused { status }.into());
        }
    }
    Ok(())
}

/// A target that hangs up in the middle of a login has refused it.
fn refused(error: TargetError) -> TargetError {
    match error {
        TargetError::Broken(cause) if cause.kind() == io::ErrorKind::UnexpectedEof => {
            LoginError::Refused { status: "connection closed".to_owned() }.into()
        }
        other => other,
    }
}

fn occasion(host: &str) -> Result<Occasion, TargetError> {
    let mut fresh = Fresh { challenge: [0; 8], key: [0; 16] };
    let mut nonce = [0; 32];
    for bytes in [&mut fresh.challenge[..], &mut fresh.key, &mut nonce] {
        rand::fill(bytes).map_err(|_| io::Error::other("the system has no random bytes"))?;
    }
    let now = filetime(SystemTime::now());
    Ok(Occasion { fresh, nonce, now, host: host.to_owned() })
}

/// Reads one frame, and nothing beyond it.
pub(crate) async fn frame<T: tokio::io::AsyncRead + Unpin>(
    io: &mut T,
    length: impl Fn(&[u8]) -> Result<Option<usize>, Fault>,
) -> Result<Vec<u8>, TargetError> {
    let mut bytes = Vec::new();
    let whole = loop {
        match length(&bytes)? {
            Some(whole) => break whole,
            None => bytes.push(io.read_u8().await?),
        }
    };
    let there = bytes.len();
    if whole > MOST_FRAME || whole < there {
        return Err(Fault::Frame.into());
    }
    bytes.resize(whole, 0);
    io.read_exact(&mut bytes[there..]).await?;
    Ok(bytes)
}

/// From a stream to the end of the login.
const DEADLINE: Duration = Duration::from_secs(20);
const MOST_FRAME: usize = 32 * 1024;
