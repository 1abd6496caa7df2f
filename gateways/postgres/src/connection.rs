//! One connection, from its first packet to its end.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

use access::{Authenticated, EndReason, Explain as _, Kind, SessionId, Side, TokenId};
use bytes::BytesMut;
use database::{Credential, Knock, Maker, Recorder, credential, maker, note_failed, tls};
use session::{AuthnError, Door, Session, WayBack, pace};
use tokio::io::AsyncWriteExt as _;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::Gateway;
use crate::accounts::Accounts;
use crate::client::{ask, assure, prove, read_first, refuse};
use crate::proto::{self, First, Key, Replication, Startup, Told, message};
use crate::pump::Line;
use crate::record::TRANSCRIPT;
use crate::server::{Server, ServerError, Wanted, Wire, log_in};
use crate::words;

/// Who has come, and how.
#[derive(Clone, Debug)]
pub struct Arrival {
    pub peer: SocketAddr,
    /// The name in the client's TLS handshake.
    pub sni: Option<String>,
    /// The hash of the certificate that the client was shown, for SCRAM to be bound to.
    pub end_point: Option<Vec<u8>>,
    /// What was read before; `None`: nothing.
    pub first: Option<First>,
}

impl Gateway {
    /// Serves a client until it leaves, the session ends or `drain` is cancelled.
    pub(crate) async fn serve(
        &self,
        mut io: Wire,
        arrival: Arrival,
        proven: &CancellationToken,
        drain: &CancellationToken,
    ) {
        let entering = self.enter(&mut io, arrival, proven);
        let entered = tokio::select! {
            biased;
            entered = timeout(LOGIN, Box::pin(entering)) => entered,
            () = drain.cancelled() => Ok(Err(Some(words::over(EndReason::Drained, None)))),
        };
        match entered {
            Ok(Ok((session, startup))) => self.run(io, session, &startup).await,
            Ok(Err(Some(told))) => refuse(&mut io, &told).await,
            // Told already, or gone.
            Ok(Err(None)) => {}
            Err(_) => refuse(&mut io, &words::too_slow()).await,
        }
    }

    /// From the first packet to a session. Whoever gets none is told the error, if there is one.
    async fn enter(
        &self,
        io: &mut Wire,
        arrival: Arrival,
        proven: &CancellationToken,
    ) -> Result<(Session, Startup), Option<Told>> {
        let Arrival { peer, sni, end_point, first } = arrival;
        let first = match first {
            Some(first) => first,
            None => read_first(io).await.map_err(|_| None)?,
        };
        let startup = match first {
            First::Startup(startup) => startup,
            First::Cancel(key) => {
                self.keys.show(&key);
                // In order, also for TLS: clients take a broken end for a failure.
                drop(io.shutdown().await);
                return Err(None);
            }
            First::Tls | First::Gss => {
                return Err(Some(words::violation("encryption is asked for twice")));
            }
        };
        let from: IpAddr = peer.ip().to_canonical();
        let who = self.sign_in(io, &startup, end_point.as_deref(), from).await?;
        proven.cancel();
        let asked = Instant::now();
        let knock = self.knock(sni.as_deref(), &startup);
        match Box::pin(knock.open(&self.broker, &who, SystemTime::now())).await {
            Ok(session) => match may_replicate(&session, startup.replication) {
                Ok(()) => Ok((session, startup)),
                Err((why, told)) => {
                    session.note("database.replication", why);
                    session.end(EndReason::Failed, Side::Relay);
                    Err(Some(told))
                }
            },
            Err(error) => {
                // How long it took to find out tells nothing of what is there.
                pace::even(asked, pace::DENIED).await;
                Err(Some(words::explain(&error)))
            }
        }
    }

    /// By a token's text; or, where the user's name says of which, by a proof of knowing it.
    async fn sign_in(
        &self,
        io: &mut Wire,
        startup: &Startup,
        end_point: Option<&[u8]>,
        from: IpAddr,
    ) -> Result<Authenticated, Option<Told>> {
        let refused = |error: AuthnError| Some(words::explain(&error));
        let Some(id) = startup.token() else {
            let token = ask(io, startup).await.map_err(|_| None)?;
            return self.authn.token(&token, Door::Postgres, from).await.map_err(refused);
        };
        let id = TokenId::from(id.to_owned());
        let proof = prove(io, startup, id, end_point).await.map_err(|_| None)?;
        let shown = self.authn.token_proof(&proof, Door::Postgres, from).await;
        let (who, signature) = shown.map_err(refused)?;
        assure(io, &signature).await.map_err(|_| None)?;
        Ok(who)
    }

    fn knock<'a>(&self, sni: Option<&'a str>, startup: &'a Startup) -> Knock<'a> {
        let (login, application) = startup.who();
        let label = sni.and_then(|name| self.label(name));
        let option = startup.application.as_deref();
        Knock {
            door: Door::Postgres,
            kind: Kind::Postgres,
            named: [label, application, option].into_iter().flatten().collect(),
            login,
            database: startup.database(),
        }
    }

    /// The one label of a name below the relay's domain.
    fn label<'a>(&self, name: &'a str) -> Option<&'a str> {
        let (label, domain) = name.split_once('.')?;
        domain.trim_end_matches('.').eq_ignore_ascii_case(&self.domain).then_some(label)
    }

    /// Serves a session to its end, and takes back after it what it left at its server.
    async fn run(&self, mut io: Wire, session: Session, startup: &Startup) {
        match self.own_account(&session, startup).await {
            Ok(None) => self.carry(io, session, startup, None).await,
            Ok(Some(own)) => {
                self.carry(io, session, startup, Some(&own)).await;
                own.take_away().await;
            }
            Err(error) => fail(&mut io, session, startup, &error).await,
        }
    }

    async fn own_account<'a>(
        &'a self,
        session: &Session,
        startup: &'a Startup,
    ) -> Result<Option<OwnAccount<'a>>, ServerError> {
        let Some(maker) = maker(&*self.secrets, session).await? else { return Ok(None) };
        Ok(Some(OwnAccount {
            maker,
            tls: tls(session.application(), &self.trust, &*self.secrets).await?,
            way: session.way_back(),
            session: session.id(),
            database: startup.database(),
            relay: &self.domain,
        }))
    }

    /// Logs in at the server and carries.
    async fn carry(
        &self,
        mut io: Wire,
        session: Session,
        startup: &Startup,
        own: Option<&OwnAccount<'_>>,
    ) {
        let mut lease = session.lease();
        let reaching = Box::pin(self.reach(&session, startup, own));
        let reached = tokio::select! {
            biased;
            reason = lease.ended() => {
                refuse(&mut io, &words::over(reason, lease.last_words().as_deref())).await;
                return session.end(reason, Side::Relay);
            }
            reached = reaching => reached,
        };
        match reached {
            Ok((server, tls)) => self.connected(io, session, startup, server, tls).await,
            Err(error) => fail(&mut io, session, startup, &error).await,
        }
    }

    async fn reach(
        &self,
        session: &Session,
        startup: &Startup,
        own: Option<&OwnAccount<'_>>,
    ) -> Result<(Server, Option<database::Tls>), ServerError> {
        let tls = tls(session.application(), &self.trust, &*self.secrets).await?;
        let credential = match own {
            Some(own) => own.make(session).await?,
            None => credential(&*self.secrets, session).await?,
        };
        let stream = session.dial().await?;
        let mut settings = startup.settings.clone();
        if startup.replication == Replication::Logical {
            settings.push(("replication".to_owned(), "database".to_owned()));
        }
        let (database, settings) = (startup.database(), settings.as_slice());
        let wanted = Wanted { credential: &credential, database, settings };
        Ok((log_in(stream, tls.as_ref(), &wanted).await?, tls))
    }

    async fn connected(
        &self,
        mut client: Wire,
        session: Session,
        startup: &Startup,
        server: Server,
        tls: Option<database::Tls>,
    ) {
        let Server { io: server, key, charset, greeting } = server;
        let length = if startup.spoken() >= LONG_KEYS { LONG_KEY } else { SHORT_KEY };
        let process = key.as_ref().map_or(0, |key| key.process);
        let Some(cancellable) = self.keys.issue(process, length) else {
            return session.end(EndReason::Failed, Side::Relay);
        };
        let greeted = greet(&mut client, &greeting, &cancellable.key).await;
        if greeted.is_err() {
            return session.end(EndReason::Broken, Side::Client);
        }
        drop(greeting);
        let (database, name) = (startup.database(), startup.setting("application_name"));
        // Checked when it was said.
        let Ok(mask) = self.masks.of(session.application()) else {
            return session.end(EndReason::Failed, Side::Relay);
        };
        let recorder =
            Recorder::begin(self.log.clone(), &session, TRANSCRIPT, (database, name), mask).await;
        let line = Line { session, client, server, charset, recorder, cancellable, key, tls };
        Box::pin(line.carry()).await;
    }
}

/// The account that a session has to itself, made or to be made.
struct OwnAccount<'a> {
    maker: Maker,
    tls: Option<database::Tls>,
    way: WayBack,
    session: SessionId,
    database: &'a str,
    relay: &'a str,
}

impl OwnAccount<'_> {
    fn accounts(&self) -> Accounts<'_> {
        let credential = &self.maker.credential;
        Accounts { way: &self.way, tls: self.tls.as_ref(), credential, relay: self.relay }
    }

    async fn make(&self, session: &Session) -> Result<Credential, ServerError> {
        let (accounts, role) = (self.accounts(), &self.maker.role);
        let made = accounts.make(self.session, session.user().as_str(), role, self.database);
        let made = made.await?;
        session.note("target.account", &format!("{} in {role}", made.account));
        Ok(made)
    }

    /// What can not be taken away now, the next sweep does.
    async fn take_away(&self) {
        if let Err(error) = self.accounts().take_away(self.session, self.database).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(session = %self.session, error, "Could not take away a database account");
        }
    }
}

/// Ends a session whose server was not reached or let nobody in.
async fn fail(io: &mut Wire, session: Session, startup: &Startup, error: &ServerError) {
    note_failed(&session, error.code(), error);
    let (reason, side) = match error {
        ServerError::Dial(error) => error.outcome(),
        _ => (EndReason::Failed, Side::Target),
    };
    session.end(reason, side);
    tell(io, startup, error).await;
}

/// Whether what a client wants to replicate passes; why not, for the audit log and for it.
fn may_replicate(session: &Session, wanted: Replication) -> Result<(), (&'static str, Told)> {
    match wanted {
        Replication::No => Ok(()),
        Replication::Logical if session.application().database.replication => Ok(()),
        Replication::Logical => Err(("the application does not allow it", words::no_replication())),
        Replication::Physical => {
            Err(("physical replication never passes", words::no_physical_replication()))
        }
    }
}

/// Tells a client that it is in, what its server says of itself, and a key of ours.
async fn greet(client: &mut Wire, greeting: &[u8], key: &Key) -> std::io::Result<()> {
    let mut out = BytesMut::with_capacity(greeting.len() + 64);
    message(&mut out, b'R', |out| out.extend_from_slice(&[0; 4]));
    out.extend_from_slice(greeting);
    message(&mut out, b'K', |out| proto::key(out, key));
    message(&mut out, b'Z', |out| out.extend_from_slice(b"I"));
    client.write_all(&out).await?;
    client.flush().await
}

/// Tells a client why it did not come to its database: in the server's words, where those are for it.
async fn tell(io: &mut Wire, startup: &Startup, error: &ServerError) {
    match error.as_is() {
        Some(message) => {
            let unnamed = startup.named_database().is_none();
            let hint = Some(words::NAME_ONE).filter(|_| unnamed && proto::lacks_database(message));
            // Who has left is told nothing.
            drop(io.write_all(&proto::hinted(message, hint)).await);
            drop(io.flush().await);
            drop(io.shutdown().await);
        }
        None => {
            tracing::trace!(code = %error.code(), "Told a client");
            refuse(io, &words::explain(error)).await;
        }
    }
}

/// From the first byte to a token: people may have to look for one.
const LOGIN: Duration = Duration::from_secs(60);
/// The minor version from which keys are as long as the server likes.
const LONG_KEYS: u16 = 2;
const LONG_KEY: usize = 32;
const SHORT_KEY: usize = 4;
