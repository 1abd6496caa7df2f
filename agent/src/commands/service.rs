//! `adit tunnel APP --fixed --service …`: a tunnel that the user's systemd keeps open.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::files;

/// What to do about the unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Service {
    /// Write it, and say how to start it
    Install,
    /// Remove it
    Remove,
    /// Print it
    Print,
}

/// Does that for the tunnel that is opened with these words: `tunnel APP --fixed`.
pub(super) fn run(
    service: Service,
    label: &str,
    words: &[&str],
    context: &Context,
) -> Result<(), Failure> {
    let name = format!("adit-{label}.service");
    let file = folder()?.join(&name);
    match service {
        Service::Print => context.ui.data(unit(label, words, context)?.trim_end()),
        Service::Install => {
            let text = unit(label, words, context)?;
            let dir = file.parent().unwrap_or(Path::new("."));
            std::fs::create_dir_all(dir)?;
            files::replace(&file, text.as_bytes())?;
            context.ui.say(format_args!("Wrote {}.", file.display()));
            context.ui.say(format_args!("Start it with: systemctl --user enable --now {name}"));
            Ok(())
        }
        Service::Remove => {
            files::remove(&file)?;
            context.ui.say(format_args!("Removed {}.", file.display()));
            context.ui.say(format_args!("End it with: systemctl --user disable --now {name}"));
            Ok(())
        }
    }
}

fn unit(label: &str, words: &[&str], context: &Context) -> Result<String, Failure> {
    let program = std::env::current_exe()?;
    let environment = context.settings.for_children();
    let environment: Vec<(&str, String)> = environment
        .iter()
        .map(|(name, value)| (*name, value.to_string_lossy().into_owned()))
        .collect();
    Ok(text(label, &program, words, &environment))
}

fn text(label: &str, program: &Path, words: &[&str], environment: &[(&str, String)]) -> String {
    let mut out = format!(
        "[Unit]\nDescription=Adit tunnel to {label}\nAfter=network-online.target\n\n[Service]\n"
    );
    for (name, value) in environment {
        let _ = writeln!(out, "Environment={}", quoted(&format!("{name}={value}")));
    }
    let program = program.display().to_string();
    let command: Vec<_> = std::iter::once(program.as_str()).chain(words.iter().copied()).collect();
    let command: Vec<_> = command.into_iter().map(quoted).collect();
    let _ = writeln!(out, "ExecStart={}", command.join(" "));
    out + "Restart=on-failure\nRestartSec=10\n\n[Install]\nWantedBy=default.target\n"
}

/// A word of a unit file (systemd.syntax(7), systemd.unit(5)).
fn quoted(word: &str) -> String {
    let plain =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '/' | '.' | '=' | ':');
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    let escaped = word.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{}\"", escaped.replace('%', "%%").replace('\n', " "))
}

/// Where the user's own units are.
fn folder() -> Result<PathBuf, Failure> {
    let config = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".config"));
    let config = config.or_else(home).ok_or_else(|| {
        Failure::new(Exit::Failed, "neither XDG_CONFIG_HOME nor HOME says where units are")
    })?;
    Ok(config.join("systemd/user"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_starts_the_tunnel_as_it_was_asked_for() {
        let environment = [("ADIT_HOME", "/home/ann lee/100%".to_owned())];
        let words = ["tunnel", "db.hq", "--fixed"];
        let text = text("db-hq", Path::new("/usr/bin/adit"), &words, &environment);
        assert_eq!(
            text,
            "[Unit]\nDescription=Adit tunnel to db-hq\nAfter=network-online.target\n\n[Service]\n\
             Environment=\"ADIT_HOME=/home/ann lee/100%%\"\n\
             ExecStart=/usr/bin/adit tunnel db.hq --fixed\n\
             Restart=on-failure\nRestartSec=10\n\n[Install]\nWantedBy=default.target\n"
        );
    }
}
