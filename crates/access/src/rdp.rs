//! By what an RDP application's target is known.

use serde::{Deserialize, Serialize};

use crate::web::{is_host, is_pem, is_sha256};

/// The options of an RDP application. Each has a default, and none makes it less safe.
///
/// Absent all: a certificate that the relay's machine trusts for the address's host is good, and of
/// others the first one seen, from then on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct RdpOptions {
    /// The CAs that sign the target's certificate (PEM).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// The SHA-256 of the target's one good certificate (hex), whoever signed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pin: Option<String>,
    /// The name in the TLS handshake and in the certificate; absent: the address's host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sni: Option<String>,
    /// Whether nothing is learned: the relay's machine has to trust the certificate.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub verified: bool,
    /// Whether pictures in the browser may lose what is hardly seen (RemoteFX), for slow lines and
    /// moving pictures.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub lossy: bool,
}

impl RdpOptions {
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the first certificate seen is what the target is known by from then on.
    pub fn learns(&self) -> bool {
        self.ca.is_none() && self.pin.is_none() && !self.verified
    }

    /// What is not valid, one sentence each.
    pub fn faults(&self) -> Vec<String> {
        let checks = [
            ("ca is no certificate in PEM form", self.ca.as_deref().is_none_or(is_pem)),
            ("pin is no SHA-256 in hex", self.pin.as_deref().is_none_or(is_sha256)),
            ("pin and ca: one is enough", self.pin.is_none() || self.ca.is_none()),
            (
                "verified is for a certificate without ca and pin",
                !self.verified || (self.pin.is_none() && self.ca.is_none()),
            ),
            ("sni is no host name", self.sni.as_deref().is_none_or(is_host)),
        ];
        let faults = checks.into_iter().filter(|(_, good)| !good);
        faults.map(|(fault, _)| fault.to_owned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_names_no_certificate_learns_one() {
        assert!(RdpOptions::default().learns());
        let pin = Some("ab".repeat(32));
        assert!(!RdpOptions { pin, ..RdpOptions::default() }.learns());
        assert!(!RdpOptions { verified: true, ..RdpOptions::default() }.learns());
        assert!(RdpOptions { lossy: true, ..RdpOptions::default() }.learns());
    }

    #[test]
    fn each_fault_is_told() {
        let one = |change: fn(&mut RdpOptions)| {
            let mut options = RdpOptions::default();
            change(&mut options);
            options
        };
        let bad = [
            one(|o| o.ca = Some("abc".to_owned())),
            one(|o| o.pin = Some("abc".to_owned())),
            one(|o| o.sni = Some("a b".to_owned())),
            one(|o| (o.verified, o.pin) = (true, Some("ab".repeat(32)))),
        ];
        for options in bad {
            assert_eq!(options.faults().len(), 1, "{options:?}");
        }
    }
}
