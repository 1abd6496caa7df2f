//! A provider on this machine that says what tests tell it to.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use data_encoding::BASE64URL_NOPAD;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::config::OidcProvider;

pub(crate) struct Fake {
    pub(crate) issuer: String,
    pub(crate) told: Arc<Mutex<Told>>,
    ca_file: PathBuf,
    _task: JoinSet<()>,
}

/// What it says, and what it was asked.
pub(crate) struct Told {
    pub(crate) signer: Signer,
    /// What is served as its keys.
    pub(crate) keys: Vec<Value>,
    /// Laid over the usual claims.
    pub(crate) claims: Value,
    pub(crate) nonce: String,
    /// Bodies of posts to the token endpoint, with what they showed.
    pub(crate) exchanged: Vec<String>,
    pub(crate) asked_for_keys: u32,
}

/// A key and its id.
pub(crate) struct Signer {
    pair: EcdsaKeyPair,
    pub(crate) kid: String,
}

impl Signer {
    pub(crate) fn new(kid: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self { pair, kid: kid.to_owned() }
    }

    pub(crate) fn public(&self) -> Value {
        let point = self.pair.public_key().as_ref();
        let part = |range: std::ops::Range<usize>| BASE64URL_NOPAD.encode(&point[range]);
        json!({ "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": self.kid,
            "x": part(1..33), "y": part(33..65) })
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        self.sign_under(&json!({ "alg": "ES256", "kid": self.kid }), claims)
    }

    pub(crate) fn sign_under(&self, head: &Value, claims: &Value) -> String {
        let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        let signed = format!("{}.{}", part(head), part(claims));
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", BASE64URL_NOPAD.encode(signature.as_ref()))
    }
}

impl Fake {
    pub(crate) async fn start(folder: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let (acceptor, ca_file) = acceptor(folder);
        let signer = Signer::new("first");
        let told = Arc::new(Mutex::new(Told {
            keys: vec![signer.public()],
            signer,
            claims: json!({}),
            nonce: String::new(),
            exchanged: Vec::new(),
            asked_for_keys: 0,
        }));
        let (mut task, answers, own) = (JoinSet::new(), told.clone(), issuer.clone());
        task.spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let Ok(mut stream) = acceptor.accept(socket).await else { continue };
                let (mut text, mut part) = (String::new(), [0; 8192]);
                while !is_whole(&text) {
                    let read = stream.read(&mut part).await.unwrap();
                    text.push_str(&String::from_utf8_lossy(&part[..read]));
                    assert_ne!(read, 0, "{text}");
                }
                let body = answers.lock().unwrap().answer(&own, &text).to_string();
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
                stream.write_all((head + &body).as_bytes()).await.unwrap();
                drop(stream.shutdown().await);
            }
        });
        Self { issuer, told, ca_file, _task: task }
    }

    /// As the relay's file has it; `more` changes that.
    pub(crate) fn config(&self, more: impl FnOnce(&mut OidcProvider)) -> OidcProvider {
        let mut config = OidcProvider {
            name: "corp".parse().unwrap(),
            title: "Sign in with Corp".to_owned(),
            issuer: self.issuer.clone(),
            client_id: "adit".to_owned(),
            client_secret_file: None,
            ca_file: Some(self.ca_file.clone()),
            scopes: vec!["profile".to_owned()],
            user_claim: "preferred_username".to_owned(),
            link_users: false,
            provision: false,
            groups_claim: "groups".to_owned(),
            groups: Vec::new(),
        };
        more(&mut config);
        config
    }

    pub(crate) fn now(&self) -> std::sync::MutexGuard<'_, Told> {
        self.told.lock().unwrap()
    }
}

impl Told {
    fn answer(&mut self, issuer: &str, request: &str) -> Value {
        let path = request.split(' ').nth(1).unwrap();
        match path {
            "/.well-known/openid-configuration" => json!({
                "issuer": issuer,
                "authorization_endpoint": format!("{issuer}/authorize"),
                "token_endpoint": format!("{issuer}/token"),
                "jwks_uri": format!("{issuer}/keys"),
                "end_session_endpoint": format!("{issuer}/end"),
            }),
            "/keys" => {
                self.asked_for_keys += 1;
                json!({ "keys": self.keys })
            }
            "/token" => {
                self.exchanged.push(request.to_owned());
                json!({ "id_token": self.statement(issuer), "token_type": "Bearer" })
            }
            other => panic!("{other}"),
        }
    }

    fn statement(&self, issuer: &str) -> String {
        let now = super::seconds(SystemTime::now());
        let mut claims = json!({ "iss": issuer, "aud": "adit", "sub": "s-1", "nonce": self.nonce,
            "iat": now, "exp": now + 300, "preferred_username": "alice" });
        for (claim, value) in self.claims.as_object().unwrap() {
            claims[claim] = value.clone();
        }
        self.signer.sign(&claims)
    }
}

fn is_whole(request: &str) -> bool {
    let Some((head, body)) = request.split_once("\r\n\r\n") else { return false };
    let mut lines = head.lines();
    let length = lines.find_map(|line| {
        line.to_ascii_lowercase().strip_prefix("content-length: ").and_then(|n| n.parse().ok())
    });
    body.len() >= length.unwrap_or(0)
}

fn acceptor(folder: &Path) -> (TlsAcceptor, PathBuf) {
    let (ca_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_file = folder.join("provider-ca.pem");
    std::fs::write(&ca_file, ca.self_signed(&ca_key).unwrap().pem()).unwrap();
    let ca = Issuer::new(ca, ca_key);
    let own = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let own = own.signed_by(&key, &ca).unwrap();
    let chain = vec![CertificateDer::from(own.der().to_vec())];
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(tunnel::tls::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), ca_file)
}
