//! The terms of a grant rule, and what they are held against.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::hours::Open;
use crate::{Application, Channels, Context, Hours, Keeps, Kind, Proof, SshTerms};

/// Under which terms. A term that is absent restricts nothing; an empty list allows nobody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Terms {
    /// Accounts at the target that may be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logins: Option<Vec<String>>,
    /// Whether ports and the agent may be forwarded.
    pub forwarding: bool,
    /// Whether files may be transferred by what is made for it: sftp, scp, rsync, and the drives that
    /// a desktop is shown.
    pub file_transfer: bool,
    /// What may be done on an SSH connection, one by one.
    #[serde(skip_serializing_if = "is_default")]
    pub ssh: SshTerms,
    /// The most that may be done in a database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
    /// Databases that may be opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub databases: Option<Vec<String>>,
    #[serde(skip_serializing_if = "is_default")]
    pub clipboard: Clipboard,
    /// Whether a desktop may print at its user's printers.
    #[serde(skip_serializing_if = "is_true")]
    pub printer: bool,
    /// Whether a desktop's sound is heard by its user, and their microphone by the desktop.
    #[serde(skip_serializing_if = "is_true")]
    pub audio: bool,
    #[serde(skip_serializing_if = "is_default")]
    pub recording: Recording,
    /// Whether the user must be signed in for as long as the session lasts.
    #[serde(skip_serializing_if = "is_default")]
    pub require_active_session: bool,
    /// Networks the user may come from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sources: Option<Vec<IpNet>>,
    /// The longest session, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_session: Option<u64>,
    /// How long a session may carry no byte, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle: Option<u64>,
    /// Not before, in Unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<u64>,
    /// Not from then on, in Unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<u64>,
    /// Weekdays and hours at which sessions may be open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hours: Option<Hours>,
}

/// What may be done in a database, from least to most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Read.
    Viewer,
    /// Read and change rows.
    Editor,
    /// Everything, tables and rights too.
    Owner,
}

/// Which way a clipboard may carry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Clipboard {
    Off,
    ToTarget,
    FromTarget,
    #[default]
    Both,
}

/// Whether sessions are recorded.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Recording {
    #[default]
    Off,
    /// No recording, no session.
    Required,
    /// The same, and what is typed at terminals is kept too.
    WithInput,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            logins: None,
            forwarding: false,
            file_transfer: true,
            ssh: SshTerms::default(),
            level: None,
            databases: None,
            clipboard: Clipboard::Both,
            printer: true,
            audio: true,
            recording: Recording::Off,
            require_active_session: false,
            sources: None,
            max_session: None,
            idle: None,
            valid_from: None,
            valid_until: None,
            hours: None,
        }
    }
}

impl Terms {
    /// The terms under which `facts` fall short at `now`, the hardest to meet first.
    pub(crate) fn shortfalls(&self, facts: &Facts<'_>, now: SystemTime) -> Vec<Shortfall> {
        let not_yet = self.valid_from().is_some_and(|from| now < from);
        let over = self.valid_until().is_some_and(|until| now >= until);
        let closed = self.hours.as_ref().is_some_and(|hours| hours.open(now) == Open::No);
        let foreign = self.sources.as_ref().is_some_and(|nets| match facts.from {
            Some(from) => !contains(nets, from),
            None => nets.is_empty(),
        });
        let login = self.logins.as_ref().is_some_and(|logins| match facts.login(self.level) {
            Shown::As(login) => !logins.iter().any(|allowed| allowed == login),
            // Raw bytes show no login, so a rule that limits logins can not be kept over them.
            Shown::Raw => true,
            Shown::Unasked => logins.is_empty(),
        });
        // Nor do they show what of SSH runs in them.
        let raw = facts.application.kind == Kind::Ssh && facts.login == Shown::Raw;
        let unrecorded = self.recording != Recording::Off && !facts.keeps.recording;
        let checks = [
            (over, Shortfall::NoLongerValid),
            (not_yet, Shortfall::NotYetValid),
            (closed, Shortfall::Hours),
            (foreign, Shortfall::Source),
            (unrecorded, Shortfall::Recording),
            (self.clipboard != Clipboard::Both && !facts.keeps_clipboard(), Shortfall::Clipboard),
            (!self.printer && !facts.keeps_devices(), Shortfall::Printer),
            (!self.audio && !facts.keeps_devices(), Shortfall::Audio),
            (!facts.opens_one_of(self.databases.as_deref()), Shortfall::Databases),
            (!facts.keeps_level(self.level), Shortfall::Level),
            (raw && self.ssh.limits(), Shortfall::Ssh),
            (!self.file_transfer && (raw || !facts.keeps_files()), Shortfall::FileTransfer),
            (login, Shortfall::Login),
            (self.require_active_session && !facts.signed_in, Shortfall::Session),
            (!raw && self.asks_more_than(facts), Shortfall::Authentication),
        ];
        checks.into_iter().filter_map(|(short, term)| short.then_some(term)).collect()
    }

    // Other doors have no such questions.
    fn asks_more_than(&self, facts: &Facts<'_>) -> bool {
        facts.application.kind == Kind::Ssh
            && facts.proofs.is_some_and(|shown| !self.ssh.lets_in(shown))
    }

    /// What is allowed on an SSH connection.
    pub fn channels(&self) -> Channels {
        self.ssh.channels(self.forwarding, self.file_transfer)
    }

    /// When the hours in which `now` lies end; `None`: they do not.
    pub(crate) fn closes(&self, now: SystemTime) -> Option<SystemTime> {
        match self.hours.as_ref()?.open(now) {
            Open::No => Some(now),
            Open::Until(end) => Some(end),
            Open::Always => None,
        }
    }

    pub(crate) fn valid_from(&self) -> Option<SystemTime> {
        self.valid_from.map(unix)
    }

    pub(crate) fn valid_until(&self) -> Option<SystemTime> {
        self.valid_until.map(unix)
    }
}

impl Level {
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Editor, Self::Owner];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Editor => "editor",
            Self::Owner => "owner",
        }
    }
}

impl Clipboard {
    pub const ALL: [Self; 4] = [Self::Off, Self::ToTarget, Self::FromTarget, Self::Both];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::ToTarget => "to-target",
            Self::FromTarget => "from-target",
            Self::Both => "both",
        }
    }

    /// How many ways it may carry.
    pub(crate) fn ways(self) -> u8 {
        match self {
            Self::Off => 0,
            Self::ToTarget | Self::FromTarget => 1,
            Self::Both => 2,
        }
    }

    /// Whether it may carry all that `other` may.
    pub(crate) fn covers(self, other: Self) -> bool {
        self == Self::Both || other == Self::Off || self == other
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Level {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|level| level.as_str() == text);
        found.ok_or_else(|| format!("unknown level {text:?}; one of viewer, editor, owner"))
    }
}

impl fmt::Display for Clipboard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Clipboard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|way| way.as_str() == text);
        found.ok_or_else(|| {
            format!("unknown clipboard {text:?}; one of off, to-target, from-target, both")
        })
    }
}

impl FromStr for Recording {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|it| it.as_str() == text);
        found.ok_or_else(|| format!("unknown recording {text:?}; one of off, required, with-input"))
    }
}

impl Recording {
    /// From the least that is kept to the most.
    pub const ALL: [Self; 3] = [Self::Off, Self::Required, Self::WithInput];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Required => "required",
            Self::WithInput => "with-input",
        }
    }
}

/// What terms are held against besides the time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) application: &'a Application,
    /// `None`: not asked.
    pub(crate) from: Option<IpAddr>,
    pub(crate) login: Shown<'a>,
    /// The database that is opened; `None`: not asked, or not known.
    pub(crate) database: Option<&'a str>,
    pub(crate) keeps: Keeps,
    pub(crate) signed_in: bool,
    /// How they signed in, in order. `None`: not asked.
    pub(crate) proofs: Option<&'a [Proof]>,
}

/// What is known of the account at the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown<'a> {
    As(&'a str),
    /// The bytes do not show it.
    Raw,
    Unasked,
}

impl<'a> Facts<'a> {
    pub(crate) fn of(
        context: &'a Context,
        application: &'a Application,
        proofs: &'a [Proof],
        signed_in: bool,
    ) -> Self {
        let login = context.login.as_deref().map_or(Shown::Raw, Shown::As);
        let (from, keeps) = (Some(context.from), context.keeps);
        let (database, proofs) = (context.database.as_deref(), Some(proofs));
        Self { application, from, login, database, keeps, signed_in, proofs }
    }

    // A shell opens no database. Raw bytes may be those of one, whatever the application's kind is.
    fn keeps_databases(&self) -> bool {
        self.is_shell() || self.keeps.databases
    }

    fn is_shell(&self) -> bool {
        self.application.kind == Kind::Ssh && self.login != Shown::Raw
    }

    fn opens_one_of(&self, databases: Option<&[String]>) -> bool {
        let Some(databases) = databases else { return true };
        let named = match self.database {
            Some(opened) => databases.iter().any(|name| name == opened),
            None => true,
        };
        named && self.keeps_databases()
    }

    // What may be done is the database's to hold, by the account that is logged in.
    fn keeps_level(&self, level: Option<Level>) -> bool {
        let application = self.application;
        let mapped = || !application.kind.is_database() || application.account(level).is_some();
        level.is_none() || self.is_shell() || (self.keeps.databases && mapped())
    }

    /// The account under a rule of this level: a door that logs in itself chooses it.
    fn login(&self, level: Option<Level>) -> Shown<'a> {
        let ours = self.application.account(level).filter(|_| self.keeps.databases);
        ours.map_or(self.login, Shown::As)
    }

    fn keeps_files(&self) -> bool {
        self.application.kind != Kind::Rdp || self.keeps.files
    }

    fn keeps_clipboard(&self) -> bool {
        self.application.kind != Kind::Rdp || self.keeps.clipboard
    }

    fn keeps_devices(&self) -> bool {
        self.application.kind != Kind::Rdp || self.keeps.devices
    }
}

/// By which term a rule fell short. In the order of what it takes to meet them: signing in, another
/// login, a way that shows what is done, another place, another time, a changed rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Shortfall {
    /// First, so that it is told only to whom nothing else is missing.
    Authentication,
    /// The same.
    Session,
    Login,
    FileTransfer,
    Ssh,
    Level,
    Databases,
    Clipboard,
    Printer,
    Audio,
    Recording,
    Source,
    Hours,
    NotYetValid,
    NoLongerValid,
}

impl Shortfall {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Authentication => "authentication",
            Self::Session => "session",
            Self::Login => "login",
            Self::FileTransfer => "file-transfer",
            Self::Ssh => "ssh",
            Self::Level => "level",
            Self::Databases => "databases",
            Self::Clipboard => "clipboard",
            Self::Printer => "printer",
            Self::Audio => "audio",
            Self::Recording => "recording",
            Self::Source => "source",
            Self::Hours => "hours",
            Self::NotYetValid => "valid-from",
            Self::NoLongerValid => "valid-until",
        }
    }
}

fn contains(nets: &[IpNet], address: IpAddr) -> bool {
    let address = address.to_canonical();
    nets.iter().any(|net| net.contains(&address))
}

// Seconds past what SystemTime can hold mean "never" for every practical clock.
fn unix(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.min(u64::from(u32::MAX) * 64))
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over so")]
fn is_true(value: &bool) -> bool {
    *value
}
