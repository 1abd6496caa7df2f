//! Tunnels over TCP: the same machines, known in the same way.

use std::net::UdpSocket;

use tokio::net::TcpListener;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tunnel::doctor::{Outcome, examine};
use tunnel::ladder::Ways;
use tunnel::tls::{Oldest, client_config, server_config};
use tunnel::{Closed, Interception, Ladder, OverTcp, Transport};

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_connector_comes_over_tls_as_over_quic_and_leaves_when_it_is_removed() {
    let mut relay = Running::start().await;
    let (id, identity) = relay.connector().await;
    let (ladder, _no_udp) = relay.ladder(relay.ready.https.port(), Interception::Refuse);
    let connection = within(ladder.dial(&identity)).await.unwrap();
    assert_eq!(connection.transport(), Transport::Tls);
    relay.until(|state| state.connectors.list().len() == 1).await;
    assert_eq!(relay.state.connectors.list()[0].transport, "tls");
    // Another connection of the same process is the same connector, and takes nothing from it.
    let again = within(ladder.dial(&identity)).await.unwrap();
    relay.until(|state| state.connectors.list().len() == 1).await;
    assert!(connection.is_open());
    let began = Instant::now();
    relay.state.store.remove_connector(id).await.unwrap();
    assert!(relay.state.connectors.disconnect(id));
    for connection in [connection, again] {
        let closed = within(connection.closed()).await;
        let why = "the connector was removed".to_owned();
        assert_eq!(closed, Closed::Peer { reason: EndReason::Revoked, why });
    }
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    let refused = within(ladder.dial(&identity)).await.unwrap_err();
    assert!(
        matches!(&refused, ConnectError::Refused { source } if source.code == "machine.unknown"),
        "{refused:?}"
    );
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_doctor_says_whether_the_relay_knows_the_machine_and_disturbs_nothing_that_runs() {
    let mut relay = Running::start().await;
    let (id, identity) = relay.connector().await;
    let runs = within(relay.by_quic().dial(&identity)).await.unwrap();
    relay.until(|state| state.connectors.list().len() == 1).await;
    // Another process of the machine, as the doctor is.
    let examined = async || {
        let found = within(examine(&relay.by_quic(), &identity)).await;
        found.into_iter().find(|finding| finding.check == "enrolment").expect("it was looked at")
    };
    assert_eq!(examined().await.outcome, Outcome::Good);
    // Once more, as one that returned after the other would be a clone.
    assert_eq!(examined().await.outcome, Outcome::Good);
    assert!(runs.is_open());
    let listed = relay.state.connectors.list();
    assert_eq!((listed.len(), listed[0].cloned), (1, None));
    relay.state.store.remove_connector(id).await.unwrap();
    assert!(relay.state.connectors.disconnect(id));
    let refused = examined().await;
    assert_eq!((refused.outcome, refused.code.as_deref()), (Outcome::Bad, Some("machine.unknown")));
    assert!(refused.fix.is_some_and(|fix| fix.contains("adit-connector join")));
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_over_tls_loses_its_connection_when_it_is_revoked() {
    let mut relay = Running::start().await;
    let (_quic, agent, identity) = relay.agent_with_key("admin").await;
    let (ladder, _no_udp) = relay.ladder(relay.ready.https.port(), Interception::Refuse);
    let connection = within(ladder.dial(&identity)).await.unwrap();
    relay.state.store.revoke_agent(agent.id).await.unwrap();
    relay.state.policy.refresh().await;
    let began = Instant::now();
    let closed = within(connection.closed()).await;
    assert!(matches!(closed, Closed::Peer { reason: EndReason::Revoked, .. }), "{closed:?}");
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_certificate_is_renewed_over_tls_before_anything_else() {
    let mut relay = Running::start().await;
    let id = ConnectorId(Uuid::new_v4());
    let long_ago = SystemTime::now() - Duration::from_secs(400 * 24 * 3600);
    let identity = relay.identity(&format!("connector:{id}"), long_ago);
    let site = relay.site("hq").await;
    relay.state.store.enrol_connector(id, site, "hq-1", identity.spki()).await.unwrap();
    let (ladder, _no_udp) = relay.ladder(relay.ready.https.port(), Interception::Refuse);
    let connection = within(ladder.dial(&identity)).await.unwrap();
    assert_eq!(connection.transport(), Transport::Tls);
    relay.until(|state| state.connectors.list().len() == 1).await;
    let expires = relay.state.connectors.list()[0].certificate_expires;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    assert!(expires > now, "{expires} {now}");
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_crosses_somebody_who_ends_tls_where_that_is_allowed() {
    let mut relay = Running::start().await;
    let (_, identity) = relay.connector().await;
    let (middle, _middle) = relay.terminating().await;
    let (strict, _no_udp) = relay.ladder(middle, Interception::Refuse);
    let refused = within(strict.dial(&identity)).await.unwrap_err();
    assert_eq!(refused.explain().map(|why| why.code().0), Some("relay.intercepted"));
    let (ladder, _no_udp) = relay.ladder(middle, Interception::Cross);
    let connection = within(ladder.dial(&identity)).await.unwrap();
    assert_eq!(connection.transport(), Transport::WebSocket);
    relay.until(|state| state.connectors.list().len() == 1).await;
    assert_eq!(relay.state.connectors.list()[0].transport, "websocket");
    // Who ends the outer TLS is not the relay, and has no certificate to show inside.
    let impostor = relay.identity("connector:1", SystemTime::now());
    let refused = within(ladder.dial(&impostor)).await.unwrap_err();
    assert!(matches!(refused, ConnectError::Refused { .. }), "{refused:?}");
    relay.stop().await;
    let closed = within(connection.closed()).await;
    assert!(matches!(closed, Closed::Peer { reason: EndReason::Drained, .. }), "{closed:?}");
}

impl Running {
    async fn connector(&self) -> (ConnectorId, Identity) {
        let (id, site) = (ConnectorId(Uuid::new_v4()), self.site("hq").await);
        let identity = self.identity(&format!("connector:{id}"), SystemTime::now());
        self.state.store.enrol_connector(id, site, "hq-1", identity.spki()).await.unwrap();
        (id, identity)
    }

    /// To the relay's HTTPS port, or who stands in front of it. UDP goes nowhere while the socket
    /// lives.
    fn ladder(&self, https: u16, interception: Interception) -> (Ladder, UdpSocket) {
        let silent = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
        let ways = Ways {
            quic: silent.local_addr().unwrap().to_string(),
            https: format!("127.0.0.1:{https}"),
            domain: "relay.test".into(),
            software: "test",
            congestion: Congestion::default(),
            over_tcp: OverTcp { interception, ..OverTcp::default() },
        };
        (Ladder::new(ways, None), silent)
    }

    /// To both of the relay's ports.
    fn by_quic(&self) -> Ladder {
        let ways = Ways {
            quic: self.ready.quic.to_string(),
            https: format!("127.0.0.1:{}", self.ready.https.port()),
            domain: "relay.test".into(),
            software: "test",
            congestion: Congestion::default(),
            over_tcp: OverTcp::default(),
        };
        Ladder::new(ways, None)
    }

    /// Somebody who ends TLS in front of the relay with a certificate of their own, takes nothing but
    /// HTTP, and passes it on.
    async fn terminating(&self) -> (u16, JoinSet<()>) {
        let own = rcgen::generate_simple_self_signed(["relay.test".to_owned()]).unwrap();
        let key = own.signing_key.serialize_pem().into();
        let mut config = server_config(&own.cert.pem(), &key, None, Oldest::Tls13).unwrap();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(std::sync::Arc::new(config));
        let trust = Trust::Ca(self.state.ca.certificate_pem().to_owned());
        let mut config = client_config(&trust, None).unwrap();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let connector = TlsConnector::from(std::sync::Arc::new(config));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let (port, relay) = (listener.local_addr().unwrap().port(), self.ready.https);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut carried = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let (acceptor, connector) = (acceptor.clone(), connector.clone());
                carried.spawn(async move {
                    let Ok(mut client) = acceptor.accept(socket).await else { return };
                    let socket = TcpStream::connect(relay).await.unwrap();
                    let name = "relay.test".try_into().unwrap();
                    let mut relay = connector.connect(name, socket).await.unwrap();
                    drop(tokio::io::copy_bidirectional(&mut client, &mut relay).await);
                });
            }
        });
        (port, tasks)
    }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), Box::pin(future)).await.expect("within 20 s")
}
