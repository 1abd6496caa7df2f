//! What token is asked for, checked against what its kind allows.

use std::net::IpAddr;

use access::{Code, Name, TokenKind};
use api::{GrantSpec, IssueToken, Scopes, Span};
use axum::http::StatusCode;
use store::{ApplicationRow, Settings, SiteRow, UserRow};

use super::rules::{self, By};
use crate::AppState;
use crate::api::error::ApiError;

/// The terms somebody asks for.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::api) struct Asked {
    pub(in crate::api) expires: Option<Span>,
    pub(in crate::api) uses: Option<u32>,
    pub(in crate::api) overlap: Option<Span>,
    pub(in crate::api) scopes: Option<Scopes>,
}

/// A token that may be issued.
#[derive(Debug)]
pub(in crate::api) struct Order {
    pub(super) kind: TokenKind,
    pub(super) user: Option<UserRow>,
    pub(super) application: Option<ApplicationRow>,
    pub(super) site: Option<SiteRow>,
    pub(super) expires: Option<Span>,
    pub(super) uses: Option<u32>,
    /// How long the api token before this one stays good.
    pub(super) overlap: Option<Span>,
    /// What it may be used for. `None`: all its user may do.
    pub(super) scopes: Option<Scopes>,
    pub(super) warnings: Vec<String>,
    /// Where it will be used, of one that is typed nowhere.
    pub(super) terminal: Option<IpAddr>,
}

impl Order {
    /// What an admin asks for. A token for a user without a grant may be made, with a warning: the
    /// grant may come later.
    pub(super) async fn by_admin(state: &AppState, asked: IssueToken) -> Result<Self, ApiError> {
        let owner = user(state, &asked.user).await?;
        let application = match &asked.application {
            Some(text) => Some(application(state, text).await?),
            None => None,
        };
        let usual = if application.is_some() { TokenKind::Access } else { TokenKind::Login };
        let kind = asked.kind.unwrap_or(usual);
        let IssueToken { expires, uses, overlap, scopes, .. } = asked;
        let terms = Asked { expires, uses, overlap, scopes };
        let settings = state.store.settings().await?;
        let mut order = Self::new(kind, owner, application, terms, (By::Admin, &settings))?;
        order.warn(&state.store.grants().await?);
        Ok(order)
    }

    /// What a user asks for themselves, of an application they can reach.
    pub(in crate::api) fn own(
        owner: UserRow,
        application: ApplicationRow,
        kind: Option<TokenKind>,
        asked: Asked,
        settings: &Settings,
    ) -> Result<Self, ApiError> {
        let kind = kind.unwrap_or(TokenKind::Access);
        if !kind.opens() {
            let detail = format!("{kind} tokens are issued by an administrator");
            return Err(ApiError::new(
                StatusCode::FORBIDDEN,
                Code("token.kind_not_allowed"),
                detail,
            )
            .hint("for yourself, issue kind `access` or `api`"));
        }
        Self::new(kind, owner, Some(application), asked, (By::Owner, settings))
    }

    pub(super) fn to_join(site: SiteRow, expires: Option<Span>) -> Self {
        Self {
            kind: TokenKind::Join,
            user: None,
            application: None,
            site: Some(site),
            expires: expires.or(usual_life(TokenKind::Join)),
            uses: Some(1),
            overlap: None,
            scopes: None,
            warnings: Vec::new(),
            terminal: None,
        }
    }

    /// What signs the owner's browser in, within a minute.
    pub(in crate::api) fn to_sign_in(owner: UserRow) -> Self {
        Self {
            kind: TokenKind::SignIn,
            user: Some(owner),
            application: None,
            site: None,
            expires: Span::from_seconds(SIGN_IN_CODE),
            uses: Some(1),
            overlap: None,
            scopes: None,
            warnings: Vec::new(),
            terminal: None,
        }
    }

    /// The same, for a terminal at this address.
    pub(in crate::api) fn at(self, terminal: IpAddr) -> Self {
        Self { terminal: Some(terminal), ..self }
    }

    /// What signs a machine in that its owner has approved in a browser.
    pub(in crate::api) fn to_log_in(owner: UserRow) -> Self {
        let expires = Span::from_seconds(APPROVED_LOGIN);
        Self { kind: TokenKind::Login, expires, ..Self::to_sign_in(owner) }
    }

    /// Refuses a token that could do more than the one it is asked for with.
    pub(super) fn within(&self, own: Option<Scopes>) -> Result<(), ApiError> {
        let Some(own) = own else { return Ok(()) };
        let refused = |what: String| {
            let detail = format!("a token with the scopes {own} issues none {what}");
            Err(ApiError::out_of_scope(detail))
        };
        match (self.kind, self.scopes) {
            (kind @ (TokenKind::Login | TokenKind::SignIn), _) => {
                refused(format!("of kind {kind}, which does all its user may"))
            }
            (TokenKind::Admin, None) => refused("without scopes".into()),
            (TokenKind::Admin, Some(asked)) => match asked.beyond(own) {
                Some(beyond) => refused(format!("with {beyond}")),
                None => Ok(()),
            },
            (TokenKind::Api | TokenKind::Access | TokenKind::Join, _) => Ok(()),
        }
    }

    fn new(
        kind: TokenKind,
        user: UserRow,
        application: Option<ApplicationRow>,
        asked: Asked,
        (by, settings): (By, &Settings),
    ) -> Result<Self, ApiError> {
        check(kind, &user, application.as_ref())?;
        if asked.scopes.is_some() && kind != TokenKind::Admin {
            return Err(ApiError::invalid("only a token of kind admin has scopes"));
        }
        let overlap = allowed_overlap(kind, asked.overlap)?;
        let (expires, uses) = match (kind, &application) {
            (TokenKind::Access, Some(application)) => {
                let door = settings.tokens(application.kind);
                (rules::life(door, asked.expires, by)?, rules::uses(door, asked.uses, by)?)
            }
            _ => (asked.expires.or(usual_life(kind)), allowed_uses(kind, asked.uses)?),
        };
        let (user, site, warnings) = (Some(user), None, Vec::new());
        let scopes = asked.scopes;
        let terminal = None;
        Ok(Self {
            kind,
            user,
            application,
            site,
            expires,
            uses,
            overlap,
            scopes,
            warnings,
            terminal,
        })
    }

    fn warn(&mut self, grants: &[store::GrantRow]) {
        let Some(user) = &self.user else { return };
        if !user.enabled {
            self.warnings.push(format!("{} is disabled: the token opens nothing", user.name));
        }
        let Some(application) = &self.application else { return };
        if !grants.iter().any(|grant| opens(&grant.spec, user, application)) {
            let application = application.reference();
            self.warnings.push(format!(
                "no grant lets {} reach {application}: the token opens nothing until one does",
                user.name
            ));
        }
    }
}

pub(super) async fn user(state: &AppState, name: &Name) -> Result<UserRow, ApiError> {
    let found = state.store.user(name).await?;
    found.ok_or_else(|| ApiError::not_found("user", name.as_str()))
}

pub(super) async fn application(state: &AppState, text: &str) -> Result<ApplicationRow, ApiError> {
    let found = state.store.application(text).await?;
    found.ok_or_else(|| ApiError::not_found("application", text))
}

fn check(
    kind: TokenKind,
    user: &UserRow,
    application: Option<&ApplicationRow>,
) -> Result<(), ApiError> {
    match (kind, application) {
        (TokenKind::Api, Some(app)) if !app.allow_api => Err(api_not_allowed(app)),
        (TokenKind::Api | TokenKind::Access, Some(_)) => Ok(()),
        (TokenKind::Api | TokenKind::Access, None) => {
            Err(ApiError::invalid(format!("a token of kind {kind} is for one application"))
                .hint("name it in `application`, or with --application"))
        }
        (TokenKind::Login | TokenKind::Admin | TokenKind::SignIn, Some(_)) => {
            Err(ApiError::invalid(format!("a token of kind {kind} is for no application")))
        }
        (TokenKind::Login | TokenKind::SignIn, None) if user.machine => {
            let detail = format!("{} is a machine user and does not log in", user.name);
            Err(ApiError::for_people(StatusCode::UNPROCESSABLE_ENTITY, detail))
        }
        (TokenKind::Join, _) => Err(ApiError::invalid("join tokens are issued for a site")
            .hint("`adit admin site join-token SITE`")),
        (TokenKind::Admin, None) if !user.admin && !user.auditor && user.admin_of.is_empty() => {
            let detail = format!("{} is no administrator and no auditor", user.name);
            Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, Code("token.not_admin"), detail)
                .hint("admin tokens are for users with `admin = true`, `auditor = true` or `admin_of`"))
        }
        (TokenKind::Login | TokenKind::Admin | TokenKind::SignIn, None) => Ok(()),
    }
}

fn api_not_allowed(app: &ApplicationRow) -> ApiError {
    let detail = format!("{} does not allow API tokens", app.reference());
    ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, Code("token.api_not_allowed"), detail).hint(
        "an administrator sets `allow_api = true` on the application (`adit admin apply`), or \
         issue a token of kind `access`",
    )
}

fn allowed_overlap(kind: TokenKind, asked: Option<Span>) -> Result<Option<Span>, ApiError> {
    match asked {
        Some(_) if kind != TokenKind::Api => {
            Err(ApiError::invalid("only a token of kind api takes the place of another"))
        }
        Some(span) if span.seconds() > LONGEST_OVERLAP => {
            Err(ApiError::invalid("an overlap is 30 days at most"))
        }
        overlap => Ok(overlap),
    }
}

/// How often a token may be used that is not an access token.
fn allowed_uses(kind: TokenKind, asked: Option<u32>) -> Result<Option<u32>, ApiError> {
    match (kind, asked) {
        (_, Some(0)) => Err(ApiError::invalid("a token may be used at least once")),
        (TokenKind::SignIn, Some(2..)) => Err(ApiError::invalid("a sign-in code is used once")),
        (_, Some(uses)) => Ok(Some(uses)),
        (TokenKind::Access | TokenKind::Login | TokenKind::Join | TokenKind::SignIn, None) => {
            Ok(Some(1))
        }
        (TokenKind::Api | TokenKind::Admin, None) => Ok(None),
    }
}

/// How long a token is good where nobody said; of access tokens the door's rules say it.
fn usual_life(kind: TokenKind) -> Option<Span> {
    match kind {
        TokenKind::Login | TokenKind::Join => Span::from_seconds(24 * 3600),
        TokenKind::SignIn => Span::from_seconds(SIGN_IN_LINK),
        TokenKind::Access | TokenKind::Api | TokenKind::Admin => None,
    }
}

/// From a command that prints a code to the page that takes it.
const SIGN_IN_CODE: u64 = 60;
/// From the approval to the machine's next question.
const APPROVED_LOGIN: u64 = 5 * 60;
/// A link to sign in with, which an admin sends somebody.
const SIGN_IN_LINK: u64 = 15 * 60;
const LONGEST_OVERLAP: u64 = 30 * 24 * 3600;

fn opens(grant: &GrantSpec, user: &UserRow, app: &ApplicationRow) -> bool {
    let subject = grant.user.as_ref() == Some(&user.name)
        || grant.group.as_ref().is_some_and(|group| user.groups.contains(group));
    let named = grant.application.as_deref().is_some_and(|text| {
        text == app.name.as_str() || text == app.reference() || text == app.label
    });
    let tagged = grant.tag.as_deref().and_then(|tag| tag.split_once('='));
    let tagged = tagged.is_some_and(|(key, value)| app.tags.get(key).is_some_and(|v| v == value));
    subject && (named || tagged)
}
