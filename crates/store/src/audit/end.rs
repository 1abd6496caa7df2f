//! The end of the chain, and moving it.

use std::collections::HashSet;
use std::sync::LazyLock;

use access::SessionId;
use chain::{Head, HeadKey};

use super::table::{AT_ONCE, Placed, Query, Row, bind, insert, statement};
use crate::clock;
use crate::db::{Connection, Engine};

/// The end of the chain as this process last saw it: a guess, that the table confirms.
#[derive(Clone, Debug)]
pub(crate) struct End {
    head: Head,
    /// What stands where the relay's word for the end should, where it is not that. It stays: a
    /// chain that somebody else has ended is not vouched for again by adding to it.
    broken: Option<String>,
}

impl End {
    pub(crate) async fn read(db: &mut Connection, key: &HeadKey) -> Result<Self, sqlx::Error> {
        Ok(Self::of(noted(db).await?, key))
    }

    /// As [`read`](Self::read), and keeps others from moving it.
    async fn hold(db: &mut Connection, key: &HeadKey) -> Result<Self, sqlx::Error> {
        Ok(Self::of(noted_by(db, HELD).await?, key))
    }

    fn of((head, mac): (Head, String), key: &HeadKey) -> Self {
        let broken = (!key.vouches(&head, &mac)).then_some(mac);
        if broken.is_some() {
            let seq = head.seq;
            tracing::error!(seq, "The end of the audit log is not the one this relay noted");
        }
        Self { head, broken }
    }

    pub(crate) fn seq(&self) -> u64 {
        self.head.seq
    }

    fn place<'a>(&self, rows: &[&'a Row]) -> (Vec<Placed<'a>>, Self) {
        let mut head = self.head;
        let mut placed = Vec::with_capacity(rows.len());
        for row in rows {
            let next = row.after(head.seq, &head.hash);
            head = Head { seq: next.seq(), hash: next.hash() };
            placed.push(next);
        }
        (placed, Self { head, broken: self.broken.clone() })
    }

    /// Gives [`MOVE`] its parameters.
    fn moving(&self, to: &Self, key: &HeadKey, query: Query) -> Query {
        let mac = to.broken.clone().unwrap_or_else(|| key.sign(&to.head));
        let query = query.bind(clock::column(to.head.seq)).bind(to.head.hash.to_string());
        query.bind(mac).bind(clock::column(self.head.seq)).bind(self.head.hash.to_string())
    }
}

/// Adds the rows to the chain, in their order, and says where it then ends. The caller commits.
/// `known` is where it ended the last time, if the caller knows.
pub(crate) async fn append(
    (engine, db): (Engine, &mut Connection),
    key: &HeadKey,
    known: Option<End>,
    rows: &[&Row],
) -> Result<End, sqlx::Error> {
    let mut end = match known {
        Some(end) => end,
        None => End::read(db, key).await?,
    };
    for _ in 0..TRIES {
        if rows.is_empty() {
            return Ok(end);
        }
        let (placed, next) = end.place(rows);
        let moved = end.moving(&next, key, sqlx::query(MOVE)).execute(&mut *db).await?;
        // No row: another writer moved it before.
        if moved.rows_affected() == 1 {
            insert((engine, db), &placed).await?;
            return Ok(next);
        }
        end = match engine {
            Engine::Sqlite => End::read(db, key).await?,
            // From here on nobody else moves it.
            Engine::Postgres => End::hold(db, key).await?,
        };
    }
    Err(sqlx::Error::Protocol("the end of the audit chain does not stand still".to_owned()))
}

/// As [`append`] in a transaction of its own, for SQLite: in one way to the database's thread, which
/// costs more than a row. `None`: the rows are too many for that.
///
/// After a failure the transaction is still open, and the connection of no more use. A unique
/// violation means that another writer was quicker, or that a session has its end already.
pub(crate) async fn append_at_once(
    db: &mut Connection,
    key: &HeadKey,
    known: &End,
    rows: &[&Row],
) -> Result<Option<End>, sqlx::Error> {
    if !(1..=AT_ONCE).contains(&rows.len()) {
        return Ok(None);
    }
    let (placed, next) = known.place(rows);
    let query = known.moving(&next, key, sqlx::query(AT_ONCES[rows.len() - 1].as_str()));
    bind(query, &placed).execute(db).await?;
    Ok(Some(next))
}

/// The rows without second ends of one session: those among them, and of sessions that the table
/// has an end of.
pub(crate) async fn without_second_ends<'a>(
    db: &mut Connection,
    rows: Vec<&'a Row>,
) -> Result<Vec<&'a Row>, sqlx::Error> {
    let mut kept = Vec::with_capacity(rows.len());
    for row in first_ends(rows) {
        match row.ends() {
            Some(session) if has_ended(db, session).await? => {}
            Some(_) | None => kept.push(row),
        }
    }
    Ok(kept)
}

/// The rows without second ends among them.
pub(crate) fn first_ends(mut rows: Vec<&Row>) -> Vec<&Row> {
    let mut ended = HashSet::new();
    rows.retain(|row| row.ends().is_none_or(|session| ended.insert(session)));
    rows
}

async fn has_ended(db: &mut Connection, session: SessionId) -> Result<bool, sqlx::Error> {
    let ended: Option<i64> =
        sqlx::query_scalar(ENDED).bind(session.to_string()).fetch_optional(db).await?;
    Ok(ended.is_some())
}

/// Has another key vouch for the end of the chain, if the old one does.
pub(crate) async fn vouch_anew(
    db: &mut Connection,
    old: &HeadKey,
    new: &HeadKey,
) -> Result<(), sqlx::Error> {
    let (head, mac) = noted(db).await?;
    if old.vouches(&head, &mac) {
        let vouch = sqlx::query("UPDATE audit_head SET mac = $1 WHERE one = 1");
        vouch.bind(new.sign(&head)).execute(db).await?;
    }
    Ok(())
}

/// What is noted as the end, and the word for it.
pub(crate) async fn noted(db: &mut Connection) -> Result<(Head, String), sqlx::Error> {
    noted_by(db, NOTED).await
}

async fn noted_by(
    db: &mut Connection,
    statement: &'static str,
) -> Result<(Head, String), sqlx::Error> {
    let (seq, hash, mac): (i64, String, String) = sqlx::query_as(statement).fetch_one(db).await?;
    Ok((head(seq, &hash)?, mac))
}

/// The columns of a head.
pub(crate) fn head(seq: i64, hash: &str) -> Result<Head, sqlx::Error> {
    let unreadable = |source| sqlx::Error::ColumnDecode { index: "audit_head".into(), source };
    let seq = u64::try_from(seq).map_err(|error| unreadable(error.into()))?;
    let hash = hash.parse().map_err(|error: chain::HashError| unreadable(error.into()))?;
    Ok(Head { seq, hash })
}

/// How often another writer may be quicker, each time after we saw where it had come to.
const TRIES: u32 = 16;

const NOTED: &str = "SELECT seq, hash, mac FROM audit_head WHERE one = 1";
const HELD: &str = "SELECT seq, hash, mac FROM audit_head WHERE one = 1 FOR UPDATE";

const MOVE: &str = "UPDATE audit_head SET seq = $1, hash = $2, mac = $3
    WHERE one = 1 AND seq = $4 AND hash = $5";

static AT_ONCES: LazyLock<[String; AT_ONCE]> = LazyLock::new(|| {
    std::array::from_fn(|index| {
        // Its parameters are numbered in the order in which they stand.
        let moving = (1..=5).fold(MOVE.to_owned(), |sql, n| sql.replace(&format!("${n}"), "?"));
        let insert = statement(Engine::Sqlite, index + 1);
        format!("BEGIN IMMEDIATE; {moving}; {insert}; COMMIT")
    })
});

const ENDED: &str = "SELECT seq FROM audit WHERE session = $1 AND action = 'session.ended'";
