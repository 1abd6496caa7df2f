//! SSH keys as far as the store must understand them: their form, their strength and their
//! fingerprint.

mod strength;

use std::fmt;
use std::str::FromStr;

use access::text::is_hidden;
use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::{BASE64, BASE64_NOPAD};

/// A public key in OpenSSH form: `ssh-ed25519 AAAA… comment`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PublicKey {
    algorithm: String,
    blob: Vec<u8>,
    comment: String,
}

/// Why a text is not a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeyError {
    #[error("a public key is one line such as `ssh-ed25519 AAAA… comment`")]
    Form,
    #[error(
        "this is a private key, and whoever has it can sign in: it stays where it is. Give the \
         public one, from the file that ends in .pub"
    )]
    Secret,
    #[error("options as in authorized_keys are not taken: give the key alone")]
    Options,
    #[error("a certificate is no key: give the key it was made for, without -cert in its name")]
    Certificate,
    #[error("an RSA key of {0} bits is too weak; 3072 is the least: ssh-keygen -t ed25519")]
    Weak(usize),
    #[error("the key's algorithm is not one of {}", ALGORITHMS.join(", "))]
    Algorithm,
    #[error("the key's base64 is damaged")]
    Base64,
    #[error("a private key is an OpenSSH PEM file; `ssh-keygen -p -f FILE` turns others into one")]
    Private,
    #[error("the private key has a passphrase; `ssh-keygen -p -f FILE` removes it")]
    Passphrase,
}

impl PublicKey {
    /// Reads a key that is to sign a user in: it must be whole and strong enough, and its comment
    /// fit for lists.
    pub(crate) fn of_user(text: &str) -> Result<Self, KeyError> {
        let key: Self = text.parse()?;
        strength::check(&key.algorithm, &key.blob)?;
        let comment = fit(&key.comment);
        Ok(Self { comment, ..key })
    }

    /// With this comment instead of its own.
    pub(crate) fn named(self, name: Option<&str>) -> Self {
        match name {
            Some(name) => Self { comment: fit(name), ..self },
            None => self,
        }
    }

    /// `SHA256:…` as `ssh-keygen -l` prints it.
    pub(crate) fn fingerprint(&self) -> String {
        format!("SHA256:{}", BASE64_NOPAD.encode(digest(&SHA256, &self.blob).as_ref()))
    }

    /// Without its comment.
    pub(crate) fn bare(&self) -> String {
        format!("{} {}", self.algorithm, BASE64.encode(&self.blob))
    }

    pub(crate) fn same_key(&self, other: &Self) -> bool {
        self.blob == other.blob
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        if text.contains("PRIVATE KEY") {
            return Err(KeyError::Secret);
        }
        if text.len() > MAX_TEXT || text.trim().contains(['\n', '\r']) {
            return Err(KeyError::Form);
        }
        let mut words = text.split_whitespace();
        let (Some(algorithm), Some(base64)) = (words.next(), words.next()) else {
            return Err(KeyError::Form);
        };
        if !ALGORITHMS.contains(&algorithm) {
            return Err(unknown(algorithm, text));
        }
        let blob = BASE64.decode(base64.as_bytes()).map_err(|_| KeyError::Base64)?;
        // The blob names its algorithm again: a key that was cut or put together shows here.
        if field(&blob).is_none_or(|(named, _)| named != algorithm.as_bytes()) {
            return Err(KeyError::Base64);
        }
        let comment = words.collect::<Vec<_>>().join(" ");
        Ok(Self { algorithm: algorithm.to_owned(), blob, comment })
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.bare())?;
        if self.comment.is_empty() { Ok(()) } else { write!(f, " {}", self.comment) }
    }
}

/// Refuses a text that is not a private key in OpenSSH form without a passphrase.
pub(crate) fn check_private_key(text: &str) -> Result<(), KeyError> {
    let body = text
        .trim()
        .strip_prefix("-----BEGIN OPENSSH PRIVATE KEY-----")
        .and_then(|rest| rest.strip_suffix("-----END OPENSSH PRIVATE KEY-----"))
        .ok_or(KeyError::Private)?;
    let base64: String = body.split_whitespace().collect();
    let blob = BASE64.decode(base64.as_bytes()).map_err(|_| KeyError::Private)?;
    let blob = zeroize::Zeroizing::new(blob);
    let rest = blob.strip_prefix(b"openssh-key-v1\0").ok_or(KeyError::Private)?;
    match field(rest).ok_or(KeyError::Private)?.0 {
        b"none" => Ok(()),
        _ => Err(KeyError::Passphrase),
    }
}

/// Why a line does not begin with an algorithm that is taken.
fn unknown(first: &str, line: &str) -> KeyError {
    if first.ends_with("-cert-v01@openssh.com") {
        return KeyError::Certificate;
    }
    let known = |word: &str| ALGORITHMS.contains(&word);
    match line.split_whitespace().any(known) {
        true => KeyError::Options,
        false => KeyError::Algorithm,
    }
}

/// A comment as one line of text that shows as it is.
fn fit(comment: &str) -> String {
    let words = comment.split_whitespace().collect::<Vec<_>>().join(" ");
    words.chars().filter(|c| !is_hidden(*c)).take(LONGEST_COMMENT).collect()
}

const MAX_TEXT: usize = 16 * 1024;
const LONGEST_COMMENT: usize = 64;

const ALGORITHMS: [&str; 7] = [
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "ssh-rsa",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
];

/// The first length-prefixed field of an SSH blob, and what follows it.
fn field(blob: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = blob.split_first_chunk::<4>()?;
    rest.split_at_checked(u32::from_be_bytes(*length) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ/D9RpXsRdzgZAnjYUjPLVzFnTZhmtD9CxfAuXhxqYc";

    #[test]
    fn a_public_key_prints_as_it_parses_and_keeps_its_comment() {
        let key: PublicKey = format!("  {KEY}   alice@laptop  old \n").parse().unwrap();
        assert_eq!(key.to_string(), format!("{KEY} alice@laptop old"));
        assert!(key.same_key(&KEY.parse().unwrap()));
    }

    #[test]
    fn what_is_no_public_key_is_refused_with_the_reason() {
        let bad = [
            ("", KeyError::Form),
            ("ssh-ed25519", KeyError::Form),
            ("ssh-dss AAAA", KeyError::Algorithm),
            ("no-pty ssh-ed25519 AAAA", KeyError::Options),
            (&format!("from=\"10.0.0.1\",no-pty {KEY}"), KeyError::Options),
            ("ssh-ed25519-cert-v01@openssh.com AAAA", KeyError::Certificate),
            ("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA", KeyError::Secret),
            ("-----BEGIN RSA PRIVATE KEY-----", KeyError::Secret),
            ("ssh-ed25519 AAAA!", KeyError::Base64),
            (&KEY.replace("ssh-ed25519 ", "ssh-rsa "), KeyError::Base64),
            (&format!("{KEY}\n{KEY}"), KeyError::Form),
        ];
        for (text, error) in bad {
            assert_eq!(text.parse::<PublicKey>(), Err(error), "{text:?}");
        }
    }

    #[test]
    fn a_private_key_with_a_passphrase_is_told_apart() {
        let pem = |cipher: &str| {
            let mut blob = b"openssh-key-v1\0".to_vec();
            blob.extend(u32::try_from(cipher.len()).unwrap().to_be_bytes());
            blob.extend(cipher.as_bytes());
            format!(
                "-----BEGIN OPENSSH PRIVATE KEY-----\n{}\n-----END OPENSSH PRIVATE KEY-----\n",
                BASE64.encode(&blob)
            )
        };
        assert_eq!(check_private_key(&pem("none")), Ok(()));
        assert_eq!(check_private_key(&pem("aes256-ctr")), Err(KeyError::Passphrase));
        assert_eq!(check_private_key("hunter2"), Err(KeyError::Private));
    }
}
