use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::wait::until;

/// What a program that has ended wrote.
#[derive(Debug)]
pub struct Output {
    pub command: String,
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Output {
    /// Its output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Both outputs as text, for looking for words a client may print on either.
    pub fn both(&self) -> String {
        format!("{}{}", self.text(), self.stderr)
    }

    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Its output, if it ended well.
    pub fn ok(self) -> Result<String> {
        if self.status.success() {
            return Ok(self.text());
        }
        bail!("{} ended with {}\n{}", self.command, self.status, self.both())
    }
}

/// Runs a program to its end, without input.
pub fn run(command: &mut Command, within: Duration) -> Result<Output> {
    run_with_input(command, &[], within)
}

/// Runs a program to its end; ends it, and all it started, at the deadline.
pub fn run_with_input(command: &mut Command, input: &[u8], within: Duration) -> Result<Output> {
    let line = shown(command);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn().with_context(|| format!("start {line}"))?;
    let writer = write_all(&mut child, input.to_owned());
    let stdout = read_all(child.stdout.take());
    let stderr = read_all(child.stderr.take());
    let ended = until(within, &format!("{line} ends"), || child.try_wait().ok().flatten());
    if ended.is_err() {
        end_group(&mut child);
    }
    drop(writer.join());
    let stdout = stdout.join().unwrap_or_default();
    let stderr = String::from_utf8_lossy(&stderr.join().unwrap_or_default()).into_owned();
    let status = ended
        .with_context(|| format!("it wrote: {}\n{stderr}", String::from_utf8_lossy(&stdout)))?;
    Ok(Output { command: line, status, stdout, stderr })
}

fn shown(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|word| word.to_string_lossy().into_owned()));
    words.join(" ")
}

fn write_all(child: &mut Child, input: Vec<u8>) -> JoinHandle<()> {
    let stdin = child.stdin.take();
    thread::spawn(move || {
        if let Some(mut stdin) = stdin {
            // A program that ends without reading its input is its own business.
            drop(stdin.write_all(&input));
        }
    })
}

fn read_all(from: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut all = Vec::new();
        if let Some(mut from) = from {
            drop(from.read_to_end(&mut all));
        }
        all
    })
}

fn end_group(child: &mut Child) {
    crate::process::end_group(child.id());
    drop(child.wait());
}
