//! The browsers that are signed in: their cookies, when they were last there, and the codes by which
//! they go from the relay's host to an application's.
//!
//! Whether a sign-in stands is the policy's to say. What is kept here only narrows it: who is there
//! must cost no write, so it is kept in memory and stored once a minute.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use access::{ApplicationId, SignInId, sha256};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use data_encoding::BASE64URL_NOPAD;
use secrecy::{ExposeSecret, SecretString};
use store::{NewSignIn, SignInQuery, Store, StoreError};
use tokio::time::Instant;
use uuid::Uuid;

/// Browsers that were signed in and have not been forgotten.
pub(crate) struct Browsers {
    /// What cookies for applications are made with.
    key: hmac::Key,
    known: Mutex<Known>,
    handed: Mutex<HashMap<[u8; 32], (HandOver, Instant)>>,
}

#[derive(Default)]
struct Known {
    by_digest: HashMap<[u8; 32], SignInId>,
    browsers: HashMap<SignInId, Browser>,
}

struct Browser {
    digest: [u8; 32],
    idle: Duration,
    since: SystemTime,
    seen: SystemTime,
    from: IpAddr,
    /// Whether that is stored.
    stored: bool,
}

/// A browser on its way to an application.
#[derive(Clone, Debug)]
pub(crate) struct HandOver {
    pub(crate) sign_in: SignInId,
    pub(crate) application: ApplicationId,
    /// The hash of the nonce that the browser holds at the application's host.
    pub(crate) state: [u8; 32],
    /// Path and query that it wanted.
    pub(crate) path: String,
}

impl Default for Browsers {
    /// None, and a key of its own.
    fn default() -> Self {
        Self::new(&rand::random())
    }
}

impl Browsers {
    fn new(key: &[u8; 32]) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        Self { key, known: Mutex::default(), handed: Mutex::default() }
    }

    /// Those that the store has, whose cookies stay good over a start of the relay.
    pub(crate) async fn load(store: &Store) -> Result<Self, StoreError> {
        let key = store.secret_or_make(COOKIE_KEY).await?;
        let browsers = Self::new(&key);
        let live_at = Some(SystemTime::now());
        for row in store.sign_ins(SignInQuery { live_at, ..SignInQuery::default() }).await? {
            let idle = Duration::from_secs(row.idle);
            let [since, seen] =
                [row.created, row.seen].map(|at| SystemTime::UNIX_EPOCH + Duration::from_secs(at));
            let (digest, from) = (row.digest, row.seen_from);
            let browser = Browser { digest, idle, since, seen, from, stored: true };
            browsers.known().add(row.id, browser);
        }
        Ok(browsers)
    }

    /// Takes in what other relays have stored: whom they signed in, and who was there since.
    pub(crate) async fn learn(&self, store: &Store) -> Result<(), StoreError> {
        let live_at = Some(SystemTime::now());
        for row in store.sign_ins(SignInQuery { live_at, ..SignInQuery::default() }).await? {
            let [since, seen] =
                [row.created, row.seen].map(|at| SystemTime::UNIX_EPOCH + Duration::from_secs(at));
            let mut known = self.known();
            if let Some(browser) = known.browsers.get_mut(&row.id) {
                if seen > browser.seen {
                    (browser.seen, browser.from) = (seen, row.seen_from);
                }
                continue;
            }
            let (digest, from) = (row.digest, row.seen_from);
            let idle = Duration::from_secs(row.idle);
            known.add(row.id, Browser { digest, idle, since, seen, from, stored: true });
        }
        Ok(())
    }

    /// A browser was signed in.
    pub(crate) fn opened(&self, new: &NewSignIn, now: SystemTime) {
        let NewSignIn { id, digest, idle, from, .. } = *new;
        self.known().add(id, Browser { digest, idle, since: now, seen: now, from, stored: true });
    }

    /// Whose cookie for the relay's host this is.
    pub(super) fn of_cookie(&self, cookie: &SecretString) -> Option<SignInId> {
        self.known().by_digest.get(&sha256(cookie.expose_secret().as_bytes())).copied()
    }

    /// Notes that a browser is there. `false`: it was away for longer than it may.
    pub(super) fn is_there(&self, id: SignInId, from: IpAddr, now: SystemTime) -> bool {
        let mut known = self.known();
        let Some(browser) = known.browsers.get_mut(&id).filter(|one| !one.is_idle(now)) else {
            return false;
        };
        browser.seen = now.max(browser.seen);
        (browser.from, browser.stored) = (from.to_canonical(), false);
        true
    }

    /// As [`is_there`](Self::is_there), for a browser whose page goes on without new requests.
    pub(crate) fn goes_on(&self, id: SignInId, now: SystemTime) {
        if let Some(browser) = self.known().browsers.get_mut(&id).filter(|one| !one.is_idle(now)) {
            (browser.seen, browser.stored) = (now.max(browser.seen), false);
        }
    }

    /// Whether a browser was signed in a short while ago: what could be used for long asks for that.
    pub(crate) fn is_fresh(&self, id: SignInId, now: SystemTime) -> bool {
        let known = self.known();
        let Some(browser) = known.browsers.get(&id) else { return false };
        now.duration_since(browser.since).is_ok_and(|age| age < FRESH)
    }

    /// As if a browser had been signed in so much earlier.
    #[cfg(test)]
    pub(crate) fn age(&self, id: SignInId, by: Duration) {
        self.known().browsers.entry(id).and_modify(|browser| browser.since -= by);
    }

    /// When and from where a browser was last there.
    pub(crate) fn seen(&self, id: SignInId) -> Option<(SystemTime, IpAddr)> {
        self.known().browsers.get(&id).map(|browser| (browser.seen, browser.from))
    }

    /// All that are known, and whether they were away for longer than they may.
    pub(crate) fn all(&self, now: SystemTime) -> Vec<(SignInId, bool)> {
        let known = self.known();
        known.browsers.iter().map(|(id, browser)| (*id, browser.is_idle(now))).collect()
    }

    pub(crate) fn forget(&self, id: SignInId) {
        let mut known = self.known();
        if let Some(browser) = known.browsers.remove(&id) {
            known.by_digest.remove(&browser.digest);
        }
    }

    /// Stores when browsers were there. What can't be stored waits.
    pub(crate) async fn flush(&self, store: &Store) {
        let mut waiting = Vec::new();
        for (id, browser) in &mut self.known().browsers {
            if !std::mem::replace(&mut browser.stored, true) {
                waiting.push((*id, browser.seen, browser.from));
            }
        }
        if waiting.is_empty() {
            return;
        }
        if let Err(error) = store.note_sign_ins(&waiting).await {
            tracing::warn!(%error, "Could not store which browsers were there");
            let mut known = self.known();
            for (id, ..) in waiting {
                known.browsers.entry(id).and_modify(|browser| browser.stored = false);
            }
        }
    }

    /// The cookie by which an application's host knows a browser: `<sign-in><HMAC>`. It stands on
    /// the sign-in and is worth nothing at another application, and no row is kept of it.
    pub(crate) fn visitor_cookie(&self, id: SignInId, application: ApplicationId) -> SecretString {
        let tag = hmac::sign(&self.key, &signed(id, application));
        BASE64URL_NOPAD.encode(&[id.0.as_bytes(), tag.as_ref()].concat()).into()
    }

    /// Whose cookie for this application this is.
    pub(super) fn of_visitor(
        &self,
        cookie: &SecretString,
        application: ApplicationId,
    ) -> Option<SignInId> {
        let bytes = BASE64URL_NOPAD.decode(cookie.expose_secret().as_bytes()).ok()?;
        let (id, tag) = bytes.split_first_chunk::<16>()?;
        let id = SignInId(Uuid::from_bytes(*id));
        hmac::verify(&self.key, &signed(id, application), tag).ok().map(|()| id)
    }

    /// A code that takes a browser to an application, once and soon.
    pub(crate) fn hand_over(&self, over: HandOver, now: Instant) -> SecretString {
        let code: [u8; 32] = rand::random();
        let code = BASE64URL_NOPAD.encode(&code);
        let mut handed = self.handed.lock().unwrap_or_else(PoisonError::into_inner);
        if handed.len() >= MOST_HANDED {
            handed.retain(|_, (_, end)| now < *end);
        }
        if handed.len() >= MOST_HANDED {
            let first = handed.iter().min_by_key(|(_, (_, end))| *end).map(|(key, _)| *key);
            first.and_then(|first| handed.remove(&first));
        }
        handed.insert(sha256(code.as_bytes()), (over, now + HANDED));
        code.into()
    }

    pub(super) fn take(
        &self,
        code: &SecretString,
        application: ApplicationId,
        nonce: &SecretString,
        now: Instant,
    ) -> Option<HandOver> {
        let mut handed = self.handed.lock().unwrap_or_else(PoisonError::into_inner);
        // Gone with the first look, whoever looks: a code that somebody else tried is worth nothing.
        let (over, end) = handed.remove(&sha256(code.expose_secret().as_bytes()))?;
        let held =
            verify_slices_are_equal(&over.state, &sha256(nonce.expose_secret().as_bytes())).is_ok();
        (held && over.application == application && now < end).then_some(over)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn add(&mut self, id: SignInId, browser: Browser) {
        self.by_digest.insert(browser.digest, id);
        self.browsers.insert(id, browser);
    }
}

impl Browser {
    fn is_idle(&self, now: SystemTime) -> bool {
        now.duration_since(self.seen).is_ok_and(|away| away >= self.idle)
    }
}

fn signed(id: SignInId, application: ApplicationId) -> Vec<u8> {
    [b"adit visitor 1".as_slice(), id.0.as_bytes(), application.0.as_bytes()].concat()
}

/// The name of the secret that cookies for applications are made with.
const COOKIE_KEY: &str = "visitor-cookies";
/// A redirect takes less.
const HANDED: Duration = Duration::from_secs(30);
/// As long as a sign-in counts as just made.
const FRESH: Duration = Duration::from_secs(15 * 60);
/// Codes that are out at one time; the eldest makes room.
const MOST_HANDED: usize = 16_384;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_visitors_cookie_is_of_one_browser_one_application_and_one_relay() {
        let (browsers, other) = (Browsers::default(), Browsers::default());
        let (id, app) = (SignInId(Uuid::new_v4()), ApplicationId(Uuid::new_v4()));
        let cookie = browsers.visitor_cookie(id, app);
        assert_eq!(browsers.of_visitor(&cookie, app), Some(id));
        assert_eq!(browsers.of_visitor(&cookie, ApplicationId(Uuid::new_v4())), None);
        assert_eq!(other.of_visitor(&cookie, app), None);
        let text = cookie.expose_secret();
        let mut bytes = BASE64URL_NOPAD.decode(text.as_bytes()).unwrap();
        bytes[3] ^= 1;
        let forged =
            [BASE64URL_NOPAD.encode(&bytes), text[..text.len() - 4].to_owned(), String::new()];
        for forged in forged {
            assert_eq!(browsers.of_visitor(&forged.into(), app), None);
        }
    }

    #[test]
    fn a_code_is_taken_once_by_the_browser_and_application_it_is_for_and_soon() {
        let (browsers, now) = (Browsers::default(), Instant::now());
        let app = ApplicationId(Uuid::new_v4());
        let nonce: SecretString = "nonce".to_owned().into();
        let code = || {
            let (sign_in, state) = (SignInId(Uuid::new_v4()), sha256(b"nonce"));
            browsers
                .hand_over(HandOver { sign_in, application: app, state, path: "/x".into() }, now)
        };
        let first = code();
        assert_eq!(browsers.take(&first, app, &nonce, now).unwrap().path, "/x");
        assert!(browsers.take(&first, app, &nonce, now).is_none(), "a second time");
        let other = ApplicationId(Uuid::new_v4());
        assert!(browsers.take(&code(), other, &nonce, now).is_none(), "another application");
        let foreign = "other".to_owned().into();
        let tried = code();
        assert!(browsers.take(&tried, app, &foreign, now).is_none(), "another browser");
        assert!(browsers.take(&tried, app, &nonce, now).is_none(), "tried by somebody else");
        assert!(browsers.take(&code(), app, &nonce, now + HANDED).is_none(), "late");
    }

    #[test]
    fn codes_that_nobody_takes_cost_bounded_memory() {
        let (browsers, now) = (Browsers::default(), Instant::now());
        let (sign_in, application) = (SignInId(Uuid::nil()), ApplicationId(Uuid::nil()));
        let over = HandOver { sign_in, application, state: [0; 32], path: String::new() };
        for n in 0..MOST_HANDED + 10 {
            browsers.hand_over(over.clone(), now + Duration::from_micros(n as u64));
        }
        assert!(browsers.handed.lock().unwrap().len() <= MOST_HANDED);
    }

    #[test]
    fn a_browser_that_was_away_too_long_is_not_there_again() {
        let (browsers, now) = (Browsers::default(), SystemTime::now());
        let (id, from) = (SignInId(Uuid::new_v4()), IpAddr::from([192, 0, 2, 1]));
        let idle = Duration::from_secs(60);
        let (user, digest) = (access::UserId(Uuid::nil()), sha256(b"secret"));
        let (browser, provider, expires) = (String::new(), None, now);
        let new = NewSignIn { id, user, digest, from, browser, provider, idle, expires };
        browsers.opened(&new, now);
        assert_eq!(browsers.of_cookie(&"secret".to_owned().into()), Some(id));
        let after = |seconds| now + Duration::from_secs(seconds);
        assert!(browsers.is_there(id, from, after(59)));
        assert!(browsers.is_there(id, from, after(118)));
        assert_eq!(browsers.all(after(177)), [(id, false)]);
        assert_eq!(browsers.all(after(178)), [(id, true)]);
        assert!(!browsers.is_there(id, from, after(178)));
        browsers.goes_on(id, after(178));
        assert!(!browsers.is_there(id, from, after(179)), "nothing brings it back");
        browsers.forget(id);
        assert_eq!(browsers.of_cookie(&"secret".to_owned().into()), None);
    }
}
