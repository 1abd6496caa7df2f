//! `adit admin …`: everything goes over the relay's HTTPS API.
//!
//! Each command makes one call where it can: a login token in `ADIT_TOKEN` is good for one.

mod agents;
mod app;
mod apply;
mod audit;
mod connector;
mod database_options;
mod edit;
mod export;
mod grant;
mod group;
mod logs;
mod provisioner;
mod rdp_options;
mod recording;
mod requests;
pub(super) mod secrets;
pub(super) mod session;
mod settings;
mod sign_in;
mod site;
mod ssh_ca;
mod ssh_terms;
mod statements;
mod terms;
#[cfg(test)]
mod tests;
mod tls;
mod token;
mod user;
mod web;
mod web_options;
mod why;

use api::{Applied, Change, Removed, Withdrawn};
use clap::{Args, Subcommand};
use serde::Serialize;

use crate::context::Context;
use crate::exit::Failure;

#[derive(Debug, Args)]
pub struct AdminArgs {
    #[command(subcommand)]
    pub command: AdminCommand,
}

#[derive(Debug, Subcommand)]
pub enum AdminCommand {
    /// Sites: the private networks that connectors serve
    #[command(subcommand)]
    Site(site::SiteCommand),
    /// Connectors: the daemons inside the sites
    #[command(subcommand)]
    Connector(connector::ConnectorCommand),
    /// Applications: the targets in the sites
    #[command(subcommand)]
    App(app::AppCommand),
    /// Users
    #[command(subcommand)]
    User(user::UserCommand),
    /// Groups of users
    #[command(subcommand)]
    Group(group::GroupCommand),
    /// Directories that keep users and groups here (SCIM)
    #[command(subcommand, visible_alias = "provisioners")]
    Provisioner(provisioner::ProvisionerCommand),
    /// Grants: who may reach what, and on which terms
    #[command(subcommand)]
    Grant(grant::GrantCommand),
    /// Agents: the machines that users have signed in
    #[command(subcommand, visible_alias = "agent")]
    Agents(agents::AgentsCommand),
    /// Requests for access: those you may decide on
    #[command(subcommand, visible_alias = "request")]
    Requests(requests::RequestsCommand),
    /// Tokens of all users
    #[command(subcommand, visible_alias = "tokens")]
    Token(token::TokenCommand),
    /// Sessions: open ones, and the records of all
    #[command(subcommand)]
    Session(session::SessionCommand),
    /// What terminals of recorded sessions showed; `session ls --ended --recorded` lists those
    #[command(subcommand, visible_alias = "recordings")]
    Recording(recording::RecordingCommand),
    /// Browsers that are signed in
    #[command(subcommand, visible_alias = "sign-ins")]
    SignIn(sign_in::SignInCommand),
    /// Settings: what holds for the whole relay
    Settings(settings::SettingsArgs),
    /// Print the key that SSH targets have to trust for applications with certificates
    SshCa,
    /// The audit log
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// The web door: its requests
    #[command(subcommand)]
    Web(web::WebCommand),
    /// The statements at the doors of databases
    #[command(subcommand)]
    Query(statements::QueryCommand),
    /// The certificates of web applications' names
    #[command(subcommand)]
    Tls(tls::TlsCommand),
    /// Say whether a user may reach an application, and by which grant or for want of what
    Why(why::WhyArgs),
    /// Make the relay as a file describes it; what it does not name stays
    Apply(apply::ApplyArgs),
    /// Print the relay's configuration as such a file, without secrets
    Export,
}

pub async fn run(args: AdminArgs, context: &Context) -> Result<(), Failure> {
    match args.command {
        AdminCommand::Site(command) => site::run(command, context).await,
        AdminCommand::Connector(command) => connector::run(command, context).await,
        AdminCommand::App(command) => app::run(command, context).await,
        AdminCommand::User(command) => user::run(command, context).await,
        AdminCommand::Group(command) => group::run(command, context).await,
        AdminCommand::Provisioner(command) => provisioner::run(command, context).await,
        AdminCommand::Grant(command) => grant::run(command, context).await,
        AdminCommand::Agents(command) => agents::run(command, context).await,
        AdminCommand::Requests(command) => requests::run(command, context).await,
        AdminCommand::Token(command) => token::run(command, context).await,
        AdminCommand::Session(command) => session::run(command, context).await,
        AdminCommand::Recording(command) => recording::run(command, context).await,
        AdminCommand::SignIn(command) => sign_in::run(command, context).await,
        AdminCommand::Settings(args) => settings::run(args, context).await,
        AdminCommand::SshCa => ssh_ca::run(context).await,
        AdminCommand::Audit(command) => audit::run(command, context).await,
        AdminCommand::Web(command) => web::run(command, context).await,
        AdminCommand::Query(command) => statements::run(command, context).await,
        AdminCommand::Tls(command) => tls::run(command, context).await,
        AdminCommand::Why(args) => why::run(args, context).await,
        AdminCommand::Apply(args) => apply::run(args, context).await,
        AdminCommand::Export => export::run(context).await,
    }
}

/// Adds one object and says so.
async fn add(context: &Context, path: &str, spec: &impl Serialize) -> Result<(), Failure> {
    let applied: Applied = context.post(path, spec).await?;
    changed(context, &applied)
}

fn changed(context: &Context, applied: &Applied) -> Result<(), Failure> {
    if context.ui.wants_json() {
        return context.ui.json(applied);
    }
    for change in &applied.changes {
        context.ui.say(line(change));
    }
    say_withdrawn(context, applied.withdrawn);
    Ok(())
}

/// Takes something away and says what ended with it. `done` says it in words: `Removed user bob`.
async fn take_away(context: &Context, path: &str, done: &str) -> Result<(), Failure> {
    let removed: Removed = context.delete(path).await?;
    taken_away(context, &removed, done)
}

fn taken_away(context: &Context, removed: &Removed, done: &str) -> Result<(), Failure> {
    if context.ui.wants_json() {
        return context.ui.json(removed);
    }
    context.ui.say(format_args!("{done}."));
    for change in removed.changes.iter().skip(1) {
        context.ui.say(line(change));
    }
    say_withdrawn(context, removed.withdrawn);
    Ok(())
}

fn say_withdrawn(context: &Context, withdrawn: Withdrawn) {
    match withdrawn {
        Withdrawn { ended: 0, .. } => {}
        Withdrawn { ended: 1, millis } => {
            context.ui.say(format_args!("1 session ended, within {millis} ms."));
        }
        Withdrawn { ended, millis } => {
            context.ui.say(format_args!("{ended} sessions ended, within {millis} ms."));
        }
    }
}

/// A change as one line: `+ site hq`, `~ user alice  admin: true`, `- grant …`.
fn line(change: &Change) -> String {
    let sign = match change.action.as_str() {
        "add" => '+',
        "remove" => '-',
        _ => '~',
    };
    let Change { object, detail, .. } = change;
    text(format!("{sign} {object}  {detail}").trim_end())
}

/// Words from the other side of the network reach the terminal as text only.
fn text(words: &str) -> String {
    access::text::visible(words).into_owned()
}
