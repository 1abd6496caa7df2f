//! Users and groups.

use std::collections::BTreeSet;

use access::{GroupId, Name, UserId};
use api::{Document, UserSpec};
use uuid::Uuid;

use super::{Merge, Named};
use crate::config::state::{Group, User};

impl Merge<'_> {
    pub(super) fn users(&mut self, document: &Document) {
        let mut named = Named::new("user");
        for spec in &document.users {
            let exists = self.before.users.contains_key(&spec.name);
            named.check(&spec.name, exists, self.how, &mut self.problems);
            let old = self.after.users.remove(&spec.name);
            let keys = self.keys(spec, old.as_ref());
            let id = old.map_or_else(|| UserId(Uuid::new_v4()), |old| old.id);
            for site in &spec.admin_of {
                if self.after.sites.contains_key(site) {
                    continue;
                }
                let detail = format!("there is no site {site}");
                self.problem(&format!("user {}", spec.name), "site.unknown", detail);
            }
            let admin_of = spec.admin_of.iter().cloned().collect();
            let UserSpec { admin, auditor, approver, enabled, machine, .. } = *spec;
            let user = User { id, admin, auditor, approver, admin_of, enabled, machine, keys };
            self.after.users.insert(spec.name.clone(), user);
        }
    }

    /// Groups and who is in them. Where the document says so for a user or for a group, the two
    /// together are all there is; elsewhere membership stays as it was.
    pub(super) fn groups(&mut self, document: &Document) {
        let mut named = Named::new("group");
        for spec in &document.groups {
            let exists = self.before.groups.contains_key(&spec.name);
            named.check(&spec.name, exists, self.how, &mut self.problems);
            let fresh = || Group { id: GroupId(Uuid::new_v4()), members: BTreeSet::new() };
            self.after.groups.entry(spec.name.clone()).or_insert_with(fresh);
        }
        self.leave(document);
        for spec in &document.groups {
            for user in spec.members.iter().flatten() {
                self.join(&spec.name, user, &format!("group {}", spec.name));
            }
        }
        for spec in &document.users {
            for group in spec.groups.iter().flatten() {
                self.join(group, &spec.name, &format!("user {}", spec.name));
            }
        }
    }

    /// Ends the memberships that the document speaks of; those it keeps are joined again.
    fn leave(&mut self, document: &Document) {
        let users = document.users.iter().filter(|user| user.groups.is_some());
        let users: BTreeSet<_> = users.map(|user| &user.name).collect();
        let groups = document.groups.iter().filter(|group| group.members.is_some());
        let groups: BTreeSet<_> = groups.map(|group| &group.name).collect();
        for (name, group) in &mut self.after.groups {
            if groups.contains(name) {
                group.members.clear();
            }
            group.members.retain(|user| !users.contains(user));
        }
    }

    fn join(&mut self, group: &Name, user: &Name, object: &str) {
        if !self.after.users.contains_key(user) {
            self.problem(object, "user.unknown", format!("there is no user {user}"));
        }
        match self.after.groups.get_mut(group) {
            Some(group) => drop(group.members.insert(user.clone())),
            None => self.problem(object, "group.unknown", format!("there is no group {group}")),
        }
    }
}
