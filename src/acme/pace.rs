//! When a certificate is asked for again.

use std::time::{Duration, SystemTime};

use crate::certificates::Pair;

/// How failures slow asking down.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// After the first failure; each further one doubles it.
    pub(crate) first: Duration,
    /// It grows no longer.
    pub(crate) most: Duration,
}

impl Default for Pace {
    /// Public CAs allow some five failures an hour for a name.
    fn default() -> Self {
        Self { first: Duration::from_secs(15 * 60), most: Duration::from_secs(24 * 3600) }
    }
}

impl Pace {
    /// How long to wait after so many failures; `at` of 0 to 1 is where within a quarter around it,
    /// so that relays that failed together do not ask together.
    pub(super) fn wait(&self, failures: u32, at: f64) -> Duration {
        let doubled = self.first.saturating_mul(1 << failures.saturating_sub(1).min(16));
        doubled.min(self.most).mul_f64(0.875 + at / 4.0)
    }

    /// When a certificate is renewed: two thirds into its life, up to a thirtieth sooner.
    pub(super) fn renewal(&self, pair: &Pair, at: f64) -> SystemTime {
        let life = pair.not_after.duration_since(pair.not_before).unwrap_or_default();
        pair.not_before + life.mul_f64(2.0 / 3.0 - at / 30.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_waits_longer_up_to_a_day() {
        let pace = Pace::default();
        let minutes = |failures| pace.wait(failures, 0.5).as_secs() / 60;
        let waits: Vec<_> = [1, 2, 3, 4, 7, 8, 1000].map(minutes).into();
        assert_eq!(waits, [15, 30, 60, 120, 960, 1440, 1440]);
        assert!(pace.wait(1, 0.0) < pace.wait(1, 1.0));
        assert!(pace.wait(1, 1.0) < pace.wait(2, 0.0), "the spread hides no growth");
    }

    #[test]
    fn a_certificate_is_renewed_two_thirds_into_its_life() {
        let made = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
        let key = made.signing_key.serialize_pem().into();
        let pair = Pair::new(&made.cert.pem(), &key).unwrap();
        let life = pair.not_after.duration_since(pair.not_before).unwrap();
        for at in [0.0, 0.5, 1.0] {
            let renewal = Pace::default().renewal(&pair, at);
            let part = renewal.duration_since(pair.not_before).unwrap().div_duration_f64(life);
            assert!((0.63..=0.667).contains(&part), "{part}");
        }
    }
}
