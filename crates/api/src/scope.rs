//! What an admin token may be used for.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A part of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Everything that can be looked at, but for the audit log.
    Read,
    /// The audit log and the records of sessions.
    Audit,
    /// Changing sites, applications, users, groups, grants and machines.
    Configuration,
    /// Issuing and revoking tokens, none wider than the one that is shown.
    Tokens,
    /// Ending sessions.
    Sessions,
    /// Asking for access and deciding on it.
    Requests,
}

/// Some of them, at least one.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Scope>", into = "Vec<Scope>")]
pub struct Scopes(u8);

impl Scope {
    pub const ALL: [Self; 6] = [
        Self::Read,
        Self::Audit,
        Self::Configuration,
        Self::Tokens,
        Self::Sessions,
        Self::Requests,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Audit => "audit",
            Self::Configuration => "configuration",
            Self::Tokens => "tokens",
            Self::Sessions => "sessions",
            Self::Requests => "requests",
        }
    }

    fn bit(self) -> u8 {
        match self {
            Self::Read => 1,
            Self::Audit => 2,
            Self::Configuration => 4,
            Self::Tokens => 8,
            Self::Sessions => 16,
            Self::Requests => 32,
        }
    }
}

impl Scopes {
    pub fn has(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }

    pub fn list(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.has(*scope))
    }

    /// The first of these that `wider` does not have.
    pub fn beyond(self, wider: Self) -> Option<Scope> {
        self.list().find(|scope| !wider.has(*scope))
    }
}

impl TryFrom<Vec<Scope>> for Scopes {
    type Error = &'static str;

    fn try_from(list: Vec<Scope>) -> Result<Self, &'static str> {
        match list.iter().fold(0, |bits, scope| bits | scope.bit()) {
            0 => Err("scopes: at least one; without the field it may do all its user may"),
            bits => Ok(Self(bits)),
        }
    }
}

impl From<Scopes> for Vec<Scope> {
    fn from(scopes: Scopes) -> Self {
        scopes.list().collect()
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|scope| scope.as_str() == text);
        found.ok_or_else(|| {
            let all: Vec<_> = Self::ALL.iter().map(|scope| scope.as_str()).collect();
            format!("unknown scope {text:?}; there are {}", all.join(", "))
        })
    }
}

/// With a blank between them.
impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<_> = self.list().map(Scope::as_str).collect();
        f.pad(&words.join(" "))
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scopes({self})")
    }
}

impl FromStr for Scopes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let list: Result<Vec<Scope>, _> = text.split_whitespace().map(str::parse).collect();
        Self::try_from(list?).map_err(str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_read_as_they_are_written_and_are_never_none() {
        let all: Scopes = Scope::ALL.to_vec().try_into().unwrap();
        assert_eq!(all.to_string().parse(), Ok(all));
        assert_eq!(all.list().collect::<Vec<_>>(), Scope::ALL);
        let some: Scopes = "tokens read".parse().unwrap();
        assert_eq!(serde_json::to_string(&some).unwrap(), r#"["read","tokens"]"#);
        assert_eq!((some.beyond(all), all.beyond(some)), (None, Some(Scope::Audit)));
        assert!("".parse::<Scopes>().is_err() && "rEad".parse::<Scopes>().is_err());
        assert!(serde_json::from_str::<Scopes>("[]").is_err());
    }
}
