//! Requests for access, and the rules that approved ones are.

use std::time::{Duration, SystemTime};

use access::{ApplicationId, Name, Rule, RuleId, Subject, Target, Terms, UserId};
use api::RequestState;
use sqlx::{FromRow, Row as _};
use uuid::Uuid;

use crate::columns::Columns;
use crate::db::{Connection, Row};
use crate::search::Search;
use crate::{Problem, Store, StoreError, clock};

/// What a user asks for.
#[derive(Clone, Debug)]
pub struct NewRequest {
    pub user: UserId,
    pub application: ApplicationId,
    pub reason: String,
    pub duration: Duration,
}

/// A request for access and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestRow {
    pub id: RuleId,
    pub user: Name,
    pub application_id: ApplicationId,
    /// `app.site`.
    pub application: String,
    pub reason: String,
    /// How long was asked for.
    pub seconds: u64,
    /// Unix seconds, as are the other times.
    pub created: u64,
    pub state: RequestState,
    pub decided: Option<u64>,
    pub decided_by: Option<String>,
    pub comment: Option<String>,
    pub ends: Option<u64>,
}

/// Which requests are wanted: those that fit all that is given.
#[derive(Clone, Debug, Default)]
pub struct RequestQuery {
    pub user: Option<Name>,
    pub state: Option<RequestState>,
    /// Only those that come after the one with this `created` and id.
    pub after: Option<(u64, RuleId)>,
    /// `None`: all.
    pub limit: Option<u32>,
}

/// A decision on a request.
#[derive(Clone, Copy, Debug)]
pub struct Settlement<'a> {
    /// The state it must be in; otherwise nothing is changed.
    pub from: RequestState,
    pub to: RequestState,
    pub by: &'a str,
    pub comment: Option<&'a str>,
    /// When an approved one is over.
    pub ends: Option<SystemTime>,
}

impl Store {
    /// Keeps a request until somebody decides. A user has one open per application.
    pub async fn ask_access(
        &self,
        new: NewRequest,
        now: SystemTime,
    ) -> Result<RequestRow, StoreError> {
        let mut change = self.changing().await?;
        let id = RuleId(Uuid::new_v4());
        let (user, application) = (new.user.to_string(), new.application.to_string());
        let open = sqlx::query_scalar(OPEN).bind(&user).bind(&application);
        let open: i64 = open.fetch_one(change.db()).await?;
        if open > 0 {
            let (code, detail) =
                ("access_request.exists", "it was asked for already, and nobody has decided yet");
            let problem = Problem::new("request", code, detail);
            return Err(StoreError::Invalid(vec![problem]));
        }
        sqlx::query(ASK)
            .bind(id.to_string())
            .bind(user)
            .bind(application)
            .bind(new.reason)
            .bind(clock::column(new.duration.as_secs()))
            .bind(clock::column(clock::seconds(now)))
            .execute(change.db())
            .await?;
        let row = sqlx::query_as(REQUEST).bind(id.to_string()).fetch_one(change.db()).await?;
        change.commit().await?;
        Ok(row)
    }

    /// The requests that fit the query, newest first.
    pub async fn access_requests(
        &self,
        query: RequestQuery,
    ) -> Result<Vec<RequestRow>, StoreError> {
        let mut search = Search::new(REQUESTS);
        search.text("users.name =", query.user);
        search.text("state =", query.state.map(RequestState::as_str));
        let after = query.after.map(|(created, id)| (created, id.to_string()));
        search.older("created", "requests.id", after);
        search.rows("created DESC, requests.id", query.limit, &self.inner.readers).await
    }

    pub async fn access_request(&self, id: RuleId) -> Result<Option<RequestRow>, StoreError> {
        let row = sqlx::query_as(REQUEST).bind(id.to_string());
        Ok(row.fetch_optional(&self.inner.readers).await?)
    }

    /// Decides on a request. `false`: it is in another state by now, and nothing was changed.
    pub async fn settle_request(
        &self,
        id: RuleId,
        settlement: Settlement<'_>,
        now: SystemTime,
    ) -> Result<bool, StoreError> {
        let mut change = self.changing().await?;
        let settled = sqlx::query(SETTLE)
            .bind(id.to_string())
            .bind(settlement.from.as_str())
            .bind(settlement.to.as_str())
            .bind(clock::column(clock::seconds(now)))
            .bind(settlement.by)
            .bind(settlement.comment)
            .bind(settlement.ends.map(|end| clock::column(clock::seconds(end))))
            .execute(change.db())
            .await?;
        Ok(change.commit_if(settled.rows_affected()).await? > 0)
    }
}

/// The rules that approved requests are. They end by themselves: `valid_until` is their end.
pub(crate) async fn rules(db: &mut Connection) -> Result<Vec<Rule>, StoreError> {
    let rows = sqlx::query(APPROVED).fetch_all(db).await?;
    let rule = |row: &Row| {
        let terms = Terms {
            valid_from: row.perhaps_number("decided")?,
            valid_until: row.perhaps_number("ends")?,
            ..Terms::default()
        };
        Ok(Rule {
            id: row.parsed("id")?,
            subject: Subject::User(row.parsed("user_id")?),
            target: Target::Application(row.parsed("application_id")?),
            terms,
        })
    };
    rows.iter().map(rule).collect()
}

impl FromRow<'_, Row> for RequestRow {
    fn from_row(row: &Row) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.parsed("id")?,
            user: row.parsed("user_name")?,
            application_id: row.parsed("application_id")?,
            application: row.try_get("application")?,
            reason: row.try_get("reason")?,
            seconds: row.number("seconds")?,
            created: row.number("created")?,
            state: row.parsed("state")?,
            decided: row.perhaps_number("decided")?,
            decided_by: row.try_get("decided_by")?,
            comment: row.try_get("comment")?,
            ends: row.perhaps_number("ends")?,
        })
    }
}

// The statements differ in their last lines only; a statement is one literal text.
macro_rules! requests {
    ($which:literal) => {
        concat!(
            "SELECT requests.id, users.name AS user_name, requests.application_id,
                applications.name || '.' || sites.name AS application,
                reason, seconds, created, state, decided, decided_by, comment, ends
            FROM requests
            JOIN users ON users.id = requests.user_id
            JOIN applications ON applications.id = requests.application_id
            JOIN sites ON sites.id = applications.site_id
            WHERE ",
            $which
        )
    };
}

const REQUEST: &str = requests!("requests.id = $1");
const REQUESTS: &str = requests!("1 = 1");

const OPEN: &str = "SELECT COUNT(*) FROM requests
    WHERE user_id = $1 AND application_id = $2 AND state = 'pending'";

const ASK: &str = "INSERT INTO requests
    (id, user_id, application_id, reason, seconds, created, state)
    VALUES ($1, $2, $3, $4, $5, $6, 'pending')";

const SETTLE: &str = "UPDATE requests SET state = $3, decided = $4, decided_by = $5,
        comment = COALESCE(CAST($6 AS TEXT), comment), ends = COALESCE(CAST($7 AS BIGINT), ends)
    WHERE id = $1 AND state = $2";

const APPROVED: &str = "SELECT id, user_id, application_id, decided, ends
    FROM requests WHERE state = 'approved' AND ends IS NOT NULL";
