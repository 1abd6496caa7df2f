use serde::{Deserialize, Serialize};

/// The ALPN protocol of QUIC connections from agents and connectors.
pub const ALPN: &[u8] = b"adit/1";

/// The ALPN protocol of HTTPS connections on which an agent shows its certificate.
pub const ALPN_API: &[u8] = b"adit-api/1";

/// The versions this build speaks.
pub const VERSIONS: VersionRange = VersionRange { min: 1, max: 1 };

/// A range of protocol versions, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionRange {
    pub min: u16,
    pub max: u16,
}

impl VersionRange {
    /// The highest version both sides speak.
    pub fn agree(self, other: Self) -> Option<u16> {
        let highest = self.max.min(other.max);
        (highest >= self.min.max(other.min)).then_some(highest)
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
}
