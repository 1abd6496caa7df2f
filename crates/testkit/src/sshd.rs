use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::process::Process;
use crate::run::run;
use crate::wait::eventually;
use crate::{current_account, free_port, is_root};

/// Debian's sshd on a port of its own, with its own host key, which lets the holder of one key in as
/// any account it may become (root: all; others: only themselves).
#[derive(Debug)]
pub struct Sshd {
    process: Process,
    port: u16,
    account: String,
    dir: TempDir,
    options: SshdOptions,
}

/// How an [`Sshd`] differs from the plain one.
#[derive(Clone, Debug, Default)]
pub struct SshdOptions {
    /// `None`: a free one.
    pub port: Option<u16>,
    /// Ask for passwords through PAM, so also by keyboard-interactive. Takes root.
    pub pam: bool,
    /// Give logins their account's own home, and so its shell's start-up files. Otherwise they have an
    /// empty one: what a command prints is then its own, whatever the machine's `.bashrc` says.
    pub own_home: bool,
    /// More lines for its configuration.
    pub extra: Vec<String>,
}

impl Sshd {
    pub fn start() -> Result<Self> {
        Self::start_with(SshdOptions::default())
    }

    pub fn start_with(options: SshdOptions) -> Result<Self> {
        let program = program()?;
        let dir = tempfile::Builder::new().prefix("adit-sshd-").tempdir()?;
        // The server reads the keys as the account that logs in.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o711))?;
        make_key(&dir.path().join("host_key"))?;
        make_key(&dir.path().join("client_key"))?;
        let public = dir.path().join("client_key.pub");
        fs::copy(&public, dir.path().join("authorized_keys"))?;
        fs::set_permissions(dir.path().join("authorized_keys"), fs::Permissions::from_mode(0o644))?;
        fs::create_dir(dir.path().join("home"))?;
        fs::set_permissions(dir.path().join("home"), fs::Permissions::from_mode(0o755))?;
        let port = options.port.map_or_else(free_port, Ok)?;
        fs::write(dir.path().join("config"), configuration(dir.path(), port, &options))?;
        let process = launch(&program, dir.path(), port)?;
        Ok(Self { process, port, account: current_account()?, dir, options })
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// An account the client key opens.
    pub fn account(&self) -> &str {
        &self.account
    }

    /// The private key, without a passphrase.
    pub fn client_key(&self) -> PathBuf {
        self.dir.path().join("client_key")
    }

    /// The host key as an application pins it: `ssh-ed25519 AAAA…`.
    pub fn host_key(&self) -> Result<String> {
        let line = fs::read_to_string(self.dir.path().join("host_key.pub"))?;
        Ok(line.split_ascii_whitespace().take(2).collect::<Vec<_>>().join(" "))
    }

    /// Becomes another host at the same address, as after a reinstallation or a hijacked name.
    pub fn change_host_key(&mut self) -> Result<()> {
        self.process.stop(SOON)?;
        for file in ["host_key", "host_key.pub"] {
            fs::remove_file(self.dir.path().join(file))?;
        }
        make_key(&self.dir.path().join("host_key"))?;
        self.process = launch(&program()?, self.dir.path(), self.port)?;
        Ok(())
    }

    /// Stops listening and ends every login.
    pub fn stop(&mut self) -> Result<()> {
        self.process.stop(SOON).map(drop)
    }

    pub fn log(&self) -> String {
        self.process.log()
    }

    pub fn options(&self) -> &SshdOptions {
        &self.options
    }
}

const SOON: Duration = Duration::from_secs(10);

fn program() -> Result<PathBuf> {
    let places = ["/usr/sbin/sshd", "/usr/local/sbin/sshd", "/usr/bin/sshd"].map(PathBuf::from);
    let found = places.into_iter().find(|place| place.exists());
    found.context("there is no sshd: install openssh-server (`cargo xtask test` does)")
}

fn make_key(file: &Path) -> Result<()> {
    let mut keygen = Command::new("ssh-keygen");
    keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", "adit", "-f"]).arg(file);
    run(&mut keygen, SOON)?.ok().map(drop)
}

fn configuration(dir: &Path, port: u16, options: &SshdOptions) -> String {
    let dir = dir.display();
    let pam = if options.pam { "yes" } else { "no" };
    let mut text = format!(
        "Port {port}
ListenAddress 127.0.0.1
HostKey {dir}/host_key
AuthorizedKeysFile {dir}/authorized_keys
PidFile none
StrictModes no
UsePAM {pam}
PasswordAuthentication yes
KbdInteractiveAuthentication {pam}
PermitRootLogin yes
AllowTcpForwarding yes
X11Forwarding yes
AllowAgentForwarding yes
AcceptEnv *
MaxStartups 2000
MaxSessions 1000
LoginGraceTime 90
LogLevel VERBOSE
Subsystem sftp internal-sftp
"
    );
    if !options.own_home {
        text.push_str(&format!("SetEnv HOME={dir}/home\n"));
    }
    for line in &options.extra {
        text.push_str(line);
        text.push('\n');
    }
    text
}

fn launch(program: &Path, dir: &Path, port: u16) -> Result<Process> {
    if is_root() {
        // Debian's package makes it when its service starts, which it need not have done.
        fs::create_dir_all("/run/sshd")?;
    }
    let mut command = Command::new(program);
    command.args(["-D", "-e", "-f"]).arg(dir.join("config"));
    let mut process = Process::start("sshd", command, &dir.join("log"))?;
    let listens = || TcpStream::connect(("127.0.0.1", port)).is_ok() || !process.is_running();
    eventually(SOON, "sshd listens", listens)?;
    if !process.is_running() {
        bail!("sshd ended\n{}", process.tail());
    }
    Ok(process)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(sshd: &Sshd, command: &str) -> Result<String> {
        let mut ssh = Command::new("ssh");
        ssh.args(["-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no"])
            .args(["-o", "UserKnownHostsFile=/dev/null", "-p", &sshd.port().to_string(), "-i"])
            .arg(sshd.client_key())
            .arg(format!("{}@127.0.0.1", sshd.account()))
            .arg(command);
        run(&mut ssh, SOON)?.ok()
    }

    #[test]
    fn an_ssh_server_lets_its_key_in() -> Result<()> {
        let sshd = Sshd::start()?;
        assert_eq!(said(&sshd, "echo in")?, "in\n");
        assert!(sshd.host_key()?.starts_with("ssh-ed25519 "));
        Ok(())
    }

    #[test]
    fn a_login_reads_no_start_up_file_of_the_machine_unless_asked_to() -> Result<()> {
        for pam in [false, is_root()] {
            let sshd = Sshd::start_with(SshdOptions { pam, ..SshdOptions::default() })?;
            let home = said(&sshd, "echo $HOME; ls -A ~")?;
            assert_eq!(home.trim_end(), sshd.dir.path().join("home").display().to_string());
        }
        let own = Sshd::start_with(SshdOptions { own_home: true, ..SshdOptions::default() })?;
        let home = said(&own, "echo $HOME")?;
        assert!(!home.starts_with(own.dir.path().to_str().unwrap_or_default()), "{home}");
        Ok(())
    }
}
