//! `COM_CHANGE_USER`: a client begins anew on the connection it has, and shows a token again.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use access::{Kind, Side};
use bytes::BytesMut;
use database::{Credential, Knock};
use session::{Door, Session};
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::Gateway;
use crate::accounts::OwnAccount;
use crate::client::Shown;
use crate::proto::{self, Begin, Change, Hello, Told};
use crate::pump::{Finish, Talk};
use crate::scan::Fault;
use crate::server::{Security, ServerError, change};
use crate::words;

/// What it takes to begin anew.
pub(crate) struct Changes<'a> {
    pub(crate) gateway: &'a Gateway,
    pub(crate) from: IpAddr,
    pub(crate) credential: Arc<Credential>,
    /// The account that the session has to itself, if it has.
    pub(crate) account: Option<&'a OwnAccount>,
    pub(crate) hello: Hello,
    pub(crate) capabilities: u32,
    pub(crate) security: tokio::sync::Mutex<Security>,
}

impl Changes<'_> {
    /// Checks the token that is shown, and has the server begin anew as the same account. Whoever
    /// shows none that is good for this session is told so, and it ends.
    pub(crate) async fn carry_out(
        &self,
        talk: &mut Talk,
        session: &Session,
        asked: &Change,
    ) -> Result<(), Finish> {
        // While it waits to be answered a client has nothing more to say.
        if !talk.client.buffer.is_empty() {
            return Err(Finish::Fault(Side::Client, Fault::Turn));
        }
        let checking = timeout(PATIENCE, Box::pin(self.check(talk, session, asked)));
        let told = match checking.await {
            Ok(Ok(Ok(()))) => return self.begin_anew(talk, asked).await,
            Ok(Ok(Err(told))) => told,
            Ok(Err(finish)) => return Err(finish),
            Err(_) => words::too_slow(),
        };
        session.note("mysql.change_user_refused", &told.message);
        Err(Finish::Unchanged(told))
    }

    async fn check(
        &self,
        talk: &mut Talk,
        session: &Session,
        asked: &Change,
    ) -> Result<Result<(), Told>, Finish> {
        let shown = Shown { plugin: asked.plugin.as_deref(), answer: &asked.answer };
        let (io, number) = (&mut talk.client.io, &mut talk.number);
        let signing_in = self.gateway.sign_in(io, number, (&asked.user, shown), self.from);
        let who = match signing_in.await.map_err(|_| Finish::Broken(Side::Client))? {
            Ok(who) => who,
            Err(told) => return Ok(Err(told)),
        };
        if who.name() != session.user() {
            return Ok(Err(words::other_user()));
        }
        let (login, named) = proto::who(&asked.user);
        let label = session.application().label();
        let named = [named, asked.application.as_deref(), Some(label.as_str())];
        let knock = Knock {
            door: Door::Mysql,
            kind: Kind::Mysql,
            named: named.into_iter().flatten().collect(),
            login,
            database: asked.database.as_deref().unwrap_or_default(),
        };
        let checked = knock.check(&self.gateway.broker, &who, SystemTime::now());
        Ok(checked.map_err(|error| words::explain(&error)))
    }

    async fn begin_anew(&self, talk: &mut Talk, asked: &Change) -> Result<(), Finish> {
        let charset = asked.charset.and_then(|charset| u8::try_from(charset).ok());
        let charset = charset.unwrap_or(self.hello.charset);
        let begin = Begin {
            capabilities: self.capabilities,
            extended: self.hello.extended,
            longest_packet: self.hello.longest_packet,
            charset,
            user: &self.credential.account,
            answer: &[],
            database: asked.database.as_deref(),
            plugin: "",
            attributes: &asked.attributes,
        };
        let changed = self.change(talk, begin).await;
        let agreed = changed.map_err(|error| {
            tracing::debug!(%error, "A database did not let a connection begin anew");
            Finish::Broken(Side::Target)
        })?;
        talk.tracker.changed(charset, &agreed);
        talk.recorder.opened(asked.database.as_deref().unwrap_or_default());
        let mut out = BytesMut::new();
        proto::packet(&mut out, &mut talk.number, |out| out.extend_from_slice(&agreed));
        talk.client.write(&out).await.map_err(|_| Finish::Broken(Side::Client))
    }

    async fn change(
        &self,
        talk: &mut Talk,
        begin: Begin<'_>,
    ) -> Result<Zeroizing<Vec<u8>>, ServerError> {
        let (io, mut security) = (&mut talk.server.io, self.security.lock().await);
        let Some(account) = self.account else {
            return change(io, &mut security, &self.credential, begin).await;
        };
        let (keeper, credential) = account.unlock().await?;
        let changed = change(io, &mut security, &credential, begin).await;
        account.lock(keeper).await?;
        changed
    }
}

/// To show a token again: programs do it, which have it at hand.
const PATIENCE: Duration = Duration::from_secs(20);
