//! Telling clients which host keys the relay has and will have (OpenSSH's PROTOCOL, section 2.5):
//! who connected while a key was the next one takes it without a question once it is shown.

use russh::keys::signature::Signer;
use russh::keys::ssh_encoding::{Decode, Encode};
use russh::keys::ssh_key::Signature;
use russh::keys::{PrivateKey, ssh_encoding, ssh_key};

/// The request by which the keys are told.
pub(crate) const ANNOUNCE: &str = "hostkeys-00@openssh.com";

/// The request by which a client has keys proven, and what stands before each proof.
pub(crate) const PROVE: &str = "hostkeys-prove-00@openssh.com";

/// How often a client may ask for proofs: signatures cost it nothing.
pub(crate) const MAX_ASKED: u8 = 4;

/// The keys that are told of, with their form on the wire.
pub(crate) struct Announced(Vec<(Vec<u8>, PrivateKey)>);

impl Announced {
    pub(crate) fn new(keys: impl IntoIterator<Item = PrivateKey>) -> Self {
        // What can not be written is told to nobody.
        let blob = |key: PrivateKey| key.public_key().to_bytes().ok().map(|blob| (blob, key));
        Self(keys.into_iter().filter_map(blob).collect())
    }

    /// What stands in the announcement: each key.
    pub(crate) fn told(&self) -> Result<Vec<u8>, ssh_encoding::Error> {
        let mut told = Vec::new();
        for (blob, _) in &self.0 {
            blob.encode(&mut told)?;
        }
        Ok(told)
    }

    /// A signature by each of the keys `asked` for, over this connection. `None`: a key that is not
    /// ours, or more than there are.
    pub(crate) fn prove(&self, session_id: &[u8], mut asked: &[u8]) -> Option<Vec<u8>> {
        let mut proofs = Vec::new();
        for _ in 0..self.0.len() {
            if asked.is_empty() {
                break;
            }
            let asked = Vec::<u8>::decode(&mut asked).ok()?;
            let (blob, key) = self.0.iter().find(|(blob, _)| *blob == asked)?;
            proof(key, blob, session_id).ok()?.encode(&mut proofs).ok()?;
        }
        asked.is_empty().then_some(proofs)
    }
}

/// RSA keys sign with SHA-512, whatever the key exchange used.
fn proof(key: &PrivateKey, blob: &[u8], session_id: &[u8]) -> Result<Vec<u8>, ssh_key::Error> {
    let mut signed = Vec::new();
    PROVE.encode(&mut signed)?;
    session_id.encode(&mut signed)?;
    blob.encode(&mut signed)?;
    let signature: Signature = key.try_sign(&signed).map_err(|_| ssh_key::Error::Crypto)?;
    let mut proof = Vec::new();
    signature.encode(&mut proof)?;
    Ok(proof)
}

#[cfg(test)]
mod tests {
    use russh::keys::ssh_key::private::Ed25519Keypair;

    use super::*;

    #[test]
    fn only_keys_of_ours_are_proven_and_no_more_than_there_are() {
        let announced = Announced::new([key(1), key(2)]);
        let told = announced.told().unwrap();
        let proofs = announced.prove(b"session", &told).unwrap();
        assert!(!proofs.is_empty());
        assert_ne!(announced.prove(b"another", &told).unwrap(), proofs);
        let strange = Announced::new([key(1), key(3)]).told().unwrap();
        assert_eq!(announced.prove(b"session", &strange), None);
        assert_eq!(announced.prove(b"session", &[told.clone(), told.clone()].concat()), None);
        assert_eq!(announced.prove(b"session", &told[..told.len() - 1]), None);
        assert_eq!(announced.prove(b"session", &[0xff; 4]), None);
        assert_eq!(announced.prove(b"session", &[]), Some(Vec::new()));
    }

    fn key(seed: u8) -> PrivateKey {
        PrivateKey::from(Ed25519Keypair::from_seed(&[seed; 32]))
    }
}
