//! From one record to the next.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{Context, SHA256};
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

/// What stands for a record and all that came before it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Hash([u8; 32]);

/// Why a text is not a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a hash is 64 hexadecimal digits, in small letters")]
pub struct HashError;

/// What the hash of a record is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    pub seq: u64,
    /// Unix milliseconds.
    pub at_ms: u64,
    pub action: &'a str,
    pub session: Option<&'a str>,
    pub user: Option<&'a str>,
    /// As [`canonical`](crate::canonical) writes it.
    pub event: &'a str,
}

impl Hash {
    /// Before the first record.
    pub const START: Self = Self([0; 32]);

    /// SHA-256 over this hash and the six fields of `record`: seq and time in decimal digits, each
    /// field after its length in four bytes, most significant first. An absent field is four bytes
    /// 0xff and nothing else.
    #[must_use]
    pub fn then(&self, record: &Record<'_>) -> Self {
        let mut sum = Context::new(&SHA256);
        sum.update(&self.0);
        let (seq, at_ms) = (record.seq.to_string(), record.at_ms.to_string());
        let Record { action, session, user, event, .. } = *record;
        for field in [Some(&*seq), Some(&*at_ms), Some(action), session, user, Some(event)] {
            // No field comes near four gigabytes; one that did would not fit the table.
            let length = field.map(|field| u32::try_from(field.len()).unwrap_or(u32::MAX - 1));
            sum.update(&length.unwrap_or(u32::MAX).to_be_bytes());
            sum.update(field.unwrap_or_default().as_bytes());
        }
        let mut hash = [0; 32];
        hash.copy_from_slice(sum.finish().as_ref());
        Self(hash)
    }

    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Hash {
    type Err = HashError;

    fn from_str(text: &str) -> Result<Self, HashError> {
        let bytes = HEXLOWER.decode(text.as_bytes()).map_err(|_| HashError)?;
        Ok(Self(bytes.try_into().map_err(|_| HashError)?))
    }
}

impl From<Hash> for String {
    fn from(hash: Hash) -> Self {
        hash.to_string()
    }
}

impl TryFrom<String> for Hash {
    type Error = HashError;

    fn try_from(text: String) -> Result<Self, HashError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of docs/audit.md.
    #[test]
    fn the_published_vectors_hold() {
        let first = Hash::START.then(&opened());
        assert_eq!(
            first.to_string(),
            "f1790abfb4dbac2eeaf8c2b5b3210228ba7b993297cd8cee4a928a092d180dec"
        );
        let second = first.then(&failed());
        assert_eq!(
            second.to_string(),
            "be6d3ef52d16ccf290c970abe15f5d8744b448985e9de4458b3d98861d863281"
        );
        assert_eq!(second.to_string().parse(), Ok(second));
    }

    #[test]
    fn each_field_and_each_border_between_fields_counts() {
        let record = opened();
        let others = [
            Record { seq: 2, ..record },
            Record { at_ms: 1, ..record },
            Record { action: "session.ended", ..record },
            Record { session: None, ..record },
            Record { session: Some(""), ..record },
            Record { user: None, ..record },
            Record { user: Some(""), ..record },
            Record { event: "{}", ..record },
            Record { action: "session.opened6", session: Some("ba7b812"), ..record },
        ];
        let mut seen: Vec<_> = others.iter().map(|other| Hash::START.then(other)).collect();
        seen.push(Hash::START.then(&record));
        seen.push(seen[0].then(&record));
        seen.sort_by_key(|hash| *hash.as_bytes());
        seen.dedup();
        assert_eq!(seen.len(), others.len() + 2);
    }

    #[test]
    fn a_hash_is_written_in_one_way() {
        for bad in ["", "00", &"G".repeat(64), &"A".repeat(64), &"0".repeat(66)] {
            assert_eq!(bad.parse::<Hash>(), Err(HashError), "{bad}");
        }
    }

    fn opened() -> Record<'static> {
        Record {
            seq: 1,
            at_ms: 1_800_000_000_000,
            action: "session.opened",
            session: Some("6ba7b812-9dad-11d1-80b4-00c04fd430c8"),
            user: Some("alice"),
            event: r#"{"action":"session.opened","user":"alice"}"#,
        }
    }

    fn failed() -> Record<'static> {
        Record {
            seq: 2,
            at_ms: 1_800_000_000_001,
            action: "authn.failed",
            session: None,
            user: None,
            event: r#"{"action":"authn.failed","detail":"\u00fc\u001b"}"#,
        }
    }
}
