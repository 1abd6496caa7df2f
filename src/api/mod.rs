//! The HTTPS API, `/api/v1`: the only way to administer a relay.

mod agents;
mod audit;
mod browser;
mod caller;
mod certificates;
mod change;
mod connectors;
mod desktop;
mod devices;
mod edit;
mod ended;
mod enrol;
mod envelope;
mod error;
mod extract;
mod handshake;
mod host_keys;
mod keys;
mod lists;
mod me;
mod objects;
mod once;
mod openapi;
mod page;
mod passkeys;
mod passwords;
mod playbacks;
mod provisioners;
mod provisioning;
mod rates;
mod rdp_files;
mod recordings;
mod reference;
mod requests;
mod routes;
mod rows;
mod second_factors;
mod sessions;
mod settings;
mod sign_ins;
mod ssh_ca;
mod ssh_certificates;
mod statements;
mod tag;
mod terminal;
#[cfg(test)]
mod tests;
mod tokens;
mod views;
mod web;
mod why;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::middleware::{from_fn, from_fn_with_state};

use crate::{AppState, scim};
pub(crate) use change::{Actor, ended_by_policy};
pub(crate) use devices::{login_token, terminal_token};
pub(crate) use envelope::NoSuchPath;
pub(crate) use error::ApiError;
pub(crate) use passwords::{Given, give as give_password};
pub(crate) use provisioning::{
    follow_groups, provision, remove as remove_provisioned, set_enabled, set_groups,
};
pub(crate) use requests::{ask_access, end_request};
pub(crate) use rows::{SOON, millis, request as request_row};
pub(crate) use second_factors::{Taken, enrol as enrol_totp};
pub(crate) use sign_ins::{Reason, end as end_sign_ins};
pub(crate) use tokens::end_replaced;

/// What is known of the calls that are made and were made lately.
pub struct Calls {
    once: once::Once,
    rates: rates::Rates,
    views: views::Views,
}

impl Calls {
    /// `rate`: how many calls a second one caller may make.
    pub(crate) fn new(rate: u32) -> Self {
        Self {
            once: once::Once::default(),
            rates: rates::Rates::new(rate),
            views: views::Views::default(),
        }
    }

    /// Lets a request of somebody nobody has vouched for through, or says when to try again.
    pub(crate) fn admit_stranger(&self, from: std::net::IpAddr) -> Result<(), ApiError> {
        self.rates.admit_stranger(from, rates::Cost::USUAL)
    }

    /// Completes when what was begun under a key has been answered.
    pub(crate) async fn finished(&self) {
        self.once.finished().await;
    }
}

/// The API's router. Each request needs the extension [`crate::Peer`].
pub fn router(state: AppState) -> Router {
    let mut router = Router::new();
    for route in routes::routes() {
        let guard = from_fn_with_state((state.clone(), route.gate), caller::guard);
        let most = route.most;
        let once = move |State(state), caller, request, next| {
            once::once(state, caller, request, next, most)
        };
        let once = from_fn_with_state(state.clone(), once);
        let makes = route.takes_key();
        let handler = route.handler.layer(DefaultBodyLimit::max(most));
        let handler = if makes { handler.layer(once) } else { handler };
        let handler = handler.layer(guard);
        router = router.route(route.path, handler);
    }
    router
        .fallback(envelope::no_such_path)
        .method_not_allowed_fallback(envelope::no_such_method)
        .layer(from_fn(envelope::envelope))
        .with_state(state.clone())
        .merge(scim::router(state).layer(from_fn(envelope::envelope)))
}

/// Bytes of a request's body.
const MAX_BODY: usize = 1 << 20;
/// Of a configuration with tens of thousands of users.
const MAX_DOCUMENT: usize = 32 << 20;
/// Of somebody nobody has vouched for: a token and a certificate request.
const MAX_STRANGERS_BODY: usize = 16 << 10;
