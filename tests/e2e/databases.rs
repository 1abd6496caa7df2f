//! `adit db` and fixed addresses, with the databases that are here and some that are not.

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use anyhow::{Context, Result};
use testkit::{Deployment, Echo, Postgres, Process, eventually, free_port, run};

use crate::support::{SOON, application, assert_says, grant};
use crate::web::Chromium;
use crate::{mysql, postgres, redis};

#[test]
fn psql_opens_at_the_door_without_a_question() -> Result<()> {
    let stage = postgres::Stage::start()?;
    stage.deployment.login("alice")?;
    let mut db = stage.deployment.adit("alice");
    db.args(["db", "orders-db", "-d", Postgres::DATABASE, "--"]);
    db.args(["-X", "-A", "-t", "-c", "select current_user"]);
    let path = std::env::join_paths([stage.postgres.bin(), "/usr/bin".as_ref()])?;
    assert_eq!(run(db.env("PATH", path), SOON)?.ok()?.trim(), "orders_owner");
    Ok(())
}

#[test]
fn mariadb_opens_at_the_door_without_a_question() -> Result<()> {
    let stage = mysql::Stage::start()?;
    stage.deployment.login("alice")?;
    let mut db = stage.deployment.adit("alice");
    db.args(["db", "orders-db", "-d", "orders", "--", "-N", "-e"]);
    db.arg("select substring_index(current_user(), '@', 1), database()");
    assert_eq!(run(&mut db, SOON)?.ok()?.trim(), "orders_owner\torders");
    Ok(())
}

#[test]
fn redis_cli_opens_at_the_door_without_a_question() -> Result<()> {
    let stage = redis::Stage::start()?;
    stage.deployment.login("alice")?;
    let mut db = stage.deployment.adit("alice");
    assert_eq!(
        run(db.args(["db", "cache", "--", "ACL", "WHOAMI"]), SOON)?.ok()?.trim(),
        "cache_owner"
    );
    let mut print = stage.deployment.adit("alice");
    let printed = run(print.args(["db", "cache", "--print"]), SOON)?.ok()?;
    assert!(printed.contains("rediss://alice%2Bcache-hq@"), "{printed}");
    Ok(())
}

#[test]
fn a_database_without_an_account_of_ours_opens_by_a_tunnel_of_its_own() -> Result<()> {
    let (deployment, postgres) = (Deployment::start()?, Postgres::start()?);
    let document = application("orders-db", "postgres", &postgres.address());
    let user = "[[user]]\nname = \"alice\"\n";
    deployment.apply(&(user.to_owned() + &document + &grant("alice", "orders-db")))?.ok()?;
    deployment.login("alice")?;
    let mut db = deployment.adit("alice");
    db.args(["db", "orders-db", "-u", Postgres::USER, "-d", Postgres::DATABASE, "--"]);
    db.args(["-X", "-A", "-t", "-c", "select sum(cents) from orders"]);
    let path = std::env::join_paths([postgres.bin(), "/usr/bin".as_ref()])?;
    let asked = run(db.env("PATH", path).env("PGPASSWORD", postgres.password()), SOON)?;
    assert_eq!(asked.ok()?.trim(), "631250");
    let mut nothing = deployment.adit("alice");
    let missing = run(nothing.args(["db", "orders-db"]).env("PATH", "/nowhere"), SOON)?;
    assert_says(&missing, "there is no psql in the PATH");
    Ok(())
}

#[test]
fn databases_of_every_kind_have_an_address_that_stays() -> Result<()> {
    let (deployment, echo) = (Deployment::start()?, Echo::start(None)?);
    let kinds = ["sqlserver", "oracle", "mongodb", "elasticsearch"];
    let ports = [1433, 1521, 27017, 9200];
    let mut document = "[[user]]\nname = \"alice\"\n".to_owned();
    for kind in kinds {
        document += &application(kind, "tcp", &echo.address());
        document += &format!("tags = {{ database = {kind:?} }}\n");
    }
    document += &application("plain", "tcp", &echo.address());
    for name in kinds.into_iter().chain(["plain"]) {
        document += &grant("alice", name);
    }
    deployment.apply(&document)?.ok()?;
    deployment.login("alice")?;
    let mut addresses = Vec::new();
    for (n, (kind, port)) in kinds.into_iter().zip(ports).enumerate() {
        let address: SocketAddr = format!("127.77.0.{}:{port}", n + 1).parse()?;
        for _ in 0..2 {
            let tunnel = open(&deployment, kind)?;
            let mut stream = eventually_connected(address)?;
            stream.write_all(b"hello")?;
            let mut answer = [0; 5];
            stream.read_exact(&mut answer)?;
            assert_eq!(&answer, b"hello", "{kind}");
            drop(tunnel);
        }
        let printed = run(deployment.adit("alice").args(["db", kind, "--print"]), SOON)?.ok()?;
        assert!(printed.contains(&address.to_string()), "{printed}");
        addresses.push(address);
    }
    let plain = run(deployment.adit("alice").args(["tunnel", "plain", "--fixed"]), SOON)?;
    assert_says(&plain, "no port is usual");
    Ok(())
}

#[test]
fn the_first_client_of_a_port_that_is_always_open_signs_the_machine_in() -> Result<()> {
    let (deployment, echo) = (Deployment::start()?, Echo::start(None)?);
    let document = "[[user]]\nname = \"alice\"\n".to_owned()
        + &application("orders", "tcp", &echo.address())
        + &grant("alice", "orders");
    deployment.apply(&document)?.ok()?;
    deployment.login("alice")?;
    let mut chromium = Chromium::start(deployment.dir(), "alice")?;
    let link = run(deployment.adit("alice").arg("sign-in"), SOON)?.ok()?;
    chromium.goto("a", link.lines().next().context("a link")?)?;
    chromium.until("a", "document.title.startsWith('Applications')")?;
    let port = free_port()?;
    let mut unit = deployment.adit("alice");
    let named = format!("orders:{port}");
    let unit = run(unit.args(["tunnel", &named, "--fixed", "--service", "print"]), SOON)?.ok()?;
    let (_, words) = unit.split_once("ExecStart=").context("what it starts")?;
    let words: Vec<&str> = words.lines().next().context("words")?.split(' ').skip(1).collect();
    assert_eq!(words, ["tunnel", &format!("orders-hq:{port}"), "--fixed"]);
    run(deployment.adit("alice").arg("logout"), SOON)?.ok()?;

    let (browser, shown) = (deployment.dir().join("browser"), deployment.dir().join("shown"));
    fs::write(&browser, format!("#!/bin/sh\necho \"$1\" > {}\n", shown.display()))?;
    fs::set_permissions(&browser, Permissions::from_mode(0o755))?;
    let mut adit = deployment.adit("alice");
    adit.args(&words).env("BROWSER", &browser);
    let log = deployment.dir().join("first.log");
    let _tunnel = Process::start("adit", adit, &log)?;
    let mut stream = eventually_connected(format!("127.77.0.1:{port}").parse()?)?;
    stream.write_all(b"hello")?;
    eventually(SOON, "a browser is opened", || {
        fs::read_to_string(&shown).is_ok_and(|page| !page.is_empty())
    })?;
    let page = fs::read_to_string(&shown)?;
    chromium.goto("b", &format!("file://{}", page.trim()))?;
    let code = chromium
        .until("b", "document.title && location.protocol == 'https:' && document.body.innerText")?;
    let said = fs::read_to_string(&log)?;
    let (_, waiting) = said.split_once("Code: ").context("a code")?;
    let waiting = waiting.split('.').next().context("its end")?;
    assert!(code.to_string().contains(waiting), "{waiting}: {code}");
    chromium.until("b", "(b => b && (b.click(), true))([...document.querySelectorAll('button')].find(b => b.innerText == 'Approve'))")?;
    let mut answer = [0; 5];
    stream.set_read_timeout(Some(SOON))?;
    stream.read_exact(&mut answer)?;
    assert_eq!(&answer, b"hello", "what was sent before the sign-in has arrived");
    Ok(())
}

fn open(deployment: &Deployment, application: &str) -> Result<Process> {
    let mut adit: Command = deployment.adit("alice");
    adit.args(["tunnel", application, "--fixed"]);
    let log = deployment.dir().join(format!("fixed-{application}.log"));
    Process::start("adit", adit, &log)
}

fn eventually_connected(address: SocketAddr) -> Result<TcpStream> {
    eventually(SOON, "the tunnel listens", || TcpStream::connect(address).is_ok())?;
    TcpStream::connect(address).context("the tunnel")
}
