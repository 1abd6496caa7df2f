//! Every text that a client's user is shown.

use access::text::visible;
use access::{EndReason, Explain as _};

use crate::Over;

/// Why a session is over, with what the admin who ended it said.
pub(crate) fn over(reason: EndReason, said: Option<&str>) -> String {
    let said = said.map(|said| format!(": {}", visible(said))).unwrap_or_default();
    let hint = reason.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
    format!("Adit: {}{said} ({}){hint}", reason.public(), reason.code())
}

/// Why a desktop did not open.
pub(crate) fn failed(over: &Over) -> String {
    format!("Adit: {} ({})", visible(&over.words), over.code)
}
