//! Accounts that last as long as a session: made for it, and taken away after it, by an account that
//! may do no more than that. What the session may do is its level's role to say.

use std::collections::HashSet;
use std::time::Duration;

use access::SessionId;
use aws_lc_rs::rand;
use data_encoding::BASE64URL_NOPAD;
use database::{Credential, Swept, Tls, Way};
use secrecy::SecretString;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::desk::{Desk, literal, name};
use crate::scram;
use crate::server::{ServerError, Wanted, log_in};

/// A server at which accounts are made and taken away.
pub(crate) struct Accounts<'a> {
    pub(crate) way: &'a dyn Way,
    pub(crate) tls: Option<&'a Tls>,
    pub(crate) credential: &'a Credential,
    /// The relay's name, by which it knows its own.
    pub(crate) relay: &'a str,
}

impl Accounts<'_> {
    /// Makes the account of a session, which logs in once within a few minutes. Objects that it makes
    /// belong to its role.
    pub(crate) async fn make(
        &self,
        session: SessionId,
        user: &str,
        role: &str,
        database: &str,
    ) -> Result<Credential, ServerError> {
        let mut secret = [0; 32];
        rand::fill(&mut secret).map_err(|_| ServerError::Account("no random bytes".to_owned()))?;
        let password = SecretString::from(BASE64URL_NOPAD.encode(&secret));
        // The server's log may show statements, so it is not shown the password.
        let verifier = scram::verifier(&password)?;
        let account = account(session);
        let mut desk = self.log_in(database).await?;
        let until = desk.ask(UNTIL).await?.into_iter().flatten().next().unwrap_or_default();
        desk.ask(&making(&account, role, &verifier, &until, &self.comment(user))).await?;
        desk.leave().await;
        Ok(Credential { account, password })
    }

    /// Takes the account of a session away, with what it still does; `database` is where it was.
    pub(crate) async fn take_away(
        &self,
        session: SessionId,
        database: &str,
    ) -> Result<(), ServerError> {
        let mut desk = self.log_in(database).await?;
        let account = account(session);
        let exists = format!("select 1 from pg_roles where rolname = {}", literal(&account));
        if !desk.ask(&exists).await?.is_empty() {
            self.remove(&mut desk, &account).await?;
        }
        desk.leave().await;
        Ok(())
    }

    /// Takes away the accounts whose sessions are not among those that `live` gives.
    pub(crate) async fn sweep(
        &self,
        live: impl Future<Output = Option<HashSet<SessionId>>>,
    ) -> Result<Swept, ServerError> {
        let mut desk = self.log_in(EVERYWHERE).await?;
        let comment = self.comment("");
        let ours = format!(
            "select rolname from pg_roles where rolname ~ '^{PREFIX}[0-9a-f]{{32}}$' and \
             left(shobj_description(oid, 'pg_authid'), {}) = {}",
            comment.chars().count(),
            literal(&comment)
        );
        let found = desk.ask(&ours).await?;
        // Looked at after that: what began meanwhile is among them.
        let Some(live) = live.await else { return Ok(Swept::default()) };
        let mut swept = Swept::default();
        for account in found.into_iter().flatten() {
            if owner(&account).is_none_or(|session| live.contains(&session)) {
                continue;
            }
            swept.count(&account, self.remove(&mut desk, &account).await);
        }
        desk.leave().await;
        Ok(swept)
    }

    async fn remove(&self, desk: &mut Desk, account: &str) -> Result<(), ServerError> {
        let quoted = literal(account);
        let running = format!(
            "select pg_terminate_backend(pid) from pg_stat_activity where usename = {quoted}"
        );
        let began = Instant::now();
        // Again and again: one may just have been logging in.
        while !desk.ask(&running).await?.is_empty() && began.elapsed() < PATIENCE {
            sleep(MOMENT).await;
        }
        let elsewhere = format!(
            "select distinct datname from pg_shdepend join pg_database d on d.oid = dbid \
             where refclassid = 'pg_authid'::regclass and refobjid = {}::regrole \
             and datname <> current_database()",
            literal(&name(account))
        );
        for database in desk.ask(&elsewhere).await?.into_iter().flatten() {
            let mut there = self.log_in(&database).await?;
            self.disown(&mut there, account).await?;
            there.leave().await;
        }
        self.disown(desk, account).await?;
        desk.ask(&format!("drop role if exists {}", name(account))).await.map(drop)
    }

    /// What it owns in a database goes to its role.
    async fn disown(&self, desk: &mut Desk, account: &str) -> Result<(), ServerError> {
        let role = format!(
            "select r.rolname from pg_auth_members m join pg_roles r on r.oid = m.roleid \
             join pg_roles a on a.oid = m.member where a.rolname = {} limit 1",
            literal(account)
        );
        let role = desk.ask(&role).await?.into_iter().flatten().next();
        let heir = role.map_or_else(|| "current_user".to_owned(), |role| name(&role));
        let account = name(account);
        let sql = format!("reassign owned by {account} to {heir}; drop owned by {account}");
        desk.ask(&sql).await.map(drop)
    }

    async fn log_in(&self, database: &str) -> Result<Desk, ServerError> {
        let stream = self.way.dial().await?;
        let settings = [
            ("application_name".to_owned(), "adit".to_owned()),
            // Others may hold what an account owned.
            ("lock_timeout".to_owned(), "5s".to_owned()),
        ];
        let wanted = Wanted { credential: self.credential, database, settings: &settings };
        Ok(Desk::new(log_in(stream, self.tls, &wanted).await?))
    }

    /// What is said of an account, by which the relay knows it again. Of `user` for people.
    fn comment(&self, user: &str) -> String {
        format!("Adit at {} for {user}", self.relay)
    }
}

/// All of it or nothing: it is one transaction.
fn making(account: &str, role: &str, verifier: &str, until: &str, comment: &str) -> String {
    let (account, in_role) = (name(account), name(role));
    let (role, verifier, until) = (literal(role), literal(verifier), literal(until));
    format!(
        "create role {account} login inherit nosuperuser nocreatedb nocreaterole noreplication \
         connection limit 1 password {verifier} valid until {until} in role {in_role}; \
         alter role {account} set role = {role}; \
         grant {account} to current_user; \
         comment on role {account} is {}",
        literal(comment)
    )
}

/// The account of a session.
fn account(session: SessionId) -> String {
    format!("{PREFIX}{}", session.0.simple())
}

/// The session whose account this is.
fn owner(account: &str) -> Option<SessionId> {
    Uuid::try_parse(account.strip_prefix(PREFIX)?).ok().map(SessionId)
}

/// For how long one may log in: by the server's clock, not ours.
const UNTIL: &str = "select clock_timestamp() + interval '5 minutes'";
const PREFIX: &str = "adit_";
/// A database that every server has.
const EVERYWHERE: &str = "postgres";
/// How long what an account still does may take to end.
const PATIENCE: Duration = Duration::from_secs(10);
const MOMENT: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_tells_whose_it_is() {
        let session = SessionId(Uuid::now_v7());
        assert_eq!(owner(&account(session)), Some(session));
        for other in ["adit_admin", "adit_", "x", &account(session)[1..]] {
            assert_eq!(owner(other), None, "{other}");
        }
    }

    #[test]
    fn a_role_with_quotes_stays_a_role() {
        let sql = making("adit_1", r#"a"b'c"#, "v", "u", "it's");
        assert!(sql.contains(r#"in role "a""b'c";"#), "{sql}");
        assert!(sql.contains("set role = E'a\"b''c';"), "{sql}");
        assert!(sql.ends_with("is E'it''s'"), "{sql}");
    }
}
