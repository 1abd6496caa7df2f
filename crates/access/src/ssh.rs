//! What a grant allows on an SSH connection, one by one.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::text::is_hidden;
use crate::{Proof, Proofs};

/// The section `ssh` of terms. What is not said follows the terms beside it: `forwarding` for ports
/// and the agent, `file_transfer` for files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct SshTerms {
    /// The ways of signing in at the SSH door, each with its proofs in the order in which they are
    /// asked for, such as `publickey,token`; absent: any one proof.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authentication: Option<BTreeSet<Proofs>>,
    /// Whether a shell may be opened.
    #[serde(skip_serializing_if = "is_true")]
    pub shell: bool,
    /// Commands that may be run: `all`, `none`, or a list. In a list a command stands as it is
    /// sent, byte for byte; a word `*` stands for one word of letters, digits and `_@%+=:,./-`
    /// that begins with none of `-=%`, so that the target's shell can read nothing else in it.
    #[serde(skip_serializing_if = "is_all")]
    pub exec: Allowed,
    /// What sftp may do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sftp: Option<Sftp>,
    /// Whether scp and rsync may run. Where `exec` is a list, only in their plain forms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scp: Option<bool>,
    /// Where ports may lead through the target, by `-L`, `-D` and `-W`, which are one request:
    /// `all`, `none`, or a list of `host:port`, either of which may be `*`; several ports are
    /// `8000-8100`. Applications of the relay have grants of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local: Option<Allowed>,
    /// Whether the target may listen for the user, by `-R`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote: Option<bool>,
    /// Whether the user's agent may be forwarded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<bool>,
    /// Whether programs may open windows on the user's display, by `-X` and `-Y`.
    #[serde(skip_serializing_if = "is_false")]
    pub x11: bool,
    /// Whether sockets of the file system may be forwarded, either way.
    #[serde(skip_serializing_if = "is_false")]
    pub streamlocal: bool,
    /// Environment variables that pass: `all`, `none`, or a list of names, which may end with `*`.
    #[serde(skip_serializing_if = "is_all")]
    pub environment: Allowed,
    /// Whether the SHA-256 of files is recorded that sftp reads or writes in order from their
    /// beginning.
    #[serde(skip_serializing_if = "is_false")]
    pub file_hashes: bool,
}

/// Everything, or what is named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Allowed {
    #[default]
    All,
    Only(BTreeSet<String>),
}

/// What sftp may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Sftp {
    Off,
    /// List and read.
    Read,
    /// Everything.
    Write,
}

/// [`SshTerms`] with the terms beside them: what is allowed, without a gap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channels {
    pub shell: bool,
    pub sftp: Sftp,
    pub scp: bool,
    pub remote: bool,
    pub agent: bool,
    pub x11: bool,
    pub streamlocal: bool,
    /// What is asked for, not allowed.
    pub file_hashes: bool,
    exec: Allowed,
    local: Allowed,
    environment: Allowed,
}

impl Default for SshTerms {
    fn default() -> Self {
        Self {
            authentication: None,
            shell: true,
            exec: Allowed::All,
            sftp: None,
            scp: None,
            local: None,
            remote: None,
            agent: None,
            x11: false,
            streamlocal: false,
            environment: Allowed::All,
            file_hashes: false,
        }
    }
}

impl SshTerms {
    pub(crate) fn channels(&self, forwarding: bool, file_transfer: bool) -> Channels {
        let files = if file_transfer { Sftp::Write } else { Sftp::Off };
        let ports = if forwarding { Allowed::All } else { Allowed::none() };
        let sftp = self.sftp.unwrap_or(files);
        Channels {
            shell: self.shell,
            sftp,
            // Who may not write by the one must not by the other, unless somebody says so.
            scp: self.scp.unwrap_or(file_transfer && sftp == Sftp::Write),
            remote: self.remote.unwrap_or(forwarding),
            agent: self.agent.unwrap_or(forwarding),
            x11: self.x11,
            streamlocal: self.streamlocal,
            file_hashes: self.file_hashes,
            exec: self.exec.clone(),
            local: self.local.clone().unwrap_or(ports),
            environment: self.environment.clone(),
        }
    }

    /// Whether who has shown these proofs is let in.
    pub(crate) fn lets_in(&self, shown: &[Proof]) -> bool {
        self.authentication.as_ref().is_none_or(|ways| ways.iter().any(|way| way.are(shown)))
    }

    /// What may be asked for next of who has shown these.
    pub(crate) fn asks_for(&self, shown: &[Proof]) -> impl Iterator<Item = Proof> {
        self.authentication.iter().flatten().filter_map(|way| way.after(shown))
    }

    /// Whether it takes away something that raw bytes could carry unseen, or asks for what they do
    /// not show.
    pub(crate) fn limits(&self) -> bool {
        self.authentication.is_some()
            || !self.shell
            || self.exec != Allowed::All
            || self.sftp.is_some_and(|sftp| sftp != Sftp::Write)
            || self.local.as_ref().is_some_and(|local| *local != Allowed::All)
            || [self.scp, self.remote, self.agent].contains(&Some(false))
            || self.environment != Allowed::All
            || self.file_hashes
    }

    /// What in it can be meant by nobody, a sentence each.
    pub fn mistakes(&self) -> Vec<String> {
        let lists = [
            ("exec", Some(&self.exec), is_command as fn(&str) -> bool, "command"),
            ("local", self.local.as_ref(), is_destination, "destination such as db.corp:5432"),
            ("environment", Some(&self.environment), is_variable, "name of a variable"),
        ];
        let mut mistakes = Vec::new();
        if let Some(ways) = self.authentication.as_ref().map(BTreeSet::len).filter(|n| *n > MOST) {
            mistakes.push(format!("ssh.authentication: {ways} entries; {MOST} is the most"));
        }
        for (field, allowed, sound, what) in lists {
            let Some(Allowed::Only(entries)) = allowed else { continue };
            if entries.len() > MOST {
                mistakes
                    .push(format!("ssh.{field}: {} entries; {MOST} is the most", entries.len()));
            }
            let wrong = entries.iter().filter(|entry| !sound(entry));
            mistakes.extend(wrong.map(|entry| format!("ssh.{field}: {entry:?} is no {what}")));
        }
        mistakes
    }
}

impl Channels {
    /// Whether this command may be run, be it a file transfer or not.
    pub fn exec(&self, command: &[u8]) -> bool {
        match (&self.exec, std::str::from_utf8(command)) {
            (Allowed::All, _) => true,
            (Allowed::Only(entries), Ok(command)) => {
                entries.iter().any(|entry| is_instance(command, entry))
            }
            (Allowed::Only(_), Err(_)) => false,
        }
    }

    /// Whether commands may be run that nobody has listed.
    pub fn any_command(&self) -> bool {
        self.exec == Allowed::All
    }

    /// Whether a port may lead there through the target.
    pub fn local(&self, host: &str, port: u32) -> bool {
        let leads = |entry: &String| match entry.rsplit_once(':') {
            Some((to, at)) => {
                let host = host.trim_start_matches('[').trim_end_matches(']');
                let to = to.trim_start_matches('[').trim_end_matches(']');
                (to == "*" || to.eq_ignore_ascii_case(host)) && is_at(port, at)
            }
            None => false,
        };
        self.local.allows(leads)
    }

    /// Whether ports may be forwarded at all, to somewhere.
    pub fn ports(&self) -> bool {
        self.remote || self.local != Allowed::none()
    }

    /// Whether a variable of this name may be set.
    pub fn environment(&self, name: &str) -> bool {
        self.environment.allows(|entry| match entry.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == entry,
        })
    }

    /// Whether all is allowed that `other` allows.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        self.flags().into_iter().zip(other.flags()).all(|(now, then)| now || !then)
            && self.sftp >= other.sftp
            && self.lists().into_iter().zip(other.lists()).all(|(now, then)| now.covers(then))
            && (!self.file_hashes || other.file_hashes)
    }

    /// The more, the more is allowed: an order over those that cover each other.
    pub(crate) fn width(&self) -> (usize, Sftp, usize, bool) {
        let flags = self.flags().into_iter().filter(|allowed| *allowed).count();
        let lists = self.lists().into_iter().map(Allowed::len);
        (flags, self.sftp, lists.fold(0, usize::saturating_add), !self.file_hashes)
    }

    fn flags(&self) -> [bool; 6] {
        [self.shell, self.scp, self.remote, self.agent, self.x11, self.streamlocal]
    }

    fn lists(&self) -> [&Allowed; 3] {
        [&self.exec, &self.local, &self.environment]
    }
}

impl Allowed {
    pub fn none() -> Self {
        Self::Only(BTreeSet::new())
    }

    fn allows(&self, is: impl Fn(&String) -> bool) -> bool {
        match self {
            Self::All => true,
            Self::Only(entries) => entries.iter().any(is),
        }
    }

    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::All, _) => true,
            (Self::Only(_), Self::All) => false,
            (Self::Only(now), Self::Only(then)) => then.is_subset(now),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::All => MOST + 1,
            Self::Only(entries) => entries.len(),
        }
    }
}

impl From<Vec<String>> for Allowed {
    /// `all` and `none`, alone, mean that.
    fn from(entries: Vec<String>) -> Self {
        match &entries[..] {
            [only] if only == "all" => Self::All,
            [only] if only == "none" => Self::none(),
            _ => Self::Only(entries.into_iter().collect()),
        }
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Only(entries) if entries.is_empty() => f.write_str("none"),
            Self::Only(entries) => {
                let entries: Vec<_> = entries.iter().map(|entry| format!("{entry:?}")).collect();
                f.write_str(&entries.join(" "))
            }
        }
    }
}

impl Serialize for Allowed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::All => serializer.serialize_str("all"),
            Self::Only(entries) if entries.is_empty() => serializer.serialize_str("none"),
            Self::Only(entries) => entries.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Allowed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "\"all\", \"none\" or a list")]
        enum Read {
            Word(Word),
            List(BTreeSet<String>),
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "lowercase")]
        enum Word {
            All,
            None,
        }
        Ok(match Read::deserialize(deserializer)? {
            Read::Word(Word::All) => Self::All,
            Read::Word(Word::None) => Self::none(),
            Read::List(entries) => Self::Only(entries),
        })
    }
}

impl Sftp {
    pub const ALL: [Self; 3] = [Self::Off, Self::Read, Self::Write];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

impl fmt::Display for Sftp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Sftp {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|it| it.as_str() == text);
        found.ok_or_else(|| format!("unknown sftp {text:?}; one of off, read, write"))
    }
}

impl fmt::Display for SshTerms {
    /// What differs from the default.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let yes = |value: bool| if value { "yes" } else { "no" }.to_owned();
        let ways = |ways: &BTreeSet<Proofs>| match ways.is_empty() {
            true => "none".to_owned(),
            false => ways.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or "),
        };
        let said = [
            ("authentication", self.authentication.as_ref().map(ways)),
            ("shell", (!self.shell).then(|| yes(false))),
            ("exec", (self.exec != Allowed::All).then(|| self.exec.to_string())),
            ("sftp", self.sftp.map(|sftp| sftp.to_string())),
            ("scp", self.scp.map(yes)),
            ("local", self.local.as_ref().map(Allowed::to_string)),
            ("remote", self.remote.map(yes)),
            ("agent", self.agent.map(yes)),
            ("x11", self.x11.then(|| yes(true))),
            ("streamlocal", self.streamlocal.then(|| yes(true))),
            (
                "environment",
                (self.environment != Allowed::All).then(|| self.environment.to_string()),
            ),
            ("file_hashes", self.file_hashes.then(|| yes(true))),
        ];
        let said = said.into_iter().filter_map(|(name, value)| Some(format!("{name} {}", value?)));
        f.write_str(&said.collect::<Vec<_>>().join(", "))
    }
}

/// Whether a command is what an entry of a list allows.
fn is_instance(command: &str, entry: &str) -> bool {
    let (mut words, mut wanted) = (command.split(' '), entry.split(' '));
    loop {
        match (words.next(), wanted.next()) {
            (None, None) => return true,
            (Some(word), Some("*")) if is_plain(word) => {}
            (Some(word), Some(wanted)) if wanted != "*" && word == wanted => {}
            _ => return false,
        }
    }
}

/// Whether every shell reads a word as itself, and no program as an option.
fn is_plain(word: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_@%+=:,./-".contains(&byte);
    !word.is_empty() && !word.starts_with(['-', '=', '%']) && word.bytes().all(plain)
}

/// A `*` in the place of the program would allow any.
fn is_command(entry: &str) -> bool {
    let first = entry.split(' ').next().unwrap_or_default();
    !first.is_empty() && first != "*" && entry.len() <= LONGEST && !entry.contains('\0')
}

fn is_destination(entry: &str) -> bool {
    let Some((host, port)) = entry.rsplit_once(':') else { return false };
    let host_is_sound = !host.is_empty()
        && host.len() <= 255
        && !host.contains(|c: char| is_hidden(c) || c.is_whitespace());
    host_is_sound && (port == "*" || ports(port).is_some())
}

/// The ports that a list names: `8000`, or several as in `8000-8100`.
pub fn ports(entry: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = entry.split_once('-').unwrap_or((entry, entry));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (0 < first && first <= last).then_some(first..=last)
}

fn is_at(port: u32, entry: &str) -> bool {
    let within = |ports: RangeInclusive<u16>| u16::try_from(port).is_ok_and(|p| ports.contains(&p));
    entry == "*" || ports(entry).is_some_and(within)
}

fn is_variable(entry: &str) -> bool {
    let name = entry.strip_suffix('*').unwrap_or(entry);
    let named = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    !entry.is_empty() && entry.len() <= 255 && name.bytes().all(named)
}

fn is_all(allowed: &Allowed) -> bool {
    *allowed == Allowed::All
}

fn is_true(value: &bool) -> bool {
    *value
}

fn is_false(value: &bool) -> bool {
    !*value
}

/// Entries of one list: each is compared at each request.
const MOST: usize = 64;

/// Bytes of a command in a list.
const LONGEST: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn only(entries: &[&str]) -> Allowed {
        Allowed::Only(entries.iter().map(|entry| (*entry).to_owned()).collect())
    }

    fn with(terms: &SshTerms) -> Channels {
        terms.channels(false, true)
    }

    #[test]
    fn what_is_not_said_follows_the_terms_beside_it() {
        let old = |forwarding, files| SshTerms::default().channels(forwarding, files);
        let (wide, narrow) = (old(true, true), old(false, false));
        assert!(wide.remote && wide.agent && wide.local("db", 1) && wide.scp);
        assert!(!narrow.remote && !narrow.agent && !narrow.local("db", 1) && !narrow.scp);
        assert_eq!((wide.sftp, narrow.sftp), (Sftp::Write, Sftp::Off));
        for channels in [&wide, &narrow] {
            assert!(channels.shell && channels.any_command() && channels.environment("LANG"));
            assert!(!channels.x11 && !channels.streamlocal);
        }
        let agent = SshTerms { agent: Some(false), ..SshTerms::default() };
        assert!(!agent.channels(true, true).agent);
    }

    #[test]
    fn who_may_only_read_by_sftp_does_not_write_by_scp() {
        let read = || SshTerms { sftp: Some(Sftp::Read), ..SshTerms::default() };
        assert!(!with(&read()).scp);
        assert!(with(&SshTerms { scp: Some(true), ..read() }).scp);
    }

    #[test]
    fn a_listed_command_is_run_as_it_stands_and_nothing_with_it() {
        let exec = only(&["uptime", "systemctl restart *", "du -s * | sort", "a && b"]);
        let channels = with(&SshTerms { exec, ..SshTerms::default() });
        for command in ["uptime", "systemctl restart nginx.service", "du -s /srv | sort", "a && b"]
        {
            assert!(channels.exec(command.as_bytes()), "{command}");
        }
        for command in [
            "",
            "uptime ",
            " uptime",
            "uptime;id",
            "uptime\nid",
            "UPTIME",
            "systemctl restart",
            "systemctl restart ",
            "systemctl restart a b",
            "systemctl restart a;id",
            "systemctl restart $(id)",
            "systemctl restart `id`",
            "systemctl restart 'a",
            "systemctl restart \"a\"",
            "systemctl restart a\\",
            "systemctl restart a\nid",
            "systemctl restart a\tb",
            "systemctl restart --now",
            "systemctl restart *",
            "systemctl restart ~root",
            "systemctl restart é",
            "systemctl  restart a",
            "du -s /srv;id | sort",
        ] {
            assert!(!channels.exec(command.as_bytes()), "{command:?}");
        }
        assert!(!channels.exec(b"uptime\xff"));
        assert!(!with(&SshTerms { exec: Allowed::none(), ..SshTerms::default() }).exec(b""));
    }

    #[test]
    fn ports_lead_only_where_a_list_says() {
        let local = Some(only(&["db.corp:5432", "*:80", "web:*", "[fd00::1]:22", "app:8000-8100"]));
        let channels = with(&SshTerms { local, ..SshTerms::default() });
        for (host, port) in
            [("db.corp", 5432), ("DB.corp", 5432), ("any", 80), ("web", 9), ("fd00::1", 22)]
        {
            assert!(channels.local(host, port), "{host}:{port}");
        }
        let ports = [(7999, false), (8000, true), (8100, true), (8101, false), (73_536, false)];
        for (port, leads) in ports {
            assert_eq!(channels.local("app", port), leads, "{port}");
        }
        for (host, port) in [("db.corp", 5433), ("xdb.corp", 5432), ("", 22), ("fd00::2", 22)] {
            assert!(!channels.local(host, port), "{host}:{port}");
        }
    }

    #[test]
    fn variables_pass_by_name_and_by_beginning() {
        let environment = only(&["LANG", "LC_*"]);
        let channels = with(&SshTerms { environment, ..SshTerms::default() });
        assert!(["LANG", "LC_ALL"].iter().all(|name| channels.environment(name)));
        let others = ["LANGUAGE", "LD_PRELOAD", "", "lang", "XLC_ALL"];
        assert!(!others.iter().any(|name| channels.environment(name)));
    }

    #[test]
    fn they_read_as_they_were_written_and_are_told_in_a_few_words() {
        let ways = ["publickey,token", "certificate"].map(|way| way.parse().ok());
        let terms = SshTerms {
            authentication: Some(ways.into_iter().flatten().collect()),
            shell: false,
            exec: only(&["uptime", "df -h"]),
            sftp: Some(Sftp::Read),
            scp: Some(false),
            local: Some(Allowed::none()),
            remote: Some(true),
            agent: Some(false),
            x11: true,
            streamlocal: true,
            environment: only(&["LC_*"]),
            file_hashes: true,
        };
        let text = serde_json::to_string(&terms).unwrap_or_default();
        assert_eq!(serde_json::from_str::<SshTerms>(&text).ok(), Some(terms.clone()), "{text}");
        assert_eq!(
            terms.to_string(),
            "authentication publickey,token or certificate, shell no, exec \"df -h\" \"uptime\", sftp read, scp no, local none, remote yes, \
             agent no, x11 yes, streamlocal yes, environment \"LC_*\", file_hashes yes"
        );
        assert_eq!(serde_json::from_str::<SshTerms>("{}").ok(), Some(SshTerms::default()));
        for wrong in [
            r#"{"exec":"some"}"#,
            r#"{"exec":1}"#,
            r#"{"sftp":"rw"}"#,
            r#"{"X11":true}"#,
            r#"{"authentication":["password"]}"#,
        ] {
            assert!(serde_json::from_str::<SshTerms>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_nobody_can_mean_is_told() {
        let many: Vec<_> = (0..65).map(|n| format!("run{n}")).collect();
        let wrong = SshTerms {
            exec: only(&["* x", "", " ls", "a\0b"]),
            local: Some(only(&[
                "db", "db:0", ":22", "db:70000", "a b:1", "*:*", "db:9-8", "db:8-*",
            ])),
            environment: only(&["A B", "*", "LC_*_X", ""]),
            ..SshTerms::default()
        };
        assert_eq!(wrong.mistakes().len(), 4 + 7 + 3, "{:?}", wrong.mistakes());
        let wrong = SshTerms { exec: Allowed::from(many), ..SshTerms::default() };
        assert_eq!(wrong.mistakes().len(), 1);
        assert!(SshTerms::default().mistakes().is_empty());
    }
}
