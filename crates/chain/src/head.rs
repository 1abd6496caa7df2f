//! Where the chain ends, vouched for by who writes it.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::hmac::{HMAC_SHA256, Key, Tag, sign, verify};
use data_encoding::HEXLOWER;

use crate::Hash;

/// The last record of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// 0: there is none yet.
    pub seq: u64,
    pub hash: Hash,
}

/// Why a text names no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a record is noted as its number and hash, SEQ:HASH, the hash in 64 hexadecimal digits")]
pub struct HeadError;

/// Vouches for heads: who can write to the table, but has not this key, can not end the chain
/// elsewhere.
pub struct HeadKey(Key);

impl Head {
    /// Of a chain without records.
    pub const START: Self = Self { seq: 0, hash: Hash::START };

    fn message(&self) -> Vec<u8> {
        let seq = self.seq.to_be_bytes();
        [b"adit audit head ".as_slice(), &seq, self.hash.as_bytes()].concat()
    }
}

/// As people note it: `12:f179…`.
impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.seq, self.hash)
    }
}

impl FromStr for Head {
    type Err = HeadError;

    fn from_str(text: &str) -> Result<Self, HeadError> {
        let (seq, hash) = text.split_once(':').ok_or(HeadError)?;
        let digits = seq.bytes().all(|byte| byte.is_ascii_digit());
        let seq = seq.parse().ok().filter(|_| digits).ok_or(HeadError)?;
        Ok(Self { seq, hash: hash.parse().map_err(|_| HeadError)? })
    }
}

impl HeadKey {
    /// The key for heads that follows from a master key.
    pub fn derived(master: &[u8]) -> Self {
        let master = Key::new(HMAC_SHA256, master);
        Self(Key::new(HMAC_SHA256, sign(&master, b"adit audit head key").as_ref()))
    }

    /// Vouches for `head`, in hexadecimal digits.
    pub fn sign(&self, head: &Head) -> String {
        HEXLOWER.encode(tag(&sign(&self.0, &head.message())))
    }

    /// Whether [`sign`](Self::sign) of the same key vouched for `head`.
    pub fn vouches(&self, head: &Head, mac: &str) -> bool {
        HEXLOWER
            .decode(mac.as_bytes())
            .is_ok_and(|mac| verify(&self.0, &head.message(), &mac).is_ok())
    }
}

fn tag(tag: &Tag) -> &[u8] {
    tag.as_ref()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_key_vouches_and_for_one_head() {
        let key = HeadKey::derived(&[7; 32]);
        let head = Head { seq: 3, ..Head::START };
        let mac = key.sign(&head);
        assert!(key.vouches(&head, &mac));
        assert!(!key.vouches(&Head { seq: 4, ..head }, &mac));
        assert!(!HeadKey::derived(&[8; 32]).vouches(&head, &mac));
        for bad in ["", "zz", &mac[2..]] {
            assert!(!key.vouches(&head, bad), "{bad}");
        }
    }

    #[test]
    fn a_noted_record_is_read_as_it_is_written() {
        let head = Head { seq: 3, ..Head::START };
        assert_eq!(head.to_string().parse(), Ok(head));
        let zeros = "0".repeat(64);
        for bad in ["", "3", ":", "3:00", &format!("+3:{zeros}"), &format!(" 3:{zeros}"), &zeros] {
            assert_eq!(bad.parse::<Head>(), Err(HeadError), "{bad}");
        }
    }
}
