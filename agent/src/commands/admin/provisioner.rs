//! `adit admin provisioner add|ls|rm|ldap`

use access::Name;
use api::{AddProvisioner, AddedProvisioner, DirectoryRow, ProvisionerRow};
use clap::Subcommand;

use super::take_away;
use crate::context::Context;
use crate::exit::Failure;
use crate::times;

#[derive(Debug, Subcommand)]
pub enum ProvisionerCommand {
    /// Let a directory keep users and groups here (SCIM), and print its secret
    Add { name: Name },
    /// List the directories that keep users and groups here
    Ls,
    /// Show the directories that know people's passwords (LDAP), and how they were last looked through
    Ldap,
    /// Let a directory in no more; the users and groups it has made stay
    Rm { name: Name },
}

pub(super) async fn run(command: ProvisionerCommand, context: &Context) -> Result<(), Failure> {
    match command {
        ProvisionerCommand::Add { name } => add(name, context).await,
        ProvisionerCommand::Ls => list(context).await,
        ProvisionerCommand::Ldap => directories(context).await,
        ProvisionerCommand::Rm { name } => {
            let path = format!("{PATH}/{name}");
            take_away(context, &path, &format!("Removed provisioner {name}")).await
        }
    }
}

/// The secret alone on stdout.
async fn add(name: Name, context: &Context) -> Result<(), Failure> {
    let added: AddedProvisioner = context.post(PATH, &AddProvisioner { name }).await?;
    if context.ui.wants_json() {
        return context.ui.json(&added);
    }
    context.ui.data(added.secret.expose())?;
    context.ui.say(format_args!("The directory shows it as Bearer at {}.", added.url));
    Ok(())
}

async fn list(context: &Context) -> Result<(), Failure> {
    let rows: Vec<ProvisionerRow> = context.list(PATH).await?;
    context.ui.list(&rows, "There are no provisioners.", ["name", "since"], |row| {
        [row.name.to_string(), times::utc(row.created)]
    })
}

async fn directories(context: &Context) -> Result<(), Failure> {
    let rows: Vec<DirectoryRow> = context.get("/api/v1/directories").await?;
    let none = "No directory is asked for passwords: see [[ldap]] in relay.toml.";
    context.ui.list(&rows, none, ["name", "url", "users", "looked", "failed", "error"], |row| {
        let at = |ms: Option<u64>| ms.map(|ms| times::to_the_second(ms / 1000));
        [
            row.name.to_string(),
            row.url.clone(),
            row.users.to_string(),
            at(row.synced_ms).unwrap_or_default(),
            at(row.failed_ms).unwrap_or_default(),
            row.error.clone().unwrap_or_default(),
        ]
    })
}

const PATH: &str = "/api/v1/provisioners";
