//! Proving a password to a server without showing it: MD5, and SCRAM-SHA-256 with and without a
//! binding to the TLS connection (RFC 5802, RFC 7677, RFC 5929). Nothing a server says makes it cost
//! more than a bounded time.

use std::num::NonZeroU32;

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use aws_lc_rs::pbkdf2::{PBKDF2_HMAC_SHA256, derive};
use aws_lc_rs::{digest, rand};
use data_encoding::{BASE64, HEXLOWER};
use md5::{Digest as _, Md5};
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

/// One SCRAM exchange.
pub(crate) struct Scram {
    binding: Binding,
    bare: String,
    nonce: String,
}

/// What the exchange is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Binding {
    /// There is no TLS, or nothing of it to bind to.
    None,
    /// The client could, and the server does not offer it.
    Unoffered,
    /// `tls-server-end-point`: the hash of the server's certificate.
    Certificate(Vec<u8>),
}

/// The server's part was wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ScramError {
    #[error("no random bytes")]
    Random,
    #[error("the server's SCRAM message is not understood")]
    Message,
    #[error("the server's nonce does not continue ours")]
    Nonce,
    #[error("the server asks for {0} iterations")]
    Iterations(u32),
    #[error("the server does not know the password")]
    Server,
}

/// What the server has to prove, and what it is sent.
pub(crate) struct Proven {
    pub(crate) message: String,
    signature: Vec<u8>,
}

impl Scram {
    pub(crate) fn begin(binding: Binding) -> Result<Self, ScramError> {
        let mut nonce = [0; 18];
        rand::fill(&mut nonce).map_err(|_| ScramError::Random)?;
        Ok(Self::with(binding, &BASE64.encode(&nonce)))
    }

    fn with(binding: Binding, nonce: &str) -> Self {
        // PostgreSQL takes the user's name from the startup packet.
        let bare = format!("n=,r={nonce}");
        Self { binding, bare, nonce: nonce.to_owned() }
    }

    pub(crate) fn mechanism(&self) -> &'static str {
        match self.binding {
            Binding::None | Binding::Unoffered => PLAIN,
            Binding::Certificate(_) => PLUS,
        }
    }

    pub(crate) fn first(&self) -> String {
        format!("{}{}", self.header(), self.bare)
    }

    fn header(&self) -> &'static str {
        match self.binding {
            Binding::None => "n,,",
            Binding::Unoffered => "y,,",
            Binding::Certificate(_) => "p=tls-server-end-point,,",
        }
    }

    /// Answers the server's first message. Takes as long as the server's iterations do.
    pub(crate) fn prove(
        &self,
        server: &[u8],
        password: &SecretString,
    ) -> Result<Proven, ScramError> {
        let text = str::from_utf8(server).map_err(|_| ScramError::Message)?;
        let mut parts = text.split(',');
        let mut part = |name: &str| parts.next().and_then(|part| part.strip_prefix(name));
        let (nonce, salt, count) = (part("r="), part("s="), part("i="));
        let nonce = nonce.ok_or(ScramError::Message)?;
        if nonce.len() <= self.nonce.len() || !nonce.starts_with(&self.nonce) {
            return Err(ScramError::Nonce);
        }
        let salt = salt.and_then(|salt| BASE64.decode(salt.as_bytes()).ok());
        let salt = salt.ok_or(ScramError::Message)?;
        let count: u32 = count.and_then(|count| count.parse().ok()).ok_or(ScramError::Message)?;
        let iterations = NonZeroU32::new(count).filter(|count| count.get() <= MOST_ITERATIONS);
        let iterations = iterations.ok_or(ScramError::Iterations(count))?;
        let Keys { client: client_key, server: server_key } = Keys::of(password, &salt, iterations);
        let mut bound = self.header().as_bytes().to_vec();
        if let Binding::Certificate(hash) = &self.binding {
            bound.extend_from_slice(hash);
        }
        let without_proof = format!("c={},r={nonce}", BASE64.encode(&bound));
        let all = format!("{},{text},{without_proof}", self.bare);
        let stored_key = digest::digest(&digest::SHA256, &client_key);
        let signature = hmac(stored_key.as_ref(), all.as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
        let message = format!("{without_proof},p={}", BASE64.encode(&proof));
        Ok(Proven { message, signature: hmac(&server_key, all.as_bytes()) })
    }
}

impl Proven {
    /// Whether the server knows the password too.
    pub(crate) fn check(&self, server: &[u8]) -> Result<(), ScramError> {
        let text = str::from_utf8(server).map_err(|_| ScramError::Message)?;
        let shown = text.split(',').next().and_then(|part| part.strip_prefix("v="));
        let shown = shown.and_then(|shown| BASE64.decode(shown.as_bytes()).ok());
        let shown = shown.ok_or(ScramError::Message)?;
        let same = aws_lc_rs::constant_time::verify_slices_are_equal(&shown, &self.signature);
        same.map_err(|_| ScramError::Server)
    }
}

/// What follows from a password.
struct Keys {
    client: Zeroizing<Vec<u8>>,
    server: Zeroizing<Vec<u8>>,
}

impl Keys {
    fn of(password: &SecretString, salt: &[u8], iterations: NonZeroU32) -> Self {
        let prepared = stringprep::saslprep(password.expose_secret());
        // What can not be prepared is taken as it is, as servers take it.
        let prepared = prepared.map_or(password.expose_secret().into(), |text| text);
        let mut salted = Zeroizing::new([0; 32]);
        derive(PBKDF2_HMAC_SHA256, iterations, salt, prepared.as_bytes(), &mut *salted);
        let key = |name: &[u8]| Zeroizing::new(hmac(&*salted, name));
        Self { client: key(b"Client Key"), server: key(b"Server Key") }
    }
}

/// What a server keeps in place of a password, as `pg_authid` has it.
pub(crate) fn verifier(password: &SecretString) -> Result<String, ScramError> {
    let mut salt = [0; 16];
    rand::fill(&mut salt).map_err(|_| ScramError::Random)?;
    let keys = Keys::of(password, &salt, ITERATIONS);
    let stored = digest::digest(&digest::SHA256, &keys.client);
    let [salt, stored, server] =
        [&salt[..], stored.as_ref(), &keys.server].map(|bytes| BASE64.encode(bytes));
    Ok(format!("SCRAM-SHA-256${ITERATIONS}:{salt}${stored}:{server}"))
}

/// What a server wants that keeps MD5 hashes.
pub(crate) fn md5(account: &str, password: &SecretString, salt: [u8; 4]) -> String {
    let password = password.expose_secret().as_bytes();
    let inner = HEXLOWER.encode(&Md5::digest([password, account.as_bytes()].concat()));
    let outer = HEXLOWER.encode(&Md5::digest([inner.as_bytes(), &salt].concat()));
    format!("md5{outer}")
}

/// The hash of a certificate that SCRAM is bound to (RFC 5929, section 4.1): that of its signature,
/// or SHA-256 where that is weaker. `None`: it has none.
pub fn end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let algorithm = match parsed.signature_algorithm.algorithm.to_id_string().as_str() {
        // sha384WithRSAEncryption, ecdsa-with-SHA384
        "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => &digest::SHA384,
        // sha512WithRSAEncryption, ecdsa-with-SHA512
        "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" => &digest::SHA512,
        // MD5, SHA-1 and SHA-256 with RSA; SHA-1 and SHA-256 with ECDSA
        "1.2.840.113549.1.1.4"
        | "1.2.840.113549.1.1.5"
        | "1.2.840.113549.1.1.11"
        | "1.2.840.10045.4.1"
        | "1.2.840.10045.4.3.2" => &digest::SHA256,
        _ => return None,
    };
    Some(digest::digest(algorithm, certificate).as_ref().to_vec())
}

fn hmac(key: &[u8], data: &[u8]) -> Vec<u8> {
    sign(&Key::new(HMAC_SHA256, key), data).as_ref().to_vec()
}

pub(crate) const PLAIN: &str = "SCRAM-SHA-256";
pub(crate) const PLUS: &str = "SCRAM-SHA-256-PLUS";
/// PostgreSQL's default is 4,096; this is some hundred milliseconds.
const MOST_ITERATIONS: u32 = 500_000;
/// PostgreSQL's default. More would add nothing for passwords that are random.
const ITERATIONS: NonZeroU32 = NonZeroU32::new(4096).unwrap();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exchange_is_as_the_standard_shows_it() {
        // RFC 7677, section 3; its user name is in the message there, and PostgreSQL's is not.
        let mut scram = Scram::with(Binding::None, "rOprNGfwEbeRWgbNEkqO");
        scram.bare = "n=user,r=rOprNGfwEbeRWgbNEkqO".to_owned();
        let server = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let proven = scram.prove(server, &"pencil".into()).unwrap();
        assert!(proven.message.ends_with("p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="));
        assert_eq!(proven.check(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="), Ok(()));
        assert_eq!(proven.check(b"v=AAAA"), Err(ScramError::Server));
        assert_eq!(proven.check(b"e=other-error"), Err(ScramError::Message));
    }

    #[test]
    fn a_server_that_is_wrong_costs_nothing() {
        let scram = Scram::with(Binding::Unoffered, "abc");
        let prove = |text: &str| scram.prove(text.as_bytes(), &"x".into()).err();
        assert_eq!(prove("r=abc,s=AAAA,i=4096"), Some(ScramError::Nonce));
        assert_eq!(prove("r=xabc,s=AAAA,i=4096"), Some(ScramError::Nonce));
        assert_eq!(prove("r=abcd,s=AAAA,i=0"), Some(ScramError::Iterations(0)));
        assert_eq!(prove("r=abcd,s=AAAA,i=4294967295"), Some(ScramError::Iterations(u32::MAX)));
        for text in ["", "r=abcd", "r=abcd,s=?,i=1", "r=abcd,s=AAAA,i=x", "\u{1F}"] {
            assert_eq!(prove(text), Some(ScramError::Message), "{text}");
        }
        assert_eq!(scram.first(), "y,,n=,r=abc");
    }

    #[test]
    fn an_md5_answer_is_as_postgresql_computes_it() {
        let answer = md5("md5_user", &"password".into(), [0x2a, 0x3d, 0x8f, 0xe0]);
        assert_eq!(answer, "md562af4dd09bbb41884907a838a3233294");
    }
}
