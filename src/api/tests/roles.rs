use axum::body::{Body, Bytes};
use axum::http::{Method, Request, StatusCode};
use futures_util::stream;
use serde_json::json;
use tower::ServiceExt;
use uuid::Uuid;

use super::{Relay, Who};
use crate::api::caller::Role;
use crate::api::router;
use crate::api::routes::routes;
use crate::{AgentIdentity, Peer};

#[tokio::test]
async fn every_route_is_open_to_its_role_and_to_nobody_below() {
    let relay = Relay::new().await;
    let admin = relay.admin().await;
    let eve = json!({ "name": "eve", "auditor": true });
    relay.post(&Who::Bearer(&admin), "/api/v1/users", eve).await.good();
    let mut walked = 0;
    for route in routes() {
        // Some routes end the sign-in that they are called with.
        let holder = holder(&relay).await;
        let (alice, eve) = (relay.agent("alice").await, relay.agent("eve").await);
        let admin = relay.admin().await;
        let path = route.path.replace("{id}", &Uuid::new_v4().to_string());
        let path = path.replace("{name}", "nobody");
        for (who, role) in [
            (Who::Nobody, Role::Anonymous),
            (Who::Agent(&holder), Role::Holder),
            (Who::Agent(&alice), Role::User),
            (Who::Agent(&eve), Role::Auditor),
            (Who::Bearer(&admin), Role::Admin),
        ] {
            walked += 1;
            let body = takes_body(&route.method).then(|| json!({}));
            let answer = relay.call(&who, route.method.clone(), &path, body).await;
            let needed = route.gate.role;
            let told = format!("{} {path} by {role:?}: {answer:?}", route.method);
            assert!(!answer.status.is_server_error(), "{told}");
            match (role, needed) {
                _ if EXCEPTIONS.contains(&route.doc.id) => {}
                (Role::Anonymous, Role::Anonymous) => {}
                (Role::Anonymous, _) => assert_eq!(answer.problem(401), "authn.required", "{told}"),
                (Role::Holder, Role::User) => {
                    assert_eq!(answer.problem(403), "token.wrong_kind", "{told}");
                }
                _ if rank(role) < rank(needed) => {
                    assert_eq!(answer.problem(403), "access.admin_required", "{told}");
                }
                _ => {
                    assert!(answer.status != StatusCode::UNAUTHORIZED, "{told}");
                    if answer.status.is_client_error() {
                        assert_ne!(answer.json()["code"], "access.admin_required", "{told}");
                    }
                }
            }
        }
    }
    assert_eq!(walked, routes().len() * 5);
}

/// Operations whose role does not say who may call them: this list only shrinks. Enrolling an
/// agent is open to whoever shows a token.
const EXCEPTIONS: [&str; 1] = ["login"];

fn rank(role: Role) -> u8 {
    match role {
        Role::Anonymous => 0,
        Role::Holder => 1,
        Role::User => 2,
        Role::Auditor => 3,
        Role::Admin => 4,
    }
}

/// An admin's agent that stands on a token for one application, and may do no more than it.
async fn holder(relay: &Relay) -> AgentIdentity {
    let mut agent = relay.agent("root").await;
    let asked = json!({ "user": "alice", "application": "orders", "kind": "access" });
    let admin = relay.admin().await;
    let issued = relay.post(&Who::Bearer(&admin), "/api/v1/tokens", asked).await;
    agent.token = Some(store::AgentToken {
        id: issued.good()["id"].as_str().unwrap().to_owned().into(),
        kind: access::TokenKind::Access,
        application: None,
    });
    agent
}

#[tokio::test]
async fn an_auditor_sees_what_admins_see_and_changes_nothing() {
    let relay = Relay::new().await;
    let admin = relay.admin().await;
    let root = Who::Bearer(&admin);
    let eve = json!({ "name": "eve", "auditor": true });
    relay.post(&root, "/api/v1/users", eve).await.good();
    let agent = relay.agent("eve").await;
    let eve = Who::Agent(&agent);
    let me = relay.get(&eve, "/api/v1/me").await.good();
    assert_eq!((&me["admin"], &me["auditor"]), (&json!(false), &json!(true)));
    for path in ["users", "grants", "export", "sessions", "audit", "tokens", "users/alice"] {
        let path = format!("/api/v1/{path}");
        // When a token was last used may change between two calls, though not between each two.
        let mut told = (String::new(), String::new());
        for _ in 0..5 {
            let answers = (relay.get(&eve, &path).await, relay.get(&root, &path).await);
            told = (answers.0.text, answers.1.text);
            if told.0 == told.1 {
                break;
            }
        }
        assert_eq!(told.0, told.1, "{path}");
    }
    let before = relay.get(&root, "/api/v1/export").await.text;
    assert!(before.contains(r#""auditor":true"#), "{before}");
    for (method, path) in [
        (Method::POST, "/api/v1/users/alice/disable"),
        (Method::DELETE, "/api/v1/users/alice"),
        (Method::DELETE, "/api/v1/tokens?user=alice"),
    ] {
        let answer = relay.call(&eve, method, path, None).await;
        assert_eq!(answer.problem(403), "access.admin_required", "{path}");
    }
    assert_eq!(relay.get(&root, "/api/v1/export").await.text, before);
}

#[tokio::test]
async fn an_agent_that_stands_on_a_token_may_look_and_leave_and_nothing_else() {
    let relay = Relay::new().await;
    let agent = holder(&relay).await;
    let who = Who::Agent(&agent);
    let mut open = Vec::new();
    for route in routes() {
        let path = route.path.replace("{id}", &Uuid::new_v4().to_string());
        let path = path.replace("{name}", "nobody");
        let body = takes_body(&route.method).then(|| json!({}));
        match route.gate.role {
            Role::Anonymous => {}
            Role::Holder => open.push(format!("{} {}", route.method, route.path)),
            Role::User => {
                let answer = relay.call(&who, route.method, &path, body).await;
                assert_eq!(answer.problem(403), "token.wrong_kind", "{path}");
            }
            Role::Auditor | Role::Admin => {
                let answer = relay.call(&who, route.method, &path, body).await;
                assert_eq!(answer.problem(403), "access.admin_required", "{path}");
            }
        }
    }
    let expected = ["GET /api/v1/me", "GET /api/v1/me/applications", "DELETE /api/v1/me/agent"];
    assert_eq!(open, expected);
    assert_eq!(relay.get(&who, "/api/v1/me").await.good()["admin"], false);
    relay.delete(&who, "/api/v1/me/agent").await.good();
}

fn takes_body(method: &Method) -> bool {
    [Method::POST, Method::PATCH].contains(method)
}

#[test]
fn only_these_routes_are_open_to_everybody() {
    let open: Vec<_> = routes()
        .into_iter()
        .filter(|route| route.gate.role == Role::Anonymous)
        .map(|route| format!("{} {}", route.method, route.path))
        .collect();
    let expected = [
        "GET /healthz",
        "GET /.well-known/jwks.json",
        "GET /api/v1/healthz",
        "GET /api/v1/openapi.json",
        "GET /api/v1/info",
        "POST /api/v1/connectors/join",
        "POST /api/v1/agents/login",
        "POST /api/v1/device-logins",
        "POST /api/v1/device-logins/token",
    ];
    assert_eq!(open, expected);
}

#[tokio::test]
async fn whatever_goes_wrong_is_a_problem_with_a_code() {
    let relay = Relay::new().await;
    let admin = relay.admin().await;
    let root = Who::Bearer(&admin);
    assert_eq!(relay.get(&root, "/api/v1/nothing").await.problem(404), "request.not_found");
    assert_eq!(relay.get(&root, "/").await.problem(404), "request.not_found");
    let put = relay.call(&root, Method::PUT, "/api/v1/sites", None).await;
    assert_eq!(put.problem(405), "request.method");
    let untyped = relay.call(&root, Method::POST, "/api/v1/sites", None).await;
    assert_eq!(untyped.problem(415), "request.media_type");
    let wrong = relay.post(&root, "/api/v1/sites", json!({ "name": "No Name" })).await;
    assert_eq!(wrong.problem(400), "request.invalid");
    let long = json!({ "name": "a".repeat(1 << 20) });
    assert_eq!(relay.post(&root, "/api/v1/sites", long).await.problem(413), "request.too_large");
    let long = json!({ "token": "", "csr_pem": "a".repeat(1 << 14), "device": "" });
    let join = relay.post(&Who::Nobody, "/api/v1/connectors/join", long).await;
    assert_eq!(join.problem(413), "request.too_large");
    let gone = relay.delete(&root, "/api/v1/sites/nowhere").await;
    assert_eq!(gone.problem(404), "site.not_found");
    let twice = relay.post(&root, "/api/v1/sites", json!({ "name": "hq" })).await;
    assert_eq!(twice.problem(409), "site.exists");
    let query = relay.get(&root, "/api/v1/audit?after=x").await;
    assert_eq!(query.problem(400), "request.invalid");
}

#[tokio::test]
async fn a_wrong_sign_in_is_told_by_its_kind() {
    let relay = Relay::new().await;
    let bearer = Who::Bearer("adit_admin_nonsense");
    let answer = relay.get(&bearer, "/api/v1/me").await;
    assert_eq!(answer.problem(401), "authn.failed");
    assert_eq!(answer.headers["www-authenticate"], "Bearer");
    assert_eq!(answer.headers["cache-control"], "no-store");
}

#[tokio::test]
async fn a_login_token_signs_in_once() {
    let relay = Relay::new().await;
    let token = relay.token("root", access::TokenKind::Login).await;
    let login = Who::Bearer(&token);
    assert_eq!(relay.get(&login, "/api/v1/me").await.good()["admin"], true);
    assert_eq!(relay.get(&login, "/api/v1/me").await.problem(401), "token.used_up");
}

#[tokio::test]
async fn readiness_turns_off_while_stopping() {
    let relay = Relay::new().await;
    assert_eq!(relay.get(&Who::Nobody, "/healthz").await.good(), json!({ "ready": true }));
    relay.drain.cancel();
    assert_eq!(relay.get(&Who::Nobody, "/healthz").await.status, 503);
}

#[tokio::test]
async fn a_body_that_never_ends_holds_a_request_for_a_bounded_time() {
    let relay = Relay::new().await;
    let body = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
    let request = Request::post("/api/v1/connectors/join")
        .header("content-type", "application/json")
        .extension(Peer { addr: ([192, 0, 2, 7], 50_000).into(), agent: None })
        .body(body)
        .unwrap();
    tokio::time::pause();
    let answer = router(relay.state.clone()).oneshot(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
}
