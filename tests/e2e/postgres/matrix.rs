//! The drivers of PostgreSQL with each of what drivers do.

mod rust;

use anyhow::Result;

use super::Stage;
use crate::drivers::{Driver, Way, each_case};

#[test]
fn each_driver_does_each_case() -> Result<()> {
    let stage = Stage::start()?;
    let token = stage.token("alice")?;
    each_case(&DRIVERS, &stage.deployment, stage.port(), &token, &stage.postgres.certificate())
}

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
