//! What an operator does with a deployment that is not serving it: moving, saving, bringing back.

mod audit;
mod backup;
mod migrate;
mod restore;
mod rotate_host_key;
mod rotate_key;
mod update;

use std::path::{Path, PathBuf};

use access::Code;
use store::{Count, Damage, StoreError, TransferError};

use crate::config::{Config, ConfigError};
use crate::database::OpenError;
use crate::host_keys::HostKeyError;

pub use audit::{Audit, VerifyAudit};
pub use backup::Backup;
pub use migrate::Migrate;
pub use restore::RestoreArgs;
pub use rotate_host_key::RotateHostKey;
pub use rotate_key::RotateKey;
pub use update::{Update, UpdateError};

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Transfer(#[from] TransferError),
    #[error("the store could not be read")]
    Store(#[from] StoreError),
    #[error("the SSH host keys could not be made")]
    HostKeys(#[from] HostKeyError),
    #[error("the change could not be recorded")]
    Audit(#[from] session::AuditError),
    #[error("the audit log is damaged{}", listed(.0))]
    Damaged(Vec<Damage>),
    #[error("{0} is no postgres:// URL")]
    Target(String),
    #[error("the URL of --to is not usable")]
    Url(#[source] StoreError),
    #[error("could not read {}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("could not write {}", path.display())]
    Write { path: PathBuf, source: std::io::Error },
    #[error("{} can not be changed: {detail}", path.display())]
    Edit { path: PathBuf, detail: String },
    #[error(
        "the master key does not come from a file of the data folder: write a new one with \
         `openssl rand -base64 32 > FILE`, give --new-key-file FILE, and put it in the old one's \
         place afterwards"
    )]
    KeyElsewhere,
    #[error(transparent)]
    Update(Box<UpdateError>),
}

impl From<UpdateError> for CommandError {
    fn from(error: UpdateError) -> Self {
        Self::Update(Box::new(error))
    }
}

impl CommandError {
    /// What the process exits with.
    pub fn exit(&self) -> u8 {
        match self {
            Self::Damaged(_) => 6,
            Self::Config(_)
            | Self::Open(_)
            | Self::Transfer(_)
            | Self::Store(_)
            | Self::HostKeys(_)
            | Self::Audit(_)
            | Self::Target(_)
            | Self::Url(_)
            | Self::Read { .. }
            | Self::Write { .. }
            | Self::Edit { .. }
            | Self::KeyElsewhere
            | Self::Update(_) => 1,
        }
    }

    /// The code of what went wrong, and what to do.
    pub fn advice(&self) -> Option<(Code, &'static str)> {
        match self {
            Self::Open(error) => error.advice(),
            Self::Transfer(error) => error.advice(),
            Self::Store(error) | Self::Url(error) => error.advice(),
            Self::Damaged(_) => Some((
                Code("audit.damaged"),
                "keep the database as it is, and compare with a backup or a destination's records",
            )),
            Self::Config(_)
            | Self::HostKeys(_)
            | Self::Audit(_)
            | Self::Target(_)
            | Self::Read { .. }
            | Self::Write { .. }
            | Self::Edit { .. }
            | Self::KeyElsewhere
            | Self::Update(_) => None,
        }
    }
}

fn listed(damages: &[Damage]) -> String {
    let each = damages.iter().map(|damage| format!("\n  {}: {damage}", damage.kind.as_str()));
    each.collect()
}

/// A configuration and where it stands.
fn read(path: &Path) -> Result<Config, CommandError> {
    Ok(Config::read(path)?)
}

/// `3 users, 2 grants, …`, without the tables that hold nothing.
fn told(counts: &[Count]) -> String {
    let filled = counts.iter().filter(|count| count.rows > 0);
    let each = filled.map(|count| format!("{} {}", count.rows, count.table.replace('_', " ")));
    each.collect::<Vec<_>>().join(", ")
}
