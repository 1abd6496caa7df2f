//! The difference between two configurations, in words.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::SystemTime;

use access::{
    Clipboard, DatabaseOptions, Name, RdpOptions, Recording, SiteId, SshTerms, WebOptions,
};
use api::{Change, GrantSpec};

use super::state::{App, AppName, Grant, GrantName, Group, Key, State, User};
use super::{certificates, terms};
use crate::clock;

/// What must be stored to get from one state to another.
pub(super) struct Plan<'a> {
    /// Key, value, new value.
    pub(super) settings: Vec<(String, String, String)>,
    pub(super) sites: Vec<Step<'a, Name, SiteId>>,
    pub(super) users: Vec<Step<'a, Name, User>>,
    pub(super) groups: Vec<Step<'a, Name, Group>>,
    pub(super) applications: Vec<Step<'a, AppName, App>>,
    pub(super) grants: Vec<Step<'a, GrantName, Grant>>,
    /// Where names get their ids from.
    pub(super) after: &'a State,
}

/// What happens to one object: it had no `from` if it is new, has no `to` if it goes.
pub(super) struct Step<'a, K, V> {
    pub(super) name: &'a K,
    pub(super) from: Option<&'a V>,
    pub(super) to: Option<&'a V>,
}

impl<'a> Plan<'a> {
    pub(super) fn between(before: &'a State, after: &'a State) -> Self {
        Self {
            settings: before.settings.changes(&after.settings),
            sites: steps(&before.sites, &after.sites),
            users: steps(&before.users, &after.users),
            groups: steps(&before.groups, &after.groups),
            applications: steps(&before.applications, &after.applications),
            grants: steps(&before.grants, &after.grants),
            after,
        }
    }

    /// The steps as people read them.
    pub(super) fn changes(&self, now: SystemTime) -> Vec<Change> {
        let mut changes: Vec<_> = self.settings_change().into_iter().collect();
        changes.extend(self.sites.iter().map(|step| change("site", step, |_| Vec::new())));
        changes.extend(self.users.iter().map(|step| change("user", step, user)));
        changes.extend(self.groups.iter().map(|step| change("group", step, group)));
        changes.extend(self.applications.iter().map(application_change));
        changes.extend(self.grants.iter().map(|step| grant_change(step, now)));
        changes
    }

    fn settings_change(&self) -> Option<Change> {
        let differ = self.settings.iter().map(|(key, from, to)| format!("{key} {from} → {to}"));
        let detail = differ.collect::<Vec<_>>().join("; ");
        let (action, object) = ("change".to_owned(), "settings".to_owned());
        (!detail.is_empty()).then_some(Change { action, object, detail })
    }
}

fn steps<'a, K: Ord, V: PartialEq>(
    before: &'a BTreeMap<K, V>,
    after: &'a BTreeMap<K, V>,
) -> Vec<Step<'a, K, V>> {
    let gone = before.iter().filter(|(name, _)| !after.contains_key(name));
    let gone = gone.map(|(name, from)| Step { name, from: Some(from), to: None });
    let here = after.iter().map(|(name, to)| Step { name, from: before.get(name), to: Some(to) });
    gone.chain(here.filter(|step| step.from != step.to)).collect()
}

/// What an object has, in words: a field that is absent says nothing.
type Fields = Vec<(&'static str, String)>;

fn change<K: Display, V>(
    kind: &str,
    step: &Step<'_, K, V>,
    fields: impl Fn(&V) -> Fields,
) -> Change {
    let object = format!("{kind} {}", step.name);
    let (action, details) = match (step.from, step.to) {
        (None, Some(to)) => ("add", fields(to).into_iter().map(in_words).collect()),
        (Some(from), Some(to)) => ("change", differences(fields(from), fields(to))),
        (_, None) => ("remove", Vec::new()),
    };
    Change { action: action.to_owned(), object, detail: details.join("; ") }
}

fn in_words((field, value): (&'static str, String)) -> String {
    format!("{field} {value}")
}

fn differences(from: Fields, to: Fields) -> Vec<String> {
    let (from, to): (BTreeMap<_, _>, BTreeMap<_, _>) =
        (from.into_iter().collect(), to.into_iter().collect());
    let gone = from.keys().filter(|field| !to.contains_key(*field));
    let gone = gone.map(|field| format!("no {field}"));
    let here = to.iter().filter_map(|(field, new)| match from.get(field) {
        Some(old) if old == new => None,
        Some(old) => Some(format!("{field} {old} → {new}")),
        None => Some(format!("{field} {new}")),
    });
    gone.chain(here).collect()
}

fn user(user: &User) -> Fields {
    let mut fields = vec![];
    if user.admin {
        fields.push(("admin", "yes".to_owned()));
    }
    if user.auditor {
        fields.push(("auditor", "yes".to_owned()));
    }
    if user.approver {
        fields.push(("approver", "yes".to_owned()));
    }
    if !user.admin_of.is_empty() {
        fields.push(("admin_of", list(user.admin_of.iter())));
    }
    if !user.enabled {
        fields.push(("disabled", "yes".to_owned()));
    }
    if user.machine {
        fields.push(("machine", "yes".to_owned()));
    }
    if !user.keys.is_empty() {
        fields.push(("ssh_keys", list(user.keys.iter().map(key))));
    }
    fields
}

fn key((fingerprint, key): (&String, &Key)) -> String {
    match key.expires {
        Some(end) => format!("{fingerprint} until {}", terms::point_text(end)),
        None => fingerprint.clone(),
    }
}

fn group(group: &Group) -> Fields {
    match group.members.is_empty() {
        true => vec![],
        false => vec![("members", list(&group.members))],
    }
}

fn application_change(step: &Step<'_, AppName, App>) -> Change {
    let mut change = change("application", step, application);
    let sealed = |app: Option<&App>| app.and_then(|app| app.secret.clone());
    if let (Some(from), Some(to)) = (sealed(step.from), sealed(step.to))
        && from != to
    {
        let word = format!("{} replaced", to.kind);
        let comma = if change.detail.is_empty() { "" } else { "; " };
        change.detail = format!("{}{comma}{word}", change.detail);
    }
    let levels = |app: Option<&App>| app.map(|app| app.level_passwords.clone()).unwrap_or_default();
    let (from, to) = (levels(step.from), levels(step.to));
    for level in to.iter().filter(|(level, sealed)| from.get(level).is_some_and(|s| s != *sealed)) {
        let comma = if change.detail.is_empty() { "" } else { "; " };
        change.detail.push_str(&format!("{comma}password of {} replaced", level.0));
    }
    change
}

fn application(app: &App) -> Fields {
    let mut fields = vec![("kind", app.kind.to_string()), ("address", app.address.to_string())];
    fields.extend(app.account.clone().map(|account| ("account", account)));
    if app.certificate {
        fields.push(("with", "a certificate".to_owned()));
    }
    fields.extend(app.secret.as_ref().map(|secret| ("with", format!("a {}", secret.kind))));
    fields.extend(app.host_key.clone().map(|key| ("host_key", key)));
    if app.legacy_algorithms {
        fields.push(("legacy_algorithms", "yes".to_owned()));
    }
    if app.allow_api {
        fields.push(("allow_api", "yes".to_owned()));
    }
    if app.require_active_session {
        fields.push(("require_active_session", "yes".to_owned()));
    }
    if app.requestable {
        fields.push(("requestable", "yes".to_owned()));
    }
    if !app.approvers.is_empty() {
        fields.push(("approvers", list(&app.approvers)));
    }
    if !app.tags.is_empty() {
        let tags = app.tags.iter().map(|(key, value)| format!("{key}={value}"));
        fields.push(("tags", list(tags)));
    }
    if !app.web.is_default() {
        fields.push(("web", web(&app.web)));
    }
    if !app.database.is_default() {
        let ca = app.database.ca.as_deref().map(certificates::in_words);
        let shown = DatabaseOptions { ca, ..app.database.clone() };
        fields.push(("database", serde_json::to_string(&shown).unwrap_or_default()));
    }
    if !app.rdp.is_default() {
        let ca = app.rdp.ca.as_deref().map(certificates::in_words);
        let shown = RdpOptions { ca, ..app.rdp.clone() };
        fields.push(("rdp", serde_json::to_string(&shown).unwrap_or_default()));
    }
    fields
}

/// The options that are set. A header's value may be what the application takes for a login.
fn web(options: &WebOptions) -> String {
    let mut shown = options.clone();
    shown.ca = shown.ca.as_deref().map(certificates::in_words);
    for value in shown.set_headers.values_mut() {
        "(not shown)".clone_into(value);
    }
    serde_json::to_string(&shown).unwrap_or_default()
}

fn grant_change(step: &Step<'_, GrantName, Grant>, now: SystemTime) -> Change {
    let mut change = change("grant", step, grant);
    let until = step.to.and_then(|grant| grant.terms.valid_until);
    if until.is_some_and(|until| until <= clock::seconds(now)) {
        change.detail.push_str(" (which is over: it opens nothing)");
    }
    change
}

fn grant(grant: &Grant) -> Fields {
    let spec = terms::write(&grant.terms, GrantSpec::default());
    let mut fields = vec![];
    fields.extend(spec.logins.map(|logins| ("logins", list(logins))));
    if spec.forwarding {
        fields.push(("forwarding", "yes".to_owned()));
    }
    if !spec.file_transfer {
        fields.push(("file_transfer", "no".to_owned()));
    }
    if spec.ssh != SshTerms::default() {
        fields.push(("ssh", spec.ssh.to_string()));
    }
    fields.extend(spec.level.map(|level| ("level", level.to_string())));
    fields.extend(spec.databases.map(|databases| ("databases", list(databases))));
    if spec.clipboard != Clipboard::Both {
        fields.push(("clipboard", spec.clipboard.to_string()));
    }
    if !spec.printer {
        fields.push(("printer", "no".to_owned()));
    }
    if !spec.audio {
        fields.push(("audio", "no".to_owned()));
    }
    if spec.recording != Recording::Off {
        fields.push(("recording", spec.recording.as_str().to_owned()));
    }
    if spec.require_active_session {
        fields.push(("require_active_session", "yes".to_owned()));
    }
    fields.extend(grant.terms.hours.as_ref().map(|hours| ("hours", hours.to_string())));
    fields.extend(spec.sources.map(|sources| ("sources", list(sources))));
    let rest = [
        ("max_session", spec.max_session),
        ("idle", spec.idle),
        ("valid_from", spec.valid_from),
        ("valid_until", spec.valid_until),
    ];
    fields.extend(rest.into_iter().filter_map(|(field, value)| Some((field, value?))));
    fields
}

fn list<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<_> = items.into_iter().map(|item| item.to_string()).collect();
    if items.is_empty() { "none".to_owned() } else { items.join(", ") }
}
