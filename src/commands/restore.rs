use std::path::PathBuf;

use store::Restore;

use super::{CommandError, read, told};
use crate::database::{self, KeySource};

/// What is asked of `adit-relay restore`.
#[derive(Clone, Debug, clap::Args)]
pub struct RestoreArgs {
    /// What `adit-relay backup` wrote, on whichever engine
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Take the place of what the database holds
    #[arg(long)]
    pub force: bool,
}

impl RestoreArgs {
    /// Makes the database what the backup holds, and says what that is.
    pub async fn run(&self) -> Result<String, CommandError> {
        let config = read(&self.config)?;
        let to = database::location(&config)?;
        let key = KeySource::of(&config).read()?;
        let what = Restore { backup: &self.file, to: &to, folder: &config.data, force: self.force };
        let counts = store::restore(what, key).await?;
        Ok(format!("{to} holds what {} held: {}.", self.file.display(), told(&counts)))
    }
}
