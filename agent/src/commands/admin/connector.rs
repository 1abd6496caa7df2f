//! `adit admin connector ls|show|doctor|rm`

use access::{ConnectorId, Name};
use api::{ConnectorDoctor, ConnectorRow};
use clap::Subcommand;

use super::take_away;
use crate::context::{Context, query};
use crate::exit::Failure;
use crate::times;

#[derive(Debug, Subcommand)]
pub enum ConnectorCommand {
    /// List the connectors, connected or not
    Ls {
        /// Only those of this site
        #[arg(long)]
        site: Option<Name>,
    },
    /// Show one connector, and which applications it reaches
    Show {
        /// Its id, or its name
        connector: String,
    },
    /// Show what a connector found on its ways to the relay and to its targets, and what helps
    Doctor {
        /// Its id, or its name
        connector: String,
        /// Have it look now
        #[arg(long)]
        again: bool,
    },
    /// End a connector's enrolment; its sessions end with it
    Rm {
        /// Its id, or its name
        connector: String,
    },
}

pub(super) async fn run(command: ConnectorCommand, context: &Context) -> Result<(), Failure> {
    match command {
        ConnectorCommand::Ls { site } => list(site, context).await,
        ConnectorCommand::Show { connector } => show(&connector, context).await,
        ConnectorCommand::Doctor { connector, again } => doctor(&connector, again, context).await,
        ConnectorCommand::Rm { connector } => {
            let id = find(&connector, context).await?;
            let path = format!("/api/v1/connectors/{id}");
            take_away(context, &path, &format!("Removed connector {connector}")).await
        }
    }
}

async fn list(site: Option<Name>, context: &Context) -> Result<(), Failure> {
    let path = query("/api/v1/connectors", &[("site", site.map(String::from))]);
    let connectors: Vec<ConnectorRow> = context.list(&path).await?;
    let heads = [
        "id",
        "name",
        "site",
        "state",
        "by",
        "address",
        "since",
        "last seen",
        "sessions",
        "version",
    ];
    context.ui.list(&connectors, "There are no connectors.", heads, |connector| {
        let state = match (connector.online, connector.draining) {
            (true, true) => "draining",
            (true, false) => "online",
            (false, _) => "offline",
        };
        [
            connector.id.to_string(),
            connector.name.clone(),
            connector.site.to_string(),
            state.to_owned(),
            by(connector),
            connector.address.clone().unwrap_or_default(),
            connector.since.map(times::utc).unwrap_or_default(),
            connector.seen.map_or_else(|| "never".to_owned(), times::utc),
            connector.sessions.to_string(),
            connector.version.clone().unwrap_or_default(),
        ]
    })
}

/// What carries its connection, and where there are several relays to which of them.
fn by(connector: &ConnectorRow) -> String {
    let transport = connector.transport.clone().unwrap_or_default();
    match relays(connector) {
        Some(relays) => format!("{transport} at {relays}"),
        None => transport,
    }
}

fn relays(connector: &ConnectorRow) -> Option<String> {
    let names: Vec<_> = connector.relays.iter().map(ToString::to_string).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

async fn show(text: &str, context: &Context) -> Result<(), Failure> {
    let id = find(text, context).await?;
    let connector: ConnectorRow = context.get(&format!("/api/v1/connectors/{id}")).await?;
    if context.ui.wants_json() {
        return context.ui.json(&connector);
    }
    context.ui.facts(&connector, &facts(&connector))?;
    let heads = ["application", "address", "state", "takes", "reached", "failed", "why"];
    context.ui.list(&connector.applications, "It has dialled no application yet.", heads, |app| {
        [
            app.application.clone(),
            app.address.clone(),
            if app.reachable { "reachable" } else { "failing" }.to_owned(),
            app.micros.map(times::millis).unwrap_or_default(),
            app.reached.map(times::utc).unwrap_or_default(),
            app.failed.map(times::utc).unwrap_or_default(),
            app.failure.clone().unwrap_or_default(),
        ]
    })
}

async fn doctor(text: &str, again: bool, context: &Context) -> Result<(), Failure> {
    let path = format!("/api/v1/connectors/{}/doctor", find(text, context).await?);
    let told: ConnectorDoctor = match again {
        true => context.post(&path, &()).await?,
        false => context.get(&path).await?,
    };
    if context.ui.wants_json() {
        return context.ui.json(&told);
    }
    if let Some(at) = told.at {
        context.ui.say(format_args!("{} looked at {}", told.name, times::utc(at)));
    }
    let none = "It has not looked since the relay started; --again has it look now.";
    let heads = ["outcome", "check", "found", "what helps", "code"];
    context.ui.list(&told.findings, none, heads, |finding| {
        [
            finding.outcome.clone(),
            finding.check.clone(),
            finding.found.clone(),
            finding.fix.clone().unwrap_or_default(),
            finding.code.clone().unwrap_or_default(),
        ]
    })
}

fn facts(connector: &ConnectorRow) -> Vec<(&'static str, String)> {
    let state = match (connector.online, connector.since, connector.seen) {
        (true, Some(since), _) if connector.draining => {
            format!("draining: takes no more sessions; online since {}", times::utc(since))
        }
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
        ("by", connector.transport.clone()),
        ("relays", relays(connector)),
        ("address", connector.address.clone()),
        ("version", connector.version.clone()),
        ("key", Some(connector.key.clone())),
        ("certificate until", connector.certificate_expires.map(times::utc)),
        ("sessions", Some(connector.sessions.to_string())),
        ("two machines since", connector.cloned.map(times::utc)),
        ("doctor", connector.doctor.clone()),
    ];
    facts.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// The id of the connector of that id or name.
async fn find(text: &str, context: &Context) -> Result<ConnectorId, Failure> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    let connectors: Vec<ConnectorRow> = context.list("/api/v1/connectors").await?;
    let mut named = connectors.iter().filter(|connector| connector.name == text);
    match (named.next(), named.next()) {
        (Some(one), None) => Ok(one.id),
        (Some(_), Some(_)) => {
            Err(Failure::usage(format!("several connectors are called {text:?}"))
                .hint("name one by its id"))
        }
        (None, _) => {
            Err(Failure::coded("connector.not_found", format!("there is no connector {text:?}"))
                .hint("`adit admin connector ls` lists them"))
        }
    }
}
