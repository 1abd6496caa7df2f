use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::openssl::self_signed;
use crate::run::run;

/// A CA that signs clients' certificates for a database.
#[derive(Debug)]
pub struct ClientCa {
    dir: PathBuf,
}

impl ClientCa {
    /// Makes one in this folder.
    pub(crate) fn make(dir: &Path) -> Result<Self> {
        let ca = Self::of(dir);
        let mut openssl = self_signed(&ca.certificate(), &ca.file("clients.key"));
        openssl.args(["-subj", "/CN=clients"]);
        openssl.args(["-addext", "basicConstraints=critical,CA:TRUE"]);
        run(&mut openssl, SOON)?.ok().context("a CA for clients")?;
        Ok(ca)
    }

    /// The one that was made there.
    pub(crate) fn of(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    pub fn certificate(&self) -> PathBuf {
        self.file("clients.crt")
    }

    /// A file with a certificate for a name, and its key.
    pub fn issue(&self, name: &str) -> Result<PathBuf> {
        let (key, request, certificate) =
            (self.file("client.key"), self.file("client.csr"), self.file("client.crt"));
        let mut asking = Command::new("openssl");
        asking.args(["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]);
        asking.args(["-subj", &format!("/CN={name}"), "-keyout"]).arg(&key);
        run(asking.arg("-out").arg(&request), SOON)?.ok()?;
        let mut signing = Command::new("openssl");
        signing.args(["x509", "-req", "-days", "2", "-CAcreateserial", "-in"]).arg(&request);
        signing.arg("-CA").arg(self.certificate()).arg("-CAkey").arg(self.file("clients.key"));
        run(signing.arg("-out").arg(&certificate), SOON)?.ok()?;
        let both = fs::read_to_string(&certificate)? + &fs::read_to_string(&key)?;
        let pem = self.file(&format!("{name}.pem"));
        fs::write(&pem, both)?;
        Ok(pem)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

const SOON: Duration = Duration::from_secs(30);
