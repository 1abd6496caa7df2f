//! A machine's key and certificate, and the directory that keeps them.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use secrecy::{ExposeSecret, SecretString};

use crate::certificate::{self, CertificateError, Facts, Spki};

/// A private key made on this machine. It never leaves it.
pub struct Key {
    pair: KeyPair,
    pem: SecretString,
}

/// A key with a certificate for it and the CA that signed that.
#[derive(Clone)]
pub struct Identity {
    key_pem: SecretString,
    certificate_pem: String,
    ca_pem: String,
    facts: Facts,
    directory: Option<PathBuf>,
}

/// Why there is no usable identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("can not read {path:?}")]
    Read { path: PathBuf, source: io::Error },
    #[error("can not write {path:?}")]
    Write { path: PathBuf, source: io::Error },
    #[error("the key is not usable")]
    Key { source: rcgen::Error },
    #[error("the certificate is not usable")]
    Certificate {
        #[from]
        source: CertificateError,
    },
    #[error("the certificate is for another key")]
    OtherKey,
}

impl Key {
    /// Makes a new ECDSA P-256 key.
    pub fn generate() -> Result<Self, IdentityError> {
        let pair = KeyPair::generate().map_err(|source| IdentityError::Key { source })?;
        let pem = pair.serialize_pem().into();
        Ok(Self { pair, pem })
    }

    pub fn from_pem(pem: &SecretString) -> Result<Self, IdentityError> {
        let pair = KeyPair::from_pem(pem.expose_secret())
            .map_err(|source| IdentityError::Key { source })?;
        Ok(Self { pair, pem: pem.clone() })
    }

    pub fn pem(&self) -> &SecretString {
        &self.pem
    }

    /// A request for a certificate. It names nothing: the relay decides the name.
    pub fn csr_pem(&self) -> Result<String, IdentityError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params
            .serialize_request(&self.pair)
            .and_then(|request| request.pem())
            .map_err(|source| IdentityError::Key { source })
    }
}

impl Identity {
    /// Puts together what an enrolment gave. Fails where the certificate is for another key.
    pub fn new(key: &Key, certificate_pem: String, ca_pem: String) -> Result<Self, IdentityError> {
        certificate::chain(&ca_pem)?;
        let facts = Facts::of(&certificate::chain(&certificate_pem)?[0])?;
        if facts.spki != certificate::requested_key(&key.csr_pem()?)? {
            return Err(IdentityError::OtherKey);
        }
        let key_pem = key.pem.clone();
        Ok(Self { key_pem, certificate_pem, ca_pem, facts, directory: None })
    }

    /// Reads `key.pem`, `certificate.pem` and `ca.pem`. A renewed certificate goes back there.
    pub fn load(directory: &Path) -> Result<Self, IdentityError> {
        Self::load_with_key(directory, &directory.join(KEY))
    }

    /// As [`load`](Self::load), with the key from another file.
    pub fn load_with_key(directory: &Path, key: &Path) -> Result<Self, IdentityError> {
        let key = Key::from_pem(&read(key)?.into())?;
        let certificate_pem = read(&directory.join(CERTIFICATE))?;
        let mut identity = Self::new(&key, certificate_pem, read(&directory.join(CA))?)?;
        identity.directory = Some(directory.to_owned());
        Ok(identity)
    }

    /// Writes the three files, the key readable for its owner only.
    pub fn save(&mut self, directory: &Path) -> Result<(), IdentityError> {
        write_file(&directory.join(KEY), self.key_pem.expose_secret().as_bytes(), 0o600)?;
        write_file(&directory.join(CERTIFICATE), self.certificate_pem.as_bytes(), 0o644)?;
        write_file(&directory.join(CA), self.ca_pem.as_bytes(), 0o644)?;
        self.directory = Some(directory.to_owned());
        Ok(())
    }

    /// Takes a new certificate for the same key, and writes it where this identity was read from.
    pub fn renew(&mut self, certificate_pem: String) -> Result<(), IdentityError> {
        let facts = Facts::of(&certificate::chain(&certificate_pem)?[0])?;
        if facts.spki != self.facts.spki {
            return Err(IdentityError::OtherKey);
        }
        if let Some(directory) = &self.directory {
            write_file(&directory.join(CERTIFICATE), certificate_pem.as_bytes(), 0o644)?;
        }
        (self.certificate_pem, self.facts) = (certificate_pem, facts);
        Ok(())
    }

    pub fn csr_pem(&self) -> Result<String, IdentityError> {
        Key::from_pem(&self.key_pem)?.csr_pem()
    }

    pub fn key_pem(&self) -> &SecretString {
        &self.key_pem
    }

    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    pub fn spki(&self) -> Spki {
        self.facts.spki
    }

    /// The name the relay gave it, such as `connector:<uuid>`.
    pub fn name(&self) -> &str {
        &self.facts.name
    }

    pub fn not_after(&self) -> SystemTime {
        self.facts.not_after
    }

    /// When to renew.
    pub fn half_life(&self) -> SystemTime {
        self.facts.half_life()
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Identity({})", self.facts.name)
    }
}

/// Replaces a file as a whole: a reader sees the old text or the new one, also after a crash.
pub fn write_file(path: &Path, text: &[u8], mode: u32) -> Result<(), IdentityError> {
    replace(path, text, mode)
        .map_err(|source| IdentityError::Write { path: path.to_owned(), source })
}

/// What root makes in the folder of a service's account belongs to that account, which could not
/// read it otherwise: `file` was just made as `path`.
#[cfg(unix)]
pub fn give_to_owner_of_folder(file: &std::fs::File, path: &Path) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, fchown};
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let (ours, theirs) = (file.metadata()?, std::fs::metadata(folder)?);
    if ours.uid() == 0 && theirs.uid() != 0 {
        fchown(file, Some(theirs.uid()), Some(theirs.gid()))?;
    }
    Ok(())
}

#[cfg(not(unix))]
pub fn give_to_owner_of_folder(_: &std::fs::File, _: &Path) -> io::Result<()> {
    Ok(())
}

const KEY: &str = "key.pem";
const CERTIFICATE: &str = "certificate.pem";
const CA: &str = "ca.pem";

fn replace(path: &Path, text: &[u8], mode: u32) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let new = path.with_file_name(name);
    // What a crash left; nobody's link is followed.
    drop(std::fs::remove_file(&new));
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    let mut file = options.open(&new)?;
    give_to_owner_of_folder(&file, path)?;
    file.write_all(text)?;
    file.sync_all()?;
    std::fs::rename(&new, path)
}

/// Whether others than the owner of a file may read or change it. One that can not be looked at is
/// nobody's.
#[cfg(unix)]
pub fn is_open_to_others(path: &Path) -> bool {
    let mode =
        |file: std::fs::Metadata| std::os::unix::fs::PermissionsExt::mode(&file.permissions());
    std::fs::metadata(path).is_ok_and(|file| mode(file) & 0o077 != 0)
}

/// As there; here the folder's own rules say who may.
#[cfg(not(unix))]
pub fn is_open_to_others(_path: &Path) -> bool {
    false
}

fn read(path: &Path) -> Result<String, IdentityError> {
    std::fs::read_to_string(path)
        .map_err(|source| IdentityError::Read { path: path.to_owned(), source })
}
