//! Files by which Remote Desktop's clients open a desktop through the RD Gateway door.

use std::time::SystemTime;

use access::{
    Application, Clipboard, Code, Context, Deny, Kind, Shortfall, Terms, TokenKind, sha256,
};
use api::{MyRdpFile, MyRdpLogin, RdpFile, RdpLogin};
use axum::extract::State;
use axum::http::StatusCode;
use data_encoding::HEXLOWER;
use gateway_rdp::{NoPass, Pass};
use store::ApplicationRow;

use super::caller::Caller;
use super::error::ApiError;
use super::extract::Body;
use super::me::own;
use super::openapi::Created;
use super::tokens::{Asked, Order};
use crate::AppState;
use crate::rdp_file;

/// Issues a token, and the file that shows it.
pub(super) async fn make(
    State(state): State<AppState>,
    caller: Caller,
    Body(asked): Body<MyRdpFile>,
) -> Result<Created<RdpFile>, ApiError> {
    let MyRdpFile { application, login, expires, uses } = asked;
    if login.as_deref().is_some_and(|login| !is_account(login)) {
        return Err(ApiError::invalid("that is no account at a desktop"));
    }
    let (owner, application) = own(&state, &caller, &application).await?;
    let terms = passes(&state, &caller, &application)?;
    let pass = pass(&state, &caller, &application)?;
    let (target, settings) = (application.label.clone(), state.store.settings().await?);
    let asked = Asked { expires, uses, overlap: None, scopes: None };
    let order = Order::own(owner, application, Some(TokenKind::Access), asked, &settings)?;
    let issued = order.issue(&state, (&caller).into()).await?;
    let info = &state.info;
    let file = rdp_file::RdpFile {
        target: &format!("{target}.{}", info.domain),
        gateway: (&info.domain, info.https_port),
        token: &issued.token.into_inner(),
        once: issued.uses == Some(1),
        login: pass.as_ref().map(|pass| pass.user.as_str()).or(login.as_deref()),
        shares: shares(&terms),
    };
    let text = file.signed(&state.certificates.signer()).map_err(ApiError::internal)?;
    let (token, expires, uses) = (issued.id, issued.expires, issued.uses);
    let login = pass.map(|pass| shown(&state, &target, pass));
    let name = format!("{target}.rdp");
    Ok(Created(RdpFile { name, text: text.into(), token, expires, uses, login }))
}

/// Makes a login for a client that comes through the caller's agent.
pub(super) async fn login(
    State(state): State<AppState>,
    caller: Caller,
    Body(asked): Body<MyRdpLogin>,
) -> Result<Created<RdpLogin>, ApiError> {
    let (_, application) = own(&state, &caller, &asked.application).await?;
    passes(&state, &caller, &application)?;
    let pass = pass(&state, &caller, &application)?.ok_or_else(|| {
        let detail = format!("the relay does not sign in at {}", application.reference());
        ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, Code("rdp.transparent"), detail)
            .hint("sign in there with your own account")
    })?;
    Ok(Created(shown(&state, &application.label, pass)))
}

/// A login for one connection, where the relay signs in.
fn pass(
    state: &AppState,
    caller: &Caller,
    application: &ApplicationRow,
) -> Result<Option<Pass>, ApiError> {
    if !application.login.is_ours() {
        return Ok(None);
    }
    let made = state.desktops.pass(&caller.who, application.id);
    made.map(Some).map_err(|error| match error {
        NoPass::TooMany => {
            let detail = "too many logins of yours wait to be used; they end within ten minutes";
            ApiError::new(StatusCode::CONFLICT, Code("desktop.too_many"), detail)
        }
        NoPass::Random => ApiError::internal(error),
    })
}

fn shown(state: &AppState, label: &str, pass: Pass) -> RdpLogin {
    let (domain, now) = (&state.info.domain, SystemTime::now());
    let hosts = [domain.clone(), format!("{label}.{domain}")];
    let keys = hosts.iter().filter_map(|host| state.certificates.key_for(host, now));
    let leaves = keys.filter_map(|key| Some(HEXLOWER.encode(&sha256(key.cert.first()?))));
    let mut certificates: Vec<_> = leaves.collect();
    certificates.dedup();
    let since = pass.expires.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let (user, password) = (pass.user, pass.password.into());
    RdpLogin { user, password, certificates, expires: since.as_secs() }
}

/// What a client is told that it may share.
fn shares(terms: &Terms) -> rdp_file::Shares {
    rdp_file::Shares {
        clipboard: terms.clipboard != Clipboard::Off,
        drives: terms.file_transfer,
        printers: terms.printer,
        audio: terms.audio,
    }
}

/// Whether the caller may open it on this way, and under which terms: where nothing that is shared with
/// a desktop is seen, none may limit it. Those that are not of this way are held when it is opened.
fn passes(state: &AppState, caller: &Caller, row: &ApplicationRow) -> Result<Terms, ApiError> {
    if row.kind != Kind::Rdp {
        let detail = format!("{} is no desktop", row.reference());
        return Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, Code("rdp.kind"), detail)
            .hint("`adit ls` shows the kind of each application"));
    }
    let policy = state.policy.current();
    let Some(application) = policy.application(row.id) else { return Ok(Terms::default()) };
    match granted(state, caller, application) {
        Ok(grant) => Ok(grant.terms().clone()),
        Err(Deny::Short(
            _,
            term @ (Shortfall::Clipboard
            | Shortfall::FileTransfer
            | Shortfall::Printer
            | Shortfall::Audio
            | Shortfall::Recording
            | Shortfall::Login),
        )) => {
            let detail = format!(
                "your access to {} limits what a Remote Desktop client does, and nothing holds it \
                 to that on this way: {}",
                row.reference(),
                term.as_str()
            );
            Err(ApiError::new(StatusCode::FORBIDDEN, Code("rdp.terms"), detail)
                .hint("open it in the portal; or ask your administrator for other terms"))
        }
        Err(_) => Ok(Terms::default()),
    }
}

fn granted(
    state: &AppState,
    caller: &Caller,
    application: &std::sync::Arc<Application>,
) -> Result<access::Grant, Deny> {
    let context = Context::native(caller.who.from(), application);
    let policy = state.policy.current();
    policy.authorize(&caller.who, application, context, SystemTime::now())
}

fn is_account(text: &str) -> bool {
    (1..=MAX_ACCOUNT).contains(&text.len()) && !text.contains(char::is_control)
}

/// As long as an account with its domain may be.
const MAX_ACCOUNT: usize = 320;
