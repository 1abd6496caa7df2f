//! Running `adit`.

use std::process::Command;
use std::time::Duration;

use testkit::{Output, run_with_input};

use crate::relay::Relay;

/// One user's machine: a home of its own.
pub(crate) struct Machine {
    home: tempfile::TempDir,
}

impl Machine {
    pub(crate) fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap() }
    }

    /// A machine that is signed in to `relay`.
    pub(crate) fn signed_in(relay: &Relay) -> Self {
        let machine = Self::new();
        let login = machine.run_with(&["login", &relay.url(), "--token-file", "-"], &relay.token());
        assert_eq!(login.code(), Some(0), "{}", login.stderr);
        machine
    }

    pub(crate) fn home(&self) -> &std::path::Path {
        self.home.path()
    }

    pub(crate) fn adit(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_adit"));
        command.env_clear().env("HOME", self.home()).env("PATH", std::env::var_os("PATH").unwrap());
        command.args(arguments);
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.run_with(arguments, "")
    }

    pub(crate) fn run_with(&self, arguments: &[&str], input: &str) -> Output {
        finish(self.adit(arguments), input)
    }

    /// With a token in the environment and no login.
    pub(crate) fn run_by_token(&self, relay: &Relay, arguments: &[&str], input: &str) -> Output {
        let mut command = self.adit(arguments);
        command.env("ADIT_TOKEN", relay.token()).env("ADIT_RELAY", relay.url());
        finish(command, input)
    }
}

fn finish(mut command: Command, input: &str) -> Output {
    run_with_input(&mut command, input.as_bytes(), Duration::from_secs(20)).unwrap()
}
