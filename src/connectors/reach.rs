//! What dials through each connector came to: how long they took, and why the last one failed.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use access::{Address, ApplicationId, Code, Explain};
use session::{DialError, DialRequest};

/// What is known of the addresses that a connector has dialled. The one dialled least recently makes
/// room.
#[derive(Clone, Debug, Default)]
pub(super) struct Reach(HashMap<Dialled, Measured>);

/// An application and one of its addresses.
pub type Dialled = (ApplicationId, Address);

/// How dials to one address of an application went.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Measured {
    /// How long one takes, from the relay's question to the target's answer; the latest count most.
    pub usual: Option<Duration>,
    /// When one last succeeded.
    pub reached: Option<SystemTime>,
    /// Why and when one last failed.
    pub failed: Option<(Code, SystemTime)>,
}

impl Reach {
    /// Takes in what a dial came to.
    pub(super) fn note(
        &mut self,
        request: &DialRequest,
        outcome: Result<Duration, &DialError>,
        now: SystemTime,
    ) {
        let dialled = (request.application.id, request.address.clone());
        if !self.0.contains_key(&dialled) && self.0.len() >= MOST {
            let oldest = self.0.iter().min_by_key(|(_, measured)| measured.latest());
            if let Some(oldest) = oldest.map(|(dialled, _)| dialled.clone()) {
                self.0.remove(&oldest);
            }
        }
        let measured = self.0.entry(dialled).or_default();
        match outcome {
            Ok(took) => {
                measured.usual = Some(measured.usual.map_or(took, |usual| blend(usual, took)));
                measured.reached = Some(now);
            }
            Err(error) => measured.failed = Some((error.code(), now)),
        }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (Dialled, Measured)> {
        self.0.iter().map(|(dialled, measured)| (dialled.clone(), *measured))
    }
}

impl Measured {
    /// Whether the last dial succeeded.
    pub fn is_reachable(&self) -> bool {
        self.reached >= self.failed.map(|(_, at)| at)
    }

    fn latest(&self) -> Option<SystemTime> {
        self.reached.max(self.failed.map(|(_, at)| at))
    }
}

/// A quarter of the new, three quarters of the old.
fn blend(usual: Duration, took: Duration) -> Duration {
    (usual * 3 + took) / 4
}

/// Addresses that are remembered of a connector.
const MOST: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connectors::tests::request;

    #[test]
    fn the_usual_time_follows_what_dials_take_and_a_failure_does_not_move_it() {
        let (mut reach, app) = (Reach::default(), request());
        reach.note(&app, Ok(Duration::from_millis(8)), at(1));
        reach.note(&app, Ok(Duration::from_millis(16)), at(2));
        reach.note(&app, Err(&DialError::Refused), at(3));
        let (_, measured) = reach.all().next().unwrap();
        assert_eq!(measured.usual, Some(Duration::from_millis(10)));
        assert_eq!(measured.failed, Some((Code("dial.refused"), at(3))));
        assert!(!measured.is_reachable());
        reach.note(&app, Ok(Duration::from_millis(10)), at(4));
        assert!(reach.all().next().unwrap().1.is_reachable());
    }

    #[test]
    fn the_address_dialled_least_recently_makes_room() {
        let mut reach = Reach::default();
        for n in 0..=MOST {
            let mut dialled = request();
            dialled.address = format!("10.0.0.1:{}", n + 1).parse().unwrap();
            reach.note(&dialled, Ok(Duration::ZERO), at(n as u64));
        }
        assert_eq!(reach.all().count(), MOST);
        assert!(reach.all().all(|((_, address), _)| address.port() != 1));
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }
}
