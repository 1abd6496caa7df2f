//! `adit admin grant add|ls|show|set|rm`

use access::{Clipboard, Name, Recording, RuleId, SshTerms};
use api::{Document, GrantRow, GrantSpec};
use clap::{ArgGroup, Args, Subcommand, ValueEnum};

use super::edit::{edit, show};
use super::terms::TermArgs;
use super::{add, take_away};
use crate::context::{Context, query};
use crate::exit::{Exit, Failure};

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
    #[command(flatten)]
    terms: TermArgs,
}

#[derive(Debug, Args)]
pub struct SetArgs {
    /// Its id, as `ls` shows it
    id: RuleId,
    #[command(flatten)]
    terms: TermArgs,
    /// Leave nothing of this term: it then allows any
    #[arg(long, value_name = "TERM")]
    clear: Vec<Clear>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Clear {
    Login,
    Ssh,
    Level,
    Database,
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
                Clear::Ssh => grant.ssh = SshTerms::default(),
                Clear::Level => grant.level = None,
                Clear::Database => grant.databases = None,
                Clear::Source => grant.sources = None,
                Clear::MaxSession => grant.max_session = None,
                Clear::Idle => grant.idle = None,
                Clear::ValidFrom => grant.valid_from = None,
                Clear::ValidUntil => grant.valid_until = None,
                Clear::Hours => (grant.hours, grant.zone) = (None, None),
            }
        }
        self.terms.change(grant);
        Ok(())
    }
}

fn path(id: RuleId) -> String {
    format!("/api/v1/grants/{id}")
}

pub(super) async fn run(command: GrantCommand, context: &Context) -> Result<(), Failure> {
    match command {
        GrantCommand::Add(args) => add(context, "/api/v1/grants", &args.spec()?).await,
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
    fn spec(self) -> Result<GrantSpec, Failure> {
        let mut grant = GrantSpec {
            user: self.user,
            group: self.group,
            application: self.application,
            tag: self.tag,
            ..GrantSpec::default()
        };
        self.terms.change(&mut grant);
        match grant.hours.is_some() == grant.zone.is_some() {
            true => Ok(grant),
            false => Err(Failure::new(Exit::Usage, "--hours and --zone go together")),
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
        (grant.ssh != SshTerms::default()).then(|| format!("ssh ({})", grant.ssh)),
        grant.level.map(|level| level.to_string()),
        grant.databases.as_ref().map(|names| format!("databases {}", names.join(" "))),
        (grant.clipboard != Clipboard::Both).then(|| format!("clipboard {}", grant.clipboard)),
        (!grant.printer).then(|| "no printer".to_owned()),
        (!grant.audio).then(|| "no audio".to_owned()),
        match grant.recording {
            Recording::Off => None,
            Recording::Required => Some("recorded".to_owned()),
            Recording::WithInput => Some("recorded with input".to_owned()),
        },
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
