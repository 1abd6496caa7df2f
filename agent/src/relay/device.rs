//! Signing this machine in by a browser that is signed in.

use std::time::{Duration, SystemTime};

use access::TokenText;
use api::{AskDeviceLogin, DeviceLogin, DeviceLoginToken, PollDeviceLogin, Secret};
use hyper::Method;
use secrecy::ExposeSecret;
use tokio::time::sleep;
use tunnel::https::{CallError, Client};

use super::failures;
use crate::exit::Failure;
use crate::os::host_name;
use crate::settings::{RelayUrl, Settings, parse_token};

/// A question that was asked; whoever approves it signs this machine in.
pub struct Device {
    relay: RelayUrl,
    client: Client,
    asked: DeviceLogin,
}

impl Device {
    /// Asks the relay, which has to be one that this machine trusts.
    pub async fn ask(relay: &RelayUrl, settings: &Settings) -> Result<Self, Failure> {
        let failed = |error| failures::call(relay, &error);
        let trust = settings.trust(relay, None)?;
        let client = Client::new(&relay.to_string(), &trust, None).map_err(failed)?;
        let body = AskDeviceLogin { device: host_name() };
        let asked = client.call(Method::POST, ASK, None, Some(&body)).await.map_err(failed)?;
        Ok(Self { relay: relay.clone(), client, asked })
    }

    pub fn url(&self) -> &str {
        &self.asked.url
    }

    pub fn user_code(&self) -> &str {
        &self.asked.user_code
    }

    /// Waits until it is approved, and gives the token that this machine signs in with.
    pub async fn approved(self) -> Result<TokenText, Failure> {
        let end = SystemTime::UNIX_EPOCH + Duration::from_secs(self.asked.expires);
        let pause = Duration::from_secs(self.asked.interval.clamp(1, 30));
        let body = PollDeviceLogin { device_code: self.asked.device_code.clone() };
        loop {
            sleep(pause).await;
            let polled = self.client.call(Method::POST, POLL, None, Some(&body)).await;
            match polled {
                Ok(DeviceLoginToken { token }) => return read(token),
                Err(CallError::Refused(refused))
                    if WAIT.contains(&refused.problem.code.as_str()) && SystemTime::now() < end => {
                }
                Err(error) => return Err(failures::call(&self.relay, &error)),
            }
        }
    }
}

fn read(token: Secret) -> Result<TokenText, Failure> {
    parse_token(token.into_inner().expose_secret())
}

const ASK: &str = "/api/v1/device-logins";
const POLL: &str = "/api/v1/device-logins/token";
const WAIT: [&str; 2] = ["device_login.pending", "request.throttled"];
