//! The end of the chain, and moving it.

use std::collections::HashSet;

use access::SessionId;
use chain::{Head, HeadKey};

use super::table::{Placed, Row, insert};
use crate::clock;
use crate::db::Connection;

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
        let (head, mac) = noted(db).await?;
        let broken = (!key.vouches(&head, &mac)).then_some(mac);
        if broken.is_some() {
            let seq = head.seq;
            tracing::error!(seq, "The end of the audit log is not the one this relay noted");
        }
        Ok(Self { head, broken })
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

    /// Moves the noted end, unless another writer did so before.
    async fn moves(
        &self,
        to: &Self,
        db: &mut Connection,
        key: &HeadKey,
    ) -> Result<bool, sqlx::Error> {
        let mac = to.broken.clone().unwrap_or_else(|| key.sign(&to.head));
        let moved = sqlx::query(MOVE)
            .bind(clock::column(to.head.seq))
            .bind(to.head.hash.to_string())
            .bind(mac)
            .bind(clock::column(self.head.seq))
            .bind(self.head.hash.to_string())
            .execute(db)
            .await?;
        Ok(moved.rows_affected() == 1)
    }
}

/// Adds the rows to the chain, in their order, and says where it then ends. The caller commits.
/// `known` is where it ended the last time, if the caller knows.
pub(crate) async fn append(
    db: &mut Connection,
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
        if end.moves(&next, db, key).await? {
            insert(db, &placed).await?;
            return Ok(next);
        }
        end = End::read(db, key).await?;
    }
    Err(sqlx::Error::Protocol("the end of the audit chain does not stand still".to_owned()))
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

/// What is noted as the end, and the word for it.
pub(crate) async fn noted(db: &mut Connection) -> Result<(Head, String), sqlx::Error> {
    let (seq, hash, mac): (i64, String, String) = sqlx::query_as(NOTED).fetch_one(db).await?;
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

const MOVE: &str = "UPDATE audit_head SET seq = $1, hash = $2, mac = $3
    WHERE one = 1 AND seq = $4 AND hash = $5";

const ENDED: &str = "SELECT seq FROM audit WHERE session = $1 AND action = 'session.ended'";
