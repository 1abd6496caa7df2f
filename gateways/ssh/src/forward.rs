//! Forwarded ports and agents: each channel is its own decision, recorded.

use std::sync::Arc;
use std::time::SystemTime;

use access::{Application, Authenticated, Channels, EndReason, Explain, Kind, Side, Unfound};
use russh::server::{self, Msg};
use russh::{Channel, ChannelOpenFailure, client};
use session::{Door, Session};
use splice::BoxStream;
use tokio::time::timeout;

use crate::bridge::{self, UserSide};
use crate::channel::carry_bytes;
use crate::config::TARGET_DEADLINE;
use crate::connection::{Connection, Place};
use crate::inbox::{Inbox, UP_CAP};
use crate::proto::destination;
use crate::reach::authorize;
use crate::sniff::Sniff;
use crate::target::Knock;
use crate::terminal::Applicant;
use crate::unopened::Unopened;
use crate::watch::CARRIES_SSH;
use crate::words;

/// Serves `ssh -L`, `-W`, `-J` and `-D`: to an application of that name, else through the target.
pub(crate) async fn direct(
    connection: Arc<Connection>,
    channel: Channel<Msg>,
    reply: server::ChannelOpenHandle,
    to: (String, u32),
    _place: Place,
) {
    let forwarding = async {
        let (host, port) = to;
        match named(&connection, &host, port) {
            Ok((who, application)) => {
                to_application(&connection, &who, application, channel, reply).await;
            }
            Err(why) => {
                let to = To::Port(host, port);
                through_target(&connection, to, why, channel, reply).await;
            }
        }
    };
    tokio::select! {
        biased;
        _ = connection.ending() => {}
        () = forwarding => {}
    }
}

/// Serves `ssh -L PORT:/SOCKET`.
pub(crate) async fn socket(
    connection: Arc<Connection>,
    channel: Channel<Msg>,
    reply: server::ChannelOpenHandle,
    path: String,
    _place: Place,
) {
    let forwarding =
        through_target(&connection, To::Socket(path), Unopened::NoTarget, channel, reply);
    tokio::select! {
        biased;
        _ = connection.ending() => {}
        () = forwarding => {}
    }
}

/// What a target opens a channel to at the user's.
pub(crate) enum Back {
    Agent,
    /// For a program at the target that connected from there.
    Display(String, u32),
    /// For who connected to a socket that the target listens on.
    Socket(String),
}

impl Back {
    async fn open(&self, user: &server::Handle) -> Result<Channel<Msg>, russh::Error> {
        match self {
            Self::Agent => user.channel_open_agent().await,
            Self::Display(from, port) => user.channel_open_x11(from, *port).await,
            Self::Socket(path) => user.channel_open_forwarded_streamlocal(path).await,
        }
    }

    fn shown(&self) -> String {
        match self {
            Self::Agent => "agent".to_owned(),
            Self::Display(..) => "display".to_owned(),
            Self::Socket(path) => path.clone(),
        }
    }
}

/// Joins a channel that a target opened to something of the user's, which is allowed.
pub(crate) fn back(
    connection: &Arc<Connection>,
    to: Back,
    channel: Channel<client::Msg>,
    reply: client::ChannelOpenHandle,
) {
    let Some(place) = connection.place() else { return };
    let shared = connection.clone();
    let joining = async move {
        let _place = place;
        let (Some(handle), Some(reach)) = (shared.handle(), shared.reach().cloned()) else {
            return;
        };
        let opening = timeout(TARGET_DEADLINE, to.open(&handle)).await;
        let Ok(Ok(user)) = opening else { return };
        reply.accept().await;
        let id = user.id();
        let (reader, writer) = user.split();
        let mut inbox = Inbox::new(reader, id, shared.up.clone());
        let (side, what) = (UserSide { writer, handle }, to.shown());
        tokio::select! {
            biased;
            _ = shared.ending() => {}
            () = carry_bytes(&shared, &reach, &side, &mut inbox, channel, what) => {}
        }
    };
    // Without room the reply is dropped with the task, which refuses the channel.
    connection.try_run(joining);
}

/// The application a destination names, if the user may see one of that name at that port; otherwise
/// what they may be told of it.
fn named(
    connection: &Connection,
    host: &str,
    port: u32,
) -> Result<(Authenticated, Arc<Application>), Unopened> {
    let who = connection.who().ok_or(Unopened::Nowhere)?;
    let name = destination(host, &connection.gateway.domain);
    let policy = connection.gateway.broker.policy();
    let application = match policy.find(&name, who) {
        Ok(application) => application,
        Err(unfound @ Unfound::Ambiguous(_)) => return Err(Unopened::Ambiguous(unfound)),
        Err(Unfound::Unknown(_)) => return Err(Unopened::Nowhere),
    };
    if !policy.reachable(who).iter().any(|open| open.id == application.id) {
        return Err(Unopened::Nowhere);
    }
    let usual = application.kind == Kind::Ssh && port == SSH_PORT;
    match port == u32::from(application.address.port()) || port == 0 || usual {
        true => Ok((who.clone(), application.clone())),
        false => Err(Unopened::OtherPort(application.clone())),
    }
}

/// Opens the application as raw bytes, under a session of its own.
async fn to_application(
    connection: &Arc<Connection>,
    who: &Authenticated,
    application: Arc<Application>,
    channel: Channel<Msg>,
    reply: server::ChannelOpenHandle,
) {
    let opened = open(connection, who, &application).await;
    let (session, stream) = match opened {
        Ok(opened) => opened,
        Err(failure) => return reply.reject(failure).await,
    };
    let Some((user, mut inbox)) = accept(connection, channel, reply).await else { return };
    let (mut lease, counters) = (session.lease(), session.counters().clone());
    let sniff = Sniff::default();
    let (reason, side) = tokio::select! {
        biased;
        reason = lease.ended() => (reason, Side::Relay),
        _ = connection.ending() => (EndReason::Closed, Side::Client),
        end = bridge::stream(&user, &mut inbox, stream, &counters, &sniff) => end,
    };
    if reason != EndReason::Closed {
        tracing::debug!(reason = reason.as_str(), "A forward to an application ended");
    }
    drop(inbox);
    drop(user.writer.close().await);
    if sniff.is_ssh() {
        session.note(CARRIES_SSH, session.application().name.as_str());
    }
    session.end(reason, side);
}

async fn open(
    connection: &Connection,
    who: &Authenticated,
    application: &Arc<Application>,
) -> Result<(Session, BoxStream), ChannelOpenFailure> {
    let grant = authorize(connection, who, application, None).map_err(|text| refusal(&text))?;
    let opened = connection.gateway.broker.open(grant, Door::Ssh, SystemTime::now()).await;
    let session = opened.map_err(|error| refusal(&words::explain(&error)))?;
    match session.dial().await {
        Ok(stream) => Ok((session, stream)),
        Err(error) => {
            let (reason, side) = error.outcome();
            session.end(reason, side);
            tracing::info!(%error, code = %error.code(), "Could not reach a forward's application");
            let reason = words::explain(&error);
            Err(ChannelOpenFailure::Other { code: CONNECT_FAILED, reason })
        }
    }
}

/// Where a target is asked to connect.
enum To {
    Port(String, u32),
    Socket(String),
}

impl To {
    fn is_allowed(&self, allowed: &Channels) -> bool {
        match self {
            Self::Port(host, port) => allowed.local(host, *port),
            Self::Socket(_) => allowed.streamlocal,
        }
    }

    async fn open(
        self,
        target: &client::Handle<Knock>,
    ) -> Result<Channel<client::Msg>, russh::Error> {
        match self {
            Self::Port(host, port) => {
                target.channel_open_direct_tcpip(host, port, "127.0.0.1", 0).await
            }
            Self::Socket(path) => target.channel_open_direct_streamlocal(path).await,
        }
    }

    fn shown(&self) -> String {
        match self {
            Self::Port(host, port) => format!("{host}:{port}"),
            Self::Socket(path) => path.clone(),
        }
    }
}

/// Asks the connection's target to connect, where the terms allow it. `why`: what else it is refused
/// for.
async fn through_target(
    connection: &Arc<Connection>,
    to: To,
    why: Unopened,
    channel: Channel<Msg>,
    reply: server::ChannelOpenHandle,
) {
    let destination = to.shown();
    let Some(reach) = connection.reach().filter(|reach| to.is_allowed(reach.channels())).cloned()
    else {
        let why = why.within(connection);
        why.record(connection, &destination).await;
        return reply.reject(why.failure()).await;
    };
    reach.note("ssh.forward", &destination).await;
    let target = match Box::pin(reach.target(connection, &mut Applicant::nobody())).await {
        Ok(target) => target,
        Err(reason) => {
            reach.note("ssh.forward_failed", &destination).await;
            return reply.reject(ChannelOpenFailure::Other { code: CONNECT_FAILED, reason }).await;
        }
    };
    let opened = match timeout(TARGET_DEADLINE, to.open(&target.handle)).await {
        Ok(Ok(there)) => Ok(there),
        Ok(Err(russh::Error::ChannelOpenFailure(failure))) => Err(failure),
        Ok(Err(_)) | Err(_) => Err(ChannelOpenFailure::ConnectFailed),
    };
    let there = match opened {
        Ok(there) => there,
        Err(failure) => {
            reach.note("ssh.forward_failed", &destination).await;
            return reply.reject(failure).await;
        }
    };
    let Some((user, mut inbox)) = accept(connection, channel, reply).await else { return };
    carry_bytes(connection, &reach, &user, &mut inbox, there, destination).await;
}

async fn accept(
    connection: &Arc<Connection>,
    channel: Channel<Msg>,
    reply: server::ChannelOpenHandle,
) -> Option<(UserSide, Inbox)> {
    let handle = connection.handle()?;
    reply.accept().await;
    let id = channel.id();
    let (reader, writer) = channel.split();
    let mut inbox = Inbox::new(reader, id, connection.up.clone());
    inbox.open_up(UP_CAP);
    Some((UserSide { writer, handle }, inbox))
}

/// Administratively prohibited, in our own words.
fn refusal(text: &str) -> ChannelOpenFailure {
    ChannelOpenFailure::Other { code: PROHIBITED, reason: text.to_owned() }
}

const PROHIBITED: u32 = 1;
const CONNECT_FAILED: u32 = 2;
const SSH_PORT: u32 = 22;
