//! What `adit admin app add` and `set` say of a desktop.

use access::RdpOptions;
use api::ApplicationSpec;
use clap::Args;

use super::edit::yes_or_no;

/// By what the target of an RDP application is known, besides `--ca-file`, `--pin` and `--sni`, and how
/// it is shown.
#[derive(Debug, Args)]
pub(super) struct RdpArgs {
    /// Whether the certificate of an RDP target has to be one that the relay's machine trusts, and
    /// none is learned [default: no]
    #[arg(long, value_name = "YES|NO", value_parser = yes_or_no)]
    verified: Option<bool>,
    /// Whether an RDP desktop's pictures in the browser may lose what is hardly seen (RemoteFX), for slow
    /// lines and moving pictures [default: no]
    #[arg(long, value_name = "YES|NO", value_parser = yes_or_no)]
    lossy: Option<bool>,
}

impl RdpArgs {
    /// Says it of an application: what is given in place of what was. What was said of its
    /// certificate as an origin's is said of a desktop's.
    pub(super) fn say(self, app: &mut ApplicationSpec) {
        let mut options = app.rdp.take().unwrap_or_default();
        if app.kind == access::Kind::Rdp
            && let Some(web) = &mut app.web
        {
            // Of CA and pin, the one that is given takes the other's place.
            if web.ca.is_some() || web.pin.is_some() {
                (options.ca, options.pin) = (web.ca.take(), web.pin.take());
            }
            options.sni = web.sni.take().or(options.sni.take());
            app.web = app.web.take().filter(|web| !web.is_default());
        }
        options.verified = self.verified.unwrap_or(options.verified);
        options.lossy = self.lossy.unwrap_or(options.lossy);
        app.rdp = Some(options).filter(|options: &RdpOptions| !options.is_default());
    }
}
