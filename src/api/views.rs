//! Who reads which recording. A reader who goes on is recorded once; who begins in its middle, with a
//! place that nobody gave them now, is recorded as who begins at its beginning.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use access::{Name, SessionId};

/// Reader, from where, and of which session's recording.
type View = (Name, IpAddr, SessionId);

/// The views that go on, and when each last did.
#[derive(Default)]
pub(super) struct Views(Mutex<HashMap<View, Instant>>);

impl Views {
    /// Whether this reader has begun, and read on since, so that it is recorded already.
    pub(super) fn goes_on(&self, view: &View, now: Instant) -> bool {
        let mut views = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match views.get_mut(view) {
            Some(last) if now.duration_since(*last) < PAUSE => {
                *last = now;
                true
            }
            Some(_) | None => false,
        }
    }

    /// It was recorded that this reader has begun.
    pub(super) fn begun(&self, view: View, now: Instant) {
        let mut views = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if views.len() >= MOST {
            views.retain(|_, last| now.duration_since(*last) < PAUSE);
        }
        if views.len() >= MOST {
            // Rather recorded twice than remembered without bound.
            views.clear();
        }
        views.insert(view, now);
    }
}

/// Who reads on after that has begun anew.
const PAUSE: Duration = Duration::from_secs(3600);
const MOST: usize = 4096;

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_view_goes_on_for_its_reader_and_its_recording_until_they_pause() {
        let (views, start) = (Views::default(), Instant::now());
        let minutes = |minutes: u64| start + Duration::from_secs(minutes * 60);
        let view = |name: &str, recording| {
            let from = IpAddr::from(Ipv4Addr::LOCALHOST);
            (name.parse::<Name>().unwrap(), from, SessionId(Uuid::from_u128(recording)))
        };
        assert!(!views.goes_on(&view("root", 1), start));
        views.begun(view("root", 1), start);
        assert!(!views.goes_on(&view("eve", 1), start));
        assert!(!views.goes_on(&view("root", 2), start));
        assert!(views.goes_on(&view("root", 1), minutes(50)));
        assert!(views.goes_on(&view("root", 1), minutes(100)));
        assert!(!views.goes_on(&view("root", 1), minutes(160)));
    }

    #[test]
    fn what_is_remembered_of_views_is_bounded() {
        let (views, now) = (Views::default(), Instant::now());
        for recording in 0..3 * MOST as u128 {
            let from = IpAddr::from(Ipv4Addr::LOCALHOST);
            views
                .begun(("root".parse().unwrap(), from, SessionId(Uuid::from_u128(recording))), now);
        }
        assert!(views.0.lock().unwrap().len() <= MOST);
    }
}
