//! What the browser says of the question, and the authenticator of itself.

use aws_lc_rs::digest::{SHA256, digest};
use serde::Deserialize;

use crate::{Expected, Fault};

/// The client data (section 5.8.1), as far as it is looked at. More may be in it.
#[derive(Deserialize)]
pub(crate) struct ClientData {
    #[serde(rename = "type")]
    kind: String,
    challenge: String,
    origin: String,
    #[serde(default, rename = "crossOrigin")]
    cross_origin: Option<bool>,
}

/// The challenge that client data answers.
///
/// # Errors
///
/// [`Fault::ClientData`] where it is none.
pub fn challenge(client_data: &[u8]) -> Result<String, Fault> {
    ClientData::read(client_data).map(|data| data.challenge)
}

impl ClientData {
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Fault> {
        let fits = bytes.len() <= LONGEST;
        let read = fits.then(|| serde_json::from_slice(bytes).ok()).flatten();
        read.ok_or(Fault::ClientData)
    }

    pub(crate) fn check(&self, kind: &str, expected: Expected<'_>) -> Result<(), Fault> {
        if self.kind != kind {
            return Err(Fault::Type);
        }
        if self.challenge != expected.challenge {
            return Err(Fault::Challenge);
        }
        if self.cross_origin == Some(true) || !is_of(&self.origin, expected.host) {
            return Err(Fault::Origin);
        }
        Ok(())
    }
}

/// Whether an origin is this very host's, at whatever port: a cookie tells ports apart no better.
fn is_of(origin: &str, host: &str) -> bool {
    let Some(named) = origin.strip_prefix("https://") else { return false };
    let (name, port) = named.split_once(':').map_or((named, None), |(n, port)| (n, Some(port)));
    name.eq_ignore_ascii_case(host) && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

/// The authenticator data (section 6.1). What follows the credential's id, its key in COSE and
/// extensions, is not looked at.
#[derive(Debug)]
pub(crate) struct AuthenticatorData<'a> {
    relying_party: &'a [u8],
    flags: u8,
    pub(crate) counter: u32,
    /// The id of the one that was made.
    pub(crate) credential: Option<&'a [u8]>,
}

impl<'a> AuthenticatorData<'a> {
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, Fault> {
        let fits = bytes.len() <= LONGEST;
        fits.then(|| Self::parse(bytes)).flatten().ok_or(Fault::AuthenticatorData)
    }

    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (relying_party, rest) = bytes.split_at_checked(32)?;
        let (&flags, rest) = rest.split_first()?;
        let (counter, rest) = rest.split_first_chunk::<4>()?;
        let credential = match flags & ATTESTED {
            0 => None,
            _ => Some(credential(rest)?),
        };
        let counter = u32::from_be_bytes(*counter);
        Some(Self { relying_party, flags, counter, credential })
    }

    pub(crate) fn check(&self, expected: Expected<'_>) -> Result<(), Fault> {
        if self.relying_party != digest(&SHA256, expected.host.as_bytes()).as_ref() {
            return Err(Fault::RelyingParty);
        }
        if self.flags & PRESENT == 0 {
            return Err(Fault::Absent);
        }
        match expected.verified && self.flags & VERIFIED == 0 {
            true => Err(Fault::Unverified),
            false => Ok(()),
        }
    }
}

/// The id in attested credential data (section 6.5.1): it stands behind the model's, and its length.
fn credential(bytes: &[u8]) -> Option<&[u8]> {
    let (_, rest) = bytes.split_at_checked(16)?;
    let (length, rest) = rest.split_first_chunk::<2>()?;
    let length = usize::from(u16::from_be_bytes(*length));
    let fits = (1..=LONGEST_ID).contains(&length);
    fits.then(|| rest.get(..length)).flatten()
}

const PRESENT: u8 = 1;
const VERIFIED: u8 = 1 << 2;
const ATTESTED: u8 = 1 << 6;

/// Of client data and of authenticator data; they have some hundred bytes.
const LONGEST: usize = 8 << 10;
/// Section 4, "credential id".
const LONGEST_ID: usize = 1023;
