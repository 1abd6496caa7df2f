//! What network errors mean to a person.

use std::error::Error;

use access::Explain;
use access::text::in_full;
use tunnel::ConnectError;
use tunnel::https::{ApiError, CallError, Problem};
use tunnel::identity::IdentityError;
use wire::Refusal;

use crate::exit::{Exit, Failure};
use crate::settings::RelayUrl;

/// An API call that gave no result.
pub(super) fn call(relay: &RelayUrl, error: &CallError) -> Failure {
    match error {
        CallError::Refused(refused) => answered(refused),
        CallError::Connect { .. } | CallError::Exchange { .. } | CallError::TimedOut { .. } => {
            unreachable(relay, error)
        }
        CallError::Handshake { source, .. } => Failure::coded(
            "relay.untrusted",
            format!("{relay} is not trusted: {}", in_full(source)),
        )
        .hint("name its CA certificate with --ca, or run `adit login URL` again")
        .exiting(Exit::Unreachable),
        // Before a login nobody knows whose certificate it should be.
        CallError::Intercepted { source } => Failure::coded(
            "relay.untrusted",
            format!("{relay} is not trusted: {source}"),
        )
        .hint(
            "name its CA certificate with --ca, or run `adit login URL` again; where TLS is \
                     inspected on the way, have the relay's host exempted",
        )
        .exiting(Exit::Unreachable),
        CallError::Proxy { source } => on_the_way(source),
        CallError::Url { .. } => Failure::usage(error.to_string()),
        CallError::Body { .. } | CallError::Json { .. } => {
            Failure::new(Exit::Failed, in_full(error)).hint("is this `adit` as new as the relay?")
        }
        CallError::Tls { .. } | CallError::Request { .. } => {
            Failure::new(Exit::Failed, in_full(error))
        }
    }
}

/// A connection that did not come about.
pub(super) fn connect(relay: &RelayUrl, quic_port: u16, error: &ConnectError) -> Failure {
    match error.telling() {
        ConnectError::Refused { source } => refusal(source),
        ConnectError::Intercepted { source } => on_the_way(source),
        ConnectError::Proxy { source } => on_the_way(source),
        ConnectError::Tls { .. } | ConnectError::ServerName { .. } => {
            Failure::new(Exit::Failed, in_full(error)).hint("run `adit login URL` again")
        }
        ConnectError::Protocol | ConnectError::NoCertificate | ConnectError::Certificate { .. } => {
            Failure::new(Exit::Failed, in_full(error)).hint("is this `adit` as new as the relay?")
        }
        ConnectError::NoWay { .. }
        | ConnectError::Resolve { .. }
        | ConnectError::Tcp { .. }
        | ConnectError::Shake { .. }
        | ConnectError::WebSocket { .. }
        | ConnectError::Socket { .. }
        | ConnectError::Handshake { .. }
        | ConnectError::Closed { .. }
        | ConnectError::Greeting { .. }
        | ConnectError::TimedOut { .. } => unreachable(relay, error).hint(format!(
            "check the network, and that UDP port {quic_port} or TCP port {} is open to the relay",
            relay.port()
        )),
    }
}

/// What something between this machine and the relay does.
fn on_the_way(error: &dyn Explain) -> Failure {
    let failure = Failure::coded(error.code().0, error.public()).exiting(Exit::Unreachable);
    match error.hint() {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// The relay's own refusal.
pub(super) fn refusal(refusal: &Refusal) -> Failure {
    let failure = Failure::coded(&refusal.code, &refusal.message);
    match &refusal.hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// The stored login is not usable.
pub(super) fn identity(error: &IdentityError) -> Failure {
    Failure::new(Exit::Failed, format!("the stored login is not usable: {}", in_full(error)))
        .hint("run `adit login URL` again")
}

pub(super) fn unreachable(relay: &RelayUrl, error: &dyn Error) -> Failure {
    Failure::coded("relay.unreachable", format!("{relay} does not answer: {}", in_full(error)))
        .hint("check the address and the network")
}

fn answered(refused: &ApiError) -> Failure {
    let Problem { title, code, detail, hint, request_id: _, errors } = &*refused.problem;
    let message = detail.as_deref().filter(|detail| !detail.is_empty()).unwrap_or(title);
    let failure = Failure::coded(code, message).details(errors.iter().map(fault));
    let failure = match refused.status {
        401 | 403 => failure.exiting(Exit::Denied),
        404 => failure.exiting(Exit::NotFound),
        _ => failure,
    };
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// One mistake of several, as `object: detail`.
fn fault(fault: &serde_json::Value) -> String {
    let text = |name| fault.get(name).and_then(serde_json::Value::as_str);
    match (text("object"), text("detail")) {
        (Some(object), Some(detail)) => format!("{object}: {detail}"),
        _ => fault.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn relay() -> RelayUrl {
        "https://relay.test".parse().unwrap()
    }

    #[test]
    fn a_relay_that_does_not_answer_has_its_own_exit_code() {
        let source = io::Error::from(io::ErrorKind::ConnectionRefused);
        let error = CallError::Connect { host: "relay.test".into(), port: 443, source };
        let failure = call(&relay(), &error);
        assert_eq!(failure.exit(), Exit::Unreachable);
        assert!(failure.to_string().ends_with("[relay.unreachable]"), "{failure}");
    }

    #[test]
    fn the_relays_own_words_are_told_with_every_mistake() {
        let problem = Problem {
            code: "document.invalid".into(),
            detail: Some("two mistakes".into()),
            hint: Some("fix them".into()),
            errors: vec![serde_json::json!({"object": "site hq", "code": "x", "detail": "no"})],
            ..Problem::default()
        };
        let error = ApiError { status: 422, problem: Box::new(problem), retry_after: None };
        let failure = call(&relay(), &error.into());
        assert_eq!(failure.to_string(), "two mistakes — fix them [document.invalid]");
        assert_eq!(failure.all_details(), ["site hq: no"]);
        assert_eq!(failure.exit(), Exit::Failed);
    }

    #[test]
    fn the_status_decides_where_the_code_does_not() {
        for (status, exit) in [(401, Exit::Denied), (403, Exit::Denied), (404, Exit::NotFound)] {
            let problem = Problem { title: "no".into(), ..Problem::default() };
            let error = ApiError { status, problem: Box::new(problem), retry_after: None };
            assert_eq!(call(&relay(), &error.into()).exit(), exit);
        }
    }
}
