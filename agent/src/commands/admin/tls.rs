//! `adit admin tls ls`

use api::CertificateRow;
use clap::Subcommand;

use crate::context::Context;
use crate::exit::Failure;
use crate::times;

#[derive(Debug, Subcommand)]
pub enum TlsCommand {
    /// List the names of web applications, and which certificate is shown for each
    Ls,
}

pub(super) async fn run(command: TlsCommand, context: &Context) -> Result<(), Failure> {
    match command {
        TlsCommand::Ls => list(context).await,
    }
}

async fn list(context: &Context) -> Result<(), Failure> {
    let rows: Vec<CertificateRow> = context.list("/api/v1/tls/certificates").await?;
    let heads = ["name", "application", "from", "expires", "next", "error"];
    context.ui.list(&rows, "There are no web applications.", heads, |row| {
        [
            row.name.clone(),
            row.application.clone(),
            row.source.as_str().to_owned(),
            row.expires.map(times::utc).unwrap_or_default(),
            row.next.map(times::utc).unwrap_or_default(),
            row.error.clone().unwrap_or_default(),
        ]
    })
}
