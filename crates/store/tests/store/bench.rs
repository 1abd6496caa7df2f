//! Not promises but figures, printed by `cargo nextest run -p store bench --no-capture`.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use access::TokenKind;
use session::{AuditLog, Stamped};
use store::NewToken;
use tokio::task::JoinSet;

use crate::audit::{ended, opened};
use crate::support::{Home, name, now, session, small, token};

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
