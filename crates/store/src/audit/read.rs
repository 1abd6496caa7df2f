//! Reading the audit log.

use std::fmt::Write;

use access::SessionId;
use serde_json::Value;
use sqlx::AssertSqlSafe;

use crate::{AuditRow, Store, StoreError, clock};

/// Which audit events are wanted: those that fit all that is given.
#[derive(Clone, Debug, Default)]
pub struct AuditQuery {
    /// Only those with a greater sequence number.
    pub after: u64,
    /// Only those with a lesser one.
    pub before: Option<u64>,
    /// At most this many, and never more than 10,000.
    pub limit: u32,
    /// The last ones rather than the first ones, the very last one first.
    pub latest: bool,
    /// `session.opened`, or all that begin with `session.` or `session.*`.
    pub action: Option<String>,
    pub session: Option<SessionId>,
    /// The user of a session, or who made a change.
    pub user: Option<String>,
    /// Who made a change.
    pub actor: Option<String>,
    /// `web1` or `web1.hq`.
    pub application: Option<String>,
    pub site: Option<String>,
    /// Unix milliseconds.
    pub since: Option<u64>,
    /// Unix milliseconds, not included.
    pub until: Option<u64>,
}

impl Store {
    /// The events that fit the query, in the order it asks for.
    pub async fn audit_events(&self, query: AuditQuery) -> Result<Vec<AuditRow>, StoreError> {
        let mut search = Search::new(&query);
        let order = if query.latest { "DESC" } else { "ASC" };
        let limit = query.limit.min(MAX_ROWS);
        // Writing to a String does not fail.
        let _ = write!(search.sql, " ORDER BY seq {order} LIMIT {limit}");
        let mut statement = sqlx::query_as(AssertSqlSafe(search.sql));
        for value in search.values {
            statement = match value {
                Bound::Number(number) => statement.bind(clock::column(number)),
                Bound::Text(text) => statement.bind(text),
            };
        }
        let rows: Vec<Columns> = statement.fetch_all(&self.inner.readers).await?;
        rows.into_iter().map(row).collect()
    }
}

/// A statement with only the conditions that were asked for, so that their indexes are used. It is
/// made of fixed words and numbers of parameters.
struct Search {
    sql: String,
    values: Vec<Bound>,
}

enum Bound {
    Number(u64),
    Text(String),
}

impl Search {
    fn new(query: &AuditQuery) -> Self {
        let sql = format!("SELECT {COLUMNS} FROM audit WHERE seq > $1");
        let mut search = Self { sql, values: vec![Bound::Number(query.after)] };
        search.number("seq <", query.before);
        let user = query.user.as_ref().or(query.actor.as_ref());
        search.text("user_name =", user.cloned());
        search.text("session =", query.session.map(|id| id.to_string()));
        search.text("site =", query.site.clone());
        search.number("at_ms >=", query.since);
        search.number("at_ms <", query.until);
        if query.actor.is_some() {
            search.sql.push_str(" AND action IN ('admin.changed', 'access.withdrawn')");
        }
        if let (Some(_), Some(actor)) = (&query.user, &query.actor) {
            search.text("user_name =", Some(actor.clone()));
        }
        search.action(query.action.as_deref());
        search.application(query.application.as_deref());
        search
    }

    fn text(&mut self, condition: &str, value: Option<String>) {
        self.add(condition, value.map(Bound::Text));
    }

    fn number(&mut self, condition: &str, value: Option<u64>) {
        self.add(condition, value.map(Bound::Number));
    }

    fn add(&mut self, condition: &str, value: Option<Bound>) {
        let Some(value) = value else { return };
        self.values.push(value);
        let _ = write!(self.sql, " AND {condition} ${}", self.values.len());
    }

    /// What a session did is an action of its own within `session.action`.
    fn action(&mut self, action: Option<&str>) {
        let Some(action) = action else { return };
        let stem = action.strip_suffix('*').unwrap_or(action);
        let next = self.values.len() + 1;
        let (named, end) = match stem.strip_suffix('.') {
            // As a range, which an index serves; `/` comes right after `.`.
            Some(family) => {
                self.values.extend([stem.to_owned(), format!("{family}/")].map(Bound::Text));
                (format!("action >= ${next} AND action < ${}", next + 1), "")
            }
            None => {
                self.values.push(Bound::Text(stem.to_owned()));
                (format!("action = ${next}"), "\"")
            }
        };
        // What somebody else wrote has no bare quotes in there.
        self.values.push(Bound::Text(format!("%\"what\":\"{}{end}%", literally(stem))));
        let _ = write!(
            self.sql,
            " AND (({named}) OR (action = 'session.action' AND event LIKE ${} ESCAPE '\\'))",
            self.values.len()
        );
    }

    fn application(&mut self, application: Option<&str>) {
        let Some(application) = application else { return };
        let Some((name, site)) = application.split_once('.') else {
            return self.text("application =", Some(application.to_owned()));
        };
        // A refused user may have written it with its site; some events have no site.
        let first = self.values.len() + 1;
        self.values.extend([application, name, site].map(|text| Bound::Text(text.to_owned())));
        let [whole, name, site] = [first, first + 1, first + 2];
        let _ = write!(
            self.sql,
            " AND application IN (${whole}, ${name})
                AND (site = ${site} OR site IS NULL)"
        );
    }
}

type Columns = (i64, i64, String, Option<String>, Option<String>, String, String);

/// A text for LIKE that stands for itself.
fn literally(text: &str) -> String {
    text.chars()
        .flat_map(|c| matches!(c, '%' | '_' | '\\').then_some('\\').into_iter().chain([c]))
        .collect()
}

const COLUMNS: &str = "seq, at_ms, action, session, user_name, event, hash";
const MAX_ROWS: u32 = 10_000;

fn row(columns: Columns) -> Result<AuditRow, StoreError> {
    let (seq, at_ms, action, session, user, event, hash) = columns;
    let corrupt = |detail| StoreError::Corrupt { what: "audit event", detail };
    let session = session.map(|id| id.parse()).transpose();
    Ok(AuditRow {
        seq: clock::number(seq, "audit event")?,
        at_ms: clock::number(at_ms, "audit event")?,
        action,
        session: session.map_err(|error: uuid::Error| corrupt(error.to_string()))?,
        user,
        event: serde_json::from_str::<Value>(&event).map_err(|e| corrupt(e.to_string()))?,
        hash,
    })
}
