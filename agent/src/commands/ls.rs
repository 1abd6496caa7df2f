//! `adit ls`

use access::Login;
use api::MyApplication;

use crate::context::Context;
use crate::exit::Failure;

pub async fn run(context: &Context) -> Result<(), Failure> {
    let applications: Vec<MyApplication> = context.list("/api/v1/me/applications").await?;
    context.ui.list(
        &applications,
        "You have no access to any application yet.",
        ["application", "site", "kind", "login", "state", "tags"],
        |app| {
            let state = if app.online { "online" } else { "offline" };
            let tags: Vec<_> =
                app.tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
            [
                app.name.to_string(),
                app.site.to_string(),
                app.kind.to_string(),
                login(app),
                state.to_owned(),
                tags.join(" "),
            ]
        },
    )
}

fn login(app: &MyApplication) -> String {
    match &app.login {
        // Which of its accounts, the rules say.
        _ if app.has_account => "the relay's".to_owned(),
        Login::Transparent => "your own".to_owned(),
        Login::Managed { account } | Login::Certificate { account: Some(account) } => {
            format!("as {account}")
        }
        Login::Certificate { account: None } => "as you choose".to_owned(),
    }
}
