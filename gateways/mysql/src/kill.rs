//! `KILL` of a connection whose account is its session's own: no account of another name may end what
//! it does, so the door does it by one of the same name.

use database::{keeper, tls};
use session::Session;
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
