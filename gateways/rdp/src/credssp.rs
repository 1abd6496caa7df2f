//! CredSSP, as a client speaks it (MS-CSSP): a login by NTLM inside TLS, bound to the target's key, at
//! whose end the target gets the password.

use access::sha256;
use der::asn1::OctetString;
use der::{Decode as _, Encode as _};
use ntlm::{Fresh, Keys, Ntlm};
use secrecy::ExposeSecret as _;
use zeroize::Zeroizing;

use crate::frame::Fault;
use crate::settings::{Account, utf16};

/// A login that is under way.
pub(crate) struct Credssp<'a> {
    account: &'a Account,
    /// Of the certificate that TLS has checked: whoever is in between has another.
    public_key: &'a [u8],
    nonce: [u8; 32],
    ntlm: Ntlm,
    /// Once the password is proven; and the version in which.
    proven: Option<(Keys, u32)>,
}

/// What comes next.
pub(crate) enum Next {
    /// This is sent, and an answer waited for.
    Send(Vec<u8>),
    /// This is sent, and that was all.
    Last(Zeroizing<Vec<u8>>),
}

/// Why a login failed.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    #[error(transparent)]
    Fault(#[from] Fault),
    #[error(transparent)]
    Ntlm(#[from] ntlm::NtlmError),
    #[error("a message that is not understood")]
    Message(#[from] der::Error),
    #[error("the target refused the login (0x{status})")]
    Refused { status: String },
    #[error("the target could not show that TLS ends at it")]
    Unbound,
}

/// What one login needs besides the account.
pub(crate) struct Occasion {
    pub(crate) fresh: Fresh,
    pub(crate) nonce: [u8; 32],
    /// 100 ns since 1601.
    pub(crate) now: u64,
    pub(crate) host: String,
}

impl<'a> Credssp<'a> {
    pub(crate) fn new(account: &'a Account, public_key: &'a [u8], occasion: Occasion) -> Self {
        let Occasion { fresh, nonce, now, host } = occasion;
        let ntlm = Ntlm::new(fresh, now, format!("TERMSRV/{host}"));
        Self { account, public_key, nonce, ntlm, proven: None }
    }

    pub(crate) fn first(&self) -> Result<Vec<u8>, LoginError> {
        let tokens = tokens(self.ntlm.negotiate())?;
        Ok(Message { nego_tokens: Some(tokens), ..Message::of(VERSION) }.to_der()?)
    }

    /// Takes an answer of the target's.
    pub(crate) fn answered(&mut self, bytes: &[u8]) -> Result<Next, LoginError> {
        let message = Message::from_der(bytes)?;
        if let Some(status) = &message.error_code {
            let status = data_encoding::HEXLOWER.encode(status.as_bytes());
            return Err(LoginError::Refused { status });
        }
        match self.proven.take() {
            None => self.prove(message),
            Some((keys, version)) => self.entrust(keys, version, &message),
        }
    }

    fn prove(&mut self, message: Message) -> Result<Next, LoginError> {
        let version = message.version.min(VERSION);
        let challenge = message.nego_tokens.unwrap_or_default();
        let challenge = challenge.first().ok_or(Fault::Settings)?;
        let (answer, mut keys) =
            self.ntlm.authenticate(challenge.token.as_bytes(), &self.account.login())?;
        let bound = match version {
            BOUND.. => self.bound(TO_TARGET),
            _ => self.public_key.to_vec(),
        };
        let nonce = (version >= BOUND).then(|| OctetString::new(self.nonce)).transpose()?;
        let made = Message {
            nego_tokens: Some(tokens(answer)?),
            pub_key_auth: Some(OctetString::new(keys.seal(&bound))?),
            client_nonce: nonce,
            ..Message::of(VERSION)
        };
        self.proven = Some((keys, version));
        Ok(Next::Send(made.to_der()?))
    }

    /// The password is for whoever has the key of the certificate.
    fn entrust(&self, mut keys: Keys, version: u32, message: &Message) -> Result<Next, LoginError> {
        let shown = message.pub_key_auth.as_ref().ok_or(LoginError::Unbound)?;
        let shown = keys.open(shown.as_bytes()).ok_or(LoginError::Unbound)?;
        let wanted = match version {
            BOUND.. => self.bound(FROM_TARGET),
            _ => {
                let mut key = self.public_key.to_vec();
                if let Some(first) = key.first_mut() {
                    *first = first.wrapping_add(1);
                }
                key
            }
        };
        aws_lc_rs::constant_time::verify_slices_are_equal(&shown, &wanted)
            .map_err(|_| LoginError::Unbound)?;
        let sealed = keys.seal(&self.credentials()?);
        let made = Message { auth_info: Some(OctetString::new(sealed)?), ..Message::of(VERSION) };
        Ok(Next::Last(Zeroizing::new(made.to_der()?)))
    }

    fn bound(&self, way: &[u8]) -> Vec<u8> {
        sha256(&[way, &self.nonce, self.public_key].concat()).to_vec()
    }

    fn credentials(&self) -> Result<Zeroizing<Vec<u8>>, LoginError> {
        let Account { domain, user, password } = self.account;
        let text = |text: &str| OctetString::new(utf16(text));
        let password = Password {
            domain: text(domain)?,
            user: text(user)?,
            password: text(password.expose_secret())?,
        };
        let inner = Zeroizing::new(password.to_der()?);
        let outer = Credentials { kind: BY_PASSWORD, credentials: OctetString::new(&inner[..])? };
        Ok(Zeroizing::new(outer.to_der()?))
    }
}

pub(crate) fn tokens(token: Vec<u8>) -> Result<Vec<Token>, der::Error> {
    Ok(vec![Token { token: OctetString::new(token)? }])
}

/// `TSRequest`.
#[derive(der::Sequence)]
#[asn1(tag_mode = "EXPLICIT")]
pub(crate) struct Message {
    #[asn1(context_specific = "0")]
    pub(crate) version: u32,
    #[asn1(context_specific = "1", optional = "true")]
    pub(crate) nego_tokens: Option<Vec<Token>>,
    #[asn1(context_specific = "2", optional = "true")]
    pub(crate) auth_info: Option<OctetString>,
    #[asn1(context_specific = "3", optional = "true")]
    pub(crate) pub_key_auth: Option<OctetString>,
    #[asn1(context_specific = "4", optional = "true")]
    pub(crate) error_code: Option<der::asn1::Int>,
    #[asn1(context_specific = "5", optional = "true")]
    pub(crate) client_nonce: Option<OctetString>,
}

impl Message {
    pub(crate) fn of(version: u32) -> Self {
        Self {
            version,
            nego_tokens: None,
            auth_info: None,
            pub_key_auth: None,
            error_code: None,
            client_nonce: None,
        }
    }
}

/// `NegoData`.
#[derive(der::Sequence)]
#[asn1(tag_mode = "EXPLICIT")]
pub(crate) struct Token {
    #[asn1(context_specific = "0")]
    pub(crate) token: OctetString,
}

/// `TSCredentials`.
#[derive(der::Sequence)]
#[asn1(tag_mode = "EXPLICIT")]
struct Credentials {
    #[asn1(context_specific = "0")]
    kind: u32,
    #[asn1(context_specific = "1")]
    credentials: OctetString,
}

/// `TSPasswordCreds`.
#[derive(der::Sequence)]
#[asn1(tag_mode = "EXPLICIT")]
struct Password {
    #[asn1(context_specific = "0")]
    domain: OctetString,
    #[asn1(context_specific = "1")]
    user: OctetString,
    #[asn1(context_specific = "2")]
    password: OctetString,
}

pub(crate) const VERSION: u32 = 6;
/// From this version on both sides bind what they say to a fresh value too.
pub(crate) const BOUND: u32 = 5;
const BY_PASSWORD: u32 = 1;
pub(crate) const TO_TARGET: &[u8] = b"CredSSP Client-To-Server Binding Hash\0";
pub(crate) const FROM_TARGET: &[u8] = b"CredSSP Server-To-Client Binding Hash\0";

/// Takes what a target might say; for fuzzing.
pub(crate) fn fuzz(bytes: &[u8]) {
    let account = Account::new("D\\u", "p".into());
    let fresh = Fresh { challenge: [1; 8], key: [2; 16] };
    let occasion = Occasion { fresh, nonce: [3; 32], now: 0, host: "h".to_owned() };
    let mut login = Credssp::new(&account, b"key", occasion);
    for part in bytes.split_inclusive(|byte| *byte == 0xff) {
        if login.answered(part).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login<'a>(account: &'a Account) -> Credssp<'a> {
        let fresh = Fresh { challenge: [1; 8], key: [2; 16] };
        let occasion = Occasion { fresh, nonce: [3; 32], now: 0, host: "desk".to_owned() };
        Credssp::new(account, b"the target's key", occasion)
    }

    /// A challenge that says nothing of the server.
    fn challenge() -> Vec<u8> {
        let fixed =
            [b"NTLMSSP\0", &2_u32.to_le_bytes()[..], &[0; 8], &0xe208_8235_u32.to_le_bytes()];
        let facts = [&[4, 0, 4, 0][..], &56_u32.to_le_bytes(), &[0; 8], &[0; 4]];
        [fixed.concat(), vec![1; 8], vec![0; 8], facts.concat()].concat()
    }

    fn asked(version: u32) -> Vec<u8> {
        let tokens = tokens(challenge()).unwrap();
        Message { nego_tokens: Some(tokens), ..Message::of(version) }.to_der().unwrap()
    }

    #[test]
    fn the_password_goes_to_nobody_who_has_not_shown_the_key() {
        let account = Account::new("desk", "hunter2".into());
        for version in [2, 6] {
            let mut login = login(&account);
            let Next::Send(sent) = login.answered(&asked(version)).unwrap() else {
                panic!("that was not all");
            };
            let sent = Message::from_der(&sent).unwrap();
            assert_eq!(sent.client_nonce.is_some(), version == 6);
            assert!(sent.auth_info.is_none());
            for shown in [None, Some(OctetString::new([0; 48]).unwrap())] {
                let message = Message { pub_key_auth: shown, ..Message::of(version) };
                let mut login = self::login(&account);
                login.answered(&asked(version)).unwrap();
                let answered = login.answered(&message.to_der().unwrap());
                assert!(matches!(answered, Err(LoginError::Unbound)), "{version}");
            }
        }
    }

    /// What comes of a login at a target of this version that knows the password, shows this, and counts
    /// its messages from `number` on; with how the client has shown itself there.
    fn shown(version: u32, shown: &[u8], number: u32) -> (Shown, Result<Next, LoginError>) {
        let account = Account::new("desk", "hunter2".into());
        let mut login = login(&account);
        let mut server = ntlm::Server::new([1; 8], 99, "DESK");
        let first = Message::from_der(&login.first().unwrap()).unwrap();
        let first = first.nego_tokens.unwrap();
        let asked = tokens(server.ask(first[0].token.as_bytes()).unwrap()).unwrap();
        let asked = Message { nego_tokens: Some(asked), ..Message::of(version) };
        let Next::Send(sent) = login.answered(&asked.to_der().unwrap()).unwrap() else { panic!() };
        let sent = Message::from_der(&sent).unwrap();
        let proof = sent.nego_tokens.unwrap();
        let proven = server.proven(proof[0].token.as_bytes(), &"hunter2".into()).unwrap().unwrap();
        let mut keys = proven.keys(0);
        let key = keys.open(sent.pub_key_auth.unwrap().as_bytes()).unwrap();
        let nonce = sent.client_nonce.map(|nonce| nonce.as_bytes().to_vec());
        let sealed = keys.counted_from(number).seal(shown);
        let message = Message {
            pub_key_auth: Some(OctetString::new(sealed).unwrap()),
            // Which one it is was said before.
            ..Message::of(VERSION)
        };
        (Shown { key, nonce }, login.answered(&message.to_der().unwrap()))
    }

    #[derive(Debug, PartialEq, Eq)]
    struct Shown {
        key: Vec<u8>,
        nonce: Option<Vec<u8>>,
    }

    /// MS-CSSP 3.1.5, steps 3 to 5.
    #[test]
    fn a_target_is_believed_as_its_version_has_it_and_in_no_other_way() {
        const KEY: &[u8] = b"the target's key";
        let bound = |way: &[u8]| sha256(&[way, &[3; 32], KEY].concat()).to_vec();
        let (mut up, to, from) = (KEY.to_vec(), bound(TO_TARGET), bound(FROM_TARGET));
        up[0] += 1;
        for version in 2..=7 {
            let is_old = version < BOUND;
            let key = if is_old { KEY.to_vec() } else { to.clone() };
            let ours = Shown { key, nonce: (!is_old).then(|| vec![3; 32]) };
            // What it was sent, sent back, is no answer.
            for (answer, believed) in
                [(&up, is_old), (&from, !is_old), (&to, false), (&KEY.to_vec(), false)]
            {
                let (shown, next) = shown(version, answer, 0);
                assert_eq!(shown, ours, "{version}");
                assert_eq!(matches!(next, Ok(Next::Last(_))), believed, "{version} {answer:?}");
                let is_unbound = matches!(next, Err(LoginError::Unbound));
                assert_eq!(is_unbound, !believed, "{version} {answer:?}");
            }
            let right = if is_old { &up } else { &from };
            for number in [1, 2, 9] {
                let (_, next) = self::shown(version, right, number);
                assert!(matches!(next, Err(LoginError::Unbound)), "{version}: message {number}");
            }
        }
    }

    #[test]
    fn a_refusal_is_told_by_its_number() {
        let account = Account::new("desk", "hunter2".into());
        let status = der::asn1::Int::new(&[0xc0, 0, 0, 0x6d]).unwrap();
        let message = Message { error_code: Some(status), ..Message::of(6) };
        let refused = login(&account).answered(&message.to_der().unwrap());
        let Err(LoginError::Refused { status }) = refused else { panic!("it was refused") };
        assert_eq!(status, "c000006d");
        assert!(login(&account).answered(b"\x30\x02\xa0").is_err());
    }
}
