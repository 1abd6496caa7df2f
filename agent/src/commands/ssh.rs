//! `adit ssh APP [-- ssh args]`: the system's ssh, through the relay.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

use clap::Args;

use super::ssh_config::{SUFFIX, options};
use crate::context::Context;
use crate::exit::{Exit, Failure};

#[derive(Debug, Args)]
pub struct SshArgs {
    /// The application, or LOGIN@APP
    #[arg(value_name = "APP")]
    application: String,
    /// What else to give to ssh: options, then a command
    #[arg(last = true, value_name = "SSH ARGS")]
    rest: Vec<OsString>,
}

/// Becomes ssh, so that its exit code, signals and terminal are ssh's own.
pub fn run(args: &SshArgs, context: &Context) -> Result<(), Failure> {
    if context.settings.token()?.is_none() {
        context.settings.signed_in()?;
    }
    context.settings.state()?.prepare()?;
    let error = command(args, context)?.exec();
    Err(Failure::new(Exit::Failed, format!("ssh cannot be run: {error}"))
        .hint("install the OpenSSH client"))
}

fn command(args: &SshArgs, context: &Context) -> Result<Command, Failure> {
    let mut ssh = Command::new("ssh");
    for (option, value) in options(&context.settings)? {
        ssh.arg("-o").arg(format!("{option}={value}"));
    }
    // A name that begins with a dash would be an option to ssh.
    if args.application.starts_with('-') || args.application.contains("@-") {
        return Err(Failure::usage(format!("{:?} is not an application", args.application)));
    }
    let host = args.application.strip_suffix(SUFFIX).unwrap_or(&args.application);
    ssh.arg(format!("{host}{SUFFIX}")).args(&args.rest);
    Ok(ssh)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;
    use crate::ui::Ui;

    #[test]
    fn ssh_gets_our_way_first_then_the_name_then_the_users_words() {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings::explicit(Some("relay.test"), None, dir.path());
        let context = Context::new(Ui::into_writers(false, Vec::new(), Vec::new()), settings);
        let args = |application: &str| SshArgs {
            application: application.to_owned(),
            rest: vec!["-v".into(), "uname -a".into()],
        };
        let command = command(&args("ubuntu@web1"), &context).unwrap();
        let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy()).collect();
        assert!(words[1].starts_with("ProxyCommand=env ADIT_HOME='"), "{}", words[1]);
        assert_eq!(words[words.len() - 3..], ["ubuntu@web1.adit", "-v", "uname -a"]);
        for hostile in ["-oProxyCommand=x", "me@-x"] {
            assert!(super::command(&args(hostile), &context).is_err(), "{hostile}");
        }
    }
}
