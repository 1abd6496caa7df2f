//! What a browser says that an authenticator said.

use passkey::{Assertion, Expected, PublicKey, Registration, registered, used};

/// Whatever is brought, nothing is taken that was not signed for this question; and what is taken when
/// a passkey is made reads back. Client data ends at the first zero byte, what follows is the
/// authenticator's.
pub(crate) fn brought(bytes: &[u8]) {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let (client_data, rest) = bytes.split_at(end);
    let authenticator_data = rest.get(1..).unwrap_or_default();
    let challenge = passkey::challenge(client_data).unwrap_or_default();
    let expected = Expected { host: "relay.test", challenge: &challenge, verified: false };
    let made = Registration { client_data, authenticator_data, algorithm: -7, public_key: SPKI };
    if let Ok(made) = registered(made, expected) {
        assert!((1..=1023).contains(&made.id.len()));
        assert_eq!(PublicKey::new(-7, made.key.spki()).as_ref(), Ok(&made.key));
        let other = Expected { challenge: "another", ..expected };
        let again =
            Registration { client_data, authenticator_data, algorithm: -7, public_key: SPKI };
        assert!(challenge == "another" || registered(again, other).is_err());
    }
    let Ok(key) = PublicKey::new(-7, SPKI) else { return };
    let shown = Assertion { client_data, authenticator_data, signature: rest };
    assert!(used(shown, expected, &key, 0).is_err(), "nobody has signed this");
    let _ = PublicKey::new(-257, rest);
    let _ = PublicKey::new(-8, rest);
}

/// A key on P-256: its generator.
const SPKI: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04, 0x6b, 0x17, 0xd1, 0xf2, 0xe1,
    0x2c, 0x42, 0x47, 0xf8, 0xbc, 0xe6, 0xe5, 0x63, 0xa4, 0x40, 0xf2, 0x77, 0x03, 0x7d, 0x81, 0x2d,
    0xeb, 0x33, 0xa0, 0xf4, 0xa1, 0x39, 0x45, 0xd8, 0x98, 0xc2, 0x96, 0x4f, 0xe3, 0x42, 0xe2, 0xfe,
    0x1a, 0x7f, 0x9b, 0x8e, 0xe7, 0xeb, 0x4a, 0x7c, 0x0f, 0x9e, 0x16, 0x2b, 0xce, 0x33, 0x57, 0x6b,
    0x31, 0x5e, 0xce, 0xcb, 0xb6, 0x40, 0x68, 0x37, 0xbf, 0x51, 0xf5,
];
