//! `adit admin ssh-ca`

use api::SshCa;

use crate::context::Context;
use crate::exit::Failure;

pub(super) async fn run(context: &Context) -> Result<(), Failure> {
    let ca: SshCa = context.get("/api/v1/ssh-ca").await?;
    if context.ui.wants_json() {
        return context.ui.json(&ca);
    }
    context.ui.data(&ca.public_key)?;
    context.ui.say("On a target: put this line into /etc/ssh/adit_ca.pub, and into sshd_config:");
    context.ui.say("TrustedUserCAKeys /etc/ssh/adit_ca.pub");
    if let Some(line) = &ca.known_hosts {
        context.ui.say(
            "Clients know the relay, whatever its host keys are, by this line in known_hosts:",
        );
        context.ui.say(line);
    }
    Ok(())
}
