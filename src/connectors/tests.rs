use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::Duration;

use access::{Application, Explain, Kind, Login, SessionId, Site};
use async_trait::async_trait;
use session::{AuditError, ClosingSlot, DialError, DialRequest, Dialer};
use splice::{BoxStream, FromIo};
use tokio::time::Instant;
use uuid::Uuid;

use super::*;

#[test]
fn a_late_goodbye_does_not_remove_the_new_connection() {
    let connectors = Connectors::new(Arc::new(NoAudit));
    let (old, new) = (Fake::answering(Answer::Opens), Fake::answering(Answer::Opens));
    let first = join(&connectors, 1, &old);
    let second = join(&connectors, 1, &new);
    assert!(old.closed.load(Relaxed), "the old connection is told to go");
    drop(first);
    assert_eq!(connectors.list().len(), 1, "the old one's end removed the new one");
    assert!(!new.closed.load(Relaxed));
    drop(second);
    assert!(connectors.list().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_connector_that_finds_a_better_way_is_one_connector_and_keeps_its_sessions() {
    let connectors = Connectors::new(Arc::new(NoAudit));
    let (old, new) = (Fake::new(Answer::Opens, 3), Fake::new(Answer::Opens, 1));
    let one = Some("process");
    let _old = join_by(&connectors, 1, &old, (Transport::Tls, one));
    let newer = join_by(&connectors, 1, &new, (Transport::Quic, one));
    assert!(!old.closed.load(Relaxed), "its sessions were cut");
    let listed = connectors.list();
    assert_eq!((listed.len(), listed[0].transport, listed[0].sessions), (1, "quic", 4));
    assert!(connectors.dial(request()).await.is_ok());
    assert_eq!((old.asked(), new.asked()), (0, 1));
    // The old one takes sessions again where the new one is gone.
    new.closed.store(true, Relaxed);
    assert!(connectors.dial(request()).await.is_ok());
    assert_eq!((old.asked(), connectors.list()[0].transport), (1, "tls"));
    drop(newer);
    assert_eq!(connectors.list().len(), 1);
    assert!(connectors.disconnect(id(1)) && old.closed.load(Relaxed), "revoking cuts both");
}

#[test]
fn another_process_of_a_connector_takes_its_place() {
    let connectors = Connectors::new(Arc::new(NoAudit));
    let fakes = [(); 6].map(|()| Fake::answering(Answer::Opens));
    let join = |fake, process| join_by(&connectors, 1, fake, (Transport::Tls, Some(process)));
    let _first: Vec<_> = fakes[..2].iter().map(|fake| join(fake, "first")).collect();
    let _second = join(&fakes[2], "second");
    assert!(fakes[..2].iter().all(|fake| fake.closed.load(Relaxed)));
    assert_eq!(connectors.list()[0].cloned, None, "a connector that started again has no clone");
    // One process holds no more than a few.
    let _more: Vec<_> = [&fakes[3], &fakes[4], &fakes[5], &fakes[0]]
        .into_iter()
        .map(|fake| join(fake, "second"))
        .collect();
    assert!(fakes[2].closed.load(Relaxed) && !fakes[3].closed.load(Relaxed));
    // The first one lives, and returns.
    let _again = join(&fakes[1], "first");
    assert!(connectors.list()[0].cloned.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_session_goes_the_new_way_of_a_connector_whose_old_one_died() {
    let connectors = Connectors::new(Arc::new(NoAudit));
    let (dead, new) = (Fake::new(Answer::Never, 0), Fake::answering(Answer::Opens));
    let _old = join_by(&connectors, 1, &dead, (Transport::Quic, Some("process")));
    let start = Instant::now();
    let later = async {
        tokio::time::sleep(Duration::from_millis(2100)).await;
        join_by(&connectors, 1, &new, (Transport::Tls, Some("process")))
    };
    let (dialled, _new) = tokio::join!(connectors.dial(request()), later);
    assert!(dialled.is_ok());
    assert!(start.elapsed() < Duration::from_millis(2600), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn at_a_site_of_many_each_connector_is_looked_at_a_few_times_and_not_by_each_other() {
    let connectors = Connectors::new(Arc::new(NoAudit));
    let fakes: Vec<_> = (0..500).map(|_| Fake::answering(Answer::Opens)).collect();
    let _all: Vec<_> = (0..).zip(&fakes).map(|(n, fake)| join(&connectors, n, fake)).collect();
    let looked = || fakes.iter().map(|fake| fake.looked.load(Relaxed)).max().unwrap();
    assert!(looked() <= 1, "{}", looked());
    assert_eq!(connectors.list().len(), 500);
    assert!(connectors.dial(request()).await.is_ok());
    drop(connectors.examine(id(7)).await);
    assert!(looked() <= 6, "{}", looked());
}

#[test]
fn a_removed_connector_is_cut() {
    let connectors = Connectors::new(Arc::new(NoAudit));
    let (own, other) = (Fake::answering(Answer::Opens), Fake::answering(Answer::Opens));
    let _places = (join(&connectors, 1, &own), join(&connectors, 2, &other));
    assert!(connectors.disconnect(id(1)));
    assert!(own.closed.load(Relaxed) && !other.closed.load(Relaxed));
    assert!(!connectors.disconnect(id(7)));
}

#[tokio::test(start_paused = true)]
async fn the_connector_with_the_fewest_streams_is_asked() {
    let connectors = Connectors::new(Arc::new(NoAudit));
    let busy = Fake::new(Answer::Opens, 5);
    let free = Fake::new(Answer::Opens, 4);
    let _places = (join(&connectors, 1, &busy), join(&connectors, 2, &free));
    assert!(connectors.dial(request()).await.is_ok());
    assert_eq!((busy.asked(), free.asked()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_connector_that_takes_long_to_dial_gets_what_the_others_have_no_room_for() {
    let connectors = Connectors::new(Arc::new(NoAudit));
    let (far, near) = (Fake::dialling(Duration::from_millis(300)), Fake::dialling(Duration::ZERO));
    let _places = (join(&connectors, 1, &far), join(&connectors, 2, &near));
    // Each is measured once, and nobody has a session.
    for _ in 0..8 {
        assert!(connectors.dial(request()).await.is_ok());
    }
    assert_eq!((far.asked(), near.asked()), (1, 7));
    // The near one has thirty times the sessions.
    near.streams.store(40, Relaxed);
    assert!(connectors.dial(request()).await.is_ok());
    assert_eq!((far.asked(), near.asked()), (2, 7));
}

#[tokio::test(start_paused = true)]
async fn a_connector_that_does_not_reach_a_target_comes_last_for_it() {
    let connectors = Connectors::new(Arc::new(NoAudit));
    let lost = Fake::answering(Answer::Fails(DialError::Unreachable));
    let _lost = join(&connectors, 1, &lost);
    assert!(connectors.dial(request()).await.is_err());
    let busy = Fake::new(Answer::Opens, 9);
    let _busy = join(&connectors, 2, &busy);
    for _ in 0..3 {
        assert!(connectors.dial(request()).await.is_ok());
    }
    assert_eq!((lost.asked(), busy.asked()), (1, 3));
    let mut other = request();
    other.address = "10.0.0.8:80".parse().unwrap();
    drop(connectors.dial(other).await);
    assert_eq!(lost.asked(), 2, "of another target nothing is known");
}

#[tokio::test(start_paused = true)]
async fn a_broken_tunnel_fails_over_at_once() {
    let connectors = Connectors::new(Arc::new(NoAudit));
    let broken = Fake::new(Answer::Fails(tunnel_error()), 0);
    let whole = Fake::new(Answer::Opens, 1);
    let _places = (join(&connectors, 1, &broken), join(&connectors, 2, &whole));
    let start = Instant::now();
    assert!(connectors.dial(request()).await.is_ok());
    assert_eq!((broken.asked(), whole.asked()), (1, 1));
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_connector_that_died_unnoticed_costs_two_seconds() {
    let connectors = Connectors::new(Arc::new(NoAudit));
    let dead = Fake::new(Answer::Never, 0);
    let whole = Fake::new(Answer::Opens, 1);
    let _places = (join(&connectors, 1, &dead), join(&connectors, 2, &whole));
    let start = Instant::now();
    assert!(connectors.dial(request()).await.is_ok());
    assert_eq!(start.elapsed(), Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn what_a_connector_says_of_the_target_is_the_answer() {
    let connectors = Connectors::new(Arc::new(NoAudit));
    let refusing = Fake::new(Answer::Fails(DialError::Refused), 0);
    let other = Fake::new(Answer::Opens, 1);
    let _places = (join(&connectors, 1, &refusing), join(&connectors, 2, &other));
    assert_eq!(connectors.dial(request()).await.err(), Some(DialError::Refused));
    assert_eq!(other.asked(), 0);
}

#[tokio::test(start_paused = true)]
async fn one_deadline_stands_around_all_connectors() {
    let connectors = Connectors::new(Arc::new(NoAudit));
    let silent: Vec<_> = (0..20).map(|_| Fake::new(Answer::Never, 0)).collect();
    let places: Vec<_> = (1..).zip(&silent).map(|(n, fake)| join(&connectors, n, fake)).collect();
    let start = Instant::now();
    let answer = connectors.dial(request()).await.err();
    assert_eq!(answer, Some(DialError::TimedOut { after: Duration::from_secs(10) }));
    assert_eq!(start.elapsed(), Duration::from_secs(10));
    drop(places);
}

#[tokio::test(start_paused = true)]
async fn a_site_without_connectors_is_offline() {
    let connectors = Connectors::new(Arc::new(NoAudit));
    let gone = Fake::answering(Answer::Opens);
    gone.closed.store(true, Relaxed);
    let _place = join(&connectors, 1, &gone);
    let offline = DialError::Offline { site: "hq".into() };
    assert_eq!(connectors.dial(request()).await.err(), Some(offline));
    assert_eq!(gone.asked(), 0, "a closed connection was asked");
}

#[tokio::test(start_paused = true)]
async fn the_last_failure_is_told_when_all_tunnels_break() {
    let connectors = Connectors::new(Arc::new(NoAudit));
    let broken: Vec<_> = (0..3).map(|_| Fake::answering(Answer::Fails(tunnel_error()))).collect();
    let places: Vec<_> = (1..).zip(&broken).map(|(n, fake)| join(&connectors, n, fake)).collect();
    assert_eq!(connectors.dial(request()).await.err(), Some(tunnel_error()));
    assert!(broken.iter().all(|fake| fake.asked() == 1));
    drop(places);
}

#[tokio::test(start_paused = true)]
async fn each_connector_says_whether_it_reaches_the_target_and_where_it_failed() {
    let connectors = Connectors::new(Arc::new(NoAudit));
    let fakes = [
        Answer::Opens,
        Answer::Fails(DialError::Refused),
        Answer::Fails(DialError::NotAllowed),
        Answer::Fails(tunnel_error()),
        Answer::Never,
        Answer::Fails(DialError::TimedOut { after: Duration::from_secs(8) }),
    ]
    .map(Fake::answering);
    let places: Vec<_> = (1..).zip(&fakes).map(|(n, fake)| join(&connectors, n, fake)).collect();
    let start = Instant::now();
    let checked = connectors.check(&request().application).await;
    assert_eq!(start.elapsed(), Duration::from_secs(10), "all at once, within one deadline");
    let told: Vec<_> = checked
        .iter()
        .map(|one| one.outcome.as_ref().map(drop).map_err(|(error, hop)| (error.code().0, *hop)))
        .collect();
    let expected = [
        Ok(()),
        Err(("dial.refused", Hop::Target)),
        Err(("dial.not_allowed", Hop::Allow)),
        Err(("dial.tunnel", Hop::Connector)),
        Err(("dial.timeout", Hop::Connector)),
        Err(("dial.timeout", Hop::Target)),
    ];
    assert_eq!(told, expected);
    drop(places);
}

#[tokio::test(start_paused = true)]
async fn what_dials_came_to_is_remembered_until_the_connector_is_removed() {
    let connectors = Connectors::new(Arc::new(NoAudit));
    let refusing = Fake::answering(Answer::Fails(DialError::Refused));
    let place = join(&connectors, 1, &refusing);
    drop(connectors.dial(request()).await);
    drop(place);
    let reach = connectors.reach(id(1));
    assert_eq!(reach.len(), 1);
    assert_eq!(reach[0].1.failed.map(|(code, _)| code.0), Some("dial.refused"));
    connectors.disconnect(id(1));
    assert!(connectors.reach(id(1)).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_stopping_relay_still_takes_back_what_its_sessions_left_at_targets() {
    let connectors = Connectors::new(Arc::new(NoAudit));
    let link = Fake::answering(Answer::Opens);
    let _place = join(&connectors, 1, &link);
    // One that takes no more sessions of a relay that stays is not asked.
    link.draining.store(true, Relaxed);
    assert!(matches!(connectors.dial(request()).await, Err(DialError::Offline { .. })));
    connectors.drain();
    assert!(connectors.dial(request()).await.is_ok(), "what was left stays there");
    assert_eq!(link.asked(), 1);
}

struct Fake {
    answer: Answer,
    streams: AtomicUsize,
    takes: Duration,
    asked: AtomicU64,
    /// How often it was looked whether it is open.
    looked: AtomicU64,
    closed: AtomicBool,
    /// The connector has said that it takes no more sessions.
    draining: AtomicBool,
}

#[derive(Clone)]
enum Answer {
    Opens,
    Fails(DialError),
    Never,
}

impl Fake {
    fn answering(answer: Answer) -> Arc<Self> {
        Self::new(answer, 0)
    }

    fn new(answer: Answer, streams: usize) -> Arc<Self> {
        Arc::new(Self::of(answer, streams, Duration::ZERO))
    }

    fn dialling(takes: Duration) -> Arc<Self> {
        Arc::new(Self::of(Answer::Opens, 0, takes))
    }

    fn of(answer: Answer, streams: usize, takes: Duration) -> Self {
        let (closed, draining) = (AtomicBool::new(false), AtomicBool::new(false));
        let (asked, looked) = (AtomicU64::new(0), AtomicU64::new(0));
        let streams = AtomicUsize::new(streams);
        Self { answer, streams, takes, asked, looked, closed, draining }
    }

    fn asked(&self) -> u64 {
        self.asked.load(Relaxed)
    }
}

#[async_trait]
impl Link for Fake {
    async fn dial(&self, _: &DialRequest) -> Result<BoxStream, DialError> {
        self.asked.fetch_add(1, Relaxed);
        if !self.takes.is_zero() {
            tokio::time::sleep(self.takes).await;
        }
        match &self.answer {
            Answer::Opens => Ok(Box::new(FromIo::new(tokio::io::duplex(1).0))),
            Answer::Fails(error) => Err(error.clone()),
            Answer::Never => std::future::pending().await,
        }
    }

    async fn check(&self, request: &DialRequest) -> Result<(), DialError> {
        self.dial(request).await.map(drop)
    }

    async fn examine(&self) -> Result<wire::Examined, DialError> {
        Err(DialError::Left)
    }

    fn is_open(&self) -> bool {
        self.looked.fetch_add(1, Relaxed);
        !self.closed.load(Relaxed) && !self.is_draining()
    }

    fn is_draining(&self) -> bool {
        self.draining.load(Relaxed)
    }

    fn streams(&self) -> usize {
        self.streams.load(Relaxed)
    }

    fn drain(&self) {}

    fn close(&self, _: EndReason, _: &str) {
        self.closed.store(true, Relaxed);
    }
}

struct NoAudit;

#[async_trait]
impl AuditLog for NoAudit {
    async fn reserve(&self) -> Result<ClosingSlot, AuditError> {
        Err(AuditError::Stopped)
    }

    async fn append(&self, _: AuditEvent) -> Result<(), AuditError> {
        Err(AuditError::Stopped)
    }

    fn note(&self, _: AuditEvent) {}
}

fn join(connectors: &Arc<Connectors>, number: u128, link: &Arc<Fake>) -> Membership {
    join_by(connectors, number, link, (Transport::Quic, None))
}

fn join_by(
    connectors: &Arc<Connectors>,
    number: u128,
    link: &Arc<Fake>,
    (transport, process): (Transport, Option<&str>),
) -> Membership {
    let connector = ConnectorIdentity {
        id: id(number),
        name: format!("hq-{number}"),
        site: site().id,
        site_name: site().name,
    };
    let (address, version) = (([192, 0, 2, 1], 443).into(), "test".into());
    let (instance, certificate) = (process.map(str::to_owned), Arc::default());
    let shown = Shown { address, transport, instance, version, certificate };
    connectors.join(connector, shown, link.clone())
}

fn id(number: u128) -> ConnectorId {
    ConnectorId(Uuid::from_u128(number))
}

fn site() -> Site {
    Site { id: SiteId(Uuid::nil()), name: "hq".parse().unwrap() }
}

pub(super) fn request() -> DialRequest {
    let application = Application {
        id: access::ApplicationId(Uuid::nil()),
        name: "web1".parse().unwrap(),
        site: site(),
        kind: Kind::Tcp,
        address: "10.0.0.7:80".parse().unwrap(),
        login: Login::Transparent,
        host_key: None,
        legacy_algorithms: false,
        allow_api: false,
        require_active_session: false,
        tags: [].into(),
        web: Default::default(),
        database: Default::default(),
        rdp: Default::default(),
    };
    let address = application.address.clone();
    DialRequest { session: SessionId(Uuid::nil()), application: Arc::new(application), address }
}

fn tunnel_error() -> DialError {
    DialError::Tunnel { detail: "gone".into() }
}
