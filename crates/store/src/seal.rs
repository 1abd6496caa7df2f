//! Secrets at rest: AES-256-GCM under the master key, bound to the record they stand in.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::digest::{SHA256, digest};
use chain::HeadKey;
use data_encoding::{BASE64, HEXLOWER};
use zeroize::Zeroizing;

use crate::StoreError;

/// The key that everything sealed is sealed with.
#[derive(Clone)]
pub struct MasterKey(Zeroizing<[u8; 32]>);

/// Why a text is not a master key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a master key is 32 bytes in base64")]
pub struct MasterKeyError;

/// Bytes that nobody knows.
pub(crate) fn random<const N: usize>() -> Zeroizing<[u8; N]> {
    let mut bytes = Zeroizing::new([0; N]);
    aws_lc_rs::rand::fill(bytes.as_mut_slice())
        .expect("without random bytes nothing can be kept secret");
    bytes
}

impl MasterKey {
    /// A fresh key.
    pub fn generate() -> Self {
        Self(random())
    }

    /// Reads what [`to_base64`](Self::to_base64) wrote.
    pub fn from_base64(text: &str) -> Result<Self, MasterKeyError> {
        let bytes = BASE64.decode(text.trim().as_bytes()).map_err(|_| MasterKeyError)?;
        let bytes = Zeroizing::new(bytes);
        let key = bytes.as_slice().try_into().map_err(|_| MasterKeyError)?;
        Ok(Self(Zeroizing::new(key)))
    }

    /// The key's text, for the file it is kept in.
    pub fn to_base64(&self) -> Zeroizing<String> {
        Zeroizing::new(BASE64.encode(self.0.as_slice()))
    }
}

impl MasterKey {
    /// The key that vouches for the end of the audit log.
    pub(crate) fn head_key(&self) -> HeadKey {
        HeadKey::derived(self.0.as_slice())
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey([REDACTED])")
    }
}

/// Seals and opens records: `v1.<key id>.<base64 of nonce, ciphertext and tag>`.
pub(crate) struct Sealer {
    key: RandomizedNonceKey,
    id: String,
}

impl Sealer {
    pub(crate) fn new(key: &MasterKey) -> Result<Self, StoreError> {
        let cipher = RandomizedNonceKey::new(&AES_256_GCM, key.0.as_slice());
        let cipher = cipher.map_err(|_| StoreError::WrongKey)?;
        Ok(Self { key: cipher, id: key_id(key) })
    }

    /// Seals `value` so that it opens only as `record`.
    pub(crate) fn seal(&self, record: &str, value: &[u8]) -> Result<String, StoreError> {
        let mut text = Zeroizing::new(Vec::with_capacity(value.len() + AES_256_GCM.tag_len()));
        text.extend_from_slice(value);
        let nonce = self
            .key
            .seal_in_place_append_tag(Aad::from(record), &mut *text)
            .map_err(|_| StoreError::Sealed { record: record.to_owned() })?;
        let envelope = [nonce.as_ref().as_slice(), &text].concat();
        Ok(format!("v1.{}.{}", self.id, BASE64.encode(&envelope)))
    }

    /// Opens what was sealed as `record`.
    pub(crate) fn open(
        &self,
        record: &str,
        sealed: &str,
    ) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let damaged = || StoreError::Sealed { record: record.to_owned() };
        let (id, body) =
            sealed.strip_prefix("v1.").and_then(|rest| rest.split_once('.')).ok_or_else(damaged)?;
        if id != self.id {
            return Err(StoreError::WrongKey);
        }
        let envelope = BASE64.decode(body.as_bytes()).map_err(|_| damaged())?;
        let (nonce, text) = envelope.split_at_checked(NONCE_LEN).ok_or_else(damaged)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| damaged())?;
        let mut text = Zeroizing::new(text.to_vec());
        let length = self
            .key
            .open_in_place(nonce, Aad::from(record), &mut text)
            .map_err(|_| damaged())?
            .len();
        text.truncate(length);
        Ok(text)
    }
}

// Tells keys apart in what they sealed; 256 random bits can not be guessed from it.
fn key_id(key: &MasterKey) -> String {
    let text = [b"adit master key id ".as_slice(), key.0.as_slice()].concat();
    let text = Zeroizing::new(text);
    HEXLOWER.encode(&digest(&SHA256, &text).as_ref()[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_value_opens_only_as_its_record_and_with_its_key() {
        let sealer = Sealer::new(&MasterKey::generate()).unwrap();
        let sealed = sealer.seal("credential a", b"hunter2").unwrap();
        assert_eq!(sealer.open("credential a", &sealed).unwrap().as_slice(), b"hunter2");
        let moved = sealer.open("credential b", &sealed).unwrap_err();
        assert!(matches!(moved, StoreError::Sealed { .. }), "{moved}");
        let other = Sealer::new(&MasterKey::generate()).unwrap();
        let wrong = other.open("credential a", &sealed).unwrap_err();
        assert!(matches!(wrong, StoreError::WrongKey), "{wrong}");
    }

    #[test]
    fn a_changed_envelope_is_refused() {
        let sealer = Sealer::new(&MasterKey::generate()).unwrap();
        let sealed = sealer.seal("x", b"").unwrap();
        for changed in ["", "v1", "v1.x", &sealed[..30], &sealed.replace("v1.", "v2.")] {
            assert!(sealer.open("x", changed).is_err(), "{changed}");
        }
    }

    #[test]
    fn a_master_key_reads_as_it_was_written_and_never_prints() {
        let key = MasterKey::generate();
        let text = key.to_base64();
        assert_eq!(MasterKey::from_base64(&format!("{}\n", *text)).unwrap().0, key.0);
        assert!(!format!("{key:?}").contains(&text[..8]));
        assert_eq!(MasterKey::from_base64("c2hvcnQ=").unwrap_err(), MasterKeyError);
    }
}
