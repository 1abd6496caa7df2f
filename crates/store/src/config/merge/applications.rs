//! Applications and the credentials of those whose login is managed.

use std::collections::{BTreeMap, BTreeSet};

use access::{ApplicationId, DatabaseOptions, Kind, Level, Name, RdpOptions, WebOptions};
use api::{ApplicationSpec, Document};
use uuid::Uuid;

use super::{Merge, Named};
use crate::StoreError;
use crate::config::state::{App, AppName, Secret};
use crate::config::terms::is_account;
use crate::keys::{KeyError, PublicKey, check_private_key};
use crate::secrets::{PASSWORD, SSH_KEY, TLS, credential, level_row};

/// How a document's application is known.
pub(super) fn name(spec: &ApplicationSpec) -> AppName {
    AppName { name: spec.name.clone(), site: spec.site.clone() }
}

impl Merge<'_> {
    pub(super) fn applications(&mut self, document: &Document) -> Result<(), StoreError> {
        let mut named = Named::new("application");
        for spec in &document.applications {
            let name = name(spec);
            let exists = self.before.applications.contains_key(&name);
            named.check(&name, exists, self.how, &mut self.problems);
            let app = self.application(spec, &name)?;
            self.after.applications.insert(name, app);
        }
        Ok(())
    }

    fn application(&mut self, spec: &ApplicationSpec, name: &AppName) -> Result<App, StoreError> {
        let object = format!("application {name}");
        if !self.after.sites.contains_key(&spec.site) {
            let detail = format!("there is no site {}", spec.site);
            self.problem(&object, "site.unknown", detail);
        }
        let old = self.after.applications.get(name);
        let id = old.map_or_else(|| ApplicationId(Uuid::new_v4()), |old| old.id);
        let stored = old.and_then(|old| old.secret.clone());
        let passwords = old.map(|old| old.level_passwords.clone()).unwrap_or_default();
        self.check_login(spec, stored.is_some(), &object);
        let certified = spec.kind.is_database()
            && (spec.key.is_some() || stored.as_ref().is_some_and(|stored| stored.kind == TLS));
        self.check_tags(&spec.tags, &object);
        Ok(App {
            id,
            kind: spec.kind,
            address: spec.address.clone(),
            account: spec.account.clone(),
            certificate: spec.certificate,
            host_key: self.host_key(spec, &object),
            legacy_algorithms: self.legacy_algorithms(spec, &object),
            allow_api: spec.allow_api,
            require_active_session: spec.require_active_session,
            requestable: spec.requestable,
            approvers: self.approvers(spec, &object),
            tags: spec.tags.clone(),
            web: self.web(spec, &object),
            database: self.database(spec, &object),
            rdp: self.rdp(spec, &object),
            level_passwords: self.level_passwords(spec, (id, &object), &passwords, certified)?,
            secret: self.secret(spec, id, stored)?,
        })
    }

    fn approvers(&mut self, spec: &ApplicationSpec, object: &str) -> BTreeSet<Name> {
        let known = |group: &&Name| self.after.groups.contains_key(*group);
        let (known, unknown): (Vec<_>, Vec<_>) = spec.approvers.iter().partition(known);
        let known = known.into_iter().cloned().collect();
        for group in unknown {
            let detail = format!("approvers: there is no group {group}");
            self.problem(object, "group.unknown", detail);
        }
        known
    }

    fn legacy_algorithms(&mut self, spec: &ApplicationSpec, object: &str) -> bool {
        if spec.legacy_algorithms && spec.kind != Kind::Ssh {
            let detail = "legacy_algorithms: for SSH applications";
            self.problem(object, "application.legacy_algorithms", detail);
        }
        spec.legacy_algorithms
    }

    fn check_login(&mut self, spec: &ApplicationSpec, stored: bool, object: &str) {
        let given = spec.password.is_some() || spec.key.is_some();
        if spec.certificate && (given || spec.kind != Kind::Ssh) {
            let detail = "certificate: for SSH applications, without a password or key";
            self.problem(object, "application.certificate", detail);
        }
        match &spec.account {
            // It may be shown for accounts of levels, or beside them.
            None if spec.kind.is_database() && spec.password.is_none() => {}
            None if given => {
                let detail = "a password or key is for an account; name it";
                self.problem(object, "application.no_account", detail);
            }
            Some(account) if !is_account(account) => {
                let detail = format!("{account:?} is no account name");
                self.problem(object, "application.account", detail);
            }
            Some(_) if !given && !stored && !spec.certificate => {
                let detail = "the relay needs a password or key for the account";
                self.problem(object, "application.no_secret", detail);
            }
            None | Some(_) => {}
        }
        if spec.password.is_some() && spec.key.is_some() {
            let detail = "it has a password and a key; one is enough";
            self.problem(object, "application.two_secrets", detail);
        }
        if spec.password.as_ref().is_some_and(|p| p.is_empty() || p.len() > MAX_PASSWORD) {
            let detail = format!("a password has 1 to {MAX_PASSWORD} bytes");
            self.problem(object, "application.password", detail);
        }
        match spec.key.as_deref() {
            Some(key) if spec.kind.is_database() && !is_certified(key) => {
                let detail = "the key of a database is a PEM file with a certificate and its key";
                self.problem(object, "application.key", detail);
            }
            Some(key) if !spec.kind.is_database() => {
                if let Err(error) = check_private_key(key) {
                    self.problem(object, "application.key", error.to_string());
                }
            }
            Some(_) | None => {}
        }
    }

    fn check_tags(&mut self, tags: &BTreeMap<String, String>, object: &str) {
        for (key, value) in tags.iter().filter(|(key, value)| !is_tag(key, value)) {
            let detail = format!(
                "tag {key:?}={value:?}: a key has letters, digits and . _ - /, both at most 63 \
                 characters"
            );
            self.problem(object, "application.tag", detail);
        }
    }

    fn web(&mut self, spec: &ApplicationSpec, object: &str) -> WebOptions {
        let options = spec.web.clone().unwrap_or_default();
        for fault in options.faults() {
            self.problem(object, "application.web", format!("web: {fault}"));
        }
        if spec.kind != Kind::Web && !options.is_default() {
            let detail = "web: these are the options of a web application";
            self.problem(object, "application.web", detail);
        }
        options
    }

    fn database(&mut self, spec: &ApplicationSpec, object: &str) -> DatabaseOptions {
        let options = spec.database.clone().unwrap_or_default();
        for fault in options.faults() {
            self.problem(object, "application.database", format!("database: {fault}"));
        }
        if !spec.kind.is_database() && !options.is_default() {
            let detail =
                "database: these are the options of a postgres, mysql or redis application";
            self.problem(object, "application.database", detail);
        }
        let roles = !options.roles.is_empty();
        if roles && !matches!(spec.kind, Kind::Postgres | Kind::Mysql) {
            let detail = "database: roles are for PostgreSQL and MySQL";
            self.problem(object, "application.database", detail);
        }
        if options.replication && spec.kind != Kind::Postgres {
            let detail = "database: replication is for PostgreSQL";
            self.problem(object, "application.database", detail);
        }
        if roles && spec.account.is_none() {
            let detail = "database: roles need the account that makes accounts in them";
            self.problem(object, "application.no_account", detail);
        }
        options
    }

    fn rdp(&mut self, spec: &ApplicationSpec, object: &str) -> RdpOptions {
        let options = spec.rdp.clone().unwrap_or_default();
        for fault in options.faults() {
            self.problem(object, "application.rdp", format!("rdp: {fault}"));
        }
        if spec.kind != Kind::Rdp && !options.is_default() {
            let detail = "rdp: these are the options of an rdp application";
            self.problem(object, "application.rdp", detail);
        }
        if spec.kind == Kind::Rdp && spec.key.is_some() {
            let detail = "rdp: its account has a password, no key";
            self.problem(object, "application.rdp", detail);
        }
        options
    }

    /// The password of each level's account: the one given, sealed; or the stored one.
    fn level_passwords(
        &mut self,
        spec: &ApplicationSpec,
        (id, object): (ApplicationId, &str),
        stored: &BTreeMap<Level, String>,
        certified: bool,
    ) -> Result<BTreeMap<Level, String>, StoreError> {
        let accounts = spec.database.clone().unwrap_or_default().accounts;
        for level in spec.level_passwords.keys().filter(|level| !accounts.contains_key(level)) {
            let detail = format!("database.accounts has none for {level}, whose password is given");
            self.problem(object, "application.no_account", detail);
        }
        let mut sealed = BTreeMap::new();
        for level in accounts.into_keys() {
            match (spec.level_passwords.get(&level), stored.get(&level)) {
                (Some(password), _) if password.is_empty() || password.len() > MAX_PASSWORD => {
                    let detail = format!("a password has 1 to {MAX_PASSWORD} bytes");
                    self.problem(object, "application.password", detail);
                }
                (Some(password), stored) => {
                    let record = credential(level_row(id, level));
                    let same = match stored {
                        Some(stored) => *self.sealer.open(&record, stored)? == password.as_bytes(),
                        None => false,
                    };
                    let kept = stored.filter(|_| same).cloned();
                    let seal = || self.sealer.seal(&record, password.as_bytes());
                    sealed.insert(level, kept.map_or_else(seal, Ok)?);
                }
                (None, Some(stored)) => {
                    sealed.insert(level, stored.clone());
                }
                // The relay's certificate may be all that the account asks for.
                (None, None) if certified => {}
                (None, None) => {
                    let detail = format!("the relay needs the password of the account for {level}");
                    self.problem(object, "application.no_secret", detail);
                }
            }
        }
        Ok(sealed)
    }

    fn host_key(&mut self, spec: &ApplicationSpec, object: &str) -> Option<String> {
        let text = spec.host_key.as_deref()?.trim();
        let (mark, key) = match text.strip_prefix(CA_MARK) {
            Some(key) => (CA_MARK, key),
            None => ("", text),
        };
        let read: Result<PublicKey, KeyError> = key.parse();
        match read {
            Ok(key) => Some(format!("{mark}{key}")),
            Err(error) => {
                self.problem(object, "application.host_key", format!("host_key: {error}"));
                None
            }
        }
    }

    /// The credential to keep: the one given, sealed; or the stored one, if it is still used.
    fn secret(
        &self,
        spec: &ApplicationSpec,
        id: ApplicationId,
        stored: Option<Secret>,
    ) -> Result<Option<Secret>, StoreError> {
        let given = match (&spec.account, &spec.password, &spec.key) {
            _ if spec.certificate => return Ok(None),
            (_, None, Some(key)) if spec.kind.is_database() => (TLS, key),
            (None, None, None) if spec.kind.is_database() => {
                return Ok(stored.filter(|stored| stored.kind == TLS));
            }
            (None, ..) => return Ok(None),
            (Some(_), Some(password), _) => (PASSWORD, password),
            (Some(_), None, Some(key)) => (SSH_KEY, key),
            (Some(_), None, None) => return Ok(stored),
        };
        let (kind, value) = given;
        if let Some(stored) = stored.filter(|stored| stored.kind == kind)
            && *self.sealer.open(&credential(id), &stored.sealed)? == value.as_bytes()
        {
            return Ok(Some(stored));
        }
        let sealed = self.sealer.seal(&credential(id), value.as_bytes())?;
        Ok(Some(Secret { kind: kind.to_owned(), sealed }))
    }
}

/// Whether a PEM text has a certificate and a private key.
fn is_certified(pem: &str) -> bool {
    pem.contains("-----BEGIN CERTIFICATE-----") && pem.contains("PRIVATE KEY-----")
}

/// What stands before the key of a CA that signs host certificates, as in `known_hosts`.
const CA_MARK: &str = "@cert-authority ";
const MAX_PASSWORD: usize = 1024;

/// Whether a text can stand before the `=` of a tag, and another behind it.
pub(super) fn is_tag(key: &str, value: &str) -> bool {
    let in_key = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/');
    !key.is_empty()
        && key.len() <= 63
        && key.chars().all(in_key)
        && value.chars().count() <= 63
        && !value.chars().any(char::is_control)
}
