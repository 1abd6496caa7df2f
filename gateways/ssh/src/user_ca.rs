//! Certificates by which agents' SSH keys sign their users in at the door (OpenSSH's
//! PROTOCOL.certkeys).

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use access::{AgentId, network};
use ipnet::IpNet;
use russh::keys::ssh_key::certificate::CertType;
use russh::keys::{Certificate, HashAlg, PublicKey, ssh_key};
use session::CertificateClaim;

use crate::ca::{self, Ca, unix};

/// Signs for agents, and knows what it signed.
pub struct UserCa(Ca);

/// What a certificate is to say.
#[derive(Debug)]
pub struct Order<'a> {
    pub user: &'a str,
    pub agent: AgentId,
    /// Networks it is good from; from everywhere where there is none.
    pub sources: &'a [IpNet],
    pub life: Duration,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertifyError {
    #[error("the key can not be read")]
    Key(#[source] ssh_key::Error),
    #[error("the CA can not sign")]
    Sign(#[source] ssh_key::Error),
}

/// Why a certificate signs nobody in; in the auditor's words.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CertificateError {
    #[error("it is not signed by this relay's user CA, or not good at this time")]
    Untrusted,
    #[error("it is for a host")]
    Host,
    #[error("it names no user")]
    NoPrincipal,
    #[error("its critical option {0:?} is not known")]
    Option(String),
    #[error("it is not good from this address")]
    Source,
    #[error("its key id names no agent")]
    KeyId,
}

impl UserCa {
    /// The CA whose Ed25519 key follows from `seed`. `name` stands behind its public key.
    pub fn new(seed: &[u8; 32], name: &str) -> Result<Self, ssh_key::Error> {
        Ca::new(seed, name).map(Self)
    }

    /// A certificate for a public key in OpenSSH form, good from `now` on.
    pub fn certify(
        &self,
        key: &str,
        order: &Order<'_>,
        now: SystemTime,
    ) -> Result<Certificate, CertifyError> {
        let key = PublicKey::from_openssh(key).map_err(CertifyError::Key)?;
        self.sign(&key, order, now).map_err(CertifyError::Sign)
    }

    fn sign(
        &self,
        key: &PublicKey,
        order: &Order<'_>,
        now: SystemTime,
    ) -> Result<Certificate, ssh_key::Error> {
        let Order { user, agent, sources, life } = order;
        let mut certificate = ca::begin(key, now - SKEW..now + *life)?;
        certificate
            .cert_type(CertType::User)?
            .key_id(format!("{KEY_ID}{user}/{agent}"))?
            .valid_principal(*user)?;
        if !sources.is_empty() {
            let networks: Vec<_> = sources.iter().map(IpNet::to_string).collect();
            certificate.critical_option(SOURCES, networks.join(","))?;
        }
        for extension in EXTENSIONS {
            certificate.extension(extension, "")?;
        }
        self.0.sign(certificate)
    }

    /// What a certificate says, if this CA signed it for a user who comes from `from` at `now`.
    ///
    /// That its key signed the connection is for the caller to know, and whether the agent is still
    /// enrolled for who vouches.
    pub(crate) fn read(
        &self,
        certificate: &Certificate,
        now: SystemTime,
        from: IpAddr,
    ) -> Result<CertificateClaim, CertificateError> {
        let own = self.0.public_key().fingerprint(HashAlg::Sha256);
        certificate.validate_at(unix(now), [&own]).map_err(|_| CertificateError::Untrusted)?;
        if certificate.cert_type() != CertType::User {
            return Err(CertificateError::Host);
        }
        // Without one it would be good for everybody.
        if certificate.valid_principals().is_empty() {
            return Err(CertificateError::NoPrincipal);
        }
        for (name, value) in certificate.critical_options().iter() {
            match name.as_str() {
                SOURCES if is_within(value, from) => {}
                SOURCES => return Err(CertificateError::Source),
                _ => return Err(CertificateError::Option(name.clone())),
            }
        }
        Ok(CertificateClaim {
            agent: agent(certificate.key_id()).ok_or(CertificateError::KeyId)?,
            principals: certificate.valid_principals().to_vec(),
            fingerprint: certificate.public_key().fingerprint(HashAlg::Sha256).to_string(),
            serial: certificate.serial(),
        })
    }
}

/// Whether a list of networks and addresses, as OpenSSH writes it, has this address. What can not be
/// read is no way in.
fn is_within(list: &str, from: IpAddr) -> bool {
    list.split(',').filter_map(|one| network(one.trim())).any(|network| network.contains(&from))
}

fn agent(key_id: &str) -> Option<AgentId> {
    key_id.strip_prefix(KEY_ID)?.rsplit_once('/')?.1.parse().ok()
}

const KEY_ID: &str = "adit/";
const SOURCES: &str = "source-address";
/// What `ssh-keygen` gives a certificate where nothing is said; grants decide.
const EXTENSIONS: [&str; 4] =
    ["permit-X11-forwarding", "permit-agent-forwarding", "permit-port-forwarding", "permit-pty"];
/// How far ahead of another relay's clock this one may be.
const SKEW: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use russh::keys::PrivateKey;
    use russh::keys::ssh_key::certificate::Builder;
    use russh::keys::ssh_key::private::Ed25519Keypair;

    use super::*;

    #[test]
    fn what_the_ca_signed_is_read_back_and_nothing_else_is() {
        let (ca, key) = (ca(7), key());
        let certificate = ca.certify(&key, &order(&[]), now()).unwrap();
        let serial = certificate.serial();
        let claim = ca.read(&certificate, now(), HOME).unwrap();
        let fingerprint = certificate.public_key().fingerprint(HashAlg::Sha256).to_string();
        let (agent, principals) = (AgentId(uuid::Uuid::from_u128(9)), vec!["alice".to_owned()]);
        assert_eq!(claim, CertificateClaim { agent, principals, fingerprint, serial });
        for (ca, now) in [
            (&self::ca(8), now()),
            (&ca, now() - Duration::from_secs(61)),
            (&ca, now() + Duration::from_secs(3600)),
        ] {
            assert_eq!(ca.read(&certificate, now, HOME), Err(CertificateError::Untrusted));
        }
    }

    #[test]
    fn a_certificate_for_some_networks_is_good_from_there_only() {
        let (ca, key) = (ca(7), key());
        let sources = ["192.0.2.0/24".parse().unwrap(), "2001:db8::/32".parse().unwrap()];
        let certificate = ca.certify(&key, &order(&sources), now()).unwrap();
        let from = |from: &str| ca.read(&certificate, now(), from.parse().unwrap()).map(drop);
        assert_eq!(from("192.0.2.200"), Ok(()));
        assert_eq!(from("2001:db8::1"), Ok(()));
        assert_eq!(from("192.0.3.1"), Err(CertificateError::Source));
        assert!(!is_within("", HOME) && !is_within("everywhere", HOME));
        assert!(is_within("10.0.0.0/8, 198.51.100.7", HOME));
    }

    #[test]
    fn other_kinds_of_certificates_of_the_same_ca_sign_nobody_in() {
        let good = (CertType::User, "alice", "", ID);
        let table = [
            ((CertType::Host, good.1, good.2, ID), CertificateError::Host),
            ((good.0, "", good.2, ID), CertificateError::NoPrincipal),
            (
                (good.0, good.1, "force-command", ID),
                CertificateError::Option("force-command".to_owned()),
            ),
            ((good.0, good.1, good.2, "adit/alice/web1-hq/1"), CertificateError::KeyId),
        ];
        let ca = ca(7);
        for ((kind, principal, option, id), error) in table {
            let key = PublicKey::from_openssh(&key()).unwrap();
            let (from, until) = (unix(now()), unix(now()) + 60);
            let mut made = Builder::new(vec![1; 32], &key, from, until).unwrap();
            made.cert_type(kind).unwrap().key_id(id).unwrap();
            match principal {
                "" => made.all_principals_valid().unwrap(),
                one => made.valid_principal(one).unwrap(),
            };
            if !option.is_empty() {
                made.critical_option(option, "id").unwrap();
            }
            let certificate = ca.0.sign(made).unwrap();
            assert_eq!(ca.read(&certificate, now(), HOME), Err(error));
        }
    }

    const ID: &str = "adit/alice/00000000-0000-0000-0000-000000000009";
    const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 7));

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
    }

    fn ca(seed: u8) -> UserCa {
        UserCa::new(&[seed; 32], "adit users").unwrap()
    }

    fn key() -> String {
        PrivateKey::from(Ed25519Keypair::from_seed(&[3; 32])).public_key().to_openssh().unwrap()
    }

    fn order(sources: &[IpNet]) -> Order<'_> {
        let agent = AgentId(uuid::Uuid::from_u128(9));
        Order { user: "alice", agent, sources, life: Duration::from_secs(3600) }
    }
}
