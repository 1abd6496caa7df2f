//! Sets a relay up: configuration, database, CA, host keys and the first admin.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use access::{Name, TokenKind, TokenText, UserId};
use api::{Document, UserSpec};
use store::{Apply, MasterKey, NewToken, Store, StoreError};
use tunnel::identity::give_to_owner_of_folder;

use crate::ca::{Ca, CaError};
use crate::config::{certificate_name, domain_name};
use crate::host_keys::{self, HostKeyError};
use crate::tokens;

/// What is asked of `adit-relay init`.
#[derive(Clone, Debug, clap::Args)]
pub struct Init {
    /// Folder for the configuration, the database and the keys; made if it is not there
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// The relay's DNS name
    #[arg(long, value_name = "NAME")]
    pub domain: String,
    /// Address of the HTTPS door
    #[arg(long, value_name = "ADDR", default_value = "0.0.0.0:443")]
    pub https: SocketAddr,
    /// UDP address that connectors and agents dial
    #[arg(long, value_name = "ADDR", default_value = "0.0.0.0:443")]
    pub quic: SocketAddr,
    /// Address of the SSH door
    #[arg(long, value_name = "ADDR", default_value = "0.0.0.0:2222")]
    pub ssh: SocketAddr,
    /// One more name or address for the relay's certificate; may be given again
    #[arg(long = "name", value_name = "NAME")]
    pub names: Vec<String>,
}

/// Why no relay was set up.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    #[error("{0:?} is not a DNS name such as adit.example.com")]
    Domain(String),
    #[error("{0:?} is neither a DNS name nor an IP address")]
    Name(String),
    #[error("{} is there already: this folder holds a relay", .0.display())]
    Taken(PathBuf),
    #[error("could not write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("ADIT_MASTER_KEY is not usable")]
    MasterKey(#[from] store::MasterKeyError),
    #[error("the database could not be set up")]
    Store(#[from] StoreError),
    #[error("the CA could not be made")]
    Ca(#[from] CaError),
    #[error("the host keys could not be made")]
    HostKeys(#[from] HostKeyError),
    #[error("the first admin is missing")]
    Admin,
    #[error("the setup token could not be written, so what was made is gone again")]
    Token(#[source] io::Error),
}

impl Init {
    /// Sets the relay up, and gives the setup token to `show`: a relay whose token nobody has seen is
    /// of no use, so nothing is left of it.
    pub async fn run_and(
        &self,
        now: SystemTime,
        show: impl FnOnce(&TokenText) -> io::Result<()>,
    ) -> Result<(), InitError> {
        let was_there = self.data.exists();
        let token = self.run(now).await?;
        show(&token).map_err(|source| {
            self.undo(was_there);
            InitError::Token(source)
        })
    }

    /// Removes what [`run`](Self::run) has made, all of which it found missing.
    fn undo(&self, keep_folder: bool) {
        let database = ["", "-wal", "-shm"].map(|end| format!("{DATABASE}{end}"));
        let others = [CONFIG, MASTER_KEY, LOCK].map(str::to_owned);
        for name in database.iter().chain(&others) {
            drop(std::fs::remove_file(self.data.join(name)));
        }
        if !keep_folder {
            drop(std::fs::remove_dir(&self.data));
        }
    }

    /// Sets the relay up and gives the first admin's setup token.
    pub async fn run(&self, now: SystemTime) -> Result<TokenText, InitError> {
        let domain =
            domain_name(&self.domain).ok_or_else(|| InitError::Domain(self.domain.clone()))?;
        if let Some(bad) = self.names.iter().find(|name| certificate_name(name).is_none()) {
            return Err(InitError::Name(bad.clone()));
        }
        let folder = self.folder()?;
        let key = master_key(&folder)?;
        // Made here, so that nobody else can read it from its first byte on.
        write_new(&folder.join(DATABASE), "")?;
        let store = Store::open(&folder.join(DATABASE), key).await?;
        let token = fill(&store, &domain, now).await;
        store.close().await;
        let token = token?;
        // Last: a folder with a configuration holds a whole relay.
        write_new(&folder.join(CONFIG), &self.config(&folder, &domain))?;
        Ok(token)
    }

    fn folder(&self) -> Result<PathBuf, InitError> {
        let failed = |source| InitError::Write { path: self.data.clone(), source };
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(&self.data).map_err(failed)?;
        let folder = self.data.canonicalize().map_err(failed)?;
        let taken = [CONFIG, DATABASE, MASTER_KEY].map(|name| folder.join(name));
        match taken.into_iter().find(|path| path.exists()) {
            Some(path) => Err(InitError::Taken(path)),
            None => Ok(folder),
        }
    }

    fn config(&self, folder: &Path, domain: &str) -> String {
        let quoted = |text: &str| toml::Value::from(text).to_string();
        let names: Vec<_> = self.names.iter().map(|name| quoted(name)).collect();
        format!(
            "# Adit relay. `adit-relay check-config` tells every mistake in this file.\n\
             data = {data}\n\
             domain = {domain}\n\
             # More names and addresses for the relay's certificate.\n\
             names = [{names}]\n\n\
             [listen]\n\
             https = \"{https}\"\n\
             quic = \"{quic}\"\n\
             ssh = \"{ssh}\"\n\
             # Health and metrics, for this machine only.\n\
             # admin = \"127.0.0.1:9090\"\n\n\
             [log]\n\
             level = \"info\"\n\
             format = \"text\"\n",
            data = quoted(&folder.to_string_lossy()),
            domain = quoted(domain),
            names = names.join(", "),
            https = self.https,
            quic = self.quic,
            ssh = self.ssh,
        )
    }
}

async fn fill(store: &Store, domain: &str, now: SystemTime) -> Result<TokenText, InitError> {
    let ca = Ca::create(store, domain, now).await?;
    host_keys::create(store).await?;
    let user = first_admin(store, now).await?;
    let token = tokens::issue(TokenKind::Login, ca.pin());
    let (expires, uses) = (Some(now + SETUP_LIFETIME), Some(1));
    let new = NewToken { user: Some(user), expires, uses, ..NewToken::default() };
    store.issue_token(&token, new, now).await?;
    Ok(token)
}

async fn first_admin(store: &Store, now: SystemTime) -> Result<UserId, InitError> {
    let name: Name = "admin".parse().map_err(|_| InitError::Admin)?;
    let admin = UserSpec { admin: true, ..UserSpec::named(name.clone()) };
    let document = Document { users: vec![admin], ..Document::default() };
    let how = Apply { plan: false, create_only: true, prune: false };
    store.apply(&document, how, now).await?;
    store.user(&name).await?.map(|user| user.id).ok_or(InitError::Admin)
}

/// The key from the environment, else a new one in a file of its own.
fn master_key(folder: &Path) -> Result<MasterKey, InitError> {
    if let Ok(text) = std::env::var(MASTER_KEY_VARIABLE) {
        return Ok(MasterKey::from_base64(text.trim())?);
    }
    let key = MasterKey::generate();
    write_new(&folder.join(MASTER_KEY), &key.to_base64())?;
    Ok(key)
}

fn write_new(path: &Path, text: &str) -> Result<(), InitError> {
    let mut options = std::fs::OpenOptions::new();
    let written = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|file| give_to_owner_of_folder(&file, path).map(|()| file))
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
    written.map_err(|source| InitError::Write { path: path.to_owned(), source })
}

pub(crate) const CONFIG: &str = "relay.toml";
pub(crate) const DATABASE: &str = "adit.db";
pub(crate) const MASTER_KEY: &str = "master.key";
pub(crate) const MASTER_KEY_VARIABLE: &str = "ADIT_MASTER_KEY";
/// Beside the database, from the moment when somebody claims it.
const LOCK: &str = "adit.lock";
const SETUP_LIFETIME: Duration = Duration::from_secs(24 * 3600);
