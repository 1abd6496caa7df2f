//! `adit admin user add|ls|disable|enable|rm|key`

use std::path::PathBuf;

use access::Name;
use api::{AddSshKey, KeySpec, LastSeen, Removed, Span, SshKeyRow, UserRow, UserSpec};
use clap::{Args, Subcommand};

use super::{add, query, secrets, take_away, taken_away};
use crate::commands::key;
use crate::context::{Context, segment};
use crate::exit::Failure;
use crate::times;

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
    /// SSH keys of users
    #[command(subcommand)]
    Key(KeyCommand),
}

#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// List the SSH keys of a user, or of all
    Ls {
        #[arg(long)]
        user: Option<Name>,
    },
    /// Register a public SSH key that signs a user in, or one of theirs with a new end
    Add(AddKeyArgs),
    /// Remove an SSH key; sessions that stand on it end at once
    Rm {
        /// The key's fingerprint, `SHA256:…`
        fingerprint: String,
    },
}

#[derive(Debug, Args)]
pub struct AddKeyArgs {
    user: Name,
    /// The public key, a file that ends in .pub; `-` is stdin
    file: PathBuf,
    /// What lists call it [default: its comment]
    #[arg(long)]
    name: Option<String>,
    /// How long it is good, for example 30d
    #[arg(long, value_name = "TIME")]
    expires: Option<Span>,
    /// It does not expire; for machine users
    #[arg(long, conflicts_with = "expires")]
    never: bool,
}

#[derive(Debug, Args)]
pub struct AddArgs {
    name: Name,
    /// May administer the relay
    #[arg(long)]
    admin: bool,
    /// It is a program: it signs in by token or SSH key and does not log in
    #[arg(long)]
    machine: bool,
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
        UserCommand::Key(command) => run_key(command, context).await,
    }
}

impl AddArgs {
    fn spec(self) -> Result<UserSpec, Failure> {
        let mut keys = Vec::new();
        for file in &self.ssh_keys {
            keys.extend(secrets::public_keys(file)?.into_iter().map(KeySpec::from));
        }
        Ok(UserSpec {
            name: self.name,
            admin: self.admin,
            enabled: true,
            machine: self.machine,
            groups: (!self.groups.is_empty()).then_some(self.groups),
            ssh_keys: (!keys.is_empty()).then_some(keys),
        })
    }
}

async fn run_key(command: KeyCommand, context: &Context) -> Result<(), Failure> {
    match command {
        KeyCommand::Ls { user } => {
            let path = query("/api/v1/ssh-keys", &[("user", user.map(String::from))]);
            let keys: Vec<SshKeyRow> = context.get(&path).await?;
            key::list(context, &keys, "There are no SSH keys.")
        }
        KeyCommand::Add(args) => {
            let AddKeyArgs { user, file, name, expires, never } = args;
            let key = secrets::public_key(&file)?;
            let wanted = AddSshKey { user, key, name, expires, never };
            let row: SshKeyRow = context.post("/api/v1/ssh-keys", &wanted).await?;
            key::added(context, &row)
        }
        KeyCommand::Rm { fingerprint } => {
            let path = format!("/api/v1/ssh-keys/{}", segment(&fingerprint));
            take_away(context, &path, &format!("Removed SSH key {fingerprint}")).await
        }
    }
}

async fn switch(context: &Context, name: &Name, verb: &str, done: &str) -> Result<(), Failure> {
    let path = format!("/api/v1/users/{name}/{verb}");
    let removed: Removed = context.call(hyper::Method::POST, &path, None::<&()>).await?;
    taken_away(context, &removed, &format!("{done} user {name}"))
}

/// `2026-11-26 23:20 UTC by ssh from 192.0.2.7`.
fn seen(seen: &LastSeen) -> String {
    let door = seen.door.as_ref().map(|door| format!(" by {door}")).unwrap_or_default();
    let from = seen.from.map(|from| format!(" from {from}")).unwrap_or_default();
    format!("{}{door}{from}", times::utc(seen.at))
}

async fn list(context: &Context) -> Result<(), Failure> {
    let users: Vec<UserRow> = context.get("/api/v1/users").await?;
    let heads = ["name", "kind", "state", "admin", "groups", "ssh keys", "last seen"];
    context.ui.list(&users, "There are no users.", heads, |user| {
        let groups: Vec<_> = user.groups.iter().map(Name::as_str).collect();
        [
            user.name.to_string(),
            if user.machine { "machine" } else { "human" }.to_owned(),
            if user.enabled { "enabled" } else { "disabled" }.to_owned(),
            if user.admin { "yes" } else { "no" }.to_owned(),
            groups.join(" "),
            user.ssh_keys.len().to_string(),
            user.seen.as_ref().map_or_else(|| "never".to_owned(), seen),
        ]
    })
}
