//! Drivers of databases with each of what drivers do: sign in, prepare, fetch a row of 8 MiB, cancel,
//! and refuse a relay that they do not know.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use testkit::{Deployment, node_with, python_with, run};

/// Has each driver's program do each case, at this port and by this token. `other`: a certificate that
/// is not the relay's.
pub(crate) fn each_case(
    drivers: &[Driver],
    deployment: &Deployment,
    port: u16,
    token: &str,
    other: &Path,
) -> Result<()> {
    let mut wrong = Vec::new();
    for driver in drivers {
        let mut command = driver.command(deployment.dir())?;
        command.arg(port.to_string()).arg(token).arg(deployment.ca_file()).arg(other);
        command.env("HOME", deployment.dir());
        if let Way::Node(package) = driver.way {
            command.arg(node_with(package)?);
        }
        let said = run(&mut command, Duration::from_secs(120))?.both();
        for case in CASES {
            if !said.lines().any(|line| line.trim() == format!("{case} ok")) {
                wrong.push(format!("{} × {case}: {said}", driver.name));
            }
        }
    }
    let all = drivers.len() * CASES.len();
    ensure!(wrong.is_empty(), "{} of {all}:\n{}", wrong.len(), wrong.join("\n"));
    Ok(())
}

/// A driver and a program that uses it for each case.
pub(crate) struct Driver {
    pub(crate) name: &'static str,
    pub(crate) way: Way,
    pub(crate) program: &'static str,
}

/// What runs a program.
pub(crate) enum Way {
    /// With this package of PyPI.
    Python(&'static str),
    /// With this package of npm, whose folder it is told.
    Node(&'static str),
    /// A program with these arguments and the file.
    Runs(&'static str, &'static [&'static str], &'static str),
}

impl Driver {
    fn command(&self, dir: &Path) -> Result<Command> {
        Ok(match self.way {
            Way::Python(package) => {
                let mut python = Command::new(python_with(package)?.join("python"));
                python.args(["-c", self.program]);
                python
            }
            Way::Node(_) => {
                let mut node = Command::new("node");
                node.arg(file(dir, &format!("{}.mjs", self.name), self.program)?);
                node
            }
            Way::Runs(by, args, name) => {
                let mut command = Command::new(by);
                command.args(args).arg(file(dir, name, self.program)?);
                command
            }
        })
    }
}

fn file(dir: &Path, name: &str, text: &str) -> Result<PathBuf> {
    let file = dir.join(name);
    fs::write(&file, text)?;
    Ok(file)
}

const CASES: [&str; 5] = ["login", "prepared", "large", "cancel", "verify-full"];
