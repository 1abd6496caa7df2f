//! User connections that begin within the relay, for who is signed in at a browser, which speaks no
//! SSH.
//!
//! The door is the one that everybody comes through: what is asked, allowed, recorded and ended
//! there, is so here, for it is the same code. Only the line is a pipe in memory, and the client at
//! its other end is the relay's own.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use access::{Application, Authenticated, EndReason, SessionId, Side, Unfound};
use bytes::Bytes;
use russh::client::{self, Config};
use russh::keys::{PublicKeyOrCertificate, ssh_key};
use russh::{
    ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Disconnect, Preferred, cipher, compression, kex,
    mac,
};
use session::Screen;
use tokio::io::DuplexStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::connection::{self, Connection, Ending};
use crate::inbox::WINDOW;
use crate::reach::{authorize, denied};
use crate::{SshGateway, words};

/// Who wants in, and where.
#[derive(Debug)]
pub struct Visitor {
    pub who: Authenticated,
    /// `app` or `app.site`.
    pub application: String,
    /// The account there; empty where the application has one.
    pub login: String,
    pub peer: SocketAddr,
}

/// A connection with an open session. Cheap to clone; programs run on it until its [`Door`] ends.
#[derive(Clone)]
pub struct Within {
    client: Arc<client::Handle<Own>>,
    /// The door's to keep: with the door the session ends.
    connection: Weak<Connection>,
    session: SessionId,
}

/// The door's side of a connection. Dropping it cuts the connection, and ends its session.
pub struct Door(JoinSet<Ending>);

/// What a program says.
pub struct Reader(ChannelReadHalf);

/// What a program is told. Cheap to clone.
#[derive(Clone)]
pub struct Writer(Arc<ChannelWriteHalf<client::Msg>>);

/// A piece of what a program says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    Output(Bytes),
    /// On its standard error; of a program that did not start, why.
    Error(Bytes),
    /// It ended with this status.
    Status(u32),
}

impl SshGateway {
    /// Lets somebody in whom the relay has vouched for: decides, records and opens their session. The
    /// target is reached when a program is asked for.
    ///
    /// # Errors
    ///
    /// How the door refused, with what it says to the user.
    pub async fn enter(
        &self,
        visitor: Visitor,
        drain: CancellationToken,
    ) -> Result<(Within, Door), Ending> {
        let Visitor { who, application, login, peer } = visitor;
        let (connection, orders) = Connection::new(self.gateway.clone(), peer);
        let application = named(&connection, &who, &application)?;
        let (near, far) = tokio::io::duplex(PIPE);
        let vouched = Some((who, application.id));
        let door = (connection.clone(), orders);
        let serving = connection::serve(door, far, vouched, CancellationToken::new(), drain);
        let mut door = Door(JoinSet::new());
        door.0.spawn(serving);
        // The name alone is asked for; which application it is was said.
        let user = format!("{login}+");
        match timeout(DEADLINE, knock(near, user)).await {
            Ok(Ok(client)) => match connection.reach().map(|reach| reach.id()) {
                Some(session) => {
                    let (client, connection) = (Arc::new(client), Arc::downgrade(&connection));
                    Ok((Within { client, connection, session }, door))
                }
                None => Err(door.refused().await),
            },
            Ok(Err(error)) => {
                tracing::debug!(%error, "The door did not open to a browser");
                Err(door.refused().await)
            }
            Err(_) => Err(refusal(words::INTERNAL)),
        }
    }
}

/// The application that is meant; who may not have it learns nothing of it.
fn named(
    connection: &Connection,
    who: &Authenticated,
    text: &str,
) -> Result<Arc<Application>, Ending> {
    let policy = connection.gateway.broker.policy();
    policy.find(text, who).cloned().map_err(|unfound| {
        denied(connection, who, text, &unfound.to_string());
        match unfound {
            Unfound::Ambiguous(_) => refusal(&words::explain(&unfound)),
            Unfound::Unknown(_) => refusal(words::DENIED),
        }
    })
}

/// Speaks the client's half of a login that is decided already.
async fn knock(line: DuplexStream, user: String) -> Result<client::Handle<Own>, russh::Error> {
    // Boxed: it holds the buffers of a handshake.
    let mut client = Box::pin(client::connect_stream(config(), line, Own)).await?;
    match client.authenticate_none(user).await?.success() {
        true => Ok(client),
        false => Err(russh::Error::NotAuthenticated),
    }
}

impl Within {
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// Decides anew whether this user may have the session from where they are now, and records it
    /// where they may not.
    ///
    /// # Errors
    ///
    /// Why not, in the words that its user is told.
    pub fn still(&self, who: &Authenticated) -> Result<(), Ending> {
        let connection = self.connection.upgrade();
        let found = connection.as_ref().and_then(|one| Some((one, one.reach()?)));
        let Some((connection, reach)) = found else {
            let words = Some(words::over(EndReason::Closed, None).into());
            return Err(Ending { reason: EndReason::Closed, side: Side::Relay, words });
        };
        if let Some(reason) = reach.lease().refusal() {
            let words = Some(words::over(reason, None).into());
            return Err(Ending { reason, side: Side::Relay, words });
        }
        let login = Some(reach.login().to_owned());
        let grant = authorize(connection, who, reach.application(), login);
        // It opens nothing: the session is there.
        grant.map(drop).map_err(|text| refusal(&text))
    }

    /// Opens a shell on a terminal. What the target may want to know first is asked there.
    ///
    /// # Errors
    ///
    /// The connection is over; its [`Door`] says why.
    pub async fn shell(&self, screen: &Screen) -> Result<(Reader, Writer), russh::Error> {
        let channel = self.client.channel_open_session().await?;
        let Screen { term, columns, rows } = screen;
        channel.request_pty(false, term, *columns, *rows, 0, 0, &[]).await?;
        // Browsers know no other encoding.
        channel.set_env(false, "LANG", "C.UTF-8").await?;
        channel.request_shell(false).await?;
        let (reader, writer) = channel.split();
        Ok((Reader(reader), Writer(Arc::new(writer))))
    }

    /// Opens a channel that speaks the SSH file transfer protocol.
    ///
    /// # Errors
    ///
    /// The connection is over; its [`Door`] says why.
    pub async fn sftp(&self) -> Result<(Reader, Writer), russh::Error> {
        let channel = self.client.channel_open_session().await?;
        channel.request_subsystem(false, "sftp").await?;
        let (reader, writer) = channel.split();
        Ok((Reader(reader), Writer(Arc::new(writer))))
    }

    /// Says goodbye, so that the session ends in order.
    pub async fn leave(&self) {
        let goodbye = self.client.disconnect(Disconnect::ByApplication, "", "");
        // A door that does not listen any more is leaving itself.
        drop(timeout(GOODBYE, goodbye).await);
    }
}

impl Door {
    /// Completes when the session is over, and says how it ended. Cancel-safe.
    pub async fn ended(&mut self) -> Ending {
        match self.0.join_next().await {
            Some(Ok(ending)) => ending,
            Some(Err(error)) => {
                tracing::error!(%error, "A connection of a browser's failed");
                refusal(words::INTERNAL)
            }
            None => refusal(words::INTERNAL),
        }
    }

    /// Why nobody was let in.
    async fn refused(mut self) -> Ending {
        let ended = timeout(GOODBYE, self.ended()).await;
        let ended = ended.unwrap_or_else(|_| refusal(words::INTERNAL));
        match ended.words {
            Some(_) => ended,
            None => refusal(words::INTERNAL),
        }
    }
}

impl Reader {
    /// The next piece; `None`: the program is over. Cancel-safe.
    pub async fn next(&mut self) -> Option<Said> {
        loop {
            match self.0.wait().await? {
                ChannelMsg::Data { data } => return Some(Said::Output(data)),
                ChannelMsg::ExtendedData { data, .. } => return Some(Said::Error(data)),
                ChannelMsg::ExitStatus { exit_status } => return Some(Said::Status(exit_status)),
                ChannelMsg::Close => return None,
                // A browser shows neither signals nor the end of one direction.
                _ => {}
            }
        }
    }
}

impl Writer {
    /// Waits until there is room.
    ///
    /// # Errors
    ///
    /// The program takes nothing any more.
    pub async fn write(&self, bytes: Bytes) -> Result<(), russh::Error> {
        self.0.data_bytes(bytes).await
    }

    /// # Errors
    ///
    /// The program is over.
    pub async fn resize(&self, columns: u32, rows: u32) -> Result<(), russh::Error> {
        self.0.window_change(columns, rows, 0, 0).await
    }

    /// Closes the program's channel.
    pub async fn close(&self) {
        // What is over is closed.
        drop(timeout(GOODBYE, self.0.close()).await);
    }
}

impl Ending {
    /// What its user is told.
    pub fn told(&self) -> String {
        let words = self.words.as_deref().map(str::to_owned);
        let words = words.unwrap_or_else(|| words::over(self.reason, None));
        words.trim_start_matches("adit: ").to_owned()
    }
}

/// The client's view of the pipe.
struct Own;

impl client::Handler for Own {
    type Error = russh::Error;

    /// There is nothing but this process at the other end.
    async fn check_server_key(&mut self, _: &PublicKeyOrCertificate) -> Result<bool, russh::Error> {
        Ok(true)
    }
}

fn config() -> Arc<Config> {
    let key = [
        ssh_key::Algorithm::Ed25519,
        ssh_key::Algorithm::Rsa { hash: Some(ssh_key::HashAlg::Sha512) },
        ssh_key::Algorithm::Rsa { hash: Some(ssh_key::HashAlg::Sha256) },
    ];
    let curves = [ssh_key::EcdsaCurve::NistP256, ssh_key::EcdsaCurve::NistP384];
    let key = key.into_iter().chain(curves.map(|curve| ssh_key::Algorithm::Ecdsa { curve }));
    // Nobody listens to a pipe in memory: what costs least is right.
    let preferred = Preferred {
        kex: Cow::Borrowed(&[
            kex::CURVE25519,
            kex::EXTENSION_SUPPORT_AS_CLIENT,
            kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT,
        ]),
        key: Cow::Owned(key.collect()),
        host_key_certificates: Cow::Borrowed(&[]),
        cipher: Cow::Borrowed(&[cipher::AES_128_GCM]),
        mac: Cow::Borrowed(&[mac::HMAC_SHA256_ETM]),
        compression: Cow::Borrowed(&[compression::NONE]),
    };
    Arc::new(Config {
        window_size: WINDOW,
        maximum_packet_size: PACKET,
        channel_buffer_size: HAND_OVER,
        preferred,
        inactivity_timeout: None,
        ..Config::default()
    })
}

fn refusal(words: &str) -> Ending {
    Ending { reason: EndReason::Failed, side: Side::Relay, words: Some(words.into()) }
}

/// Bytes on their way between client and door.
const PIPE: usize = 64 * 1024;
const PACKET: u32 = 32 * 1024;
/// Messages of a channel that wait for its reader.
const HAND_OVER: usize = 8;
/// For the handshake and the decision. A refusal takes its time, too.
const DEADLINE: Duration = Duration::from_secs(20);
const GOODBYE: Duration = Duration::from_secs(2);
