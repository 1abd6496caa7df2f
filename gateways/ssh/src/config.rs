//! How the door speaks SSH: algorithms, windows and limits, towards users and towards targets.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use access::{Application, Proof};
use russh::keys::{Algorithm, Certificate, EcdsaCurve, HashAlg, PrivateKey};
use russh::{
    Limits, MethodKind, MethodSet, Preferred, SshId, cipher, client, compression, kex, mac, server,
};

use crate::host_certificate;
use crate::inbox::WINDOW;

/// From accept to the first sign-in request.
pub(crate) const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);

/// From accept to a proven credential: who is asked for a token has to fetch one from the portal first.
/// Whoever waits here is a guest of the listener's lobby, and gives way when it is full.
pub(crate) const LOGIN_DEADLINE: Duration = Duration::from_secs(120);

/// From a proven credential to the end of the target's own questions.
pub(crate) const TARGET_LOGIN_DEADLINE: Duration = Duration::from_secs(90);

/// The target's handshake, from dialling on, and each of its answers.
pub(crate) const TARGET_DEADLINE: Duration = Duration::from_secs(20);

/// Every refusal of a credential takes this long, so that its time tells nothing.
pub(crate) const REFUSAL_TIME: Duration = Duration::from_millis(300);

/// Bytes, either way, until a connection changes to AES-GCM.
const LEAVE_CIPHER_AFTER: usize = 16 << 20;

/// Refused credentials before the connection is cut.
pub(crate) const MAX_FAILURES: u32 = 6;

/// Offered keys and other free questions before the connection is cut.
const MAX_REQUESTS: usize = 24;

/// Channels open at one time on one connection.
pub(crate) const MAX_CHANNELS: usize = 256;

/// Session channels over the whole life of one connection: the library keeps about 4 KiB of each that
/// the server closed first, as servers do, until the connection ends.
pub(crate) const MAX_SERVED: usize = 8192;

/// Towards users.
pub(crate) fn server(host_keys: Vec<PrivateKey>, certificates: Vec<Certificate>) -> server::Config {
    let key = host_key_algorithms(&host_keys);
    server::Config {
        server_id: SshId::Standard(Cow::Borrowed("SSH-2.0-Adit")),
        methods: methods(),
        // Offers of unknown keys are refused at once; credentials take `REFUSAL_TIME`.
        auth_rejection_time: Duration::from_millis(20),
        auth_rejection_time_initial: Some(Duration::ZERO),
        keys: host_keys,
        certificates,
        limits: limits(),
        // OpenSSH puts it first, and the client's order counts; AES-GCM takes a third of its CPU, at
        // both ends, and what is short is not worth a second key exchange.
        leave_cipher: Some((cipher::CHACHA20_POLY1305, LEAVE_CIPHER_AFTER)),
        window_size: WINDOW,
        maximum_packet_size: PACKET,
        channel_buffer_size: HAND_OVER,
        event_buffer_size: 32,
        preferred: Preferred { key: Cow::Owned(key), ..preferred() },
        max_auth_attempts: MAX_REQUESTS,
        inactivity_timeout: None,
        keepalive_interval: Some(KEEPALIVE),
        keepalive_max: 4,
        nodelay: true,
    }
}

/// Towards the target of `application`.
pub(crate) fn client(application: &Application) -> Arc<client::Config> {
    let mut preferred = target_preferred();
    if application.legacy_algorithms {
        allow_legacy(&mut preferred);
    }
    if host_certificate::ca(application).is_some() {
        preferred.host_key_certificates = Cow::Owned(target_key_algorithms());
    }
    let pinned = application.host_key.as_deref();
    if let Some(name) = pinned.and_then(|line| line.split_ascii_whitespace().next()) {
        // Asking for another kind of key than the known one would look like a changed key.
        preferred.key.to_mut().sort_by_key(|algorithm| !same_kind(algorithm, name));
    }
    Arc::new(client::Config {
        client_id: SshId::Standard(Cow::Borrowed("SSH-2.0-Adit")),
        limits: limits(),
        window_size: WINDOW,
        maximum_packet_size: PACKET,
        channel_buffer_size: HAND_OVER,
        preferred,
        inactivity_timeout: None,
        keepalive_interval: Some(KEEPALIVE),
        keepalive_max: 4,
        nodelay: true,
        ..client::Config::default()
    })
}

/// Whether a target that offers `theirs` would be spoken to under `legacy_algorithms`.
pub(crate) fn is_legacy(theirs: &[String]) -> bool {
    let names = LEGACY_KEX.iter().map(AsRef::as_ref);
    let names = names.chain(LEGACY_CIPHERS.iter().map(AsRef::as_ref));
    let mut names = names.chain(LEGACY_MACS.iter().map(AsRef::as_ref)).chain([LEGACY_KEY.as_str()]);
    names.any(|name: &str| theirs.iter().any(|offered| offered == name))
}

/// The ways of signing in that are offered.
pub(crate) fn methods() -> MethodSet {
    let methods = [MethodKind::PublicKey, MethodKind::Password, MethodKind::KeyboardInteractive];
    MethodSet::from(&methods[..])
}

/// The ways of showing one of these proofs.
pub(crate) fn methods_for(proofs: &BTreeSet<Proof>) -> MethodSet {
    let mut methods = MethodSet::empty();
    for proof in proofs {
        match proof {
            Proof::PublicKey | Proof::Certificate => methods.push(MethodKind::PublicKey),
            Proof::Token => {
                methods.push(MethodKind::KeyboardInteractive);
                methods.push(MethodKind::Password);
            }
            // Those are whole connections.
            Proof::Agent | Proof::Browser => {}
        }
    }
    methods
}

/// The ways left for a second, typed answer.
pub(crate) fn typed_methods() -> MethodSet {
    MethodSet::from(&[MethodKind::Password, MethodKind::KeyboardInteractive][..])
}

const PACKET: u32 = 32 * 1024;

/// Messages the library may hand over before a channel's own queue has taken them.
const HAND_OVER: usize = 8;

const KEEPALIVE: Duration = Duration::from_secs(30);

fn limits() -> Limits {
    // RFC 4253, section 9: after a gigabyte or an hour.
    Limits::new(1 << 30, 1 << 30, Duration::from_secs(3600))
}

fn preferred() -> Preferred {
    Preferred {
        kex: Cow::Borrowed(KEX),
        key: Cow::Borrowed(&[]),
        host_key_certificates: Cow::Borrowed(&[]),
        cipher: Cow::Borrowed(CIPHERS),
        mac: Cow::Borrowed(MACS),
        // Compression before or beside secrets tells their length; tunnels carry packed bytes.
        compression: Cow::Borrowed(&[compression::NONE]),
    }
}

fn target_preferred() -> Preferred {
    Preferred {
        key: Cow::Owned(target_key_algorithms()),
        kex: Cow::Borrowed(TARGET_KEX),
        mac: Cow::Borrowed(TARGET_MACS),
        ..preferred()
    }
}

/// Adds the weak ones last: a target that has better is spoken to as ever.
fn allow_legacy(preferred: &mut Preferred) {
    preferred.kex.to_mut().extend_from_slice(LEGACY_KEX);
    preferred.key.to_mut().push(LEGACY_KEY);
    preferred.cipher.to_mut().extend_from_slice(LEGACY_CIPHERS);
    preferred.mac.to_mut().extend_from_slice(LEGACY_MACS);
}

// The second kind is for clients before OpenSSH 9.9, the last two for those that may use no Curve25519
// (FIPS) or have none (Ruby's). A larger group than 16 would help none of them, and cost a stranger
// nothing and us a fraction of a second for each handshake they begin.
const KEX: &[kex::Name] = &[
    kex::MLKEM768X25519_SHA256,
    kex::CURVE25519,
    kex::CURVE25519_PRE_RFC_8731,
    kex::DH_G16_SHA512,
    kex::DH_GEX_SHA256,
    kex::EXTENSION_SUPPORT_AS_SERVER,
    kex::EXTENSION_OPENSSH_STRICT_KEX_AS_SERVER,
];

const TARGET_KEX: &[kex::Name] = &[
    kex::MLKEM768X25519_SHA256,
    kex::CURVE25519,
    kex::CURVE25519_PRE_RFC_8731,
    kex::ECDH_SHA2_NISTP256,
    kex::DH_GEX_SHA256,
    kex::DH_G18_SHA512,
    kex::DH_G16_SHA512,
    kex::DH_G14_SHA256,
    kex::EXTENSION_SUPPORT_AS_CLIENT,
    kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT,
];

const CIPHERS: &[cipher::Name] = &[
    cipher::AES_128_GCM,
    cipher::AES_256_GCM,
    cipher::CHACHA20_POLY1305,
    cipher::AES_256_CTR,
    cipher::AES_128_CTR,
];

// AES-GCM and ChaCha20 need none; these are for AES-CTR, and encrypt before they authenticate. Left
// out are the plain hmac-sha2: no maintained client needs them (libssh2 has these since 1.11, of
// 2023; 1.10 can't connect), and bytes that were not authenticated are never decrypted.
const MACS: &[mac::Name] = &[mac::HMAC_SHA256_ETM, mac::HMAC_SHA512_ETM];

// Targets are older than clients, and behind a connector; the door takes the best that both have.
const TARGET_MACS: &[mac::Name] =
    &[mac::HMAC_SHA256_ETM, mac::HMAC_SHA512_ETM, mac::HMAC_SHA256, mac::HMAC_SHA512];

// What sshd spoke before 2014, and appliances still do; the group of 1024 bits comes last.
const LEGACY_KEX: &[kex::Name] = &[kex::DH_GEX_SHA1, kex::DH_G14_SHA1, kex::DH_G1_SHA1];

/// `ssh-rsa`: RSA keys that sign with SHA-1.
const LEGACY_KEY: Algorithm = Algorithm::Rsa { hash: None };

const LEGACY_CIPHERS: &[cipher::Name] =
    &[cipher::AES_256_CBC, cipher::AES_192_CBC, cipher::AES_128_CBC];

const LEGACY_MACS: &[mac::Name] = &[mac::HMAC_SHA1_ETM, mac::HMAC_SHA1];

/// ECDSA host keys are shown only where there is no other.
fn host_key_algorithms(keys: &[PrivateKey]) -> Vec<Algorithm> {
    let modern = [
        Algorithm::Ed25519,
        Algorithm::Rsa { hash: Some(HashAlg::Sha512) },
        Algorithm::Rsa { hash: Some(HashAlg::Sha256) },
    ];
    let known =
        |key: &PrivateKey| key.algorithm() == Algorithm::Ed25519 || key.algorithm().is_rsa();
    let mut algorithms = modern.to_vec();
    if !keys.iter().any(known) {
        algorithms.extend(ECDSA.map(|curve| Algorithm::Ecdsa { curve }));
    }
    algorithms
}

fn target_key_algorithms() -> Vec<Algorithm> {
    let mut algorithms = vec![Algorithm::Ed25519];
    algorithms.extend(ECDSA.map(|curve| Algorithm::Ecdsa { curve }));
    algorithms.push(Algorithm::Rsa { hash: Some(HashAlg::Sha512) });
    algorithms.push(Algorithm::Rsa { hash: Some(HashAlg::Sha256) });
    algorithms
}

const ECDSA: [EcdsaCurve; 3] = [EcdsaCurve::NistP256, EcdsaCurve::NistP384, EcdsaCurve::NistP521];

/// Whether keys of OpenSSH type `name` sign with `algorithm`.
fn same_kind(algorithm: &Algorithm, name: &str) -> bool {
    if matches!(algorithm, Algorithm::Rsa { .. }) {
        name == "ssh-rsa"
    } else {
        algorithm.as_str() == name
    }
}
