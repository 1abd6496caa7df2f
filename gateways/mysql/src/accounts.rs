//! Accounts that last as long as a session: made for it, and taken away after it, by an account that
//! may do no more than that. What the session may do is its level's role to say.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use access::SessionId;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand;
use data_encoding::{BASE32HEX_NOPAD, BASE64URL_NOPAD};
use database::{Credential, Maker, Swept, Tls, Way};
use secrecy::{ExposeSecret as _, SecretString};
use session::{Session, WayBack};
use tokio::time::{Instant, sleep};

use crate::auth::stored;
use crate::desk::{Desk, name, say};
use crate::proto::{self, INIT_DB, QUERY};
use crate::server::{Server, ServerError, Wanted, log_in, refused, told};

/// The account that a session has to itself, made or to be made.
pub(crate) struct OwnAccount {
    pub(crate) maker: Maker,
    pub(crate) tls: Option<Tls>,
    pub(crate) way: WayBack,
    pub(crate) credential: Arc<Credential>,
}

impl OwnAccount {
    /// What a session's account is to be called, with a password that nobody is told.
    pub(crate) fn credential(relay: &str, session: SessionId) -> Result<Credential, ServerError> {
        Ok(Credential { account: account(relay, session), password: password()? })
    }

    pub(crate) async fn make(&self, session: &Session) -> Result<(), ServerError> {
        let role = &self.maker.role;
        self.accounts().make(&self.credential, role).await?;
        let detail = format!("{} in {role}", self.credential.account);
        session.note("target.account", &detail);
        Ok(())
    }

    /// Puts the account's role on, for good, and opens the database that its client wants: before
    /// that it may open none.
    pub(crate) async fn settle(
        &self,
        server: &mut Server,
        database: Option<&str>,
    ) -> Result<(), ServerError> {
        let (role, own) = (name(&self.maker.role), full(&self.credential.account));
        let own = if server.is_mariadb { String::new() } else { format!(" to {own}") };
        for sql in [format!("set default role {role}{own}"), format!("set role {role}")] {
            server.agreed = say(&mut server.io, &command(QUERY, &sql)).await?;
            if let Some(failure) = proto::failure(&server.agreed) {
                return Err(ServerError::Account(told(&failure)));
            }
        }
        let Some(database) = database else { return Ok(()) };
        server.agreed = say(&mut server.io, &command(INIT_DB, database)).await?;
        let is_open = proto::failure(&server.agreed).is_none();
        if is_open { Ok(()) } else { Err(refused(&server.agreed)) }
    }

    /// What can not be taken away now, the next sweep does.
    pub(crate) async fn take_away(&self) {
        if let Err(error) = self.accounts().take_away(&self.credential).await {
            let (account, error) = (&self.credential.account, &error as &dyn std::error::Error);
            tracing::warn!(account, error, "Could not take away a database account");
        }
    }

    fn accounts(&self) -> Accounts<'_> {
        let (way, tls) = (&self.way, self.tls.as_ref());
        Accounts { way, tls, credential: &self.maker.credential }
    }
}

/// A server at which accounts are made and taken away.
pub(crate) struct Accounts<'a> {
    pub(crate) way: &'a dyn Way,
    pub(crate) tls: Option<&'a Tls>,
    pub(crate) credential: &'a Credential,
}

impl Accounts<'_> {
    async fn make(&self, own: &Credential, role: &str) -> Result<(), ServerError> {
        let mut desk = self.log_in(self.credential).await?;
        let of = full(&own.account);
        let identified = identified(own, desk.is_mariadb);
        // One for the session, one while it begins anew, and one that ends what it does.
        let made = format!("create user {of} {identified} with max_user_connections 3");
        desk.ask(&made).await?;
        desk.ask(&format!("grant {} to {of}", name(role))).await?;
        desk.leave().await;
        Ok(())
    }

    async fn take_away(&self, own: &Credential) -> Result<(), ServerError> {
        if let Err(error) = self.stop(own).await {
            // There is none if it could not be made.
            tracing::debug!(%error, "Could not end what a database account does");
        }
        let mut desk = self.log_in(self.credential).await?;
        desk.ask(&format!("drop user if exists {}", full(&own.account))).await?;
        desk.leave().await;
        Ok(())
    }

    /// Takes away the accounts that `relay` made, but for those of the sessions that `live` gives.
    pub(crate) async fn sweep(
        &self,
        relay: &str,
        live: impl Future<Output = Option<HashSet<SessionId>>>,
    ) -> Result<Swept, ServerError> {
        let mut desk = self.log_in(self.credential).await?;
        let prefix = prefix(relay);
        let ours = format!(
            "select user from mysql.user where left(user, {}) = '{prefix}' and \
             length(user) = {LONGEST_NAME} and host = '%'",
            prefix.len()
        );
        let found = desk.ask(&ours).await?;
        // Looked at after that: what began meanwhile is among them.
        let Some(live) = live.await else { return Ok(Swept::default()) };
        let live: HashSet<String> = live.into_iter().map(|id| account(relay, id)).collect();
        let mut swept = Swept::default();
        for account in found.into_iter().flatten().filter(|account| !live.contains(account)) {
            swept.count(&account, self.remove(&mut desk, &account).await);
        }
        desk.leave().await;
        Ok(swept)
    }

    /// Takes away an account whose password is forgotten.
    async fn remove(&self, desk: &mut Desk, account: &str) -> Result<(), ServerError> {
        let own = Credential { account: account.to_owned(), password: password()? };
        let (of, identified) = (full(account), identified(&own, desk.is_mariadb));
        desk.ask(&format!("alter user {of} {identified}")).await?;
        self.stop(&own).await?;
        desk.ask(&format!("drop user if exists {of}")).await.map(drop)
    }

    /// Ends what an account still does. As itself: so the one that makes accounts need not be allowed
    /// to end what others do.
    async fn stop(&self, own: &Credential) -> Result<(), ServerError> {
        let mut desk = self.log_in(own).await?;
        let running = format!(
            "select id from information_schema.processlist where user = '{}' and id <> connection_id()",
            own.account
        );
        let began = Instant::now();
        loop {
            let threads = desk.ask(&running).await?;
            if threads.is_empty() || began.elapsed() > PATIENCE {
                break;
            }
            for thread in threads.into_iter().flatten().filter_map(|id| id.parse::<u64>().ok()) {
                // It may have ended by itself.
                drop(desk.ask(&format!("kill {thread}")).await);
            }
            sleep(MOMENT).await;
        }
        desk.leave().await;
        Ok(())
    }

    pub(crate) async fn log_in(&self, credential: &Credential) -> Result<Desk, ServerError> {
        let (stream, hello) = (self.way.dial().await?, Desk::hello());
        let wanted = Wanted { credential, hello: &hello, files: false };
        Ok(Desk::new(log_in(stream, self.tls, &wanted).await?))
    }
}

/// How an account is known. MariaDB's logs show statements as they are, so it is shown a hash; MySQL's
/// leave passwords out.
fn identified(own: &Credential, is_mariadb: bool) -> String {
    let password = own.password.expose_secret();
    match is_mariadb {
        true => format!("identified by password '{}'", stored(password.as_bytes())),
        false => format!("identified by '{password}'"),
    }
}

fn command(byte: u8, text: &str) -> Vec<u8> {
    [&[byte][..], text.as_bytes()].concat()
}

/// A password as servers' rules for them want it.
fn password() -> Result<SecretString, ServerError> {
    let mut secret = [0; 32];
    rand::fill(&mut secret).map_err(|_| ServerError::Account("no random bytes".to_owned()))?;
    Ok(SecretString::from(format!("{}-Aa1", BASE64URL_NOPAD.encode(&secret))))
}

/// The account of a session: MySQL gives a name 32 characters, so it ends as the session's id does.
fn account(relay: &str, session: SessionId) -> String {
    let id = session.0.simple().to_string();
    let prefix = prefix(relay);
    let end = &id[id.len() - (LONGEST_NAME - prefix.len())..];
    format!("{prefix}{end}")
}

/// How the names begin of all accounts that a relay makes.
fn prefix(relay: &str) -> String {
    let hash = digest(&SHA256, relay.as_bytes());
    format!("adit_{}_", BASE32HEX_NOPAD.encode(&hash.as_ref()[..5]).to_lowercase())
}

fn full(account: &str) -> String {
    format!("{}@`%`", name(account))
}

const LONGEST_NAME: usize = 32;
/// How long what an account still does may take to end.
const PATIENCE: Duration = Duration::from_secs(10);
const MOMENT: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn an_account_tells_which_relay_made_it_for_which_session() {
        let session = SessionId(Uuid::now_v7());
        let name = account("relay.example.com", session);
        assert_eq!(name.len(), LONGEST_NAME);
        assert!(name.starts_with(&prefix("relay.example.com")));
        assert!(!name.starts_with(&prefix("other.example.com")));
        assert!(session.0.simple().to_string().ends_with(&name[name.len() - 18..]));
    }

    #[test]
    fn a_server_that_logs_statements_is_shown_no_password() {
        let own = Credential { account: "adit".to_owned(), password: password().unwrap() };
        assert!(!identified(&own, true).contains(own.password.expose_secret()));
        assert_ne!(password().unwrap().expose_secret(), own.password.expose_secret());
    }
}
