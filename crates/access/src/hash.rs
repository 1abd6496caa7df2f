//! The hash by which secrets are stored and compared.

use aws_lc_rs::digest::{SHA256, digest};

/// SHA-256. For a secret a plain hash is right where that is 256 random bits.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}
