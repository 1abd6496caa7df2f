//! The log of a program: its level, its form, and where it goes; and what a service manager is told.

mod lines;
pub mod manager;

use std::fmt;
use std::io::{IsTerminal, stderr};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use lines::Lines;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::reload::Handle;
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

/// The log is gone, as at the very end of the program.
#[derive(Debug, thiserror::Error)]
#[error("the log is no longer there")]
pub struct Gone;

/// The running log, whose level can be changed. Cheap to clone.
#[derive(Clone)]
pub struct Log {
    level: Arc<Mutex<Level>>,
    reload: Arc<dyn Fn(EnvFilter) -> Result<(), Gone> + Send + Sync>,
}

/// Starts logging to stderr: stdout is for data. `ADIT_LOG` wins over `level` where it is set.
pub fn init(level: &Level, format: Format) -> Result<Log, StartedTwice> {
    let level = from_environment().unwrap_or_else(|| level.clone());
    // Colours are for eyes: in a file or a journal they hide the words from searches.
    let colours = stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(level.filter())
        .with_writer(Lines { to: stderr, format, colours })
        .with_ansi(colours);
    let (started, log) = match format {
        Format::Text => {
            let builder = builder.with_filter_reloading();
            let log = Log::new(level, builder.reload_handle());
            (builder.finish().try_init(), log)
        }
        Format::Json => {
            let builder = builder.json().flatten_event(true).with_filter_reloading();
            let log = Log::new(level, builder.reload_handle());
            (builder.finish().try_init(), log)
        }
    };
    started.map(|()| log).map_err(|_| StartedTwice)
}

/// The level that `ADIT_LOG` asks for.
pub fn from_environment() -> Option<Level> {
    std::env::var("ADIT_LOG").ok().and_then(|text| text.parse().ok())
}

impl Log {
    /// A log that goes nowhere.
    pub fn silent() -> Self {
        Self { level: Arc::default(), reload: Arc::new(|_| Ok(())) }
    }

    fn new<S: 'static>(level: Level, handle: Handle<EnvFilter, S>) -> Self {
        let reload = move |filter| handle.reload(filter).map_err(|_| Gone);
        Self { level: Arc::new(Mutex::new(level)), reload: Arc::new(reload) }
    }

    /// What is logged now.
    pub fn level(&self) -> Level {
        self.level.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes what is logged from now on, and says what was logged before.
    pub fn set_level(&self, level: &Level) -> Result<Level, Gone> {
        let mut current = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        (self.reload)(level.filter())?;
        Ok(std::mem::replace(&mut *current, level.clone()))
    }
}

impl Level {
    fn filter(&self) -> EnvFilter {
        EnvFilter::new(&self.0)
    }
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
