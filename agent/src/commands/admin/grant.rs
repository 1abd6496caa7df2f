//! `adit admin grant add|ls|show|set|rm`

use access::{Clipboard, Level, Name, Recording, RuleId};
use api::{Document, GrantRow, GrantSpec, Span};
use clap::{ArgGroup, Args, Subcommand, ValueEnum};

use super::edit::{edit, replace, show, yes_or_no};
use super::{add, take_away};
use crate::context::{Context, query};
use crate::exit::Failure;

#[derive(Debug, Subcommand)]
pub enum GrantCommand {
    /// Let a user or group reach an application, or all with a tag
    Add(Box<AddArgs>),
    /// List the grants
    Ls(ListArgs),
    /// Show a grant as a file for `apply` has it
    Show {
        /// Its id, as `ls` shows it
        id: RuleId,
    },
    /// Change a grant's terms: only what is given, and only if nobody else does meanwhile
    Set(Box<SetArgs>),
    /// Remove a grant; sessions that stood on it end
    Rm {
        /// Its id, as `ls` shows it
        id: RuleId,
    },
}

#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only those for this user
    #[arg(long)]
    user: Option<Name>,
    /// Only those for this group
    #[arg(long)]
    group: Option<Name>,
    /// Only those that name this application
    #[arg(long, value_name = "APP")]
    application: Option<String>,
    /// Only those that name this tag
    #[arg(long, value_name = "KEY=VALUE")]
    tag: Option<String>,
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("subject").required(true).args(["user", "group"])))]
#[command(group(ArgGroup::new("target").required(true).args(["application", "tag"])))]
pub struct AddArgs {
    /// Whom it is for
    #[arg(long)]
    user: Option<Name>,
    /// Whom it is for
    #[arg(long)]
    group: Option<Name>,
    /// What it opens: APP, or APP.SITE
    #[arg(long, value_name = "APP")]
    application: Option<String>,
    /// What it opens: all applications with this tag
    #[arg(long, value_name = "KEY=VALUE")]
    tag: Option<String>,
    /// An account at the target that may be used; may be repeated [default: any]
    #[arg(long = "login", value_name = "NAME")]
    logins: Vec<String>,
    /// Let ports and the SSH agent be forwarded
    #[arg(long)]
    forwarding: bool,
    /// Refuse sftp, scp and rsync; a shell or a command can still print a file
    #[arg(long)]
    no_file_transfer: bool,
    /// The most that may be done in a database: viewer, editor or owner [default: not limited]
    #[arg(long)]
    level: Option<Level>,
    /// A database that may be opened; may be repeated [default: any]
    #[arg(long = "database", value_name = "NAME")]
    databases: Vec<String>,
    /// Which way the clipboard may carry: off, to-target, from-target or both
    #[arg(long, value_name = "WAY", default_value_t)]
    clipboard: Clipboard,
    /// Let nothing be done that is not recorded
    #[arg(long)]
    require_recording: bool,
    /// Let the session last only while its user is signed in (`adit login`)
    #[arg(long)]
    require_active_session: bool,
    /// A network the user may come from; may be repeated [default: any]
    #[arg(long = "source", value_name = "CIDR")]
    sources: Vec<String>,
    /// The longest session, for example 8h
    #[arg(long, value_name = "TIME")]
    max_session: Option<Span>,
    /// How long a session may carry nothing, for example 30m
    #[arg(long, value_name = "TIME")]
    idle: Option<Span>,
    /// Not before, for example 2026-12-01T08:00:00Z
    #[arg(long, value_name = "TIME")]
    valid_from: Option<String>,
    /// Not from then on
    #[arg(long, value_name = "TIME")]
    valid_until: Option<String>,
    /// When sessions may be open, for example "mon-fri 08:00-18:00"; they end with it. May be
    /// repeated [default: any time]
    #[arg(long, value_name = "WINDOW", requires = "zone")]
    hours: Vec<String>,
    /// The time zone of the hours, for example Europe/Berlin
    #[arg(long, requires = "hours")]
    zone: Option<String>,
}

#[derive(Debug, Args)]
pub struct SetArgs {
    /// Its id, as `ls` shows it
    id: RuleId,
    /// The accounts at the target that may be used; may be repeated
    #[arg(long = "login", value_name = "NAME")]
    logins: Vec<String>,
    /// Whether ports and the SSH agent may be forwarded
    #[arg(long, value_name = "YES|NO", value_parser = yes_or_no)]
    forwarding: Option<bool>,
    /// Whether sftp, scp and rsync are allowed
    #[arg(long, value_name = "YES|NO", value_parser = yes_or_no)]
    file_transfer: Option<bool>,
    /// The networks the user may come from; may be repeated
    #[arg(long = "source", value_name = "CIDR")]
    sources: Vec<String>,
    /// The longest session
    #[arg(long, value_name = "TIME")]
    max_session: Option<Span>,
    /// How long a session may carry nothing
    #[arg(long, value_name = "TIME")]
    idle: Option<Span>,
    /// Not before
    #[arg(long, value_name = "TIME")]
    valid_from: Option<String>,
    /// Not from then on
    #[arg(long, value_name = "TIME")]
    valid_until: Option<String>,
    /// When sessions may be open; may be repeated
    #[arg(long, value_name = "WINDOW")]
    hours: Vec<String>,
    /// The time zone of the hours
    #[arg(long)]
    zone: Option<String>,
    /// Leave nothing of this term: it then allows any
    #[arg(long, value_name = "TERM")]
    clear: Vec<Clear>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Clear {
    Login,
    Source,
    MaxSession,
    Idle,
    ValidFrom,
    ValidUntil,
    Hours,
}

impl SetArgs {
    fn change(self, grant: &mut GrantSpec) -> Result<(), Failure> {
        for term in self.clear {
            match term {
                Clear::Login => grant.logins = None,
                Clear::Source => grant.sources = None,
                Clear::MaxSession => grant.max_session = None,
                Clear::Idle => grant.idle = None,
                Clear::ValidFrom => grant.valid_from = None,
                Clear::ValidUntil => grant.valid_until = None,
                Clear::Hours => (grant.hours, grant.zone) = (None, None),
            }
        }
        replace(&mut grant.logins, self.logins, false);
        grant.forwarding = self.forwarding.unwrap_or(grant.forwarding);
        grant.file_transfer = self.file_transfer.unwrap_or(grant.file_transfer);
        replace(&mut grant.sources, self.sources, false);
        grant.max_session = self.max_session.map(String::from).or(grant.max_session.take());
        grant.idle = self.idle.map(String::from).or(grant.idle.take());
        grant.valid_from = self.valid_from.or(grant.valid_from.take());
        grant.valid_until = self.valid_until.or(grant.valid_until.take());
        replace(&mut grant.hours, self.hours, false);
        grant.zone = self.zone.or(grant.zone.take());
        Ok(())
    }
}

fn path(id: RuleId) -> String {
    format!("/api/v1/grants/{id}")
}

pub(super) async fn run(command: GrantCommand, context: &Context) -> Result<(), Failure> {
    match command {
        GrantCommand::Add(args) => add(context, "/api/v1/grants", &args.spec()).await,
        GrantCommand::Ls(args) => list(args, context).await,
        GrantCommand::Show { id } => {
            let document = |grant| Document { grants: vec![grant], ..Document::default() };
            show(context, &path(id), document).await
        }
        GrantCommand::Set(args) => edit(context, &path(args.id), |grant| args.change(grant)).await,
        GrantCommand::Rm { id } => {
            take_away(context, &path(id), &format!("Removed grant {id}")).await
        }
    }
}

impl AddArgs {
    fn spec(self) -> GrantSpec {
        let some = |list: Vec<String>| (!list.is_empty()).then_some(list);
        GrantSpec {
            user: self.user,
            group: self.group,
            application: self.application,
            tag: self.tag,
            logins: some(self.logins),
            forwarding: self.forwarding,
            file_transfer: !self.no_file_transfer,
            level: self.level,
            databases: some(self.databases),
            clipboard: self.clipboard,
            recording: match self.require_recording {
                true => Recording::Required,
                false => Recording::Off,
            },
            require_active_session: self.require_active_session,
            sources: some(self.sources),
            max_session: self.max_session.map(String::from),
            idle: self.idle.map(String::from),
            valid_from: self.valid_from,
            valid_until: self.valid_until,
            hours: some(self.hours),
            zone: self.zone,
        }
    }
}

async fn list(args: ListArgs, context: &Context) -> Result<(), Failure> {
    let asked = [
        ("user", args.user.map(String::from)),
        ("group", args.group.map(String::from)),
        ("application", args.application),
        ("tag", args.tag),
    ];
    let grants: Vec<GrantRow> = context.list(&query("/api/v1/grants", &asked)).await?;
    let heads = ["id", "who", "what", "logins", "terms"];
    context.ui.list(&grants, "There are no grants.", heads, |row| {
        let grant = &row.grant;
        let user = grant.user.as_ref().map(ToString::to_string);
        let group = grant.group.as_ref().map(|group| format!("group {group}"));
        let tag = grant.tag.as_ref().map(|tag| format!("tag {tag}"));
        [
            row.id.to_string(),
            user.or(group).unwrap_or_default(),
            grant.application.clone().or(tag).unwrap_or_default(),
            grant.logins.as_ref().map_or_else(|| "any".to_owned(), |logins| logins.join(" ")),
            terms(grant),
        ]
    })
}

/// The terms beyond logins in a few words.
fn terms(grant: &GrantSpec) -> String {
    let said = |name: &str, value: &Option<String>| value.as_ref().map(|v| format!("{name} {v}"));
    let sources = grant.sources.as_ref().map(|nets| format!("from {}", nets.join(" ")));
    let terms = [
        grant.forwarding.then(|| "forwarding".to_owned()),
        (!grant.file_transfer).then(|| "no file transfer".to_owned()),
        grant.level.map(|level| level.to_string()),
        grant.databases.as_ref().map(|names| format!("databases {}", names.join(" "))),
        (grant.clipboard != Clipboard::Both).then(|| format!("clipboard {}", grant.clipboard)),
        (grant.recording == Recording::Required).then(|| "recorded".to_owned()),
        grant.require_active_session.then(|| "while signed in".to_owned()),
        hours(grant),
        sources,
        said("session", &grant.max_session),
        said("idle", &grant.idle),
        said("after", &grant.valid_from),
        said("until", &grant.valid_until),
    ];
    terms.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn hours(grant: &GrantSpec) -> Option<String> {
    let windows = match grant.hours.as_deref()? {
        [] => "never".to_owned(),
        windows => windows.join(" and "),
    };
    Some(format!("{windows} {}", grant.zone.as_deref().unwrap_or_default()))
}
