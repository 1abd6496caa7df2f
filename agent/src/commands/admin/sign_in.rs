//! `adit admin sign-in ls|end`

use access::Name;
use api::SignInRow;
use clap::Subcommand;

use super::take_away;
use crate::commands::sign_in;
use crate::context::{Context, query, segment};
use crate::exit::Failure;

#[derive(Debug, Subcommand)]
pub enum SignInCommand {
    /// List the browsers that are signed in
    Ls {
        /// Only of this user
        #[arg(long)]
        user: Option<Name>,
        /// Those that have ended too
        #[arg(long)]
        all: bool,
    },
    /// Sign a browser out; what is open in it ends
    End {
        /// Its id, as `ls` shows it
        id: String,
    },
}

pub(super) async fn run(command: SignInCommand, context: &Context) -> Result<(), Failure> {
    match command {
        SignInCommand::Ls { user, all } => {
            let all = all.then(|| "true".to_owned());
            let path = query("/api/v1/sign-ins", &[("user", user.map(String::from)), ("all", all)]);
            let rows: Vec<SignInRow> = context.list(&path).await?;
            sign_in::list(&rows, "No browser is signed in.", context)
        }
        SignInCommand::End { id } => {
            let path = format!("/api/v1/sign-ins/{}", segment(&id));
            take_away(context, &path, &format!("Signed {id} out")).await
        }
    }
}
