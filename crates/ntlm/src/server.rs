//! A server's half of a login: asks, and checks the answer against a password that it knows.

use secrecy::SecretString;
use zeroize::Zeroizing;

use crate::digests::{Rc4, hmac_md5};
use crate::{
    AV_END, AV_FLAGS, AV_TIME, BODY, FLAGS, Keys, Login, MIC, NEEDED, NtlmError, OWN_KEY,
    SIGNATURE, TARGET_INFO, VERSION, u16_at, u32_at, utf16,
};

/// A server's half of a login, from the client's first message to its last.
pub struct Server {
    /// Fresh for this login.
    challenge: [u8; 8],
    /// 100 ns since 1601.
    now: u64,
    /// What it calls itself.
    name: String,
    /// The first message, and the answer to it, which the last one vouches for.
    negotiate: Vec<u8>,
    asked: Vec<u8>,
}

/// Who a client says it is, which it has not shown yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    pub domain: String,
    pub user: String,
}

/// Key of all that is said after a login that went well.
pub struct Proven(Zeroizing<[u8; 16]>);

impl Proven {
    /// What protects what is said, as the server has it, from the message of this number on.
    pub fn keys(&self, number: u32) -> Keys {
        Keys::of_server(&self.0).counted_from(number)
    }
}

impl Server {
    pub fn new(challenge: [u8; 8], now: u64, name: &str) -> Self {
        Self { challenge, now, name: name.to_owned(), negotiate: Vec::new(), asked: Vec::new() }
    }

    /// The answer to the client's first message.
    pub fn ask(&mut self, negotiate: &[u8]) -> Result<Vec<u8>, NtlmError> {
        let offered = flags_of(negotiate, 1, 12)?;
        let flags = (FLAGS & offered) | TARGET_INFO | SERVER;
        let (name, facts) = (utf16(&self.name), self.facts()?);
        let (name_length, facts_length) = (length(&name)?, length(&facts)?);
        let mut asked = [SIGNATURE, &2_u32.to_le_bytes(), &name_length, &name_length].concat();
        asked.extend(ASKED.to_le_bytes());
        asked.extend(flags.to_le_bytes());
        asked.extend(self.challenge);
        asked.extend([0; 8]);
        asked.extend([facts_length, facts_length].concat());
        let behind = usize::try_from(ASKED).map_err(|_| NtlmError::NotOne)? + name.len();
        asked.extend(u32::try_from(behind).map_err(|_| NtlmError::NotOne)?.to_le_bytes());
        asked.extend(VERSION);
        asked.extend(name);
        asked.extend(facts);
        (self.negotiate, self.asked) = (negotiate.to_vec(), asked.clone());
        Ok(asked)
    }

    /// Who the client's last message says it is from.
    pub fn claim(answer: &[u8]) -> Result<Claim, NtlmError> {
        flags_of(answer, 3, 60)?;
        Ok(Claim { domain: text(part(answer, 28)?)?, user: text(part(answer, 36)?)? })
    }

    /// Checks the client's last message against the password; `None`: it was another one, or the
    /// messages are not those that were exchanged here.
    pub fn proven(
        &self,
        answer: &[u8],
        password: &SecretString,
    ) -> Result<Option<Proven>, NtlmError> {
        let Claim { domain, user } = Self::claim(answer)?;
        let (proof, blob) = part(answer, 20)?.split_first_chunk::<16>().ok_or(NtlmError::NotOne)?;
        if !blob.starts_with(&[1, 1]) || answer.len() < BODY {
            return Err(NtlmError::NotOne);
        }
        let key = Login { domain: &domain, user: &user, password }.key();
        let wanted = hmac_md5(&key, &[&self.challenge, blob]);
        let is_theirs = aws_lc_rs::constant_time::verify_slices_are_equal(&wanted, proof);
        let shown = part(answer, 52)?.first_chunk::<16>().ok_or(NtlmError::NotOne)?;
        let mut own = Zeroizing::new(*shown);
        Rc4::new(&hmac_md5(&key, &[proof])).apply(&mut *own);
        let mut unsigned = answer.to_vec();
        unsigned[MIC..MIC + 16].fill(0);
        let mic = hmac_md5(&own, &[&self.negotiate, &self.asked, &unsigned]);
        let is_whole =
            aws_lc_rs::constant_time::verify_slices_are_equal(&mic, &answer[MIC..MIC + 16]);
        // Who knows the time, which was told, has to vouch for the messages.
        let vouches = facts_vouch(blob.get(28..).ok_or(NtlmError::Cut)?)?;
        Ok((is_theirs.is_ok() && is_whole.is_ok() && vouches).then(|| Proven(own)))
    }

    fn facts(&self) -> Result<Vec<u8>, NtlmError> {
        let name = utf16(&self.name);
        let mut facts = Vec::new();
        // Of domain and machine, in both kinds of names.
        for kind in [2, 1, 4, 3] {
            facts.extend([kind, 0]);
            facts.extend(length(&name)?);
            facts.extend(&name);
        }
        facts.extend(AV_TIME.to_le_bytes());
        facts.extend([8, 0]);
        facts.extend(self.now.to_le_bytes());
        facts.extend([0; 4]);
        Ok(facts)
    }
}

/// The flags of a message of this kind, which protects what follows it.
fn flags_of(message: &[u8], kind: u32, at: usize) -> Result<u32, NtlmError> {
    if message.get(..8) != Some(SIGNATURE) || u32_at(message, 8)? != kind {
        return Err(NtlmError::NotOne);
    }
    let flags = u32_at(message, at)?;
    if flags & NEEDED == NEEDED && flags & OWN_KEY != 0 {
        Ok(flags)
    } else {
        Err(NtlmError::NotOne)
    }
}

/// Whether what a client said of itself says that it vouches for the messages.
fn facts_vouch(facts: &[u8]) -> Result<bool, NtlmError> {
    let mut at = 0;
    loop {
        let (kind, length) = (u16_at(facts, at)?, usize::from(u16_at(facts, at + 2)?));
        if kind == AV_END {
            return Ok(false);
        }
        if kind == u16::from(AV_FLAGS) && u32_at(facts, at + 4)? & 2 != 0 {
            return Ok(true);
        }
        at += 4 + length;
    }
}

/// The part of a message whose length and place stand at `at`.
fn part(message: &[u8], at: usize) -> Result<&[u8], NtlmError> {
    let length = usize::from(u16_at(message, at)?);
    let place = usize::try_from(u32_at(message, at + 4)?).map_err(|_| NtlmError::Cut)?;
    message.get(place..).and_then(|rest| rest.get(..length)).ok_or(NtlmError::Cut)
}

fn text(bytes: &[u8]) -> Result<String, NtlmError> {
    if !bytes.len().is_multiple_of(2) || bytes.len() > MOST_NAME {
        return Err(NtlmError::NotOne);
    }
    let units = bytes.chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]]));
    char::decode_utf16(units).collect::<Result<_, _>>().map_err(|_| NtlmError::NotOne)
}

fn length(bytes: &[u8]) -> Result<[u8; 2], NtlmError> {
    Ok(u16::try_from(bytes.len()).map_err(|_| NtlmError::NotOne)?.to_le_bytes())
}

/// That the name is a server's.
const SERVER: u32 = 0x0002_0000;
/// Where what is asked ends and its parts begin.
const ASKED: u32 = 56;
const MOST_NAME: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Fresh, Ntlm};

    const FRESH: Fresh = Fresh { challenge: [0xaa; 8], key: [0x55; 16] };

    /// A client that knows this password, up to its last message.
    fn answered(password: &str) -> (Server, Vec<u8>, Keys) {
        let client = Ntlm::new(FRESH, 0, "TERMSRV/desk".to_owned());
        let mut server = Server::new([7; 8], 1234, "adit");
        let asked = server.ask(&client.negotiate()).unwrap();
        let login = Login { domain: "D", user: "stra\u{df}e", password: &password.into() };
        let (answer, keys) = client.authenticate(&asked, &login).unwrap();
        (server, answer, keys)
    }

    #[test]
    fn who_knows_the_password_is_let_in_and_both_read_each_other() {
        let (server, answer, mut client) = answered("once only");
        let claim = Server::claim(&answer).unwrap();
        assert_eq!((claim.domain.as_str(), claim.user.as_str()), ("D", "stra\u{df}e"));
        let proven = server.proven(&answer, &"once only".into()).unwrap().unwrap();
        let mut keys = proven.keys(0);
        assert_eq!(keys.open(&client.seal(b"up")).unwrap(), b"up");
        assert_eq!(client.open(&keys.seal(b"down")).unwrap(), b"down");
        assert!(client.open(&proven.keys(0).seal(b"down")).is_none(), "it is the second");
    }

    #[test]
    fn another_password_and_messages_that_were_changed_are_refused() {
        let (server, answer, _) = answered("once only");
        assert!(server.proven(&answer, &"another".into()).unwrap().is_none());
        let (other, _, _) = answered("once only");
        let other = Server { challenge: [8; 8], ..other };
        assert!(other.proven(&answer, &"once only".into()).unwrap().is_none(), "another challenge");
        for at in [60, 62, MIC, answer.len() - 1] {
            let mut changed = answer.clone();
            changed[at] ^= 8;
            let let_in = server.proven(&changed, &"once only".into());
            assert!(!matches!(let_in, Ok(Some(_))), "{at}");
        }
    }

    #[test]
    fn who_says_nothing_of_vouching_for_the_messages_does_not() {
        let (time, end) = ([7, 0, 8, 0, 1, 2, 3, 4, 5, 6, 7, 8], [0; 4]);
        let flags = |value: u8| [AV_FLAGS, 0, 4, 0, value, 0, 0, 0];
        let vouch = |parts: &[&[u8]]| facts_vouch(&parts.concat());
        assert!(vouch(&[&time, &flags(2), &end]).unwrap());
        assert!(!vouch(&[&time, &end]).unwrap());
        assert!(!vouch(&[&time, &flags(1), &end]).unwrap(), "another flag");
        assert!(!vouch(&[&end, &flags(2)]).unwrap(), "what stands behind the end is no fact");
        assert!(vouch(&[&time]).is_err(), "no end");
    }

    #[test]
    fn a_message_that_is_cut_or_protects_nothing_is_refused() {
        let (server, answer, _) = answered("p");
        for length in 0..answer.len() {
            let let_in = server.proven(&answer[..length], &"p".into());
            assert!(!matches!(let_in, Ok(Some(_))), "{length}");
        }
        let mut first = Ntlm::new(FRESH, 0, String::new()).negotiate();
        let mut server = Server::new([7; 8], 0, "adit");
        assert!(server.ask(&first[..15]).is_err());
        first[12] &= !0x20;
        assert!(matches!(server.ask(&first), Err(NtlmError::NotOne)), "it seals nothing");
    }
}
