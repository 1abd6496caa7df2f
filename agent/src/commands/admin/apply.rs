//! `adit admin apply -f FILE [--plan] [--prune]`

mod file;

use std::path::PathBuf;

use api::{Applied, ApplyRequest};
use clap::Args;
use hyper::Method;

use super::{line, say_withdrawn};
use crate::context::{Call, Context};
use crate::exit::Failure;

#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// A TOML file of [settings], [[site]], [[user]], [[group]], [[application]] and [[grant]]; `-` is
    /// stdin
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// Only show what would change
    #[arg(long)]
    plan: bool,
    /// Also remove what the file does not name
    #[arg(long)]
    prune: bool,
    /// Only if nothing was changed since `export` said this
    #[arg(long, value_name = "TAG")]
    if_match: Option<String>,
}

pub(super) async fn run(args: ApplyArgs, context: &Context) -> Result<(), Failure> {
    let document = file::read(&args.file)?;
    let request = ApplyRequest { document, plan: args.plan, prune: args.prune };
    let body = Some(serde_json::to_value(&request).map_err(std::io::Error::from)?);
    let tag = args.if_match.map(|tag| format!("\"{}\"", tag.trim_matches('"')));
    let if_match = tag.as_deref();
    let call = Call { body, if_match, ..Call::new(Method::POST, "/api/v1/apply") };
    let (applied, _): (Applied, _) = context.send(call).await?;
    show(&applied, context)
}

/// The changes on stdout, one a line; what became of them on stderr.
fn show(applied: &Applied, context: &Context) -> Result<(), Failure> {
    if context.ui.wants_json() {
        return context.ui.json(applied);
    }
    for change in &applied.changes {
        context.ui.data(line(change))?;
    }
    let changes = match applied.changes.len() {
        0 => "nothing".to_owned(),
        1 => "1 change".to_owned(),
        many => format!("{many} changes"),
    };
    match applied.applied {
        true => context.ui.say(format_args!("Applied {changes}.")),
        false => context.ui.say(format_args!("Would apply {changes}; nothing was changed.")),
    }
    say_withdrawn(context, applied.withdrawn);
    Ok(())
}
