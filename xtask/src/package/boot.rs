//! The packages in a Debian that boots: systemd in a container of systemd-nspawn's starts the units.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::quiet;
use crate::cargo::{remove, root, step};

/// Installs the packages of `files` into a Debian below `out`, boots it, and has
/// `packaging/check/boot.sh` look at them.
///
/// # Errors
/// When there is no root, no systemd-nspawn, or something that is checked is not so.
pub(super) fn run(files: &[PathBuf], out: &Path) -> Result<()> {
    ensure!(testkit::is_root(), "systemd-nspawn needs root");
    let debian = out.join("boot");
    remove(&debian)?;
    let include = "--include=systemd,systemd-sysv,dbus";
    let mut debootstrap = Command::new("debootstrap");
    step(debootstrap.args(["--variant=minbase", include, "stable"]).arg(&debian))?;
    for file in files.iter().filter(|file| file.extension().is_some_and(|end| end == "deb")) {
        quiet(Command::new("cp").arg(file).arg(debian.join("tmp")))?;
    }
    step(Command::new("chroot").arg(&debian).args(["sh", "-ec", "dpkg -i /tmp/*.deb"]))?;
    std::fs::write(debian.join("etc/hosts"), "127.0.0.1 localhost\n")?;
    quiet(
        Command::new("cp").arg(root().join("packaging/check/boot.sh")).arg(debian.join("check.sh")),
    )?;
    std::fs::write(debian.join("etc/systemd/system/adit-check.service"), UNIT)?;
    quiet(Command::new("chroot").arg(&debian).args(["systemctl", "enable", "adit-check"]))?;
    let mut nspawn = Command::new("timeout");
    nspawn.args([
        "--kill-after=10",
        "180",
        "systemd-nspawn",
        "--boot",
        "--register=no",
        "--keep-unit",
    ]);
    nspawn.args(["--private-network", "--machine=adit-boot", "--directory"]).arg(&debian);
    let booted =
        nspawn.stdin(std::process::Stdio::null()).output().context("run systemd-nspawn")?;
    let log = std::fs::read_to_string(debian.join("check.log"))
        .with_context(|| format!("it did not boot: {}", String::from_utf8_lossy(&booted.stdout)))?;
    println!("{log}");
    ensure!(log.trim_end().ends_with("ended with 0"), "what is checked is not so");
    Ok(())
}

const UNIT: &str = "[Unit]\nAfter=multi-user.target\n[Service]\nType=oneshot\nExecStart=/check.sh\n\
                    [Install]\nWantedBy=multi-user.target\n";
