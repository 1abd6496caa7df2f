//! Raw bytes to any application: `adit tunnel`, and every other way in that has no protocol of its
//! own. Finds, authorises, opens, dials; then carries.

use std::borrow::Cow;
use std::time::SystemTime;

use access::{
    Authenticated, Code, Context, Deny, Explain, Grant, Keeps, PolicySnapshot, SessionId, Unfound,
};
use session::{AuditEvent, Broker, DialError, Door, Ended, OpenError, Session, with_cause};
use splice::{BoxStream, Stream};

/// A session whose target has answered.
pub struct Tunnel {
    session: Session,
    target: BoxStream,
}

/// Why no tunnel opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenTunnelError {
    #[error("no such application")]
    Unfound(#[from] Unfound),
    #[error("access was refused")]
    Denied(#[from] Deny),
    #[error("the session did not open")]
    Open(#[from] OpenError),
    #[error("the target could not be reached")]
    Dial(#[from] DialError),
}

/// Opens the application that `who` calls `text`, as raw bytes, unless the client leaves first.
pub async fn open<C: Stream>(
    broker: &Broker,
    who: &Authenticated,
    text: &str,
    (door, now): (Door, SystemTime),
    client: &mut C,
) -> Result<Tunnel, OpenTunnelError> {
    let policy = broker.policy();
    let grant = match decide(&policy, who, text, now) {
        Ok(grant) => grant,
        Err(error) => {
            let why = (error.code(), with_cause(&error));
            broker.audit().note(AuditEvent::denied(door, who, text, why));
            return Err(error);
        }
    };
    let session = broker.open(grant, door, now).await?;
    match session.dial_for(client).await {
        Ok(target) => Ok(Tunnel { session, target }),
        Err(error) => {
            let (reason, side) = error.outcome();
            session.end(reason, side);
            Err(error.into())
        }
    }
}

impl Tunnel {
    pub fn id(&self) -> SessionId {
        self.session.id()
    }

    /// Carries bytes until either side or the lease ends.
    pub async fn carry(self, client: impl Stream) -> Ended {
        self.session.splice(client, self.target).await
    }
}

impl Explain for OpenTunnelError {
    fn code(&self) -> Code {
        self.explained().code()
    }

    fn public(&self) -> Cow<'static, str> {
        self.explained().public()
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        self.explained().hint()
    }
}

impl OpenTunnelError {
    fn explained(&self) -> &dyn Explain {
        match self {
            Self::Unfound(error) => error,
            Self::Denied(error) => error,
            Self::Open(error) => error,
            Self::Dial(error) => error,
        }
    }
}

fn decide(
    policy: &PolicySnapshot,
    who: &Authenticated,
    text: &str,
    now: SystemTime,
) -> Result<Grant, OpenTunnelError> {
    let application = policy.find(text, who)?;
    let context = Context { from: who.from(), login: None, database: None, keeps: Keeps::NOTHING };
    Ok(policy.authorize(who, application, context, now)?)
}
