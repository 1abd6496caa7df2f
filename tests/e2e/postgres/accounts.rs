//! Accounts that last as long as their session.

use std::fs;

use anyhow::{Context, Result};
use testkit::{Postgres, Process, eventually};

use super::{SOON, Stage};
use crate::support::{application, assert_says, grant};

#[test]
fn a_session_has_an_account_of_its_own_in_its_levels_role() -> Result<()> {
    let stage = with_roles()?;
    let token = stage.token("alice")?;
    let who = "select current_user, session_user ~ '^adit_[0-9a-f]{32}$', rolconnlimit, \
               rolvaliduntil < now() + interval '1 hour' from pg_roles where rolname = session_user";
    assert_eq!(stage.sql(&token, who)?.ok()?.trim(), "level_owner|t|1|t");
    // What it makes is its role's, also where it steps out of it.
    stage.sql(&token, "create table made (n int)")?.ok()?;
    stage
        .sql(
            &token,
            "set role none; create table mine (n int); grant select on mine to level_viewer",
        )?
        .ok()?;
    none_left(&stage)?;
    let owners =
        "select string_agg(tableowner, ' ') from pg_tables where tablename in ('made', 'mine')";
    assert_eq!(admin(&stage, owners)?, "level_owner level_owner");
    // The database holds the level.
    stage.deployment.apply(&(grant("alice", "orders-db") + "level = \"viewer\"\n"))?.ok()?;
    assert_eq!(stage.sql(&token, "select count(*) from mine")?.ok()?.trim(), "0");
    assert_says(&stage.sql(&token, "delete from orders")?, "permission denied");
    assert_says(&stage.sql(&token, "set role none; delete from orders")?, "permission denied");
    assert_says(&stage.sql(&token, "set role level_owner")?, "permission denied");
    stage.deployment.apply(&(grant("alice", "orders-db") + "level = \"editor\"\n"))?.ok()?;
    assert_says(&stage.sql(&token, "select 1")?, "access.denied");
    none_left(&stage)?;
    // It is on record who had which, and nobody has the account that makes them.
    let made = stage.deployment.audit("session.action")?;
    assert!(
        made.iter().any(|row| row["event"]["detail"].to_string().contains("in level_owner")),
        "{made:?}"
    );
    let sessions = stage.deployment.audit("session.opened")?;
    assert!(sessions.iter().all(|row| row["event"]["login"] != "adit_admin"), "{sessions:?}");
    Ok(())
}

#[test]
fn an_account_ends_with_its_session_and_so_does_what_it_did() -> Result<()> {
    let stage = with_roles()?;
    let token = stage.token("alice")?;
    let mut psql = stage.running(&token, "select pg_sleep(100) /* own */")?;
    eventually(SOON, "it runs", || stage.backends("%/* own */%").is_ok_and(|n| n == 1))?;
    assert_eq!(admin(&stage, ACCOUNTS_LEFT)?, "1");
    let id = stage.deployment.sessions()?[0]["id"].as_str().context("a session")?.to_owned();
    stage.deployment.admin(&["session", "kill", &id])?.ok()?;
    eventually(SOON, "psql has ended", || !psql.is_running())?;
    none_left(&stage)?;
    assert_eq!(stage.backends("%/* own */%")?, 0);
    Ok(())
}

#[test]
fn a_relay_that_stops_leaves_no_account_and_no_statement_at_the_database() -> Result<()> {
    let mut stage = with_roles()?;
    let token = stage.token("alice")?;
    let psql = stage.running(&token, "select pg_sleep(100) /* stopped */")?;
    eventually(SOON, "it runs", || stage.backends("%/* stopped */%").is_ok_and(|n| n == 1))?;
    stage.deployment.relay().terminate();
    // Connectors have gone elsewhere by then; asked again, it does not wait for its grace to pass.
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert!(stage.deployment.relay().stop(SOON)?.success());
    assert_eq!(admin(&stage, ACCOUNTS_LEFT)?, "0");
    assert_eq!(stage.backends("%/* stopped */%")?, 0);
    drop(psql);
    Ok(())
}

#[test]
fn what_a_killed_relay_left_behind_is_swept_and_nothing_else() -> Result<()> {
    let mut stage = with_roles()?;
    let token = stage.token("alice")?;
    let left = stage.running(&token, "select pg_sleep(100) /* left */")?;
    eventually(SOON, "it runs", || stage.backends("%/* left */%").is_ok_and(|n| n == 1))?;
    let account = admin(
        &stage,
        "select usename from pg_stat_activity where query like '%/* left */%' and pid <> pg_backend_pid()",
    )?;
    admin(&stage, &format!("create table lost (n int); alter table lost owner to \"{account}\""))?;
    // Another relay's, and one that is nobody's.
    let (others, nobodys) =
        ("adit_0123456789abcdef0123456789abcdef", "adit_00000000000000000000000000000000");
    admin(
        &stage,
        &format!(
            "create role {others}; comment on role {others} is 'Adit at other.example.com for eve'; create role {nobodys}"
        ),
    )?;
    stage.deployment.relay().kill();
    assert_eq!(admin(&stage, ACCOUNTS_LEFT)?, "3");
    stage.deployment.start_relay()?;
    stage.deployment.wait_for_connectors(1)?;
    let live = live(&stage, &token)?;
    eventually(SOON, "it was swept", || {
        admin(&stage, &format!("select count(*) from pg_roles where rolname = '{account}'"))
            .is_ok_and(|n| n == "0")
    })?;
    drop(left);
    assert_eq!(
        admin(&stage, "select tableowner from pg_tables where tablename = 'lost'")?,
        "level_owner"
    );
    let mut live = live;
    live.wait(SOON)?;
    assert!(live.tail().contains("still here"), "{}", live.tail());
    eventually(SOON, "only what is not ours is left", || {
        admin(&stage, ACCOUNTS_LEFT).is_ok_and(|n| n == "2")
    })
}

#[test]
fn an_account_that_can_not_be_made_is_told_of() -> Result<()> {
    let stage = with_roles()?;
    let token = stage.token("alice")?;
    admin(&stage, "alter role adit_admin nocreaterole")?;
    let refused = stage.sql(&token, "select 1")?;
    assert_says(&refused, "target.account");
    let noted = stage.deployment.audit("session.action")?;
    assert!(
        noted.iter().any(|row| row["event"]["detail"].to_string().contains("42501")),
        "{noted:?}"
    );
    Ok(())
}

/// A session that runs while the relay sweeps.
fn live(stage: &Stage, token: &str) -> Result<Process> {
    let log = stage.deployment.dir().join("live.log");
    Process::start(
        "psql",
        stage.psql(token, &["-c", "select 'still here' from pg_sleep(12)"]),
        &log,
    )
}

/// A stage whose application maps levels to roles.
fn with_roles() -> Result<Stage> {
    let stage = Stage::start()?;
    admin(&stage, ROLES)?;
    let password = stage.deployment.dir().join("maker-password");
    fs::write(&password, "s3cret-of-the-maker")?;
    let ca = stage.postgres.certificate();
    let document = [
        application("orders-db", "postgres", &stage.postgres.address()),
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
    Ok(stage.postgres.admin(Postgres::DATABASE, sql)?.trim().to_owned())
}

const ACCOUNTS_LEFT: &str = "select count(*) from pg_roles where rolname ~ '^adit_[0-9a-f]{32}$'";

const ROLES: &str = "
create role adit_admin login createrole password 's3cret-of-the-maker';
create role level_owner nologin in role reporting;
create role level_viewer nologin;
grant create, usage on schema public to level_owner;
grant select on orders to level_viewer;
grant level_owner, level_viewer to adit_admin with admin option;";
