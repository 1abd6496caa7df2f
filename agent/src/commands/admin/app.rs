//! `adit admin app add|ls|show|set|check|host-key|forget-host-key|rm`

use std::path::PathBuf;

use access::{Address, Kind, Login, Name, WebOptions};
use api::{ApplicationRow, ApplicationSpec, Checked, Document, HostKey, Removed};
use clap::{Args, Subcommand, ValueEnum};

use super::database_options::DatabaseArgs;
use super::edit::{edit, show, yes_or_no};
use super::rdp_options::RdpArgs;
use super::web_options::WebArgs;
use super::{add, secrets, take_away};
use crate::context::{Context, query, segment};
use crate::exit::{Exit, Failure};
use crate::times;

#[derive(Debug, Subcommand)]
pub enum AppCommand {
    /// Add an application
    Add(Box<AddArgs>),
    /// List the applications
    Ls(ListArgs),
    /// Have each connector of its site try whether it reaches an application and its services; no byte
    /// is sent
    Check {
        /// APP, or APP.SITE where several sites have one of that name
        #[arg(value_name = "APP")]
        application: String,
    },
    /// Show an application as a file for `apply` has it, without its secret
    Show {
        /// APP, or APP.SITE where several sites have one of that name
        #[arg(value_name = "APP")]
        application: String,
    },
    /// Change an application: only what is given, and only if nobody else does meanwhile
    Set(Box<SetArgs>),
    /// Show by which host key the relay knows an SSH application's target, or by which certificate an
    /// RDP one's
    HostKey {
        /// APP, or APP.SITE where several sites have one of that name
        #[arg(value_name = "APP")]
        application: String,
    },
    /// Forget the host key or certificate that was learned of a target: the next connection learns
    /// anew
    ///
    /// A key that was given with --host-key stays: `app set --clear host-key` takes it back.
    ForgetHostKey {
        /// APP, or APP.SITE where several sites have one of that name
        #[arg(value_name = "APP")]
        application: String,
    },
    /// Remove an application; its sessions end
    Rm {
        /// APP, or APP.SITE where several sites have one of that name
        #[arg(value_name = "APP")]
        application: String,
    },
}

#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only those in this site
    #[arg(long)]
    site: Option<Name>,
    /// Only those of this kind
    #[arg(long)]
    kind: Option<Kind>,
    /// Only those with this tag
    #[arg(long, value_name = "KEY=VALUE")]
    tag: Option<String>,
}

#[derive(Debug, Args)]
pub struct AddArgs {
    name: Name,
    /// The site it is in
    #[arg(long)]
    site: Name,
    /// ssh, rdp, tcp, postgres, mysql, redis or web
    #[arg(long)]
    kind: Kind,
    /// Where the site's connectors find it, for example db1.corp:5432
    #[arg(long, value_name = "HOST:PORT")]
    address: Address,
    #[command(flatten)]
    managed: ManagedArgs,
    /// Its SSH host key, `ssh-ed25519 AAAA…`, or `@cert-authority` and the key of a CA that signs
    /// host certificates for its address [default: learned at first use, then enforced]
    #[arg(long, value_name = "KEY")]
    host_key: Option<String>,
    /// Let its SSH server use algorithms too weak for others, where it has none better: SHA-1
    /// (`ssh-rsa`), 1024-bit groups, AES-CBC
    #[arg(long)]
    legacy_algorithms: bool,
    /// Let API tokens be issued and used for it
    #[arg(long)]
    allow_api: bool,
    /// Let API tokens work only while their user is signed in (`adit login`)
    #[arg(long, requires = "allow_api")]
    require_active_session: bool,
    /// Let users ask for access to it
    #[arg(long)]
    requestable: bool,
    /// A group whose members decide on that besides the admins; may be repeated
    #[arg(long = "approver", value_name = "GROUP")]
    approvers: Vec<Name>,
    /// A tag, which grants can name; may be repeated
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = tag)]
    tags: Vec<(String, String)>,
    #[command(flatten)]
    web: WebArgs,
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    rdp: RdpArgs,
}

/// With these the relay logs in to the target, and the user never sees how.
#[derive(Debug, Args)]
pub(super) struct ManagedArgs {
    /// Log in to the target as this account with a stored credential
    #[arg(long, value_name = "NAME", requires = "credential")]
    account: Option<String>,
    /// The account's password, in a file; `-` is stdin
    #[arg(long, value_name = "FILE", requires = "account", group = "credential")]
    password_file: Option<PathBuf>,
    /// The account's private SSH key without passphrase, in a file
    #[arg(long, value_name = "FILE", group = "credential")]
    key_file: Option<PathBuf>,
    /// Log in with a certificate signed for the session, as the account or as whom the user names;
    /// the target trusts what `adit admin ssh-ca` prints
    #[arg(long, group = "credential")]
    certificate: bool,
}

#[derive(Debug, Args)]
pub struct SetArgs {
    /// APP, or APP.SITE where several sites have one of that name
    #[arg(value_name = "APP")]
    application: String,
    /// Where the site's connectors find it
    #[arg(long, value_name = "HOST:PORT")]
    address: Option<Address>,
    /// Log in to the target as this account
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    /// The account's password, in a file; `-` is stdin
    #[arg(long, value_name = "FILE", group = "new_credential")]
    password_file: Option<PathBuf>,
    /// The account's private SSH key without passphrase, in a file
    #[arg(long, value_name = "FILE", group = "new_credential")]
    key_file: Option<PathBuf>,
    /// Whether to log in with a certificate signed for the session
    #[arg(long, value_name = "YES|NO", value_parser = yes_or_no)]
    certificate: Option<bool>,
    /// Its SSH host key, or `@cert-authority` and the key of a CA
    #[arg(long, value_name = "KEY")]
    host_key: Option<String>,
    /// Whether its SSH server may use algorithms too weak for others
    #[arg(long, value_name = "YES|NO", value_parser = yes_or_no)]
    legacy_algorithms: Option<bool>,
    /// Whether API tokens are issued and used for it
    #[arg(long, value_name = "YES|NO", value_parser = yes_or_no)]
    allow_api: Option<bool>,
    /// Whether API tokens open it only while their user is signed in
    #[arg(long, value_name = "YES|NO", value_parser = yes_or_no)]
    require_active_session: Option<bool>,
    /// Whether users may ask for access to it
    #[arg(long, value_name = "YES|NO", value_parser = yes_or_no)]
    requestable: Option<bool>,
    /// The groups whose members decide on that besides the admins; may be repeated
    #[arg(long = "approver", value_name = "GROUP")]
    approvers: Vec<Name>,
    /// Its tags; may be repeated
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = tag)]
    tags: Vec<(String, String)>,
    #[command(flatten)]
    web: WebArgs,
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    rdp: RdpArgs,
    /// Leave nothing of it, before what else is given; without account users log in to the target
    /// themselves, without web, database or rdp its target is spoken to as usual
    #[arg(long, value_name = "WHAT")]
    clear: Vec<Clear>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Clear {
    Account,
    HostKey,
    HostNames,
    Services,
    Approvers,
    Tags,
    Web,
    Database,
    Rdp,
}

impl SetArgs {
    fn change(self, app: &mut ApplicationSpec) -> Result<(), Failure> {
        for what in self.clear {
            match what {
                Clear::Account => app.account = None,
                Clear::HostKey => app.host_key = None,
                Clear::HostNames => {
                    app.web.iter_mut().for_each(|web| web.host_names.clear());
                }
                Clear::Services => {
                    app.web.iter_mut().for_each(|web| web.services.clear());
                }
                Clear::Approvers => app.approvers.clear(),
                Clear::Tags => app.tags.clear(),
                Clear::Database => app.database = None,
                Clear::Rdp => app.rdp = None,
                Clear::Web => {
                    app.web.iter_mut().for_each(|web| {
                        let host_names = std::mem::take(&mut web.host_names);
                        *web = WebOptions { host_names, ..WebOptions::default() };
                    });
                }
            }
        }
        app.address = self.address.unwrap_or_else(|| app.address.clone());
        app.account = self.account.or(app.account.take());
        app.certificate = self.certificate.unwrap_or(app.certificate);
        app.password = self.password_file.as_deref().map(secrets::read).transpose()?;
        app.key = self.key_file.as_deref().map(secrets::read_key).transpose()?;
        app.host_key = self.host_key.or(app.host_key.take());
        app.legacy_algorithms = self.legacy_algorithms.unwrap_or(app.legacy_algorithms);
        app.allow_api = self.allow_api.unwrap_or(app.allow_api);
        app.require_active_session =
            self.require_active_session.unwrap_or(app.require_active_session);
        app.requestable = self.requestable.unwrap_or(app.requestable);
        if !self.approvers.is_empty() {
            app.approvers = self.approvers;
        }
        app.web = self.web.over(app.web.take())?;
        self.database.say(app)?;
        self.rdp.say(app);
        if !self.tags.is_empty() {
            app.tags = self.tags.into_iter().collect();
        }
        Ok(())
    }
}

fn path(application: &str) -> String {
    format!("/api/v1/applications/{}", segment(application))
}

pub(super) async fn run(command: AppCommand, context: &Context) -> Result<(), Failure> {
    match command {
        AppCommand::Add(args) => add(context, "/api/v1/applications", &args.spec()?).await,
        AppCommand::Ls(args) => list(args, context).await,
        AppCommand::Check { application } => check(&application, context).await,
        AppCommand::Show { application } => {
            let document = |app| Document { applications: vec![app], ..Document::default() };
            show(context, &path(&application), document).await
        }
        AppCommand::Set(args) => {
            edit(context, &path(&args.application), |app| args.change(app)).await
        }
        AppCommand::HostKey { application } => host_key(&application, context).await,
        AppCommand::ForgetHostKey { application } => forget_host_key(&application, context).await,
        AppCommand::Rm { application } => {
            take_away(context, &path(&application), &format!("Removed application {application}"))
                .await
        }
    }
}

impl AddArgs {
    fn spec(self) -> Result<ApplicationSpec, Failure> {
        let ManagedArgs { account, password_file, key_file, certificate } = self.managed;
        let mut app = ApplicationSpec {
            name: self.name,
            site: self.site,
            kind: self.kind,
            address: self.address,
            account,
            certificate,
            password: password_file.as_deref().map(secrets::read).transpose()?,
            key: key_file.as_deref().map(secrets::read_key).transpose()?,
            host_key: self.host_key,
            legacy_algorithms: self.legacy_algorithms,
            allow_api: self.allow_api,
            require_active_session: self.require_active_session,
            requestable: self.requestable || !self.approvers.is_empty(),
            approvers: self.approvers,
            tags: self.tags.into_iter().collect(),
            web: self.web.over(None)?,
            database: None,
            rdp: None,
            level_passwords: Default::default(),
        };
        self.database.say(&mut app)?;
        self.rdp.say(&mut app);
        Ok(app)
    }
}

/// Fails where no connector reaches it, or one of its services.
async fn check(application: &str, context: &Context) -> Result<(), Failure> {
    let path = format!("/api/v1/applications/{}/check", segment(application));
    let checked: Checked = context.call(hyper::Method::POST, &path, None::<&()>).await?;
    let heads = ["connector", "address", "state", "took", "where", "why"];
    context.ui.list(&checked.connectors, "No connector is connected.", heads, |row| {
        [
            row.name.clone(),
            row.address.clone(),
            if row.reachable { "reachable" } else { "failed" }.to_owned(),
            row.micros.map(times::millis).unwrap_or_default(),
            row.hop.clone().unwrap_or_default(),
            row.code.clone().unwrap_or_default(),
        ]
    })?;
    let rows = &checked.connectors;
    let reached = |address: &str| rows.iter().any(|row| row.address == address && row.reachable);
    let Some(unreached) = rows.iter().find(|row| !reached(&row.address)) else { return Ok(()) };
    let hint = unreached.hint.clone();
    let (address, application) = (&unreached.address, &checked.application);
    let failure =
        Failure::new(Exit::Failed, format!("no connector reaches {application} at {address}"));
    Err(match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    })
}

async fn host_key(application: &str, context: &Context) -> Result<(), Failure> {
    let known: HostKey = context.get(&format!("{}/host-key", path(application))).await?;
    if context.ui.wants_json() {
        return context.ui.json(&known);
    }
    match (&known.pinned, &known.learned) {
        (Some(key), _) => context.ui.say(format_args!("Given by an admin: {key}")),
        (None, Some(key)) => context.ui.say(format_args!("Learned: {key}")),
        (None, None) => context.ui.say("Nothing yet: the next connection learns it."),
    }
    Ok(())
}

async fn forget_host_key(application: &str, context: &Context) -> Result<(), Failure> {
    let removed: Removed = context.delete(&format!("{}/host-key", path(application))).await?;
    if context.ui.wants_json() {
        return context.ui.json(&removed);
    }
    match removed.changes.first() {
        Some(change) => context.ui.say(format_args!("Forgot {}", change.detail)),
        None => context.ui.say("Nothing had been learned."),
    }
    Ok(())
}

async fn list(args: ListArgs, context: &Context) -> Result<(), Failure> {
    let asked = [
        ("site", args.site.map(String::from)),
        ("kind", args.kind.map(|kind| kind.to_string())),
        ("tag", args.tag),
    ];
    let path = query("/api/v1/applications", &asked);
    let applications: Vec<ApplicationRow> = context.list(&path).await?;
    let heads = ["name", "site", "kind", "address", "login", "api", "tags"];
    context.ui.list(&applications, "There are no applications.", heads, |app| {
        let login = match &app.login {
            Login::Transparent => "transparent".to_owned(),
            Login::Managed { account } => format!("managed as {account}"),
            Login::Certificate { account: Some(account) } => format!("certificate as {account}"),
            Login::Certificate { account: None } => "certificate".to_owned(),
        };
        let tags: Vec<_> = app.tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
        [
            app.name.to_string(),
            app.site.to_string(),
            app.kind.to_string(),
            app.address.to_string(),
            login,
            api(app).to_owned(),
            tags.join(" "),
        ]
    })
}

fn api(app: &ApplicationRow) -> &'static str {
    match (app.allow_api, app.require_active_session) {
        (false, _) => "no",
        (true, false) => "yes",
        (true, true) => "while signed in",
    }
}

fn tag(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        Some(_) | None => Err("a tag is KEY=VALUE, for example env=prod".to_owned()),
    }
}
