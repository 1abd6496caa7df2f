//! What `adit admin app add` and `set` say of how a database is spoken to and logged in to.

use std::path::PathBuf;

use access::{DatabaseOptions, Level, TlsMode, WebOptions};
use api::ApplicationSpec;
use clap::Args;

use super::secrets;
use crate::exit::Failure;

/// How a database is spoken to, besides `--ca-file`, `--pin` and `--sni`.
#[derive(Debug, Args)]
pub(super) struct DatabaseArgs {
    /// How TLS is spoken to a database: disable, prefer, require or verify-full [default: verify-full
    /// with a CA or pin, else prefer]
    #[arg(long, value_name = "MODE", value_parser = mode)]
    tls: Option<TlsMode>,
    /// The database account of a level (owner, editor or viewer); may be repeated
    #[arg(long = "level-account", value_name = "LEVEL=NAME", value_parser = of_level::<String>)]
    accounts: Vec<(Level, String)>,
    /// The database role of a level (owner, editor or viewer), in which --account makes an account for
    /// each session and takes it away after; may be repeated
    #[arg(long = "level-role", value_name = "LEVEL=ROLE", value_parser = of_level::<String>)]
    roles: Vec<(Level, String)>,
    /// A regular expression; the log of statements has *** for what it finds, or for its groups; may be
    /// repeated, and takes the place of those before
    #[arg(long = "mask", value_name = "REGEX")]
    mask: Vec<String>,
    /// Whether the log of statements keeps bound values, and of Redis those of commands
    #[arg(long, value_name = "YES|NO", value_parser = super::edit::yes_or_no)]
    values: Option<bool>,
    /// Whether logical replication passes
    #[arg(long, value_name = "YES|NO", value_parser = super::edit::yes_or_no)]
    replication: Option<bool>,
    /// The password of a level's account, in a file; may be repeated
    #[arg(
        long = "level-password-file",
        value_name = "LEVEL=FILE",
        value_parser = of_level::<PathBuf>
    )]
    password_files: Vec<(Level, PathBuf)>,
}

impl DatabaseArgs {
    /// Says it of an application: what is given in place of what was. What was said of its
    /// certificate as an origin's is said of a database's.
    pub(super) fn say(self, app: &mut ApplicationSpec) -> Result<(), Failure> {
        let mut options = app.database.take().unwrap_or_default();
        if app.kind.is_database()
            && let Some(web) = &mut app.web
        {
            take_over(&mut options, web);
            app.web = app.web.take().filter(|web| !web.is_default());
        }
        options.tls = self.tls.or(options.tls);
        options.accounts.extend(self.accounts);
        options.roles.extend(self.roles);
        if !self.mask.is_empty() {
            options.mask = self.mask;
        }
        options.values = self.values.unwrap_or(options.values);
        options.replication = self.replication.unwrap_or(options.replication);
        for (level, file) in self.password_files {
            app.level_passwords.insert(level, secrets::read(&file)?);
        }
        app.database = Some(options).filter(|options| !options.is_default());
        Ok(())
    }
}

/// Of CA and pin, the one that is given takes the other's place.
fn take_over(options: &mut DatabaseOptions, web: &mut WebOptions) {
    if web.ca.is_some() || web.pin.is_some() {
        (options.ca, options.pin) = (web.ca.take(), web.pin.take());
    }
    options.sni = web.sni.take().or(options.sni.take());
}

fn mode(text: &str) -> Result<TlsMode, String> {
    match text {
        "disable" => Ok(TlsMode::Disable),
        "prefer" => Ok(TlsMode::Prefer),
        "require" => Ok(TlsMode::Require),
        "verify-full" => Ok(TlsMode::VerifyFull),
        _ => Err("a mode is disable, prefer, require or verify-full".to_owned()),
    }
}

fn of_level<T: From<String>>(text: &str) -> Result<(Level, T), String> {
    match text.split_once('=') {
        Some((level, value)) if !value.is_empty() => Ok((level.parse()?, value.to_owned().into())),
        Some(_) | None => Err("it is LEVEL=…, for example viewer=orders_ro".to_owned()),
    }
}
