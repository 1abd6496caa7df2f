//! What a snapshot of a whole organisation takes: `cargo bench -p access`. `docs/performance.md`.

#![expect(clippy::unwrap_used, reason = "what a bench needs and does not get ends it")]
#![expect(clippy::print_stdout, reason = "it prints a table")]

#[path = "../tests/support/counted.rs"]
mod counted;
#[path = "../tests/support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use access::{PolicySnapshot, SessionId};
use support::now;
use support::population::{Population, Question};
use uuid::Uuid;

fn main() {
    let data = Population::FULL.data();
    let before = counted::in_use();
    let copy = data.clone();
    let cloned = counted::in_use() - before;
    let started = Instant::now();
    let policy = PolicySnapshot::new(copy);
    let built = started.elapsed();
    // What it was made from was taken over or given back.
    let size = counted::in_use() - before;
    drop(data);
    println!("| 10,000 users, 1,000 applications, 5,000 rules | |\n| --- | --- |");
    println!("| the snapshot | {:.1} MB |", mega(size));
    println!("| the data it is made from | {:.1} MB |", mega(cloned));
    println!("| making it | {:.1} ms |", built.as_secs_f64() * 1e3);
    decisions(&policy);
}

fn decisions(policy: &PolicySnapshot) {
    let questions = Population::FULL.questions(policy, 100_000);
    let mut allowed = Vec::new();
    let authorize = percentiles(&questions, |question| {
        let (who, application) = (&question.who, &question.application);
        allowed.extend(policy.authorize(who, application, Question::context(), now()).ok());
    });
    println!("| authorise, p50 / p99 / longest ({} allowed) | {authorize} |", allowed.len());
    let recheck = percentiles(&allowed, |grant| {
        assert!(policy.recheck(SessionId(Uuid::nil()), grant.standing(), now()).is_none());
    });
    println!("| recheck, p50 / p99 / longest | {recheck} |");
    let few = &questions[..1000];
    let reachable = percentiles(few, |question| drop(policy.reachable(&question.who)));
    println!("| list what a user can reach, p50 / p99 / longest | {reachable} |");
}

fn percentiles<T>(items: &[T], mut work: impl FnMut(&T)) -> String {
    let mut times: Vec<Duration> = items.iter().map(|item| timed(|| work(item))).collect();
    times.sort_unstable();
    let at = |share: f64| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a place in the list"
        )]
        let place = ((times.len() - 1) as f64 * share) as usize;
        times[place].as_secs_f64() * 1e6
    };
    format!("{:.2} / {:.2} / {:.0} µs", at(0.5), at(0.99), at(1.0))
}

fn timed(work: impl FnOnce()) -> Duration {
    let started = Instant::now();
    work();
    started.elapsed()
}

fn mega(bytes: usize) -> f64 {
    bytes as f64 / 1e6
}
