//! Records that fit what is asked: as a table for people, as lines of JSON for programs.

use std::time::SystemTime;

use access::{Name, SessionId};
use api::{AuditPage, AuditRow};
use clap::Args;
use serde_json::Value;

use crate::context::{Context, PAGE, query};
use crate::exit::Failure;
use crate::times;

/// Which records are wanted: those that fit all that is given.
#[derive(Debug, Default, Args)]
pub(super) struct Filter {
    /// Only what this user did, or somebody who said they were
    #[arg(long)]
    user: Option<String>,
    /// Only changes that this user made
    #[arg(long, value_name = "USER")]
    actor: Option<String>,
    /// Only records about this application: APP, or APP.SITE
    #[arg(long, visible_alias = "app", value_name = "APP")]
    application: Option<String>,
    /// Only records about this site
    #[arg(long)]
    site: Option<Name>,
    /// Only records with this action or of this family: session.opened, session.*, ssh.exec
    #[arg(long)]
    action: Option<String>,
    /// Only records of this session
    #[arg(long, value_name = "ID")]
    session: Option<SessionId>,
    /// Only what happened since: 2h (ago), 2026-12-01, 2026-12-01T08:00:00Z
    #[arg(long, value_name = "TIME", value_parser = times::moment)]
    since: Option<SystemTime>,
    /// Only what happened before; written as --since
    #[arg(long, value_name = "TIME", value_parser = times::moment)]
    until: Option<SystemTime>,
}

#[derive(Debug, Default, Args)]
pub struct ListArgs {
    #[command(flatten)]
    filter: Filter,
    /// At most this many records
    #[arg(long, visible_alias = "limit", value_name = "N", default_value_t = 50)]
    last: u64,
}

#[derive(Debug, Default, Args)]
pub struct ExportArgs {
    /// Only what comes after the record with this `seq`
    #[arg(long, value_name = "SEQ", default_value_t = 0)]
    after: u64,
    /// At most this many records [default: all]
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    #[command(flatten)]
    filter: Filter,
}

/// The latest records, the last one first.
pub(super) async fn list(args: ListArgs, context: &Context) -> Result<(), Failure> {
    let (mut records, mut before) = (Vec::new(), None);
    while let Some(left) = args.last.checked_sub(records.len() as u64).filter(|left| *left > 0) {
        let place = [("latest", Some("true".to_owned())), ("before", before)];
        let page: AuditPage = context.get(&args.filter.path(&place, left)).await?;
        records.extend(page.events);
        match page.next {
            Some(next) => before = Some(next.to_string()),
            None => break,
        }
    }
    let heads = ["seq", "time", "action", "user", "application", "session", "what"];
    context.ui.list(&records, "No record fits.", heads, cells)
}

/// Everything recorded about one session.
pub(in crate::commands::admin) async fn export_session(
    id: SessionId,
    context: &Context,
) -> Result<(), Failure> {
    let filter = Filter { session: Some(id), ..Filter::default() };
    match export(ExportArgs { filter, ..ExportArgs::default() }, context).await? {
        0 => Err(Failure::coded("session.not_found", format!("there is no session {id}")).hint(
            "`adit admin session ls` lists those that are open, with --ended those that were",
        )),
        _ => Ok(()),
    }
}

/// Prints page after page and says how many records there were.
pub(super) async fn export(args: ExportArgs, context: &Context) -> Result<u64, Failure> {
    let (mut after, mut printed) = (args.after, 0);
    loop {
        let left = args.limit.map_or(u64::MAX, |limit| limit.saturating_sub(printed));
        if left == 0 {
            return Ok(printed);
        }
        let place = [("after", Some(after.to_string()))];
        let page: AuditPage = context.get(&args.filter.path(&place, left)).await?;
        for event in &page.events {
            context.ui.json_line(event)?;
            printed += 1;
        }
        match page.next {
            Some(next) => after = next,
            None => return Ok(printed),
        }
    }
}

impl Filter {
    fn path(&self, place: &[(&str, Option<String>)], left: u64) -> String {
        let parameters = [
            ("limit", Some(left.min(PAGE).to_string())),
            ("action", self.action.clone()),
            ("session", self.session.map(|id| id.to_string())),
            ("user", self.user.clone()),
            ("actor", self.actor.clone()),
            ("application", self.application.clone()),
            ("site", self.site.as_ref().map(ToString::to_string)),
            ("since", self.since.map(times::rfc3339)),
            ("until", self.until.map(times::rfc3339)),
        ];
        query("/api/v1/audit", &[place, &parameters].concat())
    }
}

fn cells(row: &AuditRow) -> [String; 7] {
    let field = |name| row.event.get(name).and_then(Value::as_str);
    let application = match (field("application"), field("site")) {
        (Some(application), Some(site)) if !application.contains('.') => {
            format!("{application}.{site}")
        }
        (Some(application), _) => application.to_owned(),
        (None, site) => site.unwrap_or_default().to_owned(),
    };
    [
        row.seq.to_string(),
        times::to_the_second(row.at_ms / 1000),
        // What a session did has a name of its own.
        field("what").filter(|_| row.action == "session.action").unwrap_or(&row.action).to_owned(),
        row.user.clone().unwrap_or_default(),
        application,
        row.session.map(|id| id.to_string()).unwrap_or_default(),
        rest(&row.event),
    ]
}

/// What has no column of its own, as `name=value`.
fn rest(event: &Value) -> String {
    let fields = event.as_object().into_iter().flatten();
    let fields = fields.filter(|(name, _)| !SHOWN.contains(&name.as_str()));
    let each = fields.map(|(name, value)| match value.as_str() {
        Some("") => String::new(),
        Some(text) => format!("{name}={text} "),
        None => format!("{name}={value} "),
    });
    let text: String = each.collect();
    match text.trim_end().char_indices().nth(WIDEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.trim_end().to_owned(),
    }
}

const SHOWN: [&str; 5] = ["action", "application", "session", "site", "user"];
/// Characters; the whole of it is in the export.
const WIDEST: usize = 160;
