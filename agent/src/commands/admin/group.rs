//! `adit admin group add|ls|rm`

use access::Name;
use api::{GroupRow, GroupSpec};
use clap::Subcommand;

use super::{add, take_away};
use crate::context::Context;
use crate::exit::Failure;

#[derive(Debug, Subcommand)]
pub enum GroupCommand {
    /// Add a group
    Add {
        name: Name,
        /// A user who is in it; may be repeated
        #[arg(long = "member", value_name = "USER")]
        members: Vec<Name>,
    },
    /// List the groups
    Ls,
    /// Remove a group with its grants; sessions that stood on them end
    Rm { name: Name },
}

pub(super) async fn run(command: GroupCommand, context: &Context) -> Result<(), Failure> {
    match command {
        GroupCommand::Add { name, members } => {
            let members = (!members.is_empty()).then_some(members);
            add(context, "/api/v1/groups", &GroupSpec { name, members }).await
        }
        GroupCommand::Ls => list(context).await,
        GroupCommand::Rm { name } => {
            let path = format!("/api/v1/groups/{name}");
            take_away(context, &path, &format!("Removed group {name}")).await
        }
    }
}

async fn list(context: &Context) -> Result<(), Failure> {
    let groups: Vec<GroupRow> = context.get("/api/v1/groups").await?;
    context.ui.list(&groups, "There are no groups.", ["name", "members"], |group| {
        let members: Vec<_> = group.members.iter().map(Name::as_str).collect();
        [group.name.to_string(), members.join(" ")]
    })
}
