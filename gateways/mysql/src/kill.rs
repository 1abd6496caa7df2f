//! `KILL` of a connection whose account is its session's own: no other account may end what it does,
//! so the door logs in as that one.

use database::{Credential, tls};
use session::Session;
use zeroize::Zeroizing;

use crate::Gateway;
use crate::accounts::Accounts;
use crate::proto::{self, Told};
use crate::server::ServerError;
use crate::words;

/// How a kill went.
pub(crate) enum Answer {
    Done,
    /// The server's own error.
    Theirs(Zeroizing<Vec<u8>>),
    Ours(Told),
}

/// Has the session's server carry out this message as that account.
pub(crate) async fn carry_out(
    gateway: &Gateway,
    session: &Session,
    own: &Credential,
    body: &[u8],
) -> Answer {
    match Box::pin(put(gateway, session, own, body)).await {
        Ok(answer) if proto::failure(&answer).is_some() => Answer::Theirs(answer),
        Ok(_) => Answer::Done,
        Err(error) => Answer::Ours(words::explain(&error)),
    }
}

async fn put(
    gateway: &Gateway,
    session: &Session,
    own: &Credential,
    body: &[u8],
) -> Result<Zeroizing<Vec<u8>>, ServerError> {
    let (tls, way) =
        (tls(session.application(), &gateway.trust, &*gateway.secrets).await?, session.way_back());
    let accounts = Accounts { way: &way, tls: tls.as_ref(), credential: own };
    let mut desk = accounts.log_in(own).await?;
    let answer = desk.put(body).await;
    desk.leave().await;
    answer
}
