//! Every route of the API and who may use it. The one table: what is not here does not exist.

use axum::http::Method;
use axum::routing::{MethodFilter, MethodRouter, on};

use api::Scope::{self, Audit, Configuration, Read, Requests, Sessions, Tokens};

use super::caller::Gate;
use super::caller::Role::{self, Admin, Anonymous, Auditor, Holder, User};
use super::openapi::problems as p;
use super::openapi::{self, Described, Doc, Operation, Schemas, doc};
use super::rates::Cost;
use super::{MAX_BODY, MAX_DOCUMENT, MAX_STRANGERS_BODY};
use super::{
    agents, audit, certificates, connectors, desktop, devices, edit, ended, enrol, host_keys, keys,
    lists, me, objects, passkeys, passwords, playbacks, provisioners,
};
use super::{
    rdp_files, recordings, requests, second_factors, sessions, settings, sign_ins, ssh_ca,
    ssh_certificates, statements, terminal, tokens, web, why,
};
use crate::AppState;

/// A method of a path, its role, its handler, and how the API's document describes it.
pub(super) struct Route {
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) gate: Gate,
    pub(super) doc: Doc,
    pub(super) describe: fn(&mut Operation, &mut Schemas),
    pub(super) handler: MethodRouter<AppState>,
    /// Bytes of a request's body.
    pub(super) most: usize,
}

impl Route {
    /// What a token with scopes needs for it.
    fn needs(mut self, scope: Scope) -> Self {
        self.gate.scope = Some(scope);
        self
    }

    /// Takes a whole configuration.
    fn takes_much(mut self) -> Self {
        self.most = MAX_DOCUMENT;
        self
    }

    /// Asks a browser for a sign-in that was just made.
    fn fresh(mut self) -> Self {
        self.gate.fresh = true;
        self
    }

    /// Opens it to who administers some sites; its handler keeps to what is there.
    fn of_sites(mut self) -> Self {
        self.gate.sites = true;
        self
    }

    /// What it takes out of its caller's bucket, where that is not the usual.
    fn costs(mut self, cost: Cost) -> Self {
        self.gate.cost = cost;
        self
    }

    /// Whether it may be sent under an `Idempotency-Key`.
    pub(super) fn takes_key(&self) -> bool {
        self.method == Method::POST && self.gate.role != Anonymous
    }
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
            doc("join", "Enrols a connector with a join token", &[p::BEARER, p::CONNECTOR_NAME, p::ENROL, p::NO_SITE, p::CHANGES])),
        post("/api/v1/agents/login", Anonymous, enrol::login,
            doc("login", "Enrols an agent for the holder of a token", &[p::ENROL, p::LOGIN, p::CHANGES])),
        post("/api/v1/device-logins", Anonymous, devices::ask,
            doc("askDeviceLogin", "Asks for a machine to be signed in by a browser, and gives the code to show", &[])),
        post("/api/v1/device-logins/token", Anonymous, devices::poll,
            doc("pollDeviceLogin", "Gives the login token once somebody has approved the code", &[p::DEVICE])),

        get("/api/v1/me", Holder, me::show,
            doc("me", "Says who is signed in, and by what", &[])),
        get("/api/v1/me/applications", Holder, me::applications,
            doc("listMyApplications", "Lists the applications that the caller can reach", &[])),
        get("/api/v1/me/tokens", User, me::my_tokens,
            doc("listMyTokens", "Lists the caller's own tokens", &[])).needs(Read),
        post("/api/v1/me/tokens", User, me::issue,
            doc("issueMyToken", "Issues the caller a token for an application", &[p::ISSUE, p::ISSUE_OWN])).needs(Tokens),
        delete("/api/v1/me/tokens/{id}", User, me::revoke,
            doc("revokeMyToken", "Revokes one of the caller's own tokens", &[p::NO_TOKEN])).needs(Tokens),
        post("/api/v1/me/rdp-files", User, rdp_files::make,
            doc("makeMyRdpFile", "Makes the caller a signed file by which Remote Desktop's clients open a desktop", &[p::ISSUE, p::ISSUE_OWN, p::RDP_FILE])).needs(Tokens),
        post("/api/v1/me/rdp-logins", User, rdp_files::login,
            doc("makeMyRdpLogin", "Makes the caller a login for one connection of a Remote Desktop client to a desktop where the relay signs in", &[p::ISSUE_OWN, p::RDP_LOGIN])).needs(Tokens),
        get("/api/v1/me/ssh-keys", User, keys::mine,
            doc("listMySshKeys", "Lists the caller's own SSH keys", &[])).needs(Read),
        post("/api/v1/me/ssh-keys", User, keys::add_mine,
            doc("addMySshKey", "Registers an SSH key for the caller, or one of theirs with a new end", &[p::SSH_KEY])).needs(Configuration),
        delete("/api/v1/me/ssh-keys/{id}", User, keys::remove_mine,
            doc("removeMySshKey", "Removes one of the caller's own SSH keys, named by its fingerprint", &[p::NO_SSH_KEY])).needs(Configuration),
        post("/api/v1/me/ssh-certificates", User, ssh_certificates::sign,
            doc("signMySshKey", "Signs the SSH key of the agent that asks: its certificate signs in at the SSH door", &[p::SSH_CERTIFICATE])).needs(Configuration),
        get("/api/v1/me/requests", User, requests::mine,
            doc("listMyRequests", "Lists what the caller has asked to reach", &[])).needs(Read),
        post("/api/v1/me/requests", User, requests::ask,
            doc("askForAccess", "Asks for access to an application for some time", &[p::ASK])).needs(Requests),
        delete("/api/v1/me/requests/{id}", User, requests::withdraw,
            doc("withdrawRequest", "Takes back what the caller has asked for, decided or not", &[p::NO_REQUEST, p::SETTLED])).needs(Requests),
        post("/api/v1/me/sign-in-codes", User, sign_ins::code,
            doc("issueMySignInCode", "Issues a code that signs a browser in as the caller, once and within a minute", &[p::ISSUE, p::SIGN_IN_CODE])).needs(Tokens),
        get("/api/v1/me/sign-ins", User, sign_ins::mine,
            doc("listMySignIns", "Lists the browsers that are signed in as the caller", &[])).needs(Read),
        delete("/api/v1/me/sign-ins/{id}", User, sign_ins::end_mine,
            doc("endMySignIn", "Signs one of the caller's browsers out; what stands on it ends", &[p::NO_SIGN_IN])).needs(Sessions),
        get("/api/v1/me/sign-in-methods", User, passwords::my_methods,
            doc("getMySignInMethods", "Says by what the caller can sign in", &[p::NO_USER])).needs(Read),
        put("/api/v1/me/password", User, passwords::change_mine,
            doc("changeMyPassword", "Gives the caller another password; their other browsers are signed out", &[p::PASSWORD, p::NO_USER])).needs(Configuration),
        post("/api/v1/me/totp", User, second_factors::offer,
            doc("offerTotp", "Offers the caller a key for an authenticator app; nothing is kept of it", &[])).needs(Configuration),
        put("/api/v1/me/totp", User, second_factors::take,
            doc("takeTotp", "Gives the caller the authenticator app that shows a code of the offered key; their other browsers are signed out", &[p::TOTP])).needs(Configuration).fresh(),
        post("/api/v1/me/totp/remove", User, second_factors::remove_mine,
            doc("removeMyTotp", "Takes the caller's authenticator app away, for a code of it", &[p::SHOW_TOTP])).needs(Configuration),
        post("/api/v1/me/recovery-codes", User, second_factors::renew_codes,
            doc("renewMyRecoveryCodes", "Gives the caller other recovery codes, for a code of their app", &[p::SHOW_TOTP])).needs(Configuration),
        post("/api/v1/me/passkey-offers", User, passkeys::offer,
            doc("offerPasskey", "Asks for a passkey to be made for the caller; nothing is kept of it", &[])).needs(Configuration).fresh(),
        post("/api/v1/me/passkeys", User, passkeys::add_mine,
            doc("addMyPasskey", "Registers a passkey that was made for the caller; their other browsers are signed out", &[p::PASSKEY])).needs(Configuration).fresh(),
        delete("/api/v1/me/passkeys/{id}", User, passkeys::remove_mine,
            doc("removeMyPasskey", "Removes one of the caller's passkeys", &[p::NO_PASSKEY])).needs(Configuration).fresh(),
        get("/api/v1/me/sessions", User, sessions::mine,
            doc("listMySessions", "Lists the caller's own sessions that are open", &[])).needs(Read),
        delete("/api/v1/me/sessions/{id}", User, sessions::end_mine,
            doc("endMySession", "Ends one of the caller's own sessions", &[p::NO_SESSION])).needs(Sessions),
        socket("/api/v1/me/terminal", User, terminal::open,
            doc("openTerminal", "Opens a terminal for a page of the portal: a WebSocket, described in docs/portal.md", &[p::SOCKET])).needs(Sessions),
        post("/api/v1/me/desktops", User, desktop::offer,
            doc("openDesktop", "Gives a page of the portal a ticket that opens a desktop", &[p::DESKTOP])).needs(Sessions),
        get("/api/v1/me/desktops/{id}", User, desktop::show,
            doc("getDesktop", "Says how a desktop is that the browser opened, and why it is over", &[p::BROWSERS])).needs(Sessions),
        socket("/api/v1/me/desktop", User, desktop::open,
            doc("carryDesktop", "Carries a desktop for a page of the portal: a WebSocket, described in docs/desktops.md", &[p::SOCKET])).needs(Sessions),
        delete("/api/v1/me/agent", Holder, me::logout,
            doc("logout", "Ends the enrolment of the agent that asks", &[p::INVALID, p::NO_AGENT])),

        get("/api/v1/requests", User, requests::list,
            doc("listRequests", "Lists the requests for access that the caller may decide on", &[])).needs(Read),
        post("/api/v1/requests/{id}/approve", User, requests::approve,
            doc("approveRequest", "Gives the access that was asked for; it ends by itself", &[p::NO_REQUEST, p::SETTLED, p::OWN_REQUEST, p::PEOPLE])).needs(Requests),
        post("/api/v1/requests/{id}/deny", User, requests::deny,
            doc("denyRequest", "Denies the access that was asked for", &[p::NO_REQUEST, p::SETTLED, p::OWN_REQUEST, p::PEOPLE])).needs(Requests),
        delete("/api/v1/requests/{id}", User, requests::revoke,
            doc("revokeRequest", "Takes approved access back before its end", &[p::NO_REQUEST, p::SETTLED, p::PEOPLE])).needs(Requests),

        get("/api/v1/sites", Auditor, lists::sites,
            doc("listSites", "Lists the sites", &[])).needs(Read).of_sites(),
        post("/api/v1/sites", Admin, objects::add_site,
            doc("addSite", "Adds a site", &[p::SITE])).needs(Configuration),
        get("/api/v1/sites/{name}", Auditor, edit::site,
            doc("getSite", "Gives a site", &[p::NO_SITE])).needs(Read).of_sites(),
        delete("/api/v1/sites/{name}", Admin, objects::remove_site,
            doc("removeSite", "Removes a site with its connectors and applications", &[p::NO_SITE])).needs(Configuration),
        post("/api/v1/sites/{name}/join-tokens", Admin, tokens::issue_join,
            doc("issueJoinToken", "Issues a token that enrols one connector of the site", &[p::NO_SITE, p::ISSUE])).needs(Configuration).fresh().of_sites(),
        get("/api/v1/connectors", Auditor, connectors::list,
            doc("listConnectors", "Lists the enrolled connectors", &[])).needs(Read).of_sites(),
        get("/api/v1/connectors/{id}", Auditor, edit::connector,
            doc("getConnector", "Gives a connector", &[p::NO_CONNECTOR])).needs(Read).of_sites(),
        delete("/api/v1/connectors/{id}", Admin, connectors::remove,
            doc("removeConnector", "Ends the enrolment of a connector", &[p::NO_CONNECTOR])).needs(Configuration).of_sites(),
        get("/api/v1/connectors/{id}/doctor", Auditor, connectors::examined,
            doc("getConnectorDoctor", "Says what a connector found when it last looked at its ways to the relay and to its targets", &[p::NO_CONNECTOR])).needs(Read).of_sites(),
        post("/api/v1/connectors/{id}/doctor", Admin, connectors::examine,
            doc("examineConnector", "Has a connected connector look at its ways to the relay and to its targets", &[p::NO_CONNECTOR, p::EXAMINE])).needs(Configuration).costs(Cost::HIGH).of_sites(),
        get("/api/v1/agents", Auditor, agents::list,
            doc("listAgents", "Lists the enrolled agents: all, or those of a user", &[])).needs(Read),
        delete("/api/v1/agents/{id}", Admin, agents::remove,
            doc("removeAgent", "Ends the enrolment of an agent and cuts its connections", &[p::NO_ENROLMENT])).needs(Configuration),
        get("/api/v1/applications", Auditor, lists::applications,
            doc("listApplications", "Lists the applications", &[])).needs(Read).of_sites(),
        post("/api/v1/applications", Admin, objects::add_application,
            doc("addApplication", "Adds an application", &[p::APPLICATION])).needs(Configuration).of_sites(),
        get("/api/v1/applications/{name}", Auditor, edit::application,
            doc("getApplication", "Gives an application without its secret; `name` may be `app` or `app.site`", &[p::NO_APPLICATION])).needs(Read).of_sites(),
        put("/api/v1/applications/{name}", Admin, edit::change_application,
            doc("changeApplication", "Makes an application what is sent; a secret that is absent stays", &[p::NO_APPLICATION, p::APPLICATION, p::OTHER])).needs(Configuration).of_sites(),
        post("/api/v1/applications/{name}/check", Admin, connectors::check,
            doc("checkApplication", "Has each connected connector of its site dial each address of an application and close at once", &[p::NO_APPLICATION, p::OFFLINE])).needs(Configuration).costs(Cost::HIGH).of_sites(),
        get("/api/v1/applications/{name}/host-key", Auditor, host_keys::show,
            doc("getHostKey", "Says by which host key the relay knows an SSH application's target", &[p::NO_APPLICATION])).needs(Read).of_sites(),
        delete("/api/v1/applications/{name}/host-key", Admin, host_keys::forget,
            doc("forgetHostKey", "Forgets the host key that was learned of a target: the next connection learns anew", &[p::NO_APPLICATION])).needs(Configuration).of_sites(),
        delete("/api/v1/applications/{name}", Admin, objects::remove_application,
            doc("removeApplication", "Removes an application; `name` may be `app` or `app.site`", &[p::NO_APPLICATION])).needs(Configuration).of_sites(),
        get("/api/v1/users", Auditor, lists::users,
            doc("listUsers", "Lists the users", &[])).needs(Read),
        post("/api/v1/users", Admin, objects::add_user,
            doc("addUser", "Adds a user", &[p::USER])).needs(Configuration),
        get("/api/v1/users/{name}", Auditor, edit::user,
            doc("getUser", "Gives a user", &[p::NO_USER])).needs(Read),
        put("/api/v1/users/{name}", Admin, edit::change_user,
            doc("changeUser", "Makes a user what is sent", &[p::NO_USER, p::USER, p::OTHER, p::LAST_ADMIN])).needs(Configuration),
        delete("/api/v1/users/{name}", Admin, objects::remove_user,
            doc("removeUser", "Removes a user with their tokens, agents and grants", &[p::NO_USER, p::LAST_ADMIN])).needs(Configuration),
        post("/api/v1/users/{name}/disable", Admin, objects::disable_user,
            doc("disableUser", "Disables a user: their sessions end and nothing signs them in", &[p::NO_USER, p::LAST_ADMIN])).needs(Configuration),
        post("/api/v1/users/{name}/enable", Admin, objects::enable_user,
            doc("enableUser", "Enables a user", &[p::NO_USER])).needs(Configuration),
        get("/api/v1/users/{name}/sign-in-methods", Auditor, passwords::methods_of,
            doc("getSignInMethods", "Says by what a user can sign in", &[p::NO_USER])).needs(Read),
        post("/api/v1/users/{name}/password", Admin, passwords::reset,
            doc("resetPassword", "Gives a user a one-time password; their browsers are signed out", &[p::NO_USER, p::NO_LOGIN])).needs(Configuration).fresh(),
        delete("/api/v1/users/{name}/password", Admin, passwords::remove,
            doc("removePassword", "Takes a user's password away; what else signs them in stays", &[p::NO_USER, p::NO_PASSWORD])).needs(Configuration).fresh(),
        delete("/api/v1/users/{name}/second-factor", Admin, second_factors::remove,
            doc("removeSecondFactor", "Takes a user's authenticator app, recovery codes and passkeys away, for who has lost them", &[p::NO_USER, p::NO_TOTP])).needs(Configuration).fresh(),
        get("/api/v1/provisioners", Auditor, provisioners::list,
            doc("listProvisioners", "Lists the directories that keep users and groups here (SCIM)", &[])).needs(Read),
        post("/api/v1/provisioners", Admin, provisioners::add,
            doc("addProvisioner", "Lets a directory keep users and groups here, and gives its secret", &[p::PROVISIONER])).needs(Configuration).fresh(),
        delete("/api/v1/provisioners/{name}", Admin, provisioners::remove,
            doc("removeProvisioner", "Lets a directory in no more; what it has made stays", &[p::NO_PROVISIONER])).needs(Configuration),
        get("/api/v1/ssh-keys", Auditor, keys::list,
            doc("listSshKeys", "Lists SSH keys: all, or those of a user", &[p::NO_USER])).needs(Read),
        post("/api/v1/ssh-keys", Admin, keys::add,
            doc("addSshKey", "Registers an SSH key for a user, or one of theirs with a new end", &[p::SSH_KEY, p::SSH_KEY_TAKEN, p::NO_USER])).needs(Configuration),
        delete("/api/v1/ssh-keys/{id}", Admin, keys::remove,
            doc("removeSshKey", "Removes an SSH key, named by its fingerprint", &[p::NO_SSH_KEY])).needs(Configuration),
        get("/api/v1/groups", Auditor, lists::groups,
            doc("listGroups", "Lists the groups", &[])).needs(Read),
        post("/api/v1/groups", Admin, objects::add_group,
            doc("addGroup", "Adds a group", &[p::GROUP])).needs(Configuration),
        get("/api/v1/groups/{name}", Auditor, edit::group,
            doc("getGroup", "Gives a group", &[p::NO_GROUP])).needs(Read),
        put("/api/v1/groups/{name}", Admin, edit::change_group,
            doc("changeGroup", "Makes a group what is sent", &[p::NO_GROUP, p::GROUP, p::OTHER])).needs(Configuration),
        delete("/api/v1/groups/{name}", Admin, objects::remove_group,
            doc("removeGroup", "Removes a group with its grants", &[p::NO_GROUP])).needs(Configuration),
        get("/api/v1/grants", Auditor, lists::grants,
            doc("listGrants", "Lists the grants", &[])).needs(Read).of_sites(),
        post("/api/v1/grants", Admin, objects::add_grant,
            doc("addGrant", "Adds a grant", &[p::GRANT])).needs(Configuration).of_sites(),
        get("/api/v1/grants/{id}", Auditor, edit::grant,
            doc("getGrant", "Gives a grant", &[p::NO_GRANT])).needs(Read).of_sites(),
        put("/api/v1/grants/{id}", Admin, edit::change_grant,
            doc("changeGrant", "Gives a grant other terms; whom it is for and what it opens stay", &[p::NO_GRANT, p::GRANT, p::OTHER])).needs(Configuration).of_sites(),
        delete("/api/v1/grants/{id}", Admin, objects::remove_grant,
            doc("removeGrant", "Removes a grant", &[p::NO_GRANT])).needs(Configuration).of_sites(),
        post("/api/v1/apply", Admin, objects::apply,
            doc("apply", "Makes the configuration as a document describes it, or says what that would change", &[p::SETTINGS, p::SITE, p::APPLICATION, p::USER, p::GROUP, p::GRANT, p::DOCUMENT, p::LAST_ADMIN])).needs(Configuration).costs(Cost::HIGH).takes_much(),
        get("/api/v1/export", Auditor, objects::export,
            doc("export", "Gives the whole configuration as a document, without secrets", &[])).needs(Read).costs(Cost::HIGH),
        get("/api/v1/ssh-ca", Auditor, ssh_ca::show,
            doc("getSshCa", "Gives the keys by which SSH targets know the relay's certificates, and clients the relay", &[])).needs(Read),
        get("/api/v1/settings", Auditor, settings::show,
            doc("getSettings", "Gives what holds for the whole relay", &[])).needs(Read),
        patch("/api/v1/settings", Admin, settings::change,
            doc("changeSettings", "Changes the settings that are given; the others stay", &[p::SETTINGS])).needs(Configuration),
        get("/api/v1/why", Auditor, why::why,
            doc("why", "Says whether a user may reach an application, and by which grant or for want of what", &[p::NO_USER, p::NO_APPLICATION])).needs(Read).costs(Cost::HIGH),

        get("/api/v1/tokens", Auditor, tokens::list,
            doc("listTokens", "Lists tokens: all, those of a user or of an application", &[p::NO_USER, p::NO_APPLICATION])).needs(Read),
        post("/api/v1/tokens", Admin, tokens::issue,
            doc("issueToken", "Issues a token for a user", &[p::ISSUE, p::NOT_ADMIN, p::NO_LOGIN, p::NO_USER, p::NO_APPLICATION])).needs(Tokens).fresh(),
        delete("/api/v1/tokens", Admin, tokens::revoke_all,
            doc("revokeTokens", "Revokes every live token of a user, of an application, or of both", &[p::NO_TOKEN, p::NO_USER, p::NO_APPLICATION])).needs(Tokens),
        delete("/api/v1/tokens/{id}", Admin, tokens::revoke,
            doc("revokeToken", "Revokes a token", &[p::NO_TOKEN])).needs(Tokens),

        get("/api/v1/sessions", Auditor, sessions::list,
            doc("listSessions", "Lists the sessions that are open", &[])).needs(Read).of_sites(),
        get("/api/v1/sessions/ended", Auditor, ended::list,
            doc("listEndedSessions", "Lists the sessions that have ended, the one opened last first", &[])).needs(Audit).costs(Cost::HIGH).of_sites(),
        delete("/api/v1/sessions/{id}", Admin, sessions::kill,
            doc("killSession", "Ends a session", &[p::NO_SESSION])).needs(Sessions).of_sites(),
        get("/api/v1/sign-ins", Auditor, sign_ins::list,
            doc("listSignIns", "Lists the browsers that are signed in: all, or those of a user", &[])).needs(Read),
        delete("/api/v1/sign-ins/{id}", Admin, sign_ins::end_one,
            doc("endSignIn", "Signs a browser out; what stands on it ends", &[p::NO_SIGN_IN])).needs(Sessions),
        get("/api/v1/sessions/{id}/events", Auditor, sessions::events,
            doc("listSessionEvents", "Gives everything recorded about a session, a line of JSON each", &[p::NO_SESSION])).needs(Audit).costs(Cost::HIGH),
        get("/api/v1/sessions/{id}/recording", Auditor, recordings::show,
            doc("showRecording", "Gives a part of what a session's terminals showed", &[p::RECORDING])).needs(Audit),
        socket("/api/v1/sessions/{id}/desktop", Auditor, playbacks::open,
            doc("playDesktop", "Shows a recorded desktop to a page of the portal: a WebSocket, described in docs/recordings.md", &[p::SOCKET, p::PLAYBACKS, p::QUERY])).needs(Audit),
        post("/api/v1/playbacks/{id}", Auditor, playbacks::steer,
            doc("steerPlayback", "Steers a recorded desktop that the browser is shown, and says how it is", &[p::BROWSERS, p::NO_PLAYBACK])).needs(Audit),
        get("/api/v1/sessions/{id}/commands", Auditor, recordings::commands,
            doc("listCommands", "Lists the command lines that a session's terminals showed to be typed, as far as they showed them", &[p::RECORDING])).needs(Audit).costs(Cost::HIGH),
        get("/api/v1/recordings/search", Auditor, recordings::search,
            doc("searchRecordings", "Says where recorded terminals showed a text", &[p::SEARCH])).needs(Audit).costs(Cost::HIGH),
        get("/api/v1/audit", Auditor, audit::list,
            doc("listAudit", "Lists records of the audit log, oldest first or latest first", &[])).needs(Audit).costs(Cost::HIGH),
        get("/api/v1/audit/destinations", Auditor, audit::destinations,
            doc("listAuditDestinations", "Lists the places that are sent every record, and how far each has come", &[])).needs(Audit),
        get("/api/v1/audit/verify", Auditor, audit::verify,
            doc("verifyAudit", "Computes a part of the audit log's chain again, and says what is wrong with it", &[])).needs(Audit).costs(Cost::HIGH),
        get("/api/v1/directories", Auditor, provisioners::directories,
            doc("listDirectories", "Lists the directories that know people's passwords, and how they were when last looked through", &[])).needs(Read),
        get("/api/v1/requests/channels", Auditor, requests::channels,
            doc("listNoticeChannels", "Lists who is told of requests for access, and what they have still to be told", &[])).needs(Audit),
        get("/api/v1/web/requests", Auditor, web::requests,
            doc("listWebRequests", "Lists requests at the web door, the last one first", &[])).needs(Audit).costs(Cost::HIGH),
        get("/api/v1/statements", Auditor, statements::statements,
            doc("listStatements", "Lists statements at the doors of databases, the last one first", &[])).needs(Audit).costs(Cost::HIGH),
        get("/api/v1/tls/certificates", Auditor, certificates::list,
            doc("listCertificates", "Lists the names of web applications, and which certificate is shown for each", &[])).needs(Read),
    ]
}

fn get<H: Described<T>, T: 'static>(path: &'static str, role: Role, handler: H, doc: Doc) -> Route {
    route(Method::GET, MethodFilter::GET, path, role, handler, doc)
}

/// A WebSocket: a GET of HTTP/1.1, and a CONNECT over HTTP/2.
fn socket<H: Described<T>, T: 'static>(
    path: &'static str,
    role: Role,
    handler: H,
    doc: Doc,
) -> Route {
    let filter = MethodFilter::GET.or(MethodFilter::CONNECT);
    route(Method::GET, filter, path, role, handler, doc)
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

fn put<H: Described<T>, T: 'static>(path: &'static str, role: Role, handler: H, doc: Doc) -> Route {
    route(Method::PUT, MethodFilter::PUT, path, role, handler, doc)
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
    let gate = Gate { role, scope: None, cost: Cost::USUAL, sites: false, fresh: false };
    let most = if role == Anonymous { MAX_STRANGERS_BODY } else { MAX_BODY };
    Route { method, path, gate, doc, describe: H::describe, handler: on(filter, handler), most }
}
