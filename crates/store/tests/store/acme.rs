//! Who asks a CA for the certificate of a host, and what is kept of it.

use std::time::Duration;

use store::{AcmeClaim, IssuedPair};

use crate::support::{Home, now};

#[tokio::test]
async fn a_host_is_asked_for_by_one_holder_until_its_lease_is_over() {
    let home = Home::new();
    let store = home.open().await;
    let claim = |holder| AcmeClaim { name: "a.test", holder };
    let lease = Duration::from_secs(60);
    assert!(store.claim_acme(claim("one"), lease, now()).await.unwrap());
    assert!(!store.claim_acme(claim("two"), lease, now()).await.unwrap());
    assert!(store.claim_acme(claim("one"), lease, now()).await.unwrap(), "it is theirs");
    let late = now() + lease;
    assert!(store.claim_acme(claim("two"), lease, late).await.unwrap());
    let next = late + Duration::from_secs(900);
    assert!(!store.acme_failed(claim("one"), "late", next).await.unwrap());
    assert!(store.acme_failed(claim("two"), "refused", next).await.unwrap());
    assert!(!store.claim_acme(claim("one"), lease, late).await.unwrap(), "it is not due");
    assert!(store.claim_acme(claim("one"), lease, next).await.unwrap());
    let row = store.acme_rows().await.unwrap().remove(0);
    assert_eq!((row.failures, row.error.as_deref()), (1, Some("refused")));
    let pair = IssuedPair { chain: "chain".into(), key: "the key".into() };
    let renewal = next + Duration::from_secs(3600);
    assert!(store.acme_issued(claim("one"), &pair, renewal).await.unwrap());
    let row = store.acme_rows().await.unwrap().remove(0);
    assert_eq!((row.failures, row.error.as_deref(), row.due()), (0, None, renewal));
    assert!(row.pair == Some(pair));
}
