//! Issuing, listing and revoking tokens.

mod order;
mod rules;

use std::time::SystemTime;

use access::{Code, Kind, Name, TokenId, TokenKind};
use api::{IssueToken, Issued, JoinToken, Page, Removed, Span, SshLogin, TokenRow, TokenState};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;
use store::{ApplicationRow, NewToken, TokenQuery};

use super::caller::Caller;
use super::change::{Actor, Intent, change, done};
use super::error::ApiError;
use super::extract::{Body, Param, Params};
use super::openapi::Created;
use super::page::{Listing, Part};
use super::rows;
use crate::{AppState, RelayInfo};
pub(super) use order::{Asked, Order};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Whose {
    user: Option<Name>,
    /// `app` or `app.site`.
    application: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    user: Option<Name>,
    /// `app` or `app.site`.
    application: Option<String>,
    kind: Option<TokenKind>,
    state: Option<TokenState>,
    /// Only those that are live and expire within this time.
    expiring: Option<Span>,
}

pub(super) async fn list(
    State(state): State<AppState>,
    Listing { only, part }: Listing<Which>,
) -> Result<Json<Page<TokenRow>>, ApiError> {
    let Which { user, application, kind, state: of_state, expiring } = only;
    if expiring.is_some() && of_state.is_some_and(|state| state != TokenState::Live) {
        return Err(ApiError::invalid("only live tokens are expiring"));
    }
    if let Some(user) = &user {
        order::user(&state, user).await?;
    }
    let application = match &application {
        Some(text) => Some(order::application(&state, text).await?.id),
        None => None,
    };
    let now = SystemTime::now();
    let of_state = of_state.or(expiring.map(|_| TokenState::Live));
    let query = TokenQuery {
        user,
        application,
        kind,
        state: of_state.map(|state| (state, now)),
        expires_by: expiring.and_then(|within| now.checked_add(within.duration())),
        ..TokenQuery::default()
    };
    page(&state, query, &part, now).await
}

/// One page of the tokens that fit the query.
pub(super) async fn page(
    state: &AppState,
    query: TokenQuery,
    part: &Part,
    now: SystemTime,
) -> Result<Json<Page<TokenRow>>, ApiError> {
    let (after, limit) = (part.after("tokens")?, Some(part.look_ahead()));
    let tokens = state.store.tokens(TokenQuery { after, limit, ..query }).await?;
    let tokens = tokens.into_iter().map(|row| rows::token(row, now)).collect();
    Ok(Json(part.page("tokens", tokens, |row| (row.created, row.id.clone()))))
}

pub(super) async fn issue(
    State(state): State<AppState>,
    caller: Caller,
    Body(asked): Body<IssueToken>,
) -> Result<Created<Issued>, ApiError> {
    let order = Order::by_admin(&state, asked).await?;
    order.within(caller.scopes)?;
    Ok(Created(order.issue(&state, (&caller).into()).await?))
}

pub(super) async fn issue_join(
    State(state): State<AppState>,
    caller: Caller,
    Param(name): Param<Name>,
    Body(asked): Body<JoinToken>,
) -> Result<Created<Issued>, ApiError> {
    let site = state.store.sites().await?.into_iter().find(|site| site.name == name);
    let site = site.ok_or_else(|| ApiError::not_found("site", name.as_str()))?;
    caller.changes(&site.name, || ApiError::not_found("site", name.as_str()))?;
    let order = Order::to_join(site, asked.expires);
    Ok(Created(order.issue(&state, (&caller).into()).await?))
}

pub(super) async fn revoke(
    State(state): State<AppState>,
    caller: Caller,
    Param(id): Param<String>,
) -> Result<Json<Removed>, ApiError> {
    revoke_one(&state, (&caller).into(), TokenId::from(id), None).await
}

/// Revokes every live token of a user, of an application, or of a user for an application.
pub(super) async fn revoke_all(
    State(state): State<AppState>,
    caller: Caller,
    Params(whose): Params<Whose>,
) -> Result<Json<Removed>, ApiError> {
    if whose.user.is_none() && whose.application.is_none() {
        let detail = "name a user, an application, or both";
        return Err(ApiError::invalid(detail).hint("?user=alice&application=web1"));
    }
    let (user, application) = found(&state, &whose).await?;
    let intent = Intent { action: "revoke", object: whose.describe() };
    let act = async {
        let application = application.as_deref();
        let count = state.store.revoke_tokens(user, application, SystemTime::now()).await?;
        match count {
            0 => Err(no_live_token(&whose)),
            count => Ok((count, vec![done(&intent, format!("{count} revoked"))])),
        }
    };
    let (count, withdrawn) = change(&state, (&caller).into(), intent.clone(), act).await?;
    Ok(Json(Removed { changes: Vec::new(), count, withdrawn }))
}

/// Ends an api token that another has replaced, at the end of their overlap.
pub(crate) async fn end_replaced(state: &AppState, id: TokenId, by: &str) {
    let name = id.to_string();
    if let Err(error) = revoke_one(state, Actor::relay(by), id, None).await {
        tracing::warn!(?error, token = name, "Could not end a token that was replaced");
    }
}

/// Revokes one token; with `owner`, only where it is theirs.
pub(super) async fn revoke_one(
    state: &AppState,
    actor: Actor,
    id: TokenId,
    owner: Option<access::UserId>,
) -> Result<Json<Removed>, ApiError> {
    let intent = Intent { action: "revoke", object: format!("token {id}") };
    let changes = vec![done(&intent, "")];
    let act = async {
        match state.store.revoke_token(&id, owner, SystemTime::now()).await? {
            true => Ok((changes.clone(), changes)),
            false => Err(ApiError::not_found("token", id.as_str())),
        }
    };
    let (changes, withdrawn) = change(state, actor, intent, act).await?;
    Ok(Json(Removed { changes, count: 1, withdrawn }))
}

impl Order {
    /// Makes the token, stores its hash and puts it in force.
    pub(in crate::api) async fn issue(
        self,
        state: &AppState,
        actor: Actor,
    ) -> Result<Issued, ApiError> {
        let token = crate::tokens::issue(self.kind, state.ca.pin());
        let now = SystemTime::now();
        let new = NewToken {
            user: self.user.as_ref().map(|user| user.id),
            application: self.application.as_ref().map(|application| application.id),
            site: self.site.as_ref().map(|site| site.id),
            expires: self.expires.and_then(|span| now.checked_add(span.duration())),
            uses: self.uses,
            overlap: self.overlap.and_then(|span| now.checked_add(span.duration())),
            scopes: self.scopes,
        };
        let intent = Intent { action: "issue", object: format!("token {}", token.id()) };
        let told = vec![done(&intent, self.describe())];
        let act = async { Ok((state.store.issue_token(&token, new, now).await?, told)) };
        let (row, _) = change(state, actor, intent, act).await?;
        Ok(Issued {
            id: row.id,
            token: token.expose().to_owned().into(),
            kind: row.kind,
            command: self.command(state),
            ssh: self.ssh(state),
            user: row.user,
            application: row.application,
            site: row.site,
            expires: row.expires,
            uses: row.uses_left,
            warnings: self.warnings,
        })
    }

    fn describe(&self) -> String {
        let user = self.user.as_ref().map(|user| format!(" of {}", user.name));
        let application = self.application.as_ref().map(|app| format!(" for {}", app.reference()));
        let site = self.site.as_ref().map(|site| format!(" for site {}", site.name));
        let parts = [user, application, site].into_iter().flatten().collect::<String>();
        let overlap = self.overlap.map(|span| format!(", the one before good for {span} more"));
        let scopes = self.scopes.map(|scopes| format!(" to {scopes}")).unwrap_or_default();
        let terminal = self.terminal.map(|at| format!(", approved for a terminal at {at}"));
        let more = [overlap, terminal].into_iter().flatten().collect::<String>();
        format!("{}{parts}{scopes}{more}", self.kind)
    }

    /// How the token is used, to paste. The token itself is not in it: command lines are seen by
    /// every process of the machine.
    fn command(&self, state: &AppState) -> Option<String> {
        let info = &state.info;
        let url = format!("https://{}{}", info.domain, https_port(info.https_port));
        match self.kind {
            TokenKind::Api | TokenKind::Access => match self.ssh(state) {
                Some(login) => Some(login.command()),
                None => self.application.as_ref().map(|app| {
                    by_its_own_client(app, info).unwrap_or_else(|| {
                        format!("ADIT_TOKEN=TOKEN adit --relay {url} tunnel {}", app.reference())
                    })
                }),
            },
            TokenKind::Login => Some(format!("adit login {url} --token-file FILE")),
            TokenKind::Join => {
                Some(format!("adit-connector join {url} --token-file FILE --state DIR"))
            }
            TokenKind::SignIn => Some(format!("{}/sign-in#CODE", info.url())),
            TokenKind::Admin => None,
        }
    }
}

impl Order {
    /// How any SSH client is told to use it, where it opens an SSH application.
    fn ssh(&self, state: &AppState) -> Option<SshLogin> {
        let application = self.application.as_ref().filter(|app| app.kind == Kind::Ssh)?;
        Some(SshLogin {
            host: state.info.domain.clone(),
            port: state.info.ssh_port,
            user: application.login.fixed().map(str::to_owned),
            prompt: state.agents.ssh_prompt(),
        })
    }
}

/// The command of a client that needs no agent, where a door of the relay speaks to it.
fn by_its_own_client(app: &ApplicationRow, info: &RelayInfo) -> Option<String> {
    let mapped = app.database.as_ref().is_some_and(|database| !database.accounts.is_empty());
    let has_account = mapped || app.login.fixed().is_some();
    let (host, port, named) = (&info.domain, info.https_port, app.reference());
    match app.kind {
        Kind::Web => {
            let at = format!("{}.{host}{}", app.label, https_port(port));
            Some(format!("curl -H 'X-Adit-Key: TOKEN' https://{at}/"))
        }
        Kind::Postgres if has_account => Some(format!(
            "PGPASSWORD=TOKEN psql \"host={host} port={port} user=me+{named} dbname=DATABASE \
             sslmode=verify-full sslrootcert=relay-ca.pem\""
        )),
        Kind::Mysql if has_account => Some(format!(
            "MYSQL_PWD=TOKEN mariadb -h {host} -P {} -u me+{named} --ssl-ca=relay-ca.pem \
             --ssl-verify-server-cert DATABASE",
            info.mysql_port?
        )),
        Kind::Redis if has_account => Some(format!(
            "REDISCLI_AUTH=TOKEN redis-cli -h {host} -p {port} --tls --cacert relay-ca.pem \
             --user me+{named}"
        )),
        Kind::Ssh | Kind::Rdp | Kind::Tcp | Kind::Postgres | Kind::Mysql | Kind::Redis => None,
    }
}

impl Whose {
    fn describe(&self) -> String {
        let user = self.user.as_ref().map(|user| format!(" of {user}")).unwrap_or_default();
        let application = self.application.as_ref().map(|app| format!(" for {app}"));
        format!("tokens{user}{}", application.unwrap_or_default())
    }
}

fn no_live_token(whose: &Whose) -> ApiError {
    let detail = format!("there are no live {}", whose.describe());
    ApiError::new(StatusCode::NOT_FOUND, Code("token.not_found"), detail)
        .hint("`adit admin token ls` lists them")
}

/// The user and the application as `app.site`, once both are known to be there.
async fn found<'a>(
    state: &AppState,
    whose: &'a Whose,
) -> Result<(Option<&'a Name>, Option<String>), ApiError> {
    if let Some(user) = &whose.user {
        order::user(state, user).await?;
    }
    let application = match &whose.application {
        Some(text) => Some(order::application(state, text).await?.reference()),
        None => None,
    };
    Ok((whose.user.as_ref(), application))
}

fn https_port(port: u16) -> String {
    if port == 443 { String::new() } else { format!(":{port}") }
}
