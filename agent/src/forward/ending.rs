//! Why a session is over, in words.

use std::io;

use access::EndReason;

use crate::exit::Failure;

/// What the relay said when it ended a session. `None` for what both programs at the ends see for
/// themselves: one of them closed or reset the connection.
pub fn told(error: &io::Error) -> Option<Failure> {
    let reason = tunnel::end_reason(error)?;
    match reason {
        EndReason::Broken | EndReason::Closed => None,
        EndReason::Abandoned
        | EndReason::Drained
        | EndReason::Expired
        | EndReason::Failed
        | EndReason::Idle
        | EndReason::Killed
        | EndReason::Revoked
        | EndReason::SignedOut
        | EndReason::Unrecorded => Some(Failure::explained(&reason)),
    }
}

#[cfg(test)]
mod tests {
    use tunnel::StreamError;

    use super::*;

    #[test]
    fn only_what_the_relay_decided_is_told() {
        let told = |reason| {
            let error = io::Error::other(StreamError::Ended(reason));
            super::told(&error).map(|failure| failure.to_string())
        };
        assert_eq!(
            told(EndReason::Killed).as_deref(),
            Some("an administrator ended this session [session.killed]")
        );
        assert_eq!(told(EndReason::Broken), None);
        assert!(super::told(&io::ErrorKind::ConnectionReset.into()).is_none());
    }
}
