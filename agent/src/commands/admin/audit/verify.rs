//! Verifying the audit log, a part at a time.

use api::{AuditCheck, AuditDamage};
use clap::Args;
use serde::Serialize;

use crate::context::{Context, query};
use crate::exit::{Exit, Failure};

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The end of the log as an earlier run printed it: it must still be there
    #[arg(long, value_name = "SEQ:HASH", value_parser = noted)]
    expect: Option<String>,
    /// Begin after this record, which an earlier run has come to [default: from the first one]
    #[arg(long, value_name = "SEQ:HASH", value_parser = noted)]
    after: Option<String>,
}

/// What came of it.
#[derive(Debug, Default, Serialize)]
struct Verdict {
    whole: bool,
    rows: u64,
    /// `SEQ:HASH` of the last record.
    end: Option<String>,
    damages: Vec<AuditDamage>,
}

pub(super) async fn run(args: VerifyArgs, context: &Context) -> Result<(), Failure> {
    let verdict = walk(args, context).await?;
    if context.ui.wants_json() {
        context.ui.json(&verdict)?;
    }
    let Verdict { whole, rows, end, damages } = verdict;
    if !whole {
        return Err(damaged(&damages));
    }
    if !context.ui.wants_json() {
        context.ui.say(format_args!("The audit log is whole: {rows} records."));
        end.map_or(Ok(()), |end| context.ui.data(end))?;
    }
    Ok(())
}

/// Asks for part after part up to the end, or until it is clear how bad it is.
async fn walk(args: VerifyArgs, context: &Context) -> Result<Verdict, Failure> {
    let mut verdict = Verdict { end: args.after, ..Verdict::default() };
    loop {
        let parameters = [("after", verdict.end.clone()), ("expect", args.expect.clone())];
        let part: AuditCheck = context.get(&query("/api/v1/audit/verify", &parameters)).await?;
        verdict.rows += part.rows;
        verdict.end = part.at;
        verdict.damages.extend(part.damages);
        if part.done || verdict.damages.len() >= MANY {
            break;
        }
        if part.rows == 0 {
            let stuck = "the relay does not come to the log's end";
            return Err(Failure::new(Exit::Failed, stuck));
        }
        context.ui.progress(format_args!(
            "Verified {} records, up to {} of {}",
            verdict.rows,
            verdict.end.as_deref().and_then(|end| end.split(':').next()).unwrap_or_default(),
            part.end
        ));
    }
    Ok(Verdict { whole: verdict.damages.is_empty(), ..verdict })
}

fn damaged(damages: &[AuditDamage]) -> Failure {
    let count = match damages.len() {
        1 => "in one place".to_owned(),
        many if many >= MANY => format!("in {many} places or more"),
        many => format!("in {many} places"),
    };
    let each = damages.iter().map(|AuditDamage { kind, detail, .. }| format!("{kind}: {detail}"));
    Failure::coded("audit.damaged", format!("the audit log is damaged {count}"))
        .hint("keep the database as it is, and compare with a backup or a destination's records")
        .details(each)
}

/// The form is looked at before anything is asked; the relay reads it.
fn noted(text: &str) -> Result<String, String> {
    let parts = text.trim().split_once(':');
    let fits = parts.is_some_and(|(seq, hash)| seq.parse::<u64>().is_ok() && hash.len() == 64);
    match fits {
        true => Ok(text.trim().to_owned()),
        false => {
            Err("the end of a log is written SEQ:HASH, as `audit verify` prints it".to_owned())
        }
    }
}

/// Enough to see how bad it is.
const MANY: usize = 1000;
