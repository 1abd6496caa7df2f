//! Failures as the API tells them: `application/problem+json`, each with a stable code.

use std::time::Duration;

use access::{Code, Explain, Name, Unfound};
use api::{Fault, Problem};
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use session::{AuditError, AuthnError};
use store::StoreError;

/// Why a request was not served. Its answer is written by [`super::envelope`], which knows the
/// request's id.
#[derive(Clone, Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    code: Code,
    detail: String,
    hint: Option<String>,
    errors: Vec<Fault>,
    retry_after: Option<Duration>,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, code: Code, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self { status, code, detail, hint: None, errors: Vec::new(), retry_after: None }
    }

    #[must_use]
    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// When it is worth trying again.
    #[must_use]
    pub(super) fn retry_after(self, pause: Duration) -> Self {
        Self { retry_after: Some(pause), ..self }
    }

    /// What was sent is not what is understood.
    pub(super) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Code("request.invalid"), detail)
    }

    /// There is no such `what`: `user`, `session`…
    pub(super) fn not_found(what: &str, name: &str) -> Self {
        let listed = LISTED.iter().find(|(listed, ..)| *listed == what);
        let code = listed.map_or(Code("request.not_found"), |(_, code, _)| *code);
        let error = Self::new(StatusCode::NOT_FOUND, code, format!("there is no {what} {name:?}"));
        match listed {
            Some((.., command)) => error.hint(format!("`adit admin {command} ls` lists them")),
            None => error,
        }
    }

    /// The relay itself failed; the cause is for the operator's log.
    pub(super) fn internal(cause: impl std::fmt::Display) -> Self {
        tracing::error!(error = %cause, "A request failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, Code("relay.failed"), "the relay failed")
            .hint("ask the relay's operator to look for this request's id in its log")
    }

    /// What an [`Explain`] tells its user.
    pub(super) fn explained(status: StatusCode, what: &impl Explain) -> Self {
        let error = Self::new(status, what.code(), what.public());
        match what.hint() {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }

    pub(super) fn signed_out() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, Code("authn.required"), "you are not signed in").hint(
            "run `adit login URL`, or send `Authorization: Bearer TOKEN` with an admin or login \
             token (`ADIT_TOKEN` for adit)",
        )
    }

    pub(super) fn opens_only() -> Self {
        let detail = "this token opens an application and does nothing else";
        Self::new(StatusCode::FORBIDDEN, Code("token.wrong_kind"), detail)
            .hint("run `adit login URL` with a login token for this")
    }

    /// Something that is for people was asked by or for a machine user.
    pub(super) fn for_people(status: StatusCode, detail: impl Into<String>) -> Self {
        Self::new(status, Code("user.machine"), detail)
            .hint("machine users have api and access tokens, and SSH keys")
    }

    pub(super) fn not_admin() -> Self {
        let detail = "only administrators may do this";
        Self::new(StatusCode::FORBIDDEN, Code("access.admin_required"), detail)
            .hint("ask an administrator of the relay")
    }

    pub(super) fn not_auditor() -> Self {
        let detail = "only administrators and auditors may see this";
        Self::new(StatusCode::FORBIDDEN, Code("access.admin_required"), detail)
            .hint("ask an administrator of the relay")
    }

    /// Who administers some sites asks for what is not of those.
    pub(super) fn not_of_site(sites: &[Name]) -> Self {
        let named = sites.iter().map(Name::as_str).collect::<Vec<_>>().join(", ");
        let detail = format!("you administer {named}, and this is not of it alone");
        Self::new(StatusCode::FORBIDDEN, Code("access.site_only"), detail)
            .hint("ask an administrator of the relay")
    }

    /// A browser asks for what only one asks for that was just signed in.
    pub(super) fn stale_sign_in() -> Self {
        let detail = "this asks for a sign-in that is not older than 15 minutes";
        Self::new(StatusCode::FORBIDDEN, Code("sign_in.stale"), detail)
            .hint("sign in again, then do it once more")
    }

    /// What is asked for is beyond what the token may be used for.
    pub(super) fn out_of_scope(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, Code("token.scope"), detail)
            .hint("an administrator issues one with more: `adit admin token issue --kind admin`")
    }

    pub(super) fn too_large() -> Self {
        let detail = "the request's body is larger than it may be";
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, Code("request.too_large"), detail)
            .hint("send at most 1 MiB, or 32 MiB of a configuration to be applied")
    }

    pub(super) fn throttled(pause: Duration) -> Self {
        let detail = "too many calls at once";
        Self::new(StatusCode::TOO_MANY_REQUESTS, Code("request.throttled"), detail)
            .hint("wait as long as Retry-After says, then go on")
            .retry_after(pause)
    }

    pub(crate) fn code(&self) -> Code {
        self.code
    }

    /// As it is told, but for the request's id.
    pub(crate) fn problem(&self) -> Problem {
        Problem {
            title: self.status.canonical_reason().unwrap_or("Error").to_owned(),
            status: self.status.as_u16(),
            code: self.code.to_string(),
            detail: self.detail.clone(),
            hint: self.hint.clone(),
            request_id: String::new(),
            errors: self.errors.clone(),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        if let Some(pause) = self.retry_after {
            // Whole seconds, and not too few.
            let seconds = pause.as_secs() + u64::from(pause.subsec_nanos() > 0);
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        response.extensions_mut().insert(self.problem());
        response
    }
}

impl From<AuthnError> for ApiError {
    fn from(error: AuthnError) -> Self {
        let status = StatusCode::from_u16(error.http_status()).unwrap_or(StatusCode::UNAUTHORIZED);
        let told = Self::explained(status, &error);
        match error {
            AuthnError::WrongKind => {
                told.hint("this needs a login or admin token; one for an application is for `adit tunnel`, `ssh` and `proxy`")
            }
            AuthnError::Throttled => told.retry_after(THROTTLED),
            _ => told,
        }
    }
}

impl From<AuditError> for ApiError {
    fn from(error: AuditError) -> Self {
        tracing::error!(%error, "Could not record a change");
        let detail = "the relay can not record changes just now";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, Code("audit.unavailable"), detail)
            .hint("try again in a minute, or look at the relay's log")
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Invalid(problems) => Self::from(problems),
            StoreError::NotFound(what) => match what.split_once(' ') {
                Some((kind, name)) if LISTED.iter().any(|(listed, ..)| *listed == kind) => {
                    Self::not_found(kind, name.trim_matches('"'))
                }
                Some(_) | None => {
                    let detail = format!("there is no {what}");
                    Self::new(StatusCode::NOT_FOUND, Code("request.not_found"), detail)
                }
            },
            StoreError::Stale => {
                let detail = "it was changed since you looked at it; nothing was changed now";
                Self::new(StatusCode::PRECONDITION_FAILED, Code("request.stale"), detail)
                    .hint("look at it again, and change what it is now")
            }
            StoreError::Outside => {
                let detail = "this reaches beyond the sites that you administer";
                Self::new(StatusCode::FORBIDDEN, Code("access.site_only"), detail)
                    .hint("ask an administrator of the relay")
            }
            StoreError::Ambiguous(text) => {
                Self::explained(StatusCode::UNPROCESSABLE_ENTITY, &Unfound::Ambiguous(text))
            }
            StoreError::Database(_)
            | StoreError::Migrate(_)
            | StoreError::File { .. }
            | StoreError::Location
            | StoreError::SslMode
            | StoreError::Newer(_)
            | StoreError::Older(_)
            | StoreError::InUse
            | StoreError::NameTaken(_)
            | StoreError::OneRelay
            | StoreError::WrongKey
            | StoreError::Sealed { .. }
            | StoreError::Corrupt { .. } => {
                tracing::error!(error = %Chain(&error), "The store failed");
                let detail = "the relay's store does not answer just now";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, Code("store.unavailable"), detail)
                    .hint("try again in a minute; the relay's log says more")
            }
        }
    }
}

impl From<Vec<store::Problem>> for ApiError {
    fn from(problems: Vec<store::Problem>) -> Self {
        if let [one] = problems.as_slice() {
            return Self::new(of(one), one.code, format!("{}: {}", one.object, one.detail));
        }
        let fault = |problem: store::Problem| Fault {
            object: problem.object,
            code: problem.code.to_string(),
            detail: problem.detail,
        };
        let detail = format!("{} things are not valid; nothing was changed", problems.len());
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        let errors = problems.into_iter().map(fault).collect();
        Self { errors, ..Self::new(status, Code("request.refused"), detail) }
    }
}

fn of(problem: &store::Problem) -> StatusCode {
    match problem.code.0.ends_with(".exists") {
        true => StatusCode::CONFLICT,
        false => StatusCode::UNPROCESSABLE_ENTITY,
    }
}

/// An error and all its causes in one line.
struct Chain<'a>(&'a dyn std::error::Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

/// What the hint says, and the web door too. After many wrong passwords it is longer, which nobody
/// is told who may be guessing.
const THROTTLED: Duration = Duration::from_secs(60);

/// What can be listed, its code where it is not there, and the command that lists it.
const LISTED: [(&str, Code, &str); 12] = [
    ("agent", Code("agent.not_found"), "agents"),
    ("site", Code("site.not_found"), "site"),
    ("connector", Code("connector.not_found"), "connector"),
    ("application", Code("application.not_found"), "app"),
    ("user", Code("user.not_found"), "user"),
    ("group", Code("group.not_found"), "group"),
    ("grant", Code("grant.not_found"), "grant"),
    ("token", Code("token.not_found"), "token"),
    ("ssh key", Code("ssh_key.not_found"), "user key"),
    ("session", Code("session.not_found"), "session"),
    ("sign-in", Code("sign_in.not_found"), "sign-in"),
    ("recording", Code("recording.not_found"), "session"),
];
