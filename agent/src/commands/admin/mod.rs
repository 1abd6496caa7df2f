//! `adit admin …`

use clap::{Args, Subcommand};

use crate::context::Context;
use crate::exit::Failure;

#[derive(Debug, Args)]
pub struct AdminArgs {
    #[command(subcommand)]
    pub command: AdminCommand,
}

#[derive(Debug, Subcommand)]
pub enum AdminCommand {}

pub async fn run(args: AdminArgs, _context: &Context) -> Result<(), Failure> {
    match args.command {}
}
