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
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};
use zeroize::Zeroizing;

use crate::auth::stored;
use crate::desk::{Desk, name, say};
use crate::proto::{self, INIT_DB, QUERY};
use crate::server::{Server, ServerError, Wanted, log_in, refused, told};

/// The account that a session has to itself, made or to be made.
pub(crate) struct OwnAccount {
    pub(crate) maker: Maker,
    pub(crate) tls: Option<Tls>,
    pub(crate) way: WayBack,
    pub(crate) own: Arc<Own>,
}

/// An account of a session's own, as others know it.
#[derive(Debug)]
pub(crate) struct Own {
    pub(crate) credential: Arc<Credential>,
    /// Held by who ends what it does: there is one second account of its name at a time.
    beside: Mutex<()>,
}

impl OwnAccount {
    /// What a session's account is to be called, with a password that nobody is told.
    pub(crate) fn own(relay: &str, session: SessionId) -> Result<Own, ServerError> {
        let credential = Credential { account: account(relay, session), password: password()? };
        Ok(Own { credential: credential.into(), beside: Mutex::new(()) })
    }

    /// Makes it. Whoever made it is there to lock it, once its session is in.
    pub(crate) async fn make(&self, session: &Session) -> Result<Desk, ServerError> {
        let (own, role) = (&self.own.credential, &self.maker.role);
        let keeper = self.accounts().make(own, role).await?;
        session.note("target.account", &format!("{} in {role}", own.account));
        Ok(keeper)
    }

    /// Has the server let nobody in by it any more: its session may set its password.
    pub(crate) async fn lock(&self, mut keeper: Desk) -> Result<(), ServerError> {
        keeper.ask(&format!("alter user {} account lock", self.full())).await?;
        keeper.leave().await;
        Ok(())
    }

    /// Lets its session begin anew, which is a login for the server, for a password that is just made.
    /// Whoever did so is there to lock it.
    pub(crate) async fn unlock(&self) -> Result<(Desk, Credential), ServerError> {
        let mut keeper = self.accounts().log_in(&self.maker.credential).await?;
        let account = self.own.credential.account.clone();
        let credential = Credential { account, password: password()? };
        let identified = identified(&credential, keeper.is_mariadb);
        let open = format!("alter user {} {identified} account unlock", self.full());
        keeper.ask(&open).await?;
        Ok((keeper, credential))
    }

    /// Puts the account's role on, for good, and opens the database that its client wants: before
    /// that it may open none.
    pub(crate) async fn settle(
        &self,
        server: &mut Server,
        database: Option<&str>,
    ) -> Result<(), ServerError> {
        let (role, own) = (name(&self.maker.role), self.full());
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
        let (account, _alone) = (&self.own.credential.account, self.own.beside.lock().await);
        if let Err(error) = self.accounts().take_away(account).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(account, error, "Could not take away a database account");
        }
    }

    fn full(&self) -> String {
        full(&self.own.credential.account)
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
    async fn make(&self, own: &Credential, role: &str) -> Result<Desk, ServerError> {
        let mut keeper = self.log_in(self.credential).await?;
        let of = full(&own.account);
        let identified = identified(own, keeper.is_mariadb);
        // One for the session, and one while it begins anew.
        let made = format!("create user {of} {identified} with max_user_connections 2");
        keeper.ask(&made).await?;
        keeper.ask(&format!("grant {} to {of}", name(role))).await?;
        Ok(keeper)
    }

    async fn take_away(&self, account: &str) -> Result<(), ServerError> {
        let mut keeper = self.log_in(self.credential).await?;
        self.remove(&mut keeper, account).await?;
        keeper.leave().await;
        Ok(())
    }

    /// Takes away the accounts that `relay` made, but for those of the sessions that `live` gives.
    pub(crate) async fn sweep(
        &self,
        relay: &str,
        live: impl Future<Output = Option<HashSet<SessionId>>>,
    ) -> Result<Swept, ServerError> {
        let mut keeper = self.log_in(self.credential).await?;
        let prefix = prefix(relay);
        let ours = format!(
            "select distinct user from mysql.user where left(user, {}) = '{prefix}' and \
             length(user) = {LONGEST_NAME}",
            prefix.len()
        );
        let found = keeper.ask(&ours).await?;
        // Looked at after that: what began meanwhile is among them.
        let Some(live) = live.await else { return Ok(Swept::default()) };
        let live: HashSet<String> = live.into_iter().map(|id| account(relay, id)).collect();
        let mut swept = Swept::default();
        for account in found.into_iter().flatten().filter(|account| !live.contains(account)) {
            swept.count(&account, self.remove(&mut keeper, &account).await);
        }
        keeper.leave().await;
        Ok(swept)
    }

    /// Takes away an account, and before it what it still does: that would go on without it.
    async fn remove(&self, keeper: &mut Desk, account: &str) -> Result<(), ServerError> {
        keeper.ask(&format!("alter user if exists {} account lock", full(account))).await?;
        let second = self.stand_beside(keeper, account).await?;
        let ended = end_all(keeper, account).await;
        self.step_back(keeper, &second).await?;
        ended?;
        let hosts = format!("select host from mysql.user where user = '{account}'");
        for host in keeper.ask(&hosts).await?.into_iter().flatten() {
            keeper.ask(&format!("drop user if exists {}", at(account, &host))).await?;
        }
        Ok(())
    }

    /// Has the server carry out a client's `KILL` of what this account does.
    pub(crate) async fn kill(
        &self,
        own: &Own,
        body: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, ServerError> {
        let (account, _alone) = (&own.credential.account, own.beside.lock().await);
        let mut keeper = self.log_in(self.credential).await?;
        let second = self.stand_beside(&mut keeper, account).await?;
        let answer = keeper.put(body).await;
        self.step_back(&mut keeper, &second).await?;
        keeper.leave().await;
        answer
    }

    /// Becomes another account of the same name, which may do nothing: a server lets nobody else end
    /// what an account does, unless it may end everybody's. The account itself stays locked, and what
    /// its session makes of its password changes nothing here.
    async fn stand_beside(&self, keeper: &mut Desk, account: &str) -> Result<String, ServerError> {
        let host = keeper.ask("select substring_index(user(), '@', -1)").await?;
        let host = host.into_iter().flatten().next().ok_or(NO_HOST)?;
        let second = at(account, &host);
        let credential = Credential { account: account.to_owned(), password: password()? };
        let identified = identified(&credential, keeper.is_mariadb);
        keeper.ask(&format!("drop user if exists {second}")).await?;
        keeper.ask(&format!("create user {second} {identified}")).await?;
        keeper.become_user(&credential).await?;
        Ok(second)
    }

    async fn step_back(&self, keeper: &mut Desk, second: &str) -> Result<(), ServerError> {
        keeper.become_user(self.credential).await?;
        keeper.ask(&format!("drop user if exists {second}")).await.map(drop)
    }

    pub(crate) async fn log_in(&self, credential: &Credential) -> Result<Desk, ServerError> {
        let (stream, hello) = (self.way.dial().await?, Desk::hello());
        let wanted = Wanted { credential, hello: &hello, files: false };
        Ok(Desk::new(log_in(stream, self.tls, &wanted).await?))
    }
}

/// Ends all other connections that an account has.
async fn end_all(desk: &mut Desk, account: &str) -> Result<(), ServerError> {
    let there = format!(
        "select id, command from information_schema.processlist \
         where user = '{account}' and id <> connection_id()"
    );
    let (began, mut ended) = (Instant::now(), HashSet::new());
    loop {
        let threads = desk.ask(&there).await?;
        // One that is told to end does nothing any more, though it may take its time to undo.
        let goes_on = |row: &Vec<String>| {
            let [id, command] = row.as_slice() else { return false };
            !(ended.contains(id) && command == "Killed")
        };
        let left: Vec<String> =
            threads.into_iter().filter(goes_on).filter_map(|row| row.into_iter().next()).collect();
        if left.is_empty() {
            return Ok(());
        }
        if began.elapsed() > PATIENCE {
            return Err(ServerError::GoesOn);
        }
        for id in left {
            if let Ok(thread) = id.parse() {
                desk.kill(thread).await?;
            }
            ended.insert(id);
        }
        sleep(MOMENT).await;
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
    at(account, "%")
}

fn at(account: &str, host: &str) -> String {
    format!("{}@{}", name(account), name(host))
}

const NO_HOST: ServerError = ServerError::Strange("a user without a host");

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
