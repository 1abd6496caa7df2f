//! The requests of the web door.

use std::time::Duration;

use session::{RequestLog as _, WebRequest};
use store::WebQuery;
use uuid::Uuid;

use crate::support::{Home, now};

#[tokio::test]
async fn each_of_many_requests_is_kept_as_it_was() {
    let home = Home::new();
    let store = home.open().await;
    store.close_abandoned(now()).await.unwrap();
    for n in 0..100 {
        store.note(request(n));
    }
    let query = || WebQuery { limit: 1000, ..WebQuery::default() };
    let kept = async {
        while store.web_requests(query()).await.unwrap().len() < 100 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), kept).await.unwrap();
    let rows = store.web_requests(query()).await.unwrap();
    for (row, n) in rows.iter().rev().zip(0..) {
        assert_eq!((row.id, row.path.clone()), (Uuid::from_u128(n), format!("/{n}")));
        assert_eq!((row.up, row.down, row.millis), (u64::try_from(n).unwrap(), 2, 3));
        let odd = (n % 2 == 1).then(|| format!("client {n}"));
        assert_eq!((row.client_id.clone(), row.status, row.user.clone()), (odd, Some(200), None));
    }
    assert_eq!(store.dropped_requests(), 0);
}

fn request(n: u128) -> WebRequest {
    WebRequest {
        at: now(),
        id: Uuid::from_u128(n),
        client_id: (n % 2 == 1).then(|| format!("client {n}")),
        from: "192.0.2.1".parse().unwrap(),
        method: "GET".to_owned(),
        host: "app-hq.relay.test".to_owned(),
        path: format!("/{n}"),
        session: None,
        user: None,
        application: Some("app-hq".to_owned()),
        status: Some(200),
        code: None,
        up: u64::try_from(n).unwrap(),
        down: 2,
        millis: 3,
    }
}
