//! Which desktops were offered, are open, and how they ended: in memory, for the browser that asked.

use std::collections::HashMap;
use std::time::Duration;

use access::{SessionId, SignInId, UserId, sha256};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use data_encoding::HEXLOWER;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::Instant;
use uuid::Uuid;

use super::Over;
use crate::lines::Seat;

/// What is known of desktops.
#[derive(Default)]
pub(super) struct Book(HashMap<Uuid, One>);

struct One {
    /// The only browser that it is for.
    sign_in: SignInId,
    user: UserId,
    wanted: Wanted,
    how: How,
    since: Instant,
    /// The hash of the ticket's secret.
    secret: [u8; 32],
}

/// What a page asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// `app.site`.
    pub(super) application: String,
    /// Of the keyboard, as Windows numbers them.
    pub(super) layout: Option<u32>,
}

/// How a desktop is.
#[derive(Clone, Debug)]
pub(crate) enum How {
    /// Its ticket was not used yet.
    Offered,
    /// Its ticket is used, and its target being reached.
    Opening,
    Open(SessionId),
    Over(Over),
}

impl Book {
    /// Enters a desktop for a browser, and gives its ticket; `None`: it has too many.
    pub(super) fn offer(
        &mut self,
        seat: &Seat,
        wanted: Wanted,
        secret: &[u8; 32],
        now: Instant,
    ) -> Option<(Uuid, SecretString)> {
        self.0.retain(|_, one| one.is_kept(now));
        let own = self.0.values().filter(|one| one.sign_in == seat.sign_in);
        let (over, there): (Vec<_>, Vec<_>) = own.partition(|one| matches!(one.how, How::Over(_)));
        if there.len() >= MOST || over.len() >= MOST_OVER {
            return None;
        }
        let id = Uuid::new_v4();
        let text = HEXLOWER.encode(secret);
        let one = One {
            sign_in: seat.sign_in,
            user: seat.who.user(),
            wanted,
            how: How::Offered,
            since: now,
            secret: sha256(text.as_bytes()),
        };
        self.0.insert(id, one);
        Some((id, format!("{}.{text}", id.simple()).into()))
    }

    /// Takes a ticket, once: which desktop it is for, and what was asked for. One that is shown by another
    /// browser is worth nothing from then on.
    pub(super) fn spend(
        &mut self,
        ticket: &SecretString,
        seat: &Seat,
        now: Instant,
    ) -> Option<(Uuid, Wanted)> {
        let (id, secret) = ticket.expose_secret().split_once('.')?;
        let id = Uuid::try_parse(id).ok()?;
        let one = self.0.get_mut(&id)?;
        verify_slices_are_equal(&one.secret, &sha256(secret.as_bytes())).ok()?;
        let good = matches!(one.how, How::Offered) && now < one.since + GOOD;
        let own = one.sign_in == seat.sign_in && one.user == seat.who.user();
        if good && own {
            one.how = How::Opening;
            return Some((id, one.wanted.clone()));
        }
        if matches!(one.how, How::Offered) {
            one.how = How::Over(Over::gone());
        }
        None
    }

    pub(super) fn opened(&mut self, id: Uuid, session: SessionId) {
        if let Some(one) = self.0.get_mut(&id) {
            one.how = How::Open(session);
        }
    }

    pub(super) fn over(&mut self, id: Uuid, over: Over, now: Instant) {
        if let Some(one) = self.0.get_mut(&id) {
            (one.how, one.since) = (How::Over(over), now);
        }
    }

    pub(super) fn how(&self, id: Uuid, seat: &Seat) -> Option<How> {
        let one = self.0.get(&id).filter(|one| one.sign_in == seat.sign_in)?;
        Some(one.how.clone())
    }
}

impl One {
    fn is_kept(&self, now: Instant) -> bool {
        match self.how {
            How::Offered => now < self.since + GOOD,
            How::Opening | How::Open(_) => true,
            How::Over(_) => now < self.since + REMEMBERED,
        }
    }
}

/// For how long a ticket is good: the page that asked opens its line at once.
const GOOD: Duration = Duration::from_secs(30);
/// For how long it is known how a desktop ended.
const REMEMBERED: Duration = Duration::from_secs(120);
/// Desktops of one browser.
const MOST: usize = 16;
/// Those that ended a moment ago: a page that fails tries again, and not for ever.
const MOST_OVER: usize = 256;

#[cfg(test)]
mod tests {
    use access::{Authenticated, Credential};

    use super::*;

    #[expect(clippy::disallowed_methods, reason = "a test vouches for whom it likes")]
    fn seat(user: u128, sign_in: u128) -> Seat {
        let (user, sign_in) = (UserId(Uuid::from_u128(user)), SignInId(Uuid::from_u128(sign_in)));
        let (from, credential) = ([127, 0, 0, 1].into(), Credential::SignIn { id: sign_in });
        let who = Authenticated::assertion(user, "alice".parse().unwrap(), credential, from);
        Seat { who, sign_in, peer: ([127, 0, 0, 1], 1).into() }
    }

    fn offered(book: &mut Book, seat: &Seat) -> (Uuid, SecretString) {
        book.offer(seat, wanted(), &[7; 32], Instant::now()).unwrap()
    }

    fn wanted() -> Wanted {
        Wanted { application: "desk.hq".to_owned(), layout: Some(0x407) }
    }

    #[test]
    fn a_ticket_is_good_once_and_soon_and_for_its_own_browser() {
        let (mut book, own, now) = (Book::default(), seat(1, 1), Instant::now());
        let (id, ticket) = offered(&mut book, &own);
        assert_eq!(book.spend(&ticket, &own, now), Some((id, wanted())));
        assert_eq!(book.spend(&ticket, &own, now), None, "again");
        let (_, ticket) = offered(&mut book, &own);
        assert_eq!(book.spend(&ticket, &own, now + GOOD * 2), None, "too late");
        for other in [seat(1, 2), seat(2, 2)] {
            let (id, ticket) = offered(&mut book, &own);
            assert_eq!(book.spend(&ticket, &other, now), None, "another's");
            assert_eq!(book.spend(&ticket, &own, now), None, "it was shown to somebody");
            assert!(book.how(id, &other).is_none());
            assert!(matches!(book.how(id, &own), Some(How::Over(_))));
        }
        let (id, ticket) = offered(&mut book, &own);
        for wrong in ["", ".", "a.b", &format!("{}.00", id.simple())] {
            assert_eq!(book.spend(&wrong.into(), &own, now), None, "{wrong}");
        }
        assert!(book.spend(&ticket, &own, now).is_some(), "guesses spend nothing");
    }

    #[test]
    fn a_browser_has_only_so_many() {
        let (mut book, own, now) = (Book::default(), seat(1, 1), Instant::now());
        let ids: Vec<_> = (0..MOST).map(|_| offered(&mut book, &own)).collect();
        assert!(book.offer(&own, wanted(), &[0; 32], now).is_none());
        assert!(book.offer(&seat(1, 2), wanted(), &[0; 32], now).is_some(), "another may");
        let (id, ticket) = &ids[0];
        book.spend(ticket, &own, now).unwrap();
        book.over(*id, Over::gone(), now);
        assert!(book.offer(&own, wanted(), &[0; 32], now).is_some(), "one is over");
        let later = now + REMEMBERED * 2;
        assert!(book.offer(&own, wanted(), &[0; 32], later).is_some());
        assert!(book.how(*id, &own).is_none(), "it is forgotten");
    }
}
