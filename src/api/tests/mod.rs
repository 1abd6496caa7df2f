//! The API over a real store, without a network.

mod apply;
mod audit;
mod browsers;
mod by_cookie;
mod changes;
mod connectors;
mod devices;
mod edits;
mod enrolment;
mod host_keys;
mod keys;
mod lists;
mod oidc;
mod once;
mod openapi;
mod oracles;
mod pages;
mod passkeys;
mod passwords;
mod portal;
mod rates;
mod recordings;
mod requests;
mod roles;
mod scim;
mod scopes;
mod second_factors;
mod seen;
mod settings;
mod signed_in;
mod site_admins;
mod tokens;
mod why;
mod withdrawn;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use access::{AgentId, TokenKind};
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use gateway_rdp::{RdpConfig, RdpGateway};
use gateway_ssh::{SshConfig, SshGateway};
use http_body_util::BodyExt;
use record::{Archive, RecordingsKey};
use serde_json::Value;
use session::{Broker, Limits};
use store::{Apply, MasterKey, NewToken, Store};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use uuid::Uuid;

use crate::agents::Agents;
use crate::authn::Authn;
use crate::ca::Ca;
use crate::certificates::Certificates;
use crate::connectors::Connectors;
use crate::desktops::Desktops;
use crate::oidc::Providers;
use crate::playbacks::Playbacks;
use crate::policy::PolicyPublisher;
use crate::terminals::Terminals;
use crate::{AgentIdentity, AppState, Peer, RelayInfo};

/// A relay without doors.
struct Relay {
    state: AppState,
    drain: CancellationToken,
    _dir: tempfile::TempDir,
}

/// Who sends a request.
enum Who<'a> {
    Nobody,
    Agent(&'a AgentIdentity),
    Bearer(&'a str),
}

/// What came back.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

async fn certificates(store: &Store, ca: &Arc<Ca>, policy: &PolicyPublisher) -> Arc<Certificates> {
    let names = crate::ca::server_names("relay.test", &[]);
    let relay = ca.server_certificate(store, &names, SystemTime::now()).await.unwrap();
    let shown = (&relay, Vec::new());
    Certificates::new(ca.clone(), "relay.test", policy.subscribe(), shown).unwrap()
}

impl Relay {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("adit.db"), MasterKey::generate()).await.unwrap();
        let document = serde_json::from_value(configuration()).unwrap();
        store.apply(&document, Apply::default(), SystemTime::now()).await.unwrap();
        let ca = Arc::new(Ca::create(&store, "relay.test", SystemTime::now()).await.unwrap());
        let policy = PolicyPublisher::start(store.clone()).await.unwrap();
        let authn = Arc::new(Authn::new(store.clone(), policy.subscribe(), store.audit()));
        let connectors = Connectors::new(store.audit());
        let drain = CancellationToken::new();
        let broker = Broker::new(
            store.audit(),
            connectors.clone(),
            policy.subscribe(),
            drain.clone(),
            Limits { max_sessions: 8 },
        );
        policy.watch_sessions(broker.clone());
        let (agents, terminals) = agents(&store, &authn, &broker, &policy, &drain);
        let desktops = desktops(&store, &broker);
        let ends = Arc::default();
        let deliveries = crate::Deliveries::new(store.clone(), "relay.test", Vec::new());
        let url = "https://relay.test".to_owned();
        let notices = crate::Notices::new(store.clone(), broker.audit().clone(), Vec::new(), url);
        let certificates = certificates(&store, &ca, &policy).await;
        let info = Arc::new(info());
        let (root, key) = (dir.path().join("recordings"), RecordingsKey::new(&[5; 32]));
        let recordings = Archive::open(root, key, store.audit()).await.unwrap();
        broker.recorded_by(Arc::new(recordings.clone()));
        let playbacks = Playbacks::new(recordings.clone(), broker.clone(), ca.clone());
        let calls = Arc::new(super::Calls::new(50));
        let state = AppState {
            store,
            cluster: None,
            authn,
            broker,
            policy,
            connectors,
            agents,
            ca,
            user_ca: user_ca(),
            certificates,
            ends,
            deliveries,
            notices,
            directories: crate::Directories::new(Vec::new()),
            recordings,
            terminals,
            desktops,
            playbacks,
            oidc: Arc::new(Providers::new(&[])),
            calls,
            info,
        };
        Self { state, drain, _dir: dir }
    }

    async fn call(&self, who: &Who<'_>, method: Method, path: &str, body: Option<Value>) -> Answer {
        self.call_with(who, method, path, body, &[]).await
    }

    /// As [`call`](Self::call), with these headers.
    async fn call_with(
        &self,
        who: &Who<'_>,
        method: Method,
        path: &str,
        body: Option<Value>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut request = Request::builder().method(method.clone()).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut agent = None;
        match who {
            Who::Nobody => {}
            Who::Agent(identity) => agent = Some((*identity).clone()),
            Who::Bearer(token) => {
                request = request.header("authorization", format!("Bearer {token}"));
            }
        }
        let addr = SocketAddr::from(([192, 0, 2, 7], 50_000));
        request = request.extension(Peer { addr, agent });
        let request = match body {
            Some(body) => request
                .header("content-type", "application/json")
                .body(Body::from(body.to_string())),
            None => request.body(Body::empty()),
        };
        let response = super::router(self.state.clone()).oneshot(request.unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let answer = Answer { status: parts.status, headers: parts.headers, text };
        openapi::check(&method, path, &answer);
        answer
    }

    async fn get(&self, who: &Who<'_>, path: &str) -> Answer {
        self.call(who, Method::GET, path, None).await
    }

    async fn post(&self, who: &Who<'_>, path: &str, body: Value) -> Answer {
        self.call(who, Method::POST, path, Some(body)).await
    }

    async fn delete(&self, who: &Who<'_>, path: &str) -> Answer {
        self.call(who, Method::DELETE, path, None).await
    }

    /// The text of a fresh admin token of `user`.
    async fn token(&self, user: &str, kind: TokenKind) -> String {
        let token = crate::tokens::issue(kind, self.state.ca.pin());
        let user = self.state.store.user(&user.parse().unwrap()).await.unwrap().unwrap().id;
        let uses = (kind == TokenKind::Login).then_some(1);
        let new = NewToken { user: Some(user), uses, ..NewToken::default() };
        self.state.store.issue_token(&token, new, SystemTime::now()).await.unwrap();
        self.state.policy.refresh().await;
        token.expose().to_owned()
    }

    async fn admin(&self) -> String {
        self.token("root", TokenKind::Admin).await
    }

    async fn agent(&self, user: &str) -> AgentIdentity {
        let row = self.state.store.user(&user.parse().unwrap()).await.unwrap().unwrap();
        let (id, day) = (AgentId(Uuid::new_v4()), Duration::from_secs(86_400));
        let mut spki = [0; 32];
        spki[..16].copy_from_slice(id.0.as_bytes());
        let end = SystemTime::now() + day;
        self.state.store.enrol_agent(id, row.id, "laptop", spki, end, None).await.unwrap();
        self.state.policy.refresh().await;
        AgentIdentity {
            id,
            user: row.id,
            user_name: row.name,
            device: "laptop".to_owned(),
            token: None,
        }
    }

    async fn actions(&self) -> Vec<(String, Value)> {
        let query = store::AuditQuery { limit: 1000, ..Default::default() };
        let rows = self.state.store.audit_events(query).await.unwrap();
        rows.into_iter().map(|row| (row.action, row.event)).collect()
    }
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("{self:?}"))
    }

    #[track_caller]
    fn good(self) -> Value {
        assert!(self.status.is_success(), "{self:?}");
        self.json()
    }

    /// The rows of a list that is all on one page.
    #[track_caller]
    fn items(self) -> Vec<Value> {
        let page = self.good();
        assert_eq!(page.get("next"), None, "there are more pages");
        page["items"].as_array().unwrap().clone()
    }

    /// The code of a problem, after checking that it has the shape of one.
    #[track_caller]
    fn problem(&self, status: u16) -> String {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        assert_eq!(self.headers["content-type"], "application/problem+json");
        let problem: api::Problem = serde_json::from_str(&self.text).unwrap();
        assert_eq!(problem.status, status);
        assert_eq!(self.headers["x-request-id"].to_str().unwrap(), problem.request_id);
        assert!(!problem.title.is_empty() && !problem.detail.is_empty(), "{problem:?}");
        problem.code
    }
}

fn agents(
    store: &Store,
    authn: &Arc<Authn>,
    broker: &Broker,
    policy: &PolicyPublisher,
    drain: &CancellationToken,
) -> (Arc<Agents>, Arc<Terminals>) {
    let ssh = SshGateway::new(SshConfig {
        host_keys: Vec::new(),
        next_host_keys: Vec::new(),
        host_ca: Arc::new(gateway_ssh::HostCa::new(&[3; 32], "adit hosts").unwrap()),
        host_names: Vec::new(),
        broker: broker.clone(),
        authn: authn.clone(),
        secrets: Arc::new(store.clone()),
        target_keys: Arc::new(store.clone()),
        target_ca: Arc::new(gateway_ssh::TargetCa::new(&[1; 32], "adit").unwrap()),
        user_ca: user_ca(),
        domain: "relay.test".to_owned(),
        texts: Default::default(),
    });
    let doors = (ssh.clone(), rdp(store, broker));
    let agents =
        Agents::new(authn.clone(), broker.clone(), doors, policy.subscribe(), drain.clone());
    (agents, Terminals::new(ssh, store.clone(), drain.clone()))
}

fn desktops(store: &Store, broker: &Broker) -> Arc<Desktops> {
    Desktops::new(rdp(store, broker))
}

fn rdp(store: &Store, broker: &Broker) -> RdpGateway {
    RdpGateway::new(RdpConfig {
        broker: broker.clone(),
        secrets: Arc::new(store.clone()),
        certificates: Arc::new(store.clone()),
        shown: Arc::new(Nothing),
        domain: "relay.test".to_owned(),
        roots: None,
    })
}

/// Shows native clients nothing.
struct Nothing;

impl gateway_rdp::Shown for Nothing {
    fn shown(&self, _host: &str) -> Option<Arc<rustls::sign::CertifiedKey>> {
        None
    }
}

fn user_ca() -> Arc<gateway_ssh::UserCa> {
    Arc::new(gateway_ssh::UserCa::new(&[2; 32], "adit users").unwrap())
}

fn info() -> RelayInfo {
    RelayInfo {
        name: "relay.test".to_owned(),
        version: "0.0.0",
        domain: "relay.test".to_owned(),
        proxy: crate::config::Proxy::default(),
        https_port: 443,
        quic_port: 443,
        ssh_port: 2222,
        mysql_port: None,
        ssh_host_keys: Vec::new(),
        ssh_host_ca: "ssh-ed25519 BBBB adit hosts of relay.test".to_owned(),
        ssh_target_ca: "ssh-ed25519 AAAA adit relay.test".to_owned(),
        statement_keys: serde_json::json!({ "keys": [] }),
        updates: (None, false),
        requests_kept: std::time::Duration::from_secs(86400),
        statements_kept: std::time::Duration::from_secs(86400),
    }
}

const CANARY: &str = "canary-7d1f-password";

/// Two users, an application each may reach, one only the admin knows of.
fn configuration() -> Value {
    serde_json::json!({
        "site": [{ "name": "hq" }],
        "user": [{ "name": "root", "admin": true }, { "name": "alice" }, { "name": "bob" }],
        "application": [
            { "name": "web1", "site": "hq", "kind": "ssh", "address": "web1.corp:22",
              "account": "ubuntu", "password": CANARY },
            { "name": "orders", "site": "hq", "kind": "postgres", "address": "db:5432",
              "allow_api": true },
            { "name": "vault", "site": "hq", "kind": "tcp", "address": "vault:8200" },
        ],
        "grant": [
            { "user": "alice", "application": "web1.hq" },
            { "user": "alice", "application": "orders.hq" },
        ],
    })
}
