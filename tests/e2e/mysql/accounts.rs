//! Accounts that last as long as their session.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};
use testkit::{Process, eventually, python_with, run};

use super::{SOON, Stage};
use crate::support::{application, assert_says, grant};

#[test]
fn a_session_has_an_account_of_its_own_in_its_levels_role() -> Result<()> {
    let stage = with_roles()?;
    let token = stage.token("alice")?;
    let who = "select current_role(), user() regexp '^adit_[0-9a-v]{8}_[0-9a-f]{18}@', database()";
    assert_eq!(stage.sql(&token, who)?.ok()?.trim(), "level_owner\t1\torders");
    stage.sql(&token, "create table made (n int); insert into made values (1)")?.ok()?;
    none_left(&stage)?;
    // The database holds the level.
    stage.deployment.apply(&(grant("alice", "orders-db") + "level = \"viewer\"\n"))?.ok()?;
    assert_eq!(stage.sql(&token, "select count(*) from made")?.ok()?.trim(), "1");
    assert_says(&stage.sql(&token, "delete from orders")?, "denied");
    assert_says(&stage.sql(&token, "set role level_owner")?, "ERROR");
    assert_says(&stage.sql(&token, "set role none; select count(*) from orders")?, "denied");
    stage.deployment.apply(&(grant("alice", "orders-db") + "level = \"editor\"\n"))?.ok()?;
    assert_says(&stage.sql(&token, "select 1")?, "access.denied");
    none_left(&stage)?;
    // It is on record who had which, and nobody has the account that makes them.
    let made = stage.deployment.audit("session.action")?;
    let told = |row: &serde_json::Value| row["event"]["detail"].to_string().contains("level_owner");
    assert!(made.iter().any(told), "{made:?}");
    let sessions = stage.deployment.audit("session.opened")?;
    assert!(sessions.iter().all(|row| row["event"]["login"] != "adit_admin"), "{sessions:?}");
    // No log of the server's has a password.
    let logged = stage.mariadb.logged()?;
    assert!(logged.contains("identified by password '*"), "{logged}");
    assert!(!logged.contains("-Aa1"), "{logged}");
    Ok(())
}

#[test]
fn an_account_begins_anew_with_its_connection() -> Result<()> {
    let stage = with_roles()?;
    let token = stage.token("alice")?;
    let mut python = Command::new(python_with(DRIVER)?.join("python"));
    python.args(["-c", BEGIN_ANEW]).arg(stage.port().to_string()).arg(stage.deployment.ca_file());
    let said = run(python.env("TOKEN", &token), SOON)?.ok()?;
    assert_eq!(said.trim(), "level_owner 100 level_owner 100 level_owner 100");
    none_left(&stage)
}

#[test]
fn an_account_ends_with_its_session_and_so_does_what_it_did() -> Result<()> {
    let stage = with_roles()?;
    let token = stage.token("alice")?;
    let mut client = stage.running(&token, "select sleep(100) /* own */")?;
    eventually(SOON, "it runs", || stage.threads("%/* own */%").is_ok_and(|n| n.len() == 1))?;
    assert_eq!(admin(&stage, ACCOUNTS_LEFT)?, "1");
    let id = stage.deployment.sessions()?[0]["id"].as_str().context("a session")?.to_owned();
    stage.deployment.admin(&["session", "kill", &id])?.ok()?;
    eventually(SOON, "the client has ended", || !client.is_running())?;
    none_left(&stage)?;
    // The server ends a statement in its own time, after whose it was is gone.
    eventually(SOON, "its statement has ended", || {
        stage.threads("%/* own */%").is_ok_and(|threads| threads.is_empty())
    })?;
    Ok(())
}

#[test]
fn a_kill_reaches_a_session_that_has_another_account() -> Result<()> {
    let stage = with_roles()?;
    stage.deployment.apply(&grant("bob", "orders-db"))?.ok()?;
    let (alice, bob) = (stage.token("alice")?, stage.token("bob")?);
    let mut theirs = stage.running(&bob, "select sleep(100) /* theirs */")?;
    let mut mine = stage.running(&alice, "select sleep(100) /* mine */")?;
    let mut interrupted = stage.running(&alice, "select sleep(100) /* interrupted */")?;
    eventually(SOON, "all run", || {
        ["theirs", "mine", "interrupted"].iter().all(|name| {
            stage.threads(&format!("%/* {name} */%")).is_ok_and(|threads| threads.len() == 1)
        })
    })?;
    let foreign = stage.threads("%/* theirs */%")?[0];
    assert_says(&stage.sql(&alice, &format!("kill {foreign}"))?, "database.kill");
    let own = stage.threads("%/* mine */%")?[0];
    let killed = stage.sql(&alice, &format!("kill query {own}; select 'on'"))?;
    assert_eq!(killed.ok()?.trim(), "on");
    eventually(SOON, "the statement has ended", || !mine.is_running())?;
    // As Ctrl-C does, which knows the number that the door gave.
    run(Command::new("kill").args(["-INT", &interrupted.id().to_string()]), SOON)?.ok()?;
    eventually(SOON, "the client has ended", || !interrupted.is_running())?;
    assert!(theirs.is_running(), "{}", theirs.tail());
    theirs.kill();
    none_left(&stage)
}

#[test]
fn an_account_is_good_for_its_session_alone_whatever_its_user_makes_of_its_password() -> Result<()>
{
    let stage = with_roles()?;
    let token = stage.token("alice")?;
    let runs = |like: &str| stage.threads(like).is_ok_and(|threads| threads.len() == 1);
    let take_over = |name: &str| -> Result<(Process, String)> {
        let sql = format!("set password = password('mine'); select sleep(100) /* {name} */");
        let client = stage.running(&token, &sql)?;
        eventually(SOON, "it runs", || runs(&format!("%/* {name} */%")))?;
        Ok((client, admin(&stage, &format!("select user {ACCOUNTS}"))?))
    };
    let port = stage.mariadb.port().to_string();
    let direct = |account: &str, sql: &str| {
        let mut client = Command::new("mariadb");
        client.args(["--no-defaults", "--comments", "-h127.0.0.1", "-P", &port]);
        client.args(["-u", account, "-e", sql]);
        client.env("MYSQL_PWD", "mine");
        client
    };
    let (mut killed, account) = take_over("killed")?;
    assert_says(&run(&mut direct(&account, "select 1"), SOON)?, "account is locked");
    // The relay needs no password of it to end what it does.
    let own = stage.threads("%/* killed */%")?[0];
    stage.sql(&token, &format!("kill query {own}"))?.ok()?;
    eventually(SOON, "the statement has ended", || !killed.is_running())?;
    none_left(&stage)?;
    // What did get in would outlive the account.
    let (mut client, account) = take_over("outlived")?;
    admin(&stage, &format!("alter user {account} account unlock"))?;
    let log = stage.deployment.dir().join("direct.log");
    let sleeping = direct(&account, "select sleep(100) /* direct */");
    let _direct = Process::start("mariadb", sleeping, &log)?;
    eventually(SOON, "it is in", || runs("%/* direct */%"))?;
    client.kill();
    none_left(&stage)?;
    eventually(SOON, "nothing of it is left", || {
        stage.threads("%/* direct */%").is_ok_and(|threads| threads.is_empty())
    })
}

#[test]
fn what_a_killed_relay_left_behind_is_swept_and_nothing_else() -> Result<()> {
    let mut stage = with_roles()?;
    let token = stage.token("alice")?;
    let left = stage.running(&token, "select sleep(100) /* left */")?;
    eventually(SOON, "it runs", || stage.threads("%/* left */%").is_ok_and(|n| n.len() == 1))?;
    // Another relay's, and one that only looks like it.
    admin(&stage, "create user adit_00000000_0123456789abcdef01; create user adit_x")?;
    stage.deployment.relay().kill();
    assert_eq!(admin(&stage, ACCOUNTS_LEFT)?, "2");
    stage.deployment.start_relay()?;
    stage.deployment.wait_for_connectors(1)?;
    let mut live = stage.running(&token, "select sleep(12), 'still here'")?;
    eventually(SOON, "it was swept, with what it did", || {
        admin(&stage, "select count(*) from mysql.user where user = 'adit_x'")
            .is_ok_and(|n| n == "1")
            && stage.threads("%/* left */%").is_ok_and(|threads| threads.is_empty())
    })?;
    drop(left);
    live.wait(SOON)?;
    assert!(live.tail().contains("still here"), "{}", live.tail());
    eventually(SOON, "only what is not ours is left", || {
        admin(&stage, ACCOUNTS_LEFT).is_ok_and(|n| n == "1")
    })
}

#[test]
fn an_account_that_can_not_be_made_is_told_of() -> Result<()> {
    let stage = with_roles()?;
    let token = stage.token("alice")?;
    admin(&stage, "revoke create user on *.* from adit_admin")?;
    assert_says(&stage.sql(&token, "select 1")?, "target.account");
    let noted = stage.deployment.audit("session.action")?;
    let told = |row: &serde_json::Value| row["event"]["detail"].to_string().contains("CREATE USER");
    assert!(noted.iter().any(told), "{noted:?}");
    Ok(())
}

/// A stage whose application maps levels to roles.
fn with_roles() -> Result<Stage> {
    let stage = Stage::start()?;
    stage.mariadb.admin("", ROLES)?;
    let password = stage.deployment.dir().join("maker-password");
    fs::write(&password, "s3cret-of-the-maker")?;
    let ca = stage.mariadb.certificate();
    let document = [
        application("orders-db", "mysql", &stage.mariadb.address()),
        format!("account = \"adit_admin\"\npassword_file = {password:?}\nca_file = {ca:?}\n"),
        "[application.database]\nsni = \"localhost\"\n".to_owned(),
        "[application.database.roles]\nowner = \"level_owner\"\nviewer = \"level_viewer\"\n"
            .to_owned(),
    ];
    stage.deployment.apply(&document.concat())?.ok()?;
    Ok(stage)
}

fn none_left(stage: &Stage) -> Result<()> {
    eventually(SOON, "no account is left", || admin(stage, ACCOUNTS_LEFT).is_ok_and(|n| n == "0"))
}

fn admin(stage: &Stage, sql: &str) -> Result<String> {
    Ok(stage.mariadb.admin("", sql)?.trim().to_owned())
}

const ACCOUNTS_LEFT: &str =
    "select count(*) from mysql.user where user regexp '^adit_[0-9a-v]{8}_[0-9a-f]{18}$'";
const ACCOUNTS: &str = "from mysql.user where user regexp '^adit_[0-9a-v]{8}_[0-9a-f]{18}$'";

const ROLES: &str = "
create user adit_admin identified by 's3cret-of-the-maker';
grant create user on *.* to adit_admin;
grant select on mysql.user to adit_admin;
create role level_owner with admin adit_admin;
create role level_viewer with admin adit_admin;
grant all on orders.* to level_owner;
grant select on orders.* to level_viewer;";

const DRIVER: &str = "mysql-connector-python==9.4.0";
const BEGIN_ANEW: &str = "
import os, sys, mysql.connector
token = os.environ['TOKEN']
db = mysql.connector.connect(host='localhost', port=int(sys.argv[1]), user='x', password=token,
                             database='orders', ssl_ca=sys.argv[2], ssl_verify_identity=True,
                             use_pure=True, charset='utf8mb4',
                             collation='utf8mb4_general_ci')
def ask():
    cursor = db.cursor()
    cursor.execute('select current_role(), (select count(*) from orders)')
    print(*cursor.fetchone(), end=' ')
ask()
db.cmd_reset_connection()
ask()
db.cmd_change_user('x', token, 'orders')
ask()
db.close()
";
