//! A notice by HTTPS, signed as the audit log's records are.

use serde_json::json;

use super::Notice;
use crate::config::WebhookTo;
use crate::deliver::{Post, SendError, post as send};

/// Posts a notice. Any answer of success has taken it, and no other has.
pub(super) async fn post(to: &WebhookTo, notice: &Notice) -> Result<(), SendError> {
    let body = json!({
        "event": notice.row.event,
        // What chat servers show.
        "text": format!("{}\n{}", notice.text(), notice.link),
        "request": notice.request,
        "link": notice.link,
    });
    let id = notice.row.id.to_string();
    let what = Post {
        kind: "application/json",
        header: ("Adit-Notice", &id),
        body: body.to_string().into(),
    };
    send(to, what).await
}
