//! The decision among many users, applications and rules. `cargo bench -p access` says the times.

#![expect(clippy::unwrap_used, reason = "what a test needs and does not get fails the test")]

#[path = "support/counted.rs"]
mod counted;
mod support;

use std::time::{Duration, Instant};

use access::{PolicySnapshot, SessionId};
use support::now;
use support::population::{Population, Question};
use uuid::Uuid;

#[test]
fn a_full_snapshot_is_small_and_the_rules_of_others_cost_nothing() {
    // One test: what is counted is the whole process's.
    let before = counted::in_use();
    let full = PolicySnapshot::new(Population::FULL.data());
    let size = counted::in_use() - before;
    assert!(size < 200 << 20, "the snapshot takes {} KiB", size >> 10);
    let small = Population { users: 100, applications: 10, rules: 50 };
    let small = (small, PolicySnapshot::new(small.data()));
    // The same number of rules is for each user; caches alone make it a few times slower.
    let (quick, slow) = (decision(&small.1, small.0), decision(&full, Population::FULL));
    assert!(slow < quick * 20, "{slow:?} among many instead of {quick:?} among few");
    assert!(slow < Duration::from_millis(1), "{slow:?}");
}

/// The quickest of several rounds: what the machine does besides only adds.
fn decision(policy: &PolicySnapshot, population: Population) -> Duration {
    let questions = population.questions(policy, 500);
    let allowed = questions.iter().filter(|question| question.ask(policy)).count();
    assert!(allowed > 10 && allowed < 490, "{allowed} of 500 were allowed");
    let round = |_| {
        let started = Instant::now();
        for question in &questions {
            std::hint::black_box(decide_twice(policy, question));
        }
        started.elapsed() / 500
    };
    (0..20).map(round).min().unwrap()
}

fn decide_twice(policy: &PolicySnapshot, question: &Question) -> bool {
    let (who, application) = (&question.who, &question.application);
    let Ok(grant) = policy.authorize(who, application, Question::context(), now()) else {
        return false;
    };
    policy.recheck(SessionId(Uuid::nil()), grant.standing(), now()).is_none()
}
