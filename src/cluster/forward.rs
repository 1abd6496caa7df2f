//! Sessions by connectors that are at another relay: asked there, and carried for others here.

use std::sync::Arc;
use std::time::Duration;

use access::{Address, Application, EndReason};
use async_trait::async_trait;
use session::{DialError, DialRequest, Dialer};
use splice::{BoxStream, Counters, Finish, Joined, Stream as _, join};
use tokio::time::timeout;
use tunnel::{Connection, OpenError, Stream};
use wire::{Forward, Header, Mode, Refusal, Reply};

use super::{Cluster, is_here_only};
use crate::AppState;
use crate::connectors::{Connectors, DIAL_TIMEOUT, dial_error};

/// Dials by this relay's connectors, and by those of others where this one has none.
pub(crate) struct Forwarding {
    pub(crate) connectors: Arc<Connectors>,
    pub(crate) cluster: Arc<Cluster>,
}

#[async_trait]
impl Dialer for Forwarding {
    async fn dial(&self, request: DialRequest) -> Result<BoxStream, DialError> {
        let dialled = async {
            let answer = self.connectors.dial(request.clone()).await;
            match answer {
                Err(error) if is_here_only(&error) => {
                    self.cluster.forward(&request).await.unwrap_or(Err(error))
                }
                answer => answer,
            }
        };
        match timeout(DIAL_TIMEOUT, dialled).await {
            Ok(answer) => answer,
            Err(_) => Err(DialError::TimedOut { after: DIAL_TIMEOUT }),
        }
    }
}

impl Cluster {
    /// Asks the relays that have a connector of the site, one after the other. `None`: none has.
    pub(crate) async fn forward(
        &self,
        request: &DialRequest,
    ) -> Option<Result<BoxStream, DialError>> {
        let (others, site) = (self.others(), request.application.site.id);
        let mut there: Vec<_> = others
            .relays
            .iter()
            .filter(|relay| !relay.quic.is_empty())
            .filter_map(|relay| {
                let own = others.places.iter();
                let own = own.filter(|place| place.relay == relay.epoch && place.site == site);
                Some((own.map(|place| place.shown.sessions).min()?, relay))
            })
            .collect();
        there.sort_by_key(|(sessions, relay)| (*sessions, relay.epoch));
        let mut failed = None;
        for (_, relay) in there {
            let Some(link) = self.link(relay).await else { continue };
            match ask(&link, request).await {
                Err(error) if is_here_only(&error) => {
                    tracing::debug!(relay = %relay.name, %error, "Another relay has no way either");
                    failed = Some(Err(error));
                }
                answer => return Some(answer),
            }
        }
        failed
    }

    /// Answers what another relay asks for.
    pub(crate) async fn answer(self: Arc<Self>, state: AppState, mut stream: Stream) {
        match timeout(REQUEST, stream.recv_frame::<Header>()).await {
            Ok(Ok(Header::Forward(forward))) => carry(&state, stream, forward).await,
            Ok(Ok(Header::Reaching)) if self.reaches() => reply(&mut stream, OPENED).await,
            Ok(Ok(Header::Reaching)) => {
                refuse(&mut stream, Refusal::of(&session::AuthnError::Unavailable)).await;
            }
            Ok(Ok(_)) => refuse(&mut stream, unknown()).await,
            Ok(Err(error)) => tracing::debug!(%error, "A stream of another relay brought nothing"),
            Err(_) => stream.abort(EndReason::Failed.number()),
        }
    }
}

async fn ask(link: &Connection, request: &DialRequest) -> Result<BoxStream, DialError> {
    let forward = Forward {
        session: request.session,
        application: request.application.id,
        host: request.address.host().to_owned(),
        port: request.address.port(),
    };
    match link.open(&Header::Forward(forward)).await {
        Ok((stream, _)) => Ok(Box::new(stream)),
        Err(OpenError::Refused { source }) if source.code == "connector.offline" => {
            Err(DialError::Offline { site: request.application.site.name.to_string() })
        }
        Err(error) => Err(dial_error(&error)),
    }
}

/// Reaches a target for another relay, which has asked whether somebody may and records that they
/// did; this one only looks that it is an application's.
async fn carry(state: &AppState, mut stream: Stream, forward: Forward) {
    let dialled = match request(state, &forward).await {
        // Here and nowhere else: nothing goes in circles.
        Some(request) => state.connectors.dial(request).await,
        None => return refuse(&mut stream, absent()).await,
    };
    let mut target = match dialled {
        Ok(target) => target,
        Err(error) => {
            tracing::debug!(session = %forward.session, %error, "Dial for another relay failed");
            return refuse(&mut stream, Refusal::of(&error)).await;
        }
    };
    if !matches!(timeout(REQUEST, stream.send_frame(&OPENED)).await, Ok(Ok(()))) {
        return;
    }
    match join(&mut stream, &mut target, &Counters::default()).await {
        Finish::Closed(_) => {}
        // Each side learns that the other broke, and does not take it for the end of the data.
        Finish::Broken(Joined::First, _) => target.abort(EndReason::Broken.number()),
        Finish::Broken(Joined::Second, _) => stream.abort(EndReason::Broken.number()),
    }
}

async fn request(state: &AppState, forward: &Forward) -> Option<DialRequest> {
    let found = || {
        let application = state.policy.current().application(forward.application).cloned()?;
        let address = address(&application, forward)?;
        Some(DialRequest { session: forward.session, application, address })
    };
    if let Some(request) = found() {
        return Some(request);
    }
    // The other one may have heard of it first.
    state.policy.refresh().await;
    found()
}

fn address(application: &Application, forward: &Forward) -> Option<Address> {
    let asked =
        |address: &&Address| address.host() == forward.host && address.port() == forward.port;
    application.addresses().find(asked).cloned()
}

async fn refuse(stream: &mut Stream, refusal: Refusal) {
    reply(stream, Reply::Refused(refusal)).await;
}

async fn reply(stream: &mut Stream, reply: Reply) {
    if matches!(timeout(REQUEST, stream.send_frame(&reply)).await, Ok(Ok(()))) {
        drop(timeout(REQUEST, stream.deliver()).await);
    }
}

fn absent() -> Refusal {
    Refusal {
        code: "dial.not_allowed".to_owned(),
        message: "that is no address of an application".to_owned(),
        hint: None,
    }
}

fn unknown() -> Refusal {
    Refusal {
        code: "wire.unknown".to_owned(),
        message: "this relay does not know that kind of request".to_owned(),
        hint: Some("run the same version of Adit at all relays".to_owned()),
    }
}

const OPENED: Reply = Reply::Opened { session: None, mode: Mode::Raw, host_keys: Vec::new() };
/// For a stream's request to arrive, and for an answer to leave.
const REQUEST: Duration = Duration::from_secs(10);
