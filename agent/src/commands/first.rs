//! Signing in when the first client comes, for a port that is open whether its user is signed in or not.

use std::net::SocketAddr;

use super::browser;
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::forward::{Clients, LocalPort, bind};
use crate::relay::{self, Device};
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
        by_browser(context).await?;
        Ok(Some(clients))
    };
    tokio::select! {
        () = stop.asked() => Ok(None),
        clients = signing => clients,
    }
}

async fn by_browser(context: &Context) -> Result<(), Failure> {
    let (ui, settings) = (&context.ui, &context.settings);
    let relay = settings.relay()?;
    let device = Device::ask(&relay, settings).await?;
    let state = settings.state()?;
    state.prepare()?;
    let taken = browser::open(device.url(), &state.sign_in_page()).await;
    if !taken.is_ok_and(|taken| taken) {
        ui.say("To sign in, open this link and approve if it shows the same code:");
        ui.say(device.url());
    }
    ui.say(format_args!("Code: {}. Waiting …", device.user_code()));
    let login = relay::login(&relay, &device.approved().await?, settings).await?;
    super::ssh_config::refresh(settings)?;
    ui.say(format_args!("Signed in to {relay} as {}.", login.user));
    Ok(())
}
