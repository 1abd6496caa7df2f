//! The HTTPS API, `/api/v1`: the only way to administer a relay.

mod agents;
mod audit;
mod caller;
mod change;
mod connectors;
mod enrol;
mod envelope;
mod error;
mod extract;
mod keys;
mod me;
mod objects;
mod openapi;
mod recordings;
mod requests;
mod routes;
mod rows;
mod sessions;
mod settings;
#[cfg(test)]
mod tests;
mod tokens;
mod web;
mod why;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};

use crate::AppState;
use caller::Role;
pub(crate) use requests::end_request;
pub(crate) use rows::SOON;
pub(crate) use tokens::end_replaced;

/// The API's router. Each request needs the extension [`crate::Peer`].
pub fn router(state: AppState) -> Router {
    let mut router = Router::new();
    for route in routes::routes() {
        let guard = from_fn_with_state((state.clone(), route.role), caller::guard);
        let most = if route.role == Role::Anonymous { MAX_STRANGERS_BODY } else { MAX_BODY };
        let handler = route.handler.layer(DefaultBodyLimit::max(most)).layer(guard);
        router = router.route(route.path, handler);
    }
    router
        .fallback(envelope::no_such_path)
        .method_not_allowed_fallback(envelope::no_such_method)
        .layer(from_fn(envelope::envelope))
        .with_state(state)
}

const MAX_BODY: usize = 1 << 20;
/// Of somebody nobody has vouched for: a token and a certificate request.
const MAX_STRANGERS_BODY: usize = 16 << 10;
