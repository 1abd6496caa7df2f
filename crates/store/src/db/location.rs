//! Where the database is.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::fmt::{self, Display};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use sqlx::ConnectOptions;
use sqlx::any::AnyConnectOptions;
use sqlx::postgres::PgConnectOptions;

use crate::StoreError;
use crate::error::SSL_MODES;

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

impl Location {
    /// The path of a database in a file.
    pub fn file(&self) -> Option<&Path> {
        match &self.0 {
            Place::File(path) => Some(path),
            Place::Server(_) => None,
        }
    }

    /// Whether what goes there may cross a network unencrypted, or to whoever answers.
    pub fn is_exposed(&self) -> bool {
        let Place::Server(options) = &self.0 else { return false };
        let url = &options.database_url;
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let here = host.is_empty() || host.starts_with('%') || host == "localhost";
        let here = here || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
        let verified =
            |(key, value): (Cow<'_, str>, Cow<'_, str>)| key == "sslmode" && value == "verify-full";
        !here && !url.query_pairs().any(verified)
    }

    /// How the driver reaches it.
    pub(crate) fn options(&self) -> Result<AnyConnectOptions, StoreError> {
        match &self.0 {
            Place::File(path) => file_url(path),
            Place::Server(options) => Ok(options.as_ref().clone()),
        }
    }

    /// The path, or the URL without its password.
    pub fn without_password(&self) -> String {
        match &self.0 {
            Place::File(path) => path.display().to_string(),
            Place::Server(options) => {
                let mut url = options.database_url.clone();
                // A URL with a password has a place for one.
                let _ = url.set_password(None);
                url.into()
            }
        }
    }

    /// Whether signing in takes a password that stands in the URL.
    pub fn has_password(&self) -> bool {
        let Place::Server(options) = &self.0 else { return false };
        options.database_url.password().is_some()
    }

    /// The same, signing in with `password` in place of one in the URL.
    pub fn with_password(mut self, password: &str) -> Result<Self, StoreError> {
        let Place::Server(options) = &mut self.0 else { return Err(StoreError::Location) };
        // What reads the URL decodes this; what sets a password leaves percent signs as they are.
        let password = zeroize::Zeroizing::new(password.replace('%', "%25"));
        options.database_url.set_password(Some(&password)).map_err(|()| StoreError::Location)?;
        Ok(self)
    }
}

impl PartialEq for Location {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Place::File(one), Place::File(other)) => one == other,
            (Place::Server(one), Place::Server(other)) => one.database_url == other.database_url,
            (Place::File(_), Place::Server(_)) | (Place::Server(_), Place::File(_)) => false,
        }
    }
}

impl Eq for Location {}

impl From<&Path> for Location {
    fn from(path: &Path) -> Self {
        Self(Place::File(path.to_owned()))
    }
}

impl From<PathBuf> for Location {
    fn from(path: PathBuf) -> Self {
        Self(Place::File(path))
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
        // The driver reads the rest when it connects, which is too late to tell whoever wrote it.
        let known = |mode: &str| SSL_MODES.iter().any(|known| mode.eq_ignore_ascii_case(known));
        let mut pairs = options.database_url.query_pairs();
        if pairs.any(|(key, mode)| ["sslmode", "ssl-mode"].contains(&&*key) && !known(&mode)) {
            return Err(StoreError::SslMode);
        }
        PgConnectOptions::from_str(text).map_err(|_| StoreError::Location)?;
        // It would be printed with the rest, and there is a place for it.
        if options.database_url.query_pairs().any(|(key, _)| key == "password") {
            return Err(StoreError::Location);
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_part_of_the_url_and_of_nothing_that_prints() {
        let at: Location = "postgres://adit@db.example.com/adit".parse().unwrap();
        let at = at.with_password("100%41 p@ss/w?rd").unwrap();
        assert_eq!(format!("{at:?} {at}").matches("ss").count(), 0, "{at:?}");
        assert_eq!(at.to_string(), "postgres://db.example.com/adit");
        let Place::Server(options) = at.0 else { panic!("no server") };
        let url = options.database_url.as_str();
        assert!(url.contains("100%2541%20p%40ss%2Fw%3Frd"), "{url}");
    }

    #[test]
    fn only_a_verified_server_or_one_on_this_machine_is_not_exposed() {
        let exposed = |text: &str| text.parse::<Location>().unwrap().is_exposed();
        assert!(exposed("postgres://adit@db.example.com/adit"));
        assert!(exposed("postgres://adit@db.example.com/adit?sslmode=require"));
        for kept in [
            "postgres://adit@db.example.com/adit?sslmode=verify-full",
            "postgres://adit@127.0.0.1/adit",
            "postgres://adit@[::1]:5433/adit",
            "postgres://%2Frun%2Fpostgresql/adit",
            "postgres:///adit?host=/run/postgresql",
            "adit.db",
        ] {
            assert!(!exposed(kept), "{kept}");
        }
    }

    #[test]
    fn a_wrong_sslmode_is_told_by_its_name_with_those_that_there_are() {
        let at = |mode: &str| {
            format!("postgres://adit:hunter2@db.example.com/adit?{mode}").parse::<Location>()
        };
        for wrong in ["sslmode=verify_full", "sslmode=on", "sslmode=", "a=b&ssl-mode=none"] {
            let error = at(wrong).unwrap_err();
            assert_eq!(error.advice().map(|(code, _)| code.0), Some("store.url"), "{wrong}");
            let told = error.to_string();
            assert!(told.contains("sslmode") && told.contains("verify-full"), "{wrong}: {told}");
            assert!(!told.contains("hunter2"), "{told}");
        }
        for good in SSL_MODES.map(|mode| format!("sslmode={mode}")) {
            assert!(at(&good).is_ok(), "{good}");
        }
        assert!(at("sslmode=Verify-Full").is_ok());
    }

    #[test]
    fn what_is_no_url_is_a_path_and_a_bad_url_is_not_quoted() {
        let path: Location = "data/adit.db".parse().unwrap();
        assert_eq!(path.file(), Some(Path::new("data/adit.db")));
        let bad = "postgres://adit:hunter2@[::/".parse::<Location>().unwrap_err();
        assert!(!format!("{bad:?} {bad}").contains("hunter2"));
    }
}
