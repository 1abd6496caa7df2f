//! CredSSP, as a host speaks it (MS-CSSP): a native client shows that it knows a password that is good
//! once, inside TLS and bound to the key that TLS has shown.
//!
//! What it entrusts at the end, its own password, is opened and forgotten.

use access::sha256;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use der::asn1::{Int, OctetString};
use der::{Decode as _, Encode as _};
use ntlm::{Keys, Proven, Server};
use secrecy::SecretString;

use crate::credssp::{BOUND, FROM_TARGET, LoginError, Message, TO_TARGET, VERSION, tokens};
use crate::frame::Fault;
use crate::spnego::{self, Token};

/// A login that is under way.
pub(crate) struct Host<'a> {
    /// Of the certificate that TLS has shown.
    public_key: &'a [u8],
    ntlm: Server,
    /// The ways of signing in that the client has named, where it names some (SPNEGO).
    ways: Option<Vec<u8>>,
    stage: Stage,
    version: u32,
}

enum Stage {
    /// The client says that it is there.
    First,
    /// It was asked.
    Asked,
    /// It knows the password, and has yet to show that TLS ends at it.
    Proven(Box<Proven>),
    /// It has, and hands over what it has typed.
    Bound(Box<Keys>),
}

/// What comes next.
pub(crate) enum Said {
    /// This is sent, and an answer waited for.
    Send(Vec<u8>),
    /// It is who it says.
    Done,
    /// This is sent, and that was all.
    Refuse(Vec<u8>),
}

impl<'a> Host<'a> {
    pub(crate) fn new(public_key: &'a [u8], challenge: [u8; 8], now: u64) -> Self {
        let ntlm = Server::new(challenge, now, "ADIT");
        Self { public_key, ntlm, ways: None, stage: Stage::First, version: VERSION }
    }

    /// Takes a message of the client's. `password` tells that of a user, where there is one.
    pub(crate) fn answered(
        &mut self,
        bytes: &[u8],
        password: &dyn Fn(&str) -> Option<SecretString>,
    ) -> Result<Said, LoginError> {
        let message = Message::from_der(bytes)?;
        self.version = self.version.min(message.version);
        match std::mem::replace(&mut self.stage, Stage::First) {
            Stage::First => self.ask(&message),
            Stage::Asked => self.prove(&message, password),
            Stage::Proven(proven) => self.bind(&proven, &message, None),
            Stage::Bound(mut keys) => {
                let sealed = message.auth_info.ok_or(Fault::Settings)?;
                let opened = keys.open(sealed.as_bytes()).map(zeroize::Zeroizing::new);
                opened.ok_or(LoginError::Unbound)?;
                Ok(Said::Done)
            }
        }
    }

    fn ask(&mut self, message: &Message) -> Result<Said, LoginError> {
        let token = token(message)?.ok_or(Fault::Settings)?;
        let (first, is_wrapped) = match spnego::read(token)? {
            Token::Plain(first) => (Some(first), false),
            Token::First { ways, token } => {
                if !spnego::names_ntlm(ways)? {
                    return Err(Fault::Settings.into());
                }
                self.ways = Some(ways.to_vec());
                (token.filter(|token| spnego::is_ntlm(token)), true)
            }
            Token::Next { token, .. } => (token, true),
        };
        // Its first way is another one, and so is what it sends along.
        let Some(first) = first else { return self.send(Some(spnego::choose())) };
        let asked = self.ntlm.ask(first)?;
        self.stage = Stage::Asked;
        self.send(Some(if is_wrapped { spnego::ask(&asked) } else { asked }))
    }

    fn prove(
        &mut self,
        message: &Message,
        password: &dyn Fn(&str) -> Option<SecretString>,
    ) -> Result<Said, LoginError> {
        let token = token(message)?.ok_or(Fault::Settings)?;
        let (answer, mic) = match spnego::read(token)? {
            Token::Plain(answer) => (answer, None),
            Token::Next { token, mic } => (token.ok_or(Fault::Settings)?, mic),
            Token::First { .. } => return Err(Fault::Order.into()),
        };
        let claim = Server::claim(answer)?;
        // Who is not known is told the same, after the same work.
        let known = password(&claim.user);
        let shown = known.clone().unwrap_or_else(|| "nobody's".into());
        let proven = self.ntlm.proven(answer, &shown)?.filter(|_| known.is_some());
        let Some(proven) = proven else { return self.refuse() };
        let ours = match (&self.ways, mic) {
            (Some(ways), Some(mic)) => {
                let mut keys = proven.keys(0);
                if !keys.is_signed(ways, mic) {
                    return self.refuse();
                }
                Some(spnego::accept(Some(&keys.sign(ways))))
            }
            (Some(_), None) => Some(spnego::accept(None)),
            (None, _) => None,
        };
        if message.pub_key_auth.is_none() {
            // It waits for the end of the one before it begins with the other.
            self.stage = Stage::Proven(Box::new(proven));
            return self.send(Some(ours.ok_or(Fault::Settings)?));
        }
        self.bind(&proven, message, ours)
    }

    /// Both show that TLS ends at them.
    fn bind(
        &mut self,
        proven: &Proven,
        message: &Message,
        token: Option<Vec<u8>>,
    ) -> Result<Said, LoginError> {
        let sealed = message.pub_key_auth.as_ref().ok_or(LoginError::Unbound)?.as_bytes();
        // Clients count on, or anew, once they have signed their ways of signing in.
        let number = sealed.get(12..16).and_then(<[u8]>::first_chunk).ok_or(LoginError::Unbound)?;
        let number = u32::from_le_bytes(*number);
        if number > u32::from(self.ways.is_some()) {
            return Err(LoginError::Unbound);
        }
        let mut keys = proven.keys(number);
        let shown = keys.open(sealed).ok_or(LoginError::Unbound)?;
        let (theirs, ours) = match &message.client_nonce {
            Some(nonce) if self.version >= BOUND => {
                let bound = |way: &[u8]| {
                    sha256(&[way, nonce.as_bytes(), self.public_key].concat()).to_vec()
                };
                (bound(TO_TARGET), bound(FROM_TARGET))
            }
            None if self.version < BOUND => {
                let mut ours = self.public_key.to_vec();
                if let Some(first) = ours.first_mut() {
                    *first = first.wrapping_add(1);
                }
                (self.public_key.to_vec(), ours)
            }
            Some(_) | None => return Err(LoginError::Unbound),
        };
        verify_slices_are_equal(&shown, &theirs).map_err(|_| LoginError::Unbound)?;
        let sealed = OctetString::new(keys.seal(&ours))?;
        self.stage = Stage::Bound(Box::new(keys));
        let nego_tokens = token.map(tokens).transpose()?;
        let message = Message { nego_tokens, pub_key_auth: Some(sealed), ..Message::of(VERSION) };
        Ok(Said::Send(message.to_der()?))
    }

    fn refuse(&self) -> Result<Said, LoginError> {
        // Versions 2 and 5 have no word for it (2.2.1).
        let says = !matches!(self.version, 0..=2 | 5);
        let error_code = says.then(|| Int::new(&LOGON_FAILURE)).transpose()?;
        Ok(Said::Refuse(Message { error_code, ..Message::of(VERSION) }.to_der()?))
    }

    fn send(&self, token: Option<Vec<u8>>) -> Result<Said, LoginError> {
        let nego_tokens = token.map(tokens).transpose()?;
        Ok(Said::Send(Message { nego_tokens, ..Message::of(VERSION) }.to_der()?))
    }
}

fn token(message: &Message) -> Result<Option<&[u8]>, Fault> {
    match message.nego_tokens.as_deref() {
        Some([one]) => Ok(Some(one.token.as_bytes())),
        None | Some([]) => Ok(None),
        Some([..]) => Err(Fault::Settings),
    }
}

/// STATUS_LOGON_FAILURE.
const LOGON_FAILURE: [u8; 4] = [0xc0, 0, 0, 0x6d];

/// Takes what a client might say; for fuzzing.
pub(crate) fn fuzz(bytes: &[u8]) {
    let mut host = Host::new(b"key", [1; 8], 0);
    for part in bytes.split_inclusive(|byte| *byte == 0xff) {
        if host.answered(part, &|_| Some("p".into())).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use ntlm::Fresh;

    use super::*;
    use crate::credssp::{Credssp, Next, Occasion};
    use crate::settings::Account;

    const KEY: &[u8] = b"what TLS has shown";

    fn client<'a>(account: &'a Account, key: &'a [u8]) -> Credssp<'a> {
        let fresh = Fresh { challenge: [1; 8], key: [2; 16] };
        let occasion = Occasion { fresh, nonce: [3; 32], now: 0, host: "desk".to_owned() };
        Credssp::new(account, key, occasion)
    }

    /// Has our client sign in, which is held to vectors and to other servers, and says how far it came.
    fn login(client_key: &[u8], password: &str) -> Result<bool, LoginError> {
        login_as("adit-x", client_key, password)
    }

    fn login_as(user: &str, client_key: &[u8], password: &str) -> Result<bool, LoginError> {
        let account = Account::new(user, password.to_owned().into());
        let mut client = client(&account, client_key);
        let mut host = Host::new(KEY, [7; 8], 99);
        let known = |user: &str| (user == "adit-x").then(|| SecretString::from("once"));
        let mut said = host.answered(&client.first()?, &known)?;
        loop {
            let sent = match said {
                Said::Send(sent) => sent,
                Said::Done => return Ok(true),
                Said::Refuse(sent) => {
                    let refused = client.answered(&sent);
                    assert!(matches!(refused, Err(LoginError::Refused { .. })));
                    return Ok(false);
                }
            };
            // It is the host that has to see what is wrong.
            said = match client.answered(&sent).expect("the client finds nothing wrong") {
                Next::Send(next) => host.answered(&next, &known)?,
                Next::Last(next) => host.answered(&next, &known)?,
            };
        }
    }

    #[test]
    fn who_knows_the_password_is_let_in_where_tls_ends() {
        assert!(login(KEY, "once").unwrap());
        assert!(!login(KEY, "twice").unwrap());
        assert!(matches!(login(b"another's", "once"), Err(LoginError::Unbound)));
        assert!(!login_as("adit-y", KEY, "nobody's").unwrap(), "nobody has a password either");
    }

    #[test]
    fn a_login_that_windows_wraps_is_let_in_unless_its_signature_is_wrong() {
        for (mic, is_let_in) in [(None, true), (Some(&[0_u8; 16][..]), false)] {
            let account = Account::new("adit-x", "once".to_owned().into());
            let (mut client, mut host) = (client(&account, KEY), Host::new(KEY, [7; 8], 99));
            let known = |_: &str| Some(SecretString::from("once"));
            let wrapped = |sent: &[u8], wrap: &dyn Fn(&[u8]) -> Vec<u8>| {
                let message = Message::from_der(sent).unwrap();
                let bytes = wrap(token(&message).unwrap().unwrap());
                Message { nego_tokens: Some(tokens(bytes).unwrap()), ..message }.to_der().unwrap()
            };
            let first = wrapped(&client.first().unwrap(), &spnego::tests::begins);
            let Said::Send(asked) = host.answered(&first, &known).unwrap() else { panic!() };
            let asked = wrapped(&asked, &|bytes| {
                let Ok(Token::Next { token: Some(token), .. }) = spnego::read(bytes) else {
                    panic!()
                };
                token.to_vec()
            });
            let Next::Send(proves) = client.answered(&asked).unwrap() else { panic!() };
            let proves = wrapped(&proves, &|bytes| spnego::tests::goes_on(bytes, mic));
            let said = host.answered(&proves, &known).unwrap();
            assert_eq!(matches!(said, Said::Send(_)), is_let_in, "{mic:?}");
            assert_eq!(matches!(said, Said::Refuse(_)), !is_let_in, "{mic:?}");
        }
    }

    #[test]
    fn what_a_client_says_last_has_to_be_sealed_by_it_and_its_nonce_there() {
        let account = Account::new("adit-x", "once".to_owned().into());
        let known = |_: &str| Some(SecretString::from("once"));
        for breaks in [None, Some("seal"), Some("nonce")] {
            let (mut client, mut host) = (client(&account, KEY), Host::new(KEY, [7; 8], 99));
            let Said::Send(asked) = host.answered(&client.first().unwrap(), &known).unwrap() else {
                panic!()
            };
            let Next::Send(proves) = client.answered(&asked).unwrap() else { panic!() };
            if breaks == Some("nonce") {
                let message = Message::from_der(&proves).unwrap();
                let without = Message { client_nonce: None, ..message }.to_der().unwrap();
                assert!(matches!(host.answered(&without, &known), Err(LoginError::Unbound)));
                continue;
            }
            let Said::Send(bound) = host.answered(&proves, &known).unwrap() else { panic!() };
            let Next::Last(mut last) = client.answered(&bound).unwrap() else { panic!() };
            if let Some(byte) = last.last_mut().filter(|_| breaks.is_some()) {
                *byte ^= 1;
            }
            assert_eq!(host.answered(&last, &known).is_ok(), breaks.is_none(), "{breaks:?}");
        }
    }

    const NONCE: [u8; 32] = [3; 32];

    fn bound(way: &[u8]) -> Vec<u8> {
        sha256(&[way, &NONCE, KEY].concat()).to_vec()
    }

    /// As old versions answer.
    fn counted_up() -> Vec<u8> {
        let mut key = KEY.to_vec();
        key[0] += 1;
        key
    }

    /// How a client shows that TLS ends at it.
    struct Shows {
        version: u32,
        nonce: bool,
        key: Vec<u8>,
        /// Of its message.
        number: u32,
        /// As Windows does.
        wrapped: bool,
    }

    /// What a client that knows the password is answered, once it has read it.
    fn answer(shows: &Shows) -> Result<Vec<u8>, LoginError> {
        let Shows { version, nonce, key, number, wrapped } = shows;
        let fresh = Fresh { challenge: [1; 8], key: [2; 16] };
        let ntlm = ntlm::Ntlm::new(fresh, 0, "TERMSRV/desk".to_owned());
        let mut host = Host::new(KEY, [7; 8], 99);
        let known = |_: &str| Some(SecretString::from("once"));
        let wrap = |plain: Vec<u8>, how: &dyn Fn(&[u8]) -> Vec<u8>| {
            if *wrapped { how(&plain) } else { plain }
        };
        let first = tokens(wrap(ntlm.negotiate(), &spnego::tests::begins))?;
        let first = Message { nego_tokens: Some(first), ..Message::of(*version) };
        let Said::Send(asked) = host.answered(&first.to_der()?, &known)? else { panic!() };
        let asked = Message::from_der(&asked)?;
        let asked = match spnego::read(token(&asked)?.unwrap())? {
            Token::Next { token, .. } => token.unwrap().to_vec(),
            Token::Plain(token) => token.to_vec(),
            Token::First { .. } => panic!("a host begins nothing"),
        };
        let password = SecretString::from("once");
        let login = ntlm::Login { domain: "", user: "adit-x", password: &password };
        let (proves, keys) = ntlm.authenticate(&asked, &login)?;
        let mut keys = keys.counted_from(*number);
        let proves = tokens(wrap(proves, &|proves| spnego::tests::goes_on(proves, None)))?;
        let message = Message {
            nego_tokens: Some(proves),
            pub_key_auth: Some(OctetString::new(keys.seal(key))?),
            client_nonce: nonce.then(|| OctetString::new(NONCE)).transpose()?,
            ..Message::of(*version)
        };
        let Said::Send(answer) = host.answered(&message.to_der()?, &known)? else { panic!() };
        let answer = Message::from_der(&answer)?.pub_key_auth.expect("it is bound");
        Ok(keys.open(answer.as_bytes()).expect("the host's own"))
    }

    /// MS-CSSP 3.1.5, steps 3 and 4: from version 5 on a nonce is bound to the key, and before there is
    /// none.
    #[test]
    fn a_client_is_bound_as_its_version_has_it_and_in_no_other_way() {
        let (key, hash) = (KEY.to_vec(), bound(TO_TARGET));
        let cases = [
            (2, false, &key, Some(counted_up())),
            (4, false, &key, Some(counted_up())),
            (5, true, &hash, Some(bound(FROM_TARGET))),
            (6, true, &hash, Some(bound(FROM_TARGET))),
            (7, true, &hash, Some(bound(FROM_TARGET))),
            // An old version with what belongs to a new one.
            (2, true, &hash, None),
            (4, true, &hash, None),
            (4, true, &key, None),
            (4, false, &hash, None),
            // A new one with what belongs to an old one.
            (5, false, &key, None),
            (6, false, &key, None),
            (6, true, &key, None),
            (6, false, &hash, None),
            // What a host answers is nothing that a client shows.
            (4, false, &counted_up(), None),
            (6, true, &bound(FROM_TARGET), None),
        ];
        for (version, nonce, key, wanted) in cases {
            let shows = Shows { version, nonce, key: key.clone(), number: 0, wrapped: false };
            match (answer(&shows), wanted) {
                (Ok(answer), Some(wanted)) => assert_eq!(answer, wanted, "{version}"),
                (Err(LoginError::Unbound), None) => {}
                (found, wanted) => panic!("{version} {nonce}: {found:?}, not {wanted:?}"),
            }
        }
    }

    #[test]
    fn a_client_counts_its_messages_from_the_first_or_from_behind_a_signature() {
        for (wrapped, number, is_taken) in [
            (false, 0, true),
            (false, 1, false),
            (false, 7, false),
            (true, 0, true),
            (true, 1, true),
            (true, 2, false),
            (true, u32::MAX, false),
        ] {
            let shows = Shows { version: 6, nonce: true, key: bound(TO_TARGET), number, wrapped };
            let found = answer(&shows);
            let is_unbound = matches!(found, Err(LoginError::Unbound));
            assert_eq!((found.is_ok(), is_unbound), (is_taken, !is_taken), "{wrapped} {number}");
        }
    }

    #[test]
    fn nobody_is_let_in_out_of_turn() {
        let known = |_: &str| Some(SecretString::from("once"));
        for message in [
            Message { auth_info: Some(OctetString::new([0; 40]).unwrap()), ..Message::of(6) },
            Message { pub_key_auth: Some(OctetString::new([0; 40]).unwrap()), ..Message::of(6) },
            Message::of(6),
        ] {
            let mut host = Host::new(KEY, [7; 8], 99);
            assert!(host.answered(&message.to_der().unwrap(), &known).is_err());
        }
    }
}
