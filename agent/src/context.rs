//! What every command works with: the relay, the login, and a way to call the API.

use std::sync::Arc;

use api::Page;
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
    async fn send(&self, call: Call<'_>) -> Result<Answer, Failure>;
}

/// One request to the API.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    pub method: Method,
    pub path: &'a str,
    pub body: Option<Value>,
    /// The tag of what is changed: if it is another by now, nothing is.
    pub if_match: Option<&'a str>,
    /// Under which what is asked for is done once, however often it is sent.
    pub key: Option<String>,
}

/// What the API gave, and its tag if it has one.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    pub body: Value,
    pub etag: Option<String>,
}

impl<'a> Call<'a> {
    pub fn new(method: Method, path: &'a str) -> Self {
        Self { method, path, body: None, if_match: None, key: None }
    }
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
        Ok(self.send(Call { body, ..Call::new(method, path) }).await?.0)
    }

    /// As [`call`](Self::call), with the tag of what is given. What makes something gets a key, so
    /// that it is made once even if it has to be sent twice.
    pub async fn send<Res>(&self, mut call: Call<'_>) -> Result<(Res, Option<String>), Failure>
    where
        Res: DeserializeOwned,
    {
        if call.method == Method::POST {
            call.key = Some(format!("{:032x}", rand::random::<u128>()));
        }
        let path = call.path;
        let Answer { body, etag } = self.api().await?.send(call).await?;
        let value = serde_json::from_value(body).map_err(|error| unreadable(path, &error))?;
        Ok((value, etag))
    }

    /// An object, and the tag by which [`put`](Self::put) knows that it is still that.
    pub async fn look_at<Res>(&self, path: &str) -> Result<(Res, Option<String>), Failure>
    where
        Res: DeserializeOwned,
    {
        self.send(Call::new(Method::GET, path)).await
    }

    /// Makes an object what `body` says, if it is still what `if_match` is the tag of.
    pub async fn put<Req, Res>(
        &self,
        path: &str,
        body: &Req,
        if_match: Option<&str>,
    ) -> Result<Res, Failure>
    where
        Req: Serialize + ?Sized,
        Res: DeserializeOwned,
    {
        let body = Some(serde_json::to_value(body).map_err(std::io::Error::from)?);
        Ok(self.send(Call { body, if_match, ..Call::new(Method::PUT, path) }).await?.0)
    }

    pub async fn get<Res: DeserializeOwned>(&self, path: &str) -> Result<Res, Failure> {
        self.call(Method::GET, path, None::<&()>).await
    }

    /// All rows of a list, page after page.
    pub async fn list<Row: DeserializeOwned>(&self, path: &str) -> Result<Vec<Row>, Failure> {
        list(self.api().await?.as_ref(), path).await
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

/// All rows of a list, page after page.
pub async fn list<Row: DeserializeOwned>(api: &dyn Api, path: &str) -> Result<Vec<Row>, Failure> {
    let (mut rows, mut cursor) = (Vec::new(), None);
    loop {
        let part = [("limit", Some(PAGE.to_string())), ("cursor", cursor)];
        let answer = api.send(Call::new(Method::GET, &query(path, &part))).await?;
        let page: Page<Row> =
            serde_json::from_value(answer.body).map_err(|error| unreadable(path, &error))?;
        rows.extend(page.items);
        match page.next {
            Some(next) => cursor = Some(next),
            None => return Ok(rows),
        }
    }
}

/// `text` as one segment of a path or one value of a query.
pub fn segment(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~".contains(&b);
    text.bytes()
        .map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}

/// A path with the query parameters that are given, beside those it has.
pub fn query(path: &str, parameters: &[(&str, Option<String>)]) -> String {
    let given = parameters.iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
    let pairs: Vec<_> = given.map(|(name, value)| format!("{name}={}", segment(value))).collect();
    let mark = if path.contains('?') { '&' } else { '?' };
    match pairs.is_empty() {
        true => path.to_owned(),
        false => format!("{path}{mark}{}", pairs.join("&")),
    }
}

/// The longest page that the relay gives.
pub const PAGE: u64 = 1000;

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
