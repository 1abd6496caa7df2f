//! `adit sign-in` and `adit sign-ins`: browsers that are signed in.

use api::{Removed, SignInCode, SignInRow};
use clap::{Args, Subcommand};

use super::browser;
use crate::context::{Context, segment};
use crate::exit::Failure;
use crate::times;

#[derive(Debug, Args)]
pub struct SignInArgs {
    /// Open it in the browser of this machine; print it where there is none
    #[arg(long)]
    open: bool,
}

#[derive(Debug, Args)]
pub struct SignInsArgs {
    #[command(subcommand)]
    command: Option<SignInsCommand>,
}

#[derive(Debug, Subcommand)]
enum SignInsCommand {
    /// Sign a browser out; what is open in it ends
    End {
        /// Its id, as `adit sign-ins` shows it
        id: String,
    },
}

/// `adit sign-in`
pub async fn sign_in(args: SignInArgs, context: &Context) -> Result<(), Failure> {
    let code: SignInCode = context.call(hyper::Method::POST, CODES, None::<&()>).await?;
    if context.ui.wants_json() {
        return context.ui.json(&code);
    }
    let link = link(&code.url, code.code.expose());
    if args.open && opened(&link, context).await? {
        context.ui.say("Your browser signs you in.");
        return Ok(());
    }
    context.ui.data(link)?;
    context.ui.say("Open it in your browser within a minute. It signs in once.");
    Ok(())
}

/// Whether a browser has taken the link. One that can not be had is no failure: the link can be
/// printed.
pub(super) async fn opened(link: &str, context: &Context) -> Result<bool, Failure> {
    let state = context.settings.state()?;
    state.prepare()?;
    match browser::open(link, &state.sign_in_page()).await {
        Ok(taken) => Ok(taken),
        Err(error) => {
            context.ui.say(format_args!("Could not open your browser: {error}"));
            Ok(false)
        }
    }
}

/// Behind `#`, which browsers send to nobody: the code is in no log and no `Referer`.
pub(super) fn link(url: &str, code: &str) -> String {
    format!("{url}#{code}")
}

/// `adit sign-ins`
pub async fn run(args: SignInsArgs, context: &Context) -> Result<(), Failure> {
    match args.command {
        None => {
            let rows: Vec<SignInRow> = context.list("/api/v1/me/sign-ins").await?;
            list(&rows, "No browser is signed in as you.", context)
        }
        Some(SignInsCommand::End { id }) => {
            let path = format!("/api/v1/me/sign-ins/{}", segment(&id));
            let _: Removed = context.delete(&path).await?;
            context.ui.say(format_args!("Signed {id} out."));
            Ok(())
        }
    }
}

/// Sign-ins as a table.
pub(super) fn list(rows: &[SignInRow], none: &str, context: &Context) -> Result<(), Failure> {
    let heads = ["id", "user", "since", "last seen", "from", "until", "ended", "browser"];
    context.ui.list(rows, none, heads, |row| {
        let why = row.why.as_deref().unwrap_or_default();
        [
            row.id.to_string(),
            row.user.to_string(),
            times::utc(row.created),
            times::utc(row.seen.at),
            row.seen.from.map(|from| from.to_string()).unwrap_or_default(),
            times::utc(row.expires),
            row.ended.map(|at| format!("{} {why}", times::utc(at))).unwrap_or_default(),
            row.browser.clone(),
        ]
    })
}

const CODES: &str = "/api/v1/me/sign-in-codes";
