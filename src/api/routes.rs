//! Every route of the API and who may use it. The one table: what is not here does not exist.

use axum::handler::Handler;
use axum::http::Method;
use axum::routing::{MethodFilter, MethodRouter, on};

use super::caller::Role::{self, Admin, Anonymous, Holder, User};
use super::{agents, connectors, enrol, me, objects, requests, sessions, tokens, why};
use crate::AppState;

/// A method of a path, its role and its handler.
pub(super) struct Route {
    #[cfg_attr(not(test), expect(dead_code, reason = "for the test that walks the table"))]
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) role: Role,
    pub(super) handler: MethodRouter<AppState>,
}

#[rustfmt::skip]
pub(super) fn routes() -> Vec<Route> {
    vec![
        get("/healthz", Anonymous, enrol::healthz),
        get("/api/v1/healthz", Anonymous, enrol::healthz),
        get("/api/v1/info", Anonymous, enrol::info),
        post("/api/v1/connectors/join", Anonymous, enrol::join),
        post("/api/v1/agents/login", Anonymous, enrol::login),

        get("/api/v1/me", Holder, me::show),
        get("/api/v1/me/applications", Holder, me::applications),
        get("/api/v1/me/tokens", User, me::tokens),
        post("/api/v1/me/tokens", User, me::issue),
        delete("/api/v1/me/tokens/{id}", User, me::revoke),
        get("/api/v1/me/requests", User, requests::mine),
        post("/api/v1/me/requests", User, requests::ask),
        delete("/api/v1/me/requests/{id}", User, requests::withdraw),
        delete("/api/v1/me/agent", Holder, me::logout),

        get("/api/v1/requests", User, requests::list),
        post("/api/v1/requests/{id}/approve", User, requests::approve),
        post("/api/v1/requests/{id}/deny", User, requests::deny),
        delete("/api/v1/requests/{id}", User, requests::revoke),

        get("/api/v1/sites", Admin, objects::sites),
        post("/api/v1/sites", Admin, objects::add_site),
        delete("/api/v1/sites/{name}", Admin, objects::remove_site),
        post("/api/v1/sites/{name}/join-tokens", Admin, tokens::issue_join),
        get("/api/v1/connectors", Admin, connectors::list),
        delete("/api/v1/connectors/{id}", Admin, connectors::remove),
        get("/api/v1/agents", Admin, agents::list),
        delete("/api/v1/agents/{id}", Admin, agents::remove),
        get("/api/v1/applications", Admin, objects::applications),
        post("/api/v1/applications", Admin, objects::add_application),
        delete("/api/v1/applications/{name}", Admin, objects::remove_application),
        get("/api/v1/users", Admin, objects::users),
        post("/api/v1/users", Admin, objects::add_user),
        delete("/api/v1/users/{name}", Admin, objects::remove_user),
        post("/api/v1/users/{name}/disable", Admin, objects::disable_user),
        post("/api/v1/users/{name}/enable", Admin, objects::enable_user),
        get("/api/v1/groups", Admin, objects::groups),
        post("/api/v1/groups", Admin, objects::add_group),
        delete("/api/v1/groups/{name}", Admin, objects::remove_group),
        get("/api/v1/grants", Admin, objects::grants),
        post("/api/v1/grants", Admin, objects::add_grant),
        delete("/api/v1/grants/{id}", Admin, objects::remove_grant),
        post("/api/v1/apply", Admin, objects::apply),
        get("/api/v1/export", Admin, objects::export),
        get("/api/v1/why", Admin, why::why),

        get("/api/v1/tokens", Admin, tokens::list),
        post("/api/v1/tokens", Admin, tokens::issue),
        delete("/api/v1/tokens", Admin, tokens::revoke_all),
        delete("/api/v1/tokens/{id}", Admin, tokens::revoke),

        get("/api/v1/sessions", Admin, sessions::list),
        delete("/api/v1/sessions/{id}", Admin, sessions::kill),
        get("/api/v1/sessions/{id}/events", Admin, sessions::events),
        get("/api/v1/audit", Admin, sessions::audit),
    ]
}

fn get<H: Handler<T, AppState>, T: 'static>(path: &'static str, role: Role, handler: H) -> Route {
    route(Method::GET, MethodFilter::GET, path, role, handler)
}

fn post<H: Handler<T, AppState>, T: 'static>(path: &'static str, role: Role, handler: H) -> Route {
    route(Method::POST, MethodFilter::POST, path, role, handler)
}

fn delete<H: Handler<T, AppState>, T: 'static>(
    path: &'static str,
    role: Role,
    handler: H,
) -> Route {
    route(Method::DELETE, MethodFilter::DELETE, path, role, handler)
}

fn route<H: Handler<T, AppState>, T: 'static>(
    method: Method,
    filter: MethodFilter,
    path: &'static str,
    role: Role,
    handler: H,
) -> Route {
    Route { method, path, role, handler: on(filter, handler) }
}
