//! Chaining what was recorded before there was a chain.

use chain::{Hash, Head, HeadKey, Record, canonical};
use serde_json::Value;

use super::table::About;
use crate::db::Connection;
use crate::{StoreError, clock};

/// Gives each record its hash and notes where they end. Belongs into the transaction that makes
/// the columns: later it would vouch for whatever somebody wrote there.
pub(crate) async fn adopt(db: &mut Connection, key: &HeadKey) -> Result<(), StoreError> {
    let mut head = Head::START;
    loop {
        let page: Vec<Columns> =
            sqlx::query_as(PAGE).bind(clock::column(head.seq)).fetch_all(&mut *db).await?;
        if page.is_empty() {
            break;
        }
        for columns in page {
            head = adopted(db, columns, &head.hash).await?;
        }
    }
    sqlx::query("UPDATE audit_head SET seq = $1, hash = $2, mac = $3")
        .bind(clock::column(head.seq))
        .bind(head.hash.to_string())
        .bind(key.sign(&head))
        .execute(db)
        .await?;
    Ok(())
}

type Columns = (i64, i64, String, Option<String>, Option<String>, String);

async fn adopted(
    db: &mut Connection,
    (seq, at_ms, action, session, user, event): Columns,
    before: &Hash,
) -> Result<Head, StoreError> {
    let (session, user) = (session.as_deref(), user.as_deref());
    let (event, about) = rewritten(event);
    let number = clock::number(seq, "audit event")?;
    let at_ms = clock::number(at_ms, "audit event")?;
    let record = Record { seq: number, at_ms, action: &action, session, user, event: &event };
    let hash = before.then(&record);
    sqlx::query(ADOPT)
        .bind(seq)
        .bind(&event)
        .bind(about.application)
        .bind(about.site)
        .bind(hash.to_string())
        .execute(db)
        .await?;
    Ok(Head { seq: number, hash })
}

/// The same event in its one form; what can not be read stays as it is.
fn rewritten(event: String) -> (String, About) {
    let value = serde_json::from_str::<Value>(&event).unwrap_or_default();
    let about = About::of(&value);
    match canonical(&value) {
        Ok(text) if !value.is_null() => (text, about),
        Ok(_) | Err(_) => (event, about),
    }
}

const PAGE: &str = "SELECT seq, at_ms, action, session, user_name, event FROM audit
    WHERE seq > $1 ORDER BY seq LIMIT 1000";

const ADOPT: &str = "UPDATE audit SET event = $2, application = $3, site = $4, hash = $5
    WHERE seq = $1";
