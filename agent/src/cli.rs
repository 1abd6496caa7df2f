//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::commands::{
    admin, completions, db, key, login, proxy, rdp, request, session, sign_in, ssh, ssh_cert,
    ssh_config, token, tunnel,
};

/// Reach the applications behind an Adit relay with the clients you already have.
#[derive(Debug, Parser)]
#[command(
    name = "adit",
    version,
    propagate_version = true,
    after_help = AFTER_HELP,
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
pub struct Cli {
    #[command(flatten)]
    pub globals: Globals,
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Clone, Debug, Default, Args)]
pub struct Globals {
    /// The relay, for example https://relay.example.com
    #[arg(long, global = true, env = "ADIT_RELAY", value_name = "URL", hide_env = true)]
    pub relay: Option<String>,
    /// The relay's CA certificate (PEM), where it is not publicly trusted
    #[arg(long, global = true, env = "ADIT_CA", value_name = "FILE", hide_env = true)]
    pub ca: Option<PathBuf>,
    /// Print data as JSON
    #[arg(long, global = true)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Sign this machine in to a relay
    Login(login::LoginArgs),
    /// Sign this machine out and remove its key
    Logout,
    /// List the applications you can reach
    Ls,
    /// Log in to an SSH application with the system's ssh
    Ssh(ssh::SshArgs),
    /// Connect stdin and stdout to an application
    Proxy(proxy::ProxyArgs),
    /// Open a local port that leads to an application
    Tunnel(tunnel::TunnelArgs),
    /// Open a database with its own client, or print what other programs need to be told
    Db(db::DbArgs),
    /// Open a desktop with a Remote Desktop client, or write the file that it opens
    Rdp(rdp::RdpArgs),
    /// Issue, list and revoke your own tokens
    Token(token::TokenArgs),
    /// Register, list and remove your own SSH keys
    Key(key::KeyArgs),
    /// Ask for access to an application, for some time
    Request(request::RequestArgs),
    /// Show what you have asked for and what became of it
    Requests(request::RequestsArgs),
    /// Change the password that signs you in to the portal
    Password,
    /// Print a link that signs your browser in
    SignIn(sign_in::SignInArgs),
    /// List the browsers that are signed in as you, and sign them out
    SignIns(sign_in::SignInsArgs),
    /// List your open sessions, and end them
    Sessions(session::SessionsArgs),
    /// Have a certificate that signs ssh in at the relay, and renew it when it is about to end
    SshCert(ssh_cert::SshCertArgs),
    /// Print or install SSH configuration, so that `ssh APP.adit` just works
    SshConfig(ssh_config::SshConfigArgs),
    /// Print a completion script for a shell
    Completions(completions::CompletionsArgs),
    /// Write the manual pages and the shells' completions below FOLDER, as packages carry them
    #[command(hide = true)]
    Manual(completions::ManualArgs),
    /// Show who you are signed in as, and whether the relay answers
    Status,
    /// Say what is wrong between this machine and the relay, and what helps
    Doctor,
    /// Administer the relay
    Admin(admin::AdminArgs),
}

const AFTER_HELP: &str = "\
Environment:
  ADIT_RELAY  the relay, as --relay
  ADIT_CA     the relay's CA certificate, as --ca
  ADIT_TOKEN  a token, for use without `adit login`; one for an application is
              enough for tunnel, ssh and proxy
  ADIT_HOME   where the login is kept (default: ~/.config/adit)
  ADIT_LOG    log to stderr, for finding out why: debug, info, …
  HTTPS_PROXY, NO_PROXY
              the HTTP proxy to the relay, where UDP does not get through

Exit codes:
  0  done             3  denied, or not signed in
  1  failed           4  no such thing
  2  wrong usage      5  the relay does not answer
                      6  the audit log is damaged";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
