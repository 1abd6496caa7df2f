//! Passkeys: what a browser brings from an authenticator, checked (W3C Web Authentication, Level 2).
//!
//! Nothing is asked of who made an authenticator (attestation `none`): its key is the one the browser
//! gives beside it (section 5.2.1.1), so no CBOR is read. Whoever registers a key can lie about it only
//! to their own harm.
//!
//! INVARIANT: nothing here performs I/O, reads a clock or keeps anything.

mod data;
mod key;

use aws_lc_rs::digest::{SHA256, digest};

pub use data::challenge;
use data::{AuthenticatorData, ClientData};
pub use key::{Algorithm, PublicKey};

/// What is known of a ceremony that a browser answers.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The relying party's id, which is the host of its one origin too. Pages of other hosts below it
    /// may use its keys, and say so.
    pub host: &'a str,
    /// As it was sent: base64url without padding.
    pub challenge: &'a str,
    /// Whether the authenticator has to say that it knows its user: by a PIN, a finger, a face.
    pub verified: bool,
}

/// What a browser brings when a passkey is made.
#[derive(Clone, Copy, Debug)]
pub struct Registration<'a> {
    pub client_data: &'a [u8],
    pub authenticator_data: &'a [u8],
    /// The number of its algorithm in COSE.
    pub algorithm: i64,
    /// As SubjectPublicKeyInfo.
    pub public_key: &'a [u8],
}

/// What a browser brings when a passkey is used.
#[derive(Clone, Copy, Debug)]
pub struct Assertion<'a> {
    pub client_data: &'a [u8],
    pub authenticator_data: &'a [u8],
    pub signature: &'a [u8],
}

/// A passkey that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    pub id: Vec<u8>,
    pub key: PublicKey,
    pub counter: u32,
}

/// Why what a browser brought proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("the client data can not be read")]
    ClientData,
    #[error("it answers another kind of question")]
    Type,
    #[error("it answers another challenge")]
    Challenge,
    #[error("a page of another host asked for it")]
    Origin,
    #[error("the authenticator data can not be read")]
    AuthenticatorData,
    #[error("it is for another host")]
    RelyingParty,
    #[error("nobody touched the authenticator")]
    Absent,
    #[error("the authenticator does not say that it knows its user")]
    Unverified,
    #[error("it has a key of a kind that is not taken")]
    Algorithm,
    #[error("its key can not be read")]
    Key,
    #[error("its key has not signed it")]
    Signature,
    #[error("its counter went back: there may be a copy of it")]
    Counter,
}

/// Checks a passkey that was made (section 7.1).
///
/// # Errors
///
/// What it is short of, in the order of the section.
pub fn registered(what: Registration<'_>, expected: Expected<'_>) -> Result<Registered, Fault> {
    ClientData::read(what.client_data)?.check("webauthn.create", expected)?;
    let data = AuthenticatorData::read(what.authenticator_data)?;
    data.check(expected)?;
    let id = data.credential.ok_or(Fault::AuthenticatorData)?.to_vec();
    let key = PublicKey::new(what.algorithm, what.public_key)?;
    Ok(Registered { id, key, counter: data.counter })
}

/// Checks that a passkey was used, which has counted to `counter` before (section 7.2); gives what it
/// has counted to now.
///
/// # Errors
///
/// What it is short of, in the order of the section.
pub fn used(
    what: Assertion<'_>,
    expected: Expected<'_>,
    key: &PublicKey,
    counter: u32,
) -> Result<u32, Fault> {
    ClientData::read(what.client_data)?.check("webauthn.get", expected)?;
    let data = AuthenticatorData::read(what.authenticator_data)?;
    data.check(expected)?;
    let client = digest(&SHA256, what.client_data);
    let signed = [what.authenticator_data, client.as_ref()].concat();
    key.verify(&signed, what.signature)?;
    // Those that do not count say 0 each time (section 6.1.1).
    let counts = data.counter != 0 || counter != 0;
    match counts && data.counter <= counter {
        true => Err(Fault::Counter),
        false => Ok(data.counter),
    }
}

#[cfg(test)]
mod tests;
