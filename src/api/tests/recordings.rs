//! Who reads recordings is recorded.

use std::time::SystemTime;

use access::{Kind, SessionId};
use session::{About, Recordings};
use uuid::Uuid;

use super::{Relay, Who};

#[tokio::test]
async fn who_reads_a_recording_from_a_made_up_place_on_is_recorded_too() {
    for (what, place) in [("recording", "0.17"), ("commands", "0.17.0")] {
        let relay = Relay::new().await;
        let admin = relay.admin().await;
        let root = Who::Bearer(&admin);
        let (first, second) = (recording(&relay).await, recording(&relay).await);
        let views = async || {
            let rows = relay.actions().await;
            rows.iter().filter(|(action, _)| action == "recording.viewed").count()
        };
        let read = async |session: SessionId, query: &str| {
            let path = format!("/api/v1/sessions/{session}/{what}{query}");
            relay.get(&root, &path).await.good();
        };
        let made_up = format!("?after={place}");
        read(first, &made_up).await;
        assert_eq!(views().await, 1, "{what}");
        read(first, &made_up).await;
        assert_eq!(views().await, 1, "{what}: they go on");
        read(second, &made_up).await;
        assert_eq!(views().await, 2, "{what}: another one");
        read(second, "").await;
        assert_eq!(views().await, 3, "{what}: anew");
    }
}

/// The recording of a session in which nothing happened.
async fn recording(relay: &Relay) -> SessionId {
    let session = SessionId(Uuid::now_v7());
    let name = |text: &str| text.parse().unwrap();
    let about = About {
        session,
        user: name("alice"),
        application: name("web1"),
        site: name("hq"),
        kind: Kind::Ssh,
        login: None,
        opened: SystemTime::now(),
    };
    drop(relay.state.recordings.begin(about).await.unwrap());
    session
}
