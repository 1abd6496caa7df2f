//! Which of the rules that name somebody allow it, which of those is chosen, and which came nearest.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::terms::Facts;
use crate::{Level, Rule, Shortfall, Terms};

/// What became of the rules that name a user and an application.
#[derive(Debug, Default)]
pub(crate) struct Judged {
    pub(crate) fitting: Vec<Arc<Rule>>,
    pub(crate) nearest: Option<Near>,
}

/// The rule whose worst shortfall is the least.
#[derive(Debug)]
pub(crate) struct Near {
    pub(crate) rule: Arc<Rule>,
    pub(crate) worst: Shortfall,
    /// All its shortfalls, the worst first.
    pub(crate) by: Vec<Shortfall>,
}

impl Judged {
    pub(crate) fn of<'a>(
        rules: impl Iterator<Item = &'a Arc<Rule>>,
        facts: &Facts<'_>,
        now: SystemTime,
    ) -> Self {
        let mut judged = Self::default();
        for rule in rules {
            let by = rule.terms.shortfalls(facts, now);
            match by.first() {
                None => judged.fitting.push(rule.clone()),
                Some(worst) => judged.approach(Near { rule: rule.clone(), worst: *worst, by }),
            }
        }
        judged
    }

    // The id makes the order total, so that the answer is repeatable.
    fn approach(&mut self, near: Near) {
        let distance = |near: &Near| (near.worst, near.by.len(), near.rule.id);
        if self.nearest.as_ref().is_none_or(|held| distance(&near) < distance(held)) {
            self.nearest = Some(near);
        }
    }
}

/// The rule that allows most. The id makes the order total, so that the choice is repeatable.
pub(crate) fn widest(rules: &[Arc<Rule>], now: SystemTime) -> Option<Arc<Rule>> {
    let width = |rule: &&Arc<Rule>| {
        let terms = &rule.terms;
        let lasts = [terms.valid_until(), terms.closes(now)].into_iter().flatten().min();
        (
            (terms.channels().width(), terms.clipboard.ways(), terms.printer, terms.audio),
            (most(terms.level), count(&terms.databases)),
            (open(terms.max_session), open(terms.idle)),
            (Reverse(terms.recording), !terms.require_active_session),
            terms.ssh.authentication.is_none(),
            (lasts.is_none(), lasts),
            rule.id,
        )
    };
    rules.iter().max_by_key(width).cloned()
}

/// When a session that a rule of these terms opens `now` must end.
pub(crate) fn end(terms: &Terms, now: SystemTime) -> Option<SystemTime> {
    let longest = terms.max_session.and_then(|s| now.checked_add(Duration::from_secs(s)));
    [terms.valid_until(), longest, terms.closes(now)].into_iter().flatten().min()
}

/// Whether `terms` allow all that a session was opened under: terms, and the end of their hours.
pub(crate) fn no_narrower(
    terms: &Terms,
    (then, closed): (&Terms, Option<SystemTime>),
    now: SystemTime,
) -> bool {
    let closes_no_earlier = match (terms.closes(now), closed) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(closes), Some(closed)) => closes >= closed,
    };
    closes_no_earlier
        && terms.channels().covers(&then.channels())
        && most(terms.level) >= most(then.level)
        && covers(terms.databases.as_deref(), then.databases.as_deref())
        && terms.clipboard.covers(then.clipboard)
        && terms.printer >= then.printer
        && terms.audio >= then.audio
        && terms.recording <= then.recording
        && (!terms.require_active_session || then.require_active_session)
        && open(terms.max_session) >= open(then.max_session)
        && open(terms.idle) >= open(then.idle)
        && open(terms.valid_until) >= open(then.valid_until)
}

/// No level chosen is more than any.
fn most(level: Option<Level>) -> (bool, Option<Level>) {
    (level.is_none(), level)
}

fn count(names: &Option<Vec<String>>) -> usize {
    names.as_ref().map_or(usize::MAX, Vec::len)
}

/// Whether all that `then` names is named; without a list everything is.
fn covers(names: Option<&[String]>, then: Option<&[String]>) -> bool {
    match (names, then) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(names), Some(then)) => then.iter().all(|name| names.contains(name)),
    }
}

/// No limit is wider than any.
fn open(limit: Option<u64>) -> u64 {
    limit.unwrap_or(u64::MAX)
}
