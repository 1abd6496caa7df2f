//! Where the audit log is sent, and how far each place has come.

use api::AuditDestination;

use crate::context::Context;
use crate::exit::Failure;
use crate::times;

pub(super) async fn list(context: &Context) -> Result<(), Failure> {
    let destinations: Vec<AuditDestination> = context.get("/api/v1/audit/destinations").await?;
    let none = "The audit log is sent nowhere: see [[audit.destination]] in relay.toml.";
    let heads = ["name", "kind", "to", "seq", "lag", "delivered", "failures", "error"];
    context.ui.list(&destinations, none, heads, |destination| {
        let AuditDestination { name, kind, to, seq, lag, failures, error, .. } = destination;
        let delivered = destination.delivered_ms.map(|ms| times::to_the_second(ms / 1000));
        [
            name.to_string(),
            kind.clone(),
            to.clone(),
            seq.to_string(),
            lag.to_string(),
            delivered.unwrap_or_default(),
            failures.to_string(),
            error.clone().unwrap_or_default(),
        ]
    })
}
