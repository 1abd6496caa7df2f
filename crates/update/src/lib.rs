//! What an update is: a manifest that its publisher signs, and whether a connector takes it.
//!
//! The publisher's key is not the relay's: a relay hands on what it was given, and can neither make nor
//! change it. A connector knows the public key from when it joined.
//!
//! INVARIANT: nothing here performs I/O or reads a clock.

mod decide;
mod key;
mod manifest;

pub use decide::{Refused, Standing, Verdict, Why, decide};
pub use key::{KeyError, PublicKey, Signer};
pub use manifest::{
    Digest, File, Hasher, MAX_FILE, MAX_MANIFEST, Manifest, Ring, Signed, UnknownRing,
};
pub use semver::Version;

/// How packages of programs for this build's machine are called: `x86_64-linux`.
pub fn platform() -> String {
    format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS)
}
