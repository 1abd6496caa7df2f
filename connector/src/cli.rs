//! The command line.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use access::TokenText;
use anyhow::Context;
use clap::{Args, CommandFactory, Parser, Subcommand};
use secrecy::{ExposeSecret, SecretString};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tunnel::https::{ApiError, CallError};

use crate::allow::Entry;
use crate::config::{Config, ProxyChoice};
use crate::control::{Ask, Said, ask};
use crate::doctor::{before_joining, doctor, is_well};
use crate::join::{Join, JoinError, join};
use crate::key;
use crate::run::{Ended, RunError, run, ways};
use crate::status::{State, Status};
use crate::update::{Step, trial, trial_said};

/// Connects a private network to its Adit relay, from the inside out.
#[derive(Debug, Parser)]
#[command(name = "adit-connector", version = crate::version_text())]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    /// What to log: error, warn, info, debug, trace, or directives. Info where nothing is said, and
    /// error for the doctor.
    #[arg(long, global = true)]
    log: Option<telemetry::Level>,
    /// How to log: text or json.
    #[arg(long, global = true, default_value = "text")]
    log_format: telemetry::Format,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Enrol this machine with a join token.
    Join(JoinArgs),
    /// Serve until SIGTERM.
    Run(RunArgs),
    /// Say how the running connector is. Exit code 0: connected; 3: not.
    Status(StatusArgs),
    /// Have the running connector take no new sessions, and wait until those under way have ended.
    /// Exit code 0: all ended by themselves; 3: some were cut. It stays so until it is restarted, or
    /// told to resume.
    Drain(DrainArgs),
    /// Update to the version that the relay hands on, when sessions have ended: checked by the
    /// publisher's key, and taken back where it does not reach the relay. Exit code 0: updated, or
    /// nothing to do; 1: not updated.
    Update(UpdateArgs),
    /// Say whether this program can read the state. What an update starts.
    #[command(hide = true)]
    SelfTest {
        #[arg(long)]
        state: PathBuf,
    },
    /// Reach the relay as one of this connector's processes, and leave. What an update starts.
    #[command(hide = true)]
    Trial {
        #[arg(long)]
        state: PathBuf,
        #[arg(long)]
        instance: String,
    },
    /// Write the manual pages and the shells' completions below FOLDER, as packages carry them.
    #[command(hide = true)]
    Manual { folder: PathBuf },
    /// Say what is wrong between this machine, the relay and the targets that the list names, and
    /// what helps. Exit code 0: nothing; 3: something.
    Doctor(StatusArgs),
}

#[derive(Debug, Args)]
struct JoinArgs {
    /// The relay: https://host or https://host:port.
    url: String,
    #[command(flatten)]
    token: TokenArgs,
    /// Where the key, the certificate and the configuration go.
    #[arg(long)]
    state: PathBuf,
    /// What may be dialled: CIDR:port, CIDR:*, host:port or host:*; host:8000-8100 for several
    /// ports. May be repeated.
    #[arg(long, value_name = "ENTRY")]
    allow: Vec<Entry>,
    /// How lists call this connector.
    #[arg(long)]
    name: Option<String>,
    /// The HTTP proxy that leads to the relay, http://host:port, or none. Kept in the configuration.
    #[arg(long, value_name = "URL")]
    proxy: Option<String>,
    /// A file that holds the proxy's user:password, or DOMAIN\user:password.
    #[arg(long, value_name = "FILE", requires = "proxy")]
    proxy_credentials: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct TokenArgs {
    /// A file that holds the join token.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The environment variable that holds the join token.
    #[arg(long, value_name = "VARIABLE")]
    token_env: Option<String>,
}

#[derive(Debug, Args)]
struct RunArgs {
    #[arg(long)]
    state: PathBuf,
    /// How long sessions may go on after SIGTERM, for example 30s.
    #[arg(long, default_value = "10s")]
    grace: api::Span,
}

#[derive(Debug, Args)]
struct DrainArgs {
    #[arg(long)]
    state: PathBuf,
    /// How long sessions may go on before they are cut, for example 30m.
    #[arg(long, default_value = "30m", value_name = "SPAN")]
    within: api::Span,
    /// Take sessions again instead.
    #[arg(long, conflicts_with = "within")]
    resume: bool,
    /// Print what the connector says as lines of JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct UpdateArgs {
    #[arg(long)]
    state: PathBuf,
    /// Only say what is there.
    #[arg(long)]
    check: bool,
    /// How long sessions may go on before they are cut, for example 30m.
    #[arg(long, default_value = "30m", value_name = "SPAN")]
    within: api::Span,
    /// Print what the connector says as lines of JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct StatusArgs {
    #[arg(long)]
    state: PathBuf,
    #[arg(long)]
    json: bool,
}

/// Runs the command; the exit code is 0, 1 for a failure, or 3 for a connector that is not
/// connected.
pub fn main(cli: Cli) -> ExitCode {
    let log = level(&cli).and_then(|level| Ok(telemetry::init(&level, cli.log_format)?));
    let outcome = log.and_then(|_| execute(cli.command));
    match outcome {
        Ok(code) => code,
        Err(error) => {
            say(&error);
            ExitCode::FAILURE
        }
    }
}

fn level(cli: &Cli) -> anyhow::Result<telemetry::Level> {
    match &cli.log {
        Some(level) => Ok(level.clone()),
        // Its findings are what it has to say.
        None if matches!(cli.command, Command::Doctor(_)) => Ok("error".parse()?),
        None => Ok("info".parse()?),
    }
}

fn execute(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Join(args) => runtime()?.block_on(handle_join(args)),
        Command::Run(args) => {
            let runtime = runtime()?;
            let ended = runtime.block_on(handle_run(args))?;
            // Its threads and sockets are gone before another program has the process.
            drop(runtime);
            match ended {
                Ran::Ended(code) => Ok(code),
                Ran::Replaced(program) => Err(start(&program)),
            }
        }
        Command::Status(args) => handle_status(&args),
        Command::Update(args) => runtime()?.block_on(handle_update(args)),
        Command::SelfTest { state } => {
            self_test(&state)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Trial { state, instance } => runtime()?.block_on(handle_trial(&state, &instance)),
        Command::Drain(args) => runtime()?.block_on(handle_drain(args)),
        Command::Manual { folder } => {
            manual::write(&Cli::command(), &folder).context("no manual was written")?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Doctor(args) => runtime()?.block_on(handle_doctor(args)),
    }
}

async fn handle_join(args: JoinArgs) -> anyhow::Result<ExitCode> {
    let token = args.token.read()?;
    let token: TokenText = token.expose_secret().trim().parse().context("the join token")?;
    let state = args.state.clone();
    let JoinArgs { url, state: directory, allow, name, .. } = args;
    let named = args.proxy.map(|proxy| ProxyChoice::named(&proxy, args.proxy_credentials));
    let proxy = named.unwrap_or_default();
    let how = Join { url, token, state: directory, allow, name, proxy };
    let joined = match join(&how).await {
        Ok(joined) => joined,
        Err(error) => return Ok(not_joined(error, &how).await),
    };
    tracing::info!(id = %joined.id, name = joined.name, site = %joined.site, "Joined");
    tracing::info!("Start it: adit-connector run --state {}", state.display());
    Ok(ExitCode::SUCCESS)
}

/// Says why, and where the relay did not even answer, what is on the way to it.
async fn not_joined(error: JoinError, how: &Join) -> ExitCode {
    let unanswered = error.is_unanswered();
    say(&error.into());
    if unanswered {
        for finding in before_joining(how).await {
            talk(&finding.line());
        }
    }
    ExitCode::FAILURE
}

/// How `run` ended.
enum Ran {
    Ended(ExitCode),
    Replaced(PathBuf),
}

async fn handle_run(args: RunArgs) -> anyhow::Result<Ran> {
    let stop = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut signals = async || {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let mut running = Box::pin(run(&args.state, args.grace.duration(), stop.clone()));
    tokio::select! {
        ended = &mut running => return Ok(ran(ended?)),
        () = signals() => stop.cancel(),
    }
    tracing::info!("Stopping; a second signal cuts what is still open");
    tokio::select! {
        // Whatever is in this program's place: it was told to stop.
        ended = &mut running => Ok(ended.map(|_| Ran::Ended(ExitCode::SUCCESS))?),
        () = signals() => Ok(Ran::Ended(ExitCode::FAILURE)),
    }
}

fn ran(ended: Ended) -> Ran {
    match ended {
        Ended::Stopped => Ran::Ended(ExitCode::SUCCESS),
        Ended::Replaced { program } => Ran::Replaced(program),
    }
}

/// Gives this process to the program that is in this one's place, with the same arguments: whoever
/// looks after the process notices nothing. Gives why that did not work.
fn start(program: &Path) -> anyhow::Error {
    use std::os::unix::process::CommandExt;
    let failed = std::process::Command::new(program).args(std::env::args_os().skip(1)).exec();
    anyhow::Error::from(failed).context(format!("can not start {}", program.display()))
}

fn self_test(state: &Path) -> anyhow::Result<()> {
    let config = Config::load(state)?;
    key::identity(state)?;
    for relay in &config.relays {
        ways(&config, relay)?;
    }
    Ok(())
}

async fn handle_trial(state: &Path, instance: &str) -> anyhow::Result<ExitCode> {
    trial(state, instance).await?;
    print(&trial_said(&crate::version()))?;
    Ok(ExitCode::SUCCESS)
}

/// Ctrl-C leaves the update going on.
async fn handle_update(args: UpdateArgs) -> anyhow::Result<ExitCode> {
    let question = match args.check {
        true => Ask::Look,
        false => Ask::Update { within: args.within.seconds() },
    };
    Ok(match ask_and_tell(&args.state, &question, args.json).await? {
        Said::Updated { .. } | Said::Available { .. } => ExitCode::SUCCESS,
        Said::Unchanged { why } if why != "failed" => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

fn handle_status(args: &StatusArgs) -> anyhow::Result<ExitCode> {
    let status = Status::read(&args.state)
        .with_context(|| format!("can not read the status in {}", args.state.display()))?;
    let current = status.as_ref().is_some_and(|status| status.is_current(SystemTime::now()));
    if args.json {
        let shown = serde_json::json!({ "running": current, "status": status });
        print(&format!("{shown:#}"))?;
    } else {
        print(&describe(status.as_ref(), current, &args.state))?;
    }
    let connected = |status: Status| matches!(status.state, State::Connected | State::Draining);
    let connected = current && status.is_some_and(connected);
    Ok(if connected { ExitCode::SUCCESS } else { ExitCode::from(NOT_CONNECTED) })
}

/// Ctrl-C leaves the connector draining.
async fn handle_drain(args: DrainArgs) -> anyhow::Result<ExitCode> {
    let question = match args.resume {
        true => Ask::Resume,
        false => Ask::Drain { within: args.within.seconds() },
    };
    Ok(match ask_and_tell(&args.state, &question, args.json).await? {
        Said::Drained { cut: 0 } => ExitCode::SUCCESS,
        Said::Serving if args.resume => ExitCode::SUCCESS,
        // Or somebody else had it resume meanwhile.
        Said::Drained { .. } | Said::Serving => ExitCode::from(NOT_CONNECTED),
        _ => ExitCode::FAILURE,
    })
}

/// What it says is printed as it comes. Whoever reads may leave: it is waited for all the same.
async fn ask_and_tell(state: &Path, question: &Ask, json: bool) -> anyhow::Result<Said> {
    let mut printed = Ok(());
    let said = ask(state, question, |said| {
        let line = match json {
            true => serde_json::to_string(said).unwrap_or_default(),
            false => told(said),
        };
        if printed.is_ok() {
            printed = print(&line);
        }
    })
    .await?;
    printed.map(|()| said)
}

fn told(said: &Said) -> String {
    match said {
        Said::Draining { sessions, seconds_left } => {
            let left = api::Span::from_seconds(*seconds_left);
            let left = left.map_or_else(|| "no time".to_owned(), |left| left.to_string());
            format!("{sessions} sessions go on, {left} at most")
        }
        Said::Drained { cut: 0 } => "drained: all sessions have ended".to_owned(),
        Said::Drained { cut } => format!("drained: {cut} sessions were cut"),
        Said::Serving => "it takes sessions".to_owned(),
        Said::Updating { step: Step::Fetching { version, bytes } } => {
            format!("fetching {version}, {bytes} bytes")
        }
        Said::Updating { step: Step::Draining { sessions, seconds_left } } => {
            told(&Said::Draining { sessions: *sessions, seconds_left: *seconds_left })
        }
        Said::Updating { step: Step::Trying } => "trying whether it reaches the relay".to_owned(),
        Said::Updated { version, cut: 0 } => format!("updated to {version}"),
        Said::Updated { version, cut } => format!("updated to {version}; {cut} sessions were cut"),
        Said::Available { version } => format!("{version} can be had"),
        Said::Unchanged { why } => match why.as_str() {
            "current" => "it is the newest version",
            "later" => "a newer version has not come to this connector's ring yet",
            _ => "the newest version was tried before, and did not reach the relay",
        }
        .to_owned(),
        Said::Refused { code, message, hint } => format!("{message} [{code}]\nhint: {hint}"),
    }
}

async fn handle_doctor(args: StatusArgs) -> anyhow::Result<ExitCode> {
    let findings = doctor(&args.state).await?;
    if args.json {
        print(&format!("{:#}", serde_json::to_value(&findings)?))?;
    } else {
        findings.iter().try_for_each(|finding| print(&finding.line()))?;
    }
    Ok(if is_well(&findings) { ExitCode::SUCCESS } else { ExitCode::from(NOT_CONNECTED) })
}

fn describe(status: Option<&Status>, current: bool, state: &Path) -> String {
    let Some(status) = status.filter(|_| current) else {
        return format!("not running; start it: adit-connector run --state {}", state.display());
    };
    let mut text = format!("{} to {} (pid {})\n", status.state.as_str(), status.relay, status.pid);
    text.push_str(&format!(
        "sessions {}, opened {}, refused {}",
        status.sessions, status.opened, status.refused
    ));
    if let Some(micros) = status.rtt_micros {
        text.push_str(&format!("\nround trip {:?}", Duration::from_micros(micros)));
    }
    if let Some(transport) = &status.transport {
        text.push_str(&format!("\ntransport {transport}"));
    }
    // Of what stands again it is no news.
    let apart = |state| matches!(state, State::Connecting | State::Stopped);
    let is_news = apart(status.state) || status.relays.iter().any(|relay| apart(relay.state));
    if let Some(error) = status.last_error.as_ref().filter(|_| is_news) {
        text.push_str(&format!("\nlast error: {error}"));
    }
    for relay in status.relays.iter().filter(|_| status.relays.len() > 1) {
        let told = if relay.told { ", told by another relay" } else { "" };
        text.push_str(&format!("\n{}: {}{told}", relay.relay, relay.state.as_str()));
    }
    text
}

impl TokenArgs {
    fn read(&self) -> anyhow::Result<SecretString> {
        if let Some(path) = &self.token_file {
            let text = std::fs::read_to_string(path);
            return Ok(text.with_context(|| format!("can not read {}", path.display()))?.into());
        }
        let variable = self.token_env.as_deref().unwrap_or_default();
        let text = std::env::var(variable);
        Ok(text.with_context(|| format!("the environment variable {variable:?}"))?.into())
    }
}

/// On one core a second thread only costs switches; past four, one connection gains nothing.
fn runtime() -> anyhow::Result<Runtime> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut builder = match cores {
        1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    Ok(builder.worker_threads(cores.clamp(1, 4)).enable_all().build()?)
}

type ErrorChain = dyn std::error::Error + 'static;

/// Whoever reads may have read enough.
fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("could not write to standard output")
        }
        _ => Ok(()),
    }
}

/// Where nobody listens there is nobody to tell that.
fn talk(text: &str) {
    drop(writeln!(io::stderr().lock(), "{text}"));
}

fn say(error: &anyhow::Error) {
    talk(&in_words(error));
}

/// `error: what [code]`, and what helps below it.
fn in_words(error: &anyhow::Error) -> String {
    let (code, hint) = error.chain().find_map(advice).unwrap_or_default();
    let code = code.map(|code| format!(" [{code}]")).unwrap_or_default();
    let hint = hint.map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
    format!("error: {error:#}{code}{hint}")
}

/// The code of one of an error's causes, and what helps.
fn advice(cause: &ErrorChain) -> Option<(Option<String>, Option<String>)> {
    if let Some(CallError::Refused(ApiError { problem, .. })) = cause.downcast_ref() {
        let code = Some(problem.code.clone()).filter(|code| !code.is_empty());
        return Some((code, problem.hint.clone()));
    }
    let of_run = || cause.downcast_ref::<RunError>().and_then(RunError::explain);
    let of_way = || cause.downcast_ref::<CallError>().and_then(CallError::explain);
    let explained = of_way().or_else(of_run)?;
    let hint = explained.hint().map(std::borrow::Cow::into_owned);
    Some((Some(explained.code().0.to_owned()), hint))
}

const NOT_CONNECTED: u8 = 3;

#[cfg(test)]
mod tests {
    use tunnel::https::Problem;

    use super::*;

    #[test]
    fn what_the_relay_refuses_is_told_with_its_code_and_its_hint() {
        let problem = Problem {
            code: "token.used_up".to_owned(),
            detail: Some("this token is used up".to_owned()),
            hint: Some("ask for another".to_owned()),
            ..Problem::default()
        };
        let refused = ApiError { status: 403, problem: Box::new(problem), retry_after: None };
        let words = of_join(refused.into());
        let expected = "error: the relay did not take the connector: this token is used up \
                        [token.used_up]\nhint: ask for another";
        assert_eq!(words, expected);
    }

    #[test]
    fn a_relay_that_was_not_reached_is_not_said_to_have_refused() {
        let (host, source) = ("relay.test".to_owned(), io::ErrorKind::ConnectionRefused);
        let silent = CallError::Connect { host: host.clone(), port: 443, source: source.into() };
        let words = of_join(silent);
        assert!(words.starts_with("error: the relay was not reached: relay.test:443"), "{words}");
        assert!(words.contains(" [relay.unreachable]\nhint: "), "{words}");
        let other = CallError::Handshake { host, source: io::Error::other("unknown issuer") };
        let words = of_join(other);
        assert!(words.contains(" [relay.untrusted]\nhint: "), "{words}");
        let words = of_join(CallError::Url { url: "http://relay.test".to_owned() });
        assert!(words.starts_with("error: no relay was asked: \"http://relay.test\""), "{words}");
    }

    #[test]
    fn what_ended_the_connection_before_is_not_told_of_one_that_stands() {
        let mut status = Status {
            pid: 1,
            software: crate::SOFTWARE.to_owned(),
            relay: "https://relay.test".to_owned(),
            state: State::Connected,
            since: 0,
            relay_software: None,
            rtt_micros: None,
            transport: None,
            sessions: 0,
            opened: 0,
            refused: 0,
            last_error: Some("the peer has restarted".to_owned()),
            certificate_expires: 0,
            written: 0,
            relays: Vec::new(),
        };
        let told = |status: &Status| describe(Some(status), true, Path::new("/state"));
        assert!(!told(&status).contains("restarted"), "{}", told(&status));
        status.state = State::Connecting;
        assert!(told(&status).contains("last error: the peer has restarted"));
    }

    #[test]
    fn the_doctor_logs_errors_alone_unless_it_is_asked_to() {
        let level = |args: &str| {
            let cli = Cli::try_parse_from(args.split(' ')).unwrap();
            level(&cli).unwrap()
        };
        let doctor = "adit-connector doctor --state x";
        assert_eq!(level(doctor), "error".parse().unwrap());
        assert_eq!(level(&format!("{doctor} --log debug")), "debug".parse().unwrap());
        assert_eq!(level("adit-connector status --state x"), "info".parse().unwrap());
    }

    fn of_join(source: CallError) -> String {
        in_words(&JoinError::Call { source }.into())
    }
}
