//! `adit db APP`: a database with its own client, or what other programs need to be told.

mod product;
mod route;

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::sync::Arc;

use access::Kind;
use api::{Issued, MyApplication, MyToken, Secret};
use clap::Args;
use tokio::io::AsyncWriteExt as _;

pub(crate) use self::product::Product;
use self::route::{Client, Many, Route, Target};
use super::tunnel::{called, fixed};
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::forward::{Board, bind, serve};
use crate::relay::{Enrolled, Link, Way};
use crate::stop::Stop;

#[derive(Debug, Args)]
pub struct DbArgs {
    /// The application
    #[arg(value_name = "APP")]
    application: String,
    /// Open nothing: print URL, JDBC string and what forms ask for
    #[arg(long)]
    print: bool,
    /// The database to open; for Redis its number
    #[arg(long, short, value_name = "NAME")]
    database: Option<String>,
    /// Your account there, where the relay has none
    #[arg(long, short, value_name = "NAME")]
    user: Option<String>,
    /// What else to give to the client
    #[arg(last = true, value_name = "CLIENT ARGS")]
    rest: Vec<String>,
}

/// Opens the client. Where the relay logs in it is the client's own connection to the relay, with a
/// token that is issued for it; elsewhere a tunnel that lasts as long as the client.
pub async fn run(args: &DbArgs, context: &Context) -> Result<(), Failure> {
    let mine: Vec<MyApplication> = context.list("/api/v1/me/applications").await?;
    let application = called(&args.application, &mine)?;
    let target = target(args, application, context)?;
    if args.print {
        let facts = target.facts();
        let all: std::collections::BTreeMap<&str, &String> =
            facts.iter().map(|(name, value)| (*name, value)).collect();
        return context.ui.facts(&all, &facts);
    }
    let program = program(target.product)?;
    let mut command = Command::new(&program);
    let Client { args: given, env } = target.client(&program);
    command.args(given).args(&args.rest).envs(env);
    match &target.route {
        Route::Door { .. } => {
            let wanted = MyToken {
                application: target.application.clone(),
                kind: None,
                expires: None,
                uses: None,
                overlap: None,
            };
            let issued: Issued = context.post("/api/v1/me/tokens", &wanted).await?;
            if let Some(variable) = password(target.product) {
                command.env(variable, issued.token.expose());
            }
            let error = command.exec();
            Err(Failure::new(Exit::Failed, format!("{} cannot be run: {error}", program.display())))
        }
        Route::Tunnel(address) => {
            let address = *address;
            let beside = beside(command, address, &target.application, None, context);
            let status = Box::pin(beside).await?;
            ended(status)
        }
    }
}

fn target(
    args: &DbArgs,
    application: &MyApplication,
    context: &Context,
) -> Result<Target, Failure> {
    let product = Product::of(application).ok_or_else(|| {
        Failure::usage(format!("{} is no database that is known", application.name))
            .hint("an admin tags it, as in database=mongodb; `adit tunnel` opens anything")
    })?;
    if let (Product::Redis, Some(database)) = (product, &args.database)
        && database.parse::<u32>().is_err()
    {
        return Err(Failure::usage(format!("--database {database}: Redis has them by number")));
    }
    let name = format!("{}.{}", application.name, application.site);
    let (route, user) = if let Some(port) = door(application, context)? {
        let login = context.settings.signed_in()?;
        let relay = context.settings.relay()?;
        let ca = context.settings.state()?.ca();
        let many = match application {
            MyApplication { reusable_tokens: true, .. } => Many::SameToken,
            MyApplication { allow_api: true, .. } => Many::ApiToken,
            MyApplication { .. } => Many::FromAdmin { user: login.user.clone() },
        };
        let route = Route::Door { host: relay.bare_host().to_owned(), port, ca, many };
        (route, Some(format!("{}+{}", login.user, application.label)))
    } else {
        (Route::Tunnel(fixed(application, 0, context)?), args.user.clone())
    };
    Ok(Target { product, application: name, route, user, database: args.database.clone() })
}

/// The port of the door at which the relay logs in, where there is one.
fn door(application: &MyApplication, context: &Context) -> Result<Option<u16>, Failure> {
    Ok(match application.kind {
        _ if !application.has_account => None,
        Kind::Postgres | Kind::Redis => Some(context.settings.relay()?.port()),
        Kind::Mysql => application.door_port,
        Kind::Ssh | Kind::Rdp | Kind::Tcp | Kind::Web => None,
    })
}

/// The variable from which a client takes its password, where there is a door for it.
fn password(product: Product) -> Option<&'static str> {
    match product {
        Product::Postgres => Some("PGPASSWORD"),
        Product::Redis => Some("REDISCLI_AUTH"),
        Product::Mysql => Some("MYSQL_PWD"),
        Product::SqlServer | Product::Oracle | Product::Mongo | Product::Elasticsearch => None,
    }
}

/// The client that is installed.
fn program(product: Product) -> Result<PathBuf, Failure> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let clients = product.clients();
    let found = clients.iter().find_map(|name| find(name, &path));
    found.ok_or_else(|| {
        let missing = match clients {
            [] => format!("no client for {} is known", product.name()),
            names => format!("there is no {} in the PATH", names.join(" and no ")),
        };
        Failure::new(Exit::Failed, missing)
            .hint("install it, or see `adit db APP --print` for another program")
    })
}

pub(super) fn find(name: &str, path: &OsStr) -> Option<PathBuf> {
    std::env::split_paths(path).map(|dir| dir.join(name)).find(|file| file.is_file())
}

/// Runs a client beside a tunnel, which ends with it. With a password, which the client is given on
/// its standard input, it goes by the door that asks for that.
pub(super) async fn beside(
    command: Command,
    address: SocketAddr,
    application: &str,
    password: Option<&Secret>,
    context: &Context,
) -> Result<ExitStatus, Failure> {
    let listener = bind(address)?;
    // A Ctrl-C is for the client, which shares our terminal.
    let _stop = Stop::new()?;
    let enrolled = Arc::new(Box::pin(Enrolled::new(&context.settings)).await?);
    let link = Arc::new(Link::new(Arc::clone(&enrolled), context.ui.clone()).await?);
    let board = Arc::new(Board::new(context.ui.clone(), application));
    let way = match password {
        Some(_) => Way::door(Arc::clone(&link), application),
        None => Way::raw(Arc::clone(&link), application),
    };
    let way = Arc::new(way);
    let mut child = spawn(tokio::process::Command::from(command), password).await?;
    // A client that its session's end has ended may be faster than what there is to say of it.
    let over = async {
        let status = child.wait().await;
        board.all_said().await;
        status
    };
    let ended = tokio::select! {
        status = over => Ok(status?),
        failure = link.refused() => Err(failure),
        () = serve(listener, Arc::clone(&way), Arc::clone(&board)) => Err(Failure::new(Exit::Failed, "the port closed")),
    };
    drop(way);
    if let Some(mut link) = Arc::into_inner(link) {
        link.close().await;
    }
    enrolled.end().await;
    ended
}

/// Starts a client, which ends with what is given, and hands it a password.
pub(super) async fn spawn(
    mut command: tokio::process::Command,
    password: Option<&Secret>,
) -> Result<tokio::process::Child, Failure> {
    if password.is_some() {
        command.stdin(std::process::Stdio::piped());
    }
    let mut child = command.kill_on_drop(true).spawn()?;
    if let Some((password, mut input)) = password.zip(child.stdin.take()) {
        // One that asks for nothing has ended, and says itself why.
        let _ = input.write_all(format!("{}\n", password.expose()).as_bytes()).await;
    }
    Ok(child)
}

/// The client has said itself what was wrong.
pub(super) fn ended(status: ExitStatus) -> Result<(), Failure> {
    match status.success() {
        true => Ok(()),
        false => Err(Failure::new(Exit::Failed, format!("the client ended: {status}"))),
    }
}
