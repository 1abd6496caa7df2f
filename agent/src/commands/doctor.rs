//! `adit doctor`

use tunnel::doctor::{Finding, Outcome, examine};

use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::relay;

/// Says what is wrong between this machine and the relay, and fails where the relay is not reached.
pub(super) async fn run(context: &Context) -> Result<(), Failure> {
    let (ladder, identity) = relay::to_examine(&context.settings)?;
    let findings = Box::pin(examine(&ladder, &identity)).await;
    let heads = ["check", "outcome", "found", "fix", "code"];
    context.ui.list(&findings, "Nothing was looked at.", heads, |finding| {
        [
            finding.check.clone(),
            finding.outcome.as_str().to_owned(),
            finding.found.clone(),
            finding.fix.clone().unwrap_or_default(),
            finding.code.as_deref().unwrap_or_default().to_owned(),
        ]
    })?;
    match findings.iter().find(|finding| finding.outcome == Outcome::Bad) {
        Some(bad) => Err(failure(bad)),
        None => Ok(()),
    }
}

fn failure(bad: &Finding) -> Failure {
    let text = format!("{}: {}", bad.check, bad.found);
    let failure = match &bad.code {
        Some(code) => Failure::coded(&**code, text).exiting(Exit::Unreachable),
        None => Failure::new(Exit::Unreachable, text),
    };
    match &bad.fix {
        Some(fix) => failure.hint(fix),
        None => failure,
    }
}
