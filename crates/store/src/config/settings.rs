//! What holds for the whole relay.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use access::Kind;
use api::{DoorKind, SecondFactorRule, SettingsSpec, TokenRulesSpec};
use sqlx::Row as _;

use crate::db::Connection;
use crate::{Problem, Store, StoreError};

/// The settings in force. They are part of the configuration and of its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Days until an SSH key that a user registers expires.
    pub ssh_key_days: u32,
    /// Hours that a certificate for an agent's SSH key is good.
    pub ssh_certificate_hours: u32,
    /// Minutes without a request after which a browser is signed in no more.
    pub sign_in_idle_minutes: u32,
    /// Hours after which a browser is signed in no more, whatever it does.
    pub sign_in_hours: u32,
    /// Days that recordings are kept after their end, but those of desktops; 0: nothing deletes them.
    pub recording_days: u32,
    /// The same of desktops.
    pub desktop_recording_days: u32,
    /// Seconds that a terminal in a browser goes on after its line broke.
    pub terminal_grace_seconds: u32,
    /// Who has to show a second factor besides a password.
    pub second_factor: SecondFactorRule,
    tokens: BTreeMap<DoorKind, TokenRules>,
}

/// How long and how often access tokens of one kind of door are good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenRules {
    /// Hours until a new token is needed.
    pub hours: u32,
    /// Whether one may be used more than once.
    pub reusable: bool,
}

impl Store {
    pub async fn settings(&self) -> Result<Settings, StoreError> {
        let mut tx = self.reading().await?;
        Settings::load(&mut tx).await
    }
}

impl Settings {
    /// The rules for tokens to applications of a kind.
    pub fn tokens(&self, kind: Kind) -> TokenRules {
        self.tokens.get(&DoorKind::of(kind)).copied().unwrap_or_default()
    }

    /// How long an SSH key is good where nobody said, and at most where its owner did.
    pub fn ssh_key_life(&self) -> Duration {
        Duration::from_secs(u64::from(self.ssh_key_days) * 24 * 3600)
    }

    /// How long a certificate for an agent's SSH key is good.
    pub fn ssh_certificate_life(&self) -> Duration {
        Duration::from_secs(u64::from(self.ssh_certificate_hours) * 3600)
    }

    /// How long a recording is kept after its end; `None`: for ever.
    pub fn recording_life(&self) -> Option<Duration> {
        life(self.recording_days)
    }

    /// The same of a desktop's.
    pub fn desktop_recording_life(&self) -> Option<Duration> {
        life(self.desktop_recording_days)
    }

    /// All of them, as documents have them.
    pub fn spec(&self) -> SettingsSpec {
        let rules = |rules: &TokenRules| TokenRulesSpec {
            hours: Some(rules.hours),
            reusable: Some(rules.reusable),
        };
        SettingsSpec {
            ssh_key_days: Some(self.ssh_key_days),
            ssh_certificate_hours: Some(self.ssh_certificate_hours),
            sign_in_idle_minutes: Some(self.sign_in_idle_minutes),
            sign_in_hours: Some(self.sign_in_hours),
            recording_days: Some(self.recording_days),
            desktop_recording_days: Some(self.desktop_recording_days),
            terminal_grace_seconds: Some(self.terminal_grace_seconds),
            second_factor: Some(self.second_factor),
            tokens: self.tokens.iter().map(|(door, own)| (*door, rules(own))).collect(),
        }
    }

    /// These with what `spec` gives.
    pub(super) fn with(mut self, spec: &SettingsSpec) -> Self {
        self.ssh_key_days = spec.ssh_key_days.unwrap_or(self.ssh_key_days);
        self.ssh_certificate_hours =
            spec.ssh_certificate_hours.unwrap_or(self.ssh_certificate_hours);
        self.sign_in_idle_minutes = spec.sign_in_idle_minutes.unwrap_or(self.sign_in_idle_minutes);
        self.sign_in_hours = spec.sign_in_hours.unwrap_or(self.sign_in_hours);
        self.recording_days = spec.recording_days.unwrap_or(self.recording_days);
        self.desktop_recording_days =
            spec.desktop_recording_days.unwrap_or(self.desktop_recording_days);
        self.terminal_grace_seconds =
            spec.terminal_grace_seconds.unwrap_or(self.terminal_grace_seconds);
        self.second_factor = spec.second_factor.unwrap_or(self.second_factor);
        for (door, given) in &spec.tokens {
            let rules = self.tokens.entry(*door).or_default();
            rules.hours = given.hours.unwrap_or(rules.hours);
            rules.reusable = given.reusable.unwrap_or(rules.reusable);
        }
        self
    }

    pub(super) async fn load(db: &mut Connection) -> Result<Self, StoreError> {
        let mut spec = SettingsSpec::default();
        for row in sqlx::query("SELECT name, value FROM settings").fetch_all(db).await? {
            let (name, value): (String, String) = (row.try_get("name")?, row.try_get("value")?);
            spec.set(&name, &value).map_err(|error| StoreError::Corrupt {
                what: "settings",
                detail: error.to_string(),
            })?;
        }
        Ok(Self::default().with(&spec))
    }

    /// What becomes of each setting that `after` has otherwise: key, value, new value.
    pub(super) fn changes(&self, after: &Self) -> Vec<(String, String, String)> {
        let (from, to) = (self.spec().entries(), after.spec().entries());
        let both = from.into_iter().zip(to).filter(|(from, to)| from != to);
        both.map(|((key, from), (_, to))| (key, from, to)).collect()
    }
}

impl Default for Settings {
    fn default() -> Self {
        let tokens = DoorKind::ALL.map(|door| (door, TokenRules::default())).into();
        Self {
            ssh_key_days: 99,
            ssh_certificate_hours: 8,
            sign_in_idle_minutes: 60,
            sign_in_hours: 8,
            recording_days: 0,
            desktop_recording_days: 30,
            terminal_grace_seconds: 60,
            second_factor: SecondFactorRule::Optional,
            tokens,
        }
    }
}

fn life(days: u32) -> Option<Duration> {
    (days > 0).then(|| Duration::from_secs(u64::from(days) * 24 * 3600))
}

impl Default for TokenRules {
    fn default() -> Self {
        Self { hours: 12, reusable: false }
    }
}

/// Reports each value that is out of its range.
pub(super) fn check(spec: &SettingsSpec, problems: &mut Vec<Problem>) {
    let mut check = |key: String, value: Option<u32>, range: RangeInclusive<u32>| {
        if let Some(value) = value.filter(|value| !range.contains(value)) {
            let (first, last) = range.into_inner();
            let detail = format!("{key}: {value} is not between {first} and {last}");
            problems.push(Problem::new("settings", "settings.value", detail));
        }
    };
    check("ssh_key_days".to_owned(), spec.ssh_key_days, 1..=MOST_DAYS);
    let certificate = spec.ssh_certificate_hours;
    check("ssh_certificate_hours".to_owned(), certificate, 1..=WEEK);
    let idle = spec.sign_in_idle_minutes;
    check("sign_in_idle_minutes".to_owned(), idle, 1..=MOST_HOURS * 60);
    check("sign_in_hours".to_owned(), spec.sign_in_hours, 1..=MOST_HOURS);
    check("recording_days".to_owned(), spec.recording_days, 0..=MOST_DAYS);
    let desktops = spec.desktop_recording_days;
    check("desktop_recording_days".to_owned(), desktops, 0..=MOST_DAYS);
    let grace = spec.terminal_grace_seconds;
    check("terminal_grace_seconds".to_owned(), grace, 0..=MOST_GRACE);
    for (door, rules) in &spec.tokens {
        check(format!("tokens.{door}.hours"), rules.hours, 1..=MOST_HOURS);
    }
}

pub(super) async fn put(db: &mut Connection, key: &str, value: &str) -> Result<(), StoreError> {
    sqlx::query(PUT).bind(key).bind(value).execute(db).await?;
    Ok(())
}

const PUT: &str = "INSERT INTO settings (name, value) VALUES ($1, $2)
    ON CONFLICT (name) DO UPDATE SET value = excluded.value";

/// An hour.
const MOST_GRACE: u32 = 3600;
const WEEK: u32 = 7 * 24;
/// Ten years.
const MOST_DAYS: u32 = 3650;
/// What an admin may give a single token, too.
const MOST_HOURS: u32 = 30 * 24;
