//! Connections that are ended at their server: by a `KILL` whose target has an account of its own, so
//! that the door does it by one of the same name, and where a session is over and its statement is not.

use std::sync::Arc;
use std::time::Duration;

use database::{Credential, Tls, keeper, tls};
use session::{Session, WayBack};
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::Gateway;
use crate::accounts::{Accounts, Own};
use crate::desk::NO_SUCH_THREAD;
use crate::proto::{self, Told};
use crate::server::{ServerError, told};
use crate::words;

/// How a kill went.
pub(crate) enum Answer {
    Done,
    /// The server's own error.
    Theirs(Zeroizing<Vec<u8>>),
    Ours(Told),
}

/// Has the session's server carry out this message under that account's name.
pub(crate) async fn carry_out(
    gateway: &Gateway,
    session: &Session,
    own: &Own,
    body: &[u8],
) -> Answer {
    let answer = match Box::pin(put(gateway, session, own, body)).await {
        Ok(answer) => answer,
        Err(error) => {
            failed(own, &access::text::in_full(&error));
            return Answer::Ours(words::explain(&error));
        }
    };
    let Some(failure) = proto::failure(&answer) else { return Answer::Done };
    if failure.number != NO_SUCH_THREAD {
        failed(own, &told(&failure));
    }
    Answer::Theirs(answer)
}

fn failed(own: &Own, error: &str) {
    tracing::warn!(account = own.credential.account, error, "Could not end what an account does");
}

async fn put(
    gateway: &Gateway,
    session: &Session,
    own: &Own,
    body: &[u8],
) -> Result<Zeroizing<Vec<u8>>, ServerError> {
    let (application, way) = (session.application(), session.way_back());
    let tls = tls(application, &gateway.trust, &*gateway.secrets).await?;
    let credential = &keeper(&*gateway.secrets, application).await?;
    Accounts { way: &way, tls: tls.as_ref(), credential }.kill(own, body).await
}

/// How a session's connection is ended at its server, with all that it was still to carry out.
pub(crate) struct Ending {
    pub(crate) tls: Option<Tls>,
    pub(crate) way: WayBack,
    pub(crate) credential: Arc<Credential>,
    /// By which the server knows it.
    pub(crate) thread: u32,
}

impl Ending {
    /// What can not be ended goes on to its end.
    pub(crate) async fn carry_out(&self) {
        let ended = timeout(PATIENCE, Box::pin(self.end())).await;
        let ended = ended.unwrap_or(Err(ServerError::TimedOut { after: PATIENCE }));
        if let Err(error) = ended {
            let (session, error) = (self.way.session(), access::text::in_full(&error));
            tracing::warn!(%session, error, "Could not end what a session does at its database");
        }
    }

    /// By the account itself: it may end what it does, and needs to be allowed nothing for that.
    async fn end(&self) -> Result<(), ServerError> {
        let Self { tls, way, credential, thread } = self;
        let accounts = Accounts { way, tls: tls.as_ref(), credential };
        let mut desk = accounts.log_in(credential).await?;
        let ended = desk.kill(*thread).await;
        desk.leave().await;
        ended
    }
}

const PATIENCE: Duration = Duration::from_secs(10);
