//! Names and passwords of people.
//!
//! Whoever guesses learns nothing of which users there are: for a name that nobody has, or whose
//! user has no password, a password is hashed all the same, and refusals leave at even moments.

use std::net::IpAddr;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::{Duration, SystemTime};

use access::{Name, UserId};
use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use secrecy::{ExposeSecret, SecretString};
use session::{AuthnError, Door, pace};
use store::{PasswordRow, SignInQuery, UserRow};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use super::throttle::{Admission, Limits, Throttle, network};
use super::{Authn, Failed, Known};

/// What hashing passwords needs: 19 MiB and some 30 ms of a processor each.
pub(super) struct Passwords {
    at_once: Arc<Semaphore>,
    pub(super) throttle: Throttle,
}

/// Who gave their name and password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ByPassword {
    pub(crate) user: UserId,
    pub(crate) name: Name,
    /// Whether it was a one-time password, which signs in only whoever chooses another.
    pub(crate) must_change: bool,
}

/// Why somebody was not vouched for elsewhere.
#[derive(Debug)]
pub(crate) struct NotVouched {
    pub(crate) told: AuthnError,
    /// For the auditor.
    pub(crate) detail: String,
    pub(crate) user: Option<Name>,
}

/// A text that can not be a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a password has {SHORTEST} to {LONGEST} characters")]
pub(crate) struct PasswordLength;

impl Default for Passwords {
    fn default() -> Self {
        let processors = available_parallelism().map_or(1, usize::from);
        let at_once = Arc::new(Semaphore::new(processors.clamp(1, MOST_AT_ONCE)));
        Self { at_once, throttle: Throttle::new(Limits::PASSWORDS) }
    }
}

impl Authn {
    /// Vouches for whoever gives their name and password. All that is wrong with either is told
    /// alike.
    pub(crate) async fn by_password(
        &self,
        name: &str,
        password: SecretString,
        from: IpAddr,
    ) -> Result<ByPassword, AuthnError> {
        let started = Instant::now();
        match self.try_password(name, password, from, started).await {
            Ok(known) => Ok(known),
            Err((failed, user)) => {
                let note = (failed.told, failed.detail.as_str());
                self.failures.note_of(Door::Web, from, user.as_ref(), note, started);
                pace::even(started, pace::REFUSED).await;
                Err(failed.told)
            }
        }
    }

    /// Whether a user of this name has a password here, which is then the one that counts.
    pub(crate) async fn has_password(&self, typed: &str) -> Result<bool, AuthnError> {
        let away = |_| AuthnError::Unavailable;
        let Some(user) = self.typed(typed).await.map_err(away)?.1 else { return Ok(false) };
        Ok(self.store.password(user.id).await.map_err(away)?.is_some())
    }

    /// As [`by_password`](Self::by_password), where a directory is asked: as often, as slowly, and
    /// with the same words.
    pub(crate) async fn by_directory(
        &self,
        typed: &str,
        from: IpAddr,
        asking: impl Future<Output = Result<Known, NotVouched>>,
    ) -> Result<Known, AuthnError> {
        let started = Instant::now();
        let (typed, user) = self.typed(typed).await.map_err(|_| AuthnError::Unavailable)?;
        let how = self.admit_name(&typed, user.as_ref(), from, started).await;
        let throttle = &self.passwords.throttle;
        let tried = match how {
            Admission::Open | Admission::Veiled => asking.await,
            Admission::Refused => {
                let (told, detail) = (AuthnError::Throttled, "a directory's password".to_owned());
                Err(NotVouched { told, detail, user: user.map(|user| user.name) })
            }
        };
        let NotVouched { told, detail, user } = match tried {
            Ok(known) => {
                throttle.succeeded(from, &typed, started);
                self.sightings.user(known.user, from, Door::Web);
                return Ok(known);
            }
            Err(not_vouched) => not_vouched,
        };
        // A directory that is away is not the peer's fault.
        if told != AuthnError::Unavailable {
            throttle.failed_for(from, &typed, how, started);
        }
        let failed = Failed::new(told, detail).veiled_if(how);
        let note = (failed.told, failed.detail.as_str());
        self.failures.note_of(Door::Web, from, user.as_ref(), note, started);
        pace::even(started, pace::REFUSED).await;
        Err(failed.told)
    }

    /// A name as it was typed, and the user who has it.
    async fn typed(&self, typed: &str) -> Result<(String, Option<UserRow>), store::StoreError> {
        let typed: String = typed.trim().chars().take(LONGEST_NAME).collect();
        let typed = typed.to_ascii_lowercase();
        let user = match typed.parse::<Name>() {
            Ok(name) => self.store.user(&name).await?,
            Err(_) => None,
        };
        Ok((typed, user))
    }

    async fn try_password(
        &self,
        typed: &str,
        password: SecretString,
        from: IpAddr,
        now: Instant,
    ) -> Result<ByPassword, (Failed, Option<Name>)> {
        let away = |error: &store::StoreError| {
            tracing::error!(%error, "Could not check a password");
            (Failed::new(AuthnError::Unavailable, error), None)
        };
        let (typed, user) = self.typed(typed).await.map_err(|error| away(&error))?;
        let fail = |error, detail: &str| {
            let name = user.as_ref().map(|user| user.name.clone());
            (Failed::new(error, detail), name)
        };
        let how = self.admit_name(&typed, user.as_ref(), from, now).await;
        if how == Admission::Refused {
            return Err(fail(AuthnError::Throttled, "a password"));
        }
        let row = match &user {
            Some(user) => self.store.password(user.id).await.map_err(|error| away(&error))?,
            None => None,
        };
        let right = self.is_right(password, row.as_ref()).await.map_err(|error| fail(error, ""))?;
        let judged = judge(user.as_ref(), row.as_ref(), right, SystemTime::now());
        let throttle = &self.passwords.throttle;
        match judged {
            Ok(known) => {
                throttle.succeeded(from, &typed, now);
                self.sightings.user(known.user, from, Door::Web);
                Ok(known)
            }
            Err((told, detail)) => {
                throttle.failed_for(from, &typed, how, now);
                let (failed, name) = fail(told, detail);
                Err((failed.veiled_if(how), name))
            }
        }
    }

    /// What may be done with an attempt for a name. Where guesses of others block it, its user still
    /// has a try from where they were signed in before.
    async fn admit_name(
        &self,
        typed: &str,
        user: Option<&UserRow>,
        from: IpAddr,
        now: Instant,
    ) -> Admission {
        let admit = |known| self.passwords.throttle.admit(from, typed, known, now);
        match (admit(false), user) {
            (Admission::Refused, Some(user)) => admit(self.was_at(user, from).await),
            (how, Some(_) | None) => how,
        }
    }

    /// Whether one of a user's last browsers was signed in from the same network.
    async fn was_at(&self, user: &UserRow, from: IpAddr) -> bool {
        let last = Some(LOOK_BACK);
        let query =
            SignInQuery { user: Some(user.name.clone()), limit: last, ..Default::default() };
        let rows = self.store.sign_ins(query).await.unwrap_or_default();
        rows.iter().any(|row| network(row.from) == network(from))
    }

    /// Compares with the stored hash, or with one that nothing fits, in the same time.
    async fn is_right(
        &self,
        password: SecretString,
        row: Option<&PasswordRow>,
    ) -> Result<bool, AuthnError> {
        let hash = row.map_or_else(|| NOBODYS.into(), |row| row.hash.clone());
        let known = row.is_some();
        let compare = move || {
            let hash = PasswordHash::new(hash.expose_secret()).ok()?;
            let password = password.expose_secret().as_bytes();
            // What is too long to be one is not hashed, for anybody.
            let fits = password.len() <= MOST_BYTES;
            Some(fits && Argon2::default().verify_password(password, &hash).is_ok())
        };
        Ok(self.hashing(compare).await?.unwrap_or(false) && known)
    }

    /// Whether this is the password that a user has now.
    pub(crate) async fn is_password_of(
        &self,
        user: UserId,
        password: SecretString,
    ) -> Result<bool, AuthnError> {
        let row = self.store.password(user).await.map_err(|_| AuthnError::Unavailable)?;
        self.is_right(password, row.as_ref()).await
    }

    /// The hash under which a password is kept.
    pub(crate) async fn hash(&self, password: SecretString) -> Result<SecretString, AuthnError> {
        let hash = move || {
            let hash: PasswordHash =
                Argon2::default().hash_password(password.expose_secret().as_bytes()).ok()?;
            Some(SecretString::from(hash.to_string()))
        };
        self.hashing(hash).await?.ok_or(AuthnError::Unavailable)
    }

    /// Does a piece of work of a processor's, beside few others.
    async fn hashing<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, AuthnError> {
        let waiting = timeout(LONGEST_WAIT, self.passwords.at_once.clone().acquire_owned()).await;
        let Ok(Ok(permit)) = waiting else { return Err(AuthnError::Unavailable) };
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(permit);
            done
        });
        done.await.map_err(|_| AuthnError::Unavailable)
    }
}

/// Whom a right password signs in, or why it does not.
fn judge(
    user: Option<&UserRow>,
    row: Option<&PasswordRow>,
    right: bool,
    now: SystemTime,
) -> Result<ByPassword, (AuthnError, &'static str)> {
    let wrong = |detail| Err((AuthnError::Password, detail));
    let Some(user) = user else { return wrong("no user has that name") };
    let Some(row) = row else { return wrong("the user has no password") };
    if !right {
        return wrong("another password");
    }
    if user.machine {
        return wrong("the user is a machine");
    }
    if !user.enabled {
        return Err((AuthnError::UserDisabled, "with the right password"));
    }
    let end = row.expires.map(|end| SystemTime::UNIX_EPOCH + Duration::from_secs(end));
    if end.is_some_and(|end| now >= end) {
        return Err((AuthnError::PasswordExpired, "with the right password"));
    }
    Ok(ByPassword { user: user.id, name: user.name.clone(), must_change: row.must_change })
}

/// Holds a new password to the rules there are: its length.
pub(crate) fn check_length(password: &SecretString) -> Result<(), PasswordLength> {
    let count = password.expose_secret().chars().count();
    (SHORTEST..=LONGEST).contains(&count).then_some(()).ok_or(PasswordLength)
}

/// In characters.
const SHORTEST: usize = 12;
const LONGEST: usize = 128;
/// No password is longer, in whatever alphabet.
const MOST_BYTES: usize = 4 * LONGEST;
const LONGEST_NAME: usize = 64;
const MOST_AT_ONCE: usize = 4;
/// Whoever waits longer for a processor is told to come again.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// How many of a user's browsers tell where they usually are.
const LOOK_BACK: u32 = 50;
/// Of a random text that nobody kept, at the cost of those that are made now.
const NOBODYS: &str = "$argon2id$v=19$m=19456,t=2,p=1$3mJ0bWJhZGl0LW5vYm9keQ\
    $Zk3Qm0C8fGq1b7wT2n5yXr9uJpLhVsDaEeKcNiOtRgY";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_compared_for_nobody_costs_what_a_real_hash_costs() {
        let nobodys = PasswordHash::new(NOBODYS).unwrap();
        let real: PasswordHash = Argon2::default().hash_password(b"a password of mine").unwrap();
        assert_eq!((nobodys.algorithm, nobodys.version), (real.algorithm, real.version));
        assert_eq!(nobodys.params.to_string(), real.params.to_string());
        let lengths = |hash: &PasswordHash| {
            (hash.salt.as_ref().unwrap().len(), hash.hash.as_ref().unwrap().len())
        };
        assert_eq!(lengths(&nobodys), lengths(&real));
        assert!(Argon2::default().verify_password(b"a password of mine", &real).is_ok());
        assert!(Argon2::default().verify_password(b"a password of mine", &nobodys).is_err());
    }

    #[test]
    fn a_password_is_held_to_its_length_in_characters_and_to_nothing_else() {
        let held = |text: &str| check_length(&text.to_owned().into()).is_ok();
        assert!(held("aaaaaaaaaaaa") && held("пароль-пароль") && held(&"ü".repeat(128)));
        assert!(!held("aaaaaaaaaaa") && !held("") && !held(&"a".repeat(129)));
    }
}
