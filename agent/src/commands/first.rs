//! Signing in when the first client comes, for a port that is open whether its user is signed in or not.

use std::net::SocketAddr;

use super::login;
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::forward::{Clients, LocalPort, bind};
use crate::stop::Stop;

/// Where to wait for the first client after this failure: at the address and port that are this
/// application's whatever the relay says. `None`: another sign-in would not help, or they are not known.
pub(super) fn address(
    failure: &Failure,
    port: &LocalPort,
    context: &Context,
) -> Result<Option<SocketAddr>, Failure> {
    let by_token = context.settings.token()?.is_some();
    let is_signed_in = failure.exit() != Exit::Denied
        || failure.code().is_some_and(|code| code.starts_with("access."));
    if by_token || is_signed_in || port.listen.port() == 0 {
        return Ok(None);
    }
    let known = context.settings.state()?.known_address(&port.application)?;
    Ok(known.map(|address| (address, port.listen.port()).into()))
}

/// Waits for a client, and has whoever sits here sign in by a browser while that one waits. `None`:
/// stopped before.
pub(super) async fn sign_in(
    at: SocketAddr,
    context: &Context,
    stop: &mut Stop,
) -> Result<Option<Clients>, Failure> {
    let listener = bind(at)?;
    context.ui.say(format_args!("not signed in; listening on {at} for whoever needs it"));
    let signing = async {
        let clients = Clients::first(listener).await?;
        login::by_own_browser(context).await?;
        Ok(Some(clients))
    };
    tokio::select! {
        () = stop.asked() => Ok(None),
        clients = signing => clients,
    }
}
