//! One file per command.

pub mod admin;
mod browser;
pub mod completions;
pub mod db;
mod doctor;
mod first;
mod issued;
pub mod key;
pub mod login;
pub mod logout;
pub mod ls;
pub mod password;
pub mod proxy;
pub mod rdp;
pub mod request;
pub mod service;
pub mod session;
pub mod sign_in;
pub mod ssh;
pub mod ssh_cert;
pub mod ssh_config;
pub mod status;
pub mod token;
pub mod tunnel;

use crate::cli::Command;
use crate::context::Context;
use crate::exit::Failure;

/// Runs one command.
pub async fn run(command: Command, context: &Context) -> Result<(), Failure> {
    match command {
        Command::Login(args) => login::run(args, context).await,
        Command::Logout => logout::run(context).await,
        Command::Ls => ls::run(context).await,
        Command::Ssh(args) => ssh::run(&args, context),
        Command::Proxy(args) => proxy::run(&args, context).await,
        Command::Tunnel(args) => tunnel::run(&args, context).await,
        Command::Db(args) => Box::pin(db::run(&args, context)).await,
        Command::Rdp(args) => Box::pin(rdp::run(&args, context)).await,
        Command::Key(args) => key::run(args.command, context).await,
        Command::Token(args) => token::run(args.command, context).await,
        Command::Request(args) => request::ask(args, context).await,
        Command::Requests(args) => request::run(args, context).await,
        Command::Password => password::run(context).await,
        Command::SignIn(args) => sign_in::sign_in(args, context).await,
        Command::Sessions(args) => session::run(args, context).await,
        Command::SignIns(args) => sign_in::run(args, context).await,
        Command::SshCert(args) => ssh_cert::run(args, context).await,
        Command::SshConfig(args) => ssh_config::run(&args, context),
        Command::Completions(args) => completions::run(&args, context),
        Command::Manual(args) => completions::write_manual(&args),
        Command::Status => status::run(context).await,
        Command::Doctor => doctor::run(context).await,
        Command::Admin(args) => admin::run(args, context).await,
    }
}
