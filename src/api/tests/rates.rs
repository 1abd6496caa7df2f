//! What one caller may ask for.

use access::{TokenKind, TokenText};

use super::{Relay, Who};

#[tokio::test]
async fn a_loop_that_has_gone_wild_is_told_to_wait_and_others_are_served() {
    let relay = Relay::new().await;
    let (admin, other) = (relay.admin().await, relay.admin().await);
    let mut refused = None;
    for _ in 0..400 {
        let answer = relay.get(&Who::Bearer(&admin), "/api/v1/why?user=a&application=b").await;
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("a limit");
    assert_eq!(refused.problem(429), "request.throttled");
    let wait: u64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..10).contains(&wait), "{wait}");
    relay.get(&Who::Bearer(&other), "/api/v1/me").await.good();
    relay.get(&Who::Nobody, "/api/v1/info").await.good();
}

#[tokio::test]
async fn whoever_shows_many_wrong_tokens_is_told_when_to_try_again() {
    let relay = Relay::new().await;
    let mut refused = None;
    for n in 0..100 {
        let wrong = TokenText::new(TokenKind::Api, [n; 7], [n; 20], None);
        let answer = relay.get(&Who::Bearer(wrong.expose()), "/api/v1/users").await;
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
        assert_eq!(answer.status, 401);
    }
    let refused = refused.expect("a limit");
    assert_eq!(refused.problem(429), "authn.throttled");
    assert_eq!(refused.headers["retry-after"], "60");
}
