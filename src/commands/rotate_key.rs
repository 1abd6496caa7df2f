use std::path::{Path, PathBuf};

use store::{MasterKey, Rotation};

use super::{CommandError, read};
use crate::database::{self, KeySource};

/// What is asked of `adit-relay rotate-key`.
#[derive(Clone, Debug, clap::Args)]
pub struct RotateKey {
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// The new key, 32 bytes in base64; else one is made
    #[arg(long, value_name = "FILE")]
    pub new_key_file: Option<PathBuf>,
}

impl RotateKey {
    /// Seals everything with another key, and says what was done.
    ///
    /// The new key's file is on the disk before the database is changed, and takes its name after:
    /// a start after a crash in between finds both, and which one is right.
    pub async fn run(&self) -> Result<String, CommandError> {
        let config = read(&self.config)?;
        // Finishes a change that was cut off.
        database::open(&config).await?.close().await;
        let rotation = Rotation::begin(&database::location(&config)?).await?;
        let said = match KeySource::of(&config) {
            KeySource::File(path) => self.in_the_folder(&rotation, &path).await,
            source @ (KeySource::Environment | KeySource::Credential(_)) => {
                self.elsewhere(&rotation, &source).await
            }
        };
        rotation.end().await;
        said
    }

    async fn in_the_folder(
        &self,
        rotation: &Rotation,
        path: &Path,
    ) -> Result<String, CommandError> {
        let old = database::read_key(path)?;
        let new = match &self.new_key_file {
            Some(file) => database::read_key(file)?,
            None => MasterKey::generate(),
        };
        database::write_next_key(path, &new)?;
        let sealed = rotation.reseal(&old, &new).await?;
        database::put_in_place(path)?;
        Ok(format!(
            "Sealed {sealed} values with the key that is now in {}. Backups from before open only \
             with the old one.",
            path.display()
        ))
    }

    async fn elsewhere(
        &self,
        rotation: &Rotation,
        source: &KeySource,
    ) -> Result<String, CommandError> {
        let file = self.new_key_file.as_ref().ok_or(CommandError::KeyElsewhere)?;
        let sealed = rotation.reseal(&source.read()?, &database::read_key(file)?).await?;
        Ok(format!(
            "Sealed {sealed} values with the key in {}. Put it in the old one's place before the \
             relay starts: the old key opens nothing here any more.",
            file.display()
        ))
    }
}
