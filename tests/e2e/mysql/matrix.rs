//! The drivers of MySQL and MariaDB with each of what drivers do.

use anyhow::Result;

use super::Stage;
use crate::drivers::{Driver, Way, each_case};

#[test]
fn each_driver_does_each_case() -> Result<()> {
    let stage = Stage::start()?;
    let token = stage.token("alice")?;
    each_case(&DRIVERS, &stage.deployment, stage.port(), &token, &stage.mariadb.certificate())
}

const DRIVERS: [Driver; 9] = [
    Driver {
        name: "mariadb",
        way: Way::Runs("sh", &[], "mariadb.sh"),
        program: include_str!("matrix/mariadb.sh"),
    },
    Driver {
        name: "PyMySQL",
        way: Way::Python("PyMySQL==1.1.2"),
        program: include_str!("matrix/pymysql.py"),
    },
    Driver {
        name: "mysqlclient",
        way: Way::Runs("/usr/bin/python3", &[], "mysqlclient.py"),
        program: include_str!("matrix/mysqlclient.py"),
    },
    Driver {
        name: "MySQL Connector/Python",
        way: Way::Python("mysql-connector-python==9.4.0"),
        program: include_str!("matrix/connector.py"),
    },
    Driver {
        name: "mysql2",
        way: Way::Node("mysql2@3.14.1"),
        program: include_str!("matrix/mysql2.mjs"),
    },
    Driver {
        name: "MariaDB Connector/J",
        way: Way::Runs("java", &["-cp", "/usr/share/java/mariadb-java-client.jar"], "Jdbc.java"),
        program: include_str!("matrix/Jdbc.java"),
    },
    Driver {
        name: "PHP",
        way: Way::Runs("php", &[], "mysqli.php"),
        program: include_str!("matrix/mysqli.php"),
    },
    Driver {
        name: "Ruby",
        way: Way::Runs("ruby", &[], "mysql2.rb"),
        program: include_str!("matrix/mysql2.rb"),
    },
    Driver {
        name: "Perl",
        way: Way::Runs("perl", &[], "dbd.pl"),
        program: include_str!("matrix/dbd.pl"),
    },
];
