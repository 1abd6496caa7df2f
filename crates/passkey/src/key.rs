//! The public keys of passkeys.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    UnparsedPublicKey, VerificationAlgorithm,
};

use crate::Fault;

/// What a passkey signs by, and its number in COSE (IANA, "COSE Algorithms").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    Es256,
    EdDsa,
    Rs256,
}

/// The public half of a passkey.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    algorithm: Algorithm,
    spki: Vec<u8>,
}

impl Algorithm {
    /// All that are taken, the best first.
    pub const ALL: [Self; 3] = [Self::EdDsa, Self::Es256, Self::Rs256];

    pub fn number(self) -> i64 {
        match self {
            Self::Es256 => -7,
            Self::EdDsa => -8,
            Self::Rs256 => -257,
        }
    }

    /// How it signs: section 6.5.6 has ECDSA's signatures in DER.
    fn how(self) -> &'static dyn VerificationAlgorithm {
        match self {
            Self::Es256 => &ECDSA_P256_SHA256_ASN1,
            Self::EdDsa => &ED25519,
            Self::Rs256 => &RSA_PKCS1_2048_8192_SHA256,
        }
    }
}

impl PublicKey {
    /// A key by the number of its algorithm and its SubjectPublicKeyInfo.
    ///
    /// # Errors
    ///
    /// [`Fault::Algorithm`] for one that is not taken, [`Fault::Key`] for what is no key of it.
    pub fn new(algorithm: i64, spki: &[u8]) -> Result<Self, Fault> {
        let known = Algorithm::ALL.into_iter().find(|one| one.number() == algorithm);
        let algorithm = known.ok_or(Fault::Algorithm)?;
        // A SEQUENCE: what else is read as a key is not written back as one.
        let whole = spki.first() == Some(&0x30) && spki.len() <= LONGEST;
        match whole && ParsedPublicKey::new(algorithm.how(), spki).is_ok() {
            true => Ok(Self { algorithm, spki: spki.to_vec() }),
            false => Err(Fault::Key),
        }
    }

    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    pub(crate) fn verify(&self, signed: &[u8], signature: &[u8]) -> Result<(), Fault> {
        let key = UnparsedPublicKey::new(self.algorithm.how(), &self.spki);
        key.verify(signed, signature).map_err(|_| Fault::Signature)
    }
}

/// RSA of 8192 bits has a little more than a thousand bytes.
const LONGEST: usize = 2048;
