//! `adit admin site add|ls|show|rm|join-token`

use access::Name;
use api::{Issued, JoinToken, SiteRow, SiteSpec, Span};
use clap::Subcommand;

use super::{add, take_away};
use crate::commands::issued;
use crate::context::{Context, segment};
use crate::exit::Failure;

#[derive(Debug, Subcommand)]
pub enum SiteCommand {
    /// Add a site
    Add { name: Name },
    /// List the sites
    Ls,
    /// Show a site
    Show { name: Name },
    /// Remove a site with its applications and connectors
    Rm { name: Name },
    /// Issue a token that enrols one connector of a site; it is printed once, on stdout
    JoinToken {
        site: Name,
        /// How long it is good [default: 24h]
        #[arg(long, value_name = "TIME")]
        expires: Option<Span>,
    },
}

pub(super) async fn run(command: SiteCommand, context: &Context) -> Result<(), Failure> {
    match command {
        SiteCommand::Add { name } => add(context, "/api/v1/sites", &SiteSpec { name }).await,
        SiteCommand::Ls => list(&context.list("/api/v1/sites").await?, context),
        SiteCommand::Show { name } => {
            let site: SiteRow = context.get(&format!("/api/v1/sites/{name}")).await?;
            list(&[site], context)
        }
        SiteCommand::Rm { name } => {
            let path = format!("/api/v1/sites/{name}");
            take_away(context, &path, &format!("Removed site {name}")).await
        }
        SiteCommand::JoinToken { site, expires } => {
            let path = format!("/api/v1/sites/{}/join-tokens", segment(site.as_str()));
            let issued: Issued = context.post(&path, &JoinToken { expires }).await?;
            issued::show(&issued, &context.ui)
        }
    }
}

fn list(sites: &[SiteRow], context: &Context) -> Result<(), Failure> {
    let heads = ["name", "connectors", "online", "applications"];
    context.ui.list(sites, "There are no sites.", heads, |site| {
        [
            site.name.to_string(),
            site.connectors.to_string(),
            site.online.to_string(),
            site.applications.to_string(),
        ]
    })
}
