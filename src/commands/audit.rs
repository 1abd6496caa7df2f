use std::path::PathBuf;

use store::{AuditPart, Head};

use super::{CommandError, read};
use crate::database;

/// What is asked of `adit-relay audit`.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Audit {
    /// Compute the chain again: is every record there, as it was written? Exits 6 when not
    ///
    /// Prints the end of the log, SEQ:HASH. Note it elsewhere, and give it to --expect the next
    /// time: then even who has the master key can not take records back unseen.
    Verify(VerifyAudit),
}

/// What is asked of `adit-relay audit verify`.
#[derive(Clone, Debug, clap::Args)]
pub struct VerifyAudit {
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// The end of the log as an earlier run printed it: it must still be there
    #[arg(long, value_name = "SEQ:HASH")]
    pub expect: Option<Head>,
}

impl VerifyAudit {
    /// Walks the whole log, whether or not a relay serves from it, and says where it ends.
    pub async fn run(&self) -> Result<String, CommandError> {
        let store = database::open(&read(&self.config)?).await?;
        let (mut after, mut damages) = (None, Vec::new());
        loop {
            let part = AuditPart { after, noted: self.expect, most: AT_ONCE };
            let check = store.verify_audit(part).await?;
            after = check.at;
            damages.extend(check.damages);
            if check.done || damages.len() >= MANY {
                break;
            }
        }
        store.close().await;
        match damages.is_empty() {
            true => Ok(after.unwrap_or(Head::START).to_string()),
            false => Err(CommandError::Damaged(damages)),
        }
    }
}

/// Records between two looks at what came of it.
const AT_ONCE: u64 = 100_000;
/// Damages that are enough to see how bad it is.
const MANY: usize = 1000;
