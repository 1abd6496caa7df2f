//! Logins that are good once: the user's name and password by which a native client is let in where the
//! relay signs in at the desktop. In memory; what a restart loses is asked for anew.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use access::{ApplicationId, Name};
use data_encoding::BASE32_NOPAD;
use secrecy::SecretString;

/// A login for one connection of one user to one desktop.
#[derive(Debug)]
pub struct Pass {
    pub user: String,
    pub password: SecretString,
    pub expires: SystemTime,
}

/// Those that are not used yet.
#[derive(Default)]
pub(crate) struct Passes(Mutex<HashMap<String, One>>);

struct One {
    owner: Name,
    application: ApplicationId,
    password: SecretString,
    expires: SystemTime,
    /// How often another password was shown.
    wrong: u32,
}

/// Why there is no pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPass {
    #[error("too many logins wait to be used")]
    TooMany,
    #[error("the system has no random bytes")]
    Random,
}

impl Passes {
    /// A new one.
    pub(crate) fn make(
        &self,
        owner: &Name,
        application: ApplicationId,
        now: SystemTime,
    ) -> Result<Pass, NoPass> {
        let mut secret = [0; 25];
        aws_lc_rs::rand::fill(&mut secret).map_err(|_| NoPass::Random)?;
        let (name, password) = secret.split_at(5);
        // Letters and digits that are typed alike on every keyboard.
        let text = |bytes: &[u8]| BASE32_NOPAD.encode(bytes).to_ascii_lowercase();
        let (user, password) = (format!("adit-{}", text(name)), SecretString::from(text(password)));
        let expires = now + GOOD;
        let mut all = self.all();
        all.retain(|_, one| one.expires > now);
        if all.values().filter(|one| one.owner == *owner).count() >= MOST {
            return Err(NoPass::TooMany);
        }
        let one = One {
            owner: owner.clone(),
            application,
            password: password.clone(),
            expires,
            wrong: 0,
        };
        all.insert(user.clone(), one);
        Ok(Pass { user, password, expires })
    }

    /// The password of a login, for who may use it.
    pub(crate) fn find(
        &self,
        user: &str,
        (owner, application): (&Name, ApplicationId),
        now: SystemTime,
    ) -> Option<SecretString> {
        let all = self.all();
        let one = all.get(&user.to_ascii_lowercase())?;
        let theirs = one.owner == *owner && one.application == application && one.expires > now;
        theirs.then(|| one.password.clone())
    }

    /// It was used; `false`: somebody else was quicker.
    pub(crate) fn spend(&self, user: &str) -> bool {
        self.all().remove(&user.to_ascii_lowercase()).is_some()
    }

    /// Another password was shown for it.
    pub(crate) fn wrong(&self, user: &str) {
        let (mut all, user) = (self.all(), user.to_ascii_lowercase());
        let Some(one) = all.get_mut(&user) else { return };
        one.wrong += 1;
        if one.wrong >= MOST_WRONG {
            all.remove(&user);
        }
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, One>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// From the file to the connection.
const GOOD: Duration = Duration::from_secs(10 * 60);
/// Of one user.
const MOST: usize = 32;
const MOST_WRONG: u32 = 5;

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;
    use uuid::Uuid;

    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    #[test]
    fn a_login_is_good_once_and_soon_and_for_its_own_user_and_desktop() {
        let (passes, now) = (Passes::default(), SystemTime::UNIX_EPOCH);
        let (desk, other) = (ApplicationId(Uuid::from_u128(1)), ApplicationId(Uuid::from_u128(2)));
        let (alice, bob) = (name("alice"), name("bob"));
        let pass = passes.make(&alice, desk, now).unwrap();
        let found = |who: &Name, desk, at| passes.find(&pass.user, (who, desk), at);
        let password = found(&alice, desk, now).unwrap();
        assert_eq!(password.expose_secret(), pass.password.expose_secret());
        assert!(pass.password.expose_secret().len() >= 32);
        assert!(found(&bob, desk, now).is_none(), "another's");
        assert!(found(&alice, other, now).is_none(), "elsewhere");
        assert!(found(&alice, desk, now + GOOD).is_none(), "too late");
        assert!(passes.find(&pass.user.to_uppercase(), (&alice, desk), now).is_some());
        assert!(passes.spend(&pass.user) && !passes.spend(&pass.user), "once");
        assert!(found(&alice, desk, now).is_none());
        assert!(!format!("{pass:?}").contains(pass.password.expose_secret()));
    }

    #[test]
    fn guesses_use_a_login_up_and_nobody_has_many() {
        let (passes, now) = (Passes::default(), SystemTime::UNIX_EPOCH);
        let (desk, alice) = (ApplicationId(Uuid::from_u128(1)), name("alice"));
        let pass = passes.make(&alice, desk, now).unwrap();
        (1..MOST_WRONG).for_each(|_| passes.wrong(&pass.user));
        assert!(passes.find(&pass.user, (&alice, desk), now).is_some());
        passes.wrong(&pass.user);
        assert!(passes.find(&pass.user, (&alice, desk), now).is_none());
        let made = (0..=MOST).filter(|_| passes.make(&alice, desk, now).is_ok()).count();
        assert_eq!(made, MOST);
        assert_eq!(passes.make(&alice, desk, now).err(), Some(NoPass::TooMany));
        assert!(passes.make(&name("bob"), desk, now).is_ok());
        assert!(passes.make(&alice, desk, now + GOOD).is_ok(), "the old ones are over");
    }
}
