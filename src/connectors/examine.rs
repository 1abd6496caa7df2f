//! What connectors say of their own ways: to the relay, and to their targets.

use std::convert::Infallible;
use std::sync::PoisonError;
use std::time::{Duration, SystemTime};

use access::ConnectorId;
use access::text::visible;
use session::DialError;
use tokio::time::{sleep, timeout};

use super::Connectors;

/// What a connector said last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Examined {
    pub at: SystemTime,
    pub findings: Vec<Finding>,
}

/// One line of it, fit for lists and terminals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub check: String,
    /// `good`, `warning` or `bad`.
    pub outcome: &'static str,
    pub found: String,
    pub code: Option<String>,
    pub fix: Option<String>,
}

impl Examined {
    /// The worst of all that it says.
    pub fn worst(&self) -> &'static str {
        let outcomes = self.findings.iter().map(|finding| finding.outcome);
        outcomes
            .max_by_key(|outcome| OUTCOMES.iter().position(|known| known == outcome))
            .unwrap_or("good")
    }

    fn said(at: SystemTime, said: &wire::Examined) -> Self {
        let findings = said.findings.iter().take(wire::Examined::MOST_FINDINGS);
        Self { at, findings: findings.map(finding).collect() }
    }
}

/// A machine's word: cut, and without what turns lines or terminals around.
fn finding(said: &wire::Finding) -> Finding {
    let fit = |text: &str| visible(text).chars().take(wire::Examined::LONGEST).collect::<String>();
    let known = OUTCOMES.iter().find(|known| **known == said.outcome);
    Finding {
        check: fit(&said.check),
        outcome: known.copied().unwrap_or("warning"),
        found: fit(&said.found),
        code: said.code.as_deref().map(fit),
        fix: said.fix.as_deref().map(fit),
    }
}

impl Connectors {
    /// What a connector said last of its ways, since the relay started.
    pub fn examined(&self, id: ConnectorId) -> Option<Examined> {
        self.examined.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    /// Has a connector look, and keeps what it says. `None`: it is not connected.
    pub async fn examine(&self, id: ConnectorId) -> Option<Result<Examined, DialError>> {
        let member = self.newest_of(id)?;
        let asked = async {
            let _place = self.examining.acquire().await;
            timeout(WITHIN, member.link.examine()).await
        };
        let said = match asked.await {
            Ok(said) => said,
            Err(_) => Err(DialError::TimedOut { after: WITHIN }),
        };
        Some(said.map(|said| {
            let examined = Examined::said(SystemTime::now(), &said);
            let mut all = self.examined.lock().unwrap_or_else(PoisonError::into_inner);
            all.insert(id, examined.clone());
            examined
        }))
    }

    /// Has a connector that has just come look, once it has settled. A way that it changes to is
    /// another connection, so it is asked again when it falls back to TLS.
    pub(crate) async fn look_after(&self, id: ConnectorId) -> Infallible {
        // When a relay starts they all come at once.
        sleep(SETTLED + Duration::from_millis(rand::random_range(0..SPREAD))).await;
        if let Some(Err(error)) = self.examine(id).await {
            tracing::debug!(connector = %id, %error, "A connector does not say how its ways are");
        }
        std::future::pending().await
    }
}

const OUTCOMES: [&str; 3] = ["good", "warning", "bad"];
/// Each dials the relay by every way.
pub(super) const AT_ONCE: usize = 4;
/// A connector tries everything within some ten seconds.
const WITHIN: Duration = Duration::from_secs(30);
const SETTLED: Duration = Duration::from_millis(500);
/// Milliseconds.
const SPREAD: u64 = 2000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_machine_says_is_cut_and_turns_no_terminal_around() {
        let said = wire::Finding {
            check: "quic\u{1b}[31m".to_owned(),
            outcome: "splendid".to_owned(),
            found: "x".repeat(9000),
            code: None,
            fix: Some("let UDP\u{202e} out".to_owned()),
        };
        let said = wire::Examined { findings: vec![said; 100] };
        let kept = Examined::said(SystemTime::UNIX_EPOCH, &said);
        assert_eq!(kept.findings.len(), wire::Examined::MOST_FINDINGS);
        let first = &kept.findings[0];
        assert_eq!(first.found.len(), wire::Examined::LONGEST);
        assert!(
            !first.check.contains('\u{1b}') && !first.fix.as_ref().unwrap().contains('\u{202e}')
        );
        assert_eq!((first.outcome, kept.worst()), ("warning", "warning"));
    }
}
