//! `adit admin user add|ls|disable|enable|rm`

use std::path::PathBuf;

use access::Name;
use api::{Removed, UserRow, UserSpec};
use clap::{Args, Subcommand};

use super::{add, secrets, take_away, taken_away};
use crate::context::Context;
use crate::exit::Failure;

#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Add a user
    Add(AddArgs),
    /// List the users
    Ls,
    /// Withdraw all access of a user; their sessions end
    Disable { name: Name },
    /// Give a disabled user their access back
    Enable { name: Name },
    /// Remove a user with their grants and tokens; their sessions end
    Rm { name: Name },
}

#[derive(Debug, Args)]
pub struct AddArgs {
    name: Name,
    /// May administer the relay
    #[arg(long)]
    admin: bool,
    /// A group the user is in; may be repeated
    #[arg(long = "group", value_name = "GROUP")]
    groups: Vec<Name>,
    /// A file of public SSH keys that sign the user in; may be repeated
    #[arg(long = "ssh-key", value_name = "FILE")]
    ssh_keys: Vec<PathBuf>,
}

pub(super) async fn run(command: UserCommand, context: &Context) -> Result<(), Failure> {
    match command {
        UserCommand::Add(args) => add(context, "/api/v1/users", &args.spec()?).await,
        UserCommand::Ls => list(context).await,
        UserCommand::Disable { name } => switch(context, &name, "disable", "Disabled").await,
        UserCommand::Enable { name } => switch(context, &name, "enable", "Enabled").await,
        UserCommand::Rm { name } => {
            let path = format!("/api/v1/users/{name}");
            take_away(context, &path, &format!("Removed user {name}")).await
        }
    }
}

impl AddArgs {
    fn spec(self) -> Result<UserSpec, Failure> {
        let mut keys = Vec::new();
        for file in &self.ssh_keys {
            keys.extend(secrets::public_keys(file)?);
        }
        Ok(UserSpec {
            name: self.name,
            admin: self.admin,
            enabled: true,
            groups: (!self.groups.is_empty()).then_some(self.groups),
            ssh_keys: (!keys.is_empty()).then_some(keys),
        })
    }
}

async fn switch(context: &Context, name: &Name, verb: &str, done: &str) -> Result<(), Failure> {
    let path = format!("/api/v1/users/{name}/{verb}");
    let removed: Removed = context.call(hyper::Method::POST, &path, None::<&()>).await?;
    taken_away(context, &removed, &format!("{done} user {name}"))
}

async fn list(context: &Context) -> Result<(), Failure> {
    let users: Vec<UserRow> = context.get("/api/v1/users").await?;
    let heads = ["name", "state", "admin", "groups", "ssh keys"];
    context.ui.list(&users, "There are no users.", heads, |user| {
        let groups: Vec<_> = user.groups.iter().map(Name::as_str).collect();
        [
            user.name.to_string(),
            if user.enabled { "enabled" } else { "disabled" }.to_owned(),
            if user.admin { "yes" } else { "no" }.to_owned(),
            groups.join(" "),
            user.ssh_keys.len().to_string(),
        ]
    })
}
