use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::free_port;
use crate::process::Process;
use crate::wait::until;

/// Debian's squid as an HTTP proxy on 127.0.0.1 that leads wherever CONNECT asks.
#[derive(Debug)]
pub struct Squid {
    port: u16,
    process: Process,
    _dir: TempDir,
}

/// Who is let through.
#[derive(Clone, Copy)]
enum Known<'a> {
    Basic { user: &'a str, password: &'a str },
    Ntlm,
}

impl Squid {
    /// For everybody; or with `user` and password for who shows those.
    pub fn start(known: Option<(&str, &str)>) -> Result<Self> {
        Self::for_whom(known.map(|(user, password)| Known::Basic { user, password }))
    }

    /// For who speaks NTLM: squid's own stand-in for a domain controller takes any password.
    pub fn start_with_ntlm() -> Result<Self> {
        Self::for_whom(Some(Known::Ntlm))
    }

    fn for_whom(known: Option<Known<'_>>) -> Result<Self> {
        let (port, dir) = (free_port()?, tempfile::Builder::new().prefix("squid-").tempdir()?);
        // It runs as another user than root.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777))?;
        let at = |name: &str| dir.path().join(name).display().to_string();
        let who = match known {
            None => "http_access allow CONNECT\n".to_owned(),
            Some(Known::Ntlm) => "auth_param ntlm program /usr/lib/squid/ntlm_fake_auth\n\
                 auth_param ntlm children 1\n\
                 acl known proxy_auth REQUIRED\nhttp_access allow CONNECT known\n"
                .to_owned(),
            Some(Known::Basic { user, password }) => {
                let hash = Command::new("openssl").args(["passwd", "-apr1", password]).output()?;
                fs::write(at("known"), format!("{user}:{}", String::from_utf8(hash.stdout)?))?;
                format!(
                    "auth_param basic program /usr/lib/squid/basic_ncsa_auth {}\n\
                     auth_param basic children 1\n\
                     acl known proxy_auth REQUIRED\nhttp_access allow CONNECT known\n",
                    at("known")
                )
            }
        };
        let text = format!(
            "http_port 127.0.0.1:{port}\nacl CONNECT method CONNECT\n{who}http_access deny all\n\
             cache deny all\ncache_log {}\naccess_log none\npid_filename {}\ncoredump_dir {}\n\
             shutdown_lifetime 0 seconds\npinger_enable off\nvisible_hostname squid.test\n\
             netdb_filename none\n",
            at("cache.log"),
            at("squid.pid"),
            dir.path().display()
        );
        fs::write(at("squid.conf"), text)?;
        let mut squid = Command::new("/usr/sbin/squid");
        squid.args(["-N", "-f", &at("squid.conf")]);
        let mut process = Process::start("squid", squid, &dir.path().join("out.log"))?;
        let listens = || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
        until(SOON, "squid listens", || (listens() || !process.is_running()).then_some(()))
            .with_context(|| process.tail())?;
        anyhow::ensure!(process.is_running(), "squid ended\n{}", process.tail());
        Ok(Self { port, process, _dir: dir })
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn is_running(&mut self) -> bool {
        self.process.is_running()
    }
}

const SOON: Duration = Duration::from_secs(30);
