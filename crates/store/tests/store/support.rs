//! A store in a folder of its own, and what tests put into it.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, SystemTime};

use access::{Kind, Name, SessionId, TokenKind, TokenText};
use api::{ApplicationSpec, Document, GrantSpec, GroupSpec, SiteSpec, UserSpec};
use sqlx::{AnyPool, AssertSqlSafe};
use store::{Apply, Engine, Location, MasterKey, Store, StoreError};
use tempfile::TempDir;
use testkit::Database;
use uuid::Uuid;

pub(crate) struct Home {
    pub(crate) folder: TempDir,
    pub(crate) key: MasterKey,
    pub(crate) database: Option<Database>,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self::of(crate::ENGINE)
    }

    pub(crate) fn of(engine: Engine) -> Self {
        let database = match engine {
            Engine::Sqlite => None,
            Engine::Postgres => Some(Database::create().unwrap()),
        };
        Self { folder: TempDir::new().unwrap(), key: MasterKey::generate(), database }
    }

    pub(crate) fn at(&self) -> Location {
        match &self.database {
            None => (&self.folder.path().join("adit.db")).into(),
            Some(database) => database.url().parse().unwrap(),
        }
    }

    pub(crate) async fn open(&self) -> Store {
        Store::open(self.at(), self.key.clone()).await.unwrap()
    }

    /// With `document` applied.
    pub(crate) async fn with(&self, document: &Document) -> Store {
        let store = self.open().await;
        apply(&store, document).await.unwrap();
        store
    }

    /// Another way into the same database, as another process has one.
    pub(crate) async fn behind(&self) -> AnyPool {
        sqlx::any::install_default_drivers();
        let url = match &self.database {
            None => format!("sqlite://{}?mode=rwc", self.folder.path().join("adit.db").display()),
            Some(database) => database.url(),
        };
        AnyPool::connect(&url).await.unwrap()
    }
}

/// Has the database refuse each new row of a table, as a full disk does.
pub(crate) async fn refuse(behind: &AnyPool, table: &str) {
    let statement = match crate::ENGINE {
        Engine::Sqlite => format!(
            "CREATE TRIGGER full_disk BEFORE INSERT ON {table}
            BEGIN SELECT RAISE(ABORT, 'full'); END"
        ),
        Engine::Postgres => format!(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql
            AS $$ BEGIN RAISE EXCEPTION 'full'; END $$;
            CREATE TRIGGER full_disk BEFORE INSERT ON {table} EXECUTE FUNCTION refuse()"
        ),
    };
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(behind).await.unwrap();
}

/// Undoes [`refuse`].
pub(crate) async fn allow(behind: &AnyPool) {
    let statement = match crate::ENGINE {
        Engine::Sqlite => "DROP TRIGGER full_disk",
        Engine::Postgres => "DROP FUNCTION refuse CASCADE",
    };
    sqlx::raw_sql(statement).execute(behind).await.unwrap();
}

pub(crate) async fn apply(
    store: &Store,
    document: &Document,
) -> Result<Vec<api::Change>, StoreError> {
    store.apply(document, Apply::default(), now()).await
}

/// Runs a statement, whatever it is.
pub(crate) async fn run(pool: &AnyPool, statement: &'static str) {
    sqlx::query(statement).execute(pool).await.unwrap();
}

pub(crate) fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

pub(crate) fn after(seconds: u64) -> SystemTime {
    now() + Duration::from_secs(seconds)
}

pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub(crate) fn token(kind: TokenKind) -> TokenText {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    TokenText::new(kind, [n; 7], [n ^ 0x55; 20], None)
}

pub(crate) fn session() -> SessionId {
    SessionId(Uuid::new_v4())
}

pub(crate) fn site(text: &str) -> SiteSpec {
    SiteSpec { name: name(text) }
}

pub(crate) fn user(text: &str) -> UserSpec {
    UserSpec::named(name(text))
}

pub(crate) fn group(text: &str, members: &[&str]) -> GroupSpec {
    let members = Some(members.iter().map(|member| name(member)).collect());
    GroupSpec { name: name(text), members }
}

/// `app.site`, transparent.
pub(crate) fn application(text: &str) -> ApplicationSpec {
    let (app, site) = text.split_once('.').unwrap();
    ApplicationSpec {
        name: name(app),
        site: name(site),
        kind: Kind::Ssh,
        address: "10.0.0.7:22".parse().unwrap(),
        account: None,
        certificate: false,
        password: None,
        key: None,
        host_key: None,
        legacy_algorithms: false,
        allow_api: true,
        require_active_session: false,
        requestable: false,
        approvers: Vec::new(),
        tags: [("env".to_owned(), "prod".to_owned())].into(),
        web: None,
        database: None,
        rdp: None,
        level_passwords: Default::default(),
    }
}

pub(crate) fn grant(user: &str, application: &str) -> GrantSpec {
    GrantSpec {
        user: Some(name(user)),
        application: Some(application.to_owned()),
        ..GrantSpec::default()
    }
}

/// An admin, alice who may reach web1.hq, bob in group dba who may reach all of prod.
pub(crate) fn small() -> Document {
    Document {
        settings: None,
        sites: vec![site("hq")],
        users: vec![
            UserSpec { admin: true, ..user("admin") },
            UserSpec { ssh_keys: Some(vec![KEY.into()]), ..user("alice") },
            user("bob"),
        ],
        groups: vec![group("dba", &["bob"])],
        applications: vec![
            application("web1.hq"),
            ApplicationSpec {
                account: Some("root".into()),
                password: Some(PASSWORD.into()),
                ..application("db1.hq")
            },
        ],
        grants: vec![
            grant("alice", "web1"),
            GrantSpec {
                group: Some(name("dba")),
                tag: Some("env=prod".into()),
                max_session: Some("8h".into()),
                ..GrantSpec::default()
            },
        ],
    }
}

pub(crate) const PASSWORD: &str = "correct horse battery staple";
pub(crate) const KEY: &str = "ssh-ed25519 \
    AAAAC3NzaC1lZDI1NTE5AAAAIFBgVJpX1N4InONGWQXFFu0C7ttV29sjan5Ak8nXMWxO alice@laptop";
/// As `ssh-keygen -l` prints it for [`KEY`].
pub(crate) const FINGERPRINT: &str = "SHA256:zETYLgH1q16GYRvMcRDediKmP404o2tI561o3iL0BZo";
