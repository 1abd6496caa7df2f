//! `adit admin connector ls|show|rm`

use access::ConnectorId;
use api::ConnectorRow;
use clap::Subcommand;

use super::take_away;
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::times;

#[derive(Debug, Subcommand)]
pub enum ConnectorCommand {
    /// List the connectors, connected or not
    Ls,
    /// Show one connector, and which applications it reaches
    Show {
        /// Its id, or its name
        connector: String,
    },
    /// End a connector's enrolment; its sessions end with it
    Rm {
        /// Its id, or its name
        connector: String,
    },
}

pub(super) async fn run(command: ConnectorCommand, context: &Context) -> Result<(), Failure> {
    match command {
        ConnectorCommand::Ls => list(context).await,
        ConnectorCommand::Show { connector } => show(&connector, context).await,
        ConnectorCommand::Rm { connector } => {
            let id = match connector.parse() {
                Ok(id) => id,
                Err(_) => find(&connector, context).await?.id,
            };
            let path = format!("/api/v1/connectors/{id}");
            take_away(context, &path, &format!("Removed connector {connector}")).await
        }
    }
}

async fn list(context: &Context) -> Result<(), Failure> {
    let connectors: Vec<ConnectorRow> = context.get("/api/v1/connectors").await?;
    let heads =
        ["id", "name", "site", "state", "address", "since", "last seen", "sessions", "version"];
    context.ui.list(&connectors, "There are no connectors.", heads, |connector| {
        let state = if connector.online { "online" } else { "offline" };
        [
            connector.id.to_string(),
            connector.name.clone(),
            connector.site.to_string(),
            state.to_owned(),
            connector.address.clone().unwrap_or_default(),
            connector.since.map(times::utc).unwrap_or_default(),
            connector.seen.map_or_else(|| "never".to_owned(), times::utc),
            connector.sessions.to_string(),
            connector.version.clone().unwrap_or_default(),
        ]
    })
}

async fn show(text: &str, context: &Context) -> Result<(), Failure> {
    let connector = find(text, context).await?;
    if context.ui.wants_json() {
        return context.ui.json(&connector);
    }
    context.ui.facts(&connector, &facts(&connector))?;
    let heads = ["application", "state", "takes", "reached", "failed", "why"];
    context.ui.list(&connector.applications, "It has dialled no application yet.", heads, |app| {
        [
            app.application.clone(),
            if app.reachable { "reachable" } else { "failing" }.to_owned(),
            app.micros.map(times::millis).unwrap_or_default(),
            app.reached.map(times::utc).unwrap_or_default(),
            app.failed.map(times::utc).unwrap_or_default(),
            app.failure.clone().unwrap_or_default(),
        ]
    })
}

fn facts(connector: &ConnectorRow) -> Vec<(&'static str, String)> {
    let state = match (connector.online, connector.since, connector.seen) {
        (true, Some(since), _) => format!("online since {}", times::utc(since)),
        (true, None, _) => "online".to_owned(),
        (false, _, Some(seen)) => format!("offline since {}", times::utc(seen)),
        (false, _, None) => "offline, and was never here".to_owned(),
    };
    let facts = [
        ("name", Some(connector.name.clone())),
        ("id", Some(connector.id.to_string())),
        ("site", Some(connector.site.to_string())),
        ("state", Some(state)),
        ("address", connector.address.clone()),
        ("version", connector.version.clone()),
        ("key", Some(connector.key.clone())),
        ("certificate until", connector.certificate_expires.map(times::utc)),
        ("sessions", Some(connector.sessions.to_string())),
    ];
    facts.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// The connector of that id or name.
async fn find(text: &str, context: &Context) -> Result<ConnectorRow, Failure> {
    let connectors: Vec<ConnectorRow> = context.get("/api/v1/connectors").await?;
    let id: Option<ConnectorId> = text.parse().ok();
    let meant = |connector: &ConnectorRow| match id {
        Some(id) => connector.id == id,
        None => connector.name == text,
    };
    let mut named = connectors.into_iter().filter(meant);
    match (named.next(), named.next()) {
        (Some(one), None) => Ok(one),
        (Some(_), Some(_)) => {
            Err(Failure::usage(format!("several connectors are called {text:?}"))
                .hint("name one by its id"))
        }
        (None, _) => Err(Failure::new(Exit::NotFound, format!("there is no connector {text:?}"))
            .hint("`adit admin connector ls` lists them")),
    }
}
