//! `adit tunnel APP[:PORT]`

use std::net::SocketAddr;
use std::sync::Arc;

use access::Kind;
use api::MyApplication;
use clap::Args;
use serde::Serialize;

use super::db::Product;
use super::first;
use super::service::{self, Service};
use crate::context::{self, Context};
use crate::exit::Failure;
use crate::forward::{Board, Clients, LocalPort, bind, serve};
use crate::relay::{Enrolled, Link, Way};
use crate::stop::Stop;
use crate::ui::Ui;

#[derive(Debug, Args)]
pub struct TunnelArgs {
    /// The application, and the local port to open for it (default: any free one)
    #[arg(value_name = "APP[:PORT]")]
    application: String,
    /// The local address to listen on, for example 127.0.0.1:5433
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Listen on an address that stays this application's, with its usual port: 127.77.0.1:5432
    #[arg(long, conflicts_with = "listen")]
    fixed: bool,
    /// Open nothing now: have the user's systemd keep it open
    #[arg(long, value_enum, requires = "fixed", value_name = "WHAT")]
    service: Option<Service>,
}

/// What `--json` prints once the port is open.
#[derive(Debug, Serialize)]
struct Listening<'a> {
    listening: SocketAddr,
    application: &'a str,
    kind: Kind,
}

/// Carries connections until it is interrupted, or the relay signs this machine out.
pub async fn run(args: &TunnelArgs, context: &Context) -> Result<(), Failure> {
    let port = LocalPort::parse(&args.application, args.listen.as_deref())?;
    if let Some(service) = args.service {
        let mine: Vec<MyApplication> = context.list("/api/v1/me/applications").await?;
        let found = called(&port.application, &mine)?;
        // With its port, so that it can be opened before anybody is signed in.
        let port = fixed(found, port.listen.port(), context)?.port();
        let words = ["tunnel", &format!("{}:{port}", found.label), "--fixed"];
        return service::run(service, &found.label, &words, context);
    }
    // Before anything is asked of the relay: a taken port must not use a token up. Which one is
    // fixed follows from what the relay says.
    let clients = if args.fixed { None } else { Some(Clients::from(bind(port.listen)?)) };
    let mut stop = Stop::new()?;
    let (clients, signed_in) = match SignedIn::find(&port, context).await {
        Ok(signed_in) => (clients, signed_in),
        Err(failure) if args.fixed => {
            let Some(at) = first::address(&failure, &port, context)? else { return Err(failure) };
            let Some(clients) = first::sign_in(at, context, &mut stop).await? else {
                return Ok(());
            };
            (Some(clients), SignedIn::find(&port, context).await?)
        }
        Err(failure) => return Err(failure),
    };
    let ended = forward(&signed_in, &port, clients, context, stop).await;
    signed_in.enrolled.end().await;
    ended
}

/// The machine as it is signed in, and the application as its user may reach it.
struct SignedIn {
    enrolled: Arc<Enrolled>,
    application: MyApplication,
}

impl SignedIn {
    async fn find(port: &LocalPort, context: &Context) -> Result<Self, Failure> {
        let enrolled = Arc::new(Box::pin(Enrolled::new(&context.settings)).await?);
        match find(&enrolled, &port.application).await {
            Ok(application) => Ok(Self { enrolled, application }),
            Err(failure) => {
                enrolled.end().await;
                Err(failure)
            }
        }
    }
}

/// The open port.
struct Open {
    clients: Clients,
    application: String,
}

async fn forward(
    signed_in: &SignedIn,
    port: &LocalPort,
    clients: Option<Clients>,
    context: &Context,
    stop: Stop,
) -> Result<(), Failure> {
    let (ui, application) = (&context.ui, port.application.clone());
    let found = &signed_in.application;
    let clients = match clients {
        Some(clients) => clients,
        None => bind(fixed(found, port.listen.port(), context)?)?.into(),
    };
    let address = clients.address()?;
    let link = Link::new(Arc::clone(&signed_in.enrolled), ui.clone()).await?;
    announce(ui, &application, found.kind, address)?;
    carry(Open { clients, application }, link, ui, stop).await
}

/// The address that stays this application's, with `port` or, where that is 0, its usual one.
pub(super) fn fixed(
    application: &MyApplication,
    port: u16,
    context: &Context,
) -> Result<SocketAddr, Failure> {
    let usual = || Product::of(application).map(Product::port);
    let port = if port == 0 { usual() } else { Some(port) };
    let port = port.ok_or_else(|| {
        Failure::usage("no port is usual for that application")
            .hint("give one, as in APP:9000 --fixed, or tag it: database=sqlserver")
    })?;
    let address = context.settings.state()?.address_of(&application.label)?;
    Ok((address, port).into())
}

async fn carry(port: Open, link: Link, ui: &Ui, mut stop: Stop) -> Result<(), Failure> {
    let Open { clients, application, .. } = port;
    let link = Arc::new(link);
    let board = Arc::new(Board::new(ui.clone(), &application));
    let way = Arc::new(Way::raw(Arc::clone(&link), &application));
    let ended = tokio::select! {
        () = stop.asked() => Ok(()),
        failure = link.refused() => Err(failure),
        () = serve(clients, Arc::clone(&way), Arc::clone(&board)) => Ok(()),
        () = board.show() => Ok(()),
    };
    if ui.is_live() {
        ui.say(board.summary());
    }
    drop(way);
    if let Some(mut link) = Arc::into_inner(link) {
        link.close().await;
    }
    ended
}

/// Looks the application up, so that a mistyped name is told now and not to the first client.
async fn find(enrolled: &Enrolled, application: &str) -> Result<MyApplication, Failure> {
    let api = enrolled.api()?;
    let mine: Vec<MyApplication> = context::list(api.as_ref(), "/api/v1/me/applications").await?;
    called(application, &mine).cloned()
}

/// The one of these that is called so.
pub(super) fn called<'a>(
    application: &str,
    mine: &'a [MyApplication],
) -> Result<&'a MyApplication, Failure> {
    let exactly = |app: &&MyApplication| {
        application == app.label
            || application.split_once('.') == Some((app.name.as_str(), app.site.as_str()))
    };
    let called: Vec<_> = mine.iter().filter(|app| app.name.as_str() == application).collect();
    match (mine.iter().find(exactly), called.as_slice()) {
        (Some(one), _) | (None, &[one]) => Ok(one),
        (None, []) => {
            Err(Failure::coded("access.denied", "you have no access to that application")
                .hint("run `adit ls` to see what you can reach")
                .about(application))
        }
        (None, [first, ..]) => Err(Failure::coded(
            "access.ambiguous",
            "several sites have an application of that name",
        )
        .hint(format!("write {}.{} for the one at {}", first.name, first.site, first.site))
        .about(application)),
    }
}

fn announce(ui: &Ui, application: &str, kind: Kind, address: SocketAddr) -> Result<(), Failure> {
    ui.say(format_args!("listening on {address} → {application}"));
    if !address.ip().is_loopback() {
        ui.say("Whoever reaches this address uses your access.");
    }
    if ui.is_live()
        && let Some(command) = example(kind, address)
    {
        ui.say(format_args!("Try: {command}"));
    }
    match ui.wants_json() {
        true => ui.json_line(&Listening { listening: address, application, kind }),
        false => Ok(()),
    }
}

/// What to type into another terminal.
fn example(kind: Kind, address: SocketAddr) -> Option<String> {
    let (host, port) = (address.ip(), address.port());
    match kind {
        Kind::Ssh => Some(format!("ssh -p {port} {host}")),
        Kind::Postgres => Some(format!("psql -h {host} -p {port}")),
        Kind::Mysql => Some(format!("mysql -h {host} -P {port}")),
        Kind::Redis => Some(format!("redis-cli -h {host} -p {port}")),
        Kind::Web => Some(format!("curl http://{address}/")),
        Kind::Rdp => Some(format!("mstsc /v:{address}")),
        Kind::Tcp => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    #[test]
    fn an_application_is_found_by_each_of_its_names() {
        let mine = [
            app("db", "hq", Kind::Postgres),
            app("db", "lab", Kind::Mysql),
            app("web", "hq", Kind::Web),
        ];
        let found =
            |name| called(name, &mine).map(|one| one.kind).map_err(|failure| failure.exit());
        assert_eq!(found("web"), Ok(Kind::Web));
        assert_eq!(found("db.lab"), Ok(Kind::Mysql));
        assert_eq!(found("db-hq"), Ok(Kind::Postgres));
        assert_eq!(found("db"), Err(Exit::Denied));
        assert_eq!(found("nope"), Err(Exit::Denied));
    }

    fn app(name: &str, site: &str, kind: Kind) -> MyApplication {
        MyApplication {
            name: name.parse().unwrap(),
            site: site.parse().unwrap(),
            kind,
            label: format!("{name}-{site}"),
            login: access::Login::Transparent,
            has_account: false,
            door_port: None,
            allow_api: false,
            reusable_tokens: false,
            online: true,
            tags: std::collections::BTreeMap::new(),
        }
    }
}
