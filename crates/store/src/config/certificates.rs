//! Certificates as a change shows them: whose they are, and enough of their hashes to tell them apart.

use access::sha256;
use data_encoding::HEXLOWER;
use x509_parser::parse_x509_certificate;
use x509_parser::pem::Pem;

/// `CN=Example Root (SHA256:1f2e3d4c5b6a7988)` for each of those in PEM form. The digits are the first
/// of those that `openssl x509 -fingerprint -sha256` prints.
pub(super) fn in_words(pem: &str) -> String {
    let blocks = Pem::iter_from_buffer(pem.as_bytes()).filter_map(Result::ok);
    let each: Vec<_> = blocks
        .filter(|block| block.label == "CERTIFICATE")
        .map(|block| one(&block.contents))
        .collect();
    match each.is_empty() {
        true => format!("not readable (SHA256:{} of its text)", short(pem.as_bytes())),
        false => each.join(", "),
    }
}

fn one(der: &[u8]) -> String {
    let subject = parse_x509_certificate(der).map(|(_, certificate)| {
        certificate.subject().to_string().chars().take(LONGEST).collect::<String>()
    });
    let subject = subject.unwrap_or_else(|_| "not readable".to_owned());
    format!("{subject} (SHA256:{})", short(der))
}

fn short(bytes: &[u8]) -> String {
    HEXLOWER.encode(&sha256(bytes)[..SHOWN])
}

/// Bytes of a hash: nobody makes two certificates that are alike in so many by chance.
const SHOWN: usize = 8;
/// Characters of a subject.
const LONGEST: usize = 120;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_are_told_by_their_subjects_and_the_beginning_of_their_hashes() {
        // By `openssl x509 -noout -fingerprint -sha256`.
        let one = in_words(ROOT);
        assert_eq!(one, format!("CN=Lab Root, O=Example (SHA256:{ROOT_HASH})"));
        let both = in_words(&format!("# ours\n{ROOT}\n{ROOT}"));
        assert_eq!(both, format!("{one}, {one}"));
        for wrong in ["-----BEGIN CERTIFICATE-----\n", "-----BEGIN CERTIFICATE-----\n%%\n-----END"]
        {
            assert!(in_words(wrong).starts_with("not readable (SHA256:"), "{wrong}");
        }
        let damaged = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(in_words(damaged).starts_with("not readable (SHA256:"), "{}", in_words(damaged));
    }

    const ROOT_HASH: &str = "0f61b5787e1b9822";
    const ROOT: &str = "\
-----BEGIN CERTIFICATE-----\n\
MIIBoTCCAUegAwIBAgIUSeBp4gwRG96PjDhL5xqa0yKlUrowCgYIKoZIzj0EAwIw\n\
JTERMA8GA1UEAwwITGFiIFJvb3QxEDAOBgNVBAoMB0V4YW1wbGUwIBcNMjYxMTI4\n\
MTQwMjAyWhgPMjEyNjExMDQxNDAyMDJaMCUxETAPBgNVBAMMCExhYiBSb290MRAw\n\
DgYDVQQKDAdFeGFtcGxlMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEYDHkBs5T\n\
gxwmm9q6GNgbNqgGaeJi+Ptc1lfHQX7MAeMHHbcmulE8Wj/0wNwq8xxk+kS49X4/\n\
2sAz6f+OSj65SaNTMFEwHQYDVR0OBBYEFBij2ZjlK9hkPcuX+M5hMQ1bibJsMB8G\n\
A1UdIwQYMBaAFBij2ZjlK9hkPcuX+M5hMQ1bibJsMA8GA1UdEwEB/wQFMAMBAf8w\n\
CgYIKoZIzj0EAwIDSAAwRQIhAOP7K6F2OWrPxThI0MoJGTzOXNDtQg8qWQK/8N1i\n\
AZTyAiBn5PSOr3Xq0+RI11gQb2RM74BDdZRsAvMTAK/Fu3/RUA==\n\
-----END CERTIFICATE-----\n";
}
