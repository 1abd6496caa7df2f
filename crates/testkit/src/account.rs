use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::run::{run, run_with_input};

/// A Unix account with a password, removed when dropped. Making one takes root.
#[derive(Debug)]
pub struct Account {
    name: String,
    password: String,
}

impl Account {
    pub fn create() -> Result<Self> {
        if !is_root() {
            bail!("this test logs in with a password, so it makes a Unix account: run it as root");
        }
        remove_left_behind();
        let number = NEXT.fetch_add(1, Relaxed);
        let name = format!("{PREFIX}{}-{number}", std::process::id());
        let password = format!("pw-{}", random_hex()?);
        let mut useradd = Command::new("useradd");
        useradd.args(["--create-home", "--shell", "/bin/bash", &name]);
        run(&mut useradd, SOON)?.ok()?;
        let account = Self { name, password };
        let line = format!("{}:{}\n", account.name, account.password);
        run_with_input(&mut Command::new("chpasswd"), line.as_bytes(), SOON)?.ok()?;
        Ok(account)
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn password(&self) -> &str {
        &self.password
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        remove(&self.name);
    }
}

pub fn is_root() -> bool {
    id(&["-u"]).is_ok_and(|id| id == "0")
}

/// The account this process runs as.
pub fn current_account() -> Result<String> {
    id(&["-un"])
}

/// What `id` says, such as the user id of an account.
pub(crate) fn id(args: &[&str]) -> Result<String> {
    let output = run(Command::new("id").args(args), SOON)?.ok()?;
    Ok(output.trim().to_owned())
}

pub(crate) fn random_hex() -> Result<String> {
    use std::io::Read;
    let mut bytes = [0; 12];
    let mut source = std::fs::File::open("/dev/urandom").context("/dev/urandom")?;
    source.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

static NEXT: AtomicU32 = AtomicU32::new(0);
const PREFIX: &str = "adit-test-";
const SOON: Duration = Duration::from_secs(20);

fn remove(name: &str) {
    drop(run(Command::new("userdel").args(["--remove", "--force", name]), SOON));
}

/// A test that was killed could not remove its accounts; the next one does.
fn remove_left_behind() {
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let names = accounts.lines().filter_map(|line| line.split(':').next());
    for name in names.filter(|name| owner_is_gone(name)) {
        remove(name);
    }
}

fn owner_is_gone(name: &str) -> bool {
    let Some(rest) = name.strip_prefix(PREFIX) else { return false };
    let process = rest.split('-').next().unwrap_or_default();
    process.parse::<u32>().is_ok() && !std::path::Path::new("/proc").join(process).exists()
}
