//! Walking the chain from its first record to its end.

use chain::{Damage, Head, Kind, Record, Verifier};
use serde_json::Value;

use super::end;
use super::table::About;
use crate::{Store, StoreError, clock};

/// Which part of the audit log is verified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AuditPart {
    /// What follows this record; absent: from the first one on.
    pub after: Option<Head>,
    /// A record as somebody noted it earlier, which must be there still.
    pub noted: Option<Head>,
    /// About this many records.
    pub most: u64,
}

/// What came of verifying a part of the audit log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditCheck {
    /// How many records were looked at.
    pub rows: u64,
    pub first: Option<u64>,
    /// The last record that was looked at; the next part begins after it.
    pub at: Option<Head>,
    pub damages: Vec<Damage>,
    /// Whether this was the last part: the end of the chain was compared too.
    pub done: bool,
    /// The number of the chain's last record.
    pub end: u64,
}

impl Store {
    /// Computes the chain again, over a part or up to the end. Reads a page at a time.
    pub async fn verify_audit(&self, part: AuditPart) -> Result<AuditCheck, StoreError> {
        // What is recorded from here on is not looked at, so that this comes to an end.
        let end = self.noted_end().await?;
        let mut verifier = Verifier::after(part.after.unwrap_or(Head::START)).noted(part.noted);
        let mut check = AuditCheck { end: end.head.seq, ..AuditCheck::default() };
        while check.rows < part.most && check.damages.len() < MOST_DAMAGES {
            let page = self.page(verifier.at().seq, end.head.seq).await?;
            check.done = page.len() < PAGE_ROWS;
            for row in &page {
                check.take(&mut verifier, row)?;
            }
            if check.done {
                check.damages.extend(verifier.finish(end.head, end.last, end.vouched));
                break;
            }
        }
        check.at = Some(verifier.at()).filter(|at| at.seq > 0);
        Ok(check)
    }

    async fn noted_end(&self) -> Result<Noted, StoreError> {
        let noted = sqlx::query_as(END).fetch_one(&self.inner.readers).await?;
        let (seq, hash, mac, last): (i64, String, String, i64) = noted;
        let head = end::head(seq, &hash)?;
        let vouched = self.inner.head_key.vouches(&head, &mac);
        Ok(Noted { head, vouched, last: clock::number(last, "audit event")? })
    }

    async fn page(&self, after: u64, end: u64) -> Result<Vec<Columns>, StoreError> {
        let rows = sqlx::query_as(PAGE).bind(clock::column(after)).bind(clock::column(end));
        Ok(rows.fetch_all(&self.inner.readers).await?)
    }
}

struct Noted {
    head: Head,
    vouched: bool,
    /// The last record there is.
    last: u64,
}

type Columns = (
    i64,
    i64,
    String,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
    String,
    String,
);

impl AuditCheck {
    fn take(&mut self, verifier: &mut Verifier, row: &Columns) -> Result<(), StoreError> {
        let (seq, at_ms, action, session, user, application, site, event, hash) = row;
        let seq = clock::number(*seq, "audit event")?;
        // A time before 1970 was never written: any other will not fit the hash either.
        let at_ms = u64::try_from(*at_ms).unwrap_or(u64::MAX);
        let (session, user) = (session.as_deref(), user.as_deref());
        let record = Record { seq, at_ms, action, session, user, event };
        // No hash at all fits nothing.
        let stored = hash.parse().unwrap_or(chain::Hash::START);
        let damage = verifier.take(&record, stored);
        let about = About::of(&serde_json::from_str::<Value>(event).unwrap_or_default());
        let found = About { application: application.clone(), site: site.clone() };
        // Those two have no place in the hash, for they only repeat what is in the event.
        let hidden = (about != found).then(|| Damage::one(seq, Kind::Changed));
        self.damages.extend(damage.or(hidden));
        self.first = self.first.or(Some(seq));
        self.rows += 1;
        Ok(())
    }
}

/// Enough to see how bad it is.
const MOST_DAMAGES: usize = 100;
const PAGE_ROWS: usize = 1000;

const END: &str = "SELECT seq, hash, mac, (SELECT COALESCE(MAX(seq), 0) FROM audit)
    FROM audit_head WHERE one = 1";

const PAGE: &str = "SELECT seq, at_ms, action, session, user_name, application, site, event, hash
    FROM audit WHERE seq > $1 AND seq <= $2 ORDER BY seq LIMIT 1000";
