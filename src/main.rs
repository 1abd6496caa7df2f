//! The relay's command line.

mod demo;

use std::io::{self, Write};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

use access::{Code, TokenText};
use adit_relay::commands::{
    Audit, Backup, CommandError, Migrate, RestoreArgs, RotateHostKey, RotateKey, Update,
};
use adit_relay::config::Config;
use adit_relay::init::Init;
use adit_relay::serve::{Exit, ServeError, check, serve};
use anyhow::Context;
use clap::{CommandFactory, Parser, Subcommand};
use tokio::runtime::{Builder, Runtime};

/// A zero-trust access relay: connectors dial out to it, people reach what is behind them.
#[derive(Debug, Parser)]
#[command(name = "adit-relay", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Set a relay up; prints the first admin's setup token
    ///
    /// The token signs the first admin in, once, within 24 hours: `adit login URL --token-file F`.
    Init(Init),
    /// Serve until SIGTERM
    ///
    /// Exits 0 when every session ended in order, 3 when some had to be cut.
    Serve {
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Tell every mistake in a configuration file, with its line; exits 2 when there is one
    CheckConfig {
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Write everything the relay keeps into a file, while it is running
    ///
    /// The master key is not in it: keep a copy of that elsewhere.
    Backup(Backup),
    /// Make the database what a backup holds, whole or not at all; the relay must be stopped
    Restore(RestoreArgs),
    /// Move a deployment from its file to a PostgreSQL server; the relay must be stopped
    Migrate(Migrate),
    /// Seal every secret with another master key; the relay must be stopped
    RotateKey(RotateKey),
    /// Give the SSH door new host keys, from its next start on
    RotateHostKey(RotateHostKey),
    /// Publish updates of the connector, which relays hand on
    #[command(subcommand)]
    Update(Update),
    /// The audit log, from the database itself
    #[command(subcommand)]
    Audit(Audit),
    /// Write the manual pages and the shells' completions below FOLDER, as packages carry them
    #[command(hide = true)]
    Manual { folder: PathBuf },
    /// See everything work on this machine: a relay, a connector and targets, until Ctrl-C
    Demo,
}

fn main() -> ExitCode {
    let command = Cli::parse().command;
    let ran =
        runtime().context("could not start").and_then(|runtime| runtime.block_on(run(command)));
    match ran {
        Ok(code) => code,
        Err(error) => {
            tell(&format!("adit-relay: {error:#}"));
            if let Some((code, hint)) = advice(&error) {
                tell(&format!("{code}: {hint}"));
            }
            let command = error.downcast_ref::<CommandError>();
            ExitCode::from(command.map_or(1, CommandError::exit))
        }
    }
}

/// Codes are for errors of the store; the others say all there is to say.
fn advice(error: &anyhow::Error) -> Option<(Code, &'static str)> {
    let serve = || error.downcast_ref::<ServeError>().and_then(ServeError::advice);
    error.downcast_ref::<CommandError>().and_then(CommandError::advice).or_else(serve)
}

/// As many threads as there are processors, and with one no second: each hand-over between threads
/// that share a processor is a cost without a gain.
fn runtime() -> io::Result<Runtime> {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let mut builder =
        if cores == 1 { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    builder.enable_all().build()
}

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Init(init) => run_init(&init).await,
        Command::Serve { config } => match read(&config) {
            Ok(read) => run_serve(read, &config).await,
            Err(code) => Ok(code),
        },
        Command::CheckConfig { file } => Ok(check_config(&file)),
        Command::Backup(backup) => done(backup.run().await, "no backup was made"),
        Command::Restore(restore) => done(restore.run().await, "nothing was changed"),
        Command::Migrate(migrate) => done(migrate.run().await, "the move did not end well"),
        Command::RotateKey(rotate) => done(rotate.run().await, "the master key was not changed"),
        Command::RotateHostKey(rotate) => {
            done(rotate.run().await, "the host keys were not changed")
        }
        Command::Update(update) => {
            let (told, data) = update.run(SystemTime::now()).context("nothing was published")?;
            tell(&told);
            data.iter().try_for_each(|data| print(data))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Audit(Audit::Verify(verify)) => {
            let end = verify.run().await?;
            tell("The audit log is whole.");
            print(&end)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Manual { folder } => {
            manual::write(&Cli::command(), &folder).context("no manual was written")?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Demo => {
            demo::run(tell).await.context("the demo ended")?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn done(ran: Result<String, CommandError>, failed: &'static str) -> anyhow::Result<ExitCode> {
    tell(&ran.context(failed)?);
    Ok(ExitCode::SUCCESS)
}

async fn run_init(init: &Init) -> anyhow::Result<ExitCode> {
    let config = init.data.join("relay.toml");
    let show = |token: &TokenText| {
        tell(
            "The first admin's setup token, good once and for 24 hours (adit login URL --token-file F):",
        );
        write(token.expose())
    };
    init.run_and(SystemTime::now(), show).await.context("no relay was set up")?;
    tell(&format!("The relay is set up. Start it: adit-relay serve --config {}", config.display()));
    Ok(ExitCode::SUCCESS)
}

async fn run_serve(config: Config, path: &Path) -> anyhow::Result<ExitCode> {
    let log = telemetry::init(&config.log.level, config.log.format);
    let log = log.context("could not start the log")?;
    match serve(config, path, log).await.context("the relay did not start")? {
        Exit::Clean => Ok(ExitCode::SUCCESS),
        Exit::Cut { .. } => Ok(ExitCode::from(CUT)),
    }
}

fn check_config(file: &Path) -> ExitCode {
    let config = match read(file) {
        Ok(config) => config,
        Err(code) => return code,
    };
    match check(&config) {
        Ok(()) => {
            tell(&format!("{}: no mistakes", file.display()));
            ExitCode::SUCCESS
        }
        Err(error) => {
            tell(&format!("{}: {:#}", file.display(), anyhow::Error::from(error)));
            ExitCode::from(MISTAKES)
        }
    }
}

fn read(path: &Path) -> Result<Config, ExitCode> {
    Config::read(path).map_err(|error| {
        tell(&format!("{:#}", anyhow::Error::from(error)));
        ExitCode::from(MISTAKES)
    })
}

/// Whoever reads may have read enough.
fn print(text: &str) -> anyhow::Result<()> {
    match write(text) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("could not write to standard output")
        }
        _ => Ok(()),
    }
}

fn write(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}")?;
    stdout.flush()
}

/// Where nobody listens there is nobody to tell that.
fn tell(text: &str) {
    drop(writeln!(io::stderr().lock(), "{text}"));
}

const MISTAKES: u8 = 2;
const CUT: u8 = 3;
