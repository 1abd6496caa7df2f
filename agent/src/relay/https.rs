//! The relay's HTTPS API.

use std::sync::Arc;

use async_trait::async_trait;
use hyper::Method;
use secrecy::SecretString;
use serde_json::Value;
use tunnel::https::Client;

use super::{Enrolled, failures};
use crate::context::Api;
use crate::exit::Failure;
use crate::settings::{RelayUrl, Settings};

/// The API as the settings sign us in: the token where there is one, else the stored login.
pub async fn api(settings: &Settings) -> Result<Arc<dyn Api>, Failure> {
    match settings.token()? {
        Some(token) => {
            let relay = settings.relay()?;
            let trust = settings.trust(&relay, Some(&token))?;
            let client = Client::new(&relay.to_string(), &trust, None)
                .map_err(|error| failures::call(&relay, &error))?;
            let bearer = Some(token.expose().to_owned().into());
            Ok(Arc::new(Https { relay, client, bearer }))
        }
        None => Enrolled::stored(settings).await?.api(),
    }
}

pub(super) struct Https {
    pub(super) relay: RelayUrl,
    pub(super) client: Client,
    pub(super) bearer: Option<SecretString>,
}

#[async_trait]
impl Api for Https {
    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Value, Failure> {
        let called = self.client.call(method, path, self.bearer.as_ref(), body.as_ref()).await;
        called.map_err(|error| failures::call(&self.relay, &error))
    }
}
