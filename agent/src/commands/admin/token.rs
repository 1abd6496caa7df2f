//! `adit admin token issue|ls|revoke`

use access::{Name, TokenKind};
use api::{IssueToken, Issued, Removed, Scope, Scopes, Span, TokenRow, TokenState};
use clap::{ArgGroup, Args, Subcommand};

use super::taken_away;
use crate::commands::issued;
use crate::context::{Context, query, segment};
use crate::exit::Failure;
use crate::times;

#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Issue a token for a user; it is printed once, on stdout
    Issue(IssueArgs),
    /// List tokens
    Ls(ListArgs),
    /// Revoke one token, or all of a user, of an application, or of both; sessions on them end
    Revoke(RevokeArgs),
}

#[derive(Debug, Args)]
pub struct IssueArgs {
    /// Whose it is
    #[arg(long)]
    user: Name,
    /// What it opens: APP, or APP.SITE
    #[arg(long, value_name = "APP")]
    application: Option<String>,
    /// api, access, login or admin [default: access with an application, login without]
    #[arg(long, value_name = "KIND", value_parser = kind)]
    kind: Option<TokenKind>,
    /// How long it is good, for example 30m, 12h, 7d [default: as its kind says]
    #[arg(long, value_name = "TIME")]
    expires: Option<Span>,
    /// How often it may be used; 0 for access tokens: until it expires [default: as its kind says]
    #[arg(long, value_name = "N")]
    uses: Option<u32>,
    /// For api tokens: how long the one before stays good [default: it ends at once]
    #[arg(long, value_name = "TIME")]
    overlap: Option<Span>,
    /// For admin tokens: what it may be used for: read, audit, configuration, tokens, sessions or
    /// requests; may be repeated [default: all its user may do]
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<Scope>,
}

#[derive(Debug, Args)]
pub struct ListArgs {
    #[command(flatten)]
    whose: WhoseArgs,
    /// Only of this kind
    #[arg(long, value_name = "KIND")]
    kind: Option<TokenKind>,
    /// live, expired, revoked or used-up
    #[arg(long, value_name = "STATE")]
    state: Option<TokenState>,
    /// Only live ones that expire within this time, for example 7d
    #[arg(long, value_name = "TIME")]
    expiring: Option<Span>,
}

#[derive(Debug, Args)]
pub(super) struct WhoseArgs {
    #[arg(long)]
    user: Option<Name>,
    /// APP, or APP.SITE
    #[arg(long, value_name = "APP")]
    application: Option<String>,
}

#[derive(Debug, Args)]
#[command(group(
    ArgGroup::new("what").required(true).multiple(true).args(["id", "user", "application"])
))]
pub struct RevokeArgs {
    /// The token's id, as `ls` shows it
    #[arg(conflicts_with_all = ["user", "application"])]
    id: Option<String>,
    #[arg(long)]
    user: Option<Name>,
    /// APP, or APP.SITE
    #[arg(long, value_name = "APP")]
    application: Option<String>,
}

pub(super) async fn run(command: TokenCommand, context: &Context) -> Result<(), Failure> {
    match command {
        TokenCommand::Issue(args) => issue(args, context).await,
        TokenCommand::Ls(args) => list(args, context).await,
        TokenCommand::Revoke(args) => revoke(args, context).await,
    }
}

async fn issue(args: IssueArgs, context: &Context) -> Result<(), Failure> {
    let IssueArgs { user, application, kind, expires, uses, overlap, scopes } = args;
    // None given is all, which an empty list is not.
    let scopes = Scopes::try_from(scopes).ok();
    let wanted = IssueToken { user, application, kind, expires, uses, overlap, scopes };
    let issued: Issued = context.post("/api/v1/tokens", &wanted).await?;
    issued::show(&issued, &context.ui)
}

async fn list(args: ListArgs, context: &Context) -> Result<(), Failure> {
    let ListArgs { whose: WhoseArgs { user, application }, kind, state, expiring } = args;
    let asked = [
        ("user", user.map(String::from)),
        ("application", application),
        ("kind", kind.map(|kind| kind.to_string())),
        ("state", state.map(|state| state.as_str().to_owned())),
        ("expiring", expiring.map(String::from)),
    ];
    let tokens: Vec<TokenRow> = context.list(&query("/api/v1/tokens", &asked)).await?;
    let heads = [
        "id",
        "kind",
        "user",
        "application",
        "site",
        "state",
        "uses left",
        "expires",
        "used",
        "from",
        "note",
    ];
    context.ui.list(&tokens, "There are no tokens.", heads, |token| {
        [
            token.id.to_string(),
            match token.scopes {
                Some(scopes) => format!("{} ({scopes})", token.kind),
                None => token.kind.to_string(),
            },
            token.user.as_ref().map(ToString::to_string).unwrap_or_default(),
            token.application.clone().unwrap_or_default(),
            token.site.as_ref().map(ToString::to_string).unwrap_or_default(),
            token.state.as_str().to_owned(),
            token.uses_left.map_or_else(|| "any".to_owned(), |uses| uses.to_string()),
            token.expires.map_or_else(|| "never".to_owned(), times::utc),
            token.used.map(times::utc).unwrap_or_default(),
            token.used_from.map(|from| from.to_string()).unwrap_or_default(),
            token.warning.clone().unwrap_or_default(),
        ]
    })
}

async fn revoke(args: RevokeArgs, context: &Context) -> Result<(), Failure> {
    let path = match &args.id {
        Some(id) => format!("/api/v1/tokens/{}", segment(id)),
        None => path(args.user, args.application),
    };
    let removed: Removed = context.delete(&path).await?;
    let done = match (args.id, removed.count) {
        (Some(id), _) => format!("Revoked token {id}"),
        (None, 1) => "Revoked 1 token".to_owned(),
        (None, count) => format!("Revoked {count} tokens"),
    };
    taken_away(context, &removed, &done)
}

fn path(user: Option<Name>, application: Option<String>) -> String {
    let user = user.map(String::from);
    query("/api/v1/tokens", &[("user", user), ("application", application)])
}

fn kind(text: &str) -> Result<TokenKind, String> {
    match text.parse()? {
        TokenKind::Join => Err("`adit admin site join-token SITE` issues those".to_owned()),
        TokenKind::SignIn => Err("`adit admin user sign-in-link USER` issues those".to_owned()),
        kind @ (TokenKind::Api | TokenKind::Access | TokenKind::Login | TokenKind::Admin) => {
            Ok(kind)
        }
    }
}
