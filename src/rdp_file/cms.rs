//! A signature beside what it signs, as CMS has it (RFC 5652): SHA-2, no attributes, the chain within.

use rustls::SignatureScheme;
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// Why nothing was signed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CmsError {
    #[error("the relay's certificate can not be read")]
    Form,
    #[error("the relay's key signs in no way that is understood here")]
    Key,
    #[error("the relay's key did not sign")]
    Sign(#[source] rustls::Error),
}

/// The signature of `content`, in DER, without it.
pub(super) fn detached(key: &CertifiedKey, content: &[u8]) -> Result<Vec<u8>, CmsError> {
    let schemes: Vec<_> = ALGORITHMS.iter().map(|known| known.scheme).collect();
    let signer = key.key.choose_scheme(&schemes).ok_or(CmsError::Key)?;
    let used = ALGORITHMS.iter().find(|known| known.scheme == signer.scheme());
    let used = used.ok_or(CmsError::Key)?;
    let signature = signer.sign(content).map_err(CmsError::Sign)?;
    let leaf = key.cert.first().ok_or(CmsError::Form)?;
    let (_, leaf) = X509Certificate::from_der(leaf).map_err(|_| CmsError::Form)?;
    let serial = der(INTEGER, leaf.raw_serial());
    let issuer = leaf.tbs_certificate.issuer.as_raw();
    let digest = der(SEQUENCE, used.digest);
    let signer_info = der(
        SEQUENCE,
        &[
            &VERSION[..],
            &der(SEQUENCE, &[issuer, &serial].concat()),
            &digest,
            &der(SEQUENCE, used.signature),
            &der(OCTETS, &signature),
        ]
        .concat(),
    );
    let chain: Vec<u8> = key.cert.iter().flat_map(|one| one.iter().copied()).collect();
    let signed_data = der(
        SEQUENCE,
        &[
            &VERSION[..],
            &der(SET, &digest),
            &der(SEQUENCE, OID_DATA),
            &der(TAGGED, &chain),
            &der(SET, &signer_info),
        ]
        .concat(),
    );
    Ok(der(SEQUENCE, &[OID_SIGNED_DATA, &der(TAGGED, &signed_data)].concat()))
}

/// How a key may sign.
struct Algorithm {
    scheme: SignatureScheme,
    /// The digest's identifier.
    digest: &'static [u8],
    /// The signature's identifier, with its parameters.
    signature: &'static [u8],
}

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let length = &length[length.iter().take_while(|byte| **byte == 0).count()..];
    let mut all = vec![tag];
    match length {
        [] => all.push(0),
        [short] if *short < 0x80 => all.push(*short),
        long => {
            // At most eight.
            all.push(0x80 | u8::try_from(long.len()).unwrap_or(0));
            all.extend_from_slice(long);
        }
    }
    all.extend_from_slice(content);
    all
}

const ALGORITHMS: &[Algorithm] = &[
    Algorithm {
        scheme: SignatureScheme::ECDSA_NISTP256_SHA256,
        digest: OID_SHA256,
        signature: &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02],
    },
    Algorithm {
        scheme: SignatureScheme::ECDSA_NISTP384_SHA384,
        digest: OID_SHA384,
        signature: &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03],
    },
    Algorithm {
        scheme: SignatureScheme::RSA_PKCS1_SHA256,
        digest: OID_SHA256,
        // rsaEncryption, whose parameters are null.
        signature: &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00],
    },
];

const OID_DATA: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01];
const OID_SIGNED_DATA: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];
const OID_SHA256: &[u8] = &[0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];
const OID_SHA384: &[u8] = &[0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02];
/// Version 1.
const VERSION: [u8; 3] = [INTEGER, 1, 1];
const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
/// `[0]`, which has parts.
const TAGGED: u8 = 0xa0;
