//! `adit status`

use api::{Info, Me, Scopes};
use serde::Serialize;

use crate::context::Context;
use crate::exit::Failure;
use crate::times;

/// What `adit status --json` prints.
#[derive(Debug, Serialize)]
struct Status {
    relay: String,
    answers: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    admin: bool,
    machine: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    auditor: bool,
    /// What the token may be used for, where that is not all its user may do.
    #[serde(skip_serializing_if = "Option::is_none")]
    scopes: Option<Scopes>,
    /// What signs us in: `agent` or `token`.
    #[serde(skip_serializing_if = "Option::is_none")]
    credential: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<String>,
    /// When a new login is needed, in Unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<String>,
}

/// Shows what is known even where the relay does not answer, and then fails with its reason.
pub async fn run(context: &Context) -> Result<(), Failure> {
    let mut status = known(context)?;
    let asked = ask(context, &mut status).await;
    context.ui.facts(&status, &facts(&status))?;
    asked
}

fn known(context: &Context) -> Result<Status, Failure> {
    let settings = &context.settings;
    let relay = settings.relay()?.to_string();
    let login = if settings.token()?.is_some() { None } else { Some(settings.signed_in()?) };
    Ok(Status {
        relay,
        answers: false,
        version: None,
        user: login.as_ref().map(|login| login.user.clone()),
        admin: false,
        machine: false,
        auditor: false,
        scopes: None,
        credential: None,
        device: login.as_ref().map(|login| login.device.clone()),
        expires: login.and_then(|login| login.expires),
        state: settings.state().ok().map(|state| state.path().display().to_string()),
    })
}

async fn ask(context: &Context, status: &mut Status) -> Result<(), Failure> {
    let info: Info = context.get("/api/v1/info").await?;
    status.answers = true;
    status.version = Some(info.version);
    let me: Me = context.get("/api/v1/me").await?;
    status.user = Some(me.user.to_string());
    status.admin = me.admin;
    status.machine = me.machine;
    status.auditor = me.auditor;
    status.scopes = me.scopes;
    status.credential = Some(me.credential);
    status.expires = me.expires.or(status.expires);
    Ok(())
}

fn facts(status: &Status) -> Vec<(&'static str, String)> {
    let role = match (status.admin, status.auditor) {
        (true, _) => Some("admin"),
        (false, true) => Some("auditor"),
        (false, false) => None,
    };
    let roles: Vec<_> = status.machine.then_some("machine").into_iter().chain(role).collect();
    let role = match roles.is_empty() {
        true => String::new(),
        false => format!(" ({})", roles.join(", ")),
    };
    let user = status.user.as_ref().map(|user| match &status.device {
        Some(device) => format!("{user}{role} on {device}"),
        None => format!("{user}{role}, by ADIT_TOKEN"),
    });
    let answers = match &status.version {
        Some(version) => format!("yes, version {version}"),
        None => "no".to_owned(),
    };
    let facts = [
        ("relay", Some(status.relay.clone())),
        ("answers", Some(answers)),
        ("signed in as", user),
        ("only for", status.scopes.map(|scopes| scopes.to_string())),
        ("until", status.expires.map(times::utc)),
        ("kept in", status.state.clone()),
    ];
    facts.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}
