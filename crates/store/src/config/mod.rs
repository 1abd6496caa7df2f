//! The configuration: settings, sites, users, groups, applications and grants.
//!
//! Every change goes one way: the whole [`State`] is loaded, changed in memory,
//! checked, compared, and the difference is stored, all in one transaction.

mod certificates;
mod hosts;
mod list;
mod load;
mod merge;
mod plan;
mod policy;
mod revision;
mod settings;
mod state;
mod terms;
mod within;
mod write;

use std::fmt::Display;
use std::time::SystemTime;

use access::{Name, RuleId};
use api::{Change, Document};

use crate::db::Changing;
use crate::keys::PublicKey;
use crate::{Problem, SshKeyRow, Store, StoreError};
pub(crate) use hosts::OwnHosts;
pub use merge::KeyEnd;
use merge::{merge, register};
use plan::Plan;
pub use revision::{Edit, Expected, Revised, revision};
pub use settings::{Settings, TokenRules};
use state::{State, User};
pub use within::Within;

/// An SSH public key to be registered.
#[derive(Clone, Debug)]
pub struct NewSshKey {
    /// In OpenSSH form.
    pub text: String,
    /// Instead of its comment.
    pub name: Option<String>,
    pub end: KeyEnd,
}

/// How a document is applied.
#[derive(Clone, Copy, Debug, Default)]
pub struct Apply {
    /// Say what would change, and change nothing.
    pub plan: bool,
    /// What the document names must not be there yet.
    pub create_only: bool,
    /// Remove what the document does not name.
    pub prune: bool,
}

/// Something that can be removed, and with it what only stands because of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    Site(Name),
    User(Name),
    Group(Name),
    Application { name: Name, site: Option<Name> },
    Grant(RuleId),
}

impl Store {
    /// Makes the configuration what `document` says, whole or not at all. Every mistake in it is
    /// reported; what it does not name stays as it is, unless it is to be pruned.
    pub async fn apply(
        &self,
        document: &Document,
        how: Apply,
        now: SystemTime,
    ) -> Result<Vec<Change>, StoreError> {
        self.apply_to(&Expected::Anything, document, how, now).await
    }

    /// As [`apply`](Self::apply), if the configuration is as expected.
    pub async fn apply_to(
        &self,
        expected: &Expected,
        document: &Document,
        how: Apply,
        now: SystemTime,
    ) -> Result<Vec<Change>, StoreError> {
        self.apply_within(&Within::Everything, expected, document, (how, now)).await
    }

    /// The same, where nothing but what is `within` may change.
    pub async fn apply_within(
        &self,
        within: &Within,
        expected: &Expected,
        document: &Document,
        (how, now): (Apply, SystemTime),
    ) -> Result<Vec<Change>, StoreError> {
        let own = self.own_hosts();
        if how.plan {
            let before = self.state().await?;
            expected.check(|| before.revised().revision)?;
            let after = merge(&before, document, (how, now), (&self.inner.sealer, &own))?;
            within.check(&before, &after)?;
            return Ok(Plan::between(&before, &after).changes(now));
        }
        let mut change = self.changing().await?;
        let before = State::load(change.db()).await?;
        expected.check(|| before.revised().revision)?;
        let after = merge(&before, document, (how, now), (&self.inner.sealer, &own))?;
        within.check(&before, &after)?;
        carry_out(change, &before, &after, now).await
    }

    /// Removes an object with all that hangs on it, and says what went.
    pub async fn remove(&self, what: Object) -> Result<Vec<Change>, StoreError> {
        self.remove_within(&Within::Everything, what).await
    }

    /// The same, where nothing but what is `within` may go.
    pub async fn remove_within(
        &self,
        within: &Within,
        what: Object,
    ) -> Result<Vec<Change>, StoreError> {
        let mut change = self.changing().await?;
        let before = State::load(change.db()).await?;
        let mut after = before.clone();
        take_out(&mut after, what)?;
        after.tidy();
        keep_an_admin(&before, &after)?;
        within.check(&before, &after)?;
        carry_out(change, &before, &after, SystemTime::now()).await
    }

    /// Lets a user in again, or shuts them out of everything at once.
    pub async fn set_enabled(&self, user: &Name, enabled: bool) -> Result<(), StoreError> {
        let mut change = self.changing().await?;
        let before = State::load(change.db()).await?;
        let mut after = before.clone();
        let found = after.users.get_mut(user);
        found.ok_or_else(|| StoreError::NotFound(format!("user {user}")))?.enabled = enabled;
        keep_an_admin(&before, &after)?;
        carry_out(change, &before, &after, SystemTime::now()).await.map(drop)
    }

    /// Registers an SSH key for a user; one they have gets the new end and name.
    pub async fn add_ssh_key(
        &self,
        user: &Name,
        key: &NewSshKey,
        now: SystemTime,
    ) -> Result<SshKeyRow, StoreError> {
        let object = format!("user {user}");
        let public = PublicKey::of_user(&key.text);
        let public = public.map_err(|error| refused(&object, "user.ssh_key", error))?;
        let public = public.named(key.name.as_deref());
        let fingerprint = public.fingerprint();
        let mut change = self.changing().await?;
        let before = State::load(change.db()).await?;
        let mut after = before.clone();
        let owns =
            |(name, other): (&Name, &User)| name != user && other.keys.contains_key(&fingerprint);
        if after.users.iter().any(owns) {
            let detail = format!("SSH key {fingerprint} is registered for another user");
            return Err(refused(&object, "user.ssh_key_taken", detail));
        }
        let life = after.settings.ssh_key_life();
        let owner = after.users.get_mut(user).ok_or_else(|| StoreError::NotFound(object))?;
        register((user, &mut *owner), &public, key.end.at(life, now))
            .map_err(|problem| StoreError::Invalid(vec![problem]))?;
        let row = owner.keys.get_key_value(&fingerprint).map(list::key_row);
        carry_out(change, &before, &after, now).await?;
        row.ok_or_else(|| StoreError::NotFound(format!("ssh key {fingerprint}")))
    }

    /// Takes a key from whoever has it; with `owner`, only from them. Says whose it was.
    pub async fn remove_ssh_key(
        &self,
        fingerprint: &str,
        owner: Option<&Name>,
    ) -> Result<Option<Name>, StoreError> {
        let mut change = self.changing().await?;
        let before = State::load(change.db()).await?;
        let mut after = before.clone();
        let has = |(name, user): (&Name, &mut User)| {
            let may = owner.is_none_or(|owner| owner == name);
            (may && user.keys.remove(fingerprint).is_some()).then(|| name.clone())
        };
        let from = after.users.iter_mut().find_map(has);
        carry_out(change, &before, &after, SystemTime::now()).await?;
        Ok(from)
    }

    async fn state(&self) -> Result<State, StoreError> {
        let mut tx = self.reading().await?;
        State::load(&mut tx).await
    }
}

async fn carry_out(
    mut change: Changing,
    before: &State,
    after: &State,
    now: SystemTime,
) -> Result<Vec<Change>, StoreError> {
    let plan = Plan::between(before, after);
    let changes = plan.changes(now);
    if !changes.is_empty() {
        plan.write(change.db()).await?;
        change.commit().await?;
    }
    Ok(changes)
}

fn refused(object: &str, code: &'static str, detail: impl Display) -> StoreError {
    StoreError::Invalid(vec![Problem::new(object, code, detail.to_string())])
}

fn take_out(state: &mut State, what: Object) -> Result<(), StoreError> {
    let (taken, what) = match what {
        Object::Site(name) => (state.sites.remove(&name).is_some(), format!("site {name}")),
        Object::User(name) => (state.users.remove(&name).is_some(), format!("user {name}")),
        Object::Group(name) => (state.groups.remove(&name).is_some(), format!("group {name}")),
        Object::Application { name, site } => {
            let text = site.map_or_else(|| name.to_string(), |site| format!("{name}.{site}"));
            let found = state.find(&text)?.cloned();
            let taken = found.is_some_and(|found| state.applications.remove(&found).is_some());
            (taken, format!("application {text}"))
        }
        Object::Grant(id) => {
            let count = state.grants.len();
            state.grants.retain(|_, grant| grant.id != id);
            (state.grants.len() < count, format!("grant {id}"))
        }
    };
    if taken { Ok(()) } else { Err(StoreError::NotFound(what)) }
}

/// Refuses to leave the relay with nobody who may administer it.
fn keep_an_admin(before: &State, after: &State) -> Result<(), StoreError> {
    match last_admin(before, after) {
        Some(problem) => Err(StoreError::Invalid(vec![problem])),
        None => Ok(()),
    }
}

fn last_admin(before: &State, after: &State) -> Option<Problem> {
    let admin = |state: &State| {
        // A machine can not sign in to put things right.
        let is_one = |user: &User| user.admin && user.enabled && !user.machine;
        let mut admins = state.users.iter().filter(|(_, user)| is_one(user));
        admins.next().map(|(name, _)| name.clone())
    };
    let last = admin(before).filter(|_| admin(after).is_none())?;
    let detail = "it is the last admin who is enabled; make another one first";
    Some(Problem::new(format!("user {last}"), "user.last_admin", detail))
}
