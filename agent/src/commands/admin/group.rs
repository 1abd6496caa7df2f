//! `adit admin group add|ls|show|set|rm`

use access::Name;
use api::{Document, GroupRow, GroupSpec};
use clap::{Args, Subcommand};

use super::edit::{edit, replace, show};
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
    /// Show a group as a file for `apply` has it
    Show { name: Name },
    /// Change who is in a group, only if nobody else does meanwhile
    Set(SetArgs),
    /// Remove a group with its grants; sessions that stood on them end
    Rm { name: Name },
}

#[derive(Debug, Args)]
pub struct SetArgs {
    name: Name,
    /// A user who joins; may be repeated
    #[arg(long, value_name = "USER")]
    add: Vec<Name>,
    /// A user who leaves; may be repeated
    #[arg(long, value_name = "USER")]
    remove: Vec<Name>,
    /// All who are in it; may be repeated
    #[arg(long = "member", value_name = "USER", conflicts_with_all = ["add", "remove"])]
    members: Vec<Name>,
}

impl SetArgs {
    fn change(self, group: &mut GroupSpec) -> Result<(), Failure> {
        replace(&mut group.members, self.members, false);
        let members = group.members.get_or_insert_default();
        members.retain(|member| !self.remove.contains(member));
        let new = self.add.into_iter().filter(|user| !members.contains(user));
        let new: Vec<_> = new.collect();
        members.extend(new);
        Ok(())
    }
}

fn path(name: &Name) -> String {
    format!("/api/v1/groups/{name}")
}

pub(super) async fn run(command: GroupCommand, context: &Context) -> Result<(), Failure> {
    match command {
        GroupCommand::Add { name, members } => {
            let members = (!members.is_empty()).then_some(members);
            add(context, "/api/v1/groups", &GroupSpec { name, members }).await
        }
        GroupCommand::Ls => list(context).await,
        GroupCommand::Show { name } => {
            let document = |group| Document { groups: vec![group], ..Document::default() };
            show(context, &path(&name), document).await
        }
        GroupCommand::Set(args) => {
            edit(context, &path(&args.name), |group| args.change(group)).await
        }
        GroupCommand::Rm { name } => {
            take_away(context, &path(&name), &format!("Removed group {name}")).await
        }
    }
}

async fn list(context: &Context) -> Result<(), Failure> {
    let groups: Vec<GroupRow> = context.list("/api/v1/groups").await?;
    context.ui.list(&groups, "There are no groups.", ["name", "members"], |group| {
        let members: Vec<_> = group.members.iter().map(Name::as_str).collect();
        [group.name.to_string(), members.join(" ")]
    })
}
