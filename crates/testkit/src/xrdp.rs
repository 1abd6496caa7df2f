use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::process::Process;
use crate::run::{Output, run};
use crate::wait::eventually;
use crate::{free_port, is_listening, is_root};

/// xrdp with a desktop of its own per login (xorgxrdp): a terminal with a shell, or another program, that
/// runs in the folder [`XrdpTarget::dir`]. It speaks TLS without NLA, and carries a clipboard.
///
/// It knows its files by fixed names only, so it gets a view of its own of the file system, in which
/// those are ours; what a login has started ends with it.
#[derive(Debug)]
pub struct XrdpTarget {
    // Dropped before the folder that it uses.
    server: Process,
    port: u16,
    display: u16,
    dir: TempDir,
}

impl XrdpTarget {
    pub fn start() -> Result<Self> {
        Self::running("sh")
    }

    /// One whose terminal runs `program`: a program and its arguments, as xterm's `-e` takes them.
    pub fn running(program: &str) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("adit-xrdp-").tempdir()?;
        let (port, sesman) = (free_port()?, free_port()?);
        let display = 100 + port % 800;
        files(dir.path(), [port, sesman, display], program)?;
        let mut server = Command::new("unshare");
        if !is_root() {
            server.arg("--map-root-user");
        }
        server.args(["--mount", "--pid", "--fork", "--kill-child", "sh"]);
        server.arg(dir.path().join("run"));
        let mut server = Process::start("xrdp", server, &dir.path().join("log"))
            .context("install xrdp and xorgxrdp (`cargo xtask test` does)")?;
        let log = dir.path().join("sesman.log");
        let begun =
            || fs::read_to_string(&log).is_ok_and(|log| log.contains("starting xrdp-sesman"));
        let listens = || (begun() && is_listening(port)) || !server.is_running();
        eventually(SOON, "xrdp listens", listens)?;
        anyhow::ensure!(server.is_running(), "xrdp ended\n{}", server.tail());
        Ok(Self { server, port, display, dir })
    }

    /// The only account: who is root in its view of the file system.
    pub const USER: &str = "root";
    pub const PASSWORD: &str = "s3cret-of-xrdp";

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The shell's folder.
    pub fn dir(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    pub fn log(&self) -> String {
        let logs = ["log", "xrdp.log", "sesman.log"].map(|name| self.dir.path().join(name));
        logs.iter().map(|log| fs::read_to_string(log).unwrap_or_default()).collect()
    }

    /// For a failure's message.
    pub fn tail(&self) -> String {
        self.server.tail()
    }
}

impl Drop for XrdpTarget {
    fn drop(&mut self) {
        self.server.kill();
        // What an X server that was killed leaves.
        for left in
            [format!("/tmp/.X{}-lock", self.display), format!("/tmp/.X11-unix/X{}", self.display)]
        {
            drop(fs::remove_file(left));
        }
    }
}

fn files(dir: &Path, [port, sesman, display]: [u16; 3], program: &str) -> Result<()> {
    let etc = dir.join("etc");
    for folder in [&etc, &dir.join("home")] {
        fs::create_dir(folder)?;
    }
    for file in fs::read_dir("/etc/xrdp").context("there is no xrdp: install it")? {
        let file = file?;
        if file.file_name().to_string_lossy().starts_with("km-") {
            fs::copy(file.path(), etc.join(file.file_name()))?;
        }
    }
    fs::copy("/etc/xrdp/xrdp_keyboard.ini", etc.join("xrdp_keyboard.ini"))?;
    keys(&etc)?;
    let texts = [XRDP, SESMAN, WINDOWS, PAM, CHECK, RUN].map(|text| {
        text.replace("DIR", &dir.display().to_string())
            .replace("SESMAN", &sesman.to_string())
            .replace("DISPLAY", &display.to_string())
            .replace("PORT", &port.to_string())
            .replace("PASSWORD", XrdpTarget::PASSWORD)
            .replace("PROGRAM", program)
    });
    let names = ["etc/xrdp.ini", "etc/sesman.ini", "etc/startwm.sh", "pam", "check", "run"];
    for (name, text) in names.iter().zip(texts) {
        fs::write(dir.join(name), text)?;
        fs::set_permissions(dir.join(name), fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

fn keys(etc: &Path) -> Result<()> {
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30"]);
    openssl.args(["-subj", "/CN=desk", "-keyout"]).arg(etc.join("key.pem"));
    openssl.arg("-out").arg(etc.join("cert.pem"));
    run(&mut openssl, SOON).and_then(Output::ok)?;
    // It does not start without the key of what it does not speak here.
    let mut keygen = Command::new("xrdp-keygen");
    run(keygen.arg("xrdp").arg(etc.join("rsakeys.ini")), SOON).and_then(Output::ok).map(drop)
}

const SOON: Duration = Duration::from_secs(30);

const XRDP: &str = "[Globals]
ini_version=1
fork=true
port=tcp://127.0.0.1:PORT
tcp_nodelay=true
security_layer=tls
certificate=/etc/xrdp/cert.pem
key_file=/etc/xrdp/key.pem
ssl_protocols=TLSv1.2, TLSv1.3
allow_channels=true
bitmap_cache=true
bitmap_compression=true
bulk_compression=true
max_bpp=32
new_cursors=true
use_fastpath=both
[Logging]
LogFile=DIR/xrdp.log
LogLevel=DEBUG
EnableSyslog=false
[Channels]
cliprdr=true
drdynvc=true
rdpdr=true
rdpsnd=true
[Xorg]
name=Xorg
lib=libxup.so
username=ask
password=ask
ip=127.0.0.1
port=-1
code=20
";

const SESMAN: &str = "[Globals]
ListenAddress=127.0.0.1
ListenPort=SESMAN
EnableUserWindowManager=false
DefaultWindowManager=/etc/xrdp/startwm.sh
[Security]
AllowRootLogin=true
MaxLoginRetry=4
AlwaysGroupCheck=false
[Sessions]
X11DisplayOffset=DISPLAY
MaxSessions=10
Policy=Default
[Logging]
LogFile=DIR/sesman.log
LogLevel=DEBUG
EnableSyslog=false
[Xorg]
param=/usr/lib/xorg/Xorg
param=-config
param=xrdp/xorg.conf
param=-noreset
param=-nolisten
param=tcp
param=-logfile
param=DIR/xorg.log
[Chansrv]
EnableFuseMount=false
[ChansrvLogging]
LogLevel=DEBUG
EnableSyslog=false
";

/// What a login starts.
const WINDOWS: &str = "#!/bin/sh
cd DIR/home
export LANG=C.UTF-8
exec xterm -geometry 200x70+0+0 -fn fixed -bg white -fg black -e PROGRAM
";

const PAM: &str = "auth required pam_exec.so quiet expose_authtok DIR/check
auth required pam_permit.so
account required pam_permit.so
session required pam_permit.so
password required pam_deny.so
";

const CHECK: &str = r#"#!/bin/sh
[ "$PAM_TYPE" = auth ] || exit 0
[ "$(tr -d '\0')" = PASSWORD ]
"#;

const RUN: &str = "set -e
mount --bind DIR/etc /etc/xrdp
mount --bind DIR/pam /etc/pam.d/xrdp-sesman
mount --bind DIR/home /root
xrdp-sesman -n -c /etc/xrdp/sesman.ini &
exec xrdp -n -c /etc/xrdp/xrdp.ini
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Screen, xfreerdp};

    #[test]
    fn a_client_signs_in_and_types_into_a_terminal() -> Result<()> {
        let (target, screen) = (XrdpTarget::start()?, Screen::start()?);
        let mut client = xfreerdp(&screen);
        client.args(["/sec:tls", &format!("/u:{}", XrdpTarget::USER)]);
        client.arg(format!("/p:{}", XrdpTarget::PASSWORD)).arg(format!("/v:{}", target.address()));
        let client = Process::start("xfreerdp", client, &screen.dir().join("client.log"))?;
        let file = target.dir().join("there");
        eventually(SOON, "the desktop's shell has run a command", || {
            // What comes before there is a terminal is lost.
            drop(screen.type_line("touch there"));
            file.exists()
        })
        .with_context(|| format!("{}\n{}", client.tail(), target.log()))
    }
}
