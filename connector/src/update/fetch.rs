//! What comes over the tunnel.

use std::future::poll_fn;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ::update::{File, Hasher, Signed};
use tokio::fs::OpenOptions;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;
use tunnel::{Connection, OpenError, Stream};
use wire::{Fetch, Header, WITH_UPDATES};

/// Why the relay gave nothing, or not what it should.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("the relay is of a version that hands on no updates")]
    OldRelay,
    #[error("{message}")]
    Refused { code: String, message: String, hint: Option<String> },
    #[error("the relay broke off")]
    Broken { source: io::Error },
    #[error("the relay stood still for {0:?}")]
    Stalled(Duration),
    #[error("the program ended after {got} of {size} bytes")]
    Truncated { got: u64, size: u64 },
    #[error("the program has more than the {size} bytes of the manifest")]
    TooLong { size: u64 },
    #[error("the program is not the one of the manifest")]
    WrongHash,
    #[error("can not write {path:?}")]
    Write { path: PathBuf, source: io::Error },
}

impl FetchError {
    pub(super) fn code(&self) -> &str {
        match self {
            Self::OldRelay => "wire.version",
            Self::Refused { code, .. } => code,
            Self::Broken { .. } | Self::Stalled(_) => "update.broken",
            Self::Truncated { .. } => "update.truncated",
            Self::TooLong { .. } => "update.too_long",
            Self::WrongHash => "update.hash",
            Self::Write { .. } => "update.swap",
        }
    }

    pub(super) fn hint(&self) -> String {
        match self {
            Self::OldRelay => "update the relay first".to_owned(),
            Self::Refused { hint, .. } => hint.clone().unwrap_or_default(),
            Self::Broken { .. } | Self::Stalled(_) => "try again".to_owned(),
            Self::Truncated { .. } | Self::TooLong { .. } | Self::WrongHash => {
                "publish again: the relay's [updates] folder does not hold what was signed"
                    .to_owned()
            }
            Self::Write { .. } => {
                "the connector's account has to be able to write its program's folder".to_owned()
            }
        }
    }
}

pub(super) async fn manifest(connection: &Connection) -> Result<Signed, FetchError> {
    let mut stream = open(connection, Fetch::Manifest).await?;
    match timeout(STALLED, stream.recv_frame()).await {
        Ok(signed) => signed.map_err(|source| FetchError::Broken { source }),
        Err(_) => Err(FetchError::Stalled(STALLED)),
    }
}

/// Writes the program to `to`, as executable as `like`; what is not the file of the manifest is taken
/// away again.
pub(super) async fn file(
    connection: &Connection,
    file: &File,
    to: &Path,
    like: &Path,
) -> Result<(), FetchError> {
    let unwritten = |source| FetchError::Write { path: to.to_owned(), source };
    let mut stream = open(connection, Fetch::File { sha256: file.sha256.to_string() }).await?;
    let mut options = OpenOptions::new();
    let mut written =
        options.write(true).create_new(true).mode(0o600).open(to).await.map_err(unwritten)?;
    let (mut hasher, mut got) = (Hasher::default(), 0u64);
    loop {
        let piece = match timeout(STALLED, poll_fn(|cx| splice::Stream::poll_recv(&mut stream, cx)))
            .await
        {
            Ok(piece) => piece.map_err(|source| FetchError::Broken { source })?,
            Err(_) => return Err(FetchError::Stalled(STALLED)),
        };
        let Some(piece) = piece else { break };
        got += piece.len() as u64;
        if got > file.size {
            return Err(FetchError::TooLong { size: file.size });
        }
        hasher.update(&piece);
        written.write_all(&piece).await.map_err(unwritten)?;
    }
    if got < file.size {
        return Err(FetchError::Truncated { got, size: file.size });
    }
    if hasher.finish() != file.sha256 {
        return Err(FetchError::WrongHash);
    }
    let permissions = tokio::fs::metadata(like).await.map_err(unwritten)?.permissions();
    written.set_permissions(permissions).await.map_err(unwritten)?;
    written.sync_all().await.map_err(unwritten)?;
    // Whoever starts it must not find it open for writing.
    drop(written.into_std().await);
    Ok(())
}

async fn open(connection: &Connection, fetch: Fetch) -> Result<Stream, FetchError> {
    if connection.peer().version < WITH_UPDATES {
        return Err(FetchError::OldRelay);
    }
    match timeout(STALLED, connection.open(&Header::Fetch(fetch))).await {
        Ok(Ok((stream, _))) => Ok(stream),
        Ok(Err(OpenError::Refused { source })) => Err(FetchError::Refused {
            code: source.code,
            message: source.message,
            hint: source.hint,
        }),
        Ok(Err(OpenError::Broken { source })) => Err(FetchError::Broken { source }),
        Ok(Err(OpenError::Unknown)) => Err(FetchError::OldRelay),
        Err(_) => Err(FetchError::Stalled(STALLED)),
    }
}

const STALLED: Duration = Duration::from_secs(30);
