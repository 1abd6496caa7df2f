//! A relay of its own making, with its own CA, for tests of the machine's side and of the wire.
#![allow(dead_code, reason = "each test binary uses its part of it")]
#![allow(
    clippy::unwrap_used,
    reason = "these are helpers of tests, which clippy takes for no test"
)]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use tunnel::endpoint::{self, Congestion};
use tunnel::identity::{Identity, Key};
use tunnel::tls::{Expiry, client_verifier};
use tunnel::{Connection, DialOut, Knock, Renewer, Stream};
use wire::{Header, Mode, Open, Refusal, Reply};

pub(crate) struct TestRelay {
    pub(crate) ca: Arc<TestCa>,
    pub(crate) endpoint: quinn::Endpoint,
}

pub(crate) struct TestCa {
    pub(crate) pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl TestRelay {
    pub(crate) fn start() -> Self {
        Self::listen(Arc::new(TestCa::new()), SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
    }

    pub(crate) fn listen(ca: Arc<TestCa>, address: SocketAddr) -> Self {
        let (chain, key) = ca.server();
        let verifier = client_verifier(&ca.pem, Expiry::ForRenewal).unwrap();
        let config =
            endpoint::server_config(&chain, &key.into(), verifier, Congestion::default()).unwrap();
        let endpoint = endpoint::bind_udp(address)
            .and_then(|socket| endpoint::listen(socket, config, &[7; 32]))
            .unwrap();
        Self { ca, endpoint }
    }

    pub(crate) fn address(&self) -> String {
        self.endpoint.local_addr().unwrap().to_string()
    }

    pub(crate) async fn knock(&self) -> Knock {
        tunnel::accept(self.endpoint.accept().await.unwrap()).await.unwrap()
    }

    pub(crate) async fn welcome(&self) -> Connection {
        let signer = Arc::new(Signer(Arc::clone(&self.ca)));
        self.knock().await.welcome("adit-relay test", signer).await.unwrap()
    }

    /// Both ends of one connection.
    pub(crate) async fn connect(&self) -> (Connection, Connection) {
        let address = self.address();
        let identity = self.ca.identity("agent:1");
        let (relay, machine) =
            tokio::join!(self.welcome(), tunnel::dial_out(how(&address, identity)));
        (relay, machine.unwrap())
    }
}

pub(crate) fn how(address: &str, identity: Identity) -> DialOut<'_> {
    DialOut {
        relay: address,
        domain: "relay.test",
        identity,
        software: "test 0",
        capabilities: vec!["testing".to_owned()],
        congestion: Congestion::default(),
    }
}

impl TestCa {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name.push(DnType::CommonName, "test CA");
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    pub(crate) fn server(&self) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let names = ["relay.test", "localhost", "127.0.0.1"].map(str::to_owned);
        let params = CertificateParams::new(names).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (format!("{}{}", certificate.pem(), self.pem), key.serialize_pem())
    }

    pub(crate) fn identity(&self, name: &str) -> Identity {
        self.identity_from(name, Duration::ZERO, Duration::from_secs(3600))
    }

    /// An identity whose certificate began `age` ago and has a life of `life`.
    pub(crate) fn identity_from(&self, name: &str, age: Duration, life: Duration) -> Identity {
        let key = Key::generate().unwrap();
        let pem = self.sign(&key.csr_pem().unwrap(), name, SystemTime::now() - age, life);
        Identity::new(&key, pem, self.pem.clone()).unwrap()
    }

    pub(crate) fn sign(&self, csr: &str, name: &str, from: SystemTime, life: Duration) -> String {
        let mut request = CertificateSigningRequestParams::from_pem(csr).unwrap();
        request.params.distinguished_name.push(DnType::CommonName, name);
        request.params.not_before = from.into();
        request.params.not_after = (from + life).into();
        request.params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        request.signed_by(&self.issuer).unwrap().pem()
    }
}

/// Signs whatever it is asked to.
pub(crate) struct Signer(pub(crate) Arc<TestCa>);

#[async_trait]
impl Renewer for Signer {
    async fn renew(&self, csr_pem: &str) -> Result<String, Refusal> {
        Ok(self.0.sign(csr_pem, "agent:1", SystemTime::now(), Duration::from_secs(3600)))
    }
}

/// No wait of a test is without an end.
pub(crate) fn within<'a, F: Future + 'a>(
    future: F,
) -> std::pin::Pin<Box<dyn Future<Output = F::Output> + 'a>> {
    Box::pin(async {
        tokio::time::timeout(Duration::from_secs(20), future).await.expect("within 20 s")
    })
}

/// Both ends of an opened stream.
pub(crate) async fn pair(near: &Connection, far: &Connection) -> (Stream, Stream) {
    let header = Header::Open(Open { application: "web1".into(), raw: true });
    let answer = async {
        let mut stream = far.accept().await.unwrap();
        let _: Header = stream.recv_frame().await.unwrap();
        let reply = Reply::Opened { session: None, mode: Mode::Raw, host_keys: Vec::new() };
        stream.send_frame(&reply).await.unwrap();
        stream
    };
    let (opened, far) = within(async { tokio::join!(near.open(&header), answer) }).await;
    (opened.unwrap().0, far)
}
