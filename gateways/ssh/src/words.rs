//! Every text a user of the door reads.

use std::sync::Arc;

use access::text::visible;
use access::{Application, Deny, EndReason, Explain, Shortfall};

/// The keyboard-interactive prompt for the token. Clients' scripts look for exactly this.
pub(crate) const TOKEN_PROMPT: &str = "Access token:";

/// Said where the target has more than one way in.
pub(crate) const AGENT_HINT: &str = "Leave it empty to log in with your forwarded agent (ssh -A).";

pub(crate) const TOO_SLOW: &str = "adit: nothing was done in the time there is for it";

pub(crate) const TOO_MANY_FAILURES: &str = "adit: too many failed sign-ins";

/// Unknown and forbidden applications are told alike.
pub(crate) const DENIED: &str = "adit: you have no access to that application (access.denied); \
     a token opens only what it was issued for; signed in, `adit ls` shows what you can reach";

pub(crate) const NO_APPLICATION: &str = "adit: no application is named: connect as login+app, for \
     example ubuntu+web1 (`adit ls` shows what you can reach)";

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
    format!("adit: {}{said}{hint}", reason.public())
}

/// Why access was denied. All that another login, place or time would change is told alike.
pub(crate) fn denied(deny: &Deny) -> String {
    match deny {
        Deny::SignedOut | Deny::Short(_, Shortfall::Session | Shortfall::Recording) => {
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
    format!(
        "adit: {name} is a {kind} application; reach it with `adit tunnel {name}` or ssh -W/-L",
        name = application.name,
        kind = application.kind,
    )
}

/// The numbered list of applications, for a terminal in raw mode.
pub(crate) fn menu(applications: &[Arc<Application>]) -> String {
    let mut text = "\r\nApplications you can reach:\r\n\r\n".to_owned();
    for (index, application) in applications.iter().enumerate() {
        let (number, name, site) = (index + 1, &application.name, &application.site.name);
        text.push_str(&format!("  {number:>3}  {name}.{site}\r\n"));
    }
    text.push_str("\r\nNumber or name: ");
    text
}

pub(crate) fn ambiguous(name: &str) -> String {
    format!("adit: several sites have an application {name}: name it as {name}.SITE (`adit ls`)")
}

pub(crate) fn no_login(application: &Application) -> String {
    format!("adit: name the account at the application, for example ubuntu+{}", application.name)
}

pub(crate) const FORWARD_REFUSED: &str =
    "adit: forwarding is not allowed here, or no application of that name is open to you";
