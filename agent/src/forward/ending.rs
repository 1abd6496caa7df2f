//! Why a session is over, in words.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use access::{EndReason, Explain};
use tokio::time::timeout;

use crate::exit::Failure;

/// What the relay said when it ended a session. `None` for what both programs at the ends see for
/// themselves: one of them closed or reset the connection.
///
/// `words` are those of the admin who ended it, which come beside the end: waited for only then, and
/// for a moment.
pub async fn told(
    error: &io::Error,
    words: impl Future<Output = Option<Arc<str>>>,
) -> Option<Failure> {
    let reason = tunnel::end_reason(error)?;
    match reason {
        EndReason::Broken | EndReason::Closed => None,
        EndReason::Killed => match timeout(MOMENT, words).await {
            Ok(Some(words)) => Some(killed(&words)),
            Ok(None) | Err(_) => Some(Failure::explained(&reason)),
        },
        EndReason::Abandoned
        | EndReason::Drained
        | EndReason::Expired
        | EndReason::Failed
        | EndReason::Idle
        | EndReason::Revoked
        | EndReason::SignedOut
        | EndReason::Unrecorded => Some(Failure::explained(&reason)),
    }
}

/// As the doors that speak a protocol say it.
fn killed(words: &str) -> Failure {
    let reason = EndReason::Killed;
    let failure = Failure::coded(reason.code().0, format!("{}: {words}", reason.public()));
    match reason.hint() {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// For words of a relay that sends some: it does so with the end, or right behind.
const MOMENT: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use tunnel::StreamError;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_what_the_relay_decided_is_told() {
        let told = async |reason| {
            let error = io::Error::other(StreamError::Ended(reason));
            super::told(&error, ready(None)).await.map(|failure| failure.to_string())
        };
        assert_eq!(
            told(EndReason::Killed).await.as_deref(),
            Some("an administrator ended this session [session.killed]")
        );
        assert_eq!(told(EndReason::Broken).await, None);
        let reset = io::ErrorKind::ConnectionReset.into();
        assert!(super::told(&reset, pending()).await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn the_words_of_who_ended_it_are_told_with_it_and_waited_for_a_moment_only() {
        let error = |reason| io::Error::other(StreamError::Ended(reason));
        let words = "back at five\u{1b}[2J";
        let told = super::told(&error(EndReason::Killed), ready(Some(words.into()))).await;
        let told = told.unwrap().to_string();
        assert!(told.starts_with("an administrator ended this session: back at five"), "{told}");
        assert!(!told.contains('\u{1b}') && told.ends_with("[session.killed]"), "{told}");
        // A relay that sends none.
        let told = super::told(&error(EndReason::Killed), pending()).await.unwrap().to_string();
        assert_eq!(told, "an administrator ended this session [session.killed]");
        let began = tokio::time::Instant::now();
        assert!(super::told(&error(EndReason::Expired), pending()).await.is_some());
        assert!(began.elapsed().is_zero(), "nobody had anything to say");
    }
}
