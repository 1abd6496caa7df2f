//! `adit logout`

use crate::context::Context;
use crate::exit::Failure;
use crate::relay;

/// Ends this machine's registration and forgets its key. The key goes even where the relay does
/// not answer.
pub async fn run(context: &Context) -> Result<(), Failure> {
    let state = context.settings.state()?;
    let Some(login) = state.login()? else {
        context.ui.say("You are not signed in.");
        return Ok(());
    };
    let ended = relay::unenrol(&context.settings.stored_only()).await;
    state.forget()?;
    context.ui.say(format_args!("Signed out of {}.", login.relay));
    if let Err(failure) = ended {
        context.ui.say(format_args!(
            "The relay was not told ({failure}); this machine stays in its list until an admin \
             removes it or it expires. Its key is gone."
        ));
    }
    Ok(())
}
