use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    RsaKeyPair,
};
use data_encoding::HEXLOWER;

use super::*;

const HOST: &str = "relay.test";
const CHALLENGE: &str = "NPzR5ahyvLwbFs0ZZnIGyA";

fn expected() -> Expected<'static> {
    Expected { host: HOST, challenge: CHALLENGE, verified: true }
}

fn client(kind: &str) -> String {
    format!(
        r#"{{"type":"{kind}","challenge":"{CHALLENGE}","origin":"https://relay.test","crossOrigin":false,"new":1}}"#
    )
}

fn authenticator(host: &str, flags: u8, counter: u32, rest: &[u8]) -> Vec<u8> {
    let host = digest(&SHA256, host.as_bytes());
    [host.as_ref(), &[flags], &counter.to_be_bytes(), rest].concat()
}

/// A model, the length of an id, the id, and the beginning of a key.
fn attested() -> Vec<u8> {
    [&[0; 16][..], &[0, 3], b"abc", &[0xa5, 1, 2]].concat()
}

fn p256() -> (EcdsaKeyPair, Vec<u8>) {
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let spki = key.public_key().as_der().unwrap().as_ref().to_vec();
    (key, spki)
}

fn sign(key: &EcdsaKeyPair, client: &str, data: &[u8]) -> Vec<u8> {
    let signed = [data, digest(&SHA256, client.as_bytes()).as_ref()].concat();
    key.sign(&SystemRandom::new(), &signed).unwrap().as_ref().to_vec()
}

#[test]
fn a_passkey_is_made_and_then_used() {
    let (key, spki) = p256();
    let (create, get) = (client("webauthn.create"), client("webauthn.get"));
    let data = authenticator(HOST, 0x45, 0, &attested());
    let what = Registration {
        client_data: create.as_bytes(),
        authenticator_data: &data,
        algorithm: -7,
        public_key: &spki,
    };
    let made = registered(what, expected()).unwrap();
    assert_eq!((made.id.as_slice(), made.counter), (&b"abc"[..], 0));
    let data = authenticator(HOST, 0x05, 7, &[]);
    let signature = sign(&key, &get, &data);
    let what =
        Assertion { client_data: get.as_bytes(), authenticator_data: &data, signature: &signature };
    assert_eq!(used(what, expected(), &made.key, 6), Ok(7));
    for counter in [7, 8] {
        assert_eq!(used(what, expected(), &made.key, counter), Err(Fault::Counter));
    }
    let other = PublicKey::new(-7, &p256().1).unwrap();
    assert_eq!(used(what, expected(), &other, 0), Err(Fault::Signature));
    let swapped =
        Assertion { client_data: get.replace("\"new\":1", "\"new\":2").leak().as_bytes(), ..what };
    assert_eq!(used(swapped, expected(), &made.key, 0), Err(Fault::Signature));
}

#[test]
fn each_thing_that_is_not_as_expected_is_told_before_the_signature() {
    let (key, spki) = p256();
    let public = PublicKey::new(-7, &spki).unwrap();
    let get = client("webauthn.get");
    let good = authenticator(HOST, 0x05, 0, &[]);
    let with = |from: &str, to: &str| get.replace(from, to);
    let cases = [
        ("{".to_owned(), good.clone(), Fault::ClientData),
        (with(".get", ".create"), good.clone(), Fault::Type),
        (with(CHALLENGE, "other"), good.clone(), Fault::Challenge),
        (with("relay.test", "evil-hq.relay.test"), good.clone(), Fault::Origin),
        (with("relay.test", "relay.test.evil"), good.clone(), Fault::Origin),
        (with("relay.test", "relay.test:x"), good.clone(), Fault::Origin),
        (with("https:", "http:"), good.clone(), Fault::Origin),
        (with("false", "true"), good.clone(), Fault::Origin),
        (get.clone(), good[..36].to_vec(), Fault::AuthenticatorData),
        (get.clone(), authenticator(HOST, 0x45, 0, &[0; 17]), Fault::AuthenticatorData),
        (get.clone(), vec![0; 9000], Fault::AuthenticatorData),
        (get.clone(), authenticator("other", 0x05, 0, &[]), Fault::RelyingParty),
        (get.clone(), authenticator(HOST, 0x04, 0, &[]), Fault::Absent),
        (get.clone(), authenticator(HOST, 0x01, 0, &[]), Fault::Unverified),
    ];
    for (client, data, fault) in cases {
        let signature = sign(&key, &client, &data);
        let what = Assertion {
            client_data: client.as_bytes(),
            authenticator_data: &data,
            signature: &signature,
        };
        assert_eq!(used(what, expected(), &public, 0), Err(fault), "{client}");
    }
    // At another port of the same host, and where nobody has to be known.
    let client = with("relay.test", "Relay.test:8443");
    let data = authenticator(HOST, 0x01, 0, &[]);
    let signature = sign(&key, &client, &data);
    let what = Assertion {
        client_data: client.as_bytes(),
        authenticator_data: &data,
        signature: &signature,
    };
    let present = Expected { verified: false, ..expected() };
    assert_eq!(used(what, present, &public, 0), Ok(0), "those that do not count say 0 for ever");
}

#[test]
fn keys_of_each_algorithm_are_read_and_no_others() {
    let ed25519 = Ed25519KeyPair::generate().unwrap();
    let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let spki = |der: &[u8]| der.to_vec();
    let ed25519_spki = spki(ed25519.public_key().as_der().unwrap().as_ref());
    let rsa_spki = spki(rsa.public_key().as_der().unwrap().as_ref());
    let signed = b"what was signed";
    let key = PublicKey::new(-8, &ed25519_spki).unwrap();
    assert_eq!(key.verify(signed, ed25519.sign(signed).as_ref()), Ok(()));
    assert_eq!(key.verify(b"other", ed25519.sign(signed).as_ref()), Err(Fault::Signature));
    let key = PublicKey::new(-257, &rsa_spki).unwrap();
    let mut signature = vec![0; rsa.public_modulus_len()];
    rsa.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed, &mut signature).unwrap();
    assert_eq!(key.verify(signed, &signature), Ok(()));
    assert_eq!(PublicKey::new(-35, &p256().1), Err(Fault::Algorithm), "P-384");
    assert_eq!(PublicKey::new(-8, &p256().1), Err(Fault::Key));
    assert_eq!(PublicKey::new(-7, &ed25519_spki), Err(Fault::Key));
    assert_eq!(PublicKey::new(-7, &[]), Err(Fault::Key));
    assert_eq!(PublicKey::new(-8, &HEXLOWER.decode(&[b'0'; 64]).unwrap()), Err(Fault::Key));
}
