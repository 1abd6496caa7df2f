//! `adit admin settings [show|set KEY=VALUE …]`

use api::{Applied, SettingsSpec};
use clap::{Args, Subcommand};

use super::changed;
use crate::context::Context;
use crate::exit::Failure;

#[derive(Debug, Args)]
pub struct SettingsArgs {
    #[command(subcommand)]
    command: Option<SettingsCommand>,
}

#[derive(Debug, Subcommand)]
pub(super) enum SettingsCommand {
    /// Show all settings
    Show,
    /// Change some; the others stay
    Set {
        /// For example tokens.ssh.hours=8, as `show` names them
        #[arg(value_name = "KEY=VALUE", required = true)]
        settings: Vec<String>,
    },
}

pub(super) async fn run(args: SettingsArgs, context: &Context) -> Result<(), Failure> {
    match args.command {
        None | Some(SettingsCommand::Show) => show(context).await,
        Some(SettingsCommand::Set { settings }) => {
            let applied: Applied = context.patch(PATH, &read(&settings)?).await?;
            if applied.changes.is_empty() {
                context.ui.say("Nothing to change.");
            }
            changed(context, &applied)
        }
    }
}

async fn show(context: &Context) -> Result<(), Failure> {
    let settings: SettingsSpec = context.get(PATH).await?;
    let entries = settings.entries();
    let facts: Vec<_> = entries.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
    context.ui.facts(&settings, &facts)
}

/// Every mistake is told.
fn read(settings: &[String]) -> Result<SettingsSpec, Failure> {
    let mut spec = SettingsSpec::default();
    let mut faults = Vec::new();
    for setting in settings {
        let set = match setting.split_once('=') {
            Some((key, value)) => spec.set(key, value).map_err(|error| error.to_string()),
            None => Err(format!("{setting:?} is not KEY=VALUE")),
        };
        faults.extend(set.err());
    }
    let mut faults = faults.into_iter();
    match faults.next() {
        Some(first) => Err(Failure::usage(first).details(faults)),
        None => Ok(spec),
    }
}

const PATH: &str = "/api/v1/settings";
