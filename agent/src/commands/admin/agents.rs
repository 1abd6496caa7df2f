//! `adit admin agents ls|rm`

use access::Name;
use api::{AgentRow, LastSeen};
use clap::Subcommand;

use super::take_away;
use crate::context::{Context, query, segment};
use crate::exit::Failure;
use crate::times;

#[derive(Debug, Subcommand)]
pub enum AgentsCommand {
    /// List the agents that are enrolled, connected or not
    Ls {
        /// Only of this user
        #[arg(long)]
        user: Option<Name>,
    },
    /// End an agent's enrolment; its sessions end with it
    Rm {
        /// Its id, as `ls` shows it
        id: String,
    },
}

pub(super) async fn run(command: AgentsCommand, context: &Context) -> Result<(), Failure> {
    match command {
        AgentsCommand::Ls { user } => list(user, context).await,
        AgentsCommand::Rm { id } => {
            let path = format!("/api/v1/agents/{}", segment(&id));
            take_away(context, &path, &format!("Removed agent {id}")).await
        }
    }
}

fn seen_at(seen: &LastSeen) -> String {
    match seen.from {
        Some(from) => format!("{} from {from}", times::utc(seen.at)),
        None => times::utc(seen.at),
    }
}

async fn list(user: Option<Name>, context: &Context) -> Result<(), Failure> {
    let path = query("/api/v1/agents", &[("user", user.map(String::from))]);
    let agents: Vec<AgentRow> = context.list(&path).await?;
    let heads = ["id", "user", "device", "state", "enrolled", "expires", "last seen", "token"];
    context.ui.list(&agents, "There are no agents.", heads, |agent| {
        let state = if agent.online { "online" } else { "offline" };
        [
            agent.id.to_string(),
            agent.user.to_string(),
            agent.device.clone(),
            state.to_owned(),
            times::utc(agent.created),
            times::utc(agent.expires),
            agent.seen.as_ref().map_or_else(|| "never".to_owned(), seen_at),
            agent.token.as_ref().map(ToString::to_string).unwrap_or_default(),
        ]
    })
}
