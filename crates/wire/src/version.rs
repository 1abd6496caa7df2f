use serde::{Deserialize, Serialize};

/// The ALPN protocol of QUIC connections from agents and connectors.
pub const ALPN: &[u8] = b"adit/1";

/// The ALPN protocol of HTTPS connections on which an agent shows its certificate.
pub const ALPN_API: &[u8] = b"adit-api/1";

/// The versions this build speaks: the newest, and the one before it, so that relay and machines can
/// be updated one after the other.
///
/// 1: the first. 2: a connector may ask its relay for an update (`Header::Fetch`).
pub const VERSIONS: VersionRange = VersionRange { min: 1, max: 2 };

/// The first version in which a connector may ask for updates.
pub const WITH_UPDATES: u16 = 2;

/// A range of protocol versions, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionRange {
    pub min: u16,
    pub max: u16,
}

impl VersionRange {
    /// No version that there is: whoever says this agrees with nobody.
    pub const NONE: Self = Self { min: 0, max: 0 };

    /// The highest version both sides speak.
    pub fn agree(self, other: Self) -> Option<u16> {
        let highest = self.max.min(other.max);
        (highest >= self.min.max(other.min)).then_some(highest)
    }

    pub fn contains(self, version: u16) -> bool {
        (self.min..=self.max).contains(&version)
    }

    /// Whether who speaks these is too old for who speaks `other`; otherwise, where they do not agree,
    /// it is too new.
    pub fn is_older_than(self, other: Self) -> bool {
        self.max < other.min
    }
}

impl std::fmt::Display for VersionRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.min == self.max {
            true => write!(f, "version {}", self.min),
            false => write!(f, "versions {} to {}", self.min, self.max),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_sides_agree_on_the_highest_common_version() {
        let table = [
            ((1, 1), (1, 1), Some(1)),
            ((1, 3), (2, 5), Some(3)),
            ((2, 5), (1, 3), Some(3)),
            ((1, 2), (3, 4), None),
            ((3, 4), (1, 2), None),
            ((3, 1), (1, 3), None),
        ];
        for ((a, b), (c, d), agreed) in table {
            let (ours, theirs) = (VersionRange { min: a, max: b }, VersionRange { min: c, max: d });
            assert_eq!(ours.agree(theirs), agreed, "{ours:?} {theirs:?}");
        }
    }

    #[test]
    fn this_build_speaks_the_version_before_its_newest() {
        assert_eq!(VERSIONS.min, VERSIONS.max - 1);
    }
}
