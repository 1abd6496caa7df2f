//! Passkeys: the questions that authenticators answer, and who has answered one.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use access::{UserId, sha256};
use aws_lc_rs::hmac;
use data_encoding::BASE64URL_NOPAD;
use passkey::{Assertion, Expected, Fault, PublicKey};
use session::{AuthnError, Door, pace};
use store::{PasskeyRow, StoreError};
use tokio::time::Instant;

use super::throttle::{Admission, make_room};
use super::{Authn, Failed, How, Known};

/// What a question is asked for. An answer to one is none to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To make a passkey for a user.
    Make(UserId),
    /// To sign in whoever has a passkey.
    SignIn,
    /// To show a user's passkey besides their password.
    Second(UserId),
}

/// Questions. They are not kept, so that strangers who ask fill nothing: each says itself until when it
/// is good, and a key of this process vouches for it. Of answers that were good it is kept that they
/// were there.
pub(crate) struct Challenges {
    key: hmac::Key,
    spent: Mutex<HashMap<[u8; 32], Instant>>,
}

/// What a browser brings from an authenticator.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    /// The passkey's, in base64url.
    pub(crate) id: String,
    pub(crate) client_data: Vec<u8>,
    pub(crate) authenticator_data: Vec<u8>,
    pub(crate) signature: Vec<u8>,
}

impl Default for Challenges {
    fn default() -> Self {
        let key: [u8; 32] = rand::random();
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, &key), spent: Mutex::default() }
    }
}

impl Challenges {
    /// A question, in base64url.
    pub(crate) fn ask(&self, purpose: Purpose, now: SystemTime) -> String {
        let nonce: [u8; NONCE] = rand::random();
        let end = seconds(now) + LIFE.as_secs();
        let head = [&nonce[..], &end.to_be_bytes()].concat();
        let tag = hmac::sign(&self.key, &vouched(&head, purpose));
        BASE64URL_NOPAD.encode(&[&head, tag.as_ref()].concat())
    }

    /// Whether this was asked for that, and may still be answered.
    pub(crate) fn is_ours(&self, text: &str, purpose: Purpose, now: SystemTime) -> bool {
        let Ok(bytes) = BASE64URL_NOPAD.decode(text.as_bytes()) else { return false };
        let Some((head, tag)) = bytes.split_at_checked(NONCE + 8) else { return false };
        let end = head.last_chunk::<8>().map(|end| u64::from_be_bytes(*end));
        let vouches = hmac::verify(&self.key, &vouched(head, purpose), tag).is_ok();
        vouches && end.is_some_and(|end| seconds(now) < end)
    }

    /// Uses a question up. `false`: it was answered before.
    pub(crate) fn spend(&self, text: &str, now: Instant) -> bool {
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        make_room(&mut spent, MOST, now, |end, now| now >= *end, |end| *end);
        spent.insert(sha256(text.as_bytes()), now + LIFE).is_none()
    }
}

impl Authn {
    /// Questions for passkeys.
    pub(crate) fn challenges(&self) -> &Challenges {
        &self.challenges
    }

    /// Vouches for whoever answers with a passkey of theirs: alone, for which the authenticator has to
    /// know its user, or besides what `known` has shown. All that is wrong is told alike.
    pub(crate) async fn by_passkey(
        &self,
        shown: &Shown,
        host: &str,
        known: Option<&Known>,
        from: IpAddr,
    ) -> Result<Known, AuthnError> {
        let (started, throttle) = (Instant::now(), &self.passwords.throttle);
        let name: String = shown.id.chars().take(LONGEST_NAME).collect();
        let name = format!("passkey {name}");
        let how = throttle.admit(from, &name, false, started);
        let judged = match how {
            Admission::Open | Admission::Veiled => self.judge_passkey(shown, host, known).await,
            Admission::Refused => Err(Failed::new(AuthnError::Throttled, "a passkey")),
        };
        match judged {
            Ok(known) => {
                throttle.succeeded(from, &name, started);
                self.sightings.user(known.user, from, Door::Web);
                Ok(known)
            }
            Err(failed) => {
                if failed.told == AuthnError::Passkey {
                    throttle.failed_for(from, &name, how, started);
                }
                let failed = failed.veiled_if(how);
                let note = (failed.told, failed.detail.as_str());
                let user = known.map(|known| &known.name);
                self.failures.note_of(Door::Web, from, user, note, started);
                pace::even(started, pace::REFUSED).await;
                Err(failed.told)
            }
        }
    }

    async fn judge_passkey(
        &self,
        shown: &Shown,
        host: &str,
        known: Option<&Known>,
    ) -> Result<Known, Failed> {
        let wrong = |detail: &dyn std::fmt::Display| Failed::new(AuthnError::Passkey, detail);
        let row = self.store.passkey(&shown.id).await.map_err(|error| away(&error))?;
        let row = row.ok_or_else(|| wrong(&"nobody has registered it"))?;
        if known.is_some_and(|known| known.user != row.user) {
            return Err(wrong(&"it is somebody else's"));
        }
        let purpose = known.map_or(Purpose::SignIn, |known| Purpose::Second(known.user));
        let counted = self.check(shown, host, &row, purpose).map_err(|fault| wrong(&fault))?;
        let policy = self.policy.borrow().clone();
        let user = policy.user(row.user).filter(|user| !user.machine);
        let user = user.ok_or_else(|| wrong(&"its user is gone"))?;
        if !user.enabled {
            return Err(Failed::new(AuthnError::UserDisabled, "with a good passkey"));
        }
        let now = SystemTime::now();
        let used = self.store.use_passkey(&row.id, (row.counter, counted), now).await;
        match used.map_err(|error| away(&error))? {
            true => Ok(Known { user: user.id, name: user.name.clone(), how: How::Passkey }),
            false => Err(wrong(&"it was used at the same time elsewhere")),
        }
    }

    /// Checks an answer, and uses its question up where it is good.
    fn check(
        &self,
        shown: &Shown,
        host: &str,
        row: &PasskeyRow,
        purpose: Purpose,
    ) -> Result<u32, Fault> {
        let challenge = passkey::challenge(&shown.client_data)?;
        if !self.challenges.is_ours(&challenge, purpose, SystemTime::now()) {
            return Err(Fault::Challenge);
        }
        let verified = purpose == Purpose::SignIn;
        let expected = Expected { host, challenge: &challenge, verified };
        let key = PublicKey::new(row.algorithm, &row.public_key)?;
        let what = Assertion {
            client_data: &shown.client_data,
            authenticator_data: &shown.authenticator_data,
            signature: &shown.signature,
        };
        let counted = passkey::used(what, expected, &key, row.counter)?;
        let first = self.challenges.spend(&challenge, Instant::now());
        first.then_some(counted).ok_or(Fault::Challenge)
    }
}

fn away(error: &StoreError) -> Failed {
    tracing::error!(%error, "Could not check a passkey");
    Failed::new(AuthnError::Unavailable, error)
}

/// What the tag is over.
fn vouched(head: &[u8], purpose: Purpose) -> Vec<u8> {
    let (word, user) = match purpose {
        Purpose::Make(user) => ("make", Some(user)),
        Purpose::SignIn => ("sign in", None),
        Purpose::Second(user) => ("second", Some(user)),
    };
    let user = user.map(|user| user.to_string()).unwrap_or_default();
    [head, word.as_bytes(), &[0], user.as_bytes()].concat()
}

fn seconds(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// From the page that asks to the answer.
const LIFE: Duration = Duration::from_secs(600);
const NONCE: usize = 16;
/// Good answers within that time: each of them took a key of a user's.
const MOST: usize = 65536;
/// Of an id, in the throttle.
const LONGEST_NAME: usize = 64;

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_question_is_answered_once_in_time_and_for_what_it_was_asked() {
        let (challenges, now) = (Challenges::default(), SystemTime::now());
        let alice = UserId(Uuid::from_u128(1));
        let all = [Purpose::SignIn, Purpose::Make(alice), Purpose::Second(alice)];
        for purpose in all {
            let text = challenges.ask(purpose, now);
            for other in all {
                assert_eq!(challenges.is_ours(&text, other, now), other == purpose);
            }
            assert!(!challenges.is_ours(&text, purpose, now + LIFE));
            assert!(!Challenges::default().is_ours(&text, purpose, now), "another process's");
            let mut longer = BASE64URL_NOPAD.decode(text.as_bytes()).unwrap();
            longer[NONCE + 7] ^= 64;
            assert!(!challenges.is_ours(&BASE64URL_NOPAD.encode(&longer), purpose, now));
        }
        let bob = Purpose::Second(UserId(Uuid::from_u128(2)));
        assert!(!challenges.is_ours(&challenges.ask(Purpose::Second(alice), now), bob, now));
        for text in ["", "abc", "A"] {
            assert!(!challenges.is_ours(text, Purpose::SignIn, now));
        }
        let text = challenges.ask(Purpose::SignIn, now);
        assert!(
            challenges.spend(&text, Instant::now()) && !challenges.spend(&text, Instant::now())
        );
    }
}
