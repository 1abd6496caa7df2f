use access::SessionId;
use serde::{Deserialize, Serialize};

/// One statement at the door of a database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct StatementRow {
    pub id: String,
    /// When it was sent, in Unix milliseconds.
    pub at_ms: u64,
    pub session: SessionId,
    pub user: String,
    /// The application's host label, `<app>-<site>`.
    pub application: String,
    pub database: String,
    /// The account at the database.
    pub role: String,
    /// What the client calls itself: its `application_name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// With the literals that stand in it, and the values that were bound to it behind ` -- ` where the
    /// application says `values`.
    pub text: String,
    /// How many bytes of a long text were left out.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cut: u64,
    /// From sending it to the end of its answer; absent: it is under way, or its end was not seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub micros: Option<u64>,
    /// Rows given or changed, where it was of that kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// Why it failed: PostgreSQL's SQLSTATE, MySQL's number, or a Redis server's word; the door's, where
    /// that refused it; the code of the session's end, where nobody has told how it went.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// `GET /statements`: the last statements first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct StatementPage {
    pub statements: Vec<StatementRow>,
    /// Ask for earlier ones with `before` set to this; absent where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}
