//! The log of a program: its level, its form, and where it goes.

use std::fmt;
use std::io::{IsTerminal, stderr};
use std::str::FromStr;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

/// What is logged: a level (`info`) or directives (`info,adit_relay=debug`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Level(String);

/// How a line of the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Why a text is not a level.
#[derive(Debug, thiserror::Error)]
#[error(
    "a level is error, warn, info, debug or trace, or directives such as info,adit_relay=debug"
)]
pub struct LevelError;

/// Why a text is not a format.
#[derive(Debug, thiserror::Error)]
#[error("a format is text or json")]
pub struct FormatError;

/// Logging was started before.
#[derive(Debug, thiserror::Error)]
#[error("logging was started twice")]
pub struct StartedTwice;

/// Starts logging to stderr: stdout is for data. `ADIT_LOG` wins over `level` where it is set.
pub fn init(level: &Level, format: Format) -> Result<(), StartedTwice> {
    let wanted = std::env::var("ADIT_LOG").ok().and_then(|text| text.parse::<Level>().ok());
    let filter = EnvFilter::new(wanted.as_ref().unwrap_or(level).0.as_str());
    // Colours are for eyes: in a file or a journal they hide the words from searches.
    let colours = stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr).with_ansi(colours);
    let started = match format {
        Format::Text => builder.finish().try_init(),
        Format::Json => builder.json().flatten_event(true).finish().try_init(),
    };
    started.map_err(|_| StartedTwice)
}

impl Default for Level {
    fn default() -> Self {
        Self("info".to_owned())
    }
}

impl FromStr for Level {
    type Err = LevelError;

    fn from_str(text: &str) -> Result<Self, LevelError> {
        // The filter takes a word that is no level for the name of a module, and logs nothing.
        let bare = !text.contains(['=', ',']);
        let known = ["error", "warn", "info", "debug", "trace", "off"].contains(&text);
        match text.parse::<EnvFilter>() {
            Ok(_) if !bare || known => Ok(Self(text.to_owned())),
            Ok(_) | Err(_) => Err(LevelError),
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Format {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(FormatError),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_that_would_log_nothing_is_refused() {
        for good in ["info", "off", "info,adit_relay=debug", "quinn=warn"] {
            assert!(good.parse::<Level>().is_ok(), "{good}");
        }
        for bad in ["", "verbose", "info,=", "adit_relay=loud"] {
            assert!(bad.parse::<Level>().is_err(), "{bad}");
        }
    }
}
