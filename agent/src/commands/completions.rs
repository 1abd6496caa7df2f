//! `adit completions SHELL`, and what packages carry: `adit manual FOLDER`

use std::path::PathBuf;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::cli::Cli;
use crate::context::Context;
use crate::exit::Failure;

#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// For which shell
    shell: Shell,
}

#[derive(Debug, Args)]
pub struct ManualArgs {
    folder: PathBuf,
}

pub fn run(args: &CompletionsArgs, context: &Context) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "adit", &mut script);
    context.ui.data(String::from_utf8_lossy(&script).trim_end())
}

pub fn write_manual(args: &ManualArgs) -> Result<(), Failure> {
    Ok(manual::write(&Cli::command(), &args.folder)?)
}
