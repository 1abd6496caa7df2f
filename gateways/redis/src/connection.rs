//! One connection, from its first command to its end.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

use access::{EndReason, Explain as _, Kind, Side, sha256};
use database::{Knock, credential, note_failed, tls};
use secrecy::ExposeSecret as _;
use session::{Door, Session, pace};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::Gateway;
use crate::client::{Client, Shown};
use crate::pump::Line;
use crate::record::Recorder;
use crate::server::{Server, ServerError, Wire, log_in};
use crate::track::Tracker;
use crate::words;

/// Who has come, and how.
#[derive(Clone, Debug)]
pub struct Arrival {
    pub peer: SocketAddr,
    /// The name in the client's TLS handshake.
    pub sni: Option<String>,
}

/// Who a session is of, for who says so again.
pub(crate) struct Known {
    arrival: Arrival,
    token: [u8; 32],
}

impl Gateway {
    /// Serves a client until it leaves, the session ends or `drain` is cancelled.
    pub(crate) async fn serve(
        &self,
        io: Wire,
        arrival: Arrival,
        proven: &CancellationToken,
        drain: &CancellationToken,
    ) {
        let mut client = Client::new(io);
        let entering = self.enter(&mut client, &arrival, proven);
        let entered = tokio::select! {
            biased;
            entered = timeout(LOGIN, Box::pin(entering)) => entered,
            () = drain.cancelled() => Ok(Err(Some(words::over(EndReason::Drained, None)))),
        };
        match entered {
            Ok(Ok((session, shown))) => self.run(client, session, &shown, arrival).await,
            Ok(Err(Some(told))) => client.refuse(&told).await,
            // Told already, or gone.
            Ok(Err(None)) => {}
            Err(_) => client.refuse(&words::too_slow()).await,
        }
    }

    /// From the first command to a session. Whoever gets none is told the error, if there is one.
    async fn enter(
        &self,
        client: &mut Client,
        arrival: &Arrival,
        proven: &CancellationToken,
    ) -> Result<(Session, Shown), Option<Vec<u8>>> {
        for tries in 1.. {
            let shown = client.shows().await.map_err(|_| None)?;
            let from = arrival.from();
            let who = match self.authn.token(&shown.token, Door::Redis, from).await {
                Ok(who) => who,
                Err(error) if tries < TRIES => {
                    client.say(&words::explain(&error)).await.map_err(|_| None)?;
                    continue;
                }
                Err(error) => return Err(Some(words::explain(&error))),
            };
            proven.cancel();
            let asked = Instant::now();
            let knock = self.knock(arrival, &shown);
            match Box::pin(knock.open(&self.broker, &who, SystemTime::now())).await {
                Ok(session) => return Ok((session, shown)),
                Err(error) => {
                    // How long it took to find out tells nothing of what is there.
                    pace::even(asked, pace::DENIED).await;
                    return Err(Some(words::explain(&error)));
                }
            }
        }
        Err(None)
    }

    fn knock<'a>(&self, arrival: &'a Arrival, shown: &'a Shown) -> Knock<'a> {
        let (login, application) = shown.who();
        let label = arrival.sni.as_deref().and_then(|name| self.label(name));
        Knock {
            door: Door::Redis,
            kind: Kind::Redis,
            named: [label, application].into_iter().flatten().collect(),
            login,
            database: FIRST_DATABASE,
        }
    }

    /// The one label of a name below the relay's domain.
    fn label<'a>(&self, name: &'a str) -> Option<&'a str> {
        let (label, domain) = name.split_once('.')?;
        domain.trim_end_matches('.').eq_ignore_ascii_case(&self.domain).then_some(label)
    }

    /// What somebody is answered who shows a token in a session that is open: whether it leads to
    /// the same application as the same user. It goes on as it was either way.
    pub(crate) async fn again(
        &self,
        session: &Session,
        known: &Known,
        shown: &Shown,
    ) -> Result<(), Vec<u8>> {
        let same = sha256(shown.token.expose_secret().as_bytes()) == known.token;
        let from = known.arrival.from();
        let (_, application) = shown.who();
        if same && application.is_none() {
            return Ok(());
        }
        if same {
            return match application.is_some_and(|text| names(session, text)) {
                true => Ok(()),
                false => Err(words::another()),
            };
        }
        let who = self.authn.token(&shown.token, Door::Redis, from).await;
        let who = who.map_err(|error| words::explain(&error))?;
        let own = session.application().label();
        let mut knock = self.knock(&known.arrival, shown);
        knock.named.push(&own);
        let checked = knock.check(&self.broker, &who, SystemTime::now());
        checked.map_err(|error| words::explain(&error))?;
        if who.name() == session.user() { Ok(()) } else { Err(words::another()) }
    }

    /// Logs in at the server and carries.
    async fn run(&self, mut client: Client, session: Session, shown: &Shown, arrival: Arrival) {
        let mut lease = session.lease();
        let reaching = Box::pin(self.reach(&session, shown));
        let reached = tokio::select! {
            biased;
            reason = lease.ended() => {
                client.refuse(&words::over(reason, lease.last_words().as_deref())).await;
                return session.end(reason, Side::Relay);
            }
            reached = reaching => reached,
        };
        match reached {
            Ok(server) => self.connected(client, session, server, shown, arrival).await,
            Err(error) => {
                note_failed(&session, error.code(), &error);
                let (reason, side) = match &error {
                    ServerError::Dial(error) => error.outcome(),
                    ServerError::Options(_)
                    | ServerError::Credential(_)
                    | ServerError::Handshake(_)
                    | ServerError::Broken(_)
                    | ServerError::Strange(_)
                    | ServerError::Refused(_)
                    | ServerError::TimedOut { .. } => (EndReason::Failed, Side::Target),
                };
                session.end(reason, side);
                client.refuse(&words::explain(&error)).await;
            }
        }
    }

    async fn reach(&self, session: &Session, shown: &Shown) -> Result<Server, ServerError> {
        let tls = tls(session.application(), &self.trust, &*self.secrets).await?;
        let credential = credential(&*self.secrets, session).await?;
        log_in(session, tls.as_ref(), &credential, shown.hello.as_ref()).await
    }

    async fn connected(
        &self,
        mut client: Client,
        session: Session,
        server: Server,
        shown: &Shown,
        arrival: Arrival,
    ) {
        let Server { io, ahead, answer, login } = server;
        if client.say(&answer).await.is_err() {
            return session.end(EndReason::Broken, Side::Client);
        }
        let hello = shown.hello.as_ref();
        let name = hello.and_then(|hello| hello.name.as_deref()).map(String::from_utf8_lossy);
        // Checked when it was said.
        let Ok(mask) = self.masks.of(session.application()) else {
            return session.end(EndReason::Failed, Side::Relay);
        };
        let recorder = Recorder::begin(self.log.clone(), &session, name.as_deref(), mask).await;
        let allowed = session.terms().databases.as_ref();
        let allowed =
            allowed.map(|names| names.iter().filter_map(|name| name.parse().ok()).collect());
        let version = hello.map_or(2, |hello| hello.version);
        let values = session.application().database.values;
        let tracker = Tracker::new(version, login, allowed).with_values(values);
        let token = sha256(shown.token.expose_secret().as_bytes());
        let known = Known { arrival, token };
        let line = Line { gateway: self, session, known, client, server: (io, ahead), recorder };
        Box::pin(line.carry(tracker)).await;
    }
}

impl Arrival {
    fn from(&self) -> IpAddr {
        self.peer.ip().to_canonical()
    }
}

/// Whether a text is one of the names of the session's application.
fn names(session: &Session, text: &str) -> bool {
    let application = session.application();
    text == application.name.as_str()
        || text == application.label()
        || text == application.full_name()
}

/// From the first byte to a token: people may have to look for one.
const LOGIN: Duration = Duration::from_secs(60);
/// How many tokens one connection may show.
const TRIES: u32 = 3;
/// The database that a connection begins with.
const FIRST_DATABASE: &str = "0";
