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
    // As many as take a statement of each size.
    for n in 0..MANY {
        store.note(request(n));
    }
    let query = || WebQuery { limit: 1000, ..WebQuery::default() };
    let kept = async {
        while store.web_requests(query()).await.unwrap().len() < usize::try_from(MANY).unwrap() {
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

#[tokio::test]
async fn requests_are_forgotten_when_they_are_old() {
    let home = Home::new();
    let store = home.open().await;
    store.close_abandoned(now()).await.unwrap();
    let day = Duration::from_secs(24 * 3600);
    for days in [0, 1, 2, 3] {
        let at = now() - day * days;
        let millis = at.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
        let millis = u64::try_from(millis).unwrap();
        let id = uuid::Builder::from_unix_timestamp_millis(millis, &[7; 10]).into_uuid();
        store.note(WebRequest { at, id, ..request(days.into()) });
    }
    let query = || WebQuery { limit: 1000, ..WebQuery::default() };
    let kept = async {
        while store.web_requests(query()).await.unwrap().len() < 4 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), kept).await.unwrap();
    // To the millisecond: what came just then stays.
    assert_eq!(store.purge_requests(now(), day * 2).await.unwrap(), 1);
    let paths: Vec<_> =
        store.web_requests(query()).await.unwrap().into_iter().map(|row| row.path).collect();
    assert_eq!(paths, ["/0", "/1", "/2"]);
}

const MANY: u128 = 64 * 2 + 8 * 2 + 3;

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
