//! The program's output: a reader who leaves, and a disk that is full, are no bug of its own.
#![allow(clippy::unwrap_used, reason = "clippy takes a test's helpers for no test")]

use std::fs::OpenOptions;
use std::path::Path;
use std::process::{Command, Output, Stdio};

#[test]
fn whoever_reads_may_leave_early() {
    let state = tempfile::tempdir().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = status(state.path(), writer.into());
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
}

#[test]
fn what_can_not_be_written_is_said() {
    let state = tempfile::tempdir().unwrap();
    let full = || OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = status(state.path(), full().into());
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.starts_with("error: could not write to standard output: "), "{said}");
    // Where nobody can be told either, it is the exit code that says it.
    let mut both = command(state.path());
    let code = both.stdout(full()).stderr(full()).status().unwrap().code();
    assert_eq!(code, Some(1));
}

fn status(state: &Path, stdout: Stdio) -> Output {
    command(state)
        .stdout(stdout)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
        .wait_with_output()
        .unwrap()
}

fn command(state: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_adit-connector"));
    command.args(["status", "--state"]).arg(state).stdin(Stdio::null());
    command
}
