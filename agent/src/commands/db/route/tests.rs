use std::fmt::Write as _;

use super::*;

#[test]
fn what_other_programs_are_told_by_a_tunnel() {
    let mut shown = String::new();
    for (n, product) in Product::ALL.into_iter().enumerate() {
        let address = format!("127.77.0.{}:{}", n + 1, product.port()).parse().unwrap();
        let _ = writeln!(shown, "{}", product.name());
        write(&mut shown, &target(product, Route::Tunnel(address)));
    }
    assert_eq!(shown, TUNNELS);
}

#[test]
fn what_other_programs_are_told_by_a_door() {
    let door = |many| Route::Door {
        host: "relay.test".to_owned(),
        port: 443,
        ca: "/home/ann lee/.config/adit/ca.pem".into(),
        many,
    };
    let mut shown = String::new();
    let from_admin = Many::FromAdmin { user: "ann".to_owned() };
    let ways = [
        (Product::Postgres, Many::SameToken),
        (Product::Mysql, Many::ApiToken),
        (Product::Redis, from_admin),
    ];
    for (product, many) in ways {
        let mut target = target(product, door(many));
        target.user = Some("ann+db-hq".to_owned());
        let _ = writeln!(shown, "{}", product.name());
        write(&mut shown, &target);
    }
    assert_eq!(shown, DOORS);
}

#[test]
fn a_client_is_told_what_it_needs_and_no_secret() {
    let client = |product: Product| {
        let address = ([127, 77, 0, 9], product.port()).into();
        let mut target = target(product, Route::Tunnel(address));
        (target.user, target.database) = (Some("ann".to_owned()), Some("7".to_owned()));
        let Client { args, env } = target.client(product.clients().first().unwrap_or(&"").as_ref());
        let env = env.into_iter().map(|(name, value)| format!("{name}={value} "));
        env.collect::<String>() + &args.join(" ")
    };
    let expected = [
        "PGHOST=127.77.0.9 PGPORT=5432 PGUSER=ann PGDATABASE=7 ",
        "--host=127.77.0.9 --port=3306 --user=ann --password --database=7",
        "-h 127.77.0.9 -p 6379 --user ann -n 7",
        "-S 127.77.0.9,1433 -U ann -d 7",
        "ann@//127.77.0.9:1521/7",
        "mongodb://ann@127.77.0.9:27017/7?directConnection=true",
        "",
    ];
    assert_eq!(Product::ALL.map(client), expected);
}

#[test]
fn each_client_of_mysql_checks_the_door_in_its_own_words() {
    let (host, ca) = ("relay.test".to_owned(), "/ca.pem".into());
    let door = Route::Door { host, port: 3306, ca, many: Many::ApiToken };
    let target = target(Product::Mysql, door);
    let args = |program: &str| target.client(program.as_ref()).args.join(" ");
    let common = "--host=relay.test --port=3306 --ssl-ca=/ca.pem";
    assert_eq!(args("/usr/bin/mysql"), format!("{common} --ssl-mode=VERIFY_IDENTITY"));
    assert_eq!(args("/usr/bin/mariadb"), format!("{common} --ssl-verify-server-cert"));
}

fn target(product: Product, route: Route) -> Target {
    let application = "db.hq".to_owned();
    Target { product, application, route, user: None, database: None }
}

fn write(shown: &mut String, target: &Target) {
    for (name, value) in target.facts() {
        let _ = writeln!(shown, "  {name}: {value}");
    }
}

const TUNNELS: &str = "\
PostgreSQL
  URL: postgresql://127.77.0.1:5432/DATABASE
  JDBC: jdbc:postgresql://127.77.0.1:5432/DATABASE?user=USER
  DBeaver: PostgreSQL, host 127.77.0.1, port 5432, database DATABASE, user USER
  HeidiSQL: PostgreSQL (TCP/IP), host 127.77.0.1, port 5432, database DATABASE, user USER
  Password: the database's own
  Leave open: adit tunnel db.hq --fixed
MySQL
  URL: mysql://127.77.0.2:3306/DATABASE
  JDBC: jdbc:mysql://127.77.0.2:3306/DATABASE?user=USER
  DBeaver: MySQL, host 127.77.0.2, port 3306, database DATABASE, user USER
  HeidiSQL: MariaDB or MySQL (TCP/IP), host 127.77.0.2, port 3306, database DATABASE, user USER
  Password: the database's own
  Leave open: adit tunnel db.hq --fixed
Redis
  URL: redis://127.77.0.3:6379/0
  DBeaver: Redis, host 127.77.0.3, port 6379, database 0, user USER
  Password: the database's own
  Leave open: adit tunnel db.hq --fixed
SQL Server
  URL: sqlserver://127.77.0.4:1433?database=DATABASE
  JDBC: jdbc:sqlserver://127.77.0.4:1433;databaseName=DATABASE;encrypt=true;trustServerCertificate=true
  DBeaver: SQL Server, host 127.77.0.4, port 1433, database DATABASE, user USER
  HeidiSQL: Microsoft SQL Server (TCP/IP), host 127.77.0.4, port 1433, database DATABASE, user USER
  Password: the database's own
  Leave open: adit tunnel db.hq --fixed
Oracle
  URL: oracle://127.77.0.5:1521/DATABASE
  JDBC: jdbc:oracle:thin:@//127.77.0.5:1521/DATABASE
  DBeaver: Oracle, host 127.77.0.5, port 1521, database DATABASE, user USER
  Password: the database's own
  Leave open: adit tunnel db.hq --fixed
MongoDB
  URL: mongodb://127.77.0.6:27017/DATABASE?directConnection=true
  DBeaver: MongoDB, host 127.77.0.6, port 27017, database DATABASE, user USER
  Password: the database's own
  Leave open: adit tunnel db.hq --fixed
Elasticsearch
  URL: http://127.77.0.7:9200/
  DBeaver: Elasticsearch, host 127.77.0.7, port 9200, database DATABASE, user USER
  Password: the database's own
  Leave open: adit tunnel db.hq --fixed
";

const DOORS: &str = "\
PostgreSQL
  URL: postgresql://ann%2Bdb-hq@relay.test:443/DATABASE?sslmode=verify-full&sslrootcert=/home/ann%20lee/.config/adit/ca.pem
  JDBC: jdbc:postgresql://relay.test:443/DATABASE?user=ann%2Bdb-hq&sslmode=verify-full&sslrootcert=/home/ann%20lee/.config/adit/ca.pem
  DBeaver: PostgreSQL, host relay.test, port 443, database DATABASE, user ann+db-hq, SSL with the CA /home/ann lee/.config/adit/ca.pem
  HeidiSQL: PostgreSQL (TCP/IP), host relay.test, port 443, database DATABASE, user ann+db-hq, SSL with the CA /home/ann lee/.config/adit/ca.pem
  Password: a token: adit token new db.hq
  For several connections: the same token, until it expires
MySQL
  URL: mysql://ann%2Bdb-hq@relay.test:443/DATABASE
  JDBC: jdbc:mariadb://relay.test:443/DATABASE?user=ann%2Bdb-hq&sslMode=verify-full&serverSslCert=/home/ann%20lee/.config/adit/ca.pem
  DBeaver: MySQL, host relay.test, port 443, database DATABASE, user ann+db-hq, SSL with the CA /home/ann lee/.config/adit/ca.pem
  HeidiSQL: MariaDB or MySQL (TCP/IP), host relay.test, port 443, database DATABASE, user ann+db-hq, SSL with the CA /home/ann lee/.config/adit/ca.pem
  Password: a token: adit token new db.hq
  For several connections: an API token: adit token new db.hq --kind api
Redis
  URL: rediss://ann%2Bdb-hq@relay.test:443/0
  DBeaver: Redis, host relay.test, port 443, database 0, user ann+db-hq, SSL with the CA /home/ann lee/.config/adit/ca.pem
  Password: a token: adit token new db.hq
  For several connections: a token of one use opens one; an admin issues one of several: adit admin token issue --user ann --application db.hq --uses 20
";
