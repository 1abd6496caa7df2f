//! `adit admin why USER APP`

use std::net::IpAddr;

use access::Name;
use api::Why;
use clap::Args;

use super::text;
use crate::context::{Context, query};
use crate::exit::Failure;

#[derive(Debug, Args)]
pub struct WhyArgs {
    /// Whose access
    user: Name,
    /// To what: APP, or APP.SITE
    #[arg(value_name = "APP")]
    application: String,
    /// At which moment, for example 2026-12-01T08:00:00Z [default: now]
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// From which address [default: not asked]
    #[arg(long, value_name = "IP")]
    from: Option<IpAddr>,
    /// As which account at the target [default: not asked]
    #[arg(long, value_name = "NAME")]
    login: Option<String>,
}

/// Answered is done, whatever the answer: a script reads `allowed`.
pub(super) async fn run(args: WhyArgs, context: &Context) -> Result<(), Failure> {
    let why: Why = context.get(&args.path()).await?;
    if context.ui.wants_json() {
        return context.ui.json(&why);
    }
    context.ui.data(text(&why.answer))
}

impl WhyArgs {
    fn path(self) -> String {
        let parameters = [
            ("user", Some(self.user.to_string())),
            ("application", Some(self.application)),
            ("at", self.at),
            ("from", self.from.map(|from| from.to_string())),
            ("login", self.login),
        ];
        query("/api/v1/why", &parameters)
    }
}
