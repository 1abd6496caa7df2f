//! Sweeps databases for accounts of sessions that are no more: those that a relay which was killed
//! left behind, or whose server was away when their session ended.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use access::{Application, ApplicationId, Kind, SessionId};
use async_trait::async_trait;
use gateway_mysql::MysqlGateway;
use gateway_postgres::{PostgresGateway, Swept, Way};
use session::{DialError, DialRequest, Dialer};
use splice::BoxStream;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::AppState;

/// What sweeps are done with.
pub(crate) struct Sweeper {
    pub(crate) state: AppState,
    pub(crate) dialer: Arc<dyn Dialer>,
    pub(crate) postgres: PostgresGateway,
    pub(crate) mysql: MysqlGateway,
}

impl Sweeper {
    /// Sweeps each database soon after the start and now and then, until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut due = HashMap::new();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = sleep(LOOK) => {}
            }
            // Ended in the middle, an account stands or it does not.
            if !self.state.leads() {
                continue;
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = self.look(&mut due) => {}
            }
        }
    }

    async fn look(&self, due: &mut HashMap<ApplicationId, Instant>) {
        let policy = self.state.policy.current();
        let ours = |app: &&Arc<Application>| !app.database.roles.is_empty();
        let known: HashSet<_> = policy.applications().filter(ours).map(|app| app.id).collect();
        due.retain(|id, _| known.contains(id));
        for application in policy.applications().filter(ours) {
            if due.get(&application.id).is_some_and(|due| *due > Instant::now()) {
                continue;
            }
            let swept = timeout(PATIENCE, Box::pin(self.sweep(application))).await;
            let again = if swept == Ok(true) { EVERY } else { RETRY };
            due.insert(application.id, Instant::now() + again);
        }
    }

    /// Whether it was looked through.
    async fn sweep(&self, application: &Arc<Application>) -> bool {
        let name = &application.name;
        match self.accounts(application).await {
            Ok(swept) => {
                let (gone, left) = (swept.gone, swept.left);
                if gone + left > 0 {
                    tracing::info!(application = %name, gone, left, "Swept a database's accounts");
                }
                left == 0
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::debug!(application = %name, error, "Could not sweep a database's accounts");
                false
            }
        }
    }

    async fn accounts(&self, application: &Arc<Application>) -> Result<Swept, SweepError> {
        let way = Upkeep { dialer: &*self.dialer, application };
        let live = self.state.live_everywhere();
        Ok(match application.kind {
            Kind::Postgres => self.postgres.sweep(application, &way, live).await?,
            Kind::Mysql => self.mysql.sweep(application, &way, live).await?,
            // No accounts are made there.
            Kind::Ssh | Kind::Rdp | Kind::Tcp | Kind::Redis | Kind::Web => Swept::default(),
        })
    }
}

/// Accounts could not be looked through.
#[derive(Debug, thiserror::Error)]
enum SweepError {
    #[error(transparent)]
    Postgres(#[from] gateway_postgres::SweepError),
    #[error(transparent)]
    Mysql(#[from] gateway_mysql::SweepError),
}

/// The way of what the relay does by itself at an application.
struct Upkeep<'a> {
    dialer: &'a dyn Dialer,
    application: &'a Arc<Application>,
}

#[async_trait]
impl Way for Upkeep<'_> {
    async fn dial(&self) -> Result<BoxStream, DialError> {
        let (application, address) = (self.application.clone(), self.application.address.clone());
        // Of no session: the connector is told one that is none.
        let session = SessionId(Uuid::nil());
        self.dialer.dial(DialRequest { session, application, address }).await
    }
}

/// How often it is looked which are due.
const LOOK: Duration = Duration::from_secs(1);
/// After one that went well.
const EVERY: Duration = Duration::from_secs(300);
/// After one that did not: most often no connector is there yet.
const RETRY: Duration = Duration::from_secs(5);
/// For one database.
const PATIENCE: Duration = Duration::from_secs(60);
