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

    /// What is known of the address that a request is for.
    pub(super) fn of(&self, request: &DialRequest) -> Option<Measured> {
        self.0.get(&(request.application.id, request.address.clone())).copied()
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

    /// What one more session costs by a connector that has `streams`; the least is the best. After
    /// whether the target was out of reach a moment ago comes what a session has to wait for: as many
    /// dials as there would be sessions. Connectors that all dial within [`ALIKE`] differ by their
    /// sessions alone, and then by which is the quicker.
    pub(super) fn cost(&self, streams: usize, now: SystemTime) -> impl Ord + use<> {
        let is_recent =
            |at: SystemTime, within| now.duration_since(at).unwrap_or_default() < within;
        let failed = self.failed.filter(|_| !self.is_reachable());
        let unreachable =
            failed.is_some_and(|(code, at)| is_recent(at, SHUNNED) && says_of_site(code));
        // What was measured long ago is measured again.
        let fresh = self.reached.is_some_and(|at| is_recent(at, FRESH));
        let usual = self.usual.filter(|_| fresh).unwrap_or_default();
        let sessions = u32::try_from(streams).unwrap_or(u32::MAX).saturating_add(1);
        (unreachable, usual.max(ALIKE).saturating_mul(sessions), usual)
    }

    fn latest(&self) -> Option<SystemTime> {
        self.reached.max(self.failed.map(|(_, at)| at))
    }
}

/// Whether a failure may come from where the connector is, so that another one may do better.
fn says_of_site(code: Code) -> bool {
    matches!(code.0, "dial.unreachable" | "dial.timeout" | "dial.unresolved" | "dial.not_allowed")
}

/// A quarter of the new, three quarters of the old.
fn blend(usual: Duration, took: Duration) -> Duration {
    (usual * 3 + took) / 4
}

/// Dials that are this quick are all alike: what a network of one site takes.
const ALIKE: Duration = Duration::from_millis(10);
/// How long a measured time stands for the next one.
const FRESH: Duration = Duration::from_secs(600);
/// How long a connector that did not reach a target comes last for it.
const SHUNNED: Duration = Duration::from_secs(60);
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
    fn a_session_goes_where_it_waits_least() {
        let now = at(10_000);
        let dials = |millis, ago: u64| Measured {
            usual: Some(Duration::from_millis(millis)),
            reached: Some(at(10_000 - ago)),
            failed: None,
        };
        let fails = |code, ago: u64| Measured {
            failed: Some((Code(code), at(10_000 - ago))),
            ..dials(1, 600)
        };
        let unknown = Measured::default();
        // Each row: the one that is taken, and the one that is not, with their sessions.
        let table = [
            ("fewest sessions", (dials(1, 1), 4), (dials(1, 1), 5)),
            ("a quicker one of two alike counts only at a tie", (dials(9, 1), 4), (dials(1, 1), 5)),
            ("at a tie the quicker", (dials(1, 1), 4), (dials(9, 1), 4)),
            (
                "ten times as slow, less than ten times the sessions",
                (dials(10, 1), 8),
                (dials(100, 1), 0),
            ),
            (
                "ten times as slow, more than ten times the sessions",
                (dials(100, 1), 0),
                (dials(10, 1), 10),
            ),
            ("what is not known is tried", (unknown, 0), (dials(1, 1), 0)),
            ("what was slow long ago is tried", (dials(900, 600), 0), (dials(20, 1), 0)),
            (
                "what did not reach it just now comes last",
                (dials(1, 1), 9),
                (fails("dial.unreachable", 59), 0),
            ),
            ("and not for ever", (fails("dial.unreachable", 60), 0), (dials(1, 1), 9)),
            ("who was refused would be by all", (fails("dial.refused", 1), 0), (dials(1, 1), 9)),
        ];
        for (why, (taken, its), (other, others)) in table {
            assert!(taken.cost(its, now) < other.cost(others, now), "{why}");
        }
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
