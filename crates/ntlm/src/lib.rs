//! NTLM, version 2 (MS-NLMP), as a client speaks it, and as a server does that knows the password: a
//! login that shows the password to nobody who does not know it, and keys for what is said after.

mod digests;
mod server;

pub use server::{Claim, Proven, Server};

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use digests::{Rc4, hmac_md5, md4, md5};

/// Whose login it is.
#[derive(Clone, Copy, Debug)]
pub struct Login<'a> {
    /// Empty: the account is the server's own.
    pub domain: &'a str,
    pub user: &'a str,
    pub password: &'a SecretString,
}

impl Login<'_> {
    /// What the password and the account come to (NTOWFv2, MS-NLMP 3.3.2).
    fn key(&self) -> Zeroizing<[u8; 16]> {
        let password = Zeroizing::new(utf16(self.password.expose_secret()));
        let key = Zeroizing::new(md4(&password));
        Zeroizing::new(hmac_md5(&key, &[&utf16(&(self.user.to_uppercase() + self.domain))]))
    }
}

/// The domain and the user in an account's name, `DOMAIN\\user`. Without one the domain is empty.
pub fn account(name: &str) -> (&str, &str) {
    name.split_once('\\').unwrap_or(("", name))
}

/// A time as Windows counts it: 100 ns since 1601.
pub fn filetime(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default() + FROM_1601_TO_1970;
    u64::try_from(since.as_nanos() / 100).unwrap_or_default()
}

/// Why a server's message can not be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NtlmError {
    #[error("the server's challenge is cut")]
    Cut,
    #[error("the server's challenge is none that is understood")]
    NotOne,
}

/// Fresh random bytes for one login.
#[derive(Clone, Copy)]
pub struct Fresh {
    pub challenge: [u8; 8],
    pub key: [u8; 16],
}

/// What a login is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// What is said after it is signed and sealed.
    Sealing,
    /// It shows who is there, and that is all.
    Proof,
}

impl Purpose {
    fn flags(self) -> u32 {
        match self {
            Self::Sealing => FLAGS,
            Self::Proof => PROOF_FLAGS,
        }
    }

    /// Without which a server's challenge is not answered.
    fn needs(self) -> u32 {
        match self {
            Self::Sealing => NEEDED,
            Self::Proof => UNICODE,
        }
    }
}

/// A client's half of a login, from its first message to its last.
pub struct Ntlm {
    purpose: Purpose,
    fresh: Fresh,
    /// 100 ns since 1601, where the server does not say.
    now: u64,
    /// What the server is called, as a service: `TERMSRV/host`.
    service: String,
}

/// What protects what is said once the login is over.
pub struct Keys {
    seal_out: Rc4,
    seal_in: Rc4,
    sign_out: [u8; 16],
    sign_in: [u8; 16],
    sent: u32,
    received: u32,
}

impl Ntlm {
    pub fn new(fresh: Fresh, now: u64, service: String) -> Self {
        Self { purpose: Purpose::Sealing, fresh, now, service }
    }

    /// A login to an HTTP proxy, which nothing sealed follows.
    pub fn to_proxy(fresh: Fresh, now: u64, host: &str) -> Self {
        Self { purpose: Purpose::Proof, fresh, now, service: format!("HTTP/{host}") }
    }

    /// The first message.
    pub fn negotiate(&self) -> Vec<u8> {
        let flags = self.purpose.flags().to_le_bytes();
        let mut message = [SIGNATURE, &1_u32.to_le_bytes(), &flags].concat();
        message.extend([0; 16]);
        message.extend(VERSION);
        message
    }

    /// The answer to the server's challenge, and the keys that follow from both.
    pub fn authenticate(
        &self,
        challenge: &[u8],
        login: &Login<'_>,
    ) -> Result<(Vec<u8>, Keys), NtlmError> {
        let asked = Challenge::read(challenge, self.purpose.needs())?;
        let proof = self.proof(&asked, login)?;
        let (key, shown) = self.key(&asked, &proof);
        let mut message = self.message(&asked, &proof, login, &shown)?;
        let mic = hmac_md5(&key, &[&self.negotiate(), challenge, &message]);
        message[MIC..MIC + 16].copy_from_slice(&mic);
        Ok((message, Keys::new(&key)))
    }

    /// The key of all that follows, and what the server is told of it.
    fn key(&self, asked: &Challenge<'_>, proof: &Proof) -> ([u8; 16], Vec<u8>) {
        if self.purpose.flags() & asked.flags & OWN_KEY == 0 {
            return (proof.session, Vec::new());
        }
        let mut shown = self.fresh.key;
        Rc4::new(&proof.session).apply(&mut shown);
        (self.fresh.key, shown.to_vec())
    }

    /// Shows the knowledge of the password for this challenge.
    fn proof(&self, asked: &Challenge<'_>, login: &Login<'_>) -> Result<Proof, NtlmError> {
        let key = login.key();
        let time = asked.time.unwrap_or(self.now);
        let mut blob = vec![1, 1, 0, 0, 0, 0, 0, 0];
        blob.extend(time.to_le_bytes());
        blob.extend(self.fresh.challenge);
        blob.extend([0; 4]);
        blob.extend(self.facts(asked)?);
        blob.extend([0; 4]);
        let first = hmac_md5(&key, &[&asked.challenge, &blob]);
        let session = hmac_md5(&key, &[&first]);
        let older = match asked.time {
            // Who knows the time looks at nothing older.
            Some(_) => [0; 24].to_vec(),
            None => {
                let own = self.fresh.challenge;
                [&hmac_md5(&key, &[&asked.challenge, &own])[..], &own].concat()
            }
        };
        Ok(Proof { answer: [&first[..], &blob].concat(), older, session })
    }

    /// What the server said of itself, and what we add: that the messages are checked, and whom we
    /// mean.
    fn facts(&self, asked: &Challenge<'_>) -> Result<Vec<u8>, NtlmError> {
        let mut facts = asked.facts.to_vec();
        if asked.time.is_some() {
            facts.extend([AV_FLAGS, 0, 4, 0, 2, 0, 0, 0]);
        }
        let service = utf16(&self.service);
        facts.extend([AV_TARGET, 0]);
        facts.extend(u16::try_from(service.len()).map_err(|_| NtlmError::NotOne)?.to_le_bytes());
        facts.extend(service);
        facts.extend([AV_BINDINGS, 0, 16, 0]);
        facts.extend([0; 16]);
        facts.extend([0; 4]);
        Ok(facts)
    }

    fn message(
        &self,
        asked: &Challenge<'_>,
        proof: &Proof,
        login: &Login<'_>,
        key: &[u8],
    ) -> Result<Vec<u8>, NtlmError> {
        let (domain, user) = (utf16(login.domain), utf16(login.user));
        let mut message = [SIGNATURE, &3_u32.to_le_bytes()].concat();
        let parts: [&[u8]; 6] = [&proof.older, &proof.answer, &domain, &user, &[], key];
        let mut at = BODY;
        for part in parts {
            let length = u16::try_from(part.len()).map_err(|_| NtlmError::NotOne)?;
            let place = u32::try_from(at).map_err(|_| NtlmError::NotOne)?;
            message.extend(length.to_le_bytes());
            message.extend(length.to_le_bytes());
            message.extend(place.to_le_bytes());
            at += part.len();
        }
        message.extend(((self.purpose.flags() | TARGET_INFO) & asked.flags).to_le_bytes());
        message.extend(VERSION);
        message.extend([0; 16]);
        message.extend(parts.concat());
        Ok(message)
    }
}

struct Proof {
    answer: Vec<u8>,
    older: Vec<u8>,
    session: [u8; 16],
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn u16_at(bytes: &[u8], at: usize) -> Result<u16, NtlmError> {
    let found = bytes.get(at..).and_then(<[u8]>::first_chunk).ok_or(NtlmError::Cut)?;
    Ok(u16::from_le_bytes(*found))
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32, NtlmError> {
    let found = bytes.get(at..).and_then(<[u8]>::first_chunk).ok_or(NtlmError::Cut)?;
    Ok(u32::from_le_bytes(*found))
}

/// What a server asks.
struct Challenge<'a> {
    challenge: [u8; 8],
    flags: u32,
    /// Pairs of what it says of itself, without the end.
    facts: &'a [u8],
    time: Option<u64>,
}

impl<'a> Challenge<'a> {
    fn read(message: &'a [u8], needs: u32) -> Result<Self, NtlmError> {
        if message.get(..8) != Some(SIGNATURE) || u32_at(message, 8)? != 2 {
            return Err(NtlmError::NotOne);
        }
        let flags = u32_at(message, 20)?;
        if flags & needs != needs {
            return Err(NtlmError::NotOne);
        }
        let challenge = message.get(24..).and_then(<[u8]>::first_chunk).ok_or(NtlmError::Cut)?;
        if flags & TARGET_INFO == 0 && needs == UNICODE {
            // It says nothing of itself, and its message may end here.
            return Ok(Self { challenge: *challenge, flags, facts: &[], time: None });
        }
        let length = usize::from(u16_at(message, 40)?);
        let at = usize::try_from(u32_at(message, 44)?).map_err(|_| NtlmError::Cut)?;
        let facts = message.get(at..).and_then(|rest| rest.get(..length)).ok_or(NtlmError::Cut)?;
        let (facts, time) = known(facts)?;
        Ok(Self { challenge: *challenge, flags, facts, time })
    }
}

/// Pairs of a kind and a value up to their end, and the time that stands in one of them.
fn known(facts: &[u8]) -> Result<(&[u8], Option<u64>), NtlmError> {
    let (mut at, mut time) = (0, None);
    loop {
        let (kind, length) = (u16_at(facts, at)?, usize::from(u16_at(facts, at + 2)?));
        let value = facts.get(at + 4..at + 4 + length).ok_or(NtlmError::Cut)?;
        match kind {
            AV_END => return Ok((&facts[..at], time)),
            AV_TIME => time = value.first_chunk().map(|time| u64::from_le_bytes(*time)),
            _ => {}
        }
        at += 4 + length;
    }
}

impl Keys {
    /// As a client has them.
    fn new(key: &[u8; 16]) -> Self {
        Self::towards(key, TO_SERVER, TO_CLIENT)
    }

    fn of_server(key: &[u8; 16]) -> Self {
        Self::towards(key, TO_CLIENT, TO_SERVER)
    }

    fn towards(key: &[u8; 16], out: &str, into: &str) -> Self {
        let of = |way: &str, what: &str| {
            let text = format!("session key to {way} {what} key magic constant\0");
            md5(&[key, text.as_bytes()])
        };
        Self {
            seal_out: Rc4::new(&of(out, "sealing")),
            seal_in: Rc4::new(&of(into, "sealing")),
            sign_out: of(out, "signing"),
            sign_in: of(into, "signing"),
            sent: 0,
            received: 0,
        }
    }

    /// The same, with the message of this number as the next one each way.
    #[must_use]
    pub fn counted_from(self, number: u32) -> Self {
        Self { sent: number, received: number, ..self }
    }

    /// A message that only the other side can read.
    pub fn seal(&mut self, message: &[u8]) -> Vec<u8> {
        let number = self.sent.to_le_bytes();
        self.sent = self.sent.wrapping_add(1);
        let mut sealed = Zeroizing::new(message.to_vec());
        self.seal_out.apply(&mut sealed);
        let sum = signature(&self.sign_out, &mut self.seal_out, number, message);
        [&sum[..], &sealed].concat()
    }

    /// A message of the other side's; `None`: it is not.
    pub fn open(&mut self, message: &[u8]) -> Option<Vec<u8>> {
        let (shown, sealed) = message.split_at_checked(16)?;
        let number = self.received.to_le_bytes();
        self.received = self.received.wrapping_add(1);
        let mut opened = sealed.to_vec();
        self.seal_in.apply(&mut opened);
        let sum = signature(&self.sign_in, &mut self.seal_in, number, &opened);
        let same = aws_lc_rs::constant_time::verify_slices_are_equal(&sum, shown);
        same.ok().map(|()| opened)
    }
}

impl Keys {
    /// What is beside a message that is not sealed (GSS_GetMIC).
    pub fn sign(&mut self, message: &[u8]) -> [u8; 16] {
        let number = self.sent.to_le_bytes();
        self.sent = self.sent.wrapping_add(1);
        signature(&self.sign_out, &mut self.seal_out, number, message)
    }

    /// Whether the other side has signed it.
    pub fn is_signed(&mut self, message: &[u8], shown: &[u8]) -> bool {
        let number = self.received.to_le_bytes();
        self.received = self.received.wrapping_add(1);
        let wanted = signature(&self.sign_in, &mut self.seal_in, number, message);
        aws_lc_rs::constant_time::verify_slices_are_equal(&wanted, shown).is_ok()
    }
}

fn signature(key: &[u8; 16], seal: &mut Rc4, number: [u8; 4], message: &[u8]) -> [u8; 16] {
    let mut sum = [0; 8];
    sum.copy_from_slice(&hmac_md5(key, &[&number, message])[..8]);
    seal.apply(&mut sum);
    let mut made = [0; 16];
    made[0] = 1;
    made[4..12].copy_from_slice(&sum);
    made[12..].copy_from_slice(&number);
    made
}

const TO_SERVER: &str = "client-to-server";
const TO_CLIENT: &str = "server-to-client";
const SIGNATURE: &[u8] = b"NTLMSSP\0";
/// Of Windows 10, revision 15 of NTLM: nobody looks.
const VERSION: [u8; 8] = [10, 0, 0x61, 0x4a, 0, 0, 0, 15];
const FROM_1601_TO_1970: Duration = Duration::from_secs(11_644_473_600);
/// Unicode, the target's name, signing and sealing with a fresh key of 128 bits, sessions that are
/// protected as they should, version.
const FLAGS: u32 = 0xe208_8235;
/// Unicode, the target's name, sessions that are protected as they should.
const PROOF_FLAGS: u32 = 0x0008_8205;
const UNICODE: u32 = 1;
/// A fresh key for what follows.
const OWN_KEY: u32 = 0x4000_0000;
/// That the server has said things of itself.
const TARGET_INFO: u32 = 0x0080_0000;
/// Without which there is no protection.
const NEEDED: u32 = 0x6008_0031;
const MIC: usize = 72;
const BODY: usize = 88;

const AV_END: u16 = 0;
const AV_TIME: u16 = 7;
const AV_FLAGS: u8 = 6;
const AV_TARGET: u8 = 9;
const AV_BINDINGS: u8 = 10;

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;

    /// The example of MS-NLMP, 4.2.4.
    const FRESH: Fresh = Fresh { challenge: [0xaa; 8], key: [0x55; 16] };

    fn answered(ntlm: &Ntlm, challenge: &[u8]) -> Result<(Vec<u8>, Keys), NtlmError> {
        let login = Login { domain: "Domain", user: "User", password: &"Password".into() };
        ntlm.authenticate(challenge, &login)
    }

    /// What a server asks that says these of itself.
    fn challenge(facts: &[u8]) -> Vec<u8> {
        let mut message = [SIGNATURE, &2_u32.to_le_bytes(), &[0; 8]].concat();
        message.extend(FLAGS.to_le_bytes());
        message.extend([0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef]);
        message.extend([0; 8]);
        let length = u16::try_from(facts.len()).unwrap().to_le_bytes();
        message.extend([length, length].concat());
        message.extend(56_u32.to_le_bytes());
        message.extend([0; 8]);
        message.extend(facts);
        message
    }

    fn names() -> Vec<u8> {
        let pair = |kind: u8, name: &str| {
            let name = utf16(name);
            [&[kind, 0, u8::try_from(name.len()).unwrap(), 0][..], &name].concat()
        };
        [pair(2, "Domain"), pair(1, "Server"), vec![0; 4]].concat()
    }

    #[test]
    fn a_proof_is_that_of_the_specification() {
        // There only what the server said is in it.
        let (key, blob) = (md4(&utf16("Password")), names());
        let key = hmac_md5(&key, &[&utf16("USERDomain")]);
        assert_eq!(HEXLOWER.encode(&key), "0c868a403bfd7a93a3001ef22ef02e3f");
        let head = [&[1, 1, 0, 0, 0, 0, 0, 0][..], &[0; 8], &FRESH.challenge, &[0; 4]].concat();
        let asked = [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef];
        let proof = hmac_md5(&key, &[&asked, &head, &blob, &[0; 4]]);
        assert_eq!(HEXLOWER.encode(&proof), "68cd0ab851e51c96aabc927bebef6a1c");
        let session = hmac_md5(&key, &[&proof]);
        assert_eq!(HEXLOWER.encode(&session), "8de40ccadbc14a82f15cb0ad0de95ca3");
        let mut shown = FRESH.key;
        Rc4::new(&session).apply(&mut shown);
        assert_eq!(HEXLOWER.encode(&shown), "c5dad2544fc9799094ce1ce90bc9d03e");
    }

    #[test]
    fn what_is_sealed_is_as_in_the_specification() {
        let sealed = Keys::new(&FRESH.key).seal(&utf16("Plaintext"));
        let wanted = "010000007fb38ec5c55d497600000000\
                      54e50165bf1936dc996020c1811b0f06fb5f";
        assert_eq!(HEXLOWER.encode(&sealed), wanted);
    }

    /// Whatever a message says of its number, and though the keys are where they should be.
    #[test]
    fn a_message_is_taken_with_the_number_that_it_has_in_its_turn_and_with_no_other() {
        let keys = |number| Keys::new(&FRESH.key).counted_from(number);
        let server = |number| Keys::of_server(&FRESH.key).counted_from(number);
        for (sent, wanted) in [(0, 0), (0, 1), (1, 0), (1, 1), (7, 7), (7, 8), (u32::MAX, 0)] {
            let taken = server(wanted).open(&keys(sent).seal(b"a"));
            assert_eq!(taken.is_some(), sent == wanted, "{sent} for {wanted}");
            let signed = server(wanted).is_signed(b"a", &keys(sent).sign(b"a"));
            assert_eq!(signed, sent == wanted, "{sent} for {wanted}, signed");
        }
        assert_ne!(keys(0).sign(b"a")[4..12], keys(1).sign(b"a")[4..12], "its sum is of it too");
        let (mut ours, mut theirs) = (keys(0), server(0));
        for number in 0..3_u32 {
            let (signed, sealed) = (ours.sign(b"a"), ours.seal(b"a"));
            assert_eq!(signed[12..], (2 * number).to_le_bytes());
            assert_eq!(sealed[12..16], (2 * number + 1).to_le_bytes());
            assert!(theirs.is_signed(b"a", &signed));
            assert_eq!(theirs.open(&sealed).as_deref(), Some(&b"a"[..]));
        }
        let (mut ours, mut theirs) = (keys(0), server(0));
        let sealed = ours.seal(b"a");
        theirs.open(&sealed).unwrap();
        // Where the keys were set back, and only the number tells.
        let mut theirs = Keys { seal_in: server(0).seal_in, ..theirs };
        assert_eq!(theirs.open(&sealed), None, "twice");
    }

    #[test]
    fn an_answer_says_who_and_holds_the_proof() {
        let ntlm = Ntlm::new(FRESH, 0, "TERMSRV/desk".to_owned());
        let (answer, _) = answered(&ntlm, &challenge(&names())).unwrap();
        let has = |text: &str| answer.windows(text.len() * 2).any(|part| part == utf16(text));
        assert!(has("User") && has("Domain") && has("TERMSRV/desk") && !has("Password"));
        assert_eq!(u32_at(&answer, 8), Ok(3));
    }

    #[test]
    fn a_proxy_gets_a_proof_and_no_key() {
        let ntlm = Ntlm::to_proxy(FRESH, 0, "proxy");
        let (answer, _) = answered(&ntlm, &challenge(&names())).unwrap();
        assert_eq!((u16_at(&answer, 52), u32_at(&answer, 60)), (Ok(0), Ok(0x0008_8205)));
        // An old one says nothing of itself, and its message is short.
        let mut short = challenge(&[]);
        short.truncate(32);
        short[20..24].copy_from_slice(&0x0008_8201_u32.to_le_bytes());
        assert!(answered(&ntlm, &short).is_ok());
        assert!(answered(&Ntlm::new(FRESH, 0, String::new()), &short).is_err());
        short[20] = 2;
        assert!(matches!(answered(&ntlm, &short), Err(NtlmError::NotOne)), "not Unicode");
    }

    #[test]
    fn a_challenge_that_is_cut_or_protects_nothing_is_refused() {
        let ntlm = Ntlm::new(FRESH, 0, String::new());
        let whole = challenge(&names());
        for length in 0..whole.len() {
            assert!(answered(&ntlm, &whole[..length]).is_err(), "{length}");
        }
        let mut weak = whole;
        weak[20] &= !0x20;
        assert!(matches!(answered(&ntlm, &weak), Err(NtlmError::NotOne)));
    }
}
