//! `adit admin connector ls|rm`

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
    /// End a connector's enrolment; its sessions end with it
    Rm {
        /// Its id, or its name
        connector: String,
    },
}

pub(super) async fn run(command: ConnectorCommand, context: &Context) -> Result<(), Failure> {
    match command {
        ConnectorCommand::Ls => list(context).await,
        ConnectorCommand::Rm { connector } => {
            let id = find(&connector, context).await?;
            let path = format!("/api/v1/connectors/{id}");
            take_away(context, &path, &format!("Removed connector {connector}")).await
        }
    }
}

async fn list(context: &Context) -> Result<(), Failure> {
    let connectors: Vec<ConnectorRow> = context.get("/api/v1/connectors").await?;
    let heads = ["id", "name", "site", "state", "address", "since", "sessions", "version"];
    context.ui.list(&connectors, "There are no connectors.", heads, |connector| {
        let state = if connector.online { "online" } else { "offline" };
        [
            connector.id.to_string(),
            connector.name.clone(),
            connector.site.to_string(),
            state.to_owned(),
            connector.address.clone().unwrap_or_default(),
            connector.since.map(times::utc).unwrap_or_default(),
            connector.sessions.to_string(),
            connector.version.clone().unwrap_or_default(),
        ]
    })
}

async fn find(text: &str, context: &Context) -> Result<ConnectorId, Failure> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    let connectors: Vec<ConnectorRow> = context.get("/api/v1/connectors").await?;
    let mut named = connectors.iter().filter(|connector| connector.name == text);
    match (named.next(), named.next()) {
        (Some(one), None) => Ok(one.id),
        (Some(_), Some(_)) => {
            Err(Failure::usage(format!("several connectors are called {text:?}"))
                .hint("name one by its id"))
        }
        (None, _) => Err(Failure::new(Exit::NotFound, format!("there is no connector {text:?}"))
            .hint("`adit admin connector ls` lists them")),
    }
}
