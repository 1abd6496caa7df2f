//! Who reads recordings is recorded.

use std::time::{Duration, SystemTime};

use access::{Kind, SessionId};
use axum::http::Method;
use serde_json::json;
use session::{About, Recordings};
use uuid::Uuid;

use super::{Relay, Who};

#[tokio::test]
async fn who_reads_a_recording_from_a_made_up_place_on_is_recorded_too() {
    for (what, place) in [("recording", "0.17"), ("commands", "0.17.0")] {
        let relay = Relay::new().await;
        let admin = relay.admin().await;
        let root = Who::Bearer(&admin);
        let (first, second) =
            (recording(&relay, Kind::Ssh).await, recording(&relay, Kind::Ssh).await);
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

#[tokio::test]
async fn each_kind_of_recording_is_deleted_after_the_days_that_its_own_setting_says() {
    let relay = Relay::new().await;
    let admin = relay.admin().await;
    let set = async |settings| {
        let root = Who::Bearer(&admin);
        relay.call(&root, Method::PATCH, "/api/v1/settings", Some(settings)).await.good();
    };
    let (desktop, shell) = (recording(&relay, Kind::Rdp).await, recording(&relay, Kind::Ssh).await);
    relay.state.recordings.finished().await;
    let now = SystemTime::now();
    let left = async |days: u64| {
        crate::retention::look(&relay.state, now + Duration::from_secs(days * 24 * 3600)).await;
        let is_there = |session| relay.state.recordings.read(session).unwrap().is_some();
        (is_there(desktop), is_there(shell))
    };
    // As a new relay has it: desktops for 30 days, others for ever.
    assert_eq!(left(29).await, (true, true));
    set(json!({ "desktop_recording_days": 0, "recording_days": 0 })).await;
    assert_eq!(left(9000).await, (true, true), "for ever");
    set(json!({ "desktop_recording_days": 40, "recording_days": 50 })).await;
    assert_eq!(left(39).await, (true, true));
    assert_eq!(left(41).await, (false, true));
    assert_eq!(left(51).await, (false, false));
}

/// The recording of a session in which nothing happened.
async fn recording(relay: &Relay, kind: Kind) -> SessionId {
    let session = SessionId(Uuid::now_v7());
    let name = |text: &str| text.parse().unwrap();
    let about = About {
        session,
        user: name("alice"),
        application: name("web1"),
        site: name("hq"),
        kind,
        login: None,
        opened: SystemTime::now(),
    };
    drop(relay.state.recordings.begin(about).await.unwrap());
    session
}
