use std::fs;
use std::process::Command;
use std::time::Duration;

use rcgen::{
    CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_RSA_SHA256,
};

use super::*;

fn file<'a>(target: &'a str, login: Option<&'a str>, token: &'a SecretString) -> RdpFile<'a> {
    let shares = Shares { clipboard: true, drives: true, printers: true, audio: true };
    RdpFile { target, gateway: ("relay.test", 443), token, once: true, login, shares }
}

/// A key with a certificate that signs itself, and that certificate.
fn signer(algorithm: &'static rcgen::SignatureAlgorithm) -> (CertifiedKey, String) {
    let key = KeyPair::generate_for(algorithm).unwrap();
    let certificate = CertificateParams::new(["relay.test".to_owned()]).unwrap();
    let pem = certificate.self_signed(&key).unwrap().pem();
    let pair = tunnel::tls::certified_key(&pem, &key.serialize_pem().into()).unwrap();
    (pair, pem)
}

#[test]
fn openssl_verifies_what_each_kind_of_key_signed_and_nothing_else() {
    let token = SecretString::from("adit_access_x");
    let dir = tempfile::tempdir().unwrap();
    for algorithm in [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_RSA_SHA256] {
        let (key, certificate) = signer(algorithm);
        let file = file("desk-hq.relay.test", Some("alice"), &token);
        let text = file.signed(&key).unwrap();
        let line = text.expose_secret().lines().find_map(|line| line.strip_prefix("signature:s:"));
        let signature = BASE64.decode(line.unwrap().as_bytes()).unwrap();
        assert_eq!(signature[..8], [1, 0, 1, 0, 1, 0, 0, 0]);
        let at = |name: &str| dir.path().join(name);
        fs::write(at("signature"), &signature[12..]).unwrap();
        fs::write(at("certificate"), certificate).unwrap();
        let verifies = |content: &[u8]| {
            fs::write(at("content"), content).unwrap();
            let mut openssl = Command::new("openssl");
            openssl.args(["cms", "-verify", "-binary", "-inform", "DER", "-purpose", "any"]);
            openssl.arg("-in").arg(at("signature")).arg("-content").arg(at("content"));
            openssl.arg("-CAfile").arg(at("certificate")).arg("-out").arg(at("out"));
            let said = testkit::run(&mut openssl, Duration::from_secs(30)).unwrap();
            (said.status.success(), said.stderr)
        };
        let (_, mut content) = file.signed_part();
        let (good, said) = verifies(&content);
        assert!(good, "{said}");
        content[0] ^= 1;
        assert!(!verifies(&content).0);
    }
}

#[test]
fn no_value_begins_another_line() {
    let token = SecretString::from("t\r\ngatewayhostname:s:evil.test");
    let (key, _) = signer(&PKCS_ECDSA_P256_SHA256);
    for evil in ["a\r\nalternate shell:s:calc", "a\nb", "a\u{85}b", "a\u{2028}b", "a\0b", "a\rb"] {
        let text = file(evil, Some(evil), &token).signed(&key).unwrap();
        let text = text.expose_secret();
        assert_eq!(text.lines().count(), 17, "{text}");
        assert!(text.split("\r\n").all(|line| !line.contains(char::is_control)), "{text:?}");
        let named = |name: &str| text.lines().filter(|line| line.starts_with(name)).count();
        assert_eq!((named("alternate shell"), named("gatewayhostname:s:relay.test")), (0, 1));
    }
}

#[test]
fn a_file_names_the_gateway_its_token_and_the_desktop() {
    let token = SecretString::from("adit_access_x");
    let (key, _) = signer(&PKCS_ECDSA_P256_SHA256);
    let mut file = file("desk-hq.relay.test", None, &token);
    file.gateway.1 = 8443;
    let text = file.signed(&key).unwrap();
    let text = text.expose_secret();
    for line in [
        "full address:s:desk-hq.relay.test",
        "alternate full address:s:desk-hq.relay.test",
        "gatewayhostname:s:relay.test:8443",
        "gatewaycredentialssource:i:5",
        "gatewayaccesstoken:s:adit_access_x",
        "autoreconnection enabled:i:0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in {text}");
    }
    assert!(!text.contains("username"));
    // Who may say nothing of the token says the rest of it.
    assert!(!format!("{file:?}").contains("adit_access_x"));
    let scope = text.lines().find(|line| line.starts_with("signscope")).unwrap();
    assert!(scope.contains("GatewayHostname,GatewayUsageMethod"), "{scope}");
}

#[test]
fn a_file_says_what_its_rule_lets_a_client_share_and_that_is_signed() {
    let token = SecretString::from("adit_access_x");
    let (key, _) = signer(&PKCS_ECDSA_P256_SHA256);
    let text = |shares: Shares| {
        let file = RdpFile { shares, ..file("desk-hq.relay.test", None, &token) };
        file.signed(&key).unwrap().expose_secret().to_owned()
    };
    let all = Shares { clipboard: true, drives: true, printers: true, audio: true };
    let shared = text(all);
    let has = |text: &str, line: &str| text.lines().any(|found| found == line);
    for line in ["redirectclipboard:i:1", "redirectprinters:i:1", "audiomode:i:0"] {
        assert!(has(&shared, line), "{line} in {shared}");
    }
    // Whether a drive is shared is for the client to ask.
    assert!(!shared.contains("drive"), "{shared}");
    let none = Shares { clipboard: false, drives: false, printers: false, audio: false };
    let withheld = text(none);
    for line in [
        "redirectclipboard:i:0",
        "redirectprinters:i:0",
        "redirectdrives:i:0",
        "redirectcomports:i:0",
        "drivestoredirect:s:",
        "audiomode:i:2",
        "audiocapturemode:i:0",
    ] {
        assert!(has(&withheld, line), "{line} in {withheld}");
    }
    let scope = withheld.lines().find(|line| line.starts_with("signscope")).unwrap();
    for name in ["AudioMode", "RedirectPrinters", "RedirectClipboard", "DrivesToRedirect"] {
        assert!(scope.contains(name), "{name} in {scope}");
    }
}
