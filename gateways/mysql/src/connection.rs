//! One connection, from what its client says of itself to its end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use access::{EndReason, Explain as _, Kind, Side};
use bytes::BytesMut;
use database::{Credential, Events, Knock, Recorder, credential, maker, note_failed, tls};
use session::{Door, Session, pace};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::Gateway;
use crate::accounts::OwnAccount;
use crate::change::Changes;
use crate::client::{Shown, agreed, hello, refuse};
use crate::flow::End;
use crate::kill::Ending;
use crate::proto::{First, Hello, Told, capability, packet, who};
use crate::pump::{Line, Talk};
use crate::record::TRANSCRIPT;
use crate::scan::Writer;
use crate::server::{Server, ServerError, Wanted, log_in};
use crate::threads::Thread;
use crate::track::Tracker;
use crate::wire::{Wire, send};
use crate::words;

/// Who has come, and how.
#[derive(Debug)]
pub struct Arrival {
    pub peer: SocketAddr,
    /// The name in the client's TLS handshake.
    pub sni: Option<String>,
    /// The number it was given.
    pub thread: u32,
    /// What it said in the clear; `None`: it has begun TLS, and says it there.
    pub hello: Option<Box<Hello>>,
}

/// A client that is in.
struct Entered {
    session: Session,
    hello: Hello,
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
        let (peer, thread) = (arrival.peer, arrival.thread);
        // One packet has gone each way: the second was the client's, or asked for TLS.
        let mut number = 2;
        let entering = self.enter(&mut io, arrival, &mut number, proven);
        let entered = tokio::select! {
            biased;
            entered = timeout(LOGIN, Box::pin(entering)) => entered,
            () = drain.cancelled() => Ok(Err(Some(words::over(EndReason::Drained, None)))),
        };
        match entered {
            Ok(Ok(entered)) => self.run(io, entered, peer, thread, number).await,
            Ok(Err(Some(told))) => refuse(&mut io, number, &told).await,
            // Told already, or gone.
            Ok(Err(None)) => {}
            Err(_) => refuse(&mut io, number, &words::too_slow()).await,
        }
    }

    /// From what a client says of itself to a session. Whoever gets none is told the error, if there
    /// is one.
    async fn enter(
        &self,
        io: &mut Wire,
        arrival: Arrival,
        number: &mut u8,
        proven: &CancellationToken,
    ) -> Result<Entered, Option<Told>> {
        let Arrival { peer, sni, hello: said, .. } = arrival;
        let said = match said {
            Some(said) => said,
            None => match hello(io, number).await.map_err(|_| None)? {
                First::Hello(said) => said,
                First::Tls => return Err(Some(words::violation("TLS is asked for twice"))),
            },
        };
        let hello = Hello { capabilities: agreed(&said), ..*said };
        let shown = Shown { plugin: hello.plugin.as_deref(), answer: &hello.answer };
        let (from, user) = (peer.ip().to_canonical(), hello.user.as_str());
        let who = self.sign_in(io, number, (user, shown), from).await;
        let who = who.map_err(|_| None)?.map_err(Some)?;
        proven.cancel();
        let asked = Instant::now();
        let knock = self.knock(sni.as_deref(), &hello);
        match Box::pin(knock.open(&self.broker, &who, SystemTime::now())).await {
            Ok(session) => Ok(Entered { session, hello }),
            Err(error) => {
                // How long it took to find out tells nothing of what is there.
                pace::even(asked, pace::DENIED).await;
                Err(Some(words::explain(&error)))
            }
        }
    }

    fn knock<'a>(&self, sni: Option<&'a str>, hello: &'a Hello) -> Knock<'a> {
        let (login, application) = who(&hello.user);
        let label = sni.and_then(|name| self.label(name));
        let attribute = hello.application.as_deref();
        Knock {
            door: Door::Mysql,
            kind: Kind::Mysql,
            named: [label, application, attribute].into_iter().flatten().collect(),
            login,
            database: hello.database.as_deref().unwrap_or_default(),
        }
    }

    /// The one label of a name below the relay's domain.
    fn label<'a>(&self, name: &'a str) -> Option<&'a str> {
        let (label, domain) = name.split_once('.')?;
        domain.trim_end_matches('.').eq_ignore_ascii_case(&self.domain).then_some(label)
    }

    /// Serves a session to its end, and takes back after it what it left at its server.
    async fn run(&self, io: Wire, entered: Entered, peer: SocketAddr, thread: u32, number: u8) {
        let Entered { session, hello } = entered;
        let mut client = Client { io, hello, peer, thread, number };
        match self.own_account(&session).await {
            Ok(None) => self.begin(client, session, None).await,
            Ok(Some(own)) => {
                self.begin(client, session, Some(&own)).await;
                own.take_away().await;
            }
            Err(error) => fail(&mut client, session, &error).await,
        }
    }

    async fn own_account(&self, session: &Session) -> Result<Option<OwnAccount>, ServerError> {
        let Some(maker) = maker(&*self.secrets, session).await? else { return Ok(None) };
        let (tls, way) =
            (tls(session.application(), &self.trust, &*self.secrets).await?, session.way_back());
        let own = Arc::new(OwnAccount::own(&self.domain, session.id())?);
        Ok(Some(OwnAccount { maker, tls, way, own }))
    }

    /// Logs in at the server and carries.
    async fn begin(&self, mut client: Client, session: Session, own: Option<&OwnAccount>) {
        let mut lease = session.lease();
        let reaching = Box::pin(self.reach(&session, &client.hello, own));
        let reached = tokio::select! {
            biased;
            reason = lease.ended() => {
                let told = words::over(reason, lease.last_words().as_deref());
                refuse(&mut client.io, client.number, &told).await;
                return session.end(reason, Side::Relay);
            }
            reached = reaching => reached,
        };
        match reached {
            Ok(reached) => self.connected(client, session, reached, own).await,
            Err(error) => fail(&mut client, session, &error).await,
        }
    }

    async fn reach(
        &self,
        session: &Session,
        hello: &Hello,
        own: Option<&OwnAccount>,
    ) -> Result<Reached, ServerError> {
        let tls = tls(session.application(), &self.trust, &*self.secrets).await?;
        let files = session.terms().file_transfer;
        let Some(own) = own else {
            let credential = Arc::new(credential(&*self.secrets, session).await?);
            let wanted = Wanted { credential: &credential, hello, files };
            let server = log_in(session.dial().await?, tls.as_ref(), &wanted).await?;
            let (way, thread) = (session.way_back(), server.thread);
            let ending = Ending { tls, way, credential: credential.clone(), thread };
            return Ok(Reached { server, credential, ending: Some(ending) });
        };
        let keeper = own.make(session).await?;
        let credential = own.own.credential.clone();
        let bare = Hello { database: None, ..hello.clone() };
        let wanted = Wanted { credential: &credential, hello: &bare, files };
        let mut server = log_in(session.dial().await?, tls.as_ref(), &wanted).await?;
        own.settle(&mut server, hello.database.as_deref()).await?;
        own.lock(keeper).await?;
        Ok(Reached { server, credential, ending: None })
    }

    async fn connected(
        &self,
        client: Client,
        session: Session,
        reached: Reached,
        account: Option<&OwnAccount>,
    ) {
        let Reached { server, credential, ending } = reached;
        let Client { mut io, hello, peer, thread, mut number } = client;
        let mut out = BytesMut::new();
        packet(&mut out, &mut number, |out| out.extend_from_slice(&server.agreed));
        if send(&mut io, &out).await.is_err() {
            return session.end(EndReason::Broken, Side::Client);
        }
        let (user, application) = (session.user().clone(), session.application().id);
        let own = account.map(|account| account.own.clone());
        let thread_of = Thread { user, application, server: server.thread, own };
        let known = self.threads.know(thread, thread_of);
        let (database, name) = (hello.database.as_deref().unwrap_or_default(), hello.client());
        let begun = (database, name.as_deref());
        // Checked when it was said.
        let Ok(mask) = self.masks.of(session.application()) else {
            return session.end(EndReason::Failed, Side::Relay);
        };
        let recorder = Recorder::begin(self.log.clone(), &session, TRANSCRIPT, begun, mask).await;
        if hello.capabilities & capability::COMPRESS != 0 {
            io = io.compressed();
        }
        let talk = Talk {
            client: End::new(io, Writer::Client),
            server: End::new(server.io, Writer::Server),
            tracker: Tracker::new(server.capabilities)
                .with_collation(hello.charset)
                .agreed(&server.agreed)
                .with_values(session.application().database.values),
            recorder,
            events: Events::new(),
            counters: session.counters().clone(),
            known,
            databases: session.terms().databases.clone(),
            files: session.terms().file_transfer,
            number: 1,
        };
        let changes = Changes {
            gateway: self,
            from: peer.ip().to_canonical(),
            credential,
            account,
            hello,
            capabilities: server.capabilities,
            security: server.security.into(),
        };
        Box::pin(Line { session, talk, changes, ending }.carry()).await;
    }
}

/// A server that is logged in to.
struct Reached {
    server: Server,
    credential: Arc<Credential>,
    ending: Option<Ending>,
}

/// A client whose session is open.
struct Client {
    io: Wire,
    hello: Hello,
    peer: SocketAddr,
    thread: u32,
    number: u8,
}

/// Ends a session whose server was not reached or let nobody in.
async fn fail(client: &mut Client, session: Session, error: &ServerError) {
    note_failed(&session, error.code(), error);
    let (reason, side) = match error {
        ServerError::Dial(error) => error.outcome(),
        _ => (EndReason::Failed, Side::Target),
    };
    session.end(reason, side);
    tell(&mut client.io, client.number, error).await;
}

/// Tells a client why it did not come to its database: in the server's words, where those are for it.
async fn tell(io: &mut Wire, mut number: u8, error: &ServerError) {
    match error.as_is() {
        Some(message) => {
            let mut out = BytesMut::new();
            packet(&mut out, &mut number, |out| out.extend_from_slice(message));
            // Who has left is told nothing.
            drop(send(io, &out).await);
            drop(tokio::io::AsyncWriteExt::shutdown(io).await);
        }
        None => {
            tracing::trace!(code = %error.code(), "Told a client");
            refuse(io, number, &words::explain(error)).await;
        }
    }
}

/// From the first byte to a token: people may have to look for one.
const LOGIN: Duration = Duration::from_secs(60);
