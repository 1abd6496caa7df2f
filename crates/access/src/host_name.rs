//! Names in the DNS that lead to an application.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A host name of an application: `wiki.example.com`. At least two labels in lower-case ASCII, other
/// letters in their `xn--` form; no wildcard, no address, no port and no dot at the end, so that one
/// host is written in one way.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostName(Arc<str>);

/// Why a text is not a host name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostNameError {
    #[error("a host name has at most {max} characters", max = HostName::MAX)]
    Length,
    #[error("a host name has only a-z, 0-9, - and dots, not {0:?}; other letters as xn--…")]
    Character(char),
    #[error("a host name is several labels with dots between, such as wiki.example.com")]
    Labels,
    #[error("a label has 1 to 63 characters and begins and ends with a letter or digit")]
    Label,
    #[error("an address is no host name")]
    Address,
}

impl HostName {
    /// The longest one, in characters.
    pub const MAX: usize = 253;

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is `domain`, or below it.
    pub fn is_within(&self, domain: &str) -> bool {
        let above = self.0.strip_suffix(&domain.to_ascii_lowercase());
        above.is_some_and(|above| above.is_empty() || above.ends_with('.'))
    }
}

impl FromStr for HostName {
    type Err = HostNameError;

    fn from_str(text: &str) -> Result<Self, HostNameError> {
        if text.len() > Self::MAX {
            return Err(HostNameError::Length);
        }
        let allowed =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
        if let Some(c) = text.chars().find(|&c| !allowed(c)) {
            return Err(HostNameError::Character(c));
        }
        let mut labels = text.split('.');
        let (first, last) = (labels.next().unwrap_or_default(), labels.next_back());
        let last = last.ok_or(HostNameError::Labels)?;
        if ![first, last].into_iter().chain(labels).all(is_label) {
            return Err(HostNameError::Label);
        }
        // RFC 1123, section 2.1: what ends in a number is read as an address.
        if last.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(HostNameError::Address);
        }
        Ok(Self(text.into()))
    }
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-')
}

impl TryFrom<String> for HostName {
    type Error = HostNameError;

    fn try_from(text: String) -> Result<Self, HostNameError> {
        text.parse()
    }
}

impl From<HostName> for String {
    fn from(name: HostName) -> Self {
        name.0.as_ref().to_owned()
    }
}

impl Borrow<str> for HostName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_written_in_one_way() {
        for good in ["wiki.example.com", "a.b", "0.example", "xn--bcher-kva.example", "a-b.c-d.e1"]
        {
            assert_eq!(good.parse::<HostName>().unwrap().as_str(), good);
        }
        let long = format!("{}.example", "a".repeat(64));
        let longest = format!("{}com", "abc.".repeat(63));
        let bad = [
            ("", HostNameError::Labels),
            ("wiki", HostNameError::Labels),
            ("Wiki.example", HostNameError::Character('W')),
            ("bücher.example", HostNameError::Character('ü')),
            ("*.example.com", HostNameError::Character('*')),
            ("wiki.example:443", HostNameError::Character(':')),
            ("wiki_1.example", HostNameError::Character('_')),
            ("[::1]", HostNameError::Character('[')),
            ("wiki.example.", HostNameError::Label),
            (".example", HostNameError::Label),
            ("a..b", HostNameError::Label),
            ("-a.example", HostNameError::Label),
            ("a.b-", HostNameError::Label),
            (&long, HostNameError::Label),
            (&longest, HostNameError::Length),
            ("192.0.2.1", HostNameError::Address),
            ("wiki.1", HostNameError::Address),
        ];
        for (text, error) in bad {
            assert_eq!(text.parse::<HostName>(), Err(error), "{text:?}");
        }
    }

    #[test]
    fn a_domain_holds_itself_and_what_is_below_it() {
        let name: HostName = "wiki.relay.example".parse().unwrap();
        for (domain, within) in [
            ("relay.example", true),
            ("Relay.Example", true),
            ("wiki.relay.example", true),
            ("y.example", false),
            ("relay.exampl", false),
        ] {
            assert_eq!(name.is_within(domain), within, "{domain}");
        }
    }
}
