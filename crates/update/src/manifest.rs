//! The manifest and its signed form.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{Context, SHA256};
use data_encoding::{BASE64, HEXLOWER};
use semver::Version;
use serde::{Deserialize, Serialize};

use crate::decide::Refused;
use crate::key::{PublicKey, Signer};

/// One version of one program, and who may take it by now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Which program it is: `adit-connector`.
    pub program: String,
    pub version: Version,
    /// Grows with each publishing: who has seen a later one takes no earlier one.
    pub serial: u64,
    /// Unix seconds after which it is not taken any more.
    pub expires: u64,
    /// Versions before this one do not take it by themselves: a step in between is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum: Option<Version>,
    /// Up to which ring it has come.
    pub ring: Ring,
    pub files: Vec<File>,
}

/// The program for one kind of machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// As [`platform`](crate::platform) says it.
    pub platform: String,
    pub sha256: Digest,
    /// In bytes.
    pub size: u64,
}

/// How early a connector takes a new version, and how far one has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ring {
    First,
    Early,
    #[default]
    All,
}

/// A text that names no ring.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a ring is first, early or all")]
pub struct UnknownRing;

/// A manifest as it travels: its text, and the signature over that very text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    manifest: String,
    signature: String,
}

/// SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

impl Manifest {
    pub fn sign(&self, signer: &Signer) -> Signed {
        // Only keys of maps that are no text would not do, and there are none.
        let manifest = serde_json::to_string(self).unwrap_or_default();
        let signature = BASE64.encode(&signer.sign(&signed_text(&manifest)));
        Signed { manifest, signature }
    }

    /// The program for a kind of machine.
    pub fn file(&self, platform: &str) -> Option<&File> {
        self.files.iter().find(|file| file.platform == platform)
    }
}

impl Signed {
    /// The manifest, where the signature is this key's.
    pub fn open(&self, key: &PublicKey) -> Result<Manifest, Refused> {
        let signature = BASE64.decode(self.signature.as_bytes()).map_err(|_| Refused::Signature)?;
        if !key.verifies(&signed_text(&self.manifest), &signature) {
            return Err(Refused::Signature);
        }
        self.unverified()
    }

    /// What it says, whoever signed it: to look files up, and for nothing else.
    pub fn unverified(&self) -> Result<Manifest, Refused> {
        serde_json::from_str(&self.manifest).map_err(|_| Refused::Malformed)
    }
}

/// No other signature of the same key is one for a manifest.
fn signed_text(manifest: &str) -> Vec<u8> {
    [b"adit update manifest, first form\n", manifest.as_bytes()].concat()
}

impl Digest {
    pub fn of(bytes: &[u8]) -> Self {
        let mut hasher = Hasher::default();
        hasher.update(bytes);
        hasher.finish()
    }
}

/// Hashes a file as it comes.
#[derive(Clone)]
pub struct Hasher(Context);

impl Default for Hasher {
    fn default() -> Self {
        Self(Context::new(&SHA256))
    }
}

impl Hasher {
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub fn finish(self) -> Digest {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.0.finish().as_ref());
        Digest(bytes)
    }
}

impl Ring {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Early => "early",
            Self::All => "all",
        }
    }
}

impl FromStr for Ring {
    type Err = UnknownRing;

    fn from_str(text: &str) -> Result<Self, UnknownRing> {
        [Self::First, Self::Early, Self::All]
            .into_iter()
            .find(|ring| ring.as_str() == text)
            .ok_or(UnknownRing)
    }
}

impl fmt::Display for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Digest {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Refused> {
        let bytes = HEXLOWER.decode(text.as_bytes()).map_err(|_| Refused::Malformed)?;
        bytes.try_into().map(Self).map_err(|_| Refused::Malformed)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl TryFrom<String> for Digest {
    type Error = Refused;

    fn try_from(text: String) -> Result<Self, Refused> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

/// The longest signed manifest, in bytes: one frame of the wire.
pub const MAX_MANIFEST: usize = 60 * 1024;
/// The largest program, in bytes.
pub const MAX_FILE: u64 = 256 << 20;
