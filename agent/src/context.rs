//! What every command works with: the relay, the login, and a way to call the API.

use std::sync::Arc;

use async_trait::async_trait;
use hyper::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::exit::{Exit, Failure};
use crate::settings::Settings;
use crate::ui::Ui;

/// One run of one command.
pub struct Context {
    pub ui: Ui,
    pub settings: Settings,
    api: OnceCell<Arc<dyn Api>>,
}

/// The relay's HTTPS API as JSON values: the seam at which tests put a fake relay.
#[async_trait]
pub trait Api: Send + Sync {
    /// Sends one request. The answer is `Null` where the relay sends no body.
    async fn send(&self, method: Method, path: &str, body: Option<Value>)
    -> Result<Value, Failure>;
}

impl Context {
    pub fn new(ui: Ui, settings: Settings) -> Self {
        Self { ui, settings, api: OnceCell::new() }
    }

    /// A context whose API calls go to `api`.
    pub fn with_api(ui: Ui, settings: Settings, api: Arc<dyn Api>) -> Self {
        Self { ui, settings, api: OnceCell::new_with(Some(api)) }
    }

    /// Calls the relay's API. `path` begins with `/api/v1/`.
    pub async fn call<Req, Res>(
        &self,
        method: Method,
        path: &str,
        body: Option<&Req>,
    ) -> Result<Res, Failure>
    where
        Req: Serialize + ?Sized,
        Res: DeserializeOwned,
    {
        let body = body.map(serde_json::to_value).transpose().map_err(std::io::Error::from)?;
        let answer = self.api().await?.send(method, path, body).await?;
        serde_json::from_value(answer).map_err(|error| unreadable(path, &error))
    }

    pub async fn get<Res: DeserializeOwned>(&self, path: &str) -> Result<Res, Failure> {
        self.call(Method::GET, path, None::<&()>).await
    }

    pub async fn post<Req, Res>(&self, path: &str, body: &Req) -> Result<Res, Failure>
    where
        Req: Serialize + ?Sized,
        Res: DeserializeOwned,
    {
        self.call(Method::POST, path, Some(body)).await
    }

    pub async fn patch<Req, Res>(&self, path: &str, body: &Req) -> Result<Res, Failure>
    where
        Req: Serialize + ?Sized,
        Res: DeserializeOwned,
    {
        self.call(Method::PATCH, path, Some(body)).await
    }

    pub async fn delete<Res: DeserializeOwned>(&self, path: &str) -> Result<Res, Failure> {
        self.call(Method::DELETE, path, None::<&()>).await
    }

    async fn api(&self) -> Result<&Arc<dyn Api>, Failure> {
        self.api.get_or_try_init(|| crate::relay::api(&self.settings)).await
    }
}

/// `text` as one segment of a path or one value of a query.
pub fn segment(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~".contains(&b);
    text.bytes()
        .map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}

fn unreadable(path: &str, error: &serde_json::Error) -> Failure {
    Failure::new(Exit::Failed, format!("the relay's answer to {path} is not understood: {error}"))
        .hint("is this `adit` as new as the relay?")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_segment_cannot_leave_its_place() {
        assert_eq!(segment("web1.hq"), "web1.hq");
        assert_eq!(segment("../admin?x=1&y"), "..%2Fadmin%3Fx%3D1%26y");
        assert_eq!(segment("é"), "%C3%A9");
    }
}
