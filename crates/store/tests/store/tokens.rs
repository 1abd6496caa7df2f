use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use access::{TokenKind, TokenText};
use api::{RequestState, TokenState};
use store::{
    DueWhat, NewRequest, NewToken, RequestQuery, Settlement, Store, StoreError, TokenQuery,
    UseTokenError,
};
use tokio::task::JoinSet;

use crate::support::{Home, after, name, now, small, token};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_token_of_one_use_is_used_once_however_many_try_at_once() {
    let (_home, store, new) = home().await;
    for uses in [1, 3] {
        let token = Arc::new(token(TokenKind::Access));
        let new = NewToken { uses: Some(uses), ..new };
        store.issue_token(&token, new, now()).await.unwrap();
        let mut tries = JoinSet::new();
        for _ in 0..50 {
            let (store, token) = (store.clone(), token.clone());
            tries.spawn(async move { store.use_token(&token, now(), HERE).await });
        }
        let tries = tries.join_all().await;
        let good = tries.iter().filter(|tried| tried.is_ok()).count();
        let used_up =
            |tried: &&Result<_, UseTokenError>| matches!(tried, Err(UseTokenError::UsedUp(_)));
        assert_eq!(good, uses as usize);
        assert_eq!(tries.iter().filter(used_up).count(), 50 - good);
    }
}

#[tokio::test]
async fn why_a_token_is_not_good_is_told_apart() {
    let (_home, store, new) = home().await;
    let [expired, revoked, used, strange, disabled] = [(); 5].map(|()| token(TokenKind::Access));
    let ends = NewToken { expires: Some(after(60)), ..new };
    store.issue_token(&expired, ends, now()).await.unwrap();
    store.issue_token(&revoked, new, now()).await.unwrap();
    store.issue_token(&used, NewToken { uses: Some(1), ..new }, now()).await.unwrap();
    store.issue_token(&disabled, NewToken { uses: Some(1), ..new }, now()).await.unwrap();

    store.use_token(&expired, after(59), HERE).await.unwrap();
    assert!(store.revoke_token(revoked.id(), None, now()).await.unwrap());
    store.use_token(&used, now(), HERE).await.unwrap();
    store.set_enabled(&name("alice"), false).await.unwrap();

    let told = async |token: &TokenText, at| store.use_token(token, at, HERE).await.unwrap_err();
    assert!(matches!(told(&expired, after(60)).await, UseTokenError::Expired(_)));
    assert!(matches!(told(&revoked, now()).await, UseTokenError::Revoked(_)));
    assert!(matches!(told(&used, now()).await, UseTokenError::UsedUp(_)));
    assert!(matches!(told(&strange, now()).await, UseTokenError::Unknown));
    assert!(matches!(told(&disabled, now()).await, UseTokenError::UserDisabled(_)));

    // A refusal spends nothing.
    store.set_enabled(&name("alice"), true).await.unwrap();
    assert_eq!(store.use_token(&disabled, now(), HERE).await.unwrap().uses_left, Some(0));
}

#[tokio::test]
async fn who_only_knows_a_tokens_id_learns_nothing_and_spends_nothing() {
    let (_home, store, new) = home().await;
    let genuine = TokenText::new(TokenKind::Access, [200; 7], [1; 20], None);
    let guess = TokenText::new(TokenKind::Access, [200; 7], [2; 20], None);
    let other_kind = TokenText::new(TokenKind::Login, [200; 7], [1; 20], None);
    store.issue_token(&genuine, NewToken { uses: Some(1), ..new }, now()).await.unwrap();
    for wrong in [&guess, &other_kind] {
        let told = store.use_token(wrong, now(), HERE).await.unwrap_err();
        assert!(matches!(told, UseTokenError::Unknown), "{told}");
    }
    store.revoke_token(genuine.id(), None, now()).await.unwrap();
    let told = store.use_token(&guess, now(), HERE).await.unwrap_err();
    assert!(matches!(told, UseTokenError::Unknown), "{told}");
}

#[tokio::test]
async fn a_second_api_token_revokes_the_first() {
    let (_home, store, new) = home().await;
    let [first, second] = [(); 2].map(|()| token(TokenKind::Api));
    store.issue_token(&first, new, now()).await.unwrap();
    store.use_token(&first, now(), HERE).await.unwrap();
    store.issue_token(&second, new, now()).await.unwrap();
    let told = store.use_token(&first, now(), HERE).await.unwrap_err();
    assert!(matches!(told, UseTokenError::Revoked(_)), "{told}");
    store.use_token(&second, now(), HERE).await.unwrap();
    let held = store.load_policy().await.unwrap().tokens;
    assert_eq!(held, [second.id().clone()]);
}

#[tokio::test]
async fn a_used_up_token_is_in_the_policy_until_it_is_revoked() {
    let (_home, store, new) = home().await;
    let used = token(TokenKind::Access);
    store.issue_token(&used, NewToken { uses: Some(1), ..new }, now()).await.unwrap();
    store.use_token(&used, now(), HERE).await.unwrap();
    assert_eq!(store.load_policy().await.unwrap().tokens, [used.id().clone()]);
    let revoked = store.revoke_tokens(Some(&name("alice")), None, now()).await.unwrap();
    assert_eq!(revoked, 1);
    assert_eq!(store.load_policy().await.unwrap().tokens, []);
}

#[tokio::test]
async fn a_use_says_whose_token_it_was_and_what_it_opens() {
    let (_home, store, new) = home().await;
    let access = token(TokenKind::Access);
    let new = NewToken { uses: Some(2), expires: Some(after(60)), ..new };
    store.issue_token(&access, new, now()).await.unwrap();
    let used = store.use_token(&access, now(), HERE).await.unwrap();
    assert_eq!(
        used.user.clone().map(|(_, name, admin)| (name, admin)),
        Some((name("alice"), false))
    );
    assert_eq!(used.user.map(|user| user.0), new.user);
    assert_eq!((used.application, used.expires), (new.application, new.expires));
    assert_eq!(used.uses_left, Some(1));
    let row = store
        .tokens(TokenQuery { user: Some(name("alice")), ..TokenQuery::default() })
        .await
        .unwrap()
        .remove(0);
    assert_eq!((row.used_from, row.application.as_deref()), (Some(HERE), Some("web1.hq")));
    assert_eq!(row.state(now()), TokenState::Live);
    assert_eq!(row.state(after(60)), TokenState::Expired);
}

#[tokio::test]
async fn a_token_that_could_not_be_used_is_not_issued() {
    let (_home, store, new) = home().await;
    let mut bar = small();
    bar.applications[0].allow_api = false;
    crate::support::apply(&store, &bar).await.unwrap();
    let nobodys = NewToken { user: None, ..new };
    let never = NewToken { uses: Some(0), ..new };
    let unbound = NewToken { application: None, ..new };
    let wrong = [
        (TokenKind::Api, new, "token.api_not_allowed"),
        (TokenKind::Api, unbound, "token.application"),
        (TokenKind::Access, nobodys, "token.user"),
        (TokenKind::Access, never, "token.uses"),
        (TokenKind::Admin, unbound, "token.not_admin"),
        (TokenKind::Login, new, "token.application"),
        (TokenKind::Join, unbound, "token.site"),
    ];
    for (kind, new, code) in wrong {
        let error = store.issue_token(&token(kind), new, now()).await.unwrap_err();
        let StoreError::Invalid(problems) = &error else { panic!("{kind}: {error}") };
        assert_eq!(problems[0].code.0, code);
    }
    assert_eq!(store.tokens(TokenQuery::default()).await.unwrap(), []);
}

#[tokio::test]
async fn only_the_owner_or_an_admin_revokes_a_token() {
    let (_home, store, new) = home().await;
    let held = token(TokenKind::Access);
    store.issue_token(&held, new, now()).await.unwrap();
    let bob = store.user(&name("bob")).await.unwrap().unwrap().id;
    assert!(!store.revoke_token(held.id(), Some(bob), now()).await.unwrap());
    assert!(store.revoke_token(held.id(), new.user, now()).await.unwrap());
    assert!(!store.revoke_token(held.id(), None, now()).await.unwrap(), "it is revoked already");
    let nobodys = store.revoke_tokens(None, None, now()).await.unwrap_err();
    assert!(matches!(nobodys, StoreError::Invalid(_)), "{nobodys}");
}

#[tokio::test]
async fn a_token_that_ended_long_ago_is_forgotten() {
    let (_home, store, new) = home().await;
    let old = token(TokenKind::Access);
    store.issue_token(&old, NewToken { expires: Some(after(60)), ..new }, now()).await.unwrap();
    let quarter = 90 * 24 * 60 * 60;
    store.issue_token(&token(TokenKind::Access), new, after(quarter + 59)).await.unwrap();
    assert_eq!(store.tokens(TokenQuery::default()).await.unwrap().len(), 2);
    store.issue_token(&token(TokenKind::Access), new, after(quarter + 61)).await.unwrap();
    assert_eq!(store.tokens(TokenQuery::default()).await.unwrap().len(), 2);
}

#[tokio::test]
async fn an_overlap_gives_the_older_api_token_an_end_and_never_a_later_one() {
    let (_home, store, new) = home().await;
    let until = |seconds| NewToken { overlap: Some(after(seconds)), ..new };
    let [first, second, third] = [(); 3].map(|()| token(TokenKind::Api));
    let ends = NewToken { expires: Some(after(100)), ..new };
    store.issue_token(&first, ends, now()).await.unwrap();
    store.issue_token(&second, until(3600), now()).await.unwrap();
    store.issue_token(&third, until(60), now()).await.unwrap();
    let rows = store.tokens(TokenQuery::default()).await.unwrap();
    let end = |id| rows.iter().find(|row| row.id == id).unwrap().expires;
    assert_eq!(end(first.id().clone()), Some(1_800_000_100), "its own end comes first");
    assert_eq!(end(second.id().clone()), Some(1_800_000_060));
    assert_eq!(end(third.id().clone()), None);
    for token in [&first, &second, &third] {
        store.use_token(token, after(59), HERE).await.unwrap();
    }
    let due = store.next_due().await.unwrap().unwrap();
    assert_eq!((due.at, due.what), (after(60), DueWhat::Replaced(second.id().clone())));
    store.issue_token(&token(TokenKind::Api), new, after(10)).await.unwrap();
    for token in [&first, &second, &third] {
        let gone = store.use_token(token, after(11), HERE).await.unwrap_err();
        assert!(matches!(gone, UseTokenError::Revoked(_)), "without an overlap all end: {gone}");
    }
    assert_eq!(store.next_due().await.unwrap(), None);
}

#[tokio::test]
async fn a_token_is_said_to_expire_once() {
    let (_home, store, new) = home().await;
    let held = token(TokenKind::Api);
    store.issue_token(&held, NewToken { expires: Some(after(600)), ..new }, now()).await.unwrap();
    assert_eq!(store.expiring_tokens(now(), after(599)).await.unwrap(), []);
    assert_eq!(store.expiring_tokens(now(), after(600)).await.unwrap().len(), 1);
    assert_eq!(store.expiring_tokens(now(), after(600)).await.unwrap(), []);
    assert_eq!(store.count_expiring(now(), after(600)).await.unwrap(), 1);
    let quarter = std::time::Duration::from_secs(90 * 24 * 60 * 60);
    assert_eq!(store.purge(after(601), quarter).await.unwrap().tokens, 0);
    let later = after(601) + quarter;
    assert_eq!(store.purge(later, quarter).await.unwrap().tokens, 1);
}

#[tokio::test]
async fn a_request_is_settled_once_and_is_a_rule_while_it_is_approved() {
    let (_home, store, new) = home().await;
    let (user, application) = (new.user.unwrap(), new.application.unwrap());
    let asked = || NewRequest {
        user,
        application,
        reason: "on call".to_owned(),
        duration: std::time::Duration::from_secs(60),
    };
    let rules = async || store.load_policy().await.unwrap().rules.len();
    let before = rules().await;
    let row = store.ask_access(asked(), now()).await.unwrap();
    let twice = store.ask_access(asked(), now()).await.unwrap_err();
    assert!(matches!(twice, StoreError::Invalid(_)), "{twice}");
    assert_eq!(rules().await, before);
    let approve = Settlement {
        from: RequestState::Pending,
        to: RequestState::Approved,
        by: "bob",
        comment: None,
        ends: Some(after(60)),
    };
    assert!(store.settle_request(row.id, approve, now()).await.unwrap());
    assert!(!store.settle_request(row.id, approve, now()).await.unwrap(), "once");
    assert_eq!(rules().await, before + 1);
    let due = store.next_due().await.unwrap().unwrap();
    assert_eq!((due.at, due.what), (after(60), DueWhat::Request(row.id)));
    let (from, to) = (RequestState::Approved, RequestState::Ended);
    let end = Settlement { from, to, by: "the relay", comment: None, ends: None };
    assert!(store.settle_request(row.id, end, after(60)).await.unwrap());
    assert_eq!(rules().await, before);
    let row = store.access_request(row.id).await.unwrap().unwrap();
    assert_eq!((row.state, row.ends), (RequestState::Ended, Some(1_800_000_060)));
    store.ask_access(asked(), after(61)).await.unwrap();
    assert_eq!(store.access_requests(RequestQuery::default()).await.unwrap().len(), 2);
}

/// A store, and what a token of alice for web1 is made with.
async fn home() -> (Home, Store, NewToken) {
    let home = Home::new();
    let store = home.with(&small()).await;
    let user = store.user(&name("alice")).await.unwrap().map(|user| user.id);
    let application = store.application("web1").await.unwrap().map(|app| app.id);
    (home, store, NewToken { user, application, ..NewToken::default() })
}
