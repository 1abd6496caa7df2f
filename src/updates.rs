//! The update of connectors that an admin has published into a folder, handed on as it is.
//!
//! The relay checks no signature here and could make none: connectors do, by the publisher's key. It
//! serves only what the folder's manifest names.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use access::{Code, Explain};
use bytes::Bytes;
use std::future::poll_fn;
use tokio::fs::File;
use tokio::io::AsyncReadExt;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tunnel::Stream;
use update::{Digest, MAX_MANIFEST, Signed};
use wire::{Fetch, Header, Mode, Refusal, Reply};

use crate::config::Updates as Settings;

/// The folder, and how many are served from it at a time.
#[derive(Debug)]
pub(crate) struct Updates {
    folder: Option<PathBuf>,
    places: Semaphore,
}

/// Why nothing was handed on.
#[derive(Debug, thiserror::Error)]
enum Unserved {
    #[error("no update is published")]
    None,
    #[error("the update can not be read")]
    Unreadable { source: io::Error },
    #[error("that is no request of a connector")]
    Unknown,
}

impl Updates {
    pub(crate) fn new(settings: &Settings) -> Arc<Self> {
        let places = Semaphore::new(AT_ONCE);
        Arc::new(Self { folder: settings.folder.clone(), places })
    }

    /// Answers one stream of a connector.
    pub(crate) async fn serve(&self, mut stream: Stream) {
        let asked = timeout(REQUEST, stream.recv_frame::<Header>()).await;
        let served = match asked {
            Ok(Ok(Header::Fetch(Fetch::Manifest))) => self.manifest(&mut stream).await,
            Ok(Ok(Header::Fetch(Fetch::File { sha256 }))) => self.file(&mut stream, &sha256).await,
            Ok(Ok(_)) => Err(Unserved::Unknown),
            Ok(Err(_)) | Err(_) => return,
        };
        if let Err(error) = served {
            if let Unserved::Unreadable { source } = &error {
                tracing::warn!(%source, "Could not read the update");
            }
            let refused = Reply::Refused(Refusal::of(&error));
            if matches!(timeout(REQUEST, stream.send_frame(&refused)).await, Ok(Ok(()))) {
                drop(timeout(REQUEST, stream.deliver()).await);
            }
        }
    }

    async fn manifest(&self, stream: &mut Stream) -> Result<(), Unserved> {
        let signed = published(self.folder()?).await?;
        if matches!(open(stream).await, Ok(())) && stream.send_frame(&signed).await.is_ok() {
            drop(timeout(REQUEST, stream.deliver()).await);
        }
        Ok(())
    }

    async fn file(&self, stream: &mut Stream, sha256: &str) -> Result<(), Unserved> {
        let folder = self.folder()?;
        let wanted: Digest = sha256.parse().map_err(|_| Unserved::None)?;
        let manifest = published(folder).await?.unverified().map_err(|_| Unserved::None)?;
        if !manifest.files.iter().any(|file| file.sha256 == wanted) {
            return Err(Unserved::None);
        }
        // Waiting costs a stream, and each connector has two at most.
        let Ok(_place) = self.places.acquire().await else { return Ok(()) };
        let mut file = File::open(folder.join(wanted.to_string())).await.map_err(missing)?;
        if let Err(error) = send(&mut file, stream).await {
            tracing::debug!(%error, "An update did not arrive");
        }
        Ok(())
    }

    fn folder(&self) -> Result<&Path, Unserved> {
        self.folder.as_deref().ok_or(Unserved::None)
    }
}

async fn published(folder: &Path) -> Result<Signed, Unserved> {
    let file = File::open(folder.join(MANIFEST)).await.map_err(missing)?;
    let mut text = Vec::new();
    let most = MAX_MANIFEST as u64 + 1;
    file.take(most).read_to_end(&mut text).await.map_err(missing)?;
    let whole = Some(text).filter(|text| text.len() <= MAX_MANIFEST);
    let signed = whole.and_then(|text| serde_json::from_slice(&text).ok());
    signed.ok_or_else(|| Unserved::Unreadable { source: io::ErrorKind::InvalidData.into() })
}

async fn open(stream: &mut Stream) -> io::Result<()> {
    let opened = Reply::Opened { session: None, mode: Mode::Raw, host_keys: Vec::new() };
    stream.send_frame(&opened).await
}

/// As fast as the connector takes it; one that takes nothing for a while is given up.
async fn send(file: &mut File, stream: &mut Stream) -> io::Result<()> {
    open(stream).await?;
    let mut piece = vec![0; PIECE];
    loop {
        let read = file.read(&mut piece).await?;
        if read == 0 {
            break;
        }
        let mut bytes = Bytes::copy_from_slice(&piece[..read]);
        let sent = async {
            while !bytes.is_empty() {
                poll_fn(|cx| splice::Stream::poll_send(stream, cx, &mut bytes)).await?;
            }
            io::Result::Ok(())
        };
        timeout(STALLED, sent).await.map_err(|_| io::ErrorKind::TimedOut)??;
    }
    drop(timeout(STALLED, stream.deliver()).await);
    Ok(())
}

fn missing(source: io::Error) -> Unserved {
    match source.kind() {
        io::ErrorKind::NotFound => Unserved::None,
        _ => Unserved::Unreadable { source },
    }
}

impl Explain for Unserved {
    fn code(&self) -> Code {
        Code(match self {
            Self::None => "update.none",
            Self::Unreadable { .. } => "update.unreadable",
            Self::Unknown => "wire.unknown",
        })
    }

    fn public(&self) -> std::borrow::Cow<'static, str> {
        match self {
            Self::None => "the relay has no update to give",
            Self::Unreadable { .. } => "the relay can not read the update that is published",
            Self::Unknown => "this relay does not know that kind of request",
        }
        .into()
    }

    fn hint(&self) -> Option<std::borrow::Cow<'static, str>> {
        Some(match self {
            Self::None => "an admin publishes one with `adit-relay update publish`".into(),
            Self::Unreadable { .. } => "an admin looks at the relay's log".into(),
            Self::Unknown => "update the older of the two".into(),
        })
    }
}

/// The signed manifest in the folder; files are beside it, named by their SHA-256.
pub(crate) const MANIFEST: &str = "manifest.json";
/// How many files are on their way at a time.
const AT_ONCE: usize = 16;
/// For a request to arrive, and for an answer to leave.
const REQUEST: Duration = Duration::from_secs(10);
const STALLED: Duration = Duration::from_secs(30);
const PIECE: usize = 64 * 1024;
