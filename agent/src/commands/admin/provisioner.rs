//! `adit admin provisioner add|ls|rm`

use access::Name;
use api::{AddProvisioner, AddedProvisioner, ProvisionerRow};
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
    /// Let a directory in no more; the users and groups it has made stay
    Rm { name: Name },
}

pub(super) async fn run(command: ProvisionerCommand, context: &Context) -> Result<(), Failure> {
    match command {
        ProvisionerCommand::Add { name } => add(name, context).await,
        ProvisionerCommand::Ls => list(context).await,
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

const PATH: &str = "/api/v1/provisioners";
