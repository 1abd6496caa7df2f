//! The way to the relay.

use std::sync::Arc;

use access::TokenText;

use crate::context::Api;
use crate::exit::Failure;
use crate::settings::{RelayUrl, Settings};
use crate::state::Login;

pub async fn api(settings: &Settings) -> Result<Arc<dyn Api>, Failure> {
    Err(Failure::coded("relay.unreachable", format!("{} does not answer", settings.relay()?)))
}

pub async fn login(
    relay: &RelayUrl,
    token: &TokenText,
    settings: &Settings,
) -> Result<Login, Failure> {
    settings.trust(Some(token))?;
    Err(Failure::coded("relay.unreachable", format!("{relay} does not answer")))
}
