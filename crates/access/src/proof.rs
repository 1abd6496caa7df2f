//! Which proofs of who somebody is the SSH door asks for, and in which order.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Credential;

/// A proof of who somebody is, as the term `authentication` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Proof {
    /// A registered SSH key.
    PublicKey,
    /// A certificate of the relay's user CA.
    Certificate,
    /// An access or API token.
    Token,
    /// An enrolled agent's own connection: `adit ssh`.
    Agent,
    /// A browser that is signed in: its terminal.
    Browser,
}

/// One way of signing in: what is asked for, in this order. As text `publickey,token`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Proofs(Vec<Proof>);

impl Proof {
    pub const ALL: [Self; 5] =
        [Self::PublicKey, Self::Certificate, Self::Token, Self::Agent, Self::Browser];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::PublicKey => "publickey",
            Self::Certificate => "certificate",
            Self::Token => "token",
            Self::Agent => "agent",
            Self::Browser => "browser",
        }
    }

    /// What a credential proves at the SSH door.
    pub(crate) fn of(credential: &Credential) -> Self {
        match credential {
            Credential::SshKey { .. } => Self::PublicKey,
            Credential::Certificate { .. } => Self::Certificate,
            Credential::Token { .. } => Self::Token,
            Credential::Agent { .. } => Self::Agent,
            Credential::SignIn { .. } => Self::Browser,
        }
    }
}

impl Proofs {
    /// Whether these, and no others, were shown, in this order.
    pub(crate) fn are(&self, shown: &[Proof]) -> bool {
        self.0 == shown
    }

    /// What is asked for next of who has shown these; `None`: they go another way, or are there.
    pub(crate) fn after(&self, shown: &[Proof]) -> Option<Proof> {
        self.0.strip_prefix(shown)?.first().copied()
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Proof {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|proof| proof.as_str() == text);
        found.ok_or_else(|| {
            format!("unknown proof {text:?}; one of publickey, certificate, token, agent, browser")
        })
    }
}

impl fmt::Display for Proofs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let proofs: Vec<_> = self.0.iter().map(|proof| proof.as_str()).collect();
        f.write_str(&proofs.join(","))
    }
}

impl FromStr for Proofs {
    type Err = String;

    /// One proof after another; none twice, and `agent` and `browser`, which are whole connections,
    /// alone.
    fn from_str(text: &str) -> Result<Self, String> {
        let proofs: Vec<Proof> =
            text.split(',').map(|proof| proof.trim().parse()).collect::<Result<_, _>>()?;
        let twice = |proof: &Proof| proofs.iter().filter(|other| *other == proof).count() > 1;
        if let Some(proof) = proofs.iter().find(|proof| twice(proof)) {
            return Err(format!("{proof} is asked for once at most"));
        }
        let whole = [Proof::Agent, Proof::Browser].into_iter().find(|whole| proofs.contains(whole));
        if let Some(whole) = whole.filter(|_| proofs.len() > 1) {
            return Err(format!("{whole} stands alone: nothing can be asked of its connection"));
        }
        Ok(Self(proofs))
    }
}

impl Serialize for Proofs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Proofs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proofs_are_asked_for_in_their_order() {
        use Proof::{Agent, Certificate, PublicKey, Token};
        let proofs: Proofs = "publickey, token".parse().unwrap();
        assert_eq!(proofs.to_string(), "publickey,token");
        let table: [(&[Proof], Option<Proof>); 6] = [
            (&[], Some(PublicKey)),
            (&[PublicKey], Some(Token)),
            (&[PublicKey, Token], None),
            (&[Token], None),
            (&[Certificate], None),
            (&[Agent], None),
        ];
        for (shown, next) in table {
            assert_eq!(proofs.after(shown), next, "{shown:?}");
            assert_eq!(proofs.are(shown), shown == [PublicKey, Token], "{shown:?}");
        }
    }

    #[test]
    fn what_can_not_be_asked_for_is_refused() {
        for wrong in [
            "",
            ",",
            "password",
            "token,token",
            "publickey,agent",
            "publickey;token",
            "browser,token",
        ] {
            assert!(wrong.parse::<Proofs>().is_err(), "{wrong:?}");
        }
        for right in ["agent", "browser"] {
            assert!(right.parse::<Proofs>().is_ok(), "{right}");
        }
    }
}
