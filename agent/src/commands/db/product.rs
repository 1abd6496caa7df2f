//! The databases that people have clients for.

use access::Kind;
use api::MyApplication;

/// What answers at an application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Product {
    Postgres,
    Mysql,
    Redis,
    SqlServer,
    Oracle,
    Mongo,
    Elasticsearch,
}

impl Product {
    pub(crate) const ALL: [Self; 7] = [
        Self::Postgres,
        Self::Mysql,
        Self::Redis,
        Self::SqlServer,
        Self::Oracle,
        Self::Mongo,
        Self::Elasticsearch,
    ];

    /// By the application's kind; those without a kind of their own by the tag `database`.
    pub(crate) fn of(application: &MyApplication) -> Option<Self> {
        match application.kind {
            Kind::Postgres => Some(Self::Postgres),
            Kind::Mysql => Some(Self::Mysql),
            Kind::Redis => Some(Self::Redis),
            Kind::Tcp => {
                let tag = application.tags.get(TAG)?;
                Self::ALL.into_iter().find(|product| product.tag() == tag)
            }
            Kind::Ssh | Kind::Rdp | Kind::Web => None,
        }
    }

    pub(crate) fn tag(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Mysql => "mysql",
            Self::Redis => "redis",
            Self::SqlServer => "sqlserver",
            Self::Oracle => "oracle",
            Self::Mongo => "mongodb",
            Self::Elasticsearch => "elasticsearch",
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Postgres => "PostgreSQL",
            Self::Mysql => "MySQL",
            Self::Redis => "Redis",
            Self::SqlServer => "SQL Server",
            Self::Oracle => "Oracle",
            Self::Mongo => "MongoDB",
            Self::Elasticsearch => "Elasticsearch",
        }
    }

    /// The port that its clients take where none is said.
    pub(crate) fn port(self) -> u16 {
        match self {
            Self::Postgres => 5432,
            Self::Mysql => 3306,
            Self::Redis => 6379,
            Self::SqlServer => 1433,
            Self::Oracle => 1521,
            Self::Mongo => 27017,
            Self::Elasticsearch => 9200,
        }
    }

    /// Its clients, the better one first.
    pub(crate) fn clients(self) -> &'static [&'static str] {
        match self {
            Self::Postgres => &["psql"],
            Self::Mysql => &["mariadb", "mysql"],
            Self::Redis => &["redis-cli", "valkey-cli"],
            Self::SqlServer => &["sqlcmd"],
            Self::Oracle => &["sqlplus"],
            Self::Mongo => &["mongosh", "mongo"],
            Self::Elasticsearch => &[],
        }
    }
}

/// Says of a `tcp` application what it is.
const TAG: &str = "database";
