//! Several relays that serve one database at a time: who is there, what each has, and what one tells
//! the others.
//!
//! A relay's claim is its row in `relays`. It beats; who sees the beat of another stand still for a
//! lease, while the database answered all the time, takes the row away and closes what that relay left
//! open. No clock of one machine is compared with that of another.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use access::{ConnectorId, Kind, Name, SessionId, SiteId};
use data_encoding::HEXLOWER;
use serde::Deserialize;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use sqlx::{FromRow, Row as _};
use tokio::time::{sleep, timeout};

use crate::audit::{Opened, Row as AuditRecord};
use crate::columns::Columns;
use crate::db::{Claim, Connection, Row};
use crate::{Store, StoreError, clock};

/// A relay that is about to serve beside others.
#[derive(Clone, Copy, Debug)]
pub struct NewRelay<'a> {
    pub name: &'a Name,
    /// SHA-256 of the key by which others know it.
    pub spki: [u8; 32],
    pub version: &'a str,
}

/// What a relay has become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Joined {
    /// Grows with every start of any relay.
    pub epoch: i64,
    /// Sessions closed that it, or all relays, left open.
    pub abandoned: u64,
}

/// A relay that serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayRow {
    pub epoch: i64,
    pub name: Name,
    /// `host:port`; empty until its doors are open.
    pub quic: String,
    pub https: String,
    /// Where connectors reach it; `None` where they are not told of it, or its doors are not open.
    pub outside: Option<Outside>,
    /// Unix seconds.
    pub since: u64,
    pub beat: i64,
    pub version: String,
}

/// Where a relay is reached from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outside {
    /// `https://host[:port]`.
    pub url: String,
    /// `host:port`.
    pub quic: String,
}

/// A connector at a relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub relay: i64,
    pub connector: ConnectorId,
    pub site: SiteId,
    /// What lists show of it: the relay's own text.
    pub shown: String,
}

/// A session that is open at another relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveRow {
    pub relay: Name,
    pub session: SessionId,
    pub user: Name,
    pub application: Name,
    pub site: Name,
    pub kind: Kind,
    pub door: String,
    pub from: IpAddr,
    pub login: Option<String>,
    pub opened_ms: u64,
}

impl Store {
    /// Claims the database for one of several relays, closes the sessions that an earlier run of it
    /// left open, and those of all where no other relay is there. The relay calls this before it
    /// opens its first session.
    ///
    /// # Errors
    ///
    /// [`StoreError::OneRelay`] for a database in a file, [`StoreError::NameTaken`] where a relay of
    /// that name serves, [`StoreError::InUse`] where one serves alone.
    pub async fn join_relays(
        &self,
        relay: NewRelay<'_>,
        now: SystemTime,
    ) -> Result<Joined, StoreError> {
        let fence = &self.inner.fence;
        let claim = Claim::share(self.at(), fence, relay.name).await?;
        let mut tx = self.inner.engine.begin_change(&self.inner.writer).await?;
        let epoch = fence.raise(&mut tx).await?;
        let others: i64 =
            sqlx::query_scalar(OTHERS).bind(relay.name.to_string()).fetch_one(&mut *tx).await?;
        let abandoned = match others {
            0 => self.close_all(&mut tx, now).await?,
            _ => {
                let earlier =
                    sqlx::query_scalar("DELETE FROM relays WHERE name = $1 RETURNING epoch");
                let earlier = earlier.bind(relay.name.to_string()).fetch_optional(&mut *tx).await?;
                match earlier {
                    Some(earlier) => self.close_relay(&mut tx, earlier, now).await?,
                    None => 0,
                }
            }
        };
        sqlx::query(JOIN)
            .bind(epoch)
            .bind(relay.name.to_string())
            .bind(HEXLOWER.encode(&relay.spki))
            .bind(relay.version.to_owned())
            .bind(clock::column(clock::seconds(now)))
            .execute(&mut *tx)
            .await?;
        wake(&mut tx).await?;
        tx.commit().await?;
        fence.stand_among(epoch);
        self.hold(claim);
        Ok(Joined { epoch, abandoned })
    }

    /// Says where other relays reach this one, and where connectors do.
    pub async fn announce_relay(
        &self,
        quic: &str,
        https: &str,
        outside: Option<&Outside>,
    ) -> Result<(), StoreError> {
        let Some(epoch) = self.inner.fence.epoch() else { return Ok(()) };
        let (outside_url, outside_quic) =
            outside.map_or(("", ""), |outside| (&*outside.url, &*outside.quic));
        sqlx::query(ANNOUNCE)
            .bind(epoch)
            .bind(quic)
            .bind(https)
            .bind(outside_url)
            .bind(outside_quic)
            .execute(&self.inner.writer)
            .await?;
        self.wake_relays().await
    }

    /// Says that this relay lives. One whose row was taken away finds that it was.
    pub async fn beat(&self) -> Result<(), StoreError> {
        let Some(epoch) = self.inner.fence.epoch() else { return Ok(()) };
        let beaten = sqlx::query(BEAT).bind(epoch).execute(&self.inner.writer).await?;
        if beaten.rows_affected() == 0 {
            self.inner.fence.fell();
        }
        Ok(())
    }

    /// The relays that serve, by their epochs, with those whose end nobody has noticed yet.
    pub async fn relays(&self) -> Result<Vec<RelayRow>, StoreError> {
        Ok(sqlx::query_as(RELAYS).fetch_all(&self.inner.readers).await?)
    }

    /// The relay that has this key.
    pub async fn relay_by_key(&self, spki: [u8; 32]) -> Result<Option<RelayRow>, StoreError> {
        if self.inner.fence.epoch().is_none() {
            return Ok(None);
        }
        let row = sqlx::query_as(RELAY_BY_KEY).bind(HEXLOWER.encode(&spki));
        Ok(row.fetch_optional(&self.inner.readers).await?)
    }

    /// Takes the row of a relay away whose beat has not grown beyond `beat`, and closes its sessions:
    /// how many. `None`: it has beaten, or another was quicker.
    pub async fn evict_relay(
        &self,
        relay: &RelayRow,
        now: SystemTime,
    ) -> Result<Option<u64>, StoreError> {
        let mut tx = self.inner.engine.begin_change(&self.inner.writer).await?;
        self.inner.fence.check(&mut tx).await?;
        // It waits for what that relay is just writing, and that relay writes nothing after it.
        let gone = sqlx::query("DELETE FROM relays WHERE epoch = $1 AND beat = $2");
        let gone = gone.bind(relay.epoch).bind(relay.beat).execute(&mut *tx).await?;
        if gone.rows_affected() == 0 {
            return Ok(None);
        }
        let closed = self.close_relay(&mut tx, relay.epoch, now).await?;
        wake(&mut tx).await?;
        tx.commit().await?;
        Ok(Some(closed))
    }

    /// Has others know at once that this relay is gone. What it has not closed is closed.
    pub(crate) async fn leave_relays(&self) {
        let Some(epoch) = self.inner.fence.epoch() else { return };
        let left = async {
            let mut tx = self.inner.engine.begin_change(&self.inner.writer).await?;
            sqlx::query("DELETE FROM relays WHERE epoch = $1")
                .bind(epoch)
                .execute(&mut *tx)
                .await?;
            self.close_relay(&mut tx, epoch, SystemTime::now()).await?;
            wake(&mut tx).await?;
            Ok::<_, StoreError>(tx.commit().await?)
        };
        if let Err(error) = left.await {
            tracing::warn!(%error, "The other relays will notice later that this one is gone");
        }
    }

    async fn close_relay(
        &self,
        db: &mut Connection,
        epoch: i64,
        now: SystemTime,
    ) -> Result<u64, StoreError> {
        let opened = sqlx::query_as(OPENED_AT).bind(epoch).fetch_all(&mut *db).await?;
        let closed = self.close_opened(db, opened, now).await?;
        for forget in FORGET_RELAY {
            sqlx::query(forget).bind(epoch).execute(&mut *db).await?;
        }
        Ok(closed)
    }

    /// The configuration's version in the database, whoever changed it.
    pub async fn stored_version(&self) -> Result<u64, StoreError> {
        crate::db::version(&mut *self.inner.readers.acquire().await?).await
    }

    /// Sessions of this relay that another one's admin or user ends, and what is said to them.
    pub async fn ended_elsewhere(&self) -> Result<Vec<(SessionId, String)>, StoreError> {
        let Some(epoch) = self.inner.fence.epoch() else { return Ok(Vec::new()) };
        let rows = sqlx::query(TO_END).bind(epoch).fetch_all(&self.inner.readers).await?;
        let row = |row: &Row| Ok((row.parsed("session")?, row.try_get("words")?));
        rows.iter().map(row).collect()
    }

    /// Has the relay end a session that has it. Whether one has.
    pub async fn end_elsewhere(&self, session: SessionId, words: &str) -> Result<bool, StoreError> {
        let mut tx = self.inner.writer.begin().await?;
        self.inner.fence.check(&mut tx).await?;
        let told = sqlx::query("UPDATE live_sessions SET words = $2 WHERE session = $1");
        let told = told.bind(session.to_string()).bind(words).execute(&mut *tx).await?;
        wake(&mut tx).await?;
        tx.commit().await?;
        Ok(told.rows_affected() > 0)
    }

    /// Whether a session has no end yet, at whatever relay.
    pub async fn is_live(&self, session: SessionId) -> Result<bool, StoreError> {
        let live: Option<String> = sqlx::query_scalar(IS_LIVE)
            .bind(session.to_string())
            .fetch_optional(&self.inner.readers)
            .await?;
        Ok(live.is_some())
    }

    /// The sessions that are open at any relay.
    pub async fn live_ids(&self) -> Result<Vec<SessionId>, StoreError> {
        let rows = sqlx::query("SELECT session FROM live_sessions");
        let rows = rows.fetch_all(&self.inner.readers).await?;
        Ok(rows.iter().map(|row| row.parsed("session")).collect::<Result<_, _>>()?)
    }

    /// The sessions that are open at other relays.
    pub async fn live_elsewhere(&self) -> Result<Vec<LiveRow>, StoreError> {
        let Some(epoch) = self.inner.fence.epoch() else { return Ok(Vec::new()) };
        Ok(sqlx::query_as(LIVE_ELSEWHERE).bind(epoch).fetch_all(&self.inner.readers).await?)
    }

    /// Says which versions of the configuration this relay has put in force, and how many sessions
    /// that has ended.
    pub async fn put_in_force(
        &self,
        (first, last): (u64, u64),
        ended: u64,
    ) -> Result<(), StoreError> {
        let Some(epoch) = self.inner.fence.epoch() else { return Ok(()) };
        let [first, last, ended] = [first, last, ended].map(clock::column);
        let mut tx = self.inner.writer.begin().await?;
        self.inner.fence.check(&mut tx).await?;
        sqlx::query(IN_FORCE)
            .bind(epoch)
            .bind(first)
            .bind(last)
            .bind(ended)
            .execute(&mut *tx)
            .await?;
        let forget = "DELETE FROM relay_policies WHERE relay = $1 AND last_version < $2";
        let forget = sqlx::query(forget).bind(epoch).bind(first.saturating_sub(REMEMBERED));
        forget.execute(&mut *tx).await?;
        Ok(tx.commit().await?)
    }

    /// Of other relays that serve: whether each has put a version in force, and how many sessions
    /// that has ended.
    pub async fn in_force_elsewhere(&self, version: u64) -> Result<Vec<Option<u64>>, StoreError> {
        let Some(epoch) = self.inner.fence.epoch() else { return Ok(Vec::new()) };
        let rows = sqlx::query(ELSEWHERE).bind(epoch).bind(clock::column(version));
        let rows = rows.fetch_all(&self.inner.readers).await?;
        Ok(rows.iter().map(|row| row.perhaps_number("ended")).collect::<Result<_, _>>()?)
    }

    /// Which connectors are at this relay, all of them.
    pub async fn place_connectors(&self, places: &[Place]) -> Result<(), StoreError> {
        let Some(epoch) = self.inner.fence.epoch() else { return Ok(()) };
        let mut tx = self.inner.writer.begin().await?;
        self.inner.fence.check(&mut tx).await?;
        let clear = sqlx::query("DELETE FROM relay_connectors WHERE relay = $1").bind(epoch);
        clear.execute(&mut *tx).await?;
        for place in places {
            sqlx::query(PLACE)
                .bind(epoch)
                .bind(place.connector.to_string())
                .bind(place.site.to_string())
                .bind(place.shown.clone())
                .execute(&mut *tx)
                .await?;
        }
        wake(&mut tx).await?;
        Ok(tx.commit().await?)
    }

    /// Which connectors are at other relays.
    pub async fn places_elsewhere(&self) -> Result<Vec<Place>, StoreError> {
        let Some(epoch) = self.inner.fence.epoch() else { return Ok(Vec::new()) };
        Ok(sqlx::query_as(PLACES).bind(epoch).fetch_all(&self.inner.readers).await?)
    }

    /// Takes this relay for gone: others do.
    pub fn give_up(&self) {
        self.inner.fence.fell();
    }

    /// Has every relay look for what is new.
    pub async fn wake_relays(&self) -> Result<(), StoreError> {
        Ok(wake(&mut *self.inner.writer.acquire().await?).await?)
    }

    /// By which one hears that there is something new.
    ///
    /// # Errors
    ///
    /// [`StoreError::OneRelay`] for a database in a file.
    pub fn wakes(&self) -> Result<Wakes, StoreError> {
        let options = self.at().options()?;
        let url = options.database_url;
        let options: PgConnectOptions = url.as_str().parse().map_err(|_| StoreError::OneRelay)?;
        Ok(Wakes { options, listener: None })
    }
}

/// What tells this relay that another has something new for it. It may be cut off without knowing:
/// who listens looks by itself now and then.
pub struct Wakes {
    options: PgConnectOptions,
    listener: Option<PgListener>,
}

impl Wakes {
    /// Completes when there may be something new: somebody said so, or might have while nobody
    /// listened.
    pub async fn next(&mut self) {
        loop {
            if let Some(listener) = &mut self.listener {
                if !matches!(listener.try_recv().await, Ok(Some(_))) {
                    self.listener = None;
                }
                return;
            }
            match timeout(PATIENCE, self.listen()).await {
                Ok(Ok(listener)) => {
                    self.listener = Some(listener);
                    return;
                }
                Ok(Err(error)) => tracing::debug!(%error, "Can not listen to other relays"),
                Err(_) => tracing::debug!("Can not listen to other relays: no answer"),
            }
            sleep(AGAIN).await;
        }
    }

    async fn listen(&self) -> Result<PgListener, sqlx::Error> {
        let pool = PgPoolOptions::new().max_connections(1).connect_with(self.options.clone());
        let mut listener = PgListener::connect_with(&pool.await?).await?;
        listener.eager_reconnect(false);
        listener.listen(CHANNEL).await?;
        Ok(listener)
    }
}

/// Tells every relay, once the transaction is stored.
pub(crate) async fn wake(db: &mut Connection) -> Result<(), sqlx::Error> {
    let wake = sqlx::query("SELECT 1 FROM (SELECT pg_notify($1, '')) AS told").bind(CHANNEL);
    wake.execute(db).await.map(drop)
}

/// Keeps with the audit log's records which sessions are open, and at which relay.
pub(crate) async fn note_live(
    db: &mut Connection,
    epoch: i64,
    rows: &[&AuditRecord],
) -> Result<(), sqlx::Error> {
    let listed =
        |ids: Vec<SessionId>| ids.iter().map(SessionId::to_string).collect::<Vec<_>>().join(",");
    let opened: Vec<_> = rows.iter().filter_map(|row| row.opens()).collect();
    let ended: Vec<_> = rows.iter().filter_map(|row| row.ends()).collect();
    if !opened.is_empty() {
        sqlx::query(LIVE).bind(listed(opened)).bind(epoch).execute(&mut *db).await?;
    }
    if !ended.is_empty() {
        sqlx::query(ENDED).bind(listed(ended)).execute(&mut *db).await?;
    }
    Ok(())
}

/// Nobody but this process serves.
pub(crate) async fn forget_relays(db: &mut Connection) -> Result<(), sqlx::Error> {
    for forget in FORGET_ALL {
        sqlx::query(forget).execute(&mut *db).await?;
    }
    Ok(())
}

impl FromRow<'_, Row> for RelayRow {
    fn from_row(row: &Row) -> Result<Self, sqlx::Error> {
        Ok(Self {
            epoch: row.try_get("epoch")?,
            name: row.parsed("name")?,
            quic: row.try_get("quic")?,
            https: row.try_get("https")?,
            outside: outside(row)?,
            since: row.number("since")?,
            beat: row.try_get("beat")?,
            version: row.try_get("version")?,
        })
    }
}

fn outside(row: &Row) -> Result<Option<Outside>, sqlx::Error> {
    let outside = Outside { url: row.try_get("outside_url")?, quic: row.try_get("outside_quic")? };
    Ok(Some(outside).filter(|outside| !outside.url.is_empty()))
}

impl FromRow<'_, Row> for Place {
    fn from_row(row: &Row) -> Result<Self, sqlx::Error> {
        Ok(Self {
            relay: row.try_get("relay")?,
            connector: row.parsed("connector")?,
            site: row.parsed("site")?,
            shown: row.try_get("shown")?,
        })
    }
}

/// What is shown of a session that is open elsewhere: its opening record has it.
#[derive(Deserialize)]
struct Shown {
    #[serde(flatten)]
    opened: Opened,
    kind: Kind,
    from: IpAddr,
    login: Option<String>,
}

impl FromRow<'_, Row> for LiveRow {
    fn from_row(row: &Row) -> Result<Self, sqlx::Error> {
        let Shown { opened, kind, from, login } = row.json("event")?;
        Ok(Self {
            relay: row.parsed("name")?,
            session: opened.session,
            user: opened.user,
            application: opened.application,
            site: opened.site,
            kind,
            door: opened.door.as_str().to_owned(),
            from,
            login,
            opened_ms: row.number("at_ms")?,
        })
    }
}

const CHANNEL: &str = "adit";
/// Versions whose ends are remembered for receipts: far more than are made within a second.
const REMEMBERED: i64 = 1000;
/// For a connection that listens.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two tries to listen.
const AGAIN: Duration = Duration::from_secs(1);

const OTHERS: &str = "SELECT count(*) FROM relays WHERE name <> $1";
const JOIN: &str = "INSERT INTO relays (epoch, name, quic, https, spki, version, since, beat)
    VALUES ($1, $2, '', '', $3, $4, $5, 0)";
const BEAT: &str = "UPDATE relays SET beat = beat + 1 WHERE epoch = $1";
const ANNOUNCE: &str = "UPDATE relays SET quic = $2, https = $3, outside_url = $4,
    outside_quic = $5 WHERE epoch = $1";
const RELAYS: &str =
    "SELECT epoch, name, quic, https, outside_url, outside_quic, since, beat, version
    FROM relays ORDER BY epoch";
const RELAY_BY_KEY: &str =
    "SELECT epoch, name, quic, https, outside_url, outside_quic, since, beat,
    version FROM relays WHERE spki = $1";
const OPENED_AT: &str = "SELECT audit.at_ms, audit.event FROM live_sessions
    JOIN audit ON audit.session = live_sessions.session AND audit.action = 'session.opened'
    WHERE live_sessions.relay = $1 ORDER BY audit.seq";
const FORGET_RELAY: [&str; 3] = [
    "DELETE FROM live_sessions WHERE relay = $1",
    "DELETE FROM relay_connectors WHERE relay = $1",
    "DELETE FROM relay_policies WHERE relay = $1",
];
const FORGET_ALL: [&str; 4] = [
    "DELETE FROM relays",
    "DELETE FROM live_sessions",
    "DELETE FROM relay_connectors",
    "DELETE FROM relay_policies",
];
const TO_END: &str =
    "SELECT session, words FROM live_sessions WHERE relay = $1 AND words IS NOT NULL";
const IS_LIVE: &str = "SELECT session FROM live_sessions WHERE session = $1";
const LIVE_ELSEWHERE: &str = "SELECT relays.name, audit.at_ms, audit.event FROM live_sessions
    JOIN relays ON relays.epoch = live_sessions.relay
    JOIN audit ON audit.session = live_sessions.session AND audit.action = 'session.opened'
    WHERE live_sessions.relay <> $1 ORDER BY audit.seq";
const IN_FORCE: &str = "INSERT INTO relay_policies (relay, first_version, last_version, ended)
    VALUES ($1, $2, $3, $4) ON CONFLICT (relay, last_version) DO NOTHING";
const ELSEWHERE: &str = "SELECT relays.epoch, (SELECT CAST(SUM(ended) AS BIGINT)
        FROM relay_policies WHERE relay = relays.epoch
        AND first_version <= $2 AND last_version >= $2) AS ended
    FROM relays WHERE relays.epoch <> $1";
const PLACE: &str = "INSERT INTO relay_connectors (relay, connector, site, shown)
    VALUES ($1, $2, $3, $4)";
const PLACES: &str = "SELECT relay, connector, site, shown FROM relay_connectors
    WHERE relay <> $1 AND relay IN (SELECT epoch FROM relays)";
const LIVE: &str = "INSERT INTO live_sessions (session, relay)
    SELECT opened, $2 FROM unnest(string_to_array($1, ',')) AS opened
    ON CONFLICT (session) DO NOTHING";
const ENDED: &str = "DELETE FROM live_sessions WHERE session = ANY(string_to_array($1, ','))";
