//! Each driver with each of what drivers do: sign in, prepare, fetch a row of 8 MiB, cancel, and
//! refuse a relay that it does not know.

mod rust;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use testkit::{node_with, python_with, run};

use super::Stage;

#[test]
fn each_driver_does_each_case() -> Result<()> {
    let stage = Stage::start()?;
    let token = stage.token("alice")?;
    let mut wrong = Vec::new();
    for driver in DRIVERS {
        let mut command = driver.command(stage.deployment.dir())?;
        command.arg(stage.port().to_string()).arg(&token).arg(stage.deployment.ca_file());
        command.arg(stage.postgres.certificate()).env("HOME", stage.deployment.dir());
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
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        DRIVERS.len() * CASES.len(),
        wrong.join("\n")
    );
    Ok(())
}

/// A driver and a program that uses it for each case.
struct Driver {
    name: &'static str,
    way: Way,
    program: &'static str,
}

/// What runs a program.
enum Way {
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

fn file(dir: &Path, name: &str, text: &str) -> Result<std::path::PathBuf> {
    let file = dir.join(name);
    fs::write(&file, text)?;
    Ok(file)
}

const CASES: [&str; 5] = ["login", "prepared", "large", "cancel", "verify-full"];

const DRIVERS: [Driver; 11] = [
    Driver {
        name: "libpq",
        way: Way::Runs("sh", &[], "psql.sh"),
        program: include_str!("matrix/psql.sh"),
    },
    Driver {
        name: "psycopg2",
        way: Way::Python("psycopg2-binary==2.9.11"),
        program: include_str!("matrix/psycopg2.py"),
    },
    Driver {
        name: "psycopg",
        way: Way::Python("psycopg[binary]==3.3.9"),
        program: include_str!("matrix/psycopg.py"),
    },
    Driver {
        name: "asyncpg",
        way: Way::Python("asyncpg==0.32.0"),
        program: include_str!("matrix/asyncpg.py"),
    },
    Driver {
        name: "pg8000",
        way: Way::Python("pg8000==1.31.6"),
        program: include_str!("matrix/pg8000.py"),
    },
    Driver {
        name: "node-postgres",
        way: Way::Node("pg@8.16.3"),
        program: include_str!("matrix/node-postgres.mjs"),
    },
    Driver {
        name: "postgres.js",
        way: Way::Node("postgres@3.4.7"),
        program: include_str!("matrix/postgresjs.mjs"),
    },
    Driver {
        name: "JDBC",
        way: Way::Runs("java", &["-cp", "/usr/share/java/postgresql.jar"], "Jdbc.java"),
        program: include_str!("matrix/Jdbc.java"),
    },
    Driver {
        name: "PHP",
        way: Way::Runs("php", &[], "pgsql.php"),
        program: include_str!("matrix/pgsql.php"),
    },
    Driver {
        name: "Ruby",
        way: Way::Runs("ruby", &[], "pg.rb"),
        program: include_str!("matrix/pg.rb"),
    },
    Driver {
        name: "Perl",
        way: Way::Runs("perl", &[], "dbd.pl"),
        program: include_str!("matrix/dbd.pl"),
    },
];
