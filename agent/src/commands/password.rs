//! `adit password`: another password for signing in to the portal.

use api::{ChangePassword, Removed, Secret, SignInMethods};
use secrecy::{ExposeSecret, SecretString};

use crate::context::Context;
use crate::exit::Failure;
use crate::prompt;

pub async fn run(context: &Context) -> Result<(), Failure> {
    let methods: SignInMethods = context.get("/api/v1/me/sign-in-methods").await?;
    let current = match methods.password {
        Some(_) => Some(ask("Current password: ")?.into()),
        None => None,
    };
    let new = ask("New password (12 characters or more): ")?;
    if new.expose_secret() != ask("The same again: ")?.expose_secret() {
        return Err(Failure::usage("the two are not the same"));
    }
    let wanted = ChangePassword { current, new: Secret::from(new) };
    let removed: Removed = context.call(hyper::Method::PUT, PATH, Some(&wanted)).await?;
    context.ui.say("Your password is changed.");
    match removed.count {
        0 => {}
        1 => context.ui.say("One browser was signed out."),
        n => context.ui.say(format_args!("{n} browsers were signed out.")),
    }
    Ok(())
}

fn ask(question: &str) -> Result<SecretString, Failure> {
    prompt::secret(question)?.ok_or_else(|| {
        Failure::usage("there is no terminal to ask for the password on")
            .hint("change it in the portal, under Security")
    })
}

const PATH: &str = "/api/v1/me/password";
