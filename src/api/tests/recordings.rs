//! Who reads recordings is recorded.

use std::time::{Duration, SystemTime};

use access::{EndReason, Kind, SessionId, Side};
use axum::http::Method;
use serde_json::json;
use session::{About, AuditEvent, Door, Recordings};
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

#[tokio::test]
async fn a_session_that_has_ended_says_what_was_recorded_of_it_and_what_is_left_of_that() {
    let relay = Relay::new().await;
    let admin = relay.admin().await;
    let root = Who::Bearer(&admin);
    let session = recording(&relay, Kind::Ssh).await;
    let plain = SessionId(Uuid::now_v7());
    for id in [session, plain] {
        relay.state.broker.audit().append(ended(id)).await.unwrap();
    }
    relay.state.recordings.finished().await;
    let row = async |query: &str| {
        let rows = relay.get(&root, &format!("/api/v1/sessions/ended{query}")).await.items();
        rows.into_iter().find(|row| row["id"] == json!(session)).unwrap()
    };
    let kept = row("").await["recording"].clone();
    assert_eq!((&kept["shows"], &kept["state"]), (&json!("terminal"), &json!("kept")));
    assert_eq!(kept["whole"], true);
    assert!(kept["bytes"].as_u64().unwrap() > 0, "{kept}");
    let all = relay.get(&root, "/api/v1/sessions/ended").await.items();
    let recorded = relay.get(&root, "/api/v1/sessions/ended?recorded=true").await.items();
    assert_eq!((all.len(), recorded.len()), (2, 1));
    // Kept for long enough, it is deleted, and who looks for it is told that.
    let settings = json!({ "recording_days": 1 });
    relay.call(&root, Method::PATCH, "/api/v1/settings", Some(settings)).await.good();
    let later = SystemTime::now() + Duration::from_secs(2 * 24 * 3600);
    crate::retention::look(&relay.state, later).await;
    let removed = row("?recorded=true").await["recording"].clone();
    assert_eq!(removed["state"], "removed");
    assert!(removed["removed_ms"].is_u64(), "{removed}");
}

#[tokio::test]
async fn a_recording_whose_file_somebody_took_away_is_absent() {
    let relay = Relay::new().await;
    let admin = relay.admin().await;
    let session = recording(&relay, Kind::Rdp).await;
    relay.state.broker.audit().append(ended(session)).await.unwrap();
    relay.state.recordings.finished().await;
    std::fs::remove_dir_all(relay._dir.path().join("recordings")).unwrap();
    let rows = relay.get(&Who::Bearer(&admin), "/api/v1/sessions/ended").await.items();
    assert_eq!(rows[0]["recording"]["state"], "absent");
}

#[tokio::test]
async fn a_wrong_question_for_ended_sessions_is_told_what_is_wrong_with_it() {
    let relay = Relay::new().await;
    let admin = relay.admin().await;
    for (query, told) in [
        ("since=yesterday", "since"),
        ("since=2026-12-02T00:00:00Z&until=2026-12-01T00:00:00Z", "until"),
        ("application=web1.hq.more", "application"),
        ("application=We%00b", "application"),
        ("user=%20", ""),
        ("recorded=perhaps", ""),
        ("state=all", "state"),
    ] {
        let path = format!("/api/v1/sessions/ended?{query}");
        let answer = relay.get(&Who::Bearer(&admin), &path).await;
        assert_eq!(answer.problem(400), "request.invalid", "{query}");
        assert!(answer.text.contains(told), "{query}: {}", answer.text);
    }
}

/// The end of a session of alice's.
fn ended(session: SessionId) -> AuditEvent {
    let name = |text: &str| text.parse().unwrap();
    AuditEvent::SessionEnded {
        session,
        user: name("alice"),
        application: name("web1"),
        site: name("hq"),
        door: Door::Ssh,
        reason: EndReason::Closed,
        side: Side::Client,
        up: 1,
        down: 2,
        millis: 3,
    }
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
