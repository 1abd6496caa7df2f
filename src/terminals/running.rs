//! A terminal as long as its session lasts, whether or not a browser looks at it.

use std::time::Duration;

use access::Explain as _;
use axum::body::Bytes;
use gateway_ssh::{Door, Ending, Reader, Said, Within};
use tokio::sync::mpsc::error::SendError;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::messages::Told;
use super::ring::Ring;

/// Owns a terminal's session.
pub(super) struct Running {
    pub(super) within: Within,
    pub(super) door: Door,
    pub(super) reader: Reader,
    /// How long it goes on without a browser.
    pub(super) grace: Duration,
    pub(super) attaches: mpsc::Receiver<Attach>,
}

/// A browser that wants to look. It takes over from the one before.
pub(super) struct Attach {
    /// How many bytes it has shown.
    pub(super) seen: u64,
    /// How many it has shown since.
    pub(super) shown: watch::Receiver<u64>,
    pub(super) pieces: mpsc::Sender<Bytes>,
    pub(super) over: oneshot::Sender<Over>,
    pub(super) begun: oneshot::Sender<Begun>,
}

/// Where a browser begins to look.
pub(super) struct Begun {
    pub(super) from: u64,
    /// What was said until now.
    pub(super) until: u64,
    pub(super) reset: bool,
}

/// Why a browser is shown no more.
#[derive(Debug)]
pub(super) enum Over {
    Ended { ending: Ending, status: Option<u32> },
    TakenOver,
}

/// What is shown, and how far each has come.
#[derive(Default)]
struct Showing {
    ring: Ring,
    view: Option<View>,
    status: Option<u32>,
    /// The program is over.
    over: bool,
}

/// The browser that looks.
struct View {
    shown: watch::Receiver<u64>,
    pieces: mpsc::Sender<Bytes>,
    over: oneshot::Sender<Over>,
    began: u64,
    sent: u64,
}

impl Running {
    /// Runs until the session is over, which is told to whoever looks then.
    pub(super) async fn run(mut self) {
        let mut showing = Showing::default();
        let ending = self.show(&mut showing).await;
        // What the door said last is on its way.
        let rest = async {
            while let Some(said) = self.reader.next().await {
                showing.take(said);
            }
        };
        drop(timeout(LAST, rest).await);
        showing.finish(ending).await;
    }

    async fn show(&mut self, showing: &mut Showing) -> Ending {
        let mut alone_until = Instant::now() + self.grace;
        loop {
            let unsent = showing.unsent();
            tokio::select! {
                biased;
                ending = self.door.ended() => return ending,
                Some(attach) = self.attaches.recv() => showing.attach(attach),
                () = showing.left() => {
                    showing.view = None;
                    alone_until = Instant::now() + self.grace;
                }
                () = sleep_until(alone_until), if showing.view.is_none() => {
                    self.within.leave().await;
                    return self.door.ended().await;
                }
                permit = showing.room(), if unsent > 0 => {
                    if let Ok(permit) = permit {
                        permit.send(showing.next_piece());
                    }
                }
                said = self.reader.next(), if !showing.over && unsent < AHEAD => match said {
                    Some(said) => showing.take(said),
                    None => {
                        showing.over = true;
                        self.within.leave().await;
                    }
                }
            }
        }
    }
}

impl Showing {
    fn take(&mut self, said: Said) {
        match said {
            Said::Output(bytes) | Said::Error(bytes) => self.ring.push(&bytes),
            Said::Status(status) => self.status = Some(status),
        }
    }

    fn attach(&mut self, attach: Attach) {
        let Attach { seen, shown, pieces, over, begun } = attach;
        let (from, until) = (self.ring.from(seen), self.ring.end());
        if begun.send(Begun { from, until, reset: from != seen }).is_err() {
            // It left before it was shown anything.
            return;
        }
        if let Some(before) =
            self.view.replace(View { shown, pieces, over, began: from, sent: from })
        {
            // Or it has left by itself.
            drop(before.over.send(Over::TakenOver));
        }
    }

    /// Bytes that the browser was not sent; of none, none.
    fn unsent(&self) -> u64 {
        self.view.as_ref().map_or(0, |view| self.ring.end() - view.sent)
    }

    /// Completes when the browser has shown nearly all that it was sent, and there is room for one
    /// more piece.
    async fn room(&self) -> Result<mpsc::OwnedPermit<Bytes>, SendError<()>> {
        let Some(View { shown, pieces, began, sent, .. }) = &self.view else {
            return std::future::pending().await;
        };
        // Whoever has not said yet has just come.
        let keeps_up = |shown: &u64| sent.saturating_sub(*shown.max(began)) < BEHIND;
        if shown.clone().wait_for(keeps_up).await.is_err() {
            return std::future::pending().await;
        }
        pieces.clone().reserve_owned().await
    }

    /// Completes when the browser that looks has left.
    async fn left(&self) {
        match &self.view {
            Some(view) => view.pieces.closed().await,
            None => std::future::pending().await,
        }
    }

    fn next_piece(&mut self) -> Bytes {
        let Some(view) = &mut self.view else { return Bytes::new() };
        let piece = self.ring.piece(view.sent, PIECE);
        view.sent += piece.len() as u64;
        piece
    }

    /// Sends what is left, as far as there is room for it soon, and says how it ended.
    async fn finish(mut self, ending: Ending) {
        let rest = async {
            while self.unsent() > 0 {
                match self.room().await {
                    Ok(permit) => drop(permit.send(self.next_piece())),
                    Err(_) => return,
                }
            }
        };
        drop(timeout(LAST, rest).await);
        if let Some(view) = self.view {
            // Or it has left.
            drop(view.over.send(Over::Ended { ending, status: self.status }));
        }
    }
}

impl Over {
    /// What the browser is told, and the number it is closed with.
    pub(super) fn told(self) -> (Told, u16) {
        match self {
            Self::Ended { ending, status } => {
                let number = CLOSE_ENDED + u16::try_from(ending.reason.number()).unwrap_or(0);
                let (code, reason) = (ending.reason.code().0, ending.told());
                (Told::End { code, reason, status }, number)
            }
            Self::TakenOver => {
                let reason = "this terminal goes on in another window".to_owned();
                let code = access::Code("terminal.taken_over").0;
                (Told::End { code, reason, status: None }, CLOSE_TAKEN)
            }
        }
    }
}

/// In one frame.
const PIECE: usize = 32 * 1024;
/// Bytes that a browser may be behind before the program has to wait.
const AHEAD: u64 = 128 * 1024;
/// Bytes on their way to a browser that it has not shown.
const BEHIND: u64 = 512 * 1024;
/// For what is left when a session is over; a session ends within a second.
const LAST: Duration = Duration::from_millis(200);

/// From here on stand the numbers of [`access::EndReason`].
const CLOSE_ENDED: u16 = 4000;
const CLOSE_TAKEN: u16 = 4100;

#[cfg(test)]
mod tests {
    use access::{EndReason, Side};
    use futures_util::FutureExt as _;

    use super::*;

    /// A browser in front of a terminal.
    struct Browser {
        pieces: mpsc::Receiver<Bytes>,
        over: oneshot::Receiver<Over>,
        begun: oneshot::Receiver<Begun>,
        shown: watch::Sender<u64>,
    }

    fn browser(showing: &mut Showing, seen: u64) -> Browser {
        let (pieces, to_show) = mpsc::channel(2);
        let (over, ended) = oneshot::channel();
        let (begun, beginning) = oneshot::channel();
        let (shown, showed) = watch::channel(seen);
        showing.attach(Attach { seen, shown: showed, pieces, over, begun });
        Browser { pieces: to_show, over: ended, begun: beginning, shown }
    }

    fn sends(showing: &mut Showing) -> bool {
        match showing.room().now_or_never() {
            Some(Ok(permit)) => {
                drop(permit.send(showing.next_piece()));
                true
            }
            Some(Err(_)) | None => false,
        }
    }

    #[tokio::test]
    async fn who_comes_later_takes_over_and_goes_on_where_they_were() {
        let mut showing = Showing::default();
        showing.take(Said::Output("hello ".into()));
        let mut first = browser(&mut showing, 0);
        assert!(sends(&mut showing));
        assert_eq!(first.pieces.recv().await.unwrap(), "hello ");
        showing.take(Said::Error("world".into()));
        let mut second = browser(&mut showing, 6);
        assert!(matches!(first.over.await, Ok(Over::TakenOver)));
        let begun = second.begun.await.unwrap();
        assert_eq!((begun.from, begun.until, begun.reset), (6, 11, false));
        assert!(sends(&mut showing));
        assert_eq!(second.pieces.recv().await.unwrap(), "world");
        let ending = Ending { reason: EndReason::Killed, side: Side::Relay, words: None };
        showing.take(Said::Output("!".into()));
        showing.finish(ending).await;
        assert_eq!(second.pieces.recv().await.unwrap(), "!");
        let (told, number) = second.over.await.unwrap().told();
        assert_eq!(number, 4007);
        assert!(matches!(told, Told::End { code: "session.killed", .. }), "{told:?}");
    }

    #[tokio::test]
    async fn a_browser_that_shows_nothing_is_sent_only_so_much() {
        let mut showing = Showing::default();
        let mut slow = browser(&mut showing, 0);
        let mut sent = 0;
        for _ in 0..100 {
            showing.take(Said::Output(vec![b'x'; PIECE].into()));
            if !sends(&mut showing) {
                break;
            }
            sent += slow.pieces.recv().await.unwrap().len() as u64;
        }
        assert_eq!(sent, BEHIND);
        slow.shown.send_replace(1);
        assert!(sends(&mut showing), "as soon as it has shown something");
        assert!(!sends(&mut showing));
    }
}
