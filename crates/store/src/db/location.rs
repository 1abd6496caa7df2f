//! Where the database is.

use std::fmt::Write as _;
use std::fmt::{self, Display};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use sqlx::ConnectOptions;
use sqlx::any::AnyConnectOptions;

use crate::StoreError;

/// A file for SQLite, or a `postgres://` URL. It prints without the URL's password.
#[derive(Clone)]
pub struct Location(pub(super) Place);

#[derive(Clone)]
pub(super) enum Place {
    File(PathBuf),
    Server(Box<AnyConnectOptions>),
}

/// Which database program keeps the rows. The statements are the same for both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    Sqlite,
    Postgres,
}

impl Location {
    pub fn engine(&self) -> Engine {
        match self.0 {
            Place::File(_) => Engine::Sqlite,
            Place::Server(_) => Engine::Postgres,
        }
    }
}

impl From<&Path> for Location {
    fn from(path: &Path) -> Self {
        Self(Place::File(path.to_owned()))
    }
}

impl From<&PathBuf> for Location {
    fn from(path: &PathBuf) -> Self {
        path.as_path().into()
    }
}

impl FromStr for Location {
    type Err = StoreError;

    /// Reads a `postgres://` or `postgresql://` URL; everything else is a path.
    fn from_str(text: &str) -> Result<Self, StoreError> {
        let server = text.starts_with("postgres://") || text.starts_with("postgresql://");
        if !server {
            return Ok(Path::new(text).into());
        }
        // The parser's own error may quote what it read, and with it the password.
        let options = text.parse::<AnyConnectOptions>().map_err(|_| StoreError::Location)?;
        Ok(Self(Place::Server(Box::new(options.disable_statement_logging()))))
    }
}

impl Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::File(path) => path.display().fmt(f),
            Place::Server(options) => {
                let url = &options.database_url;
                let host = url.host_str().unwrap_or_default();
                write!(f, "postgres://{host}")?;
                if let Some(port) = url.port() {
                    write!(f, ":{port}")?;
                }
                f.write_str(url.path())
            }
        }
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Location({self})")
    }
}

/// The URL by which the driver opens `path`.
pub(super) fn file_url(path: &Path) -> Result<AnyConnectOptions, StoreError> {
    let path = std::path::absolute(path).map_err(|source| StoreError::File { source })?;
    let mut url = "sqlite://".to_owned();
    for &byte in path.as_os_str().as_encoded_bytes() {
        if byte.is_ascii_alphanumeric() || b"/._-".contains(&byte) {
            url.push(byte.into());
        } else {
            // Writing to a String does not fail.
            let _ = write!(url, "%{byte:02x}");
        }
    }
    let options = url.parse::<AnyConnectOptions>().map_err(|_| StoreError::Location)?;
    Ok(options.disable_statement_logging())
}
