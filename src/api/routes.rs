//! Every route of the API and who may use it. The one table: what is not here does not exist.

use axum::http::Method;
use axum::routing::{MethodFilter, MethodRouter, on};

use super::caller::Role::{self, Admin, Anonymous, Holder, User};
use super::openapi::problems as p;
use super::openapi::{self, Described, Doc, Operation, Schemas, doc};
use super::{
    agents, audit, connectors, enrol, keys, me, objects, recordings, requests, sessions, settings,
    tokens, web, why,
};
use crate::AppState;

/// A method of a path, its role, its handler, and how the API's document describes it.
pub(super) struct Route {
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) role: Role,
    pub(super) doc: Doc,
    pub(super) describe: fn(&mut Operation, &mut Schemas),
    pub(super) handler: MethodRouter<AppState>,
}

#[rustfmt::skip]
pub(super) fn routes() -> Vec<Route> {
    vec![
        get("/healthz", Anonymous, enrol::healthz,
            doc("healthz", "Says whether the relay takes new work; for load balancers", &[])),
        get("/.well-known/jwks.json", Anonymous, enrol::key_set,
            doc("keySet", "Gives the keys that check the signed identity header of web applications", &[])),
        get("/api/v1/healthz", Anonymous, enrol::healthz,
            doc("health", "Says whether the relay takes new work", &[])),
        get("/api/v1/openapi.json", Anonymous, openapi::serve,
            doc("openapi", "Gives this document", &[])),
        get("/api/v1/info", Anonymous, enrol::info,
            doc("info", "Says what a relay tells everybody: its names, ports, CA and host keys", &[])),
        post("/api/v1/connectors/join", Anonymous, enrol::join,
            doc("join", "Enrols a connector with a join token", &[p::BEARER, p::ENROL, p::NO_SITE, p::CHANGES])),
        post("/api/v1/agents/login", Anonymous, enrol::login,
            doc("login", "Enrols an agent for the holder of a token", &[p::ENROL, p::LOGIN, p::CHANGES])),

        get("/api/v1/me", Holder, me::show,
            doc("me", "Says who is signed in, and by what", &[])),
        get("/api/v1/me/applications", Holder, me::applications,
            doc("listMyApplications", "Lists the applications that the caller can reach", &[])),
        get("/api/v1/me/tokens", User, me::tokens,
            doc("listMyTokens", "Lists the caller's own tokens", &[])),
        post("/api/v1/me/tokens", User, me::issue,
            doc("issueMyToken", "Issues the caller a token for an application", &[p::ISSUE, p::ISSUE_OWN])),
        delete("/api/v1/me/tokens/{id}", User, me::revoke,
            doc("revokeMyToken", "Revokes one of the caller's own tokens", &[p::NO_TOKEN])),
        get("/api/v1/me/ssh-keys", User, keys::mine,
            doc("listMySshKeys", "Lists the caller's own SSH keys", &[])),
        post("/api/v1/me/ssh-keys", User, keys::add_mine,
            doc("addMySshKey", "Registers an SSH key for the caller, or one of theirs with a new end", &[p::SSH_KEY])),
        delete("/api/v1/me/ssh-keys/{id}", User, keys::remove_mine,
            doc("removeMySshKey", "Removes one of the caller's own SSH keys, named by its fingerprint", &[p::NO_SSH_KEY])),
        get("/api/v1/me/requests", User, requests::mine,
            doc("listMyRequests", "Lists what the caller has asked to reach", &[])),
        post("/api/v1/me/requests", User, requests::ask,
            doc("askForAccess", "Asks for access to an application for some time", &[p::ASK])),
        delete("/api/v1/me/requests/{id}", User, requests::withdraw,
            doc("withdrawRequest", "Takes back what the caller has asked for, decided or not", &[p::NO_REQUEST, p::SETTLED])),
        delete("/api/v1/me/agent", Holder, me::logout,
            doc("logout", "Ends the enrolment of the agent that asks", &[p::INVALID, p::NO_AGENT])),

        get("/api/v1/requests", User, requests::list,
            doc("listRequests", "Lists the requests for access that the caller may decide on", &[])),
        post("/api/v1/requests/{id}/approve", User, requests::approve,
            doc("approveRequest", "Gives the access that was asked for; it ends by itself", &[p::NO_REQUEST, p::SETTLED, p::OWN_REQUEST, p::PEOPLE])),
        post("/api/v1/requests/{id}/deny", User, requests::deny,
            doc("denyRequest", "Denies the access that was asked for", &[p::NO_REQUEST, p::SETTLED, p::OWN_REQUEST, p::PEOPLE])),
        delete("/api/v1/requests/{id}", User, requests::revoke,
            doc("revokeRequest", "Takes approved access back before its end", &[p::NO_REQUEST, p::SETTLED, p::PEOPLE])),

        get("/api/v1/sites", Admin, objects::sites,
            doc("listSites", "Lists the sites", &[])),
        post("/api/v1/sites", Admin, objects::add_site,
            doc("addSite", "Adds a site", &[p::SITE])),
        delete("/api/v1/sites/{name}", Admin, objects::remove_site,
            doc("removeSite", "Removes a site with its connectors and applications", &[p::NO_SITE])),
        post("/api/v1/sites/{name}/join-tokens", Admin, tokens::issue_join,
            doc("issueJoinToken", "Issues a token that enrols one connector of the site", &[p::NO_SITE, p::ISSUE])),
        get("/api/v1/connectors", Admin, connectors::list,
            doc("listConnectors", "Lists the enrolled connectors", &[])),
        delete("/api/v1/connectors/{id}", Admin, connectors::remove,
            doc("removeConnector", "Ends the enrolment of a connector", &[p::NO_CONNECTOR])),
        get("/api/v1/agents", Admin, agents::list,
            doc("listAgents", "Lists the enrolled agents: all, or those of a user", &[])),
        delete("/api/v1/agents/{id}", Admin, agents::remove,
            doc("removeAgent", "Ends the enrolment of an agent and cuts its connections", &[p::NO_ENROLMENT])),
        get("/api/v1/applications", Admin, objects::applications,
            doc("listApplications", "Lists the applications", &[])),
        post("/api/v1/applications", Admin, objects::add_application,
            doc("addApplication", "Adds an application", &[p::APPLICATION])),
        post("/api/v1/applications/{name}/check", Admin, connectors::check,
            doc("checkApplication", "Has each connected connector of its site dial an application and close at once", &[p::NO_APPLICATION, p::OFFLINE])),
        delete("/api/v1/applications/{name}", Admin, objects::remove_application,
            doc("removeApplication", "Removes an application; `name` may be `app` or `app.site`", &[p::NO_APPLICATION])),
        get("/api/v1/users", Admin, objects::users,
            doc("listUsers", "Lists the users", &[])),
        post("/api/v1/users", Admin, objects::add_user,
            doc("addUser", "Adds a user", &[p::USER])),
        delete("/api/v1/users/{name}", Admin, objects::remove_user,
            doc("removeUser", "Removes a user with their tokens, agents and grants", &[p::NO_USER, p::LAST_ADMIN])),
        post("/api/v1/users/{name}/disable", Admin, objects::disable_user,
            doc("disableUser", "Disables a user: their sessions end and nothing signs them in", &[p::NO_USER, p::LAST_ADMIN])),
        post("/api/v1/users/{name}/enable", Admin, objects::enable_user,
            doc("enableUser", "Enables a user", &[p::NO_USER])),
        get("/api/v1/ssh-keys", Admin, keys::list,
            doc("listSshKeys", "Lists SSH keys: all, or those of a user", &[p::NO_USER])),
        post("/api/v1/ssh-keys", Admin, keys::add,
            doc("addSshKey", "Registers an SSH key for a user, or one of theirs with a new end", &[p::SSH_KEY, p::SSH_KEY_TAKEN, p::NO_USER])),
        delete("/api/v1/ssh-keys/{id}", Admin, keys::remove,
            doc("removeSshKey", "Removes an SSH key, named by its fingerprint", &[p::NO_SSH_KEY])),
        get("/api/v1/groups", Admin, objects::groups,
            doc("listGroups", "Lists the groups", &[])),
        post("/api/v1/groups", Admin, objects::add_group,
            doc("addGroup", "Adds a group", &[p::GROUP])),
        delete("/api/v1/groups/{name}", Admin, objects::remove_group,
            doc("removeGroup", "Removes a group with its grants", &[p::NO_GROUP])),
        get("/api/v1/grants", Admin, objects::grants,
            doc("listGrants", "Lists the grants", &[])),
        post("/api/v1/grants", Admin, objects::add_grant,
            doc("addGrant", "Adds a grant", &[p::GRANT])),
        delete("/api/v1/grants/{id}", Admin, objects::remove_grant,
            doc("removeGrant", "Removes a grant", &[p::NO_GRANT])),
        post("/api/v1/apply", Admin, objects::apply,
            doc("apply", "Makes the configuration as a document describes it, or says what that would change", &[p::SETTINGS, p::SITE, p::APPLICATION, p::USER, p::GROUP, p::GRANT, p::DOCUMENT, p::LAST_ADMIN])),
        get("/api/v1/export", Admin, objects::export,
            doc("export", "Gives the whole configuration as a document, without secrets", &[])),
        get("/api/v1/settings", Admin, settings::show,
            doc("getSettings", "Gives what holds for the whole relay", &[])),
        patch("/api/v1/settings", Admin, settings::change,
            doc("changeSettings", "Changes the settings that are given; the others stay", &[p::SETTINGS])),
        get("/api/v1/why", Admin, why::why,
            doc("why", "Says whether a user may reach an application, and by which grant or for want of what", &[p::NO_USER, p::NO_APPLICATION])),

        get("/api/v1/tokens", Admin, tokens::list,
            doc("listTokens", "Lists tokens: all, those of a user or of an application", &[p::NO_USER, p::NO_APPLICATION])),
        post("/api/v1/tokens", Admin, tokens::issue,
            doc("issueToken", "Issues a token for a user", &[p::ISSUE, p::NOT_ADMIN, p::NO_LOGIN, p::NO_USER, p::NO_APPLICATION])),
        delete("/api/v1/tokens", Admin, tokens::revoke_all,
            doc("revokeTokens", "Revokes every live token of a user, of an application, or of both", &[p::NO_TOKEN, p::NO_USER, p::NO_APPLICATION])),
        delete("/api/v1/tokens/{id}", Admin, tokens::revoke,
            doc("revokeToken", "Revokes a token", &[p::NO_TOKEN])),

        get("/api/v1/sessions", Admin, sessions::list,
            doc("listSessions", "Lists the sessions that are open", &[])),
        delete("/api/v1/sessions/{id}", Admin, sessions::kill,
            doc("killSession", "Ends a session", &[p::NO_SESSION])),
        get("/api/v1/sessions/{id}/events", Admin, sessions::events,
            doc("listSessionEvents", "Gives everything recorded about a session, a line of JSON each", &[p::NO_SESSION])),
        get("/api/v1/sessions/{id}/recording", Admin, recordings::show,
            doc("showRecording", "Gives a part of what a session's terminals showed", &[p::RECORDING])),
        get("/api/v1/audit", Admin, audit::list,
            doc("listAudit", "Lists records of the audit log, oldest first or latest first", &[])),
        get("/api/v1/audit/destinations", Admin, audit::destinations,
            doc("listAuditDestinations", "Lists the places that are sent every record, and how far each has come", &[])),
        get("/api/v1/audit/verify", Admin, audit::verify,
            doc("verifyAudit", "Computes a part of the audit log's chain again, and says what is wrong with it", &[])),
        get("/api/v1/web/requests", Admin, web::requests,
            doc("listWebRequests", "Lists requests at the web door, the last one first", &[])),
    ]
}

fn get<H: Described<T>, T: 'static>(path: &'static str, role: Role, handler: H, doc: Doc) -> Route {
    route(Method::GET, MethodFilter::GET, path, role, handler, doc)
}

fn post<H: Described<T>, T: 'static>(
    path: &'static str,
    role: Role,
    handler: H,
    doc: Doc,
) -> Route {
    route(Method::POST, MethodFilter::POST, path, role, handler, doc)
}

fn patch<H: Described<T>, T: 'static>(
    path: &'static str,
    role: Role,
    handler: H,
    doc: Doc,
) -> Route {
    route(Method::PATCH, MethodFilter::PATCH, path, role, handler, doc)
}

fn delete<H: Described<T>, T: 'static>(
    path: &'static str,
    role: Role,
    handler: H,
    doc: Doc,
) -> Route {
    route(Method::DELETE, MethodFilter::DELETE, path, role, handler, doc)
}

fn route<H: Described<T>, T: 'static>(
    method: Method,
    filter: MethodFilter,
    path: &'static str,
    role: Role,
    handler: H,
    doc: Doc,
) -> Route {
    Route { method, path, role, doc, describe: H::describe, handler: on(filter, handler) }
}
