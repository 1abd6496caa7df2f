//! `adit admin user add|ls|show|set|disable|enable|rm|sign-in-link|password|sign-in-methods|key`

use std::path::PathBuf;

use access::{Name, TokenKind};
use api::{
    AddSshKey, Document, IssueToken, Issued, KeySpec, LastSeen, OneTimePassword, PasswordState,
    Removed, SignInMethods, Span, SshKeyRow, UserRow, UserSpec,
};
use clap::{Args, Subcommand, ValueEnum};

use super::edit::{edit, replace, show, yes_or_no};
use super::{add, secrets, take_away, taken_away};
use crate::commands::key;
use crate::context::{Context, query, segment};
use crate::exit::Failure;
use crate::times;

#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Add a user
    Add(AddArgs),
    /// List the users
    Ls(ListArgs),
    /// Show a user as a file for `apply` has them
    Show { name: Name },
    /// Change a user: only what is given, and only if nobody else does meanwhile
    Set(SetArgs),
    /// Withdraw all access of a user; their sessions end
    Disable { name: Name },
    /// Give a disabled user their access back
    Enable { name: Name },
    /// Remove a user with their grants and tokens; their sessions end
    Rm { name: Name },
    /// Print a link that signs a user's browser in, once and within a quarter of an hour
    SignInLink { name: Name },
    /// Print a one-time password, good for three days: who signs in with it chooses their own
    Password {
        name: Name,
        /// Take their password away instead
        #[arg(long)]
        remove: bool,
    },
    /// Take a user's authenticator app and recovery codes away, for who has lost them
    ResetSecondFactor { name: Name },
    /// Show by what a user can sign in to the portal
    SignInMethods { name: Name },
    /// SSH keys of users
    #[command(subcommand)]
    Key(KeyCommand),
}

#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// List the SSH keys of a user, or of all
    Ls {
        #[arg(long)]
        user: Option<Name>,
    },
    /// Register a public SSH key that signs a user in, or one of theirs with a new end
    Add(AddKeyArgs),
    /// Remove an SSH key; sessions that stand on it end at once
    Rm {
        /// The key's fingerprint, `SHA256:…`
        fingerprint: String,
    },
}

#[derive(Debug, Args)]
pub struct AddKeyArgs {
    user: Name,
    /// The public key, a file that ends in .pub; `-` is stdin
    file: PathBuf,
    /// What lists call it [default: its comment]
    #[arg(long)]
    name: Option<String>,
    /// How long it is good, for example 30d
    #[arg(long, value_name = "TIME")]
    expires: Option<Span>,
    /// It does not expire; for machine users
    #[arg(long, conflicts_with = "expires")]
    never: bool,
}

#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only members of this group
    #[arg(long)]
    group: Option<Name>,
    /// Only those who are disabled
    #[arg(long)]
    disabled: bool,
    /// Only those who may administer the relay
    #[arg(long)]
    admin: bool,
    /// Only those who are auditors
    #[arg(long)]
    auditor: bool,
    /// Only those whose name begins so
    #[arg(long, value_name = "TEXT")]
    prefix: Option<String>,
}

#[derive(Debug, Args)]
pub struct AddArgs {
    name: Name,
    /// May administer the relay
    #[arg(long)]
    admin: bool,
    /// It is a program: it signs in by token or SSH key and does not log in
    #[arg(long)]
    machine: bool,
    /// May see what admins see, and change nothing
    #[arg(long)]
    auditor: bool,
    /// May decide on every request for access, and nothing else that admins may
    #[arg(long)]
    approver: bool,
    /// A site whose connectors, applications, grants and sessions they administer; may be repeated
    #[arg(long, value_name = "SITE")]
    admin_of: Vec<Name>,
    /// A group the user is in; may be repeated
    #[arg(long = "group", value_name = "GROUP")]
    groups: Vec<Name>,
    /// A file of public SSH keys that sign the user in; may be repeated
    #[arg(long = "ssh-key", value_name = "FILE")]
    ssh_keys: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub struct SetArgs {
    name: Name,
    /// Whether they may administer the relay
    #[arg(long, value_name = "YES|NO", value_parser = yes_or_no)]
    admin: Option<bool>,
    /// Whether they see what admins see
    #[arg(long, value_name = "YES|NO", value_parser = yes_or_no)]
    auditor: Option<bool>,
    /// Whether they decide on every request for access
    #[arg(long, value_name = "YES|NO", value_parser = yes_or_no)]
    approver: Option<bool>,
    /// The sites they administer; may be repeated
    #[arg(long, value_name = "SITE")]
    admin_of: Vec<Name>,
    /// The groups they are in; may be repeated
    #[arg(long = "group", value_name = "GROUP")]
    groups: Vec<Name>,
    /// Files of the public SSH keys that sign them in; may be repeated
    #[arg(long = "ssh-key", value_name = "FILE")]
    ssh_keys: Vec<PathBuf>,
    /// Leave nothing of it
    #[arg(long, value_name = "WHAT")]
    clear: Vec<Clear>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Clear {
    AdminOf,
    Groups,
    SshKeys,
}

impl SetArgs {
    fn change(self, user: &mut UserSpec) -> Result<(), Failure> {
        user.admin = self.admin.unwrap_or(user.admin);
        user.auditor = self.auditor.unwrap_or(user.auditor);
        user.approver = self.approver.unwrap_or(user.approver);
        let mut sites = Some(std::mem::take(&mut user.admin_of));
        replace(&mut sites, self.admin_of, self.clear.contains(&Clear::AdminOf));
        user.admin_of = sites.unwrap_or_default();
        replace(&mut user.groups, self.groups, self.clear.contains(&Clear::Groups));
        let keys = public_keys(&self.ssh_keys)?;
        replace(&mut user.ssh_keys, keys, self.clear.contains(&Clear::SshKeys));
        Ok(())
    }
}

pub(super) async fn run(command: UserCommand, context: &Context) -> Result<(), Failure> {
    match command {
        UserCommand::Add(args) => add(context, "/api/v1/users", &args.spec()?).await,
        UserCommand::Ls(args) => list(args, context).await,
        UserCommand::Show { name } => {
            let document = |user| Document { users: vec![user], ..Document::default() };
            show(context, &path(&name), document).await
        }
        UserCommand::Set(args) => edit(context, &path(&args.name), |user| args.change(user)).await,
        UserCommand::Disable { name } => switch(context, &name, "disable", "Disabled").await,
        UserCommand::Enable { name } => switch(context, &name, "enable", "Enabled").await,
        UserCommand::Rm { name } => {
            take_away(context, &path(&name), &format!("Removed user {name}")).await
        }
        UserCommand::SignInLink { name } => sign_in_link(name, context).await,
        UserCommand::Password { name, remove: false } => password(&name, context).await,
        UserCommand::Password { name, remove: true } => {
            let path = format!("{}/password", path(&name));
            take_away(context, &path, &format!("{name} has no password any more")).await
        }
        UserCommand::ResetSecondFactor { name } => {
            let path = format!("{}/second-factor", path(&name));
            take_away(context, &path, &format!("{name} has no second factor any more")).await
        }
        UserCommand::SignInMethods { name } => methods(&name, context).await,
        UserCommand::Key(command) => run_key(command, context).await,
    }
}

impl AddArgs {
    fn spec(self) -> Result<UserSpec, Failure> {
        let keys = public_keys(&self.ssh_keys)?;
        Ok(UserSpec {
            name: self.name,
            admin: self.admin,
            auditor: self.auditor,
            approver: self.approver,
            admin_of: self.admin_of,
            enabled: true,
            machine: self.machine,
            groups: (!self.groups.is_empty()).then_some(self.groups),
            ssh_keys: (!keys.is_empty()).then_some(keys),
        })
    }
}

async fn run_key(command: KeyCommand, context: &Context) -> Result<(), Failure> {
    match command {
        KeyCommand::Ls { user } => {
            let path = query("/api/v1/ssh-keys", &[("user", user.map(String::from))]);
            let keys: Vec<SshKeyRow> = context.list(&path).await?;
            key::list(context, &keys, "There are no SSH keys.")
        }
        KeyCommand::Add(args) => {
            let AddKeyArgs { user, file, name, expires, never } = args;
            let key = secrets::public_key(&file)?;
            let wanted = AddSshKey { user, key, name, expires, never };
            let row: SshKeyRow = context.post("/api/v1/ssh-keys", &wanted).await?;
            key::added(context, &row)
        }
        KeyCommand::Rm { fingerprint } => {
            let path = format!("/api/v1/ssh-keys/{}", segment(&fingerprint));
            take_away(context, &path, &format!("Removed SSH key {fingerprint}")).await
        }
    }
}

fn public_keys(files: &[PathBuf]) -> Result<Vec<KeySpec>, Failure> {
    let mut keys = Vec::new();
    for file in files {
        keys.extend(secrets::public_keys(file)?.into_iter().map(KeySpec::from));
    }
    Ok(keys)
}

fn path(name: &Name) -> String {
    format!("/api/v1/users/{name}")
}

async fn switch(context: &Context, name: &Name, verb: &str, done: &str) -> Result<(), Failure> {
    let path = format!("/api/v1/users/{name}/{verb}");
    let removed: Removed = context.call(hyper::Method::POST, &path, None::<&()>).await?;
    taken_away(context, &removed, &format!("{done} user {name}"))
}

/// `2026-11-26 23:20 UTC by ssh from 192.0.2.7`.
fn seen(seen: &LastSeen) -> String {
    let door = seen.door.as_ref().map(|door| format!(" by {door}")).unwrap_or_default();
    let from = seen.from.map(|from| format!(" from {from}")).unwrap_or_default();
    format!("{}{door}{from}", times::utc(seen.at))
}

async fn list(args: ListArgs, context: &Context) -> Result<(), Failure> {
    let asked = [
        ("group", args.group.map(String::from)),
        ("enabled", args.disabled.then(|| "false".to_owned())),
        ("admin", args.admin.then(|| "true".to_owned())),
        ("auditor", args.auditor.then(|| "true".to_owned())),
        ("prefix", args.prefix),
    ];
    let users: Vec<UserRow> = context.list(&query("/api/v1/users", &asked)).await?;
    let heads = ["name", "kind", "state", "role", "groups", "ssh keys", "last seen"];
    context.ui.list(&users, "There are no users.", heads, |user| {
        let groups: Vec<_> = user.groups.iter().map(Name::as_str).collect();
        [
            user.name.to_string(),
            if user.machine { "machine" } else { "human" }.to_owned(),
            if user.enabled { "enabled" } else { "disabled" }.to_owned(),
            role(user),
            groups.join(" "),
            user.ssh_keys.len().to_string(),
            user.seen.as_ref().map_or_else(|| "never".to_owned(), seen),
        ]
    })
}

fn role(user: &UserRow) -> String {
    if user.admin {
        return "admin".to_owned();
    }
    let sites = user.admin_of.iter().map(|site| format!("admin of {site}"));
    let roles = [(user.auditor, "auditor"), (user.approver, "approver")];
    let roles = roles.into_iter().filter(|(is, _)| *is).map(|(_, role)| role.to_owned());
    let all: Vec<String> = roles.chain(sites).collect();
    if all.is_empty() { "user".to_owned() } else { all.join(", ") }
}

/// The whole link on stdout, to send to its user.
async fn sign_in_link(user: Name, context: &Context) -> Result<(), Failure> {
    let kind = Some(TokenKind::SignIn);
    let wanted = IssueToken {
        user,
        kind,
        application: None,
        expires: None,
        uses: None,
        overlap: None,
        scopes: None,
    };
    let issued: Issued = context.post("/api/v1/tokens", &wanted).await?;
    if context.ui.wants_json() {
        return context.ui.json(&issued);
    }
    let link = issued.command.as_deref().unwrap_or("CODE");
    context.ui.data(link.replace("CODE", issued.token.expose()))?;
    let until = issued.expires.map(times::utc).unwrap_or_default();
    context.ui.say(format_args!("Good once, until {until}."));
    Ok(())
}

/// The password alone on stdout, to send to its user.
async fn password(name: &Name, context: &Context) -> Result<(), Failure> {
    let path = format!("{}/password", path(name));
    let made: OneTimePassword = context.call(hyper::Method::POST, &path, None::<&()>).await?;
    if context.ui.wants_json() {
        return context.ui.json(&made);
    }
    context.ui.data(made.password.expose())?;
    let until = times::utc(made.expires);
    context.ui.say(format_args!("Signs {name} in at {} until {until}.", made.url));
    if made.signed_out > 0 {
        context.ui.say(format_args!("Browsers signed out: {}.", made.signed_out));
    }
    Ok(())
}

async fn methods(name: &Name, context: &Context) -> Result<(), Failure> {
    let methods: SignInMethods = context.get(&format!("{}/sign-in-methods", path(name))).await?;
    if context.ui.wants_json() {
        return context.ui.json(&methods);
    }
    let password = match methods.password {
        None => "none".to_owned(),
        Some(PasswordState { must_change: true, expires, .. }) => {
            format!("one-time, good until {}", expires.map(times::utc).unwrap_or_default())
        }
        Some(state) => format!("since {}", times::utc(state.changed)),
    };
    context.ui.data(format_args!("password: {password}"))?;
    let totp = match methods.totp {
        None => "none".to_owned(),
        Some(app) => {
            let since = times::utc(app.created);
            format!("since {since}, recovery codes left: {}", app.recovery_codes)
        }
    };
    context.ui.data(format_args!("authenticator app: {totp}"))?;
    let names: Vec<&str> = methods.passkeys.iter().map(|one| one.name.as_str()).collect();
    let passkeys = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    context.ui.data(format_args!("passkeys: {passkeys}"))
}
