//! Recorded desktops shown again in the portal, also while they go on: the relay plays the target
//! towards the same decoder that showed them first, and sends what was recorded at its time.
//!
//! A page makes up an id for what it opens, and steers it by that. It is for the browser that opened
//! it, and ends when that asks for nothing any more: who may no longer look can not ask.

mod clock;
mod reel;

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use access::{Code, SessionId, SignInId};
use api::{Playback, SteerPlayback};
use axum::body::Bytes;
use futures_util::{SinkExt as _, Stream, StreamExt as _};
use gateway_rdp::replay::Replay;
use gateway_rdp::{Fault, Request, RequestError};
use record::Archive;
use session::Broker;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use crate::ca::Ca;
use crate::desktops::{BOUNDS, PIECES, bytes};
use crate::lines::{CLOSE_REFUSED, FAREWELL, Seat, begin, close, feed};
use crate::listen::afterwards::Line;
use clock::Clock;
use reel::{Happened, Reel, ReelError};

/// The recorded desktops that are shown now.
pub struct Playbacks {
    recordings: Archive,
    broker: Broker,
    ca: Arc<Ca>,
    shown: Mutex<HashMap<Uuid, Shown>>,
}

struct Shown {
    sign_in: SignInId,
    clock: Arc<Clock>,
}

/// Why nothing is shown, or nothing any more.
#[derive(Debug, thiserror::Error)]
enum Over {
    #[error("the page left, or asked for nothing any more")]
    Left,
    #[error("what the page asked for is not understood")]
    Request(#[from] RequestError),
    #[error("what the page said is not understood")]
    Page(#[from] Fault),
    #[error("no desktop was shown in this session")]
    Nothing,
    #[error(transparent)]
    Reel(#[from] ReelError),
}

impl Playbacks {
    pub(crate) fn new(recordings: Archive, broker: Broker, ca: Arc<Ca>) -> Arc<Self> {
        Arc::new(Self { recordings, broker, ca, shown: Mutex::default() })
    }

    /// Keeps a place for what a browser opens; `None`: it has too many, or this one.
    pub(crate) fn enter(self: &Arc<Self>, id: Uuid, seat: &Seat) -> Option<Entry> {
        let mut shown = self.shown();
        let own = shown.values().filter(|one| one.sign_in == seat.sign_in).count();
        if own >= MOST || shown.contains_key(&id) {
            return None;
        }
        let clock = Arc::new(Clock::new(false));
        shown.insert(id, Shown { sign_in: seat.sign_in, clock: clock.clone() });
        drop(shown);
        Some(Entry { playbacks: self.clone(), id, clock })
    }

    /// Does what a browser wants of what it opened; `None`: it opened nothing of that name.
    pub(crate) fn steer(&self, id: Uuid, seat: &Seat, to: &SteerPlayback) -> Option<Playback> {
        let shown = self.shown();
        let one = shown.get(&id).filter(|one| one.sign_in == seat.sign_in)?;
        Some(one.clock.steer(to))
    }

    fn is_live(&self, session: SessionId) -> bool {
        self.broker.live().iter().any(|one| one.id == session)
    }

    fn shown(&self) -> MutexGuard<'_, HashMap<Uuid, Shown>> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of what is shown, as long as its line is served.
pub(crate) struct Entry {
    playbacks: Arc<Playbacks>,
    id: Uuid,
    clock: Arc<Clock>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.playbacks.shown().remove(&self.id);
    }
}

impl Entry {
    /// Shows a session's desktop to a page until either has enough.
    pub(crate) async fn serve(self, line: Line, session: SessionId) {
        let (mut sink, source) = begin(line, BOUNDS).await.split();
        let (pieces, queue) = mpsc::channel(PIECES);
        let over = {
            let mut running = pin!(self.run(session, Box::pin(bytes(source)), pieces));
            let mut sending = pin!(feed(&mut sink, queue));
            tokio::select! {
                over = &mut running => over,
                () = &mut sending => Over::Left,
            }
        };
        tracing::debug!(%session, error = &over as &dyn std::error::Error, "A playback is over");
        drop(timeout(FAREWELL, sink.send(close(CLOSE_REFUSED, over.code().0))).await);
    }

    async fn run<S>(&self, session: SessionId, up: S, down: mpsc::Sender<Bytes>) -> Over
    where
        S: Stream<Item = Bytes> + Unpin + Send,
    {
        tokio::select! {
            biased;
            () = down.closed() => Over::Left,
            over = self.show(session, up, &down) => over.err().unwrap_or(Over::Left),
        }
    }

    async fn show<S>(
        &self,
        session: SessionId,
        mut up: S,
        down: &mpsc::Sender<Bytes>,
    ) -> Result<(), Over>
    where
        S: Stream<Item = Bytes> + Unpin + Send,
    {
        let asked = timeout(FIRST, Request::read(&mut up)).await.map_err(|_| Over::Left)?;
        let reel = Reel::open(self.playbacks.recordings.clone(), session).await?;
        let (reel, first) = self.look_ahead(reel, session).await?.first().await?;
        let first = first.ok_or(Over::Nothing)?;
        let (mut replay, answer) = Replay::begin(&asked?, self.playbacks.ca.certificate(), &first)?;
        send(down, answer).await?;
        while !replay.is_open() {
            let said = timeout(FIRST, up.next()).await.ok().flatten().ok_or(Over::Left)?;
            for answer in replay.heard(&said)? {
                send(down, answer).await?;
            }
        }
        tokio::select! {
            // What a page says is not for anybody: it only looks.
            () = async { while up.next().await.is_some() {} } => Ok(()),
            () = self.clock.forgotten() => Ok(()),
            over = self.play(reel, session, down) => over,
        }
    }

    /// Reads on what there is by now.
    async fn look_ahead(&self, mut reel: Reel, session: SessionId) -> Result<Reel, Over> {
        // Asked before: what is written until then is read.
        let live = self.playbacks.is_live(session);
        loop {
            let more;
            (reel, more) = reel.look_ahead().await?;
            if !more {
                self.clock.grown(reel.length_ms(), live);
                return Ok(reel);
            }
        }
    }

    async fn play(
        &self,
        mut reel: Reel,
        session: SessionId,
        down: &mpsc::Sender<Bytes>,
    ) -> Result<(), Over> {
        if self.playbacks.is_live(session) {
            self.clock.steer(&SteerPlayback { follow: Some(true), ..SteerPlayback::default() });
        }
        loop {
            if let Some(at_ms) = self.clock.take_wish() {
                reel.seek(at_ms);
            }
            let event;
            (reel, event) = reel.next().await?;
            let Some(event) = event else {
                reel = self.look_ahead(reel, session).await?;
                tokio::select! {
                    () = sleep(LOOK) => {}
                    () = self.clock.changed() => {}
                }
                continue;
            };
            let at_ms = event.at_ms();
            if !self.clock.due(at_ms).await {
                reel.put_back(event);
                continue;
            }
            reel.passed(at_ms);
            match event {
                Happened::Shown { bytes, .. } => send(down, bytes).await?,
                Happened::Pressed(key) => self.clock.pressed(key),
                Happened::Repaint { .. } | Happened::Other { .. } => {}
            }
        }
    }
}

async fn send(down: &mpsc::Sender<Bytes>, bytes: Bytes) -> Result<(), Over> {
    down.send(bytes).await.map_err(|_| Over::Left)
}

impl Over {
    fn code(&self) -> Code {
        Code(match self {
            Self::Left => "playback.not_found",
            Self::Request(_) | Self::Page(_) => "request.invalid",
            Self::Nothing | Self::Reel(ReelError::None) => "recording.not_found",
            Self::Reel(ReelError::Read(_) | ReelError::Panicked) => "recording.damaged",
        })
    }
}

/// Of one browser.
const MOST: usize = 4;
/// For each step of a page's until it is shown something.
const FIRST: Duration = Duration::from_secs(10);
/// How often it is looked whether more of a session was recorded.
const LOOK: Duration = Duration::from_millis(250);
