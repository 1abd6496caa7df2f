//! Where the database is and how the relay signs in there.

use std::io;
use std::path::{Path, PathBuf};

use access::Code;
use store::{Location, StoreError};
use zeroize::Zeroizing;

use super::document::Section;
use crate::init::DATABASE;

/// The database as the file says it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Database {
    /// Absent: a file in the data folder.
    pub at: Option<Location>,
    pub password_file: Option<PathBuf>,
}

/// Why it is not known where the database is.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    #[error("could not read the database's password from {}", path.display())]
    Password { path: PathBuf, source: io::Error },
    #[error("ADIT_DATABASE_URL is not usable")]
    Variable { source: StoreError },
    #[error("the password does not fit the database")]
    Misfit { source: StoreError },
}

impl DatabaseError {
    /// The code of what went wrong, and what to do.
    pub fn advice(&self) -> Option<(Code, &'static str)> {
        match self {
            Self::Variable { source } | Self::Misfit { source } => source.advice(),
            Self::Password { .. } => None,
        }
    }
}

impl Database {
    /// Where it is: what the environment says, else the file, else a file in `data`.
    pub fn location(&self, data: &Path) -> Result<Location, DatabaseError> {
        let named = match std::env::var(VARIABLE) {
            Ok(text) => {
                let url = Zeroizing::new(text).trim().parse();
                Some(url.map_err(|source| DatabaseError::Variable { source })?)
            }
            Err(_) => self.at.clone(),
        };
        let at = named.unwrap_or_else(|| (&data.join(DATABASE)).into());
        let Some(path) = &self.password_file else { return Ok(at) };
        let text = std::fs::read_to_string(path)
            .map_err(|source| DatabaseError::Password { path: path.clone(), source })?;
        let text = Zeroizing::new(text);
        let password = text.trim_end_matches(['\r', '\n']);
        at.with_password(password).map_err(|source| DatabaseError::Misfit { source })
    }
}

pub(super) fn database(root: &mut Section<'_>, folder: &Path) -> Option<Database> {
    let at = root.secret_or("database", |text| location(text, folder));
    let file = |text: &str| (!text.is_empty()).then(|| folder.join(text));
    let password = root.text("database_password_file", "the path of a file", file);
    Some(Database { at: at?, password_file: password? })
}

/// Or what was expected.
fn location(text: &str, folder: &Path) -> Result<Location, String> {
    let expected = || format!("expected {EXPECTED}");
    let at: Location = text.parse().map_err(|error| match error {
        // What it says holds nothing of the URL.
        StoreError::SslMode => StoreError::SslMode.to_string(),
        _ => expected(),
    })?;
    match at.file() {
        Some(path) if path.as_os_str().is_empty() => Err(expected()),
        // Most likely the URL of something else.
        Some(path) if path.to_string_lossy().contains("://") => Err(expected()),
        Some(path) => Ok((&folder.join(path)).into()),
        None => Ok(at),
    }
}

/// Names the database's URL, so that its password need not stand in a file.
pub(crate) const VARIABLE: &str = "ADIT_DATABASE_URL";

const EXPECTED: &str = "postgres://user@host:5432/name?sslmode=verify-full, or the path of a file";
