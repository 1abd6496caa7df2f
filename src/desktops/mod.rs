//! Desktops in the browser: sessions of the desktop door whose client is a page of the portal.
//!
//! A page asks for a ticket first, which opens one line, once and soon, for the browser that asked. How
//! that went it asks afterwards: what the decoder in the page is told is only a number.

mod book;
mod native;
mod socket;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use access::{Application, ApplicationId, Authenticated, Clipboard, Code, EndReason, Explain as _};
use axum::body::Bytes;
use futures_util::Stream;
use gateway_rdp::{Ending, Line, NoPass, Pass, RdpGateway, Refused, Request, Visitor};
use secrecy::SecretString;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use crate::lines::{CLOSE_REFUSED, Seat};
pub(crate) use book::How;
use book::{Book, Wanted};
pub(crate) use native::Native;
pub(crate) use socket::{BOUNDS, PIECES, bytes};

/// Every desktop that is open in a browser, or was a moment ago.
pub struct Desktops {
    rdp: RdpGateway,
    book: Mutex<Book>,
}

/// What a page needs for a desktop.
pub(crate) struct Offer {
    pub(crate) id: Uuid,
    pub(crate) ticket: SecretString,
    pub(crate) application: Arc<Application>,
    /// Which way the clipboard may carry.
    pub(crate) clipboard: Clipboard,
}

/// Why there is no offer.
pub(crate) enum NoOffer {
    Refused(Refused),
    TooMany,
    /// The system has no random bytes.
    Random,
}

/// How a desktop came to its end, and what its user is told.
#[derive(Clone, Debug)]
pub(crate) struct Over {
    pub(crate) code: Code,
    pub(crate) words: String,
    pub(crate) hint: Option<String>,
    reason: Option<EndReason>,
}

impl Desktops {
    pub(crate) fn new(rdp: RdpGateway) -> Arc<Self> {
        Arc::new(Self { rdp, book: Mutex::default() })
    }

    /// A ticket for an application, if it would open.
    pub(crate) fn offer(
        &self,
        seat: &Seat,
        application: &str,
        layout: Option<u32>,
    ) -> Result<Offer, NoOffer> {
        let visitor = visitor(seat, Wanted { application: application.to_owned(), layout });
        let (application, clipboard) = self.rdp.look(&visitor).map_err(NoOffer::Refused)?;
        let mut secret = [0; 32];
        aws_lc_rs::rand::fill(&mut secret).map_err(|_| NoOffer::Random)?;
        // The one that was looked at, whatever is called so when it opens.
        let named = application.full_name();
        let wanted = Wanted { application: named, layout };
        let offered = self.book().offer(seat, wanted, &secret, Instant::now());
        let (id, ticket) = offered.ok_or(NoOffer::TooMany)?;
        Ok(Offer { id, ticket, application, clipboard })
    }

    /// A login for one connection of a native client, to a desktop where the relay signs in.
    pub(crate) fn pass(
        &self,
        who: &Authenticated,
        application: ApplicationId,
    ) -> Result<Pass, NoPass> {
        self.rdp.pass(who.name(), application)
    }

    /// How a desktop is; `None`: there is none of this browser's.
    pub(crate) fn how(&self, id: Uuid, seat: &Seat) -> Option<How> {
        self.book().how(id, seat)
    }

    /// Opens a desktop on a line and carries it to its end.
    async fn run<S>(&self, seat: &Seat, mut up: S, down: mpsc::Sender<Bytes>) -> Over
    where
        S: Stream<Item = Bytes> + Unpin + Send,
    {
        let request = match timeout(FIRST, Request::read(&mut up)).await {
            Ok(Ok(request)) => request,
            Ok(Err(error)) => return Over::invalid(error.to_string()),
            Err(_) => return Over::invalid("nothing was asked for in time"),
        };
        let spent = self.book().spend(&request.ticket, seat, Instant::now());
        let Some((id, wanted)) = spent else {
            // Who has left is told nothing.
            drop(timeout(LAST, down.send(RdpGateway::forbidden())).await);
            return Over::gone();
        };
        // Whatever becomes of this, its page may ask.
        let mut entry = Entry { desktops: self, id, over: Over::of(EndReason::Broken) };
        let visitor = visitor(seat, wanted);
        entry.over = match self.rdp.open(&visitor, &request, &down).await {
            Ok(desktop) => {
                self.book().opened(id, desktop.session());
                Box::pin(desktop.carry(Line { up, down })).await.into()
            }
            Err(refused) => Over::refused(&refused),
        };
        entry.over.clone()
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A desktop's entry, as long as its line is served.
struct Entry<'a> {
    desktops: &'a Desktops,
    id: Uuid,
    over: Over,
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.desktops.book().over(self.id, self.over.clone(), Instant::now());
    }
}

fn visitor(seat: &Seat, wanted: Wanted) -> Visitor {
    let Wanted { application, layout } = wanted;
    Visitor { who: seat.who.clone(), application, layout }
}

impl Over {
    fn of(reason: EndReason) -> Self {
        let hint = reason.hint().map(std::borrow::Cow::into_owned);
        Self {
            code: reason.code(),
            words: reason.public().into_owned(),
            hint,
            reason: Some(reason),
        }
    }

    fn refused(refused: &Refused) -> Self {
        let hint = refused.hint().map(std::borrow::Cow::into_owned);
        let (code, words) = (refused.code(), refused.public().into_owned());
        Self { code, words, hint, reason: refused.reason() }
    }

    fn invalid(words: impl Into<String>) -> Self {
        let code = Code("request.invalid");
        Self { code, words: words.into(), hint: None, reason: None }
    }

    /// Whoever shows what never was, is spent, is too old, or is another's: all get this answer.
    fn gone() -> Self {
        let words = "this desktop was opened already, or not in time".to_owned();
        Self { code: Code("desktop.gone"), words, hint: None, reason: None }
    }

    /// The number its line is closed with.
    fn number(&self) -> u16 {
        let number = self.reason.map(|reason| u16::try_from(reason.number()).unwrap_or(0));
        number.map_or(CLOSE_REFUSED, |number| CLOSE_ENDED + number)
    }
}

impl From<Ending> for Over {
    fn from(ending: Ending) -> Self {
        let Ending { reason, words, code, .. } = ending;
        let hint = reason.hint().map(std::borrow::Cow::into_owned);
        Self { code, words, hint, reason: Some(reason) }
    }
}

/// From the handshake to the whole request.
const FIRST: Duration = Duration::from_secs(10);
const LAST: Duration = Duration::from_millis(500);
/// From here on stand the numbers of [`access::EndReason`].
const CLOSE_ENDED: u16 = 4000;
