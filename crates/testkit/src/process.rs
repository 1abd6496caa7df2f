use std::fs::{self, File, OpenOptions};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::wait::{eventually, until};

/// A running program whose output goes to a log file. Ended, with everything it started in its
/// process group, when dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    log_start: u64,
}

impl Process {
    /// Starts `command` with its output appended to `log` and nothing on its input.
    pub fn start(name: &str, mut command: Command, log: &Path) -> Result<Self> {
        let output = open_log(log)?;
        let log_start = output.metadata()?.len();
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).process_group(0);
        let program = command.get_program().to_string_lossy().into_owned();
        let child = command.spawn().with_context(|| format!("start {name} ({program})"))?;
        Ok(Self { name: name.to_owned(), child, log: log.to_owned(), log_start })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has written since it was started.
    pub fn log(&self) -> String {
        let all = fs::read(&self.log).unwrap_or_default();
        let start = usize::try_from(self.log_start).unwrap_or(usize::MAX).min(all.len());
        String::from_utf8_lossy(&all[start..]).into_owned()
    }

    pub fn log_file(&self) -> &Path {
        &self.log
    }

    /// Waits until its output contains `text`. Fails early when it ends before that.
    pub fn wait_for_log(&mut self, text: &str, within: Duration) -> Result<()> {
        let mut ended = None;
        eventually(within, &format!("{} writes {text:?}", self.name), || {
            ended = self.child.try_wait().ok().flatten();
            self.log().contains(text) || ended.is_some()
        })
        .with_context(|| self.tail())?;
        if self.log().contains(text) {
            return Ok(());
        }
        anyhow::bail!("{} ended ({ended:?}) before it wrote {text:?}\n{}", self.name, self.tail())
    }

    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits until it has ended by itself.
    pub fn wait(&mut self, within: Duration) -> Result<ExitStatus> {
        let what = format!("{} ends", self.name);
        until(within, &what, || self.child.try_wait().ok().flatten()).with_context(|| self.tail())
    }

    /// Asks it to stop, as a service manager does.
    pub fn terminate(&self) {
        signal(self.id(), libc::SIGTERM);
    }

    /// Sends the signal a Ctrl-C sends.
    pub fn interrupt(&self) {
        signal(self.id(), libc::SIGINT);
    }

    /// Stops it from running without ending it, as a machine that went away; `resume` undoes it.
    pub fn freeze(&self) {
        signal(self.id(), libc::SIGSTOP);
    }

    pub fn resume(&self) {
        signal(self.id(), libc::SIGCONT);
    }

    /// Ends it without a chance to say goodbye.
    pub fn kill(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }

    /// Asks it to stop and waits for it.
    pub fn stop(&mut self, within: Duration) -> Result<ExitStatus> {
        self.terminate();
        self.wait(within)
    }

    /// How many file descriptors it has open.
    pub fn descriptors(&self) -> Result<usize> {
        Ok(fs::read_dir(format!("/proc/{}/fd", self.id()))?.count())
    }

    /// Its resident memory in KiB.
    pub fn resident(&self) -> Result<u64> {
        resident(self.id())
    }

    /// The end of its output, for a failure's message.
    pub fn tail(&self) -> String {
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        let last = lines[lines.len().saturating_sub(TAIL)..].join("\n");
        format!("--- last lines of {}:\n{last}", self.name)
    }
}

/// The resident memory of a process in KiB.
pub fn resident(process: u32) -> Result<u64> {
    memory(process, "VmRSS:")
}

/// The most that a process has had of it, in KiB.
pub fn peak(process: u32) -> Result<u64> {
    memory(process, "VmHWM:")
}

/// A line of proc_pid_status(5) that counts memory.
fn memory(process: u32, what: &str) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(what)).context(what.to_owned())?;
    Ok(line.split_ascii_whitespace().next().context(what.to_owned())?.parse()?)
}

/// How many file descriptors this process has open.
///
/// # Panics
///
/// Where there is no `/proc`.
#[expect(clippy::unwrap_used, reason = "there is no going on without it")]
pub fn open_files() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.is_running() {
            self.terminate();
            if self.wait(GRACE).is_err() {
                self.kill();
            }
        }
        // What it started and left behind is in its process group.
        end_group(self.id());
        if std::thread::panicking() {
            #[expect(clippy::print_stderr, reason = "a failing test shows what its servers said")]
            {
                eprintln!("{}", self.tail());
            }
        }
    }
}

const GRACE: Duration = Duration::from_secs(8);
const TAIL: usize = 60;

fn open_log(log: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).append(true).open(log).with_context(|| log.display().to_string())
}

fn signal(process: u32, signal: i32) {
    send(i64::from(process), signal);
}

pub(crate) fn end_group(group: u32) {
    send(-i64::from(group), libc::SIGKILL);
}

fn send(to: i64, signal: i32) {
    let Ok(to) = i32::try_from(to) else { return };
    // SAFETY: kill(2) takes two numbers and touches no memory of ours. The process is a child that
    // has not been waited for, or leads a group we made, so the number can't have passed to another.
    #[expect(unsafe_code, reason = "std can only kill, not terminate")]
    unsafe {
        libc::kill(to, signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_dropped_process_takes_what_it_started_with_it() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let log = dir.path().join("log");
        let script = "sleep 300 & echo child $! started; wait";
        let mut process = Process::start("parent", shell(script), &log)?;
        process.wait_for_log("started", Duration::from_secs(5))?;
        let child = process.log().split_ascii_whitespace().nth(1).unwrap().to_owned();
        drop(process);
        eventually(Duration::from_secs(5), "the child is gone", || {
            let status = fs::read_to_string(format!("/proc/{child}/status")).unwrap_or_default();
            status.is_empty() || status.contains("State:\tZ")
        })
    }

    #[test]
    fn waiting_for_a_line_ends_when_the_program_does() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let mut process = Process::start("short", shell("echo no"), &dir.path().join("log"))?;
        let error = process.wait_for_log("yes", Duration::from_secs(30)).unwrap_err();
        assert!(error.to_string().contains("ended"), "{error}");
        Ok(())
    }
}
