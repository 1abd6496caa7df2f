use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use store::{Engine, Location};
use toml_edit::{DocumentMut, value};
use zeroize::Zeroizing;

use super::{CommandError, read, told};
use crate::database::{self, KeySource};

/// What is asked of `adit-relay migrate`.
#[derive(Clone, Debug, clap::Args)]
pub struct Migrate {
    /// An empty PostgreSQL database: postgres://user@host:5432/name?sslmode=verify-full
    #[arg(long, value_name = "URL")]
    pub to: String,
    /// A file with the password, so that it stands in no command line
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Change the configuration file too
    #[arg(long)]
    pub write: bool,
}

impl Migrate {
    /// Carries everything over, and says what and what to change.
    pub async fn run(&self) -> Result<String, CommandError> {
        let config = read(&self.config)?;
        let (from, to) = (database::location(&config)?, self.target()?);
        if self.write {
            // Before anything is moved: a file that can not be changed stops it here.
            self.edited(&to)?;
        }
        let key = KeySource::of(&config).read()?;
        let counts = store::migrate_to(&from, &to, key).await?;
        let done = format!("{to} holds {}.", told(&counts));
        if !self.write {
            return Ok(format!("{done}\n{}", self.advice(&to)));
        }
        write(&self.config, &self.edited(&to)?)?;
        let file = self.config.display();
        Ok(format!("{done}\n{file} names it now. {from} is as it was; remove it in time."))
    }

    fn target(&self) -> Result<Location, CommandError> {
        let to: Location = self.to.parse().map_err(CommandError::Url)?;
        if to.engine() != Engine::Postgres {
            return Err(CommandError::Target(to.to_string()));
        }
        let Some(file) = &self.password_file else { return Ok(to) };
        let text = fs::read_to_string(file)
            .map_err(|source| CommandError::Read { path: file.clone(), source })?;
        let password = Zeroizing::new(text);
        let with = to.with_password(password.trim_end_matches(['\r', '\n']));
        Ok(with.map_err(store::TransferError::from)?)
    }

    fn advice(&self, to: &Location) -> String {
        let mut lines = format!(
            "Put this in {} before the relay starts:\n\ndatabase = {}\n",
            self.config.display(),
            toml_edit::Value::from(to.without_password())
        );
        match &self.password_file {
            Some(file) => {
                let path = absolute(file).display().to_string();
                let line = format!("database_password_file = {}\n", toml_edit::Value::from(path));
                lines.push_str(&line);
            }
            None if to.has_password() => lines.push_str(
                "\nIts password goes into a file (database_password_file = \"…\") or, as the whole \
                 URL, into ADIT_DATABASE_URL.\n",
            ),
            None => {}
        }
        lines
    }

    /// The configuration with the new database, its comments as they were.
    fn edited(&self, to: &Location) -> Result<String, CommandError> {
        let edit = |detail: String| CommandError::Edit { path: self.config.clone(), detail };
        if to.has_password() && self.password_file.is_none() {
            return Err(edit("the password is not written there; give --password-file".into()));
        }
        let text = fs::read_to_string(&self.config)
            .map_err(|source| CommandError::Read { path: self.config.clone(), source })?;
        let mut document: DocumentMut =
            text.parse().map_err(|error: toml_edit::TomlError| edit(error.to_string()))?;
        document["database"] = value(to.without_password());
        if let Some(file) = &self.password_file {
            document["database_password_file"] = value(absolute(file).display().to_string());
        }
        Ok(document.to_string())
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Replaces the file when the new one is whole.
fn write(path: &Path, text: &str) -> Result<(), CommandError> {
    let partial = path.with_extension("toml.partial");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let written = options
        .open(&partial)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| fs::set_permissions(&partial, fs::metadata(path)?.permissions()))
        .and_then(|()| fs::rename(&partial, path));
    written.map_err(|source| CommandError::Write { path: path.to_owned(), source })?;
    Ok(database::sync_folder(path)?)
}
