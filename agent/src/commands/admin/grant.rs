//! `adit admin grant add|ls|rm`

use access::{Clipboard, Level, Name, Recording, RuleId};
use api::{GrantRow, GrantSpec, Span};
use clap::{ArgGroup, Args, Subcommand};

use super::{add, take_away};
use crate::context::Context;
use crate::exit::Failure;

#[derive(Debug, Subcommand)]
pub enum GrantCommand {
    /// Let a user or group reach an application, or all with a tag
    Add(Box<AddArgs>),
    /// List the grants
    Ls,
    /// Remove a grant; sessions that stood on it end
    Rm {
        /// Its id, as `ls` shows it
        id: RuleId,
    },
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

pub(super) async fn run(command: GrantCommand, context: &Context) -> Result<(), Failure> {
    match command {
        GrantCommand::Add(args) => add(context, "/api/v1/grants", &args.spec()).await,
        GrantCommand::Ls => list(context).await,
        GrantCommand::Rm { id } => {
            let path = format!("/api/v1/grants/{id}");
            take_away(context, &path, &format!("Removed grant {id}")).await
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

async fn list(context: &Context) -> Result<(), Failure> {
    let grants: Vec<GrantRow> = context.get("/api/v1/grants").await?;
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
