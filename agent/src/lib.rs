//! The agent: the engineer's command `adit`.

use std::process::ExitCode;

use clap::Parser;

mod addresses;
pub mod asciicast;
pub mod cli;
pub mod commands;
pub mod context;
pub mod exit;
pub mod files;
pub mod forward;
pub mod os;
pub mod prompt;
pub mod relay;
pub mod replay;
pub mod settings;
pub mod state;
pub mod stop;
#[cfg(test)]
mod testing;
pub mod times;
pub mod ui;

use cli::Cli;
use context::Context;
use exit::{Exit, Failure};
use settings::Settings;
use ui::Ui;

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    os::raise_file_limit();
    start_log();
    let ui = Ui::standard(cli.globals.json);
    let result = block_on(cli, ui.clone());
    ExitCode::from(match result {
        Ok(()) => Exit::Ok,
        Err(failure) => {
            if failure.exit() != Exit::Ok {
                ui.complain(&failure);
            }
            failure.exit()
        }
    })
}

/// People read what commands say; the log is for finding out why, with ADIT_LOG=debug.
fn start_log() {
    if let Ok(off) = "off".parse() {
        // Fails only where a log was started before: that one is as good.
        drop(telemetry::init(&off, telemetry::Format::Text));
    }
}

/// One thread: a tunnel's bytes pass through it without waking another, which costs more than the
/// little work it does itself.
fn block_on(cli: Cli, ui: Ui) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let context = Context::new(ui, Settings::new(&cli.globals));
    let result = runtime.block_on(commands::run(cli.command, &context));
    // A thread may sit in a read of stdin that never returns.
    runtime.shutdown_background();
    result
}
