use std::path::PathBuf;

use super::{CommandError, read, told};
use crate::database;

/// What is asked of `adit-relay backup`.
#[derive(Clone, Debug, clap::Args)]
pub struct Backup {
    /// Where to write it; a backup of that name is replaced when the new one is whole
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
}

impl Backup {
    /// Writes the backup, and says what is in it.
    pub async fn run(&self) -> Result<String, CommandError> {
        let at = database::location(&read(&self.config)?)?;
        let counts = store::backup(&at, &self.file).await?;
        Ok(format!(
            "{} holds {}.\nThe master key is not in it: keep a copy of that elsewhere.",
            self.file.display(),
            told(&counts)
        ))
    }
}
