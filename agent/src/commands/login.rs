//! `adit login URL`

use std::io::Read;
use std::path::{Path, PathBuf};

use access::{TokenKind, TokenText};
use clap::Args;
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::context::Context;
use crate::exit::Failure;
use crate::settings::{RelayUrl, parse_token};
use crate::{prompt, relay, times};

#[derive(Debug, Args)]
pub struct LoginArgs {
    /// The relay, for example https://relay.example.com
    url: Option<String>,
    /// Read the token from a file; `-` is stdin [default: ADIT_TOKEN, else ask]
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Print a link, and sign in once somebody has approved it in a browser; without a token
    #[arg(long, conflicts_with = "token_file")]
    browser: bool,
}

pub async fn run(args: LoginArgs, context: &Context) -> Result<(), Failure> {
    let relay: RelayUrl = match &args.url {
        Some(url) => url.parse()?,
        None => context.settings.relay().map_err(|_| {
            Failure::usage("which relay?").hint("run `adit login https://relay.example.com`")
        })?,
    };
    let token = match args.browser {
        true => by_browser(&relay, context).await?,
        false => token(args.token_file.as_deref(), context)?,
    };
    enrol(&relay, &token, context).await?;
    context.ui.say("`adit ls` lists what you can reach.");
    Ok(())
}

/// Signs this machine in, and says as whom.
async fn enrol(relay: &RelayUrl, token: &TokenText, context: &Context) -> Result<(), Failure> {
    let login = relay::login(relay, token, &context.settings).await?;
    super::ssh_config::refresh(&context.settings)?;
    let until = match login.expires {
        Some(expires) => format!(" until {}", times::utc(expires)),
        None => String::new(),
    };
    context.ui.say(format_args!("Signed in to {relay} as {}{until}.", login.user));
    Ok(())
}

/// Signs this machine in by the browser of whoever sits here, which is opened; where there is none, the
/// link is said.
pub(super) async fn by_own_browser(context: &Context) -> Result<(), Failure> {
    let relay = context.settings.relay()?;
    let device = relay::Device::ask(&relay, &context.settings).await?;
    if !super::sign_in::opened(device.url(), context).await? {
        context.ui.say("To sign in, open this link and approve if it shows the same code:");
        context.ui.say(device.url());
    }
    context.ui.say(format_args!("Code: {}. Waiting …", device.user_code()));
    enrol(&relay, &signing_in(device.approved().await?)?, context).await
}

/// The token that the relay gives once a browser has approved.
async fn by_browser(relay: &RelayUrl, context: &Context) -> Result<TokenText, Failure> {
    let device = relay::Device::ask(relay, &context.settings).await?;
    context
        .ui
        .say("Open this link where you are signed in, and approve if it shows the same code:");
    context.ui.data(device.url())?;
    context.ui.say(format_args!("Code: {}. Waiting …", device.user_code()));
    signing_in(device.approved().await?)
}

/// The token of a file, else of the environment, else of whoever sits at the terminal. Never of the
/// command line, which every user of the machine can read.
fn token(file: Option<&Path>, context: &Context) -> Result<TokenText, Failure> {
    if let Some(file) = file {
        let text = read(file).map_err(|error| {
            Failure::usage(format!("the token cannot be read from {}: {error}", file.display()))
        })?;
        return signing_in(parse_token(text.expose_secret())?);
    }
    if let Some(token) = context.settings.token()? {
        return signing_in(token);
    }
    match prompt::secret("Login token: ")? {
        Some(text) => signing_in(parse_token(text.expose_secret())?),
        None => Err(Failure::usage("there is no terminal to ask for the token on")
            .hint("give --token-file FILE, set ADIT_TOKEN, or use --browser")),
    }
}

fn read(file: &Path) -> std::io::Result<SecretString> {
    let mut text = Zeroizing::new(String::with_capacity(LONGEST));
    let source: Box<dyn Read> = match file {
        stdin if stdin == Path::new("-") => Box::new(std::io::stdin()),
        file => Box::new(std::fs::File::open(file)?),
    };
    source.take(LONGEST as u64).read_to_string(&mut text)?;
    Ok(text.as_str().to_owned().into())
}

/// The kinds that sign a machine in; another one is refused before it is sent anywhere.
fn signing_in(token: TokenText) -> Result<TokenText, Failure> {
    match token.kind() {
        TokenKind::Login | TokenKind::Admin => Ok(token),
        TokenKind::Api | TokenKind::Access => {
            Err(Failure::coded("token.wrong_kind", "this token opens one application")
                .hint("use it as ADIT_TOKEN: `ADIT_TOKEN=TOKEN adit tunnel APP`"))
        }
        TokenKind::Join => Err(joining()),
        TokenKind::SignIn => Err(browsing()),
    }
}

/// The kinds that enrol an agent for one command.
pub fn enrolling(token: TokenText) -> Result<TokenText, Failure> {
    match token.kind() {
        TokenKind::Login | TokenKind::Admin | TokenKind::Api | TokenKind::Access => Ok(token),
        TokenKind::Join => Err(joining()),
        TokenKind::SignIn => Err(browsing()),
    }
}

fn browsing() -> Failure {
    Failure::coded("token.wrong_kind", "this code signs a browser in, and no agent")
        .hint("ask your administrator for a login token")
}

fn joining() -> Failure {
    Failure::coded("token.wrong_kind", "this token enrols a connector, it does not sign you in")
        .hint("ask your administrator for a login token")
}

/// A longer text is no token.
const LONGEST: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    #[test]
    fn only_tokens_that_sign_in_are_sent() {
        for kind in TokenKind::ALL {
            let token = TokenText::new(kind, [1; 7], [2; 20], None);
            let kept = signing_in(token.clone()).map(drop).map_err(|failure| failure.exit());
            let once = enrolling(token).map(drop).map_err(|failure| failure.exit());
            let expected = match kind {
                TokenKind::Login | TokenKind::Admin => (Ok(()), Ok(())),
                TokenKind::Api | TokenKind::Access => (Err(Exit::Denied), Ok(())),
                TokenKind::Join | TokenKind::SignIn => (Err(Exit::Denied), Err(Exit::Denied)),
            };
            assert_eq!((kept, once), expected, "{kind}");
        }
    }

    #[test]
    fn a_token_file_may_end_in_a_line_break() {
        let dir = tempfile::tempdir().unwrap();
        let token = TokenText::new(TokenKind::Login, [1; 7], [2; 20], None);
        let file = dir.path().join("token");
        std::fs::write(&file, format!("{}\n", token.expose())).unwrap();
        let text = read(&file).unwrap();
        assert_eq!(parse_token(text.expose_secret()).unwrap().id(), token.id());
    }
}
