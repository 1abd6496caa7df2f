//! The way to the store: where its database is, and the key that opens it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use access::Code;
use store::{Location, MasterKey, MasterKeyError, Store, StoreError};
use tunnel::identity::is_open_to_others;
use zeroize::Zeroizing;

use crate::config::{Config, DatabaseError};
use crate::init::{MASTER_KEY, MASTER_KEY_VARIABLE};

/// Why the store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "no master key: {} is missing, ADIT_MASTER_KEY is not set, and there is no systemd \
         credential master-key", .0.display()
    )]
    NoMasterKey(PathBuf),
    #[error("the master key is not usable")]
    MasterKey(#[from] MasterKeyError),
    #[error("could not read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("could not write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("the database is not known")]
    Database(#[from] DatabaseError),
    #[error(
        "the database {} is missing, and {} is there: it is of a relay that had one",
        path.display(), found.display()
    )]
    Missing { path: PathBuf, found: PathBuf },
    #[error("the store could not be opened")]
    Store(#[from] StoreError),
}

impl OpenError {
    /// The code of what went wrong, and what to do.
    pub fn advice(&self) -> Option<(Code, &'static str)> {
        match self {
            Self::Store(error) => error.advice(),
            Self::Database(error) => error.advice(),
            Self::Missing { .. } => Some((
                Code("store.missing"),
                "put the database file back where it was, or `adit-relay restore` a backup of it; for a \
                 new relay run `adit-relay init` on a folder that is empty",
            )),
            Self::NoMasterKey(_) | Self::MasterKey(_) | Self::Read { .. } | Self::Write { .. } => {
                None
            }
        }
    }
}

/// Where the master key comes from, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// `ADIT_MASTER_KEY`.
    Environment,
    /// `LoadCredential=master-key:…` of a systemd unit.
    Credential(PathBuf),
    /// `master.key` in the data folder.
    File(PathBuf),
}

impl KeySource {
    pub fn of(config: &Config) -> Self {
        if std::env::var_os(MASTER_KEY_VARIABLE).is_some() {
            return Self::Environment;
        }
        let folder = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
        match folder.map(|folder| folder.join(CREDENTIAL)).filter(|path| path.exists()) {
            Some(path) => Self::Credential(path),
            None => Self::File(config.data.join(MASTER_KEY)),
        }
    }

    pub fn read(&self) -> Result<MasterKey, OpenError> {
        match self {
            Self::Environment => {
                let text = std::env::var(MASTER_KEY_VARIABLE).map_err(|_| MasterKeyError)?;
                Ok(MasterKey::from_base64(&Zeroizing::new(text))?)
            }
            Self::Credential(path) | Self::File(path) => read_key(path),
        }
    }
}

/// Where the database of this configuration is.
pub fn location(config: &Config) -> Result<Location, OpenError> {
    Ok(config.database.location(&config.data)?)
}

/// Opens the store, and finishes a change of the master key that was cut off.
pub async fn open(config: &Config) -> Result<Store, OpenError> {
    let at = location(config)?;
    if at.is_exposed() {
        tracing::warn!(database = %at, "Set sslmode=verify-full: others may read what goes there");
    }
    is_there(&at, &config.data)?;
    let source = KeySource::of(config);
    if let KeySource::File(path) = &source
        && is_open_to_others(path)
    {
        let run = format!("chmod 600 {}", path.display());
        tracing::warn!(file = %path.display(), run, "Others than its owner may read the master key");
    }
    let open = |key| Store::open_for(at.clone(), key, config.limits.max_sessions);
    let KeySource::File(path) = &source else { return Ok(open(source.read()?).await?) };
    let next = next_key(path);
    match open(read_key(path)?).await {
        // The database was sealed anew, and the file not yet put in place.
        Err(StoreError::WrongKey) if next.exists() => {
            let store = open(read_key(&next)?).await?;
            put_in_place(path)?;
            tracing::warn!("Finished the change of the master key");
            Ok(store)
        }
        opened => Ok(opened?),
    }
}

/// Refuses to begin an empty database where one has been: beside what else a relay keeps, none is
/// missed but one that is lost, unmounted or named wrongly.
fn is_there(at: &Location, data: &Path) -> Result<(), OpenError> {
    let Some(path) = at.file() else { return Ok(()) };
    if fs::metadata(path).is_ok_and(|file| file.len() > 0) {
        return Ok(());
    }
    let beside = ["-wal", "-shm"].map(|end| {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        PathBuf::from(name)
    });
    let inside = [MASTER_KEY, RECORDINGS].map(|name| data.join(name));
    let found = inside.into_iter().chain(beside).find(|other| other.exists());
    found.map_or(Ok(()), |found| Err(OpenError::Missing { path: path.to_owned(), found }))
}

/// Writes the key that is to follow the one at `path`, beside it.
pub(crate) fn write_next_key(path: &Path, key: &MasterKey) -> Result<(), OpenError> {
    let next = next_key(path);
    let failed = |source| OpenError::Write { path: next.clone(), source };
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(&next).map_err(failed)?;
    file.write_all(key.to_base64().as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    sync_folder(path)
}

/// Makes the next key the one in force.
pub(crate) fn put_in_place(path: &Path) -> Result<(), OpenError> {
    let failed = |source| OpenError::Write { path: path.to_owned(), source };
    match fs::rename(next_key(path), path) {
        // A relay that was started in between has finished it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        renamed => renamed.map_err(failed)?,
    }
    sync_folder(path)
}

pub(crate) fn read_key(path: &Path) -> Result<MasterKey, OpenError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(MasterKey::from_base64(&Zeroizing::new(text))?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(OpenError::NoMasterKey(path.to_owned()))
        }
        Err(source) => Err(OpenError::Read { path: path.to_owned(), source }),
    }
}

pub(crate) fn next_key(path: &Path) -> PathBuf {
    path.with_extension("key.next")
}

// A name that a power cut takes back is no key.
pub(crate) fn sync_folder(path: &Path) -> Result<(), OpenError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|source| OpenError::Write { path: folder.to_owned(), source })
}

const CREDENTIAL: &str = "master-key";
/// The folder of recordings in the data folder.
pub(crate) const RECORDINGS: &str = "recordings";

#[cfg(test)]
mod tests {
    use store::Rotation;

    use super::*;

    /// Where a change of the master key can be cut off.
    #[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
    enum Cut {
        BeforeTheDatabase,
        BeforeTheName,
        AtTheEnd,
    }

    #[tokio::test]
    async fn a_change_of_the_key_that_is_cut_off_anywhere_leaves_a_key_that_opens() {
        for cut in [Cut::BeforeTheDatabase, Cut::BeforeTheName, Cut::AtTheEnd] {
            let folder = tempfile::tempdir().unwrap();
            let config = Config::parse("domain = 'adit.example.com'", folder.path()).unwrap();
            let path = config.data.join(MASTER_KEY);
            let (old, new) = (MasterKey::generate(), MasterKey::generate());
            fs::write(&path, old.to_base64().as_bytes()).unwrap();
            let store = Store::open(location(&config).unwrap(), old.clone()).await.unwrap();
            store.put_secret("ca", b"a private key").await.unwrap();
            store.close().await;

            write_next_key(&path, &new).unwrap();
            if cut >= Cut::BeforeTheName {
                let rotation = Rotation::begin(&location(&config).unwrap()).await.unwrap();
                assert_eq!(rotation.reseal(&old, &new).await.unwrap(), 2);
                rotation.end().await;
            }
            if cut >= Cut::AtTheEnd {
                put_in_place(&path).unwrap();
            }

            for start in ["first", "second"] {
                let store = open(&config).await.unwrap();
                let secret = store.secret("ca").await.unwrap().unwrap();
                assert_eq!(secret.as_slice(), b"a private key", "{start} start after {cut:?}");
                store.close().await;
            }
            let expected = if cut == Cut::BeforeTheDatabase { &old } else { &new };
            assert_eq!(fs::read_to_string(&path).unwrap(), *expected.to_base64(), "{cut:?}");
        }
    }

    #[tokio::test]
    async fn a_database_that_is_missing_beside_what_a_relay_keeps_is_not_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        let config = Config::parse("domain = 'adit.example.com'", folder.path()).unwrap();
        let (key, file) = (config.data.join(MASTER_KEY), config.data.join("adit.db"));
        let master = MasterKey::generate();
        fs::write(&key, master.to_base64().as_bytes()).unwrap();
        Store::open(&file, master).await.unwrap().close().await;
        open(&config).await.unwrap().close().await;
        let lost = config.data.join("lost.db");
        fs::rename(&file, &lost).unwrap();
        // Neither missing nor emptied by whoever could not put it back.
        for emptied in [false, true] {
            if emptied {
                fs::write(&file, "").unwrap();
            }
            let Err(error) = open(&config).await else { panic!("it began a new one") };
            assert!(error.to_string().contains("adit.db is missing"), "{error}");
            let (code, hint) = error.advice().unwrap();
            assert_eq!(code.0, "store.missing");
            assert!(hint.contains("restore") && hint.contains("init"), "{hint}");
            assert_eq!(fs::metadata(&file).map_or(0, |file| file.len()), 0);
        }
        fs::rename(&lost, &file).unwrap();
        open(&config).await.unwrap().close().await;
    }

    #[test]
    fn where_nothing_of_a_relay_is_a_database_may_be_begun() {
        let folder = tempfile::tempdir().unwrap();
        let at: Location = (&folder.path().join("adit.db")).into();
        assert!(is_there(&at, folder.path()).is_ok());
        for other in ["adit.db-wal", RECORDINGS] {
            let path = folder.path().join(other);
            fs::create_dir(&path).unwrap();
            assert!(
                matches!(is_there(&at, folder.path()), Err(OpenError::Missing { .. })),
                "{other}"
            );
            fs::remove_dir(&path).unwrap();
        }
        let server: Location = "postgres://db.example.com/adit".parse().unwrap();
        assert!(is_there(&server, folder.path()).is_ok());
    }
}
