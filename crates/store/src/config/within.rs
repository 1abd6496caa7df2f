//! How far a change may reach.

use std::collections::BTreeMap;

use access::Name;

use super::state::{AppName, GrantName, State, Target};
use crate::StoreError;

/// What may change: decided by what a change comes to, whatever was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Within {
    Everything,
    /// Applications of these sites, and grants for one of them by its name.
    Sites(Vec<Name>),
}

impl Within {
    /// Refuses a change of anything else. Both are of one transaction, so nothing can move in between.
    pub(super) fn check(&self, before: &State, after: &State) -> Result<(), StoreError> {
        let Self::Sites(sites) = self else { return Ok(()) };
        let State { settings, sites: all, users, groups, applications, grants } = before;
        let same = *settings == after.settings
            && *all == after.sites
            && *users == after.users
            && *groups == after.groups;
        let app = |name: &AppName| sites.contains(&name.site);
        let grant = |name: &GrantName| match &name.target {
            Target::Application(name) => app(name),
            Target::Tag { .. } => false,
        };
        let applications = changed(applications, &after.applications).all(app);
        let grants = changed(grants, &after.grants).all(grant);
        if same && applications && grants { Ok(()) } else { Err(StoreError::Outside) }
    }
}

/// What is in one of them only, or differs.
fn changed<'a, K: Ord, V: PartialEq>(
    before: &'a BTreeMap<K, V>,
    after: &'a BTreeMap<K, V>,
) -> impl Iterator<Item = &'a K> {
    let gone = before.iter().filter(|(key, old)| after.get(*key) != Some(old));
    let made = after.keys().filter(|key| !before.contains_key(*key));
    gone.map(|(key, _)| key).chain(made)
}
