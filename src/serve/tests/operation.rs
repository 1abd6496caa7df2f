//! The admin listener, and reading the configuration again.

use rustls::pki_types::CertificateDer;
use secrecy::ExposeSecret;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::serve::reload::{Reloaded, Reloader};

#[tokio::test]
async fn probes_say_ready_until_the_relay_stops_or_its_store_fails() {
    let mut relay = Running::start().await;
    assert_eq!(relay.ask("GET /healthz", "").await, (200, "ok\n".into()));
    assert_eq!(relay.ask("GET /readyz", "").await.0, 200);
    let session = relay.session().await;
    relay.stop.try_send(()).unwrap();
    relay.until(|_| relay.stopping.is_cancelled()).await;
    let (status, reasons) = relay.ask("GET /readyz", "").await;
    assert_eq!((status, reasons.contains("the relay is stopping")), (503, true), "{reasons}");
    assert_eq!(relay.ask("GET /healthz", "").await.0, 200);
    session.end(EndReason::Closed, access::Side::Client);
    relay.task.join_next().await.unwrap().unwrap();

    let mut relay = Running::start().await;
    relay.state.store.clone().close().await;
    let (status, reasons) = relay.ask("GET /readyz", "").await;
    assert_eq!((status, reasons.contains("the store does not answer")), (503, true), "{reasons}");
    relay.stop().await;
}

#[tokio::test]
async fn metrics_count_what_happens() {
    let mut relay = Running::start().await;
    let session = relay.session().await;
    assert!(session.dial().await.is_err());
    let text = relay.metrics().await;
    for line in [
        "adit_sessions_open{door=\"agent\"} 1",
        "adit_sessions_open{door=\"ssh\"} 0",
        "adit_connectors_up{site=\"hq\"} 0",
        "adit_dial_seconds_count{outcome=\"connector.offline\"} 1",
        "adit_audit_append_seconds_count 1",
        "adit_audit_dropped_total 0",
        "adit_ssh_held_total 0",
        "adit_strangers{listener=\"ssh\"} 0",
        "adit_policy_age_seconds 0",
    ] {
        assert!(text.lines().any(|is| is == line), "{line}\n{text}");
    }
    let version = format!("adit_policy_version {}", relay.state.policy.current().version());
    for start in
        [version.as_str(), "adit_build_info{version=", "process_open_fds ", "process_resident"]
    {
        assert!(text.lines().any(|line| line.starts_with(start)), "{start}\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
    session.end(EndReason::Killed, access::Side::Relay);
    let ended = "adit_sessions_ended_total{door=\"agent\",reason=\"killed\",side=\"relay\"} 1";
    let text = relay.metrics().await;
    assert!(
        text.contains(ended) && text.contains("adit_sessions_open{door=\"agent\"} 0"),
        "{text}"
    );
    let _stranger = connect_from([127, 0, 0, 7], relay.ready.ssh).await;
    let waiting = "adit_strangers{listener=\"ssh\"} 1";
    relay.until(|_| relay.knobs.lobbies.ssh.count() == 1).await;
    assert!(relay.metrics().await.contains(waiting));
    relay.stop().await;
}

#[tokio::test]
async fn the_log_level_changes_live_and_not_from_a_web_page() {
    let mut relay = Running::start().await;
    assert_eq!(relay.ask("GET /log-level", "").await, (200, "info\n".into()));
    assert_eq!(relay.ask("POST /log-level", "info,adit_relay=debug").await.0, 200);
    assert_eq!(relay.knobs.log.level().to_string(), "info,adit_relay=debug");
    assert_eq!(relay.ask("POST /log-level", "chatty").await.0, 400);
    assert_eq!(relay.ask("POST /log-level", &"x".repeat(2000)).await.0, 413);
    let rebound = relay.raw("POST /log-level HTTP/1.1\r\nHost: evil.example\r\n", "trace").await;
    assert_eq!(rebound.0, 403);
    let page = "POST /log-level HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: https://evil.example\r\n";
    assert_eq!(relay.raw(page, "trace").await.0, 403);
    assert_eq!(relay.knobs.log.level().to_string(), "info,adit_relay=debug");
    relay.stop().await;
}

#[tokio::test]
async fn a_changed_file_is_applied_and_what_needs_a_restart_is_named() {
    let mut relay = Running::start().await;
    let mut reloader = relay.reloader("");
    assert_eq!(reloader.reload().await.unwrap(), Reloaded::default());
    let path = relay.write(
        "names = ['new.test']\n[listen]\nssh = '127.0.0.1:1'\n\
         [limits]\nmax_unauthenticated = 16\nmax_sessions = 5\n[log]\nlevel = 'debug'\n",
    );
    let mut reloader = Reloader::new(path, relay.config.clone(), relay.knobs.clone());
    let outcome = reloader.reload().await.unwrap();
    assert_eq!(outcome.applied, ["log.level", "names", "limits.max_unauthenticated"]);
    assert!(outcome.restart.contains(&"listen.ssh"), "{outcome:?}");
    assert!(outcome.restart.contains(&"limits.max_sessions"), "{outcome:?}");
    assert_eq!(outcome.failed, [""; 0]);
    assert_eq!(relay.knobs.log.level().to_string(), "debug");
    // Both kinds of door go on, with the new certificate.
    let info: serde_json::Value = relay.client(None).get("/api/v1/info", None).await.unwrap();
    assert_eq!(info["domain"], "relay.test");
    relay.agent("admin").await;
    // What waits for a restart is named again; what was applied is not.
    let again = reloader.reload().await.unwrap();
    assert_eq!((again.applied.len(), &again.restart), (0, &outcome.restart));
    relay.stop().await;
}

#[tokio::test]
async fn a_destination_of_the_audit_log_comes_with_the_file_and_is_counted() {
    let mut relay = Running::start().await;
    assert!(!relay.metrics().await.contains("{destination="));
    let path = relay.dir.path().join("audit.jsonl");
    let lines =
        format!("[[audit.destination]]\nname = 'archive'\nkind = 'file'\npath = {path:?}\n");
    let mut reloader = relay.reloader(&lines);
    assert_eq!(reloader.reload().await.unwrap().applied, ["audit.destination"]);
    let session = relay.session().await;
    relay.until(|_| std::fs::read_to_string(&path).is_ok_and(|text| text.contains("opened"))).await;
    relay.until(|state| state.deliveries.counts().iter().all(|count| count.lag == 0)).await;
    let text = relay.metrics().await;
    for line in [
        "adit_audit_delivery_lag{destination=\"archive\"} 0",
        "adit_audit_delivery_failures_total{destination=\"archive\"} 0",
    ] {
        assert!(text.lines().any(|is| is == line), "{line}\n{text}");
    }
    assert!(text.contains("adit_audit_delivered_seq{destination=\"archive\"} "), "{text}");
    drop(session);
    relay.stop().await;
}

#[tokio::test]
async fn a_file_with_mistakes_changes_nothing() {
    let mut relay = Running::start().await;
    let mut reloader = relay.reloader("[log]\nlevel = 'debug'\n[limits]\nmax_sessions = 0\n");
    assert!(reloader.reload().await.is_err());
    assert_eq!(relay.knobs.log.level().to_string(), "info");
    relay.stop().await;
}

#[tokio::test]
async fn the_servers_shown_name_follows_the_file() {
    let mut relay = Running::start().await;
    assert!(relay.handshake("new.test").await.is_err());
    let mut reloader = relay.reloader("names = ['new.test']\n");
    assert_eq!(reloader.reload().await.unwrap().applied, ["names"]);
    relay.handshake("new.test").await.unwrap();
    relay.stop().await;
}

#[tokio::test]
async fn what_the_ssh_door_says_follows_the_file() {
    let mut relay = Running::start().await;
    let lines = "[ssh]\nbanner = \"Be nice.\\nOr leave.\"\ntoken_prompt = 'Token:'\n";
    let mut reloader = relay.reloader(lines);
    assert_eq!(reloader.reload().await.unwrap().applied, ["ssh"]);
    assert_eq!(reloader.reload().await.unwrap(), Reloaded::default());
    relay.stop().await;
}

#[tokio::test]
async fn a_certificate_of_ones_own_is_shown_for_applications_and_changes_with_its_file() {
    let mut relay = Running::start().await;
    relay.handshake("wiki-hq.relay.test").await.unwrap();
    let first = relay.certify("relay.test");
    let lines = "[tls]\ncertificate = 'own.pem'\nkey = 'own.key'\n";
    let mut reloader = relay.reloader(lines);
    assert_eq!(reloader.reload().await.unwrap().applied, ["tls"]);
    // Machines know the relay by its CA, and go on doing so.
    relay.handshake("relay.test").await.unwrap();
    assert!(relay.handshake("wiki-hq.relay.test").await.is_err());
    relay.shake_hands_trusting("wiki-hq.relay.test", first.clone()).await.unwrap();
    assert_eq!(reloader.reload().await.unwrap(), Reloaded::default());
    let second = relay.certify("relay.test");
    assert_eq!(reloader.reload().await.unwrap().applied, ["tls"]);
    relay.shake_hands_trusting("wiki-hq.relay.test", second.clone()).await.unwrap();
    assert!(relay.shake_hands_trusting("wiki-hq.relay.test", first).await.is_err());
    // One that can not be read leaves the other in place.
    std::fs::write(relay.dir.path().join("own.key"), "no key").unwrap();
    assert_eq!(reloader.reload().await.unwrap().failed, ["tls"]);
    relay.shake_hands_trusting("wiki-hq.relay.test", second).await.unwrap();
    relay.stop().await;
}

#[tokio::test]
async fn of_several_files_each_name_is_shown_its_own_and_a_bad_pair_changes_nothing() {
    let mut relay = Running::start().await;
    let (first, second) = (relay.certify_as("a", "a-hq.relay.test"), relay.certify("relay.test"));
    let lines = "[[tls.certificates]]\ncertificate = 'a.pem'\nkey = 'a.key'\n\
                 [[tls.certificates]]\ncertificate = 'own.pem'\nkey = 'own.key'\n";
    let mut reloader = relay.reloader(lines);
    assert_eq!(reloader.reload().await.unwrap().applied, ["tls"]);
    relay.shake_hands_trusting("a-hq.relay.test", first.clone()).await.unwrap();
    relay.shake_hands_trusting("b-hq.relay.test", second.clone()).await.unwrap();
    assert!(
        relay
            .metrics()
            .await
            .contains("certificate_expires_seconds{name=\"a-hq.relay.test\",source=\"files\"}")
    );
    // A connection from before goes on, whatever is shown to who comes after.
    let mut early = relay.shake_hands_trusting("b-hq.relay.test", second.clone()).await.unwrap();
    let third = relay.certify("relay.test");
    std::fs::write(relay.dir.path().join("a.key"), "no key").unwrap();
    assert_eq!(reloader.reload().await.unwrap().failed, ["tls"]);
    relay.shake_hands_trusting("b-hq.relay.test", second).await.unwrap();
    let fourth = relay.certify_as("a", "a-hq.relay.test");
    assert_eq!(reloader.reload().await.unwrap().applied, ["tls"]);
    relay.shake_hands_trusting("b-hq.relay.test", third).await.unwrap();
    relay.shake_hands_trusting("a-hq.relay.test", fourth).await.unwrap();
    early.write_all(b"GET / HTTP/1.1\r\nHost: b-hq.relay.test\r\n\r\n").await.unwrap();
    let mut answer = [0; 12];
    timeout(SOON, early.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(&answer, b"HTTP/1.1 401");
    relay.stop().await;
}

#[tokio::test]
async fn who_signed_in_on_a_kept_connection_is_no_stranger_any_more() {
    let mut relay = Running::start().await;
    let token = relay.token(TokenKind::Admin).await;
    let lobby = relay.knobs.lobbies.https.clone();
    let mut stranger = relay.shake_hands("relay.test").await.unwrap();
    ask_and_stay(&mut stranger, "/api/v1/info", "").await;
    assert_eq!(lobby.count(), 1, "a public page vouches for nobody");
    ask_and_stay(&mut stranger, "/api/v1/users", "Authorization: Bearer adit_no\r\n").await;
    assert_eq!(lobby.count(), 1, "nor does a wrong token");
    let bearer = format!("Authorization: Bearer {}\r\n", token.expose_secret());
    ask_and_stay(&mut stranger, "/api/v1/users", &bearer).await;
    relay.until(|_| lobby.count() == 0).await;
    // And it goes on.
    ask_and_stay(&mut stranger, "/api/v1/users", &bearer).await;
    drop(stranger);
    relay.stop().await;
}

/// A request whose connection stays open; reads the whole answer.
async fn ask_and_stay(stream: &mut TlsStream<TcpStream>, path: &str, header: &str) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: relay.test\r\n{header}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let (mut answer, mut part) = (Vec::new(), [0; 4096]);
    let whole = |answer: &[u8]| {
        let text = String::from_utf8_lossy(answer).to_ascii_lowercase();
        let (head, body) = text.split_once("\r\n\r\n")?;
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "))?;
        Some(body.len() >= length.parse().ok()?)
    };
    while whole(&answer) != Some(true) {
        let read = timeout(SOON, stream.read(&mut part)).await.unwrap().unwrap();
        assert_ne!(read, 0, "{}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&part[..read]);
    }
}

impl Running {
    /// A configuration with the running one's ports and these lines.
    fn write(&self, lines: &str) -> std::path::PathBuf {
        let path = self.dir.path().join("changed.toml");
        std::fs::write(&path, format!("domain = 'relay.test'\n{lines}")).unwrap();
        path
    }

    /// A reloader of a file with these lines, to which only they are new.
    fn reloader(&self, lines: &str) -> Reloader {
        let unchanged = Config::read(&self.write("")).unwrap();
        Reloader::new(self.write(lines), unchanged, self.knobs.clone())
    }

    async fn metrics(&self) -> String {
        let (status, text) = self.ask("GET /metrics", "").await;
        assert_eq!(status, 200);
        text
    }

    async fn ask(&self, request: &str, body: &str) -> (u16, String) {
        self.raw(&format!("{request} HTTP/1.1\r\nHost: 127.0.0.1\r\n"), body).await
    }

    async fn raw(&self, head: &str, body: &str) -> (u16, String) {
        let mut socket = TcpStream::connect(self.ready.admin.unwrap()).await.unwrap();
        let rest = format!("Connection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        socket.write_all(format!("{head}{rest}").as_bytes()).await.unwrap();
        let mut answer = String::new();
        timeout(SOON, socket.read_to_string(&mut answer)).await.unwrap().unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// A TLS handshake that expects a certificate for `name`.
    async fn handshake(&self, name: &str) -> std::io::Result<()> {
        self.shake_hands(name).await.map(drop)
    }

    /// Writes `own.pem` and `own.key`, for the applications below `domain`.
    fn certify(&self, domain: &str) -> CertificateDer<'static> {
        self.certify_as("own", &format!("*.{domain}"))
    }

    fn certify_as(&self, file: &str, name: &str) -> CertificateDer<'static> {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        let write = |end: &str, text: String| {
            std::fs::write(self.dir.path().join(format!("{file}.{end}")), text).unwrap();
        };
        write("pem", made.cert.pem());
        write("key", made.signing_key.serialize_pem());
        made.cert.der().clone()
    }

    pub(super) async fn shake_hands(&self, name: &str) -> std::io::Result<TlsStream<TcpStream>> {
        self.shake_hands_trusting(name, self.state.ca.certificate().clone()).await
    }

    async fn shake_hands_trusting(
        &self,
        name: &str,
        root: CertificateDer<'static>,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(root).unwrap();
        let config = rustls::ClientConfig::builder().with_root_certificates(roots);
        let connector =
            tokio_rustls::TlsConnector::from(std::sync::Arc::new(config.with_no_client_auth()));
        let socket = TcpStream::connect(self.ready.https).await?;
        let name = rustls::pki_types::ServerName::try_from(name.to_owned()).unwrap();
        connector.connect(name, socket).await
    }
}
