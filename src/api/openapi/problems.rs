//! What operations refuse for: status and code. `docs/errors.md` says what each code means.

/// A status and a code.
pub(in crate::api) type Problem = (u16, &'static str);

/// Some that go together.
pub(in crate::api) type Problems = &'static [Problem];

/// Whatever is asked.
pub(super) const ANY: Problems =
    &[(429, "request.throttled"), (500, "relay.failed"), (503, "request.timeout")];

/// Where a token with scopes may lack one.
pub(super) const SCOPED: Problems = &[(403, "token.scope")];

/// Where a browser has to have been signed in a short while ago.
pub(super) const FRESH: Problems = &[(403, "sign_in.stale")];

/// Where a request may be sent under a key.
pub(super) const KEYED: Problems = &[
    (400, "request.invalid"),
    (409, "request.in_progress"),
    (409, "request.interrupted"),
    (413, "request.too_large"),
    (422, "request.key_reused"),
    (503, "store.unavailable"),
];

/// Where a token is shown.
pub(in crate::api) const BEARER: Problems = &[
    (400, "request.invalid"),
    (401, "access.user_disabled"),
    (401, "authn.failed"),
    (401, "authn.required"),
    (401, "authn.scheme"),
    (401, "token.expired"),
    (401, "token.revoked"),
    (401, "token.used_up"),
    (401, "token.wrong_kind"),
    (401, "user.machine"),
    (429, "authn.throttled"),
    (503, "store.unavailable"),
];

/// Where a browser's cookie may be shown.
pub(super) const BROWSER: Problems = &[(400, "request.invalid"), (403, "web.cross_origin")];

pub(super) const USERS: Problems = &[(403, "token.wrong_kind")];
pub(super) const ADMINS: Problems = &[(403, "access.admin_required"), (403, "access.site_only")];

/// Where something is changed, or may be.
pub(in crate::api) const CHANGES: Problems =
    &[(503, "audit.unavailable"), (503, "policy.stale"), (503, "store.unavailable")];

/// Where there is a body.
pub(in crate::api) const BODY: Problems =
    &[(400, "request.invalid"), (413, "request.too_large"), (415, "request.media_type")];

/// Where something is named in the path.
pub(in crate::api) const PATH: Problems = &[(400, "request.invalid"), (404, "request.not_found")];

/// Where there is a query.
pub(in crate::api) const QUERY: Problems = &[(400, "request.invalid")];

/// Where somebody may say what they last saw.
pub(in crate::api) const STALE: Problems = &[(412, "request.stale")];

/// Where an object is made what it is to be.
pub(in crate::api) const OTHER: Problems = &[(422, "request.other_object")];

/// Where a list is asked for in parts.
pub(in crate::api) const LIST: Problems = &[(400, "request.cursor")];

/// Where the protocol changes to WebSocket.
pub(in crate::api) const SOCKET: Problems = &[(426, "request.upgrade")];

/// What is for browsers that are signed in.
pub(in crate::api) const BROWSERS: Problems = &[(403, "token.wrong_kind")];

/// Where a desktop is asked for.
pub(in crate::api) const DESKTOP: Problems = &[
    (401, "session.required"),
    (403, "access.denied"),
    (403, "access.recording"),
    (403, "token.wrong_kind"),
    (409, "desktop.too_many"),
    (422, "access.ambiguous"),
];

pub(in crate::api) const INVALID: Problems = &[(400, "request.invalid")];

pub(in crate::api) const NO_SITE: Problems = &[(404, "site.not_found")];
pub(in crate::api) const NO_CONNECTOR: Problems = &[(404, "connector.not_found")];
/// Nobody is there who could dial.
pub(in crate::api) const OFFLINE: Problems = &[(409, "connector.offline")];
/// Who is asked how its ways are is not there, or does not say.
pub(in crate::api) const EXAMINE: Problems = &[(409, "connector.offline"), (502, "connector.mute")];
pub(in crate::api) const NO_APPLICATION: Problems =
    &[(404, "application.not_found"), (422, "access.ambiguous")];
pub(in crate::api) const NO_USER: Problems = &[(404, "user.not_found")];
pub(in crate::api) const NO_GROUP: Problems = &[(404, "group.not_found")];
pub(in crate::api) const NO_GRANT: Problems = &[(404, "grant.not_found")];
pub(in crate::api) const NO_AGENT: Problems = &[(404, "request.not_found")];
pub(in crate::api) const NO_TOKEN: Problems = &[(404, "token.not_found")];
pub(in crate::api) const RECORDING: Problems = &[
    (400, "request.invalid"),
    (404, "recording.not_found"),
    (500, "recording.damaged"),
    (503, "audit.unavailable"),
];
/// Where a recorded desktop is shown.
pub(in crate::api) const PLAYBACKS: Problems =
    &[(403, "token.wrong_kind"), (409, "desktop.too_many"), (503, "audit.unavailable")];
pub(in crate::api) const NO_PLAYBACK: Problems = &[(404, "playback.not_found")];
pub(in crate::api) const SEARCH: Problems = &[(400, "request.invalid"), (503, "audit.unavailable")];
pub(in crate::api) const NO_SESSION: Problems = &[(404, "session.not_found")];
/// A code for a browser, for somebody who may have none.
pub(in crate::api) const SIGN_IN_CODE: Problems =
    &[(401, "access.user_disabled"), (403, "token.kind_not_allowed"), (403, "user.machine")];
pub(in crate::api) const NO_SIGN_IN: Problems = &[(404, "sign_in.not_found")];

/// Somebody has to remain who can administer the relay.
pub(in crate::api) const LAST_ADMIN: Problems = &[(422, "user.last_admin")];

pub(in crate::api) const SETTINGS: Problems = &[(422, "request.refused"), (422, "settings.value")];

pub(in crate::api) const SITE: Problems = &[(409, "site.exists"), (422, "site.reserved")];

pub(in crate::api) const APPLICATION: Problems = &[
    (409, "application.exists"),
    (422, "application.account"),
    (422, "application.database"),
    (422, "application.host_key"),
    (422, "application.host_taken"),
    (422, "application.key"),
    (422, "application.label_taken"),
    (422, "application.legacy_algorithms"),
    (422, "application.no_account"),
    (422, "application.no_secret"),
    (422, "application.password"),
    (422, "application.rdp"),
    (422, "application.tag"),
    (422, "application.two_secrets"),
    (422, "application.web"),
    (422, "request.refused"),
    (422, "site.unknown"),
];

pub(in crate::api) const USER: Problems = &[
    (409, "user.exists"),
    (422, "group.unknown"),
    (422, "request.refused"),
    (422, "site.unknown"),
    (422, "user.ssh_key"),
    (422, "user.ssh_key_expiry"),
    (422, "user.ssh_key_limit"),
    (422, "user.ssh_key_taken"),
];

/// Registering an SSH key.
pub(in crate::api) const SSH_KEY: Problems =
    &[(422, "user.ssh_key"), (422, "user.ssh_key_expiry"), (422, "user.ssh_key_limit")];

/// Where an agent has its key signed.
pub(in crate::api) const SSH_CERTIFICATE: Problems =
    &[(401, "token.expired"), (403, "ssh_certificate.no_agent"), (422, "user.ssh_key")];

/// Told to admins only.
pub(in crate::api) const SSH_KEY_TAKEN: Problems = &[(422, "user.ssh_key_taken")];
pub(in crate::api) const NO_SSH_KEY: Problems = &[(404, "ssh_key.not_found")];

/// Another password for oneself.
pub(in crate::api) const PASSWORD: Problems = &[
    (403, "password.first"),
    (422, "password.current"),
    (422, "password.length"),
    (429, "authn.throttled"),
];
/// An authenticator app for oneself.
pub(in crate::api) const TOTP: Problems = &[(409, "totp.exists"), (422, "totp.code")];
/// A code of one's app, for a change of it.
pub(in crate::api) const SHOW_TOTP: Problems =
    &[(404, "totp.not_found"), (422, "totp.code"), (429, "authn.throttled")];
pub(in crate::api) const NO_TOTP: Problems = &[(404, "totp.not_found")];
pub(in crate::api) const PASSKEY: Problems =
    &[(409, "passkey.exists"), (409, "passkey.too_many"), (422, "passkey.refused")];
pub(in crate::api) const NO_PASSKEY: Problems = &[(404, "passkey.not_found")];
pub(in crate::api) const PROVISIONER: Problems = &[(409, "provisioner.exists")];
pub(in crate::api) const NO_PROVISIONER: Problems = &[(404, "provisioner.not_found")];
pub(in crate::api) const NO_PASSWORD: Problems = &[(404, "password.not_found")];

/// What a machine user does not do.
pub(in crate::api) const PEOPLE: Problems = &[(403, "user.machine")];
/// A login token for a machine user.
pub(in crate::api) const NO_LOGIN: Problems = &[(422, "user.machine")];

pub(in crate::api) const GROUP: Problems =
    &[(409, "group.exists"), (422, "request.refused"), (422, "user.unknown")];

pub(in crate::api) const GRANT: Problems = &[
    (409, "grant.exists"),
    (422, "application.ambiguous"),
    (422, "application.unknown"),
    (422, "grant.subject"),
    (422, "grant.tag"),
    (422, "grant.target"),
    (422, "grant.term"),
    (422, "group.unknown"),
    (422, "request.refused"),
    (422, "user.unknown"),
];

pub(in crate::api) const DOCUMENT: Problems = &[(422, "document.twice")];

/// Asking for a token.
pub(in crate::api) const ISSUE: Problems = &[
    (400, "request.invalid"),
    (422, "token.api_not_allowed"),
    (422, "token.application"),
    (422, "token.single_use"),
    (422, "token.site"),
    (422, "token.too_long"),
    (422, "token.user"),
    (422, "token.uses"),
];

/// An admin token for somebody who may use none.
pub(in crate::api) const NOT_ADMIN: Problems = &[(422, "token.not_admin")];

/// Asking for a token for oneself.
pub(in crate::api) const ISSUE_OWN: Problems = &[
    (401, "access.user_disabled"),
    (403, "access.denied"),
    (403, "token.kind_not_allowed"),
    (422, "access.ambiguous"),
];

/// A desktop that Remote Desktop's own clients may not open, or no desktop.
pub(in crate::api) const RDP_FILE: Problems =
    &[(403, "rdp.terms"), (409, "desktop.too_many"), (422, "rdp.kind")];
/// Where a client's login is asked for.
pub(in crate::api) const RDP_LOGIN: Problems =
    &[(403, "rdp.terms"), (409, "desktop.too_many"), (422, "rdp.kind"), (422, "rdp.transparent")];

/// Enrolling a machine.
pub(in crate::api) const CONNECTOR_NAME: Problems = &[(400, "connector.name")];
pub(in crate::api) const ENROL: Problems = &[(400, "request.csr"), (422, "machine.key_taken")];

/// An agent for a token of an application that takes none.
pub(in crate::api) const LOGIN: Problems = &[(403, "token.api_not_allowed"), (403, "token.scope")];

/// A machine that waits for a browser.
pub(in crate::api) const DEVICE: Problems =
    &[(403, "device_login.denied"), (409, "device_login.pending"), (410, "device_login.over")];

pub(in crate::api) const NO_REQUEST: Problems = &[(404, "access_request.not_found")];
pub(in crate::api) const SETTLED: Problems = &[(409, "access_request.settled")];
pub(in crate::api) const OWN_REQUEST: Problems = &[(403, "access_request.own")];
pub(in crate::api) const NO_ENROLMENT: Problems = &[(404, "agent.not_found")];

/// Asking for access.
pub(in crate::api) const ASK: Problems = &[
    (403, "access.denied"),
    (409, "access_request.exists"),
    (422, "access.ambiguous"),
    (422, "access_request.not_requestable"),
];
