//! A connection to the relay that comes back by itself.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use access::{EndReason, Explain, SessionId};
use bytes::Bytes;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tunnel::{Closed, Connection, OpenError, Opened, Stream};
use wire::{Header, Open};

use super::{Enrolled, failures};
use crate::exit::{Exit, Failure};
use crate::forward::Opener;
use crate::ui::Ui;

/// Keeps one connection to the relay while it exists.
pub struct Link {
    state: watch::Receiver<State>,
    keeper: JoinSet<()>,
}

/// Where the connection stands.
#[derive(Clone)]
enum State {
    Up(Connection),
    /// Being dialled again.
    Down,
    /// The relay does not want us: dialling again would not help.
    Refused(Arc<Failure>),
}

/// A session's stream, and by which connection its end is told.
pub struct Carried {
    stream: Stream,
    told: Option<(Connection, SessionId)>,
}

/// The way to one application.
pub struct Way {
    link: Arc<Link>,
    header: Header,
}

impl Link {
    /// Dials the relay; from then on the connection is kept up.
    pub async fn new(enrolled: Arc<Enrolled>, ui: Ui) -> Result<Self, Failure> {
        let first = enrolled.dial().await?;
        let (sender, state) = watch::channel(State::Up(first.clone()));
        let mut keeper = JoinSet::new();
        keeper.spawn(keep(first, enrolled, sender, ui));
        Ok(Self { state, keeper })
    }

    /// Opens a session. Waits a while for a connection that is just being dialled again.
    pub async fn open(&self, header: &Header) -> Result<Carried, Failure> {
        match timeout(OPEN_DEADLINE, self.open_on_any(header)).await {
            Ok(opened) => opened,
            Err(_) => Err(self.late()),
        }
    }

    /// Completes when the relay has refused us for good, and says why.
    pub async fn refused(&self) -> Failure {
        let mut state = self.state.clone();
        loop {
            if let State::Refused(failure) = &*state.borrow_and_update() {
                return Failure::clone(failure);
            }
            if state.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// Closes the connection and waits a moment so that the relay hears it.
    pub async fn close(&mut self) {
        self.keeper.shutdown().await;
        let state = self.state.borrow().clone();
        if let State::Up(connection) = state {
            connection.goodbye(EndReason::Closed, "goodbye").await;
        }
    }

    async fn open_on_any(&self, header: &Header) -> Result<Carried, Failure> {
        loop {
            let connection = self.up().await?;
            let opened = tokio::select! {
                biased;
                opened = connection.open(header) => opened,
                // What was asked of the old one, it does not answer.
                () = self.replaced(&connection) => continue,
            };
            match opened {
                Ok((stream, opened)) => {
                    let told = opened.session.map(|session| (connection, session));
                    return Ok(Carried { stream, told });
                }
                Err(OpenError::Refused { source }) => return Err(failures::refusal(&source)),
                // Nothing was opened that is not gone with its connection.
                Err(OpenError::Broken { .. }) if !connection.is_open() => self.next().await?,
                Err(error @ (OpenError::Broken { .. } | OpenError::Unknown)) => {
                    return Err(broken(&error));
                }
            }
        }
    }

    async fn up(&self) -> Result<Connection, Failure> {
        if let State::Up(connection) = &*self.state.borrow() {
            return Ok(connection.clone());
        }
        let mut state = self.state.clone();
        let settled = state.wait_for(|state| !matches!(state, State::Down)).await;
        match settled.as_deref() {
            Ok(State::Up(connection)) => Ok(connection.clone()),
            Ok(State::Refused(failure)) => Err(Failure::clone(failure)),
            Ok(State::Down) | Err(_) => Err(gone()),
        }
    }

    /// Completes when another connection takes sessions and this one does not answer.
    async fn replaced(&self, connection: &Connection) {
        connection.doubted().await;
        let mut state = self.state.clone();
        let other = |state: &State| matches!(state, State::Up(other) if !other.is(connection));
        if state.wait_for(other).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits until the keeper has noticed that the connection is gone.
    async fn next(&self) -> Result<(), Failure> {
        let mut state = self.state.clone();
        let noticed = |state: &State| !matches!(state, State::Up(old) if !old.is_open());
        state.wait_for(noticed).await.map(drop).map_err(|_| gone())
    }

    fn late(&self) -> Failure {
        match &*self.state.borrow() {
            State::Up(_) => slow(),
            State::Down => gone(),
            State::Refused(failure) => Failure::clone(failure),
        }
    }
}

impl Way {
    /// To the application itself, past any door of the relay that speaks its protocol.
    pub fn raw(link: Arc<Link>, application: &str) -> Self {
        Self { link, header: header(application, true) }
    }

    /// By the door of the relay that speaks the application's protocol, where there is one.
    pub fn door(link: Arc<Link>, application: &str) -> Self {
        Self { link, header: header(application, false) }
    }
}

impl Opener for Way {
    type Stream = Carried;

    async fn open(&self) -> Result<Carried, Failure> {
        self.link.open(&self.header).await
    }

    async fn last_words(&self, session: &Carried) -> Option<Arc<str>> {
        let (connection, session) = session.told.as_ref()?;
        connection.last_words(*session).await
    }
}

impl splice::Stream for Carried {
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        self.stream.poll_recv(cx)
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, data: &mut Bytes) -> Poll<io::Result<()>> {
        self.stream.poll_send(cx, data)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_flush(cx)
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_finish(cx)
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        self.stream.poll_gone(cx)
    }

    fn abort(&mut self, code: u32) {
        self.stream.abort(code);
    }
}

/// Opens one session on one connection: to the application, or to the door that speaks its protocol.
pub async fn open_once(
    connection: &Connection,
    application: &str,
) -> Result<(Stream, Opened), Failure> {
    match timeout(OPEN_DEADLINE, connection.open(&header(application, false))).await {
        Ok(Ok(opened)) => Ok(opened),
        Ok(Err(OpenError::Refused { source })) => Err(failures::refusal(&source)),
        Ok(Err(error @ (OpenError::Broken { .. } | OpenError::Unknown))) => Err(broken(&error)),
        Err(_) => Err(slow()),
    }
}

fn header(application: &str, raw: bool) -> Header {
    Header::Open(Open { application: application.to_owned(), raw })
}

/// Dials again whenever the connection is over or takes no more sessions.
async fn keep(
    mut connection: Connection,
    enrolled: Arc<Enrolled>,
    state: watch::Sender<State>,
    ui: Ui,
) {
    // A connection that takes no more sessions is kept while it still carries some.
    let mut leaving = JoinSet::new();
    loop {
        if let Some(next) = attend(&connection, &enrolled, &state, &mut leaving, &ui).await {
            leaving.spawn(retire(std::mem::replace(&mut connection, next)));
            state.send_replace(State::Up(connection.clone()));
            continue;
        }
        match again(&enrolled).await {
            Ok(next) => connection = next,
            Err(refused) => {
                state.send_replace(State::Refused(Arc::new(refused)));
                return;
            }
        }
        state.send_replace(State::Up(connection.clone()));
        ui.say("adit: connected again");
    }
}

/// Waits until a connection is over or takes no more sessions, or until another one should take them,
/// which is given.
async fn attend(
    connection: &Connection,
    enrolled: &Enrolled,
    state: &watch::Sender<State>,
    leaving: &mut JoinSet<()>,
    ui: &Ui,
) -> Option<Connection> {
    let mut replacement = Box::pin(enrolled.replacement(connection));
    loop {
        tokio::select! {
            biased;
            closed = connection.closed() => {
                state.send_replace(State::Down);
                ui.say(format_args!("adit: {}; connecting again", lost(&closed)));
                return None;
            }
            () = connection.draining() => {
                state.send_replace(State::Down);
                leaving.spawn(see_off(connection.clone()));
                return None;
            }
            next = &mut replacement => return Some(next),
            Some(_) = leaving.join_next(), if !leaving.is_empty() => {}
        }
    }
}

/// Lets a connection's sessions end that another one has replaced, and then closes it.
async fn retire(connection: Connection) {
    connection.drain();
    let carried_all = async {
        // What was just being opened is counted by then.
        sleep(SETTLE).await;
        while connection.streams() > 0 {
            sleep(SETTLE).await;
        }
    };
    tokio::select! {
        _ = connection.closed() => {}
        () = carried_all => {
            connection.goodbye(EndReason::Closed, "another connection took its place").await;
        }
    }
}

fn lost(closed: &Closed) -> String {
    match closed {
        Closed::Peer { reason: EndReason::Drained, .. } => "the relay is stopping".to_owned(),
        Closed::Peer { reason, .. } => {
            format!("the relay closed the connection: {}", reason.public())
        }
        Closed::Silent => "the relay does not answer any more".to_owned(),
        Closed::Here | Closed::Restarted | Closed::Broken { .. } => {
            "the connection to the relay broke".to_owned()
        }
    }
}

async fn see_off(connection: Connection) {
    drop(connection.closed().await);
}

/// Dials until the relay answers, or refuses.
async fn again(enrolled: &Enrolled) -> Result<Connection, Failure> {
    let mut pause = FIRST_PAUSE;
    loop {
        // Jitter keeps a thousand agents from coming back in the same moment.
        sleep(pause.mul_f64(rand::random_range(0.5..1.0))).await;
        match enrolled.dial().await {
            Ok(connection) => return Ok(connection),
            Err(failure) if failure.exit() == Exit::Denied => return Err(failure),
            Err(failure) => tracing::debug!(%failure, "Could not connect"),
        }
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

fn slow() -> Failure {
    Failure::coded("dial.timeout", "the application does not answer")
        .hint("check that it is running and reachable from its connector")
}

fn gone() -> Failure {
    Failure::coded("relay.unreachable", "the relay does not answer")
        .hint("connecting again goes on; try in a moment")
}

fn broken(error: &OpenError) -> Failure {
    Failure::coded("dial.tunnel", format!("the session could not be opened: {error}"))
        .hint("try again")
}

/// The relay's own deadline for reaching a target is 8 s.
const OPEN_DEADLINE: Duration = Duration::from_secs(12);
/// Between two looks whether a replaced connection still carries something.
const SETTLE: Duration = Duration::from_secs(1);
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LAST_PAUSE: Duration = Duration::from_secs(10);
