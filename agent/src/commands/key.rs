//! `adit key ls|add|rm`: a user's own SSH keys.

use std::fs;
use std::path::{Path, PathBuf};

use api::{MySshKey, Removed, Span, SshKeyRow};
use clap::{Args, Subcommand};

use super::admin::secrets;
use crate::context::{Context, segment};
use crate::exit::Failure;
use crate::times;

#[derive(Debug, Args)]
pub struct KeyArgs {
    #[command(subcommand)]
    pub command: KeyCommand,
}

#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// List your SSH keys
    Ls,
    /// Register a public SSH key that signs you in, or one of yours for longer
    Add(AddArgs),
    /// Remove one of your SSH keys; sessions that stand on it end at once
    Rm {
        /// The key's fingerprint, `SHA256:…`, as `adit key ls` shows it
        fingerprint: String,
    },
}

#[derive(Debug, Args)]
pub struct AddArgs {
    /// The public key, a file that ends in .pub; `-` is stdin [default: the one in ~/.ssh]
    file: Option<PathBuf>,
    /// What lists call it [default: its comment]
    #[arg(long)]
    name: Option<String>,
    /// How long it is good, for example 30d
    #[arg(long, value_name = "TIME")]
    expires: Option<Span>,
}

pub async fn run(command: KeyCommand, context: &Context) -> Result<(), Failure> {
    match command {
        KeyCommand::Ls => {
            let keys: Vec<SshKeyRow> = context.list("/api/v1/me/ssh-keys").await?;
            list(context, &keys, "You have no SSH keys.")
        }
        KeyCommand::Add(args) => add(args, context).await,
        KeyCommand::Rm { fingerprint } => {
            let path = format!("/api/v1/me/ssh-keys/{}", segment(&fingerprint));
            let _: Removed = context.delete(&path).await?;
            context.ui.say(format_args!("Removed {fingerprint}."));
            Ok(())
        }
    }
}

async fn add(args: AddArgs, context: &Context) -> Result<(), Failure> {
    let AddArgs { file, name, expires } = args;
    let file = match file {
        Some(file) => file,
        None => the_one_in(&home()?.join(".ssh"))?,
    };
    let key = secrets::public_key(&file)?;
    let wanted = MySshKey { key, name, expires };
    let row: SshKeyRow = context.post("/api/v1/me/ssh-keys", &wanted).await?;
    added(context, &row)
}

pub(super) fn added(context: &Context, row: &SshKeyRow) -> Result<(), Failure> {
    if context.ui.wants_json() {
        return context.ui.json(row);
    }
    let until = row.expires.map_or_else(
        || "it does not expire".to_owned(),
        |end| format!("good until {}", times::utc(end)),
    );
    context.ui.say(format_args!("Registered {} for {}: {until}.", row.fingerprint, row.user));
    Ok(())
}

pub(super) fn list(context: &Context, keys: &[SshKeyRow], none: &str) -> Result<(), Failure> {
    let heads = ["fingerprint", "user", "kind", "name", "state", "expires", "note"];
    context.ui.list(keys, none, heads, |key| {
        [
            key.fingerprint.clone(),
            key.user.to_string(),
            key.algorithm.clone(),
            key.name.clone(),
            if key.expired { "expired" } else { "live" }.to_owned(),
            key.expires.map_or_else(|| "never".to_owned(), times::utc),
            key.warning.clone().unwrap_or_default(),
        ]
    })
}

fn home() -> Result<PathBuf, Failure> {
    let home = std::env::home_dir().filter(|home| !home.as_os_str().is_empty());
    home.ok_or_else(|| Failure::usage("no home folder is known").hint("name the key's file"))
}

/// The only public key of a folder: which of several is meant, nobody can guess.
fn the_one_in(folder: &Path) -> Result<PathBuf, Failure> {
    let files = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_key = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.ends_with(".pub") && !name.ends_with("-cert.pub")
    };
    let mut keys: Vec<_> = files.filter(is_key).collect();
    keys.sort_unstable();
    match keys.as_slice() {
        [only] => Ok(only.clone()),
        [] => Err(Failure::usage(format!("there is no public key in {}", folder.display()))
            .hint("make one: `ssh-keygen -t ed25519`")),
        several => Err(Failure::usage("which key?")
            .details(several.iter().map(|key| format!("adit key add {}", key.display())))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_key_is_meant_without_a_name() {
        let dir = tempfile::tempdir().unwrap();
        assert!(the_one_in(dir.path()).is_err());
        for other in ["id", "known_hosts", "id-cert.pub", "a.pub"] {
            fs::write(dir.path().join(other), "").unwrap();
        }
        assert_eq!(the_one_in(dir.path()).unwrap(), dir.path().join("a.pub"));
        fs::write(dir.path().join("b.pub"), "").unwrap();
        assert!(the_one_in(dir.path()).is_err());
        assert!(the_one_in(&dir.path().join("absent")).is_err());
    }
}
