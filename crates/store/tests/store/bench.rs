//! Not promises but figures, printed by `cargo nextest run -p store bench --no-capture`.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use access::TokenKind;
use api::Document;
use session::{AuditLog, Stamped};
use store::NewToken;
use tokio::task::JoinSet;

use crate::audit::{ended, opened};
use crate::support::{
    Home, application, apply, grant, name, now, session, site, small, token, user,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bench_sessions_opened_and_closed() {
    let home = Home::new();
    let store = home.open().await;
    for at_once in [1, 16, 256, 1024] {
        let each = (4096 / at_once).clamp(4, 200);
        let started = Instant::now();
        let mut callers = JoinSet::new();
        for _ in 0..at_once {
            let store = store.clone();
            callers.spawn(async move {
                for _ in 0..each {
                    let id = session();
                    let slot = store.reserve().await.unwrap();
                    store.append(opened(id)).await.unwrap();
                    slot.fill(Stamped { at: now(), event: ended(id) });
                }
            });
        }
        callers.join_all().await;
        let took = started.elapsed();
        let rate = f64::from(at_once * each) / took.as_secs_f64();
        let one = took / u32::try_from(each).unwrap();
        println!("{at_once:5} at once: {rate:8.0} sessions/s, {one:?} for each to open");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bench_tokens_used() {
    let home = Home::new();
    let store = home.with(&small()).await;
    let user = store.user(&name("alice")).await.unwrap().map(|user| user.id);
    let application = store.application("web1").await.unwrap().map(|app| app.id);
    for uses in [None, Some(1_000_000)] {
        let token = std::sync::Arc::new(token(TokenKind::Access));
        let new = NewToken { user, application, uses, ..NewToken::default() };
        store.issue_token(&token, new, now()).await.unwrap();
        let started = Instant::now();
        let mut callers = JoinSet::new();
        for _ in 0..64 {
            let (store, token) = (store.clone(), token.clone());
            callers.spawn(async move {
                for _ in 0..16 {
                    let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
                    store.use_token(&token, now(), here).await.unwrap();
                }
            });
        }
        callers.join_all().await;
        let rate = 1024.0 / started.elapsed().as_secs_f64();
        println!("tokens of {uses:?} uses: {rate:8.0} uses/s");
    }
}

#[tokio::test]
async fn bench_a_large_configuration() {
    let home = Home::new();
    let store = home.open().await;
    let mut document = Document { sites: vec![site("hq")], ..Document::default() };
    document.users = (0..1000).map(|n| user(&format!("user-{n}"))).collect();
    document.applications = (0..200).map(|n| application(&format!("app-{n}.hq"))).collect();
    let grants = (0..2000).map(|n| grant(&format!("user-{}", n / 2), &format!("app-{}", n % 199)));
    document.grants = grants.collect();
    let started = Instant::now();
    apply(&store, &document).await.unwrap();
    println!("applied 1,000 users, 200 applications, 2,000 grants: {:?}", started.elapsed());
    let started = Instant::now();
    assert_eq!(apply(&store, &document).await.unwrap(), []);
    println!("applied again: {:?}", started.elapsed());
    let started = Instant::now();
    store.load_policy().await.unwrap();
    println!("loaded as policy: {:?}", started.elapsed());
    let started = Instant::now();
    store.user(&name("user-7")).await.unwrap();
    println!("found one user: {:?}", started.elapsed());
}
