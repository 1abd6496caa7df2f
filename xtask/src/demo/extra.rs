//! `--config FILE`: applications of the caller's own.

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;
use testkit::Deployment;

use super::applications::{Application, issue};
use super::{SITE, USER, say};

/// A file for `adit admin apply`, and what the demo must know of it.
pub(crate) struct Extra {
    file: PathBuf,
    applications: Vec<Spec>,
    grants: Vec<GrantSpec>,
}

/// The rest of the file is the relay's to judge.
#[derive(Deserialize)]
struct Document {
    #[serde(default, rename = "application")]
    applications: Vec<Spec>,
    #[serde(default, rename = "grant")]
    grants: Vec<GrantSpec>,
}

#[derive(Clone, Debug, Deserialize)]
struct GrantSpec {
    user: Option<String>,
    application: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
struct Spec {
    name: String,
    site: String,
    kind: String,
    address: String,
    account: Option<String>,
}

impl Extra {
    pub(crate) fn read(file: &Path) -> Result<Self> {
        let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
        let Document { applications, grants } =
            toml::from_str(&text).with_context(|| file.display().to_string())?;
        Ok(Self { file: file.to_owned(), applications, grants })
    }

    /// Applies the file, starts a connector for each of its sites, grants its applications to the
    /// demo user and issues tokens for them.
    pub(crate) fn add_to(&self, deployment: &mut Deployment) -> Result<Vec<Application>> {
        say(&format!("the applications of {}", self.file.display()));
        let sites: BTreeSet<_> = self.applications.iter().map(|spec| spec.site.as_str()).collect();
        let made: String =
            sites.iter().map(|site| format!("[[site]]\nname = {site:?}\n")).collect();
        deployment.apply(&made)?.ok()?;
        let file = self.file.to_string_lossy();
        deployment.admin(&["apply", "-f", &file])?.ok()?;
        // The demo's own connector was started with what the file wants of it.
        for site in sites.into_iter().filter(|site| *site != SITE) {
            deployment.join(site, &format!("{site}-1"), &self.allow(site))?;
        }
        let grants: String =
            self.applications.iter().filter(|spec| !self.grants(spec)).map(grant).collect();
        deployment.apply(&grants)?.ok()?;
        self.applications.iter().map(|spec| token(deployment, spec)).collect()
    }

    /// Whether the file itself says on which terms the demo user may reach it.
    fn grants(&self, spec: &Spec) -> bool {
        let full = format!("{}.{}", spec.name, spec.site);
        let names = |application: &str| application == spec.name || application == full;
        self.grants.iter().any(|grant| {
            grant.user.as_deref() == Some(USER) && grant.application.as_deref().is_some_and(names)
        })
    }

    /// What the connector of that site must be allowed to dial.
    pub(crate) fn allow(&self, site: &str) -> Vec<String> {
        let of_site = self.applications.iter().filter(|spec| spec.site == site);
        of_site.map(|spec| allow_entry(&spec.address)).collect()
    }
}

/// An IP address is written as a network, which may lie in a range the connector refuses by default.
fn allow_entry(address: &str) -> String {
    let Some((host, port)) = address.rsplit_once(':') else { return address.to_owned() };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => format!("{ip}/32:{port}"),
        Ok(IpAddr::V6(ip)) => format!("[{ip}]/128:{port}"),
        Err(_) => address.to_owned(),
    }
}

fn grant(spec: &Spec) -> String {
    let Spec { name, site, .. } = spec;
    format!("[[grant]]\nuser = {USER:?}\napplication = \"{name}.{site}\"\nforwarding = true\n")
}

fn token(deployment: &Deployment, spec: &Spec) -> Result<Application> {
    let name = format!("{}.{}", spec.name, spec.site);
    let ssh = || {
        let login = spec.account.as_deref().unwrap_or("root");
        let (port, hosts) = (deployment.doors().ssh, deployment.known_hosts());
        let hosts = hosts.display();
        format!("ssh -p {port} -o UserKnownHostsFile={hosts} {login}+{name}@127.0.0.1")
    };
    let tunnel = || format!("{}/adit tunnel {name}", deployment.dir().display());
    let command = if spec.kind == "ssh" { ssh() } else { tunnel() };
    let one = issue(deployment, &name, &spec.kind, command)?;
    Ok(Application { login: spec.account.clone(), ..one })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_of_the_files_own_stands() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("extra.toml");
        let text = "[[application]]\nname = \"a\"\nsite = \"s\"\nkind = \"tcp\"\naddress = \"x:1\"\n\
                    [[application]]\nname = \"b\"\nsite = \"s\"\nkind = \"tcp\"\naddress = \"x:2\"\n\
                    [[grant]]\nuser = \"demo\"\napplication = \"a.s\"\nidle = \"1m\"\n";
        fs::write(&file, text).unwrap();
        let extra = Extra::read(&file).unwrap();
        let granted: Vec<_> = extra.applications.iter().map(|spec| extra.grants(spec)).collect();
        assert_eq!(granted, [true, false]);
    }

    #[test]
    fn addresses_are_allowed_as_the_connector_reads_them() {
        assert_eq!(allow_entry("127.0.0.1:22"), "127.0.0.1/32:22");
        assert_eq!(allow_entry("[fd00::1]:22"), "[fd00::1]/128:22");
        assert_eq!(allow_entry("db1.corp:5432"), "db1.corp:5432");
    }
}
