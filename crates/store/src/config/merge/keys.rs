//! SSH public keys of users: which are taken, and how long each is good.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use api::{KeySpec, UserSpec};

use super::Merge;
use crate::config::state::{Key, User};
use crate::config::terms::point;
use crate::keys::PublicKey;
use crate::{Problem, clock};

/// Until when a key is to be good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyEnd {
    /// As long as keys usually are.
    Usual,
    For(Duration),
    /// It does not expire; for machine users.
    Never,
}

impl KeyEnd {
    /// In Unix seconds, where keys usually live so long.
    pub(in crate::config) fn at(self, usual: Duration, now: SystemTime) -> Option<u64> {
        let life = match self {
            Self::Usual => usual,
            Self::For(life) => life,
            Self::Never => return None,
        };
        Some(clock::seconds(now).saturating_add(life.as_secs()))
    }
}

/// How documents write that a key does not expire.
pub(in crate::config) const NEVER: &str = "never";

impl Merge<'_> {
    pub(super) fn keys(&mut self, spec: &UserSpec, old: Option<&User>) -> BTreeMap<String, Key> {
        let known = old.map(|user| user.keys.clone()).unwrap_or_default();
        let mut keys = match &spec.ssh_keys {
            Some(specs) => self.listed(spec, specs, &known),
            None => known,
        };
        // What does not expire is for machines: with who is none any more, it ends in time.
        if old.is_some_and(|old| old.machine && !spec.machine) {
            let usual = self.usual_end();
            keys.values_mut()
                .filter(|key| key.expires.is_none())
                .for_each(|key| key.expires = usual);
        }
        keys
    }

    fn listed(
        &mut self,
        user: &UserSpec,
        specs: &[KeySpec],
        known: &BTreeMap<String, Key>,
    ) -> BTreeMap<String, Key> {
        let (mut keys, usual) = (BTreeMap::new(), self.usual_end());
        for spec in specs {
            match read(spec, user.machine, known, usual) {
                Ok((fingerprint, key)) => drop(keys.insert(fingerprint, key)),
                Err((code, detail)) => {
                    self.problem(
                        &format!("user {}", user.name),
                        code,
                        format!("ssh_keys: {detail}"),
                    );
                }
            }
        }
        if keys.len() > MOST_KEYS {
            self.problems.push(too_many(&user.name));
        }
        keys
    }

    /// In Unix seconds.
    fn usual_end(&self) -> Option<u64> {
        KeyEnd::Usual.at(self.after.settings.ssh_key_life(), self.now)
    }

    /// A key tells who somebody is, so it has one owner.
    pub(super) fn key_owners(&mut self) {
        let mut owners = BTreeMap::new();
        for (name, user) in &self.after.users {
            for fingerprint in user.keys.keys() {
                if let Some(other) = owners.insert(fingerprint, name) {
                    let detail = format!("SSH key {fingerprint} is registered for {other} too");
                    let object = format!("user {name}");
                    self.problems.push(Problem::new(object, "user.ssh_key_taken", detail));
                }
            }
        }
    }
}

/// Adds a key to those of a user, or gives one of them a new end.
pub(in crate::config) fn register(
    user: (&access::Name, &mut User),
    key: &PublicKey,
    expires: Option<u64>,
) -> Result<(), Problem> {
    let (name, user) = user;
    if expires.is_none() && !user.machine {
        return Err(Problem::new(format!("user {name}"), EXPIRY, FOR_MACHINES));
    }
    let key_state = Key { text: key.to_string(), expires };
    user.keys.insert(key.fingerprint(), key_state);
    if user.keys.len() > MOST_KEYS { Err(too_many(name)) } else { Ok(()) }
}

fn read(
    spec: &KeySpec,
    machine: bool,
    known: &BTreeMap<String, Key>,
    usual: Option<u64>,
) -> Result<(String, Key), (&'static str, String)> {
    let (text, expires) = match spec {
        KeySpec::Plain(text) => (text, None),
        KeySpec::Dated(dated) => (&dated.key, Some(dated.expires.as_str())),
    };
    let key = PublicKey::of_user(text).map_err(|error| ("user.ssh_key", error.to_string()))?;
    let fingerprint = key.fingerprint();
    let known = known.get(&fingerprint).map(|key| key.expires);
    let expires = match expires {
        // One that was registered before keys expired stays as it is.
        Some(NEVER) if machine || known == Some(None) => None,
        Some(NEVER) => return Err((EXPIRY, FOR_MACHINES.to_owned())),
        Some(text) => Some(point(text).map_err(|detail| (EXPIRY, detail))?),
        None => known.unwrap_or(usual),
    };
    Ok((fingerprint, Key { text: key.to_string(), expires }))
}

fn too_many(user: &access::Name) -> Problem {
    let detail = format!("a user has {MOST_KEYS} SSH keys at most");
    Problem::new(format!("user {user}"), "user.ssh_key_limit", detail)
}

/// More are offered to a server than it tries.
const MOST_KEYS: usize = 20;
const EXPIRY: &str = "user.ssh_key_expiry";
const FOR_MACHINES: &str = "only the keys of machine users may be without an end";
