//! What holds for the whole relay.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use access::Kind;
use serde::{Deserialize, Serialize};

/// `GET /settings`, the body of `PATCH /settings` and a document's `[settings]`. What is absent
/// stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct SettingsSpec {
    /// Days until an SSH key that a user registers expires, 1 to 3650.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssh_key_days: Option<u32>,
    /// Hours that a certificate for an agent's SSH key is good, 1 to 168.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssh_certificate_hours: Option<u32>,
    /// Minutes without a request after which a browser is signed in no more, 1 to 43200.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sign_in_idle_minutes: Option<u32>,
    /// Hours after which a browser is signed in no more, whatever it does, 1 to 720.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sign_in_hours: Option<u32>,
    /// Days that recordings are kept after their end, but those of desktops, up to 3650; 0: nothing
    /// deletes them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recording_days: Option<u32>,
    /// The same of desktops, whose recordings are large.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub desktop_recording_days: Option<u32>,
    /// Seconds that a terminal in a browser goes on after its line broke, 0 to 3600.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub terminal_grace_seconds: Option<u32>,
    /// Who is asked for a second factor besides a password: `optional` (who has one), `admins` (they,
    /// auditors and approvers) or `everybody`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub second_factor: Option<SecondFactorRule>,
    /// Rules for access tokens, by the door they are for.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tokens: BTreeMap<DoorKind, TokenRulesSpec>,
}

/// Rules for the access tokens of one kind of door.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct TokenRulesSpec {
    /// Hours until a new token is needed, 1 to 720.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hours: Option<u32>,
    /// Whether one may be used more than once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reusable: Option<bool>,
}

/// Who has to have a second factor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum SecondFactorRule {
    #[default]
    Optional,
    Admins,
    Everybody,
}

/// Doors as settings tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum DoorKind {
    Ssh,
    Rdp,
    Database,
    Web,
    Tcp,
}

/// Why a text sets nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    #[error(
        "there is no setting {0}; there are ssh_key_days, ssh_certificate_hours, sign_in_idle_minutes, \
         sign_in_hours, recording_days, desktop_recording_days, terminal_grace_seconds, second_factor, tokens.DOOR.hours and tokens.DOOR.reusable, where DOOR is ssh, rdp, database, web or tcp"
    )]
    Unknown(String),
    #[error("{key}: {value:?} is not a whole number")]
    Number { key: String, value: String },
    #[error("{key}: {value:?} is not true or false")]
    Flag { key: String, value: String },
    #[error("second_factor: {0:?} is not optional, admins or everybody")]
    SecondFactor(String),
}

impl SettingsSpec {
    /// The settings that are given, by their keys: `tokens.ssh.hours` and `12`.
    pub fn entries(&self) -> Vec<(String, String)> {
        let numbers = [
            ("ssh_key_days", self.ssh_key_days),
            ("ssh_certificate_hours", self.ssh_certificate_hours),
            ("sign_in_idle_minutes", self.sign_in_idle_minutes),
            ("sign_in_hours", self.sign_in_hours),
            ("recording_days", self.recording_days),
            ("desktop_recording_days", self.desktop_recording_days),
            ("terminal_grace_seconds", self.terminal_grace_seconds),
        ];
        let numbers = numbers.into_iter();
        let numbers = numbers.filter_map(|(key, n)| Some((key.to_owned(), n?.to_string())));
        let second = self.second_factor.map(|rule| ("second_factor".to_owned(), rule.to_string()));
        let rules = self.tokens.iter().flat_map(|(door, rules)| {
            let hours = rules.hours.map(|hours| ("hours", hours.to_string()));
            let reusable = rules.reusable.map(|reusable| ("reusable", reusable.to_string()));
            let given = [hours, reusable].into_iter().flatten();
            given.map(move |(rule, value)| (format!("tokens.{door}.{rule}"), value))
        });
        numbers.chain(second).chain(rules).collect()
    }

    /// Sets one, as [`entries`](Self::entries) has them.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), SettingError> {
        let unknown = || SettingError::Unknown(key.to_owned());
        match key.split('.').collect::<Vec<_>>()[..] {
            ["ssh_key_days"] => self.ssh_key_days = Some(number(key, value)?),
            ["ssh_certificate_hours"] => self.ssh_certificate_hours = Some(number(key, value)?),
            ["sign_in_idle_minutes"] => self.sign_in_idle_minutes = Some(number(key, value)?),
            ["sign_in_hours"] => self.sign_in_hours = Some(number(key, value)?),
            ["recording_days"] => self.recording_days = Some(number(key, value)?),
            ["desktop_recording_days"] => self.desktop_recording_days = Some(number(key, value)?),
            ["terminal_grace_seconds"] => self.terminal_grace_seconds = Some(number(key, value)?),
            ["second_factor"] => self.second_factor = Some(value.parse()?),
            ["tokens", door, "hours"] => {
                let hours = number(key, value)?;
                self.rules(door).ok_or_else(unknown)?.hours = Some(hours);
            }
            ["tokens", door, "reusable"] => {
                let reusable = flag(key, value)?;
                self.rules(door).ok_or_else(unknown)?.reusable = Some(reusable);
            }
            _ => return Err(unknown()),
        }
        Ok(())
    }

    fn rules(&mut self, door: &str) -> Option<&mut TokenRulesSpec> {
        Some(self.tokens.entry(door.parse().ok()?).or_default())
    }
}

impl fmt::Display for SecondFactorRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Optional => "optional",
            Self::Admins => "admins",
            Self::Everybody => "everybody",
        })
    }
}

impl FromStr for SecondFactorRule {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        let all = [Self::Optional, Self::Admins, Self::Everybody];
        let found = all.into_iter().find(|rule| rule.to_string() == text);
        found.ok_or_else(|| SettingError::SecondFactor(text.to_owned()))
    }
}

impl DoorKind {
    pub const ALL: [Self; 5] = [Self::Ssh, Self::Rdp, Self::Database, Self::Web, Self::Tcp];

    /// The door for applications of a kind.
    pub fn of(kind: Kind) -> Self {
        match kind {
            Kind::Ssh => Self::Ssh,
            Kind::Rdp => Self::Rdp,
            Kind::Postgres | Kind::Mysql | Kind::Redis => Self::Database,
            Kind::Web => Self::Web,
            Kind::Tcp => Self::Tcp,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ssh => "ssh",
            Self::Rdp => "rdp",
            Self::Database => "database",
            Self::Web => "web",
            Self::Tcp => "tcp",
        }
    }
}

impl fmt::Display for DoorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for DoorKind {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        let mut all = Self::ALL.into_iter();
        let found = all.find(|door| door.as_str() == text);
        found.ok_or_else(|| SettingError::Unknown(format!("tokens.{text}")))
    }
}

fn number(key: &str, value: &str) -> Result<u32, SettingError> {
    let wrong = |_| SettingError::Number { key: key.to_owned(), value: value.to_owned() };
    value.parse().map_err(wrong)
}

fn flag(key: &str, value: &str) -> Result<bool, SettingError> {
    let wrong = |_| SettingError::Flag { key: key.to_owned(), value: value.to_owned() };
    value.parse().map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_read_as_they_are_told() {
        let mut spec = SettingsSpec::default();
        let told = [
            ("ssh_key_days", "30"),
            ("ssh_certificate_hours", "4"),
            ("sign_in_idle_minutes", "15"),
            ("sign_in_hours", "10"),
            ("recording_days", "180"),
            ("desktop_recording_days", "7"),
            ("second_factor", "admins"),
            ("tokens.ssh.hours", "8"),
            ("tokens.ssh.reusable", "true"),
            ("tokens.database.hours", "4"),
        ];
        for (key, value) in told {
            spec.set(key, value).unwrap();
        }
        let entries = spec.entries();
        let entries: Vec<_> =
            entries.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(entries, told);
        let json = serde_json::to_string(&spec).unwrap();
        assert_eq!(serde_json::from_str::<SettingsSpec>(&json).unwrap(), spec);
    }

    #[test]
    fn what_sets_nothing_is_told_by_its_kind() {
        let mut spec = SettingsSpec::default();
        for unknown in ["", "ssh_key_day", "tokens", "tokens.ftp.hours", "tokens.ssh.uses", "a.b.c"]
        {
            assert!(matches!(spec.set(unknown, "1"), Err(SettingError::Unknown(_))), "{unknown}");
        }
        for number in ["", "-1", "1.5", "ten", "4294967296"] {
            let set = spec.set("ssh_key_days", number);
            assert!(matches!(set, Err(SettingError::Number { .. })), "{number}");
        }
        let set = spec.set("tokens.ssh.reusable", "yes");
        assert!(matches!(set, Err(SettingError::Flag { .. })));
        let set = spec.set("second_factor", "yes");
        assert!(matches!(set, Err(SettingError::SecondFactor(_))));
        assert_eq!(spec, SettingsSpec::default());
    }
}
