//! Orders at Pebble, and at a CA that refuses.

use std::path::Path;
use std::sync::Mutex;

use api::CertificateSource;
use async_trait::async_trait;
use rustls::server::Acceptor;
use session::{AuditError, ClosingSlot};
use testkit::{Pebble, PebbleOptions, free_port};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::{LazyConfigAcceptor, TlsAcceptor};
use tunnel::tls::Oldest;

use super::*;
use crate::certificates::tests::Stage;
use crate::config::Challenge;

#[tokio::test]
async fn a_name_is_asked_for_again_until_the_ca_sees_that_it_leads_here() {
    let (dir, stage) = Stage::new(&["wiki.example.test"]).await;
    let (tls, http) = (free_port().unwrap(), free_port().unwrap());
    let refusing = PebbleOptions { refused_nonces: 5, ..PebbleOptions::default() };
    let pebble = Pebble::start(&dir.path().join("pebble"), (tls, http), refusing).unwrap();
    let mut running = Running::start(&stage, &ca(&pebble), Duration::from_millis(400));
    // Nothing listens where the CA looks.
    running.until("two failures", |rows| rows.iter().all(|row| row.failures >= 2)).await;
    let told = running.certificates.list();
    let error = told.iter().find_map(|row| row.error.clone()).unwrap();
    assert!(error.contains("Failed to connect to 127.0.0.1"), "{error}");
    assert!(told.iter().all(|row| row.source == CertificateSource::Relay), "{told:?}");
    // Each reason is recorded once, however often it comes.
    let failed = running.notes("certificate.failed");
    assert!((2..=4).contains(&failed.len()), "{failed:?}");
    running.tasks.spawn(answer(vec![running.challenges.clone()], tls));
    running.until("both are issued", |rows| rows.iter().all(|row| row.pair.is_some())).await;
    let shown = || running.certificates.list();
    assert!(shown().iter().all(|row| row.source == CertificateSource::Acme && row.error.is_none()));
    assert_eq!(running.notes("certificate.issued").len(), 2);
    let renewed = |row: &AcmeRow| row.due() > SystemTime::now() + Duration::from_secs(24 * 3600);
    assert!(running.rows().await.iter().all(renewed), "they are due long after");
    // Who comes without an order under way is shown nothing of it.
    assert!(running.challenges.tls("wiki.example.test").is_none());
}

#[tokio::test]
async fn what_one_relay_was_issued_others_show_and_do_not_ask_for() {
    let (dir, stage) = Stage::new(&[]).await;
    let (tls, http) = (free_port().unwrap(), free_port().unwrap());
    let options = PebbleOptions::default();
    let pebble = Pebble::start(&dir.path().join("pebble"), (tls, http), options).unwrap();
    let second = Duration::from_secs(1);
    let first = Running::start(&stage, &ca(&pebble), second);
    let other = Running::start(&stage, &ca(&pebble), second);
    // Either may be looked at: who has an order under way answers.
    let both = vec![first.challenges.clone(), other.challenges.clone()];
    let mut doors = JoinSet::new();
    doors.spawn(answer(both, tls));
    first.until("it is issued", |rows| rows.iter().any(|row| row.pair.is_some())).await;
    let third = Running::start(&stage, &ca(&pebble), second);
    third.until_shown(CertificateSource::Acme).await;
    let issued = pebble.log().matches("Issued certificate serial").count();
    assert_eq!(issued, 1, "{}", pebble.log());
}

/// As they are at the moment when it is due at both.
#[tokio::test]
async fn one_of_two_relays_renews_a_certificate_and_both_show_the_new_one() {
    let (dir, stage) = Stage::new(&[]).await;
    let (tls, http) = (free_port().unwrap(), free_port().unwrap());
    let options = PebbleOptions::default();
    let pebble = Pebble::start(&dir.path().join("pebble"), (tls, http), options).unwrap();
    let (now, hour) = (SystemTime::now(), Duration::from_secs(3600));
    let claim = AcmeClaim { name: "wiki-hq.relay.test", holder: "before" };
    let old = issued_until(claim.name, now + hour);
    assert!(stage.store.claim_acme(claim, hour, now).await.unwrap());
    assert!(stage.store.acme_issued(claim, &old, now).await.unwrap());
    let relays = [(); 2].map(|()| Running::start(&stage, &ca(&pebble), Duration::from_secs(1)));
    let mut doors = JoinSet::new();
    doors.spawn(answer(relays.iter().map(|relay| relay.challenges.clone()).collect(), tls));
    let renewed = |relay: &Running| {
        let ends = relay.certificates.ends();
        ends.iter().any(|(name, _, end)| *name == claim.name && *end > now + 24 * hour)
    };
    let both = async {
        while !relays.iter().all(renewed) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(20), both).await.expect("both show it");
    assert_eq!(pebble.log().matches("Issued certificate serial").count(), 1, "{}", pebble.log());
    let noted = relays.iter().map(|relay| relay.notes("certificate.issued").len());
    assert_eq!(noted.sum::<usize>(), 1);
}

#[tokio::test]
async fn a_ca_that_says_when_to_come_back_is_not_asked_before() {
    let (dir, stage) = Stage::new(&["a.example.test", "b.example.test"]).await;
    let mut tasks = JoinSet::new();
    let (refusing, asked) = refusing_ca(dir.path(), &mut tasks).await;
    let running = Running::start(&stage, &refusing, Duration::from_millis(10));
    running.until("one failure", |rows| rows.iter().any(|row| row.failures == 1)).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let rows = running.rows().await;
    assert_eq!(rows.len(), 1, "the other names wait too");
    let wait = rows[0].due().duration_since(SystemTime::now()).unwrap();
    assert!(wait > Duration::from_secs(3000), "{wait:?}");
    assert!(rows[0].error.as_deref().unwrap().contains("too many orders"), "{:?}", rows[0].error);
    assert_eq!(asked.lock().unwrap().matches("POST /order ").count(), 1);
}

#[tokio::test]
async fn a_name_that_nobody_wants_is_forgotten_once_nothing_of_it_is_of_use() {
    let (dir, stage) = Stage::new(&[]).await;
    let (now, hour) = (SystemTime::now(), Duration::from_secs(3600));
    let issued = [
        ("over.example.test", now - hour, now - hour),
        ("good.example.test", now + hour, now - hour),
        ("wiki-hq.relay.test", now - hour, now + hour),
    ];
    for (name, end, due) in issued {
        let claim = AcmeClaim { name, holder: "another" };
        assert!(stage.store.claim_acme(claim, hour, now).await.unwrap());
        assert!(stage.store.acme_issued(claim, &issued_until(name, end), due).await.unwrap());
    }
    for (name, due) in [("failed.example.test", now - hour), ("waits.example.test", now + hour)] {
        let claim = AcmeClaim { name, holder: "another" };
        assert!(stage.store.claim_acme(claim, hour, now).await.unwrap());
        assert!(stage.store.acme_failed(claim, "no", due).await.unwrap());
    }
    let mut tasks = JoinSet::new();
    let (refusing, _) = refusing_ca(dir.path(), &mut tasks).await;
    let running = Running::start(&stage, &refusing, Duration::from_secs(1));
    running.until("two are forgotten", |rows| rows.len() == 3).await;
    let mut left: Vec<_> = running.rows().await.into_iter().map(|row| row.name).collect();
    left.sort();
    assert_eq!(left, ["good.example.test", "waits.example.test", "wiki-hq.relay.test"]);
    // Of what nobody wants, nobody is told when it ends.
    let ends: Vec<_> = running.certificates.ends().into_iter().map(|(name, ..)| name).collect();
    assert_eq!(ends, ["wiki-hq.relay.test"]);
}

fn issued_until(name: &str, end: SystemTime) -> IssuedPair {
    let mut params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.not_after = end.into();
    let key = rcgen::KeyPair::generate().unwrap();
    let chain = params.self_signed(&key).unwrap().pem();
    IssuedPair { chain, key: key.serialize_pem() }
}

fn ca(pebble: &Pebble) -> config::Acme {
    config::Acme {
        directory: pebble.directory().parse().unwrap(),
        contact: vec!["mailto:admin@example.test".to_owned()],
        ca_file: Some(pebble.ca_file()),
        challenge: Challenge::TlsAlpn,
    }
}

/// An [`Acme`] that runs.
struct Running {
    store: Store,
    certificates: Arc<Certificates>,
    challenges: Arc<Challenges>,
    audit: Arc<Noted>,
    tasks: JoinSet<()>,
}

impl Running {
    fn start(stage: &Stage, config: &config::Acme, first: Duration) -> Self {
        let (certificates, challenges) = (stage.with(Vec::new()), Arc::<Challenges>::default());
        let audit = Arc::<Noted>::default();
        let parts = Parts {
            store: stage.store.clone(),
            certificates: certificates.clone(),
            challenges: challenges.clone(),
            audit: audit.clone(),
        };
        let acme = Acme::new(config, parts, Pace { first, most: first });
        let mut tasks = JoinSet::new();
        tasks.spawn(acme.run(stage.policy.subscribe(), CancellationToken::new()));
        Self { store: stage.store.clone(), certificates, challenges, audit, tasks }
    }

    async fn rows(&self) -> Vec<AcmeRow> {
        self.store.acme_rows().await.unwrap()
    }

    async fn until(&self, what: &str, holds: impl Fn(&[AcmeRow]) -> bool) {
        let waited = async {
            loop {
                let rows = self.rows().await;
                // As it is shown, too.
                if !rows.is_empty() && holds(&rows) {
                    return tokio::time::sleep(Duration::from_millis(200)).await;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(SOON, waited).await.expect(what);
    }

    async fn until_shown(&self, source: CertificateSource) {
        let shown = async {
            while self.certificates.list().iter().any(|row| row.source != source) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(SOON, shown).await.expect("it is shown");
    }

    fn notes(&self, action: &str) -> Vec<String> {
        let notes = self.audit.0.lock().unwrap();
        notes.iter().filter(|note| note.starts_with(action)).cloned().collect()
    }
}

#[derive(Default)]
struct Noted(Mutex<Vec<String>>);

#[async_trait]
impl AuditLog for Noted {
    async fn reserve(&self) -> Result<ClosingSlot, AuditError> {
        Err(AuditError::Stopped)
    }

    async fn append(&self, event: AuditEvent) -> Result<(), AuditError> {
        self.note(event);
        Ok(())
    }

    fn note(&self, event: AuditEvent) {
        self.0.lock().unwrap().push(format!("{} {event:?}", event.action()));
    }
}

/// Shakes hands with a CA that looks.
async fn answer(challenges: Vec<Arc<Challenges>>, port: u16) {
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        let Ok(start) = LazyConfigAcceptor::new(Acceptor::default(), socket).await else {
            continue;
        };
        let name = start.client_hello().server_name().unwrap().to_owned();
        if let Some(config) = challenges.iter().find_map(|challenges| challenges.tls(&name)) {
            drop(start.into_stream(config).await);
        }
    }
}

/// A CA that takes accounts and no orders for an hour; and what it was asked.
async fn refusing_ca(dir: &Path, tasks: &mut JoinSet<()>) -> (config::Acme, Arc<Mutex<String>>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let file = dir.join("refusing.pem");
    std::fs::write(&file, made.cert.pem()).unwrap();
    let key = made.signing_key.serialize_pem().into();
    let tls = tunnel::tls::server_config(&made.cert.pem(), &key, None, Oldest::Tls13).unwrap();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let at = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let (acceptor, asked) = (TlsAcceptor::from(Arc::new(tls)), Arc::<Mutex<String>>::default());
    let (base, heard) = (at.clone(), asked.clone());
    tasks.spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            drop(refuse(&acceptor, socket, &base, &heard).await);
        }
    });
    let config = config::Acme {
        directory: format!("{at}/dir").parse().unwrap(),
        contact: Vec::new(),
        ca_file: Some(file),
        challenge: Challenge::TlsAlpn,
    };
    (config, asked)
}

async fn refuse(
    acceptor: &TlsAcceptor,
    socket: TcpStream,
    at: &str,
    asked: &Mutex<String>,
) -> std::io::Result<()> {
    let mut stream = acceptor.accept(socket).await?;
    let mut head = vec![0; 16 * 1024];
    let count = stream.read(&mut head).await?;
    let head = String::from_utf8_lossy(&head[..count]).into_owned();
    asked.lock().unwrap().push_str(&head);
    let directory = format!(
        r#"{{"newNonce":"{at}/nonce","newAccount":"{at}/account","newOrder":"{at}/order"}}"#
    );
    let limited = r#"{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many orders"}"#;
    let (status, body) = match head.split(' ').nth(1).unwrap_or_default() {
        "/dir" => ("200 OK", directory.as_str()),
        "/account" => ("201 Created", r#"{"status":"valid"}"#),
        "/order" => ("429 Too Many Requests\r\nRetry-After: 3600", limited),
        _ => ("200 OK", ""),
    };
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 {status}\r\nReplay-Nonce: bm9uY2U\r\nLocation: {at}/account/1\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    let body = if head.starts_with("HEAD") { "" } else { body };
    stream.write_all(format!("{answer}{body}").as_bytes()).await?;
    stream.shutdown().await
}

const SOON: Duration = Duration::from_secs(45);
