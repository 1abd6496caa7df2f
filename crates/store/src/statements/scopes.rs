//! What statements of a session have in common, stored once.

use std::collections::HashMap;
use std::sync::Arc;

use session::{Statement, StatementScope};
use uuid::Uuid;

use super::ids::Halves;
use crate::db::Connection;

/// The scopes whose rows this process has stored and may store more statements of.
#[derive(Default)]
pub(super) struct Scopes {
    known: HashMap<Arc<StatementScope>, Stored>,
}

/// A scope's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stored {
    id: i64,
    span: Span,
}

/// First halves of ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    first: i64,
    last: i64,
}

/// The scopes of one batch, and from where to where the ids of their statements go.
struct Spans {
    scopes: Vec<(Arc<StatementScope>, Span)>,
    /// As those of a [`Batch`].
    places: HashMap<usize, usize>,
}

/// The scopes of one batch, and the row that each has once the batch is stored.
pub(super) struct Batch {
    scopes: Vec<(Arc<StatementScope>, Stored)>,
    /// Which of them is where in memory: all of a batch are there until its last statement is stored, so
    /// no two of them are in one place.
    places: HashMap<usize, usize>,
}

impl Scopes {
    /// Stores what is not known of the scopes of these statements. [`keep`](Self::keep) once that has
    /// been committed.
    pub(super) async fn store(
        &self,
        statements: &[Statement],
        db: &mut Connection,
    ) -> Result<Batch, sqlx::Error> {
        let spans = Spans::of(statements);
        let mut scopes = Vec::with_capacity(spans.scopes.len());
        for (scope, span) in spans.scopes {
            let there = match self.known.get(&scope) {
                Some(known) if known.span.has(span) => Some(*known),
                Some(known) => widen(*known, span, db).await?,
                None => None,
            };
            let stored = match there {
                Some(stored) => stored,
                None => insert(&scope, span, db).await?,
            };
            scopes.push((scope, stored));
        }
        Ok(Batch { scopes, places: spans.places })
    }

    /// Remembers what a batch has stored.
    pub(super) fn keep(&mut self, batch: Batch) {
        if self.known.len() >= MOST {
            self.forget_half();
        }
        self.known.extend(batch.scopes);
    }

    /// Those that were quiet for longest; one that goes on gets another row.
    fn forget_half(&mut self) {
        let mut ends: Vec<_> = self.known.values().map(|stored| stored.span.last).collect();
        let half = ends.len() / 2;
        let (_, median, _) = ends.select_nth_unstable(half);
        self.known.retain(|_, stored| stored.span.last > *median);
    }
}

impl Batch {
    /// The row of a scope of the batch.
    pub(super) fn id(&self, scope: &Arc<StatementScope>) -> Option<i64> {
        let at = self.places.get(&place(scope))?;
        Some(self.scopes.get(*at)?.1.id)
    }
}

impl Spans {
    fn of(statements: &[Statement]) -> Self {
        let mut spans = Self { scopes: Vec::new(), places: HashMap::new() };
        let mut same = HashMap::new();
        for Statement { id, scope, .. } in statements {
            let high = Halves::from(*id).high;
            let span = Span { first: high, last: high };
            let at = *spans.places.entry(place(scope)).or_insert_with(|| {
                *same.entry(scope.clone()).or_insert_with(|| {
                    spans.scopes.push((scope.clone(), span));
                    spans.scopes.len() - 1
                })
            });
            let known = &mut spans.scopes[at].1;
            *known = known.with(span);
        }
        spans
    }
}

impl Span {
    fn has(self, other: Self) -> bool {
        self.first <= other.first && other.last <= self.last.saturating_add(AHEAD)
    }

    fn with(self, other: Self) -> Self {
        Self { first: self.first.min(other.first), last: self.last.max(other.last) }
    }
}

fn place(scope: &Arc<StatementScope>) -> usize {
    Arc::as_ptr(scope).addr()
}

async fn insert(
    scope: &StatementScope,
    span: Span,
    db: &mut Connection,
) -> Result<Stored, sqlx::Error> {
    loop {
        let id = new_id(span.first);
        let StatementScope { session, user, application, database, role } = scope;
        let inserted = sqlx::query(INSERT)
            .bind(id)
            .bind(session.to_string())
            .bind(user.to_string())
            .bind(application.as_str())
            .bind(database.as_str())
            .bind(role.as_str())
            .bind(span.first)
            .bind(span.last)
            .execute(&mut *db)
            .await?;
        if inserted.rows_affected() > 0 {
            return Ok(Stored { id, span });
        }
    }
}

/// `None`: the row is not there any more, as all that it was for was too old.
async fn widen(
    Stored { id, span: known }: Stored,
    span: Span,
    db: &mut Connection,
) -> Result<Option<Stored>, sqlx::Error> {
    let span = known.with(span);
    let widened = sqlx::query(WIDEN).bind(span.first).bind(span.last).bind(id).execute(db).await?;
    Ok((widened.rows_affected() > 0).then_some(Stored { id, span }))
}

/// Later ones are higher, so that statements of new sessions are stored side by side; the rest is by
/// chance, as relays that share a database know nothing of each other.
fn new_id(first: i64) -> i64 {
    let (_, chance) = Uuid::new_v4().as_u64_pair();
    let millis = (first >> BELOW_MILLIS) & ((1 << (63 - CHANCE)) - 1);
    (millis << CHANCE) | (chance & ((1 << CHANCE) - 1)).cast_signed()
}

/// Bits of an id's first half below its milliseconds.
const BELOW_MILLIS: u32 = 16;
/// Bits of a scope's id that are by chance.
const CHANCE: u32 = 21;
/// How much later than its row says a scope may have statements: a quarter of a minute. A row that were
/// right at any moment would be written for each batch; and each scope that ended within so much of a
/// page's end is asked for what it has.
pub(super) const AHEAD: i64 = (15 * 1000) << BELOW_MILLIS;
/// Scopes that are remembered: as many as sessions there may be.
const MOST: usize = 65_536;

const INSERT: &str = "INSERT INTO statement_scopes
    (id, session, user_name, application, database_name, role_name, first_high, last_high)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (id) DO NOTHING";
// Never narrower: of a batch it may not be known that it was stored.
const WIDEN: &str = "UPDATE statement_scopes SET
    first_high = CASE WHEN first_high < $1 THEN first_high ELSE $1 END,
    last_high = CASE WHEN last_high > $2 THEN last_high ELSE $2 END
    WHERE id = $3";

#[cfg(test)]
mod tests {
    use access::SessionId;

    use super::*;

    #[test]
    fn the_half_that_was_quiet_for_longest_is_forgotten() {
        let mut scopes = Scopes::default();
        let scope = |n: i64| {
            let stored = Stored { id: n, span: Span { first: 0, last: n } };
            (Arc::new(scope(n)), stored)
        };
        scopes.known.extend((0..i64::try_from(MOST).unwrap()).map(scope));
        let more = Batch { scopes: vec![scope(1 << 40)], places: HashMap::new() };
        scopes.keep(more);
        assert_eq!(scopes.known.len(), MOST / 2);
        assert!(scopes.known.values().all(|stored| stored.span.last > 30_000));
    }

    fn scope(n: i64) -> StatementScope {
        StatementScope {
            session: SessionId(Uuid::from_u128(n.unsigned_abs().into())),
            user: "alice".parse().unwrap(),
            application: "orders-db-hq".to_owned(),
            database: "orders".to_owned(),
            role: "ro".to_owned(),
        }
    }
}
