//! `adit-relay update`: what is published for connectors, and by whom.

use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use secrecy::{ExposeSecret, SecretString};
use update::{
    File, Hasher, MAX_FILE, MAX_MANIFEST, Manifest, Ring, Signed, Signer, Version, platform,
};

use super::CommandError;
use crate::updates::MANIFEST;

/// What is asked of `adit-relay update`. None of it needs the relay or its data.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Update {
    /// Make the publisher's key; prints its public half, for `[updates] key` of relay.toml
    ///
    /// Keep it where no relay is: who has it can put programs onto every connector.
    Keygen {
        /// Where the private key goes; must not be there yet
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Publish a version of the connector into the folder that a relay serves
    Publish(Publish),
    /// Let a published version come to a further ring
    Ring(ToRing),
    /// Say what is published
    Show {
        #[arg(long, value_name = "FOLDER")]
        folder: PathBuf,
    },
}

#[derive(Clone, Debug, clap::Args)]
pub struct Publish {
    /// The publisher's private key
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The folder of `[updates] folder`
    #[arg(long, value_name = "FOLDER")]
    folder: PathBuf,
    /// What `adit-connector --version` says of the programs
    #[arg(long)]
    version: Version,
    /// Connectors before this version do not take it by themselves
    #[arg(long, value_name = "VERSION")]
    minimum: Option<Version>,
    /// Who takes it: first, early (and first) or all
    #[arg(long, default_value = "first")]
    ring: Ring,
    /// For how many days it is taken
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=3650))]
    days: u32,
    /// A program and for which machine it is, such as x86_64-linux=target/release/adit-connector
    #[arg(long = "file", value_name = "PLATFORM=PROGRAM", required = true, value_parser = program)]
    files: Vec<(String, PathBuf)>,
}

#[derive(Clone, Debug, clap::Args)]
pub struct ToRing {
    /// The publisher's private key
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    #[arg(long, value_name = "FOLDER")]
    folder: PathBuf,
    /// Who takes it: first, early (and first) or all
    #[arg(long)]
    ring: Ring,
    /// For how many days from now it is taken
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=3650))]
    days: u32,
}

/// Why an update was not published.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    #[error("{} is there already; it is not written over", .0.display())]
    KeyExists(PathBuf),
    #[error("{}: {error}", path.display())]
    Key { path: PathBuf, error: update::KeyError },
    #[error("{} holds no update of this key: {error}", folder.display())]
    Published { folder: PathBuf, error: update::Refused },
    #[error("{} holds no readable manifest", .0.display())]
    Unreadable(PathBuf),
    #[error("{} has {size} bytes, and may have {MAX_FILE} at most", path.display())]
    TooLarge { path: PathBuf, size: u64 },
    #[error("two files are for {0}")]
    Twice(String),
    #[error("the manifest is too long; name fewer files")]
    TooLong,
    #[error(
        "version {version} is older than {published}, which is published: no connector would take it"
    )]
    Older { version: Version, published: Version },
}

impl Update {
    /// What was done, and data for a script.
    pub fn run(&self, now: SystemTime) -> Result<(String, Option<String>), CommandError> {
        match self {
            Self::Keygen { out } => keygen(out),
            Self::Publish(publish) => Ok((publish.run(now)?, None)),
            Self::Ring(ring) => Ok((ring.run(now)?, None)),
            Self::Show { folder } => show(folder),
        }
    }
}

fn keygen(out: &Path) -> Result<(String, Option<String>), CommandError> {
    let failed = |error| UpdateError::Key { path: out.to_owned(), error };
    let (signer, pem) = Signer::generate().map_err(failed)?;
    let mut options = std::fs::OpenOptions::new();
    let opened = options.write(true).create_new(true).mode(0o600).open(out);
    let mut file = opened.map_err(|source| match source.kind() {
        std::io::ErrorKind::AlreadyExists => UpdateError::KeyExists(out.to_owned()).into(),
        _ => CommandError::Write { path: out.to_owned(), source },
    })?;
    let written = file.write_all(pem.expose_secret().as_bytes()).and_then(|()| file.sync_all());
    written.map_err(|source| CommandError::Write { path: out.to_owned(), source })?;
    let told = format!(
        "{} is the publisher's key: keep it where no relay is. Its public half, for [updates] key of \
         relay.toml, and [update] key of connectors that have joined already:",
        out.display()
    );
    Ok((told, Some(signer.public().to_string())))
}

fn show(folder: &Path) -> Result<(String, Option<String>), CommandError> {
    let signed = published(folder)?.ok_or_else(|| UpdateError::Unreadable(folder.to_owned()))?;
    let manifest = signed.unverified();
    let failed = |error| UpdateError::Published { folder: folder.to_owned(), error };
    let manifest = manifest.map_err(failed)?;
    let text = serde_json::to_string_pretty(&manifest).unwrap_or_default();
    let told = format!("{} {} for ring {}", manifest.program, manifest.version, manifest.ring);
    Ok((told, Some(text)))
}

impl Publish {
    fn run(&self, now: SystemTime) -> Result<String, CommandError> {
        let signer = signer(&self.key)?;
        let before = before(&self.folder, &signer)?;
        if let Some(published) = before.as_ref().map(|before| &before.version)
            && *published > self.version
        {
            let (version, published) = (self.version.clone(), published.clone());
            return Err(UpdateError::Older { version, published }.into());
        }
        std::fs::create_dir_all(&self.folder)
            .map_err(|source| CommandError::Write { path: self.folder.clone(), source })?;
        let mut files = Vec::<File>::new();
        for (platform, path) in &self.files {
            if files.iter().any(|file| file.platform == *platform) {
                return Err(UpdateError::Twice(platform.clone()).into());
            }
            files.push(keep(platform, path, &self.folder)?);
        }
        let manifest = Manifest {
            program: PROGRAM.to_owned(),
            version: self.version.clone(),
            serial: serial(now, before.as_ref()),
            expires: unix(now) + days(self.days),
            minimum: self.minimum.clone(),
            ring: self.ring,
            files,
        };
        write(&self.folder, &manifest.sign(&signer))?;
        sweep(&self.folder, &manifest);
        Ok(format!(
            "Published {PROGRAM} {} for ring {}; `adit-relay update ring` lets it come further.",
            self.version, self.ring
        ))
    }
}

impl ToRing {
    fn run(&self, now: SystemTime) -> Result<String, CommandError> {
        let signer = signer(&self.key)?;
        let before = before(&self.folder, &signer)?;
        let before = before.ok_or_else(|| UpdateError::Unreadable(self.folder.clone()))?;
        let manifest = Manifest {
            serial: serial(now, Some(&before)),
            expires: unix(now) + days(self.days),
            ring: self.ring,
            ..before
        };
        write(&self.folder, &manifest.sign(&signer))?;
        Ok(format!("{PROGRAM} {} comes to ring {}.", manifest.version, self.ring))
    }
}

fn signer(path: &Path) -> Result<Signer, CommandError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| CommandError::Read { path: path.to_owned(), source })?;
    let failed = |error| UpdateError::Key { path: path.to_owned(), error };
    Ok(Signer::from_pem(&SecretString::from(text)).map_err(failed)?)
}

/// What this publisher published before.
fn before(folder: &Path, signer: &Signer) -> Result<Option<Manifest>, CommandError> {
    let Some(signed) = published(folder)? else { return Ok(None) };
    let failed = |error| UpdateError::Published { folder: folder.to_owned(), error };
    Ok(Some(signed.open(&signer.public()).map_err(failed)?))
}

fn published(folder: &Path) -> Result<Option<Signed>, CommandError> {
    let path = folder.join(MANIFEST);
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(CommandError::Read { path, source }),
    };
    let signed = serde_json::from_slice(&text).map_err(|_| UpdateError::Unreadable(path))?;
    Ok(Some(signed))
}

/// Copies a program into the folder, named by its hash.
fn keep(platform: &str, path: &Path, folder: &Path) -> Result<File, CommandError> {
    let unread = |source| CommandError::Read { path: path.to_owned(), source };
    let mut program = std::fs::File::open(path).map_err(unread)?;
    let mut copy = tempfile_in(folder)?;
    let unwritten = |source| CommandError::Write { path: folder.to_owned(), source };
    let (mut hasher, mut size, mut piece) = (Hasher::default(), 0u64, vec![0; 1 << 16]);
    loop {
        let read = program.read(&mut piece).map_err(unread)?;
        if read == 0 {
            break;
        }
        size += read as u64;
        if size > MAX_FILE {
            drop(std::fs::remove_file(&copy.1));
            return Err(UpdateError::TooLarge { path: path.to_owned(), size }.into());
        }
        hasher.update(&piece[..read]);
        copy.0.write_all(&piece[..read]).map_err(unwritten)?;
    }
    copy.0.sync_all().map_err(unwritten)?;
    let sha256 = hasher.finish();
    std::fs::rename(&copy.1, folder.join(sha256.to_string())).map_err(unwritten)?;
    Ok(File { platform: platform.to_owned(), sha256, size })
}

fn write(folder: &Path, signed: &Signed) -> Result<(), CommandError> {
    let unwritten = |source| CommandError::Write { path: folder.join(MANIFEST), source };
    let text = serde_json::to_vec(signed).unwrap_or_default();
    if text.len() > MAX_MANIFEST {
        return Err(UpdateError::TooLong.into());
    }
    let (mut file, path) = tempfile_in(folder)?;
    file.write_all(&text).and_then(|()| file.sync_all()).map_err(unwritten)?;
    std::fs::rename(path, folder.join(MANIFEST)).map_err(unwritten)
}

/// Takes away what the manifest no longer names; what stays costs room only.
fn sweep(folder: &Path, manifest: &Manifest) {
    let named = |name: &str| manifest.files.iter().any(|file| file.sha256.to_string() == name);
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.parse::<update::Digest>().is_ok() && !named(&name) {
            drop(std::fs::remove_file(entry.path()));
        }
    }
}

/// Readable for the relay's account, whoever publishes.
fn tempfile_in(folder: &Path) -> Result<(std::fs::File, PathBuf), CommandError> {
    let path = folder.join(format!(".{}.part", std::process::id()));
    let mut options = std::fs::OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o644).open(&path);
    Ok((file.map_err(|source| CommandError::Write { path: path.clone(), source })?, path))
}

/// Never less than before, whatever the clock says.
fn serial(now: SystemTime, before: Option<&Manifest>) -> u64 {
    unix(now).max(before.map_or(0, |before| before.serial + 1))
}

fn program(text: &str) -> Result<(String, PathBuf), String> {
    let split = text.split_once('=').filter(|(at, file)| !at.is_empty() && !file.is_empty());
    let (at, file) = split.ok_or_else(|| format!("expected {}=PROGRAM", platform()))?;
    Ok((at.to_owned(), file.into()))
}

fn days(days: u32) -> u64 {
    Duration::from_secs(86_400).as_secs() * u64::from(days)
}

fn unix(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

const PROGRAM: &str = "adit-connector";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_published_is_signed_grows_its_serial_and_comes_further_by_rings() {
        let dir = tempfile::tempdir().unwrap();
        let (key, folder) = (dir.path().join("key.pem"), dir.path().join("updates"));
        let (_, public) = keygen(&key).unwrap();
        let public: update::PublicKey = public.unwrap().parse().unwrap();
        let mode = std::fs::metadata(&key).unwrap();
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode.permissions()) & 0o777, 0o600);
        assert!(keygen(&key).is_err(), "a key was written over");
        let program = dir.path().join("program");
        std::fs::write(&program, b"one").unwrap();
        let publish = |version: &str, key: &Path| Publish {
            key: key.to_owned(),
            folder: folder.clone(),
            version: version.parse().unwrap(),
            minimum: None,
            ring: Ring::First,
            days: 1,
            files: vec![("x86_64-linux".to_owned(), program.clone())],
        };
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let read = || published(&folder).unwrap().unwrap().open(&public).unwrap();
        publish("1.0.0", &key).run(now).unwrap();
        let first = read();
        assert_eq!((first.serial, first.expires, first.ring), (1_000_000, 1_086_400, Ring::First));
        let kept = folder.join(first.files[0].sha256.to_string());
        assert_eq!(std::fs::read(&kept).unwrap(), b"one");
        let ring = ToRing { key: key.clone(), folder: folder.clone(), ring: Ring::All, days: 2 };
        ring.run(now).unwrap();
        let second = read();
        assert_eq!(
            (second.serial, second.ring, &second.files),
            (1_000_001, Ring::All, &first.files)
        );
        std::fs::write(&program, b"two").unwrap();
        publish("1.1.0", &key).run(now).unwrap();
        assert_eq!(read().serial, 1_000_002);
        assert!(!kept.exists(), "what no manifest names is taken away");
        assert!(publish("1.0.9", &key).run(now).is_err(), "an older version");
        let other = dir.path().join("other.pem");
        keygen(&other).unwrap();
        assert!(publish("1.2.0", &other).run(now).is_err(), "another publisher's folder");
    }
}
