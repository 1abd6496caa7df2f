//! One client, from its first packet to its end.

use std::net::IpAddr;
use std::time::Duration;

use access::{EndReason, Explain as _, Side};
use secrecy::SecretString;
use session::{Door, Session, pace};
use splice::{BoxStream, Finish, Io, Joined, Stream as _, join};
use tokio::time::{Instant, timeout};

use crate::enter::{self, Refused};
use crate::line::{Line, LineError};
use crate::proto::{self, Packet, Status};
use crate::{Gateway, Over, Visitor, words};

/// A session whose client was told that its desktop is there.
struct Opened {
    session: Session,
    desktop: Desktop,
    takes_messages: bool,
}

enum Desktop {
    /// It has answered, and what is said passes as it is.
    There(BoxStream),
    /// The relay signs in there, once the client has.
    Managed,
}

/// Why nothing was opened.
#[derive(Debug, thiserror::Error)]
enum NotOpened {
    #[error("the client went no further")]
    Line(#[from] LineError),
    #[error("the client was told that it may not")]
    Told,
}

impl Gateway {
    /// Serves a client until it leaves, the session ends or the relay stops.
    pub(crate) async fn serve(&self, mut line: Line, visitor: &Visitor) {
        let entering = Box::pin(self.enter(&mut line, visitor));
        let entered = tokio::select! {
            biased;
            entered = timeout(LOGIN, entering) => entered,
            () = self.drain.cancelled() => return,
        };
        match entered {
            Ok(Ok(opened)) => Box::pin(self.carry(opened, line)).await,
            Ok(Err(error)) => {
                tracing::debug!(peer = %visitor.addr, error = &error as &dyn std::error::Error, "No desktop");
                drop(timeout(GOODBYE, line.hang_up()).await);
            }
            Err(_) => tracing::debug!(peer = %visitor.addr, "No desktop was asked for in time"),
        }
    }

    /// What has to be said before there is a channel, in its one order.
    async fn enter(&self, line: &mut Line, visitor: &Visitor) -> Result<Opened, NotOpened> {
        let Packet::Handshake { auth } = line.next().await? else { return undue() };
        if !proto::shows_token(auth) {
            return told(line, proto::handshake_response(Status::TOKEN_NEEDED)).await;
        }
        say(line, proto::handshake_response(Status::OK)).await?;
        let Packet::TunnelCreate { capabilities, token } = line.next().await? else {
            return undue();
        };
        let Some(token) = token else {
            return told(line, proto::tunnel_response(Status::NO_TOKEN)).await;
        };
        let from = visitor.from();
        let Some(who) = self.vouched(&token, from).await else {
            return told(line, proto::tunnel_response(Status::BAD_TOKEN)).await;
        };
        visitor.proven();
        say(line, proto::tunnel_response(Status::OK)).await?;
        let Packet::TunnelAuth { .. } = line.next().await? else { return undue() };
        let withheld = enter::withheld(&self.broker.policy(), &who);
        say(line, proto::tunnel_auth_response(Status::OK, withheld)).await?;
        let Packet::ChannelCreate { names, .. } = line.next().await? else { return undue() };
        let asked = Instant::now();
        let session = match enter::open(&self.broker, &who, &names, &self.domain).await {
            Ok(session) => session,
            Err(error) => {
                // How long it took to find out tells nothing of what is there.
                pace::even(asked, pace::DENIED).await;
                return told(line, proto::channel_response(status(&error))).await;
            }
        };
        let takes_messages = proto::takes_messages(capabilities);
        if session.application().login.is_ours() {
            say(line, proto::channel_response(Status::OK)).await?;
            return Ok(Opened { session, desktop: Desktop::Managed, takes_messages });
        }
        reach(line, session, takes_messages).await
    }

    /// Carries to the session's end, and says why it is over.
    async fn carry(&self, opened: Opened, mut line: Line) {
        let Opened { session, desktop, takes_messages } = opened;
        let lease = session.lease();
        let over = match desktop {
            Desktop::There(target) => pass(session, target, &mut line).await,
            Desktop::Managed => {
                let left = line.ends().client;
                let io = Io::new(&mut line);
                self.desks.serve(session, Box::new(io), left).await
            }
        };
        let Over { reason, side, .. } = over;
        // What did not open has its own words, on whichever side it was.
        let words = match reason {
            EndReason::Failed => Some(words::failed(&over)),
            _ if side == Side::Relay => Some(words::over(reason, lease.last_words().as_deref())),
            _ => None,
        };
        let words = words.filter(|_| takes_messages);
        drop(timeout(GOODBYE, goodbye(&mut line, (reason, side), words)).await);
    }

    async fn vouched(&self, token: &SecretString, from: IpAddr) -> Option<access::Authenticated> {
        self.authn.token(token, Door::Rdp, from).await.ok()
    }
}

/// Dials the target, unless the client leaves first.
async fn reach(
    line: &mut Line,
    session: Session,
    takes_messages: bool,
) -> Result<Opened, NotOpened> {
    let dialled = tokio::select! {
        biased;
        left = line.left() => {
            session.end(EndReason::Broken, Side::Client);
            return Err(left.into());
        }
        dialled = session.dial() => dialled,
    };
    match dialled {
        Ok(target) => {
            if let Err(error) = say(line, proto::channel_response(Status::OK)).await {
                session.end(EndReason::Broken, Side::Client);
                return Err(error);
            }
            Ok(Opened { session, desktop: Desktop::There(target), takes_messages })
        }
        Err(error) => {
            tracing::debug!(session = %session.id(), code = %error.code(), "No way to a desktop");
            let (reason, side) = error.outcome();
            session.end(reason, side);
            told(line, proto::channel_response(Status::UNREACHABLE)).await
        }
    }
}

/// Carries bytes as they are until either side or the session ends.
async fn pass(session: Session, mut target: BoxStream, line: &mut Line) -> Over {
    let (mut lease, ends) = (session.lease(), line.ends());
    let (reason, side) = tokio::select! {
        biased;
        reason = lease.ended() => (reason, Side::Relay),
        finish = join(line, &mut target, session.counters()) => outcome(&finish),
        () = ends.client.cancelled() => (EndReason::Closed, Side::Client),
        () = ends.target.cancelled() => (EndReason::Closed, Side::Target),
    };
    // The bytes have stopped; what is said now may take its time.
    target.abort(reason.number());
    session.end(reason, side);
    Over { reason, side, words: reason.public().into_owned(), code: reason.code() }
}

async fn goodbye(
    line: &mut Line,
    (reason, side): (EndReason, Side),
    words: Option<String>,
) -> Result<(), std::io::Error> {
    if let Some(words) = words {
        line.say(proto::service_message(&words)).await?;
    }
    if side != Side::Client || reason == EndReason::Failed {
        line.say(proto::close_channel(closing(reason))).await?;
    }
    line.hang_up().await
}

/// The number by which a client knows why its channel was closed.
fn closing(reason: EndReason) -> Status {
    match reason {
        EndReason::Closed => Status::OK,
        EndReason::Expired | EndReason::Idle => Status::TIME_OVER,
        EndReason::Killed | EndReason::Revoked | EndReason::SignedOut => Status::WITHDRAWN,
        EndReason::Abandoned
        | EndReason::Broken
        | EndReason::Drained
        | EndReason::Failed
        | EndReason::Unrecorded => Status::ABORTED,
    }
}

fn status(error: &Refused) -> Status {
    match error {
        Refused::Other | Refused::Kind | Refused::Denied(_) => Status::NO_ACCESS,
        Refused::Open(_) => Status::FULL,
    }
}

fn outcome(finish: &Finish) -> (EndReason, Side) {
    let side = |joined: &Joined| match joined {
        Joined::First => Side::Client,
        Joined::Second => Side::Target,
    };
    match finish {
        Finish::Closed(joined) => (EndReason::Closed, side(joined)),
        Finish::Broken(joined, _) => (EndReason::Broken, side(joined)),
    }
}

fn undue<T>() -> Result<T, NotOpened> {
    Err(LineError::Undue.into())
}

/// Says the last thing that a client is told.
async fn told<T>(line: &mut Line, packet: bytes::Bytes) -> Result<T, NotOpened> {
    say(line, packet).await?;
    Err(NotOpened::Told)
}

async fn say(line: &mut Line, packet: bytes::Bytes) -> Result<(), NotOpened> {
    Ok(line.say(packet).await.map_err(LineError::Broken)?)
}

/// From the first packet to a channel.
const LOGIN: Duration = Duration::from_secs(60);
/// For what a client is told at its end.
const GOODBYE: Duration = Duration::from_secs(2);
