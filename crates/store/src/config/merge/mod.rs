//! What the configuration should become, and everything that is wrong with that.

mod applications;
mod grants;
mod keys;
mod people;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::time::SystemTime;

use access::{HostName, Name, SiteId};
use api::Document;
use uuid::Uuid;

use super::state::{AppName, State};
use super::{Apply, OwnHosts, last_admin, settings};
use crate::seal::Sealer;
use crate::{Problem, StoreError};
pub use keys::KeyEnd;
pub(super) use keys::{NEVER, register};

/// The state after `document` is applied to `before`, or every problem with it.
pub(super) fn merge(
    before: &State,
    document: &Document,
    (how, now): (Apply, SystemTime),
    (sealer, own): (&Sealer, &OwnHosts),
) -> Result<State, StoreError> {
    let (after, problems) = (before.clone(), Vec::new());
    let mut merge = Merge { before, after, how, now, sealer, own, problems };
    if how.prune {
        merge.prune(document);
    }
    merge.settings(document);
    merge.sites(document);
    merge.users(document);
    merge.groups(document);
    merge.applications(document)?;
    merge.grants(document);
    merge.labels();
    merge.hosts();
    merge.key_owners();
    merge.problems.extend(last_admin(before, &merge.after));
    if merge.problems.is_empty() {
        Ok(merge.after)
    } else {
        Err(StoreError::Invalid(merge.problems))
    }
}

struct Merge<'a> {
    before: &'a State,
    after: State,
    how: Apply,
    now: SystemTime,
    sealer: &'a Sealer,
    own: &'a OwnHosts,
    problems: Vec<Problem>,
}

impl Merge<'_> {
    /// Takes out what the document does not name. Grants follow once their names are understood.
    fn prune(&mut self, document: &Document) {
        let sites: BTreeSet<_> = document.sites.iter().map(|site| &site.name).collect();
        let users: BTreeSet<_> = document.users.iter().map(|user| &user.name).collect();
        let groups: BTreeSet<_> = document.groups.iter().map(|group| &group.name).collect();
        let applications: BTreeSet<_> =
            document.applications.iter().map(applications::name).collect();
        self.after.sites.retain(|name, _| sites.contains(name));
        self.after.users.retain(|name, _| users.contains(name));
        self.after.groups.retain(|name, _| groups.contains(name));
        self.after.applications.retain(|name, _| applications.contains(name));
        self.after.tidy();
    }

    /// They stay, also where the rest is pruned: nothing is without settings.
    fn settings(&mut self, document: &Document) {
        let Some(spec) = &document.settings else { return };
        settings::check(spec, &mut self.problems);
        self.after.settings = self.before.settings.clone().with(spec);
    }

    fn sites(&mut self, document: &Document) {
        let mut named = Named::new("site");
        for site in &document.sites {
            let exists = self.before.sites.contains_key(&site.name);
            named.check(&site.name, exists, self.how, &mut self.problems);
            if !exists && Name::NO_SITE.contains(&site.name.as_str()) {
                let detail = "a site can not have this name: SSH clients write APP.adit";
                self.problem(&format!("site {}", site.name), "site.reserved", detail);
            }
            self.after.sites.entry(site.name.clone()).or_insert_with(|| SiteId(Uuid::new_v4()));
        }
    }

    /// Two applications with one DNS label could not be told apart.
    fn labels(&mut self) {
        let mut labels: BTreeMap<String, &AppName> = BTreeMap::new();
        for app in self.after.applications.keys() {
            if let Some(other) = labels.insert(app.label(), app) {
                let label = app.label();
                let detail = format!("its label {label} is that of application {other} too");
                let object = format!("application {app}");
                self.problems.push(Problem::new(object, "application.label_taken", detail));
            }
        }
    }

    /// A host name leads to one application, and the relay's own to none.
    fn hosts(&mut self) {
        let mut hosts: BTreeMap<&HostName, &AppName> = BTreeMap::new();
        for (name, app) in &self.after.applications {
            for host in &app.web.host_names {
                let whose = match hosts.insert(host, name) {
                    Some(other) if other != name => format!("that of application {other} too"),
                    Some(_) | None if self.own.hold(host) => "the relay's own".to_owned(),
                    Some(_) | None => continue,
                };
                let (object, code) = (format!("application {name}"), "application.host_taken");
                let detail = format!("the host name {host} is {whose}");
                self.problems.push(Problem::new(object, code, detail));
            }
        }
    }

    fn problem(&mut self, object: &str, code: &'static str, detail: impl Into<String>) {
        self.problems.push(Problem::new(object, code, detail));
    }
}

/// The names of one kind of object that a document has mentioned so far.
struct Named {
    kind: &'static str,
    seen: BTreeSet<String>,
}

impl Named {
    fn new(kind: &'static str) -> Self {
        Self { kind, seen: BTreeSet::new() }
    }

    /// Reports a name that stands twice, or that is taken where it must be new.
    fn check(&mut self, name: &impl Display, exists: bool, how: Apply, into: &mut Vec<Problem>) {
        let object = format!("{} {name}", self.kind);
        if !self.seen.insert(name.to_string()) {
            into.push(Problem::new(&object, "document.twice", "it stands in the document twice"));
        }
        if exists && how.create_only {
            into.push(Problem::new(&object, self.taken(), "there is one already"));
        }
    }

    fn taken(&self) -> &'static str {
        match self.kind {
            "site" => "site.exists",
            "user" => "user.exists",
            "group" => "group.exists",
            "application" => "application.exists",
            _ => "grant.exists",
        }
    }
}
