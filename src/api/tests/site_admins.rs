//! Who administers some sites: what they may, as a table a reviewer reads as a diff
//! (`data/site_admin.txt`), and that it is nothing else.
//!
//! `UPDATE_GOLDEN=1 cargo nextest run -p adit-relay site_admins` writes it anew.

use std::path::Path;
use std::time::SystemTime;

use access::{ConnectorId, Context, EndReason, Keeps, SessionId, Side};
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use session::Door;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::{Answer, Relay, Who};
use crate::AgentIdentity;
use crate::api::caller::Role;
use crate::api::routes::{Route, routes};

#[tokio::test]
async fn what_an_admin_of_a_site_may_is_as_reviewed() {
    let mut table = String::from(
        "# What sam, who administers hq, is answered at each operation for admins and auditors:\n\
         # what is of hq, what is of another site, and what is nowhere.\n",
    );
    let shared = Stage::new().await;
    for route in routes().into_iter().filter(is_administrative) {
        // What changes something changes what is asked next.
        let fresh = if route.gate.sites { Some(Stage::new().await) } else { None };
        let stage = fresh.as_ref().unwrap_or(&shared);
        let mut told = Vec::new();
        for place in [Place::Nowhere, Place::Other, Place::Own] {
            let answer = stage.ask(&route, place).await;
            assert!(!answer.status.is_server_error(), "{}: {answer:?}", route.doc.id);
            if !route.gate.sites {
                assert_eq!(answer.problem(403), "access.site_only", "{}", route.doc.id);
            }
            told.push(in_words(&answer));
        }
        told.reverse();
        table.push_str(&format!("{:24} {}\n", route.doc.id, told.join(" | ")));
    }
    is_golden(&table);
}

#[tokio::test]
async fn lists_hold_what_is_of_the_site_and_its_changes_reach_no_further() {
    let stage = Stage::new().await;
    let sam = Who::Agent(&stage.sam);
    let names = async |path: &str, key: &str| {
        let rows = stage.relay.get(&sam, &format!("/api/v1/{path}")).await.good();
        let rows = rows["items"].as_array().unwrap().clone();
        rows.iter().map(|row| row.pointer(key).unwrap().as_str().unwrap().to_owned()).collect()
    };
    let listed: [Vec<String>; 4] = [
        names("sites", "/name").await,
        names("connectors", "/site").await,
        names("applications", "/site").await,
        names("grants", "/grant/application").await,
    ];
    assert_eq!(listed[..2], [vec!["hq".to_owned()], vec!["hq".to_owned()]]);
    assert!(listed[2].len() >= 3 && listed[2].iter().all(|site| site == "hq"), "{listed:?}");
    assert!(listed[3].len() == 2 && listed[3].iter().all(|app| app.ends_with(".hq")), "{listed:?}");
    let before = stage.export().await;
    let put = async |path: &str, body: Value| {
        stage.relay.call(&sam, Method::PUT, &format!("/api/v1/{path}"), Some(body)).await
    };
    let post = async |path: &str, body| stage.relay.post(&sam, path, body).await;
    // Neither out of their sites, nor into them, nor by a tag, nor by what another site has.
    let moved =
        json!({ "name": "orders", "site": "branch", "kind": "postgres", "address": "db:1" });
    assert!(put("applications/orders.hq", moved).await.status.is_client_error());
    for wide in [
        json!({ "user": "sam", "tag": "env=prod" }),
        json!({ "user": "sam", "application": "till.branch" }),
        json!({ "user": "sam", "application": "till" }),
        json!({ "user": "sam", "application": "nothing.of.the.kind" }),
    ] {
        let answer = post("/api/v1/grants", wide.clone()).await;
        assert_eq!(answer.problem(403), "access.site_only", "{wide}");
        let path = format!("grants/{}", stage.grants[0]);
        assert_eq!(put(&path, wide.clone()).await.problem(403), "access.site_only", "{wide}");
    }
    // Nor by what only an admin makes of somebody.
    let me = json!({ "name": "sam", "admin": true });
    assert_eq!(put("users/sam", me).await.problem(403), "access.site_only");
    let document = json!({ "document": { "user": [{ "name": "sam", "admin": true }] } });
    assert_eq!(post("/api/v1/apply", document).await.problem(403), "access.site_only");
    assert_eq!(stage.export().await, before);
    let told = stage.relay.get(&sam, "/api/v1/me").await.good();
    assert_eq!((&told["admin"], &told["admin_of"]), (&json!(false), &json!(["hq"])));
}

#[tokio::test]
async fn a_site_that_is_gone_is_administered_by_nobody_though_another_has_its_name() {
    let stage = Stage::new().await;
    let (root, sam) = (Who::Bearer(&stage.root), Who::Agent(&stage.sam));
    stage.relay.get(&sam, "/api/v1/sites").await.good();
    stage.relay.delete(&root, "/api/v1/sites/hq").await.good();
    stage.relay.post(&root, "/api/v1/sites", json!({ "name": "hq" })).await.good();
    let answer = stage.relay.get(&sam, "/api/v1/sites").await;
    assert_eq!(answer.problem(403), "access.admin_required");
}

#[tokio::test]
async fn an_admin_token_of_who_administers_a_site_reaches_as_far_as_they_do() {
    let stage = Stage::new().await;
    let root = Who::Bearer(&stage.root);
    let wanted = json!({ "user": "sam", "kind": "admin" });
    let issued = stage.relay.post(&root, "/api/v1/tokens", wanted).await.good();
    let token = issued["token"].as_str().unwrap().to_owned();
    let sam = Who::Bearer(&token);
    stage.relay.get(&sam, "/api/v1/applications/orders.hq").await.good();
    let other = stage.relay.get(&sam, "/api/v1/applications/till.branch").await;
    assert_eq!(other.problem(404), "application.not_found");
    let users = stage.relay.get(&sam, "/api/v1/users").await;
    assert_eq!(users.problem(403), "access.site_only");
    let unknown = json!({ "name": "tom", "admin_of": ["nowhere"] });
    let answer = stage.relay.post(&root, "/api/v1/users", unknown).await;
    assert_eq!(answer.problem(422), "site.unknown");
}

#[tokio::test]
async fn sessions_at_other_sites_are_neither_seen_nor_ended() {
    let stage = Stage::new().await;
    let sam = Who::Agent(&stage.sam);
    let (own, own_ended) = stage.session("web1", Some("ubuntu")).await;
    let (other, other_ended) = stage.session("till", None).await;
    let listed = stage.relay.get(&sam, "/api/v1/sessions").await.good();
    let ids: Vec<_> = listed["items"].as_array().unwrap().iter().map(|row| &row["id"]).collect();
    assert_eq!(ids, [&json!(own)]);
    let end =
        async |id: SessionId| stage.relay.delete(&sam, &format!("/api/v1/sessions/{id}")).await;
    assert_eq!(end(other).await.problem(404), "session.not_found");
    assert_eq!(end(own).await.good()["count"], 1);
    assert_eq!(own_ended.await.unwrap(), EndReason::Killed);
    assert!(!other_ended.is_finished());
}

#[tokio::test]
async fn sessions_that_have_ended_at_other_sites_are_not_seen() {
    let stage = Stage::new().await;
    let (root, sam) = (Who::Bearer(&stage.root), Who::Agent(&stage.sam));
    let (own, own_ended) = stage.session("web1", Some("ubuntu")).await;
    let (other, other_ended) = stage.session("till", None).await;
    for (id, ended) in [(own, own_ended), (other, other_ended)] {
        stage.relay.delete(&root, &format!("/api/v1/sessions/{id}")).await.good();
        assert_eq!(ended.await.unwrap(), EndReason::Killed);
    }
    // It is recorded, and ends are stored no later than what is recorded after them.
    stage.relay.get(&root, "/api/v1/recordings/search?text=x").await.good();
    let listed = async |who: &Who<'_>, query: &str| {
        let rows = stage.relay.get(who, &format!("/api/v1/sessions/ended{query}")).await.items();
        let ids = rows.iter().map(|row| row["id"].as_str().unwrap().parse().unwrap());
        ids.collect::<Vec<SessionId>>()
    };
    assert_eq!(listed(&root, "").await, [other, own], "the one that was opened last is first");
    assert_eq!(listed(&sam, "").await, [own]);
    for query in ["?application=till.branch", "?application=till", "?recorded=true"] {
        assert_eq!(listed(&sam, query).await, [], "{query}");
    }
    assert_eq!(listed(&root, "?application=till.branch").await, [other]);
    let row = stage.relay.get(&sam, "/api/v1/sessions/ended").await.items().remove(0);
    let told = ["user", "application", "site", "login", "code", "side", "from"];
    let told = told.map(|field| row[field].as_str().unwrap());
    assert_eq!(told, ["alice", "web1", "hq", "ubuntu", "session.killed", "relay", "192.0.2.9"]);
    assert!(row.get("recording").is_none(), "{row}");
}

/// Whose something is that is asked for.
#[derive(Clone, Copy)]
enum Place {
    Own,
    Other,
    Nowhere,
}

impl Place {
    fn of<T: Copy>(self, [own, other, nowhere]: [T; 3]) -> T {
        match self {
            Self::Own => own,
            Self::Other => other,
            Self::Nowhere => nowhere,
        }
    }
}

/// A relay with two sites, of which sam administers one.
struct Stage {
    relay: Relay,
    root: String,
    sam: AgentIdentity,
    /// Of hq, of branch, and of neither.
    connectors: [Uuid; 3],
    grants: [Uuid; 3],
}

impl Stage {
    async fn new() -> Self {
        let relay = Relay::new().await;
        let root = relay.admin().await;
        let who = Who::Bearer(&root);
        let till = json!({ "name": "till", "site": "branch", "kind": "tcp", "address": "till:1" });
        for (path, body) in [
            ("sites", json!({ "name": "branch" })),
            ("users", json!({ "name": "sam", "admin_of": ["hq"] })),
            ("applications", till),
            ("grants", json!({ "user": "alice", "application": "till.branch" })),
            ("grants", json!({ "user": "alice", "tag": "env=prod" })),
        ] {
            relay.post(&who, &format!("/api/v1/{path}"), body).await.good();
        }
        let [own, other] = [Uuid::from_u128(1), Uuid::from_u128(2)];
        for (id, site) in [(own, "hq"), (other, "branch")] {
            let sites = relay.state.store.sites().await.unwrap();
            let site = sites.into_iter().find(|row| row.name.as_str() == site).unwrap();
            let key = [u8::try_from(id.as_u128()).unwrap(); 32];
            let name = format!("{}-1", site.name);
            relay.state.store.enrol_connector(ConnectorId(id), site.id, &name, key).await.unwrap();
        }
        let rows = relay.get(&who, "/api/v1/grants").await.good();
        let grant = |application: &str| {
            let mut rows = rows["items"].as_array().unwrap().iter();
            let row = rows.find(|row| row["grant"]["application"] == application).unwrap();
            row["id"].as_str().unwrap().parse().unwrap()
        };
        let grants = [grant("web1.hq"), grant("till.branch"), Uuid::from_u128(9)];
        let sam = relay.agent("sam").await;
        Self { connectors: [own, other, Uuid::from_u128(9)], grants, relay, root, sam }
    }

    async fn ask(&self, route: &Route, place: Place) -> Answer {
        let name = match route.path {
            path if path.starts_with("/api/v1/sites") => place.of(["hq", "branch", "nowhere"]),
            path if path.starts_with("/api/v1/applications") => {
                place.of(["orders.hq", "till.branch", "gone.hq"])
            }
            _ => "alice",
        };
        let id = match route.path {
            path if path.starts_with("/api/v1/connectors") => place.of(self.connectors),
            path if path.starts_with("/api/v1/grants") => place.of(self.grants),
            _ => Uuid::from_u128(9),
        };
        let path = route.path.replace("{name}", name).replace("{id}", &id.to_string());
        let site = place.of(["hq", "branch", "nowhere"]);
        let changed = place.of([("orders", "hq"), ("till", "branch"), ("gone", "hq")]);
        let application = |name: &str, site: &str| json!({ "name": name, "site": site, "kind": "tcp", "address": "a.corp:1" });
        let granted = place.of(["vault.hq", "till.branch", "gone.hq"]);
        let body = match route.doc.id {
            "addApplication" => application("new", site),
            "changeApplication" => application(changed.0, changed.1),
            "addGrant" => json!({ "user": "bob", "application": granted }),
            "changeGrant" => {
                let opened = place.of(["web1.hq", "till.branch", "gone.hq"]);
                json!({ "user": "alice", "application": opened, "idle": "30m" })
            }
            _ => json!({}),
        };
        let sends = [Method::POST, Method::PUT, Method::PATCH].contains(&route.method);
        let sam = Who::Agent(&self.sam);
        self.relay.call(&sam, route.method.clone(), &path, sends.then_some(body)).await
    }

    /// A session of alice at an application, which ends as its lease says.
    async fn session(
        &self,
        application: &str,
        login: Option<&str>,
    ) -> (SessionId, JoinHandle<EndReason>) {
        let (state, now) = (&self.relay.state, SystemTime::now());
        let agent = self.relay.agent("alice").await;
        let who = state.authn.agent_at(Door::Agent, &agent, [192, 0, 2, 9].into()).unwrap();
        let policy = state.policy.current();
        let application = policy.find(application, &who).unwrap();
        let login = login.map(str::to_owned);
        let context = Context { from: who.from(), login, database: None, keeps: Keeps::SSH };
        let grant = policy.authorize(&who, application, context, now).unwrap();
        let session = state.broker.open(grant, Door::Agent, now).await.unwrap();
        let id = session.id();
        #[expect(clippy::disallowed_methods, reason = "the test waits for it, or ends with it")]
        let ended = tokio::spawn(async move {
            let reason = session.lease().ended().await;
            session.end(reason, Side::Relay);
            reason
        });
        (id, ended)
    }

    async fn export(&self) -> String {
        self.relay.get(&Who::Bearer(&self.root), "/api/v1/export").await.text
    }
}

fn is_administrative(route: &Route) -> bool {
    matches!(route.gate.role, Role::Auditor | Role::Admin)
}

fn in_words(answer: &Answer) -> String {
    match answer.status {
        status if status.is_success() => "yes".to_owned(),
        StatusCode::NOT_MODIFIED => "the same".to_owned(),
        status => {
            let code = answer.json()["code"].as_str().unwrap_or("?").to_owned();
            format!("{} {code}", status.as_u16())
        }
    }
}

fn is_golden(text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/api/tests/data/site_admin.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    for (got, expected) in text.lines().zip(golden.lines()) {
        assert_eq!(got, expected);
    }
    assert_eq!(text.lines().count(), golden.lines().count());
}
