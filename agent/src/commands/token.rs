//! `adit token new|ls|revoke`: a user's own tokens.

use access::TokenKind;
use api::{Issued, MyToken, Span, TokenRow};
use clap::{Args, Subcommand};

use super::issued;
use crate::context::{Context, segment};
use crate::exit::Failure;
use crate::times;

#[derive(Debug, Args)]
pub struct TokenArgs {
    #[command(subcommand)]
    pub command: TokenCommand,
}

#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Issue a token that opens an application; it is printed once, on stdout
    New(NewArgs),
    /// Replace your API token for an application by a new one, printed once, on stdout
    Regenerate(RegenerateArgs),
    /// List your tokens
    Ls,
    /// Revoke a token; sessions that stand on it end at once
    Revoke(RevokeArgs),
}

#[derive(Debug, Args)]
pub struct NewArgs {
    /// The application: APP, or APP.SITE where several sites have one of that name
    #[arg(value_name = "APP")]
    application: String,
    /// access: for a person, a number of times; api: for a program, until revoked
    #[arg(long, value_name = "KIND", value_parser = kind)]
    kind: Option<TokenKind>,
    /// How long it is good, for example 30m, 12h, 7d
    #[arg(long, value_name = "TIME")]
    expires: Option<Span>,
    /// How often it may be used
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    uses: Option<u32>,
    /// Your account at an SSH application where users log in themselves, for the command that is
    /// printed
    #[arg(long, value_name = "NAME")]
    login: Option<String>,
}

#[derive(Debug, Args)]
pub struct RegenerateArgs {
    /// The application: APP, or APP.SITE where several sites have one of that name
    #[arg(value_name = "APP")]
    application: String,
    /// How long the token before stays good beside the new one, for example 1h [default: it ends
    /// at once]
    #[arg(long, value_name = "TIME")]
    overlap: Option<Span>,
    /// How long the new one is good [default: until revoked]
    #[arg(long, value_name = "TIME")]
    expires: Option<Span>,
}

#[derive(Debug, Args)]
pub struct RevokeArgs {
    /// The token's id, as `adit token ls` shows it
    id: String,
}

pub async fn run(command: TokenCommand, context: &Context) -> Result<(), Failure> {
    match command {
        TokenCommand::New(args) => new(args, context).await,
        TokenCommand::Regenerate(args) => regenerate(args, context).await,
        TokenCommand::Ls => list(context).await,
        TokenCommand::Revoke(args) => revoke(&args, context).await,
    }
}

async fn new(args: NewArgs, context: &Context) -> Result<(), Failure> {
    let NewArgs { application, kind, expires, uses, login } = args;
    let wanted = MyToken { application, kind, expires, uses, overlap: None };
    let issued: Issued = context.post("/api/v1/me/tokens", &wanted).await?;
    issued::show(&as_login(issued, login), &context.ui)
}

/// The account at the target filled in, where it is the user's own to choose.
fn as_login(mut issued: Issued, login: Option<String>) -> Issued {
    if let (Some(ssh), Some(login)) = (&mut issued.ssh, login) {
        ssh.user.get_or_insert(login);
        issued.command = Some(ssh.command());
    }
    issued
}

async fn regenerate(args: RegenerateArgs, context: &Context) -> Result<(), Failure> {
    let RegenerateArgs { application, overlap, expires } = args;
    let kind = Some(TokenKind::Api);
    let wanted = MyToken { application, kind, expires, uses: None, overlap };
    let issued: Issued = context.post("/api/v1/me/tokens", &wanted).await?;
    issued::show(&issued, &context.ui)
}

async fn list(context: &Context) -> Result<(), Failure> {
    let tokens: Vec<TokenRow> = context.list("/api/v1/me/tokens").await?;
    context.ui.list(
        &tokens,
        "You have no tokens.",
        ["id", "kind", "application", "state", "uses left", "expires", "used", "from", "note"],
        |token| {
            [
                token.id.to_string(),
                token.kind.to_string(),
                token.application.clone().unwrap_or_default(),
                token.state.as_str().to_owned(),
                token.uses_left.map_or_else(|| "any".to_owned(), |uses| uses.to_string()),
                token.expires.map_or_else(|| "never".to_owned(), times::utc),
                token.used.map(times::utc).unwrap_or_default(),
                token.used_from.map(|from| from.to_string()).unwrap_or_default(),
                token.warning.clone().unwrap_or_default(),
            ]
        },
    )
}

async fn revoke(args: &RevokeArgs, context: &Context) -> Result<(), Failure> {
    let path = format!("/api/v1/me/tokens/{}", segment(&args.id));
    let _: serde_json::Value = context.delete(&path).await?;
    context.ui.say(format_args!("Revoked {}.", args.id));
    Ok(())
}

fn kind(text: &str) -> Result<TokenKind, String> {
    match text.parse()? {
        kind @ (TokenKind::Access | TokenKind::Api) => Ok(kind),
        TokenKind::SignIn => Err("`adit sign-in` issues those".to_owned()),
        TokenKind::Login | TokenKind::Join | TokenKind::Admin => {
            Err("you can issue yourself `access` and `api` tokens".to_owned())
        }
    }
}
