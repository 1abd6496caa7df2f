//! The relay's HTTPS API.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hyper::Method;
use hyper::header::{HeaderName, IF_MATCH};
use secrecy::SecretString;
use tokio::time::sleep;
use tunnel::https::{self, CallError, Client};

use super::{Enrolled, failures};
use crate::context::{Answer, Api, Call};
use crate::exit::Failure;
use crate::settings::{RelayUrl, Settings};

/// The API as the settings sign us in: the token where there is one, else the stored login.
pub async fn api(settings: &Settings) -> Result<Arc<dyn Api>, Failure> {
    match settings.token()? {
        Some(token) => {
            let relay = settings.relay()?;
            let trust = settings.trust(&relay, Some(&token))?;
            let client = Client::new(&relay.to_string(), &trust, None)
                .map_err(|error| failures::call(&relay, &error))?
                .through(settings.over_tcp()?.proxies);
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
    async fn send(&self, call: Call<'_>) -> Result<Answer, Failure> {
        let Call { method, path, body, if_match, key } = call;
        let if_match = if_match.map(|tag| (IF_MATCH, tag.to_owned()));
        let key = key.map(|key| (KEY, key));
        let headers = if_match.into_iter().chain(key).collect();
        let call = https::Call { method, path, body: body.as_ref(), headers };
        let mut tries = 0;
        loop {
            let error = match self.client.send(&call, self.bearer.as_ref()).await {
                Ok(https::Answer { value: body, etag }) => return Ok(Answer { body, etag }),
                Err(error) => error,
            };
            tries += 1;
            match pause(&error, &call) {
                Some(pause) if tries < TRIES => sleep(pause).await,
                Some(_) | None => return Err(failures::call(&self.relay, &error)),
            }
        }
    }
}

/// How long to wait before a call is made again; `None` where that would not help, or might do
/// something twice. What makes something has a key, under which it is done once.
fn pause<B>(error: &CallError, call: &https::Call<'_, B>) -> Option<Duration> {
    let safe = call.method == Method::GET || call.headers.iter().any(|(name, _)| *name == KEY);
    match error {
        CallError::Refused(refused) => {
            let again = ["request.throttled", "request.in_progress"];
            let pause = refused.retry_after.filter(|pause| *pause <= PATIENCE);
            pause.filter(|_| again.contains(&refused.problem.code.as_str()))
        }
        // The answer may have been lost on its way.
        CallError::Exchange { .. } | CallError::Body { .. } if safe => Some(SOON),
        CallError::Exchange { .. }
        | CallError::Body { .. }
        | CallError::TimedOut { .. }
        | CallError::Url { .. }
        | CallError::Tls { .. }
        | CallError::Connect { .. }
        | CallError::Handshake { .. }
        | CallError::Intercepted { .. }
        | CallError::Proxy { .. }
        | CallError::Request { .. }
        | CallError::Json { .. } => None,
    }
}

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// How often a call is made in all.
const TRIES: u32 = 3;
const SOON: Duration = Duration::from_millis(200);
/// Longer than that a person wants to be told.
const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use tunnel::https::{ApiError, Problem};

    use super::*;

    #[test]
    fn a_call_is_made_again_where_that_helps_and_does_nothing_twice() {
        let call = |method, key: bool| {
            let headers = key.then(|| (KEY, "k".to_owned())).into_iter().collect();
            https::Call::<()> { method, path: "/", body: None, headers }
        };
        let refused = |code: &str, seconds| {
            let problem = Problem { code: code.to_owned(), ..Problem::default() };
            let retry_after = Some(Duration::from_secs(seconds));
            ApiError { status: 429, problem: Box::new(problem), retry_after }.into()
        };
        let (second, delete) = (Some(Duration::from_secs(1)), call(Method::DELETE, false));
        assert_eq!(pause(&refused("request.throttled", 1), &delete), second);
        assert_eq!(pause(&refused("request.in_progress", 1), &delete), second);
        assert_eq!(pause(&refused("request.throttled", 60), &delete), None);
        assert_eq!(pause(&refused("authn.throttled", 1), &delete), None);
        let broken = || {
            let source = std::io::Error::other("reset");
            CallError::Body { source: source.into() }
        };
        for (method, key, again) in [
            (Method::GET, false, true),
            (Method::POST, true, true),
            (Method::POST, false, false),
            (Method::DELETE, false, false),
        ] {
            let call = call(method.clone(), key);
            assert_eq!(pause(&broken(), &call).is_some(), again, "{method} {key}");
        }
    }
}
