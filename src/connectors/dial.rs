//! Dialling: one deadline, the least loaded connector first, another where the first fails.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use session::{DialError, DialRequest, Dialer};
use splice::BoxStream;
use tokio::time::{Instant, sleep_until, timeout};

use super::{Connectors, Member};

#[async_trait]
impl Dialer for Connectors {
    async fn dial(&self, request: DialRequest) -> Result<BoxStream, DialError> {
        match timeout(DIAL_TIMEOUT, self.first_to_answer(&request)).await {
            Ok(answer) => answer,
            Err(_) => Err(DialError::TimedOut { after: DIAL_TIMEOUT }),
        }
    }
}

impl Connectors {
    /// Asks one connector, and the next one when its tunnel fails or it says nothing for a while.
    ///
    /// What a connector says of the target is the answer: any other would say the same. A connector
    /// that died and was not yet noticed says nothing, and must not use up the whole deadline.
    async fn first_to_answer(&self, request: &DialRequest) -> Result<BoxStream, DialError> {
        let site = &request.application.site;
        let (mut tried, mut asked) = (Vec::new(), FuturesUnordered::new());
        let mut failed = DialError::Offline { site: site.name.to_string() };
        let mut patience = Instant::now();
        // Not a timer that is already due: it would fire up to a millisecond late.
        let mut ask_next = true;
        let mut exhausted = false;
        loop {
            if std::mem::take(&mut ask_next) {
                patience = Instant::now() + PATIENCE;
                match self.choose(request, &tried, SystemTime::now()) {
                    Some(member) => {
                        tried.push(member.epoch);
                        asked.push(self.ask(member, request));
                    }
                    None if asked.is_empty() => exhausted = true,
                    // The one that is asked may be lost, and come back by another way.
                    None => patience = Instant::now() + LOOK_AGAIN,
                }
            }
            tokio::select! {
                biased;
                Some(answer) = asked.next() => match answer {
                    Err(error @ DialError::Tunnel { .. }) => {
                        (failed, ask_next) = (error, !exhausted);
                    }
                    answer => return answer,
                },
                () = sleep_until(patience), if !exhausted => ask_next = true,
                else => return Err(failed),
            }
        }
    }

    /// Asks one connector, and remembers how it went.
    async fn ask(
        &self,
        member: Arc<Member>,
        request: &DialRequest,
    ) -> Result<BoxStream, DialError> {
        let started = Instant::now();
        let answer = member.link.dial(request).await;
        if let Err(error) = &answer {
            let connector = member.connector.id;
            tracing::debug!(%connector, session = %request.session, %error, "Dial failed");
        }
        let outcome = answer.as_ref().map(|_| started.elapsed());
        self.measured(&member, request, outcome, SystemTime::now());
        answer
    }
}

/// From the request to the connector's answer, over all connectors asked.
pub(crate) const DIAL_TIMEOUT: Duration = Duration::from_secs(10);

/// Between two looks for another connector, while one that is asked says nothing.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// How long a connector may be silent before another one is asked too.
const PATIENCE: Duration = Duration::from_secs(2);
