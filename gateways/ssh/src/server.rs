//! The library's view of a user connection. Decides nothing but what must be answered at once.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use access::{ApplicationId, Authenticated, Channels};
use russh::client::GexParams;
use russh::kex::dh::groups::{DH_GROUP15, DH_GROUP16, DhGroup};
use russh::keys::{Algorithm, Certificate, HashAlg};
use russh::server::{
    Auth, ChannelOpenHandle, Handler, Msg, PublicKeyOffer, Response, Session, VerifiedPublicKey,
};
use russh::{Channel, ChannelId, Pty};
use secrecy::SecretString;

use crate::connection::Connection;
use crate::inbox::WINDOW;
use crate::login::{Login, Verdict};
use crate::unopened::Unopened;
use crate::{announced, channel, forward, remote};

pub(crate) struct DoorHandler {
    connection: Arc<Connection>,
    login: Login,
    /// How often it was asked to prove host keys.
    asked: u8,
}

impl DoorHandler {
    pub(crate) fn new(
        connection: Arc<Connection>,
        vouched: Option<(Authenticated, ApplicationId)>,
    ) -> Self {
        let login = Login::new(connection.clone(), vouched);
        Self { connection, login, asked: 0 }
    }

    /// Refuses a channel, with a row of it.
    async fn refuse(&self, reply: ChannelOpenHandle, why: &Unopened, leads: &str) {
        why.record(&self.connection, leads).await;
        reply.reject(why.failure()).await;
    }

    /// Answers a request for a channel's one program. What becomes of it is told on the channel:
    /// the target may first want something typed there, or the user's agent.
    fn program(&self, channel: ChannelId, session: &mut Session) -> Result<(), russh::Error> {
        match self.connection.starts(channel) {
            true => session.channel_success(channel),
            false => session.channel_failure(channel),
        }
    }

    /// Answers what a client would like before its program starts. Where the application is not
    /// picked yet nobody knows; it is asked again when it is.
    fn wish(
        &self,
        channel: ChannelId,
        session: &mut Session,
        is_allowed: impl FnOnce(&Channels) -> bool,
    ) -> Result<(), russh::Error> {
        match self.connection.reach().is_none_or(|reach| is_allowed(reach.channels())) {
            true => session.channel_success(channel),
            false => session.channel_failure(channel),
        }
    }
}

/// Waits for a verdict no longer than the connection lasts: the library reads nothing meanwhile.
macro_rules! verdict {
    ($handler:expr, $asked:expr) => {{
        let connection = $handler.connection.clone();
        match connection.unless_over($asked).await {
            Some(verdict) => answer(verdict),
            None => Ok(Auth::reject()),
        }
    }};
}

impl Handler for DoorHandler {
    type Error = russh::Error;

    async fn authentication_banner(&mut self) -> Result<Option<String>, russh::Error> {
        Ok(self.connection.texts.banner.clone())
    }

    /// For clients that have neither Curve25519 nor group 16 by name, such as Ruby's. Groups that are
    /// too small for today are none.
    async fn lookup_dh_gex_group(
        &mut self,
        wanted: &GexParams,
    ) -> Result<Option<DhGroup>, russh::Error> {
        let fits = |group: &&DhGroup| {
            (wanted.min_group_size()..=wanted.max_group_size()).contains(&group.bit_size())
        };
        Ok([DH_GROUP16, DH_GROUP15].iter().find(fits).cloned())
    }

    async fn auth_none(&mut self, user: &str) -> Result<Auth, russh::Error> {
        verdict!(self, self.login.none(user))
    }

    async fn auth_password(&mut self, user: &str, password: &str) -> Result<Auth, russh::Error> {
        verdict!(self, self.login.password(user, SecretString::from(password)))
    }

    async fn auth_publickey_offered(
        &mut self,
        user: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, russh::Error> {
        // SHA-1 signatures are worth nothing.
        let sound = *offer.algorithm != Algorithm::Rsa { hash: None };
        let fingerprint = offer.public_key.fingerprint(HashAlg::Sha256).to_string();
        match verdict!(self, self.login.key_offered(user, &fingerprint)) {
            Ok(Auth::Accept) if !sound => answer(self.login.reject()),
            verdict => verdict,
        }
    }

    async fn auth_publickey(
        &mut self,
        user: &str,
        key: VerifiedPublicKey<'_>,
    ) -> Result<Auth, russh::Error> {
        let fingerprint = key.public_key.fingerprint(HashAlg::Sha256).to_string();
        verdict!(self, self.login.key(user, &fingerprint))
    }

    /// The library has checked the signature over this connection, and the certificate's own.
    async fn auth_openssh_certificate(
        &mut self,
        user: &str,
        certificate: &Certificate,
    ) -> Result<Auth, russh::Error> {
        verdict!(self, self.login.certificate(user, certificate))
    }

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        user: &str,
        _: &str,
        response: Option<Response<'a>>,
    ) -> Result<Auth, russh::Error> {
        let text =
            |bytes: bytes::Bytes| SecretString::from(String::from_utf8_lossy(&bytes).into_owned());
        let answers = response.map(|response| response.take(MAX_ANSWERS).map(text).collect());
        verdict!(self, self.login.interactive(user, answers))
    }

    async fn auth_succeeded(&mut self, session: &mut Session) -> Result<(), russh::Error> {
        self.connection.set_handle(session.handle());
        session.send_global_request(announced::ANNOUNCE, &self.connection.gateway.announced.told()?)
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        match self.connection.place() {
            Some(place) => {
                reply.accept().await;
                let serving = channel::serve(self.connection.clone(), channel, place);
                self.connection.run(serving).await;
            }
            None => self.refuse(reply, &Unopened::TooManyChannels, "").await,
        }
        Ok(())
    }

    async fn channel_open_direct_tcpip(
        &mut self,
        channel: Channel<Msg>,
        host: &str,
        port: u32,
        _: &str,
        _: u32,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        match self.connection.place() {
            Some(place) => {
                let to = (host.to_owned(), port);
                let serving = forward::direct(self.connection.clone(), channel, reply, to, place);
                self.connection.run(serving).await;
            }
            None => {
                let leads = format!("{host}:{port}");
                self.refuse(reply, &Unopened::TooManyChannels, &leads).await;
            }
        }
        Ok(())
    }

    async fn channel_open_direct_streamlocal(
        &mut self,
        channel: Channel<Msg>,
        path: &str,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        match self.connection.place() {
            Some(place) => {
                let connection = self.connection.clone();
                let serving = forward::socket(connection, channel, reply, path.to_owned(), place);
                self.connection.run(serving).await;
            }
            None => self.refuse(reply, &Unopened::TooManyChannels, path).await,
        }
        Ok(())
    }

    async fn channel_open_x11(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        self.refuse(reply, &Unopened::of_type("x11"), "").await;
        Ok(())
    }

    async fn channel_open_forwarded_tcpip(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _: &str,
        _: u32,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        self.refuse(reply, &Unopened::of_type("forwarded-tcpip"), "").await;
        Ok(())
    }

    async fn channel_open_other(
        &mut self,
        of_type: &str,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        self.refuse(reply, &Unopened::of_type(of_type), "").await;
        Ok(())
    }

    async fn data(
        &mut self,
        channel: ChannelId,
        data: &[u8],
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        // A stalled channel asks for window a few bytes at a time; it may do so at leisure.
        if data.len() <= TRICKLE as usize && self.connection.up.is_stalled(channel) {
            tokio::time::sleep(LEISURE).await;
        }
        Ok(())
    }

    /// The library asks this for the whole connection, and only when it has just given a channel
    /// window back: the answer counts for whichever channel's data comes next. A channel whose
    /// reader is behind keeps asking for a trickle, the others are given a whole window.
    fn adjust_window(&mut self, channel: ChannelId, _: u32) -> u32 {
        if self.connection.up.is_stalled(channel) { TRICKLE } else { WINDOW }
    }

    async fn pty_request(
        &mut self,
        channel: ChannelId,
        _: &str,
        _: u32,
        _: u32,
        _: u32,
        _: u32,
        _: &[(Pty, u32)],
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        session.channel_success(channel)
    }

    async fn x11_request(
        &mut self,
        channel: ChannelId,
        _: bool,
        _: &str,
        _: &str,
        _: u32,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        self.wish(channel, session, |allowed| allowed.x11)
    }

    async fn env_request(
        &mut self,
        channel: ChannelId,
        name: &str,
        _: &str,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        self.wish(channel, session, |allowed| allowed.environment(name))
    }

    async fn shell_request(
        &mut self,
        channel: ChannelId,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        self.program(channel, session)
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        _: &[u8],
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        self.program(channel, session)
    }

    async fn subsystem_request(
        &mut self,
        channel: ChannelId,
        _: &str,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        self.program(channel, session)
    }

    async fn window_change_request(
        &mut self,
        channel: ChannelId,
        _: u32,
        _: u32,
        _: u32,
        _: u32,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        session.channel_success(channel)
    }

    async fn tcpip_forward(
        &mut self,
        address: &str,
        port: &mut u32,
        _: &mut Session,
    ) -> Result<bool, russh::Error> {
        let listening = remote::listen(&self.connection, address, *port);
        let taken = self.connection.unless_over(listening).await.flatten();
        *port = taken.unwrap_or(*port);
        Ok(taken.is_some())
    }

    async fn cancel_tcpip_forward(
        &mut self,
        address: &str,
        port: u32,
        _: &mut Session,
    ) -> Result<bool, russh::Error> {
        let done =
            self.connection.unless_over(remote::cancel(&self.connection, address, port)).await;
        Ok(done.unwrap_or(false))
    }

    async fn streamlocal_forward(
        &mut self,
        path: &str,
        _: &mut Session,
    ) -> Result<bool, russh::Error> {
        let done = self.connection.unless_over(remote::listen_socket(&self.connection, path)).await;
        Ok(done.unwrap_or(false))
    }

    async fn cancel_streamlocal_forward(
        &mut self,
        path: &str,
        _: &mut Session,
    ) -> Result<bool, russh::Error> {
        let done = self.connection.unless_over(remote::cancel_socket(&self.connection, path)).await;
        Ok(done.unwrap_or(false))
    }

    async fn global_request(
        &mut self,
        name: &str,
        data: &[u8],
        session: &mut Session,
    ) -> Result<Option<Vec<u8>>, russh::Error> {
        if name != announced::PROVE || self.asked == announced::MAX_ASKED {
            return Ok(None);
        }
        self.asked += 1;
        let announced = &self.connection.gateway.announced;
        Ok(session.session_id().and_then(|session| announced.prove(session, data)))
    }

    /// The agent may log in to a transparent target even where it may not be forwarded to it.
    async fn agent_request(&mut self, _: ChannelId, _: &mut Session) -> Result<bool, russh::Error> {
        let reach = self.connection.reach();
        Ok(reach.is_none_or(|reach| reach.channels().agent || !reach.is_managed()))
    }
}

/// The least window the library can be made to give: it gives back when less than half is left.
const TRICKLE: u32 = 2;

/// Between two trickles of a stalled channel.
const LEISURE: Duration = Duration::from_millis(5);

const MAX_ANSWERS: usize = 16;

fn answer(verdict: Verdict) -> Result<Auth, russh::Error> {
    let reject = |methods, partial_success| Auth::Reject {
        proceed_with_methods: Some(methods),
        partial_success,
    };
    Ok(match verdict {
        Verdict::Accept => Auth::Accept,
        Verdict::Reject(methods) => reject(methods, false),
        Verdict::Partial(methods) => reject(methods, true),
        Verdict::Ask(question) => Auth::Partial {
            name: Cow::Owned(question.name),
            instructions: Cow::Owned(question.instructions),
            prompts: question
                .prompts
                .into_iter()
                .map(|(prompt, echo)| (Cow::Owned(prompt), echo))
                .collect(),
        },
        Verdict::Cut => return Err(russh::Error::Disconnect),
    })
}
