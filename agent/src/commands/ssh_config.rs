//! `adit ssh-config`: `ssh APP.adit`, scp, rsync and editors just work.

use std::path::Path;

use clap::Args;

use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::files;
use crate::settings::Settings;
use crate::state::Login;

#[derive(Debug, Args)]
pub struct SshConfigArgs {
    /// Write it, and include it from ~/.ssh/config
    #[arg(long)]
    install: bool,
}

pub fn run(args: &SshConfigArgs, context: &Context) -> Result<(), Failure> {
    let block = block(&context.settings)?;
    if !args.install {
        return context.ui.data(block.trim_end());
    }
    let home = std::env::var_os("HOME").filter(|home| !home.is_empty());
    let home = home.ok_or_else(|| Failure::usage("HOME is not set"))?;
    let state = context.settings.state()?;
    state.prepare()?;
    let file = state.ssh_config();
    files::replace(&file, block.as_bytes()).map_err(|error| at(&file, &error))?;
    let config = Path::new(&home).join(".ssh/config");
    if include(&config, &file)? {
        context.ui.say(format_args!("Included {} from {}.", file.display(), config.display()));
    }
    context.ui.say("Try: ssh APP.adit");
    Ok(())
}

/// Writes the configuration again where it is installed: a login may be to another relay.
pub fn refresh(settings: &Settings) -> Result<(), Failure> {
    let file = settings.state()?.ssh_config();
    match file.exists() {
        true => {
            let block = block(settings)?;
            files::replace(&file, block.as_bytes()).map_err(|error| at(&file, &error))
        }
        false => Ok(()),
    }
}

/// What makes `ssh` reach applications: option and value, for a file and for `-o` alike.
pub fn options(settings: &Settings) -> Result<[(&'static str, String); 5], Failure> {
    let known_hosts = settings.state()?.known_hosts();
    Ok([
        ("ProxyCommand", proxy_command(settings)?),
        ("UserKnownHostsFile", format!("\"{}\"", percent(&known_hosts))),
        // The relay vouches for the way to the application; what a first key was is remembered,
        // and another one is refused.
        ("StrictHostKeyChecking", "accept-new".to_owned()),
        ("CheckHostIP", "no".to_owned()),
        ("Ciphers", CIPHERS.to_owned()),
    ])
}

/// The order of the client decides, and OpenSSH puts ChaCha20 before AES-GCM, which is cheaper
/// where processors have AES. Every OpenSSH that is maintained, and every FIPS mode, has these.
const CIPHERS: &str =
    "aes128-gcm@openssh.com,aes256-gcm@openssh.com,aes128-ctr,aes192-ctr,aes256-ctr";

/// The name under which ssh knows an application.
pub const SUFFIX: &str = ".adit";

fn block(settings: &Settings) -> Result<String, Failure> {
    let mut block = String::from(
        "# Made by `adit ssh-config`. `ssh web1.adit` reaches the application web1.\nHost *.adit\n",
    );
    for (option, value) in options(settings)? {
        block.push_str(&format!("    {option} {value}\n"));
    }
    if let Some(login) = settings.login()? {
        block.push_str(&relay_block(settings, &login)?);
    }
    Ok(block)
}

/// What signs `ssh LOGIN+APP@RELAY` in, without a token and without a question.
fn relay_block(settings: &Settings, login: &Login) -> Result<String, Failure> {
    let (state, relay) = (settings.state()?, login.relay()?);
    let mut hosts = vec![relay.host().to_owned()];
    hosts.extend(Some(login.domain.clone()).filter(|domain| domain != relay.host()));
    let hosts = hosts.join(",");
    let renew = command(settings, "ssh-cert --quiet")?.replace('"', "\\\"");
    let quoted = |path: &Path| format!("\"{}\"", percent(path));
    let options = [
        ("Port", login.ssh_port.to_string()),
        ("IdentityFile", quoted(&state.ssh_key())),
        ("CertificateFile", quoted(&state.ssh_certificate())),
        ("HostKeyAlias", login.domain.clone()),
        ("Ciphers", CIPHERS.to_owned()),
        ("UserKnownHostsFile", quoted(&state.relay_hosts())),
        ("StrictHostKeyChecking", "yes".to_owned()),
    ];
    let mut block = format!(
        "# `ssh ubuntu+web1@{domain}` signs in with a certificate that renews itself.\n\
         Match originalhost {hosts} exec \"{renew}\"\n",
        domain = login.domain,
    );
    for (option, value) in options {
        block.push_str(&format!("    {option} {value}\n"));
    }
    Ok(block)
}

/// Runs this very program with these very settings, whatever the environment is by then.
fn proxy_command(settings: &Settings) -> Result<String, Failure> {
    command(settings, "proxy -- '%h'")
}

fn command(settings: &Settings, rest: &str) -> Result<String, Failure> {
    let program = std::env::current_exe().map_err(|error| at(Path::new("adit"), &error))?;
    let mut words = vec!["env".to_owned()];
    for (name, value) in settings.for_children() {
        words.push(format!("{name}={}", quoted(Path::new(&value))));
    }
    words.push(quoted(&program));
    words.push(rest.to_owned());
    Ok(words.join(" "))
}

/// As one word of a shell command, inside a value in which ssh expands `%`.
fn quoted(path: &Path) -> String {
    format!("'{}'", percent(path).replace('\'', r"'\''"))
}

fn percent(path: &Path) -> String {
    path.display().to_string().replace('%', "%%")
}

/// Puts an `Include` of `file` at the top of `config` unless it is there; the rest stays byte for
/// byte. Says whether it changed anything.
fn include(config: &Path, file: &Path) -> Result<bool, Failure> {
    let line = format!("Include \"{}\"\n", file.display());
    let old = match std::fs::read(config) {
        Ok(old) => old,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(at(config, &error)),
    };
    let present = old
        .split_inclusive(|&b| b == b'\n')
        .any(|old| old.trim_ascii() == line.trim_end().as_bytes());
    if present {
        return Ok(false);
    }
    if let Some(folder) = config.parent().filter(|folder| !folder.exists()) {
        files::private_dir(folder).map_err(|error| at(folder, &error))?;
    }
    let fresh = [line.as_bytes(), &old].concat();
    files::replace(config, &fresh).map_err(|error| at(config, &error))?;
    Ok(true)
}

fn at(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Exit::Failed, format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn installing_twice_changes_the_users_file_once_and_keeps_the_rest() {
        let home = tempfile::tempdir().unwrap();
        let config = home.path().join(".ssh/config");
        let file = PathBuf::from("/home/ann/my config/adit/ssh_config");
        assert!(include(&config, &file).unwrap());
        assert_eq!(std::fs::metadata(&config).unwrap().permissions().mode() & 0o777, 0o600);

        let own = b"# caf\xe9\r\nHost *\n\tUser ann";
        std::fs::write(&config, own).unwrap();
        assert!(include(&config, &file).unwrap());
        assert!(!include(&config, &file).unwrap());
        let mut expected = b"Include \"/home/ann/my config/adit/ssh_config\"\n".to_vec();
        expected.extend_from_slice(own);
        assert_eq!(std::fs::read(&config).unwrap(), expected);
    }

    #[test]
    fn odd_paths_stay_one_word() {
        assert_eq!(quoted(Path::new("/a b/it's 5%")), r"'/a b/it'\''s 5%%'");
    }

    #[test]
    fn the_block_uses_its_own_known_hosts() {
        let dir = tempfile::tempdir().unwrap();
        let block = block(&Settings::explicit(Some("relay.test"), None, dir.path())).unwrap();
        let known = format!("UserKnownHostsFile \"{}/known_hosts\"", dir.path().display());
        assert!(block.contains(&known), "{block}");
        assert!(block.contains("ADIT_RELAY='relay.test'"), "{block}");
        assert!(block.contains("\nHost *.adit\n"), "{block}");
    }
}
