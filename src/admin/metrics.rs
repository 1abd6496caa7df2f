//! Which metrics there are. What a part counts by itself is read when somebody asks, so that
//! sessions pay nothing for it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use access::Explain;
use async_trait::async_trait;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use session::{AuditError, AuditEvent, AuditLog, ClosingSlot, DialError, DialRequest, Dialer};
use splice::BoxStream;
use tokio::time::Instant;

use super::process;
use crate::AppState;
use crate::deliver::Count;
use crate::lobby::Lobby;

/// An audit log, and how long storing takes.
pub(crate) struct Measured {
    log: Arc<dyn AuditLog>,
    append: Histogram,
}

impl Measured {
    pub(crate) fn new(log: Arc<dyn AuditLog>) -> Arc<Self> {
        Arc::new(Self { log, append: Histogram::new(APPEND) })
    }

    pub(crate) fn register(&self, registry: &mut Registry) {
        let help = "Storing an event durably, as who waits for it sees it";
        registry.register("audit_append_seconds", help, self.append.clone());
    }
}

#[async_trait]
impl AuditLog for Measured {
    async fn reserve(&self) -> Result<ClosingSlot, AuditError> {
        self.log.reserve().await
    }

    async fn append(&self, event: AuditEvent) -> Result<(), AuditError> {
        let start = Instant::now();
        let stored = self.log.append(event).await;
        self.append.observe(start.elapsed().as_secs_f64());
        stored
    }

    fn note(&self, event: AuditEvent) {
        self.log.note(event);
    }
}

/// A dialler, and how long dialling takes by what comes of it: `ok`, or the code of the failure.
pub(crate) struct Dials {
    dialer: Arc<dyn Dialer>,
    seconds: Family<Outcome, Histogram, fn() -> Histogram>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

impl Dials {
    pub(crate) fn new(dialer: Arc<dyn Dialer>) -> Arc<Self> {
        let seconds = Family::new_with_constructor((|| Histogram::new(DIAL)) as fn() -> Histogram);
        Arc::new(Self { dialer, seconds })
    }

    pub(crate) fn register(&self, registry: &mut Registry) {
        let help = "From asking for a target to the answer, over all connectors asked";
        registry.register("dial_seconds", help, self.seconds.clone());
    }
}

#[async_trait]
impl Dialer for Dials {
    async fn dial(&self, request: DialRequest) -> Result<BoxStream, DialError> {
        let start = Instant::now();
        let answer = self.dialer.dial(request).await;
        let outcome = answer.as_ref().map_or_else(|error| error.code().0, |_| "ok");
        self.seconds.get_or_create(&Outcome { outcome }).observe(start.elapsed().as_secs_f64());
        answer
    }
}

/// All metrics of a relay.
pub(crate) fn registry(
    state: &AppState,
    (audit, dials): (&Measured, &Dials),
    lobbies: Vec<(&'static str, Arc<Lobby>)>,
) -> Registry {
    let mut all = Registry::default();
    let ours = all.sub_registry_with_prefix("adit");
    audit.register(ours);
    dials.register(ours);
    let build = Info::new([("version", state.info.version)]);
    ours.register("build", "The relay's software", build);
    let state = state.clone();
    ours.register_collector(Box::new(Read(move |encoder: DescriptorEncoder<'_>| {
        let mut scrape = Scrape(encoder);
        scrape.sessions(&state)?;
        scrape.parts(&state)?;
        scrape.certificates(&state)?;
        scrape.destinations(&state)?;
        scrape.strangers(&lobbies)
    })));
    all.register_collector(Box::new(Read(|encoder: DescriptorEncoder<'_>| {
        let mut scrape = Scrape(encoder);
        let seen = [
            ("process_open_fds", "Open file descriptors", process::open_files()),
            ("process_resident_memory_bytes", "Resident memory", process::resident_bytes()),
        ];
        for (name, help, value) in seen {
            if let Some(value) = value {
                scrape.gauge(name, help, value)?;
            }
        }
        Ok(())
    })));
    all
}

/// What is read from the parts, one metric after another.
struct Scrape<'a>(DescriptorEncoder<'a>);

type Labels<const N: usize> = [(&'static str, String); N];

impl Scrape<'_> {
    fn sessions(&mut self, state: &AppState) -> fmt::Result {
        let mut open = BTreeMap::from(DOORS.map(|door| ([("door", door.to_owned())], 0)));
        for session in state.broker.live() {
            *open.entry([("door", session.door.as_str().to_owned())]).or_default() += 1;
        }
        self.gauges("sessions_open", "Sessions that are open", open)?;
        let ended = state.broker.ended().into_iter().map(|((door, reason, side), count)| {
            let labels =
                [("door", door.as_str()), ("reason", reason.as_str()), ("side", side.as_str())];
            (labels.map(|(name, value)| (name, value.to_owned())), count)
        });
        self.counters("sessions_ended", "Sessions that ended, by whose doing", ended)
    }

    fn parts(&mut self, state: &AppState) -> fmt::Result {
        let policy = state.policy.current();
        // A site whose applications nobody can reach must read 0, not be missing.
        let sites = policy.applications().map(|application| application.site.name.to_string());
        let mut up: BTreeMap<Labels<1>, i64> = sites.map(|site| ([("site", site)], 0)).collect();
        for connector in state.connectors.list() {
            *up.entry([("site", connector.site.to_string())]).or_default() += 1;
        }
        self.gauges("connectors_up", "Connectors that are connected", up)?;
        let version = i64::try_from(policy.version()).unwrap_or(i64::MAX);
        let expiring = i64::try_from(state.ends.expiring()).unwrap_or(i64::MAX);
        self.gauge("tokens_expiring", "Live api and admin tokens with a week left", expiring)?;
        self.gauge("policy_version", "Version of the policy in force", version)?;
        let age = i64::try_from(state.policy.age().as_secs()).unwrap_or(i64::MAX);
        self.gauge("policy_age_seconds", "Since the store last confirmed the policy", age)?;
        let short = i64::from(state.broker.is_short_of_memory());
        self.gauge("memory_short", "1 while nothing new opens for want of memory", short)?;
        let dropped = state.store.audit_dropped();
        self.counter("audit_dropped", "Events the audit log had no room for", dropped)?;
        let dropped = state.store.dropped_requests();
        let help = "Requests at the web door that were not recorded, for want of room";
        self.counter("web_requests_dropped", help, dropped)?;
        let dropped = state.store.dropped_statements();
        let help = "Statements at the doors of databases that were not recorded";
        self.counter("statements_dropped", help, dropped)?;
        let held = state.agents.ssh_held();
        self.counter("ssh_held", "SSH connections held for a full channel", held)
    }

    /// Those that others signed; the relay's CA makes its own anew in time.
    fn certificates(&mut self, state: &AppState) -> fmt::Result {
        let ends = state.certificates.ends().into_iter().map(|(name, source, end)| {
            let end = end.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
            let labels = [("name", name), ("source", source.as_str().to_owned())];
            (labels, i64::try_from(end).unwrap_or(i64::MAX))
        });
        let ends: BTreeMap<_, _> = ends.collect();
        let help = "When a certificate that others signed ends, in Unix seconds, by its first name";
        self.gauges("certificate_expires_seconds", help, ends)
    }

    fn destinations(&mut self, state: &AppState) -> fmt::Result {
        let counts = state.deliveries.counts();
        let of = |count: &Count| [("destination", count.destination.clone())];
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let seqs = counts.iter().map(|count| (of(count), number(count.seq)));
        self.gauges("audit_delivered_seq", "The last record a destination has taken", seqs)?;
        let lags = counts.iter().map(|count| (of(count), number(count.lag)));
        self.gauges("audit_delivery_lag", "Records a destination has not taken yet", lags)?;
        let failures = counts.iter().map(|count| (of(count), count.failures));
        let help = "Batches a destination has not taken";
        self.counters("audit_delivery_failures", help, failures)
    }

    fn strangers(&mut self, lobbies: &[(&'static str, Arc<Lobby>)]) -> fmt::Result {
        let counts = lobbies.iter().map(|(listener, lobby)| {
            let count = i64::try_from(lobby.count()).unwrap_or(i64::MAX);
            ([("listener", (*listener).to_owned())], count)
        });
        self.gauges("strangers", "Peers that nobody has vouched for yet", counts)
    }

    fn gauge(&mut self, name: &str, help: &str, value: i64) -> fmt::Result {
        let value = ConstGauge::new(value);
        value.encode(self.0.encode_descriptor(name, help, None, value.metric_type())?)
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let value = ConstCounter::new(value);
        value.encode(self.0.encode_descriptor(name, help, None, value.metric_type())?)
    }

    fn gauges<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Labels<N>, i64)>,
    ) -> fmt::Result {
        let kind = ConstGauge::new(0_i64).metric_type();
        let mut family = self.0.encode_descriptor(name, help, None, kind)?;
        for (labels, value) in values {
            ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn counters<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Labels<N>, u64)>,
    ) -> fmt::Result {
        let kind = ConstCounter::new(0_u64).metric_type();
        let mut family = self.0.encode_descriptor(name, help, None, kind)?;
        for (labels, value) in values {
            ConstCounter::new(value).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

/// A collector made of a closure.
struct Read<F>(F);

impl<F> fmt::Debug for Read<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Read")
    }
}

impl<F> Collector for Read<F>
where
    F: Fn(DescriptorEncoder<'_>) -> fmt::Result + Send + Sync + 'static,
{
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        (self.0)(encoder)
    }
}

/// Doors that sessions come through.
const DOORS: [&str; 2] = ["agent", "ssh"];

/// From a batch that was about to be written, to a disk that is in trouble.
const APPEND: [f64; 11] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];

/// From a target next door to the deadline of a dial.
const DIAL: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];
