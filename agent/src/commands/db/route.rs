//! How a client comes to a database, and what it is told for that.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::Product;

/// A database, as a client is to open it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) product: Product,
    /// `app.site`.
    pub(crate) application: String,
    pub(crate) route: Route,
    pub(crate) user: Option<String>,
    pub(crate) database: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// The relay's door, with a token for a password.
    Door { host: String, port: u16, ca: PathBuf, many: Many },
    /// A local port that leads to the database's own login.
    Tunnel(SocketAddr),
}

/// Where a program gets the password for more than one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Many {
    /// A token is good until it expires.
    SameToken,
    ApiToken,
    /// An admin issues it to this user.
    FromAdmin {
        user: String,
    },
}

/// A client's arguments and what its environment says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Client {
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<(&'static str, String)>,
}

impl Target {
    fn host(&self) -> (String, u16) {
        match &self.route {
            Route::Door { host, port, .. } => (host.clone(), *port),
            Route::Tunnel(address) => (address.ip().to_string(), address.port()),
        }
    }

    /// What its own client is started with, which is this program.
    pub(crate) fn client(&self, program: &Path) -> Client {
        match self.product {
            Product::Postgres => self.psql(),
            Product::Mysql => self.mysql(program),
            Product::Redis => self.redis(),
            Product::SqlServer => {
                let (host, port) = self.host();
                let mut args = vec!["-S".to_owned(), format!("{host},{port}")];
                self.user.iter().for_each(|user| args.extend(["-U".to_owned(), user.clone()]));
                self.database.iter().for_each(|name| args.extend(["-d".to_owned(), name.clone()]));
                Client { args, env: Vec::new() }
            }
            Product::Oracle => {
                let (host, port) = self.host();
                let (user, service) = (self.user(), self.database());
                Client { args: vec![format!("{user}@//{host}:{port}/{service}")], env: Vec::new() }
            }
            Product::Mongo => Client { args: vec![self.url()], env: Vec::new() },
            Product::Elasticsearch => Client::default(),
        }
    }

    fn psql(&self) -> Client {
        let (host, port) = self.host();
        let mut env = vec![("PGHOST", host), ("PGPORT", port.to_string())];
        env.extend(self.user.clone().map(|user| ("PGUSER", user)));
        env.extend(self.database.clone().map(|name| ("PGDATABASE", name)));
        if let Route::Door { ca, .. } = &self.route {
            env.push(("PGSSLMODE", "verify-full".to_owned()));
            env.push(("PGSSLROOTCERT", ca.display().to_string()));
        }
        Client { args: Vec::new(), env }
    }

    fn mysql(&self, program: &Path) -> Client {
        let (host, port) = self.host();
        let mut args = vec![format!("--host={host}"), format!("--port={port}")];
        args.extend(self.user.as_ref().map(|user| format!("--user={user}")));
        match &self.route {
            Route::Door { ca, .. } => {
                args.push(format!("--ssl-ca={}", ca.display()));
                // Two programs, which share a name and no options.
                let is_mysql = program.ends_with("mysql");
                let checked = if is_mysql { "--ssl-mode=VERIFY_IDENTITY" } else { MARIADB_CHECKS };
                args.push(checked.to_owned());
            }
            Route::Tunnel(_) => args.push("--password".to_owned()),
        }
        args.extend(self.database.as_ref().map(|name| format!("--database={name}")));
        Client { args, env: Vec::new() }
    }

    fn redis(&self) -> Client {
        let (host, port) = self.host();
        let mut args = vec!["-h".to_owned(), host, "-p".to_owned(), port.to_string()];
        self.user.iter().for_each(|user| args.extend(["--user".to_owned(), user.clone()]));
        self.database.iter().for_each(|name| args.extend(["-n".to_owned(), name.clone()]));
        if let Route::Door { ca, .. } = &self.route {
            let ca = ca.display().to_string();
            args.extend(["--tls".to_owned(), "--cacert".to_owned(), ca]);
        }
        Client { args, env: Vec::new() }
    }

    /// What other programs are told, by name.
    pub(crate) fn facts(&self) -> Vec<(&'static str, String)> {
        let mut facts = vec![("URL", self.url())];
        facts.extend(self.jdbc().map(|jdbc| ("JDBC", jdbc)));
        facts.push(("DBeaver", self.form(self.product.name())));
        facts.extend(self.heidi().map(|kind| ("HeidiSQL", self.form(kind))));
        let name = &self.application;
        match &self.route {
            Route::Door { many, .. } => {
                facts.push(("Password", format!("a token: adit token new {name}")));
                facts.push(("For several connections", many.advice(name)));
            }
            Route::Tunnel(_) => {
                facts.push(("Password", "the database's own".to_owned()));
                facts.push(("Leave open", format!("adit tunnel {name} --fixed")));
            }
        }
        facts
    }

    pub(crate) fn url(&self) -> String {
        let (host, port) = self.host();
        let at = self.user.as_ref().map(|user| format!("{}@", escaped(user))).unwrap_or_default();
        let database = escaped(&self.database());
        let ca = match &self.route {
            Route::Door { ca, .. } => Some(escaped(&ca.display().to_string())),
            Route::Tunnel(_) => None,
        };
        match self.product {
            Product::Postgres => {
                let tls = ca.map(|ca| format!("?sslmode=verify-full&sslrootcert={ca}"));
                let tls = tls.unwrap_or_default();
                format!("postgresql://{at}{host}:{port}/{database}{tls}")
            }
            Product::Mysql => format!("mysql://{at}{host}:{port}/{database}"),
            Product::Redis => {
                let scheme = if ca.is_some() { "rediss" } else { "redis" };
                format!("{scheme}://{at}{host}:{port}/{database}")
            }
            Product::SqlServer => format!("sqlserver://{at}{host}:{port}?database={database}"),
            Product::Oracle => format!("oracle://{at}{host}:{port}/{database}"),
            Product::Mongo => {
                format!("mongodb://{at}{host}:{port}/{database}?directConnection=true")
            }
            Product::Elasticsearch => format!("http://{at}{host}:{port}/"),
        }
    }

    fn jdbc(&self) -> Option<String> {
        let (host, port) = self.host();
        let (user, database) = (escaped(&self.user()), self.database());
        Some(match self.product {
            Product::Postgres => {
                let tls = match &self.route {
                    Route::Door { ca, .. } => {
                        let ca = escaped(&ca.display().to_string());
                        format!("&sslmode=verify-full&sslrootcert={ca}")
                    }
                    Route::Tunnel(_) => String::new(),
                };
                format!("jdbc:postgresql://{host}:{port}/{database}?user={user}{tls}")
            }
            Product::Mysql => match &self.route {
                Route::Door { ca, .. } => {
                    let ca = escaped(&ca.display().to_string());
                    let tls = format!("&sslMode=verify-full&serverSslCert={ca}");
                    format!("jdbc:mariadb://{host}:{port}/{database}?user={user}{tls}")
                }
                Route::Tunnel(_) => format!("jdbc:mysql://{host}:{port}/{database}?user={user}"),
            },
            Product::SqlServer => {
                // The certificate is for the server's own name.
                let tls = "encrypt=true;trustServerCertificate=true";
                format!("jdbc:sqlserver://{host}:{port};databaseName={database};{tls}")
            }
            Product::Oracle => format!("jdbc:oracle:thin:@//{host}:{port}/{database}"),
            Product::Redis | Product::Mongo | Product::Elasticsearch => return None,
        })
    }

    /// As HeidiSQL calls it, where it speaks it.
    fn heidi(&self) -> Option<&'static str> {
        match self.product {
            Product::Postgres => Some("PostgreSQL (TCP/IP)"),
            Product::Mysql => Some("MariaDB or MySQL (TCP/IP)"),
            Product::SqlServer => Some("Microsoft SQL Server (TCP/IP)"),
            Product::Redis | Product::Oracle | Product::Mongo | Product::Elasticsearch => None,
        }
    }

    /// What a form asks for, in one line.
    fn form(&self, kind: &str) -> String {
        let (host, port) = self.host();
        let (user, database) = (self.user(), self.database());
        let tls = match &self.route {
            Route::Door { ca, .. } => format!(", SSL with the CA {}", ca.display()),
            Route::Tunnel(_) => String::new(),
        };
        format!("{kind}, host {host}, port {port}, database {database}, user {user}{tls}")
    }

    fn user(&self) -> String {
        self.user.clone().unwrap_or_else(|| "USER".to_owned())
    }

    fn database(&self) -> String {
        let unsaid = match self.product {
            Product::Redis => "0",
            Product::Postgres
            | Product::Mysql
            | Product::SqlServer
            | Product::Oracle
            | Product::Mongo
            | Product::Elasticsearch => "DATABASE",
        };
        self.database.clone().unwrap_or_else(|| unsaid.to_owned())
    }
}

impl Many {
    /// For programs that open more than one connection, as DBeaver and HeidiSQL do.
    fn advice(&self, application: &str) -> String {
        match self {
            Self::SameToken => "the same token, until it expires".to_owned(),
            Self::ApiToken => format!("an API token: adit token new {application} --kind api"),
            Self::FromAdmin { user } => format!(
                "a token of one use opens one; an admin issues one of several: adit admin token \
                 issue --user {user} --application {application} --uses 20"
            ),
        }
    }
}

const MARIADB_CHECKS: &str = "--ssl-verify-server-cert";

/// A part of a URL (RFC 3986, section 2.3), in which slashes of paths stay readable.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'-' | b'.' | b'_' | b'~' | b'/' => out.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests;
