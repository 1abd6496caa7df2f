//! What tests and demo need of the operating system.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::cargo::step;

/// A program or file, and the Debian package it comes in.
pub(crate) struct Need {
    pub(crate) file: &'static str,
    pub(crate) package: &'static str,
}

/// The clients and servers the tests use.
pub(crate) const FOR_TESTS: &[Need] = &[
    Need { file: "/usr/sbin/sshd", package: "openssh-server" },
    Need { file: "/usr/lib/openssh/sftp-server", package: "openssh-sftp-server" },
    Need { file: "/usr/bin/ssh", package: "openssh-client" },
    Need { file: "/usr/bin/sshpass", package: "sshpass" },
    Need { file: "/usr/bin/plink", package: "putty-tools" },
    Need { file: "/usr/bin/psftp", package: "putty-tools" },
    Need { file: "/usr/bin/dbclient", package: "dropbear-bin" },
    Need { file: "/usr/bin/rsync", package: "rsync" },
    Need { file: "/usr/bin/less", package: "less" },
    Need { file: "/usr/bin/vim", package: "vim" },
    Need { file: "/usr/bin/git", package: "git" },
    Need { file: "/usr/bin/sshfs", package: "sshfs" },
    Need { file: "/usr/bin/mosh", package: "mosh" },
    Need { file: "/usr/bin/curl", package: "curl" },
    Need { file: "/usr/sbin/rsyslogd", package: "rsyslog" },
    Need { file: "/usr/lib/x86_64-linux-gnu/rsyslog/lmnsd_gtls.so", package: "rsyslog-gnutls" },
    Need { file: "/usr/bin/patch", package: "patch" },
    Need { file: "/usr/bin/prlimit", package: "util-linux" },
    Need { file: "/usr/bin/strace", package: "strace" },
    Need { file: "/usr/lib/postgresql", package: "postgresql" },
    Need { file: "/usr/bin/psql", package: "postgresql-client" },
    Need { file: "/usr/sbin/mariadbd", package: "mariadb-server" },
    Need { file: "/usr/bin/mariadb", package: "mariadb-client" },
    Need { file: "/usr/bin/python3", package: "python3" },
    Need { file: "/usr/share/doc/python3-venv", package: "python3-venv" },
    Need { file: "/usr/lib/python3/dist-packages/paramiko", package: "python3-paramiko" },
    Need { file: "/usr/lib/python3/dist-packages/asyncssh", package: "python3-asyncssh" },
    Need { file: "/usr/lib/python3/dist-packages/aiosmtpd", package: "python3-aiosmtpd" },
    Need { file: "/usr/lib/python3/dist-packages/requests", package: "python3-requests" },
    Need { file: "/usr/lib/python3/dist-packages/httpx", package: "python3-httpx" },
    Need { file: "/usr/lib/python3/dist-packages/h2", package: "python3-h2" },
    Need { file: "/usr/lib/python3/dist-packages/yaml", package: "python3-yaml" },
    Need { file: "/usr/lib/python3/dist-packages/grpc", package: "python3-grpcio" },
    Need { file: "/usr/bin/node", package: "nodejs" },
    Need { file: "/usr/bin/npm", package: "npm" },
    Need { file: "/usr/bin/puttygen", package: "putty-tools" },
    Need { file: "/usr/bin/chromium", package: "chromium" },
    Need { file: "/usr/sbin/nginx", package: "nginx-light" },
    Need { file: "/usr/bin/php", package: "php-cli" },
    Need { file: "/usr/share/doc/php-pgsql", package: "php-pgsql" },
    Need { file: "/usr/share/doc/php-mysql", package: "php-mysql" },
    Need { file: "/usr/share/doc/ruby-pg", package: "ruby-pg" },
    Need { file: "/usr/share/doc/ruby-mysql2", package: "ruby-mysql2" },
    Need { file: "/usr/share/php/phpseclib3", package: "php-phpseclib3" },
    Need { file: "/usr/share/doc/ruby-net-ssh", package: "ruby-net-ssh" },
    Need { file: "/usr/share/doc/ruby-net-sftp", package: "ruby-net-sftp" },
    Need { file: "/usr/share/doc/libdbd-pg-perl", package: "libdbd-pg-perl" },
    Need { file: "/usr/bin/javac", package: "default-jdk-headless" },
    Need { file: "/usr/share/java/postgresql.jar", package: "libpostgresql-jdbc-java" },
    Need { file: "/usr/share/doc/libdbd-mysql-perl", package: "libdbd-mysql-perl" },
    Need { file: "/usr/share/java/mariadb-java-client.jar", package: "libmariadb-java" },
    Need { file: "/usr/lib/python3/dist-packages/MySQLdb", package: "python3-mysqldb" },
    Need { file: "/usr/bin/openssl", package: "openssl" },
    Need { file: "/usr/sbin/slapd", package: "slapd" },
    Need { file: "/usr/bin/ldapmodify", package: "ldap-utils" },
    Need { file: "/usr/bin/pebble", package: "pebble" },
    Need { file: "/usr/bin/redis-server", package: "redis-server" },
    Need { file: "/usr/bin/redis-cli", package: "redis-tools" },
    Need { file: "/usr/bin/Xvfb", package: "xvfb" },
    Need { file: "/usr/bin/xterm", package: "xterm" },
    Need { file: "/usr/bin/xdotool", package: "xdotool" },
    Need { file: "/usr/bin/xfreerdp", package: "freerdp2-x11" },
    Need { file: "/usr/bin/freerdp-shadow-cli", package: "freerdp2-shadow-x11" },
    Need { file: "/usr/bin/winpr-hash", package: "winpr-utils" },
    Need { file: "/usr/sbin/xrdp", package: "xrdp" },
    Need { file: "/usr/lib/xorg/modules/libxorgxrdp.so", package: "xorgxrdp" },
    Need { file: "/usr/bin/xclip", package: "xclip" },
    Need { file: "/usr/bin/rpmbuild", package: "rpm" },
    Need { file: "/usr/bin/lintian", package: "lintian" },
    Need { file: "/usr/bin/rpmlint", package: "rpmlint" },
    Need { file: "/usr/sbin/debootstrap", package: "debootstrap" },
    Need { file: "/usr/bin/systemd-analyze", package: "systemd" },
    Need { file: "/usr/sbin/squid", package: "squid" },
    Need { file: "/usr/sbin/nft", package: "nftables" },
    Need { file: "/usr/sbin/ip", package: "iproute2" },
];

/// What the demo's SSH host needs.
pub(crate) const FOR_DEMO: &[Need] = &[
    Need { file: "/usr/sbin/sshd", package: "openssh-server" },
    Need { file: "/usr/bin/ssh-keygen", package: "openssh-client" },
    Need { file: "/usr/bin/node", package: "nodejs" },
    Need { file: "/usr/bin/npm", package: "npm" },
];

/// What `package` makes packages with, and what it is checked with.
pub(crate) const FOR_PACKAGES: &[Need] = &[
    Need { file: "/usr/bin/dpkg-deb", package: "dpkg" },
    Need { file: "/usr/bin/rpmbuild", package: "rpm" },
    Need { file: "/usr/bin/objdump", package: "binutils" },
    Need { file: "/usr/bin/xz", package: "xz-utils" },
];

/// What `bench` puts a load on things with, beside what the tests need.
pub(crate) const FOR_BENCH: &[Need] = &[Need { file: "/usr/bin/wrk", package: "wrk" }];

/// What `soak` breaks things with.
pub(crate) const FOR_SOAK: &[Need] = &[
    Need { file: "/usr/bin/strace", package: "strace" },
    Need { file: "/usr/bin/prlimit", package: "util-linux" },
    Need { file: "/usr/sbin/mkfs.ext4", package: "e2fsprogs" },
    Need { file: "/usr/sbin/mkfs.xfs", package: "xfsprogs" },
    Need { file: "/usr/bin/python3", package: "python3" },
    Need { file: "/usr/lib/python3/dist-packages/asyncssh", package: "python3-asyncssh" },
    Need { file: "/usr/share/doc/python3-venv", package: "python3-venv" },
];

/// Installs what is missing, saying so; where this is not Debian, says what to install.
pub(crate) fn ensure(needs: &[Need]) -> Result<()> {
    let missing = missing(needs);
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    if !Path::new("/usr/bin/apt-get").exists() {
        bail!(
            "install these with your package manager (Debian's names), then run this again: {list}"
        );
    }
    eprintln!("Installing what is missing: {list}");
    install(&missing).with_context(|| format!("install by hand: apt-get install {list}"))
}

fn missing(needs: &[Need]) -> Vec<&'static str> {
    let absent = needs.iter().filter(|need| !is_there(need.file));
    let mut packages: Vec<_> = absent.map(|need| need.package).collect();
    packages.sort_unstable();
    packages.dedup();
    packages
}

/// At Debian's place, or, for a program, anywhere in the path.
fn is_there(file: &str) -> bool {
    let name = Path::new(file).file_name().unwrap_or_default();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let in_path = || std::env::split_paths(&path).any(|folder| folder.join(name).is_file());
    Path::new(file).exists() || in_path()
}

fn install(packages: &[&str]) -> Result<()> {
    let install = ["install", "--yes", "--no-install-recommends"];
    // The package lists of a fresh image are empty or old; those of a machine in use are not.
    if step(apt().args(install).args(packages)).is_ok() {
        return Ok(());
    }
    step(apt().arg("update"))?;
    step(apt().args(install).args(packages))
}

fn apt() -> Command {
    let mut command = if testkit::is_root() {
        Command::new("apt-get")
    } else {
        let mut sudo = Command::new("sudo");
        sudo.args(["--preserve-env=DEBIAN_FRONTEND", "apt-get"]);
        sudo
    };
    command.env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null()).arg("--quiet");
    command
}
