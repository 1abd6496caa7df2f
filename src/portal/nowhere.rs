//! The page where there is nothing: a person who comes to no path of the relay's is shown a page and a
//! way on. Programs, and whoever asks below `/api`, are answered in JSON.

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use gateway_web::{Html, navigates, security};
use uuid::Uuid;

use super::asking::at_own_host;
use super::pages::{Refused, redirect};
use crate::AppState;
use crate::api::NoSuchPath;

pub(super) async fn show(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let is_looked_at = navigates(&request) && !is_api(request.uri().path());
    let own_host = at_own_host(&state, &request).filter(|_| is_looked_at);
    let response = next.run(request).await;
    if !is_looked_at || response.extensions().get::<NoSuchPath>().is_none() {
        return response;
    }
    match own_host {
        // What the page is drawn with is there.
        Some(link) => redirect(StatusCode::FOUND, &link),
        None => page(response.headers().get(REQUEST_ID).cloned()),
    }
}

fn page(id: Option<HeaderValue>) -> Response {
    let on = Html::of("<p><a href=\"/\">Your applications</a></p>", &[]);
    let refused = Refused::nothing().offering(on);
    let number = id.as_ref().and_then(|id| id.to_str().ok()?.parse::<Uuid>().ok());
    let refused = match number {
        Some(number) => refused.with(number),
        None => refused,
    };
    let mut response = refused.into_response();
    let headers = response.headers_mut();
    for (name, value) in security() {
        headers.entry(name).or_insert(value);
    }
    if let Some(id) = id {
        headers.insert(REQUEST_ID, id);
    }
    response
}

fn is_api(path: &str) -> bool {
    path == "/api" || path.starts_with("/api/")
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
