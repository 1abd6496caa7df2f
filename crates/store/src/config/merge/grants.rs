//! Grants, by whom they are for and what they open.

use std::collections::BTreeSet;

use access::RuleId;
use api::{Document, GrantSpec};
use uuid::Uuid;

use super::applications::is_tag;
use super::{Merge, Named};
use crate::config::state::{Grant, GrantName, Subject, Target};
use crate::config::terms::terms;

impl Merge<'_> {
    pub(super) fn grants(&mut self, document: &Document) {
        let mut named = Named::new("grant");
        let mut kept = BTreeSet::new();
        for spec in &document.grants {
            let object = format!("grant {}", label(spec));
            let terms = terms(spec, &object, &mut self.problems);
            let (subject, target) = (self.subject(spec, &object), self.target(spec, &object));
            let (Some(subject), Some(target)) = (subject, target) else { continue };
            let name = GrantName { subject, target };
            let old = self.before.grants.get(&name);
            named.check(&name, old.is_some(), self.how, &mut self.problems);
            let id = old.map_or_else(|| RuleId(Uuid::new_v4()), |old| old.id);
            kept.insert(name.clone());
            self.after.grants.insert(name, Grant { id, terms });
        }
        if self.how.prune {
            self.after.grants.retain(|name, _| kept.contains(name));
        }
    }

    fn subject(&mut self, spec: &GrantSpec, object: &str) -> Option<Subject> {
        match (&spec.user, &spec.group) {
            (Some(user), None) => {
                if !self.after.users.contains_key(user) {
                    self.problem(object, "user.unknown", format!("there is no user {user}"));
                }
                Some(Subject::User(user.clone()))
            }
            (None, Some(group)) => {
                if !self.after.groups.contains_key(group) {
                    self.problem(object, "group.unknown", format!("there is no group {group}"));
                }
                Some(Subject::Group(group.clone()))
            }
            (None, None) | (Some(_), Some(_)) => {
                let detail = "it is for a user or for a group: exactly one of the two";
                self.problem(object, "grant.subject", detail);
                None
            }
        }
    }

    fn target(&mut self, spec: &GrantSpec, object: &str) -> Option<Target> {
        match (&spec.application, &spec.tag) {
            (Some(text), None) => self.application_target(text, object),
            (None, Some(text)) => {
                let tag = text.split_once('=').filter(|(key, value)| is_tag(key, value));
                if tag.is_none() {
                    let detail = format!("{text:?} is no tag such as env=prod");
                    self.problem(object, "grant.tag", detail);
                }
                tag.map(|(key, value)| Target::Tag { key: key.into(), value: value.into() })
            }
            (None, None) | (Some(_), Some(_)) => {
                let detail = "it opens an application or a tag: exactly one of the two";
                self.problem(object, "grant.target", detail);
                None
            }
        }
    }

    fn application_target(&mut self, text: &str, object: &str) -> Option<Target> {
        match self.after.find(text) {
            Ok(Some(app)) => Some(Target::Application(app.clone())),
            Ok(None) => {
                let detail = format!("there is no application {text}");
                self.problem(object, "application.unknown", detail);
                None
            }
            Err(ambiguous) => {
                self.problem(object, "application.ambiguous", ambiguous.to_string());
                None
            }
        }
    }
}

/// A grant as its document writes it, for problems with its very names.
fn label(spec: &GrantSpec) -> String {
    let subject = match (&spec.user, &spec.group) {
        (Some(user), _) => user.to_string(),
        (None, Some(group)) => format!("group {group}"),
        (None, None) => "nobody".to_owned(),
    };
    let target = spec.application.as_deref().or(spec.tag.as_deref()).unwrap_or("nothing");
    format!("{subject} → {target}")
}
