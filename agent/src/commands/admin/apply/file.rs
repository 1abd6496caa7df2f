//! The file that `apply` takes: the API's document, with secrets in files of their own.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use access::{
    Address, Clipboard, DatabaseOptions, Kind, Level, Name, RdpOptions, Recording, SshTerms,
    WebOptions,
};
use api::{ApplicationSpec, Document, GrantSpec};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use crate::commands::admin::secrets;
use crate::exit::Failure;

/// Reads the file and the files it names, which stand beside it. Every mistake is told with its
/// line.
pub(super) fn read(path: &Path) -> Result<Document, Failure> {
    let opened: io::Result<Box<dyn Read>> = match path {
        stdin if stdin == Path::new("-") => Ok(Box::new(io::stdin())),
        file => fs::File::open(file).map(|file| Box::new(file) as Box<dyn Read>),
    };
    let text = opened.and_then(whole);
    let text = text
        .map_err(|error| Failure::usage(format!("{} can not be read: {error}", path.display())))?;
    parse(path, &text)
}

/// All of it or nothing: what was cut off would be taken for removed.
fn whole(source: impl Read) -> io::Result<String> {
    let mut text = String::new();
    source.take(LONGEST + 1).read_to_string(&mut text)?;
    match text.len() as u64 > LONGEST {
        true => Err(io::Error::other(format!("it is longer than {} MiB", LONGEST >> 20))),
        false => Ok(text),
    }
}

fn parse(path: &Path, text: &str) -> Result<Document, Failure> {
    let source = Source { path, text };
    let mut faults = Faults { source: &source, found: Vec::new() };
    let document = match DeTable::parse(text) {
        Ok(tables) => faults.document(tables.into_inner()),
        Err(error) => {
            faults.parsed(&error, 0);
            Document::default()
        }
    };
    faults.found.sort_by_key(|(at, _)| *at);
    let mut found = faults.found.into_iter().map(|(_, fault)| fault);
    match found.next() {
        Some(first) => Err(Failure::usage(first).details(found)),
        None => Ok(document),
    }
}

/// Every mistake in a text, with where it is.
struct Faults<'a> {
    source: &'a Source<'a>,
    found: Vec<(usize, String)>,
}

impl Faults<'_> {
    fn add(&mut self, at: usize, what: impl Display) {
        self.found.push((at, self.source.told(at, what)));
    }

    fn parsed(&mut self, error: &toml::de::Error, within: usize) {
        self.add(error.span().map_or(within, |span| span.start), error.message());
    }

    fn document(&mut self, tables: DeTable<'_>) -> Document {
        let mut document = Document::default();
        for (key, value) in tables {
            match &**key.get_ref() {
                "settings" => document.settings = self.read(value),
                "site" => document.sites = self.each(value),
                "user" => document.users = self.each(value),
                "group" => document.groups = self.each(value),
                "application" => {
                    let entries: Vec<ApplicationEntry> = self.each(value);
                    let entries = entries.into_iter();
                    document.applications =
                        entries.filter_map(|entry| entry.resolve(self)).collect();
                }
                "grant" => {
                    let entries: Vec<GrantEntry> = self.each(value);
                    document.grants = entries.into_iter().map(GrantSpec::from).collect();
                }
                unknown => {
                    let what = format!("unknown field `{unknown}`, expected one of {TABLES}");
                    self.add(key.span().start, what);
                }
            }
        }
        document
    }

    fn each<T: DeserializeOwned>(&mut self, value: Spanned<DeValue<'_>>) -> Vec<T> {
        let at = value.span().start;
        match value.into_inner() {
            DeValue::Array(entries) => {
                entries.into_iter().filter_map(|entry| self.read(entry)).collect()
            }
            _ => {
                self.add(at, "a list was expected: tables in double brackets");
                Vec::new()
            }
        }
    }

    fn read<T: DeserializeOwned>(&mut self, value: Spanned<DeValue<'_>>) -> Option<T> {
        let at = value.span().start;
        let read = T::deserialize(ValueDeserializer::from(value));
        read.map_err(|error| self.parsed(&error, at)).ok()
    }
}

const TABLES: &str = "`settings`, `site`, `user`, `group`, `application`, `grant`";

/// Where a text came from, for telling its lines.
struct Source<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Source<'_> {
    fn told(&self, at: usize, what: impl Display) -> String {
        let before = self.text.as_bytes().iter().take(at);
        let line = before.filter(|byte| **byte == b'\n').count() + 1;
        format!("{}:{line}: {what}", self.path.display())
    }

    /// A path in the file is relative to the file.
    fn beside(&self, named: &Path) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("")).join(named)
    }
}

/// [`ApplicationSpec`], with its secrets in files if wanted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ApplicationEntry {
    name: Name,
    site: Name,
    kind: Kind,
    address: Address,
    account: Option<String>,
    #[serde(default)]
    certificate: bool,
    password: Option<Spanned<api::Secret>>,
    password_file: Option<Spanned<PathBuf>>,
    key_file: Option<Spanned<PathBuf>>,
    host_key: Option<String>,
    #[serde(default)]
    legacy_algorithms: bool,
    #[serde(default)]
    allow_api: bool,
    #[serde(default)]
    require_active_session: bool,
    #[serde(default)]
    requestable: bool,
    #[serde(default)]
    approvers: Vec<Name>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    web: Option<WebOptions>,
    database: Option<DatabaseOptions>,
    rdp: Option<RdpOptions>,
    /// The passwords of the accounts of `database`.
    #[serde(default)]
    level_password_files: BTreeMap<Level, Spanned<PathBuf>>,
    /// The CAs of `web`, `database` or `rdp`.
    ca_file: Option<Spanned<PathBuf>>,
}

impl ApplicationEntry {
    /// Reads its files; a mistake is added to `faults`.
    fn resolve(self, faults: &mut Faults<'_>) -> Option<ApplicationSpec> {
        let before = faults.found.len();
        if let (Some(_), Some(file)) = (&self.password, &self.password_file) {
            let twice = "a password stands here or in a file, not both";
            faults.add(file.span().start, twice);
        }
        let mut secret = |file: Option<Spanned<PathBuf>>, read: Reader| {
            let file = file?;
            let text = read(&faults.source.beside(file.get_ref()));
            text.map_err(|fault| faults.add(file.span().start, fault)).ok()
        };
        let password = secret(self.password_file, secrets::read);
        let key = secret(self.key_file, secrets::read_key);
        let files = self.level_password_files.into_iter();
        let level_passwords = files
            .filter_map(|(level, file)| Some((level, secret(Some(file), secrets::read)?)))
            .collect();
        let (mut web, mut database, mut rdp) = (self.web, self.database, self.rdp);
        if let Some(ca) = secret(self.ca_file, secrets::read) {
            match self.kind {
                Kind::Postgres | Kind::Mysql | Kind::Redis => {
                    database.get_or_insert_default().ca = Some(ca);
                }
                Kind::Rdp => rdp.get_or_insert_default().ca = Some(ca),
                Kind::Ssh | Kind::Tcp | Kind::Web => web.get_or_insert_default().ca = Some(ca),
            }
        }
        (faults.found.len() == before).then(|| ApplicationSpec {
            name: self.name,
            site: self.site,
            kind: self.kind,
            address: self.address,
            account: self.account,
            certificate: self.certificate,
            password: password.or(self.password.map(|p| p.into_inner().expose().to_owned())),
            key,
            host_key: self.host_key,
            legacy_algorithms: self.legacy_algorithms,
            allow_api: self.allow_api,
            require_active_session: self.require_active_session,
            requestable: self.requestable,
            approvers: self.approvers,
            tags: self.tags,
            web,
            database,
            rdp,
            level_passwords,
        })
    }
}

type Reader = fn(&Path) -> Result<String, Failure>;

/// [`GrantSpec`], with a name for people if wanted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GrantEntry {
    /// Says what the grant is for; the relay knows it by whom and what it is for.
    #[expect(dead_code, reason = "for people who read the file")]
    name: Option<String>,
    user: Option<Name>,
    group: Option<Name>,
    application: Option<String>,
    tag: Option<String>,
    logins: Option<Vec<String>>,
    #[serde(default)]
    forwarding: bool,
    file_transfer: Option<bool>,
    #[serde(default)]
    ssh: SshTerms,
    level: Option<Level>,
    databases: Option<Vec<String>>,
    #[serde(default)]
    clipboard: Clipboard,
    printer: Option<bool>,
    audio: Option<bool>,
    #[serde(default)]
    recording: Recording,
    #[serde(default)]
    require_active_session: bool,
    sources: Option<Vec<String>>,
    max_session: Option<String>,
    idle: Option<String>,
    valid_from: Option<Moment>,
    valid_until: Option<Moment>,
    hours: Option<Windows>,
    zone: Option<String>,
}

/// One window, or a list of them.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Windows {
    One(String),
    Many(Vec<String>),
}

impl From<Windows> for Vec<String> {
    fn from(windows: Windows) -> Self {
        match windows {
            Windows::One(window) => vec![window],
            Windows::Many(windows) => windows,
        }
    }
}

/// RFC 3339, in quotes or as TOML's own date-time.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Moment {
    Text(String),
    Toml(toml::value::Datetime),
}

impl From<Moment> for String {
    fn from(moment: Moment) -> Self {
        match moment {
            Moment::Text(text) => text,
            Moment::Toml(moment) => moment.to_string(),
        }
    }
}

impl From<GrantEntry> for GrantSpec {
    fn from(entry: GrantEntry) -> Self {
        Self {
            user: entry.user,
            group: entry.group,
            application: entry.application,
            tag: entry.tag,
            logins: entry.logins,
            forwarding: entry.forwarding,
            file_transfer: entry.file_transfer.unwrap_or(true),
            ssh: entry.ssh,
            level: entry.level,
            databases: entry.databases,
            clipboard: entry.clipboard,
            printer: entry.printer.unwrap_or(true),
            audio: entry.audio.unwrap_or(true),
            recording: entry.recording,
            require_active_session: entry.require_active_session,
            sources: entry.sources,
            max_session: entry.max_session,
            idle: entry.idle,
            valid_from: entry.valid_from.map(String::from),
            valid_until: entry.valid_until.map(String::from),
            hours: entry.hours.map(Vec::from),
            zone: entry.zone,
        }
    }
}

/// As much as a relay takes.
const LONGEST: u64 = 32 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    #[test]
    fn secrets_are_read_from_beside_the_file() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("pw"), "hunter2\n").unwrap();
        let file = dir.path().join("relay.toml");
        fs::write(&file, FULL).unwrap();
        let document = read(&file).unwrap();
        assert_eq!(document.applications[0].password.as_deref(), Some("hunter2"));
        assert_eq!(document.applications[0].tags["env"], "prod");
        assert_eq!(document.grants[0].valid_until.as_deref(), Some("2027-01-01T00:00:00Z"));
        assert_eq!(document.grants[0].valid_from.as_deref(), Some("2026-01-01T00:00:00Z"));
        assert_eq!(document.grants[0].hours.as_deref(), Some(&["mon-fri 08:00-18:00".into()][..]));
        assert!(!document.grants[0].file_transfer);
        assert_eq!(document.grants[0].ssh.to_string(), "exec \"uptime\", sftp read");
        assert_eq!(document.grants[0].level, Some(Level::Viewer));
        assert_eq!(document.grants[0].recording, Recording::Required);
    }

    #[test]
    fn every_mistake_has_its_line() {
        let cases = [
            ("[[site]]\nname = \"HQ\"\n", "relay.toml:2: "),
            ("[[site]]\nname = \"hq\"\nnmae = 1\n", "relay.toml:3: unknown field `nmae`"),
            ("\n\n[[user]\n", "relay.toml:3: "),
            ("[[grant]]\nlevel = \"admin\"\n", "relay.toml:2: unknown variant `admin`"),
        ];
        for (text, expected) in cases {
            let failure = parse(Path::new("relay.toml"), text).unwrap_err();
            assert_eq!(failure.exit(), Exit::Usage);
            assert!(failure.to_string().starts_with(expected), "{failure}");
        }
        let unlike = "[site]\nname = \"hq\"\n[[sites]]\nname = \"hq\"\n";
        let failure = parse(Path::new("relay.toml"), unlike).unwrap_err();
        assert!(failure.to_string().starts_with("relay.toml:1: a list was expected"), "{failure}");
        let second = &failure.all_details()[0];
        assert!(second.starts_with("relay.toml:3: unknown field `sites`"), "{second}");
        let missing = FULL.replace("\"pw\"", "\"absent\"");
        let failure = parse(Path::new("/nowhere/relay.toml"), &missing).unwrap_err();
        let text = failure.to_string();
        assert!(text.starts_with("/nowhere/relay.toml:9: /nowhere/absent "), "{text}");
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        let text = "[[grant]]\nusr = \"bob\"\n[[user]]\nname = \"Zed\"\n[[user]]\nname = \"bob\"\n\
            [[user]]\nnme = \"x\"\n[[application]]\nname = \"web1\"\nsite = \"hq\"\nkind = \"ssh\"\n\
            address = \"web1:22\"\npassword_file = \"absent\"\n";
        let failure = parse(Path::new("/nowhere/relay.toml"), text).unwrap_err();
        let told = std::iter::once(failure.to_string()).chain(failure.all_details().to_vec());
        let lines: Vec<_> = told.map(|line| line.split(": ").next().unwrap().to_owned()).collect();
        let at = ["2", "4", "8", "14"].map(|line| format!("/nowhere/relay.toml:{line}"));
        assert_eq!(lines, at, "{failure}");
    }

    #[test]
    fn a_file_is_read_to_its_end_or_not_at_all() {
        let long = "x".repeat(3 << 20);
        assert!(whole(long.as_bytes()).unwrap() == long);
        let error = whole(io::repeat(b'x')).unwrap_err().to_string();
        assert_eq!(error, "it is longer than 32 MiB");
    }

    const FULL: &str = r#"
[[application]]
name = "web1"
site = "hq"
kind = "ssh"
address = "web1.corp:22"
account = "ubuntu"
tags = { env = "prod" }
password_file = "pw"

[[grant]]
name = "the web team"
group = "web"
tag = "env=prod"
valid_from = 2026-01-01T00:00:00Z
valid_until = "2027-01-01T00:00:00Z"
hours = "mon-fri 08:00-18:00"
zone = "Europe/Berlin"
file_transfer = false
ssh = { exec = ["uptime"], sftp = "read" }
level = "viewer"
recording = "required"
"#;
}
