//! Every text a user of the door reads.

use access::text::visible;
use access::{Application, Deny, EndReason, Explain, Kind, Shortfall};

/// Said over the prompt of who has signed in with a key, where a token is asked for too.
pub(crate) const ONE_MORE: &str = "Your key is right; this application asks for a token too.";

/// Said over the prompt for a token.
pub(crate) const OR_BROWSER: &str = "Leave it empty to sign in with a browser.";

/// Asked for once a browser has been led to the page.
pub(crate) const NUMBER_PROMPT: &str = "Number from the page:";

/// How to go on in a browser, behind what was wrong before.
pub(crate) fn led(before: &str, url: &str, code: &str) -> String {
    let before = if before.is_empty() { String::new() } else { format!("{before}\n") };
    format!(
        "{before}Open this link, see that the page shows {code}, and approve:\n\n  {url}\n\n\
         Then type the number that it gives you."
    )
}

/// Said where the target has more than one way in.
pub(crate) const AGENT_HINT: &str = "Leave it empty to log in with your forwarded agent (ssh -A).";

pub(crate) const TOO_SLOW: &str = "adit: nothing was done in the time there is for it";

pub(crate) const TOO_MANY_FAILURES: &str = "adit: too many failed sign-ins";

/// Unknown and forbidden applications are told alike.
pub(crate) const DENIED: &str = "adit: you have no access to that application (access.denied); \
     a token opens only what it was issued for; signed in, `adit ls` shows what you can reach";

pub(crate) const ONE_APPLICATION: &str =
    "adit: this connection has an application already; connect once more for another";

pub(crate) const NOTHING_REACHABLE: &str =
    "adit: there is no SSH application that you can reach; ask your administrator";

pub(crate) const CONNECTION_LOST: &str = "adit: the connection to the application broke";

pub(crate) const PROGRAM_REFUSED: &str = "adit: the application refused to start it";

pub(crate) const DRAINING: &str = "adit: the relay is stopping; connect again";

pub(crate) const INTERNAL: &str = "adit: the relay failed (relay.internal); try again";

/// An explained failure in one line, with what to do next.
pub(crate) fn explain(failure: &dyn Explain) -> String {
    let hint = failure.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
    format!("adit: {} ({}){hint}", failure.public(), failure.code())
}

/// Why a session is over, with what the admin who ended it said, and what to do next.
pub(crate) fn over(reason: EndReason, said: Option<&str>) -> String {
    let hint = reason.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
    let said = said.map(|said| format!(": {}", visible(said))).unwrap_or_default();
    format!("adit: {}{said} ({}){hint}", reason.public(), reason.code())
}

/// Why access was denied. All that another login, place or time would change is told alike.
pub(crate) fn denied(deny: &Deny) -> String {
    match deny {
        Deny::SignedOut
        | Deny::Short(_, Shortfall::Session | Shortfall::Recording | Shortfall::Authentication) => {
            explain(deny)
        }
        Deny::User
        | Deny::Revoked
        | Deny::Expired
        | Deny::OtherApplication
        | Deny::Kind
        | Deny::ApiNotAllowed
        | Deny::Gone
        | Deny::NoRule
        | Deny::Short(..) => DENIED.to_owned(),
    }
}

/// The target's password, asked as OpenSSH asks for it.
pub(crate) fn password_prompt(login: &str, application: &Application) -> String {
    format!("{login}@{}'s password: ", application.name)
}

pub(crate) fn not_ssh(application: &Application) -> String {
    let (name, kind) = (&application.name, application.kind);
    let way = match kind {
        Kind::Postgres | Kind::Mysql | Kind::Redis => format!("`adit db {name}` or its own client"),
        Kind::Web => "a browser or curl".to_owned(),
        Kind::Rdp => format!("a browser or `adit rdp {name}`"),
        Kind::Ssh | Kind::Tcp => format!("`adit tunnel {name}`"),
    };
    format!(
        "adit: {name} is a {kind} application; reach it with {way}, or with ssh -W/-L signed in to the \
         relay and not to it"
    )
}

/// The account at an application that was picked from the list, asked as login(1) asks for it.
pub(crate) fn login_prompt(application: &Application) -> String {
    format!("{}.{} login: ", application.name, application.site.name)
}

/// How to name an application, for who has no terminal to pick one at. `asked`: what they wrote, where
/// several sites have it. `names` are those to choose from.
pub(crate) fn unnamed(asked: Option<&str>, names: &[String], domain: &str) -> String {
    let Some(first) = names.first() else { return NOTHING_REACHABLE.to_owned() };
    let why = match asked {
        Some(asked) => format!("several sites have an application {asked}"),
        None => "no application is named".to_owned(),
    };
    let listed = names.iter().take(MAX_LISTED).cloned().collect::<Vec<_>>().join(", ");
    let more = match names.len().saturating_sub(MAX_LISTED) {
        0 => String::new(),
        more => format!(" and {more} more (`adit ls`)"),
    };
    format!(
        "adit: {why}; connect as login+app.site, for example ssh ubuntu+{first}@{domain}\r\n\
         adit: you can reach {listed}{more}"
    )
}

/// How many applications are listed where nobody can scroll.
const MAX_LISTED: usize = 20;

pub(crate) fn no_login(application: &Application) -> String {
    format!("adit: name the account at the application, for example ubuntu+{}", application.name)
}
