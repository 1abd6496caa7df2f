//! Files by which Remote Desktop's clients open a desktop through the RD Gateway door.

use std::time::SystemTime;

use access::{Application, Code, Context, Deny, Keeps, Kind, Shortfall, TokenKind};
use api::{MyRdpFile, RdpFile};
use axum::extract::State;
use axum::http::StatusCode;
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
    passes(&state, &caller, &application)?;
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
        login: login.as_deref(),
    };
    let text = file.signed(&state.certificates.signer()).map_err(ApiError::internal)?;
    let (token, expires, uses) = (issued.id, issued.expires, issued.uses);
    Ok(Created(RdpFile { name: format!("{target}.rdp"), text: text.into(), token, expires, uses }))
}

/// Whether the caller may open it where nothing that is shared with a desktop is seen. Other terms
/// are held when it is opened.
fn passes(state: &AppState, caller: &Caller, row: &ApplicationRow) -> Result<(), ApiError> {
    if row.kind != Kind::Rdp {
        let detail = format!("{} is no desktop", row.reference());
        return Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, Code("rdp.kind"), detail)
            .hint("`adit ls` shows the kind of each application"));
    }
    let policy = state.policy.current();
    let Some(application) = policy.application(row.id) else { return Ok(()) };
    match shortfall(state, caller, application) {
        Some(
            term @ (Shortfall::Clipboard
            | Shortfall::FileTransfer
            | Shortfall::Recording
            | Shortfall::Login),
        ) => {
            let detail = format!(
                "your access to {} limits what a Remote Desktop client does, and nothing holds it \
                 to that on this way: {}",
                row.reference(),
                term.as_str()
            );
            Err(ApiError::new(StatusCode::FORBIDDEN, Code("rdp.terms"), detail)
                .hint("open it in the portal; or ask your administrator for other terms"))
        }
        Some(
            Shortfall::Authentication
            | Shortfall::Session
            | Shortfall::Ssh
            | Shortfall::Level
            | Shortfall::Databases
            | Shortfall::Source
            | Shortfall::Hours
            | Shortfall::NotYetValid
            | Shortfall::NoLongerValid,
        )
        | None => Ok(()),
    }
}

/// By which term nothing opens it as raw bytes, where that is why.
fn shortfall(
    state: &AppState,
    caller: &Caller,
    application: &std::sync::Arc<Application>,
) -> Option<Shortfall> {
    let from = caller.who.from();
    let context = Context { from, login: None, database: None, keeps: Keeps::NOTHING };
    let policy = state.policy.current();
    match policy.authorize(&caller.who, application, context, SystemTime::now()) {
        Err(Deny::Short(_, term)) => Some(term),
        Ok(_) | Err(_) => None,
    }
}

fn is_account(text: &str) -> bool {
    (1..=MAX_ACCOUNT).contains(&text.len()) && !text.contains(char::is_control)
}

/// As long as an account with its domain may be.
const MAX_ACCOUNT: usize = 320;
