use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::picture::Picture;
use crate::process::Process;
use crate::run::{Output, run};
use crate::wait::{eventually, until};
use crate::{free_port, is_listening};

/// An X server of its own, whose screen is a file.
#[derive(Debug)]
pub struct Screen {
    // Dropped before the directory it draws in.
    _process: Process,
    display: String,
    dir: TempDir,
}

impl Screen {
    /// 800 × 600 pixels, without a pointer drawn on them.
    pub fn start() -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("adit-screen-").tempdir()?;
        let mut server = Command::new("Xvfb");
        // On a busy machine a key is let go late, and must not come again and again until then.
        server.arg("-r");
        server.args(["-displayfd", "1", "-screen", "0", "800x600x24", "-nocursor"]);
        server.args(["-nolisten", "tcp", "-fbdir"]).arg(dir.path());
        let log = dir.path().join("log");
        let process = Process::start("Xvfb", server, &log)
            .context("there is no Xvfb: install xvfb (`cargo xtask test` does)")?;
        // It says which number it took once it can be reached.
        let number = until(SOON, "Xvfb has a display", || {
            let said = process.log();
            said.lines().find_map(|line| line.trim().parse::<u32>().ok())
        })
        .with_context(|| process.tail())?;
        Ok(Self { _process: process, display: format!(":{number}"), dir })
    }

    /// As in the environment's `DISPLAY`.
    pub fn display(&self) -> &str {
        &self.display
    }

    /// A program that shows itself here, and has a home of its own.
    pub fn program(&self, name: &str) -> Command {
        let mut command = Command::new(name);
        command.env("DISPLAY", &self.display).env("HOME", self.dir.path());
        command.current_dir(self.dir.path());
        command
    }

    /// What it shows now.
    pub fn picture(&self) -> Result<Picture> {
        Picture::of_xwd(&fs::read(self.dir.path().join("Xvfb_screen0"))?)
    }

    /// Presses the keys that make this line, for the window under the pointer.
    pub fn type_line(&self, line: &str) -> Result<()> {
        let mut typist = self.program("xdotool");
        typist.args(["type", "--delay", "30", line]);
        run(&mut typist, SOON).and_then(Output::ok)?;
        run(self.program("xdotool").args(["key", "Return"]), SOON).and_then(Output::ok).map(drop)
    }

    /// A folder that lives as long as the screen; the home of its programs.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }
}

/// How a client proves who it is to an [`RdpTarget`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RdpSecurity {
    /// Over TLS, and everybody is let in.
    Tls,
    /// By CredSSP, with [`RdpTarget::USER`] and [`RdpTarget::PASSWORD`].
    Nla,
}

/// A desktop of its own with a terminal on it, shown by FreeRDP's server. A shell runs in the
/// terminal, in the folder [`RdpTarget::dir`].
#[derive(Debug)]
pub struct RdpTarget {
    // In the order in which they are ended.
    server: Process,
    _terminal: Process,
    screen: Screen,
    port: u16,
    security: RdpSecurity,
}

impl RdpTarget {
    pub fn start(security: RdpSecurity) -> Result<Self> {
        let screen = Screen::start()?;
        let terminal = terminal(&screen)?;
        let port = free_port()?;
        let server = shadow(&screen, port, security)?;
        Ok(Self { server, _terminal: terminal, screen, port, security })
    }

    pub const USER: &str = "alice";
    pub const PASSWORD: &str = "s3cret-of-the-desktop";

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn security(&self) -> RdpSecurity {
        self.security
    }

    /// What the desktop shows now.
    pub fn picture(&self) -> Result<Picture> {
        self.screen.picture()
    }

    /// The shell's folder.
    pub fn dir(&self) -> &Path {
        self.screen.dir()
    }

    /// The certificate it shows, which signs itself (PEM).
    pub fn certificate(&self) -> PathBuf {
        self.screen.dir().join(".config/freerdp/shadow/shadow.crt")
    }

    pub fn log(&self) -> String {
        self.server.log()
    }

    /// Its resident memory in KiB.
    pub fn resident(&self) -> Result<u64> {
        self.server.resident()
    }

    /// Stops listening and ends every client.
    pub fn stop(&mut self) -> Result<()> {
        self.server.stop(SOON).map(drop)
    }
}

/// FreeRDP's client, which fills a screen, keeps colours as they are, trusts any desktop and takes the
/// desktop's own login. Where to goes after it (`/v:…`).
pub fn xfreerdp(screen: &Screen) -> Command {
    let mut client = screen.program("xfreerdp");
    client.args(["/f", "/cert:ignore", "/network:lan", "/bpp:32"]);
    client.arg(format!("/u:{}", RdpTarget::USER)).arg(format!("/p:{}", RdpTarget::PASSWORD));
    client
}

fn terminal(screen: &Screen) -> Result<Process> {
    let mut terminal = screen.program("xterm");
    terminal.args(["-geometry", "130x45+4+4", "-fn", "fixed", "-bg", "white", "-fg", "black"]);
    terminal.args(["-e", "sh", "-c", COLOURS]).env("PS1", "$ ");
    let process = Process::start("xterm", terminal, &screen.dir().join("xterm.log"))
        .context("there is no xterm: install xterm (`cargo xtask test` does)")?;
    // Red is the last of what is drawn but for the prompt.
    let drawn = || screen.picture().is_ok_and(|picture| picture.has([205, 0, 0]));
    eventually(SOON, "the terminal is drawn", drawn).with_context(|| process.tail())?;
    Ok(process)
}

fn shadow(screen: &Screen, port: u16, security: RdpSecurity) -> Result<Process> {
    let mut server = screen.program("freerdp-shadow-cli");
    server.args([&format!("/port:{port}"), "/bind-address:127.0.0.1"]);
    match security {
        RdpSecurity::Tls => server.args(["/sec:tls", "-auth"]),
        RdpSecurity::Nla => {
            let sam = screen.dir().join("sam");
            fs::write(&sam, accounts()?)?;
            server.args(["/sec:nla", "+auth", &format!("/sam-file:{}", sam.display())])
        }
    };
    let mut process = Process::start("freerdp-shadow", server, &screen.dir().join("shadow.log"))
        .context("install freerdp2-shadow-x11 (`cargo xtask test` does)")?;
    let listens = || is_listening(port) || !process.is_running();
    eventually(SOON, "the desktop's server listens", listens)?;
    anyhow::ensure!(process.is_running(), "the desktop's server ended\n{}", process.tail());
    Ok(process)
}

/// In the form of a SAM file, which has hashes of passwords.
fn accounts() -> Result<String> {
    let mut hash = Command::new("winpr-hash");
    hash.args(["-u", RdpTarget::USER, "-p", RdpTarget::PASSWORD, "-v", "1", "-f", "sam"]);
    run(&mut hash, SOON)
        .and_then(Output::ok)
        .context("install winpr-utils (`cargo xtask test` does)")
}

const SOON: Duration = Duration::from_secs(30);
/// A few words and colours, so that no two desktops that differ look alike; then a shell.
const COLOURS: &str = r#"for n in 0 1 2 3 4 5 6 7; do
    printf '\033[3%sm%s a desktop behind a connector \033[4%sm  \033[0m\n' "$n" "$n" "$n"
done
printf '\033[31mready\033[0m\n'
exec sh"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_shows_the_desktop_and_types_into_it() -> Result<()> {
        for security in [RdpSecurity::Tls, RdpSecurity::Nla] {
            let (target, screen) = (RdpTarget::start(security)?, Screen::start()?);
            let mut client = xfreerdp(&screen);
            client.arg(format!("/v:{}", target.address()));
            let client = Process::start("xfreerdp", client, &screen.dir().join("client.log"))?;
            eventually(SOON, "the client shows the desktop", || {
                let pictures = (target.picture(), screen.picture());
                matches!(pictures, (Ok(one), Ok(other)) if one.likeness(&other) >= 0.999)
            })
            .with_context(|| client.tail())?;
            screen.type_line("echo typed > there")?;
            let file = target.dir().join("there");
            let typed = || fs::read_to_string(&file).is_ok_and(|text| text == "typed\n");
            eventually(SOON, "the desktop's shell has run a command", typed)?;
        }
        Ok(())
    }

    #[test]
    fn a_wrong_password_is_refused_by_its_exit_code() -> Result<()> {
        let (target, screen) = (RdpTarget::start(RdpSecurity::Nla)?, Screen::start()?);
        let mut client = xfreerdp(&screen);
        client.args([&format!("/v:{}", target.address()), "+auth-only"]);
        assert_eq!(run(&mut client, SOON)?.code(), Some(0));
        assert_ne!(run(client.arg("/p:wrong"), SOON)?.code(), Some(0));
        Ok(())
    }
}
