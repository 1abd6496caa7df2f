//! The audit log: read, searched, verified, delivered.

use super::*;

#[tokio::test]
async fn the_audit_log_is_fetched_page_after_page() {
    let event = |seq: u64| json!({ "seq": seq, "at_ms": 1, "action": "admin.changed", "event": { "actor": "root" } });
    let pages =
        [json!({ "events": [event(1), event(2)], "next": 2 }), json!({ "events": [event(3)] })];
    let run = run("audit export --action admin.changed", pages).await;
    run.asked(&Method::GET, "/api/v1/audit?after=2&limit=1000&action=admin.changed");
    let seqs: Vec<_> = run
        .out
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["seq"].as_u64().unwrap())
        .collect();
    assert_eq!(seqs, [1, 2, 3]);
}

#[tokio::test]
async fn the_latest_records_are_a_table_and_the_search_goes_to_the_relay() {
    let session = "2f1d9a64-7d5e-4a76-9d39-0b7c4c9c9a51";
    let event = |seq: u64| {
        json!({ "seq": seq, "at_ms": 1_800_000_000_000_u64, "action": "session.ended", "user": "alice",
            "session": session, "event": { "action": "session.ended", "application": "web1",
            "site": "hq", "reason": "closed\u{1b}", "up": 3, "detail": "" } })
    };
    let pages =
        || [json!({ "events": [event(9), event(8)], "next": 8 }), json!({ "events": [event(4)] })];
    let command = "audit ls --last 3 --user alice --app web1.hq --site hq --action session.* \
                   --actor root --since 2026-12-01 --until 2026-12-01T08:00:00+01:00";
    let table = run(command, pages()).await;
    table.asked(
        &Method::GET,
        "/api/v1/audit?latest=true&before=8&limit=1&action=session.%2A&user=alice&actor=root\
         &application=web1.hq&site=hq&since=2026-12-01T00%3A00%3A00Z&until=2026-12-01T07%3A00%3A00Z",
    );
    let lines: Vec<_> = table.out.lines().collect();
    assert_eq!(lines.len(), 4, "{}", table.out);
    let line = format!(
        "9    2027-01-15 08:00:00 UTC  session.ended  alice  web1.hq      {session}  \
         reason=closed\\u{{1b}} up=3"
    );
    assert_eq!(lines[1], line);
    let json = run("audit ls --json --last 3", pages()).await;
    let rows: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(rows.as_array().unwrap().len(), 3);
    let none = run("audit ls", [json!({ "events": [] })]).await;
    assert_eq!(none.err, "No record fits.\n");
    for wrong in ["--since yesterday", "--session x", "--site No", "--last x"] {
        assert!(parse(&format!("audit ls {wrong}")).is_err(), "{wrong}");
    }
}

#[tokio::test]
async fn the_log_is_verified_to_its_end_which_stands_alone_on_stdout() {
    let (half, end) = (format!("5:{}", "a".repeat(64)), format!("9:{}", "b".repeat(64)));
    let parts = || {
        [
            json!({ "rows": 5, "at": half, "damages": [], "done": false, "end": 9 }),
            json!({ "rows": 4, "at": end, "damages": [], "done": true, "end": 9 }),
        ]
    };
    let whole = run(&format!("audit verify --expect {half}"), parts()).await;
    let escaped = half.replace(':', "%3A");
    let path = format!("/api/v1/audit/verify?after={escaped}&expect={escaped}");
    whole.asked(&Method::GET, &path);
    assert_eq!((whole.out, whole.exit), (format!("{end}\n"), Exit::Ok));
    assert_eq!(whole.err, "The audit log is whole: 9 records.\n");
    let json = run("audit verify --json", parts()).await;
    let verdict = json!({ "whole": true, "rows": 9, "end": end, "damages": [] });
    assert_eq!(serde_json::from_str::<Value>(&json.out).unwrap(), verdict);
    for wrong in ["--expect 5", "--expect x:00", "--after x"] {
        assert!(parse(&format!("audit verify {wrong}")).is_err(), "{wrong}");
    }
}

#[tokio::test]
async fn destinations_are_listed_with_what_they_lack() {
    let rows = || {
        json!([{ "name": "siem", "kind": "syslog", "to": "tls://logs:6514", "seq": 7, "lag": 2,
            "delivered_ms": 1_800_000_000_000_u64, "failures": 3, "error": "no route" }])
    };
    let table = run("audit destinations", [rows()]).await;
    table.asked(&Method::GET, "/api/v1/audit/destinations");
    let row =
        "siem  syslog  tls://logs:6514  7    2    2027-01-15 08:00:00 UTC  3         no route";
    assert_eq!(table.out.lines().nth(1), Some(row), "{}", table.out);
    let json = run("audit destinations --json", [rows()]).await;
    assert_eq!(serde_json::from_str::<Value>(&json.out).unwrap(), rows());
    let none = run("audit destinations", [json!([])]).await;
    assert!(none.err.contains("sent nowhere"), "{}", none.err);
}

#[tokio::test]
async fn a_damaged_log_has_its_exit_code_and_each_damage_is_named() {
    let (half, end) = (format!("5:{}", "a".repeat(64)), format!("7:{}", "b".repeat(64)));
    let damage = |seq: u64, last: u64, kind: &str, detail: &str| json!({ "seq": seq, "last": last, "kind": kind, "detail": detail });
    let parts = || {
        let changed = damage(3, 3, "changed", "record 3 was changed");
        let cut = damage(8, 9, "cut-off", "records 8 to 9, the last ones, were cut off");
        [
            json!({ "rows": 5, "at": half, "damages": [changed], "done": false, "end": 9 }),
            json!({ "rows": 2, "at": end, "damages": [cut], "done": true, "end": 9 }),
        ]
    };
    let failed = run("audit verify", parts()).await;
    assert_eq!((failed.out.as_str(), failed.exit), ("", Exit::Damaged));
    let json = run("audit verify --json", parts()).await;
    let verdict: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!((&verdict["whole"], json.exit), (&json!(false), Exit::Damaged));
    assert_eq!(verdict["damages"][1]["kind"], "cut-off");
}

#[tokio::test]
async fn a_session_without_records_is_not_found() {
    let id = "2f1d9a64-7d5e-4a76-9d39-0b7c4c9c9a51";
    let run = run(&format!("session export {id}"), [json!({ "events": [] })]).await;
    assert_eq!(run.exit, Exit::NotFound);
}

#[tokio::test]
async fn sessions_that_have_ended_are_listed_with_how_and_with_what_is_left_of_their_recording() {
    let id = "2f1d9a64-7d5e-4a76-9d39-0b7c4c9c9a51";
    let row = |recording: Value| {
        json!({ "id": id, "user": "bob", "application": "web1", "site": "hq", "kind": "ssh",
            "door": "ssh", "from": "192.0.2.7", "login": "ubuntu", "opened_ms": 0, "ended_ms": 61_000,
            "code": "session.killed", "side": "relay", "up": 2048, "down": 7,
            "recording": recording })
    };
    let kept = |state: &str, whole: bool| json!({ "shows": "terminal", "state": state, "bytes": 9, "whole": whole });
    let pages = [
        json!({ "items": [row(kept("kept", true)), row(kept("kept", false))], "next": "abc" }),
        json!({ "items": [row(kept("removed", true)), row(Value::Null)], "next": "def" }),
    ];
    let listed = run(
        "session ls --ended --user bob --application web1.hq --recorded --since 2026-12-01 \
         --until 2026-12-02T08:00:00Z --limit 4",
        pages,
    )
    .await;
    let asked: Vec<_> = listed.asked.iter().map(|(_, path, _)| path.as_str()).collect();
    let rest = "user=bob&application=web1.hq&since=2026-12-01T00%3A00%3A00Z\
                &until=2026-12-02T08%3A00%3A00Z&recorded=true";
    assert_eq!(
        asked,
        [
            format!("/api/v1/sessions/ended?limit=4&{rest}"),
            format!("/api/v1/sessions/ended?limit=2&cursor=abc&{rest}"),
        ]
    );
    let cells: Vec<_> = listed.out.lines().map(str::trim_end).collect();
    let line = cells[1];
    for part in [id, "bob", "web1.hq", "192.0.2.7", "ubuntu", "1970-01-01 00:01:01 UTC", "2.0 KiB"]
    {
        assert!(line.contains(part), "{part}: {line}");
    }
    assert!(line.contains("session.killed") && line.ends_with("terminal"), "{line}");
    assert!(cells[2].ends_with("terminal (cut short)"), "{}", cells[2]);
    assert!(cells[3].ends_with("terminal (removed)"), "{}", cells[3]);
    assert!(listed.err.contains("--limit"), "{}", listed.err);
    for alone in ["--recorded", "--since 2h", "--until 2h", "--limit 3"] {
        assert!(parse(&format!("session ls {alone}")).is_err(), "{alone}");
    }
}

#[tokio::test]
async fn statements_are_asked_for_by_time_and_application_and_no_more_than_are_wanted() {
    let row = |n: u32| {
        json!({ "id": format!("id-{n}"), "at_ms": 0, "session": "2f1d9a64-7d5e-4a76-9d39-0b7c4c9c9a51",
            "user": "bob", "application": "orders-hq", "database": "orders", "role": "ro",
            "text": "select 1" })
    };
    let wanted = "--application orders.hq --since 2026-12-01 --until 2026-12-02 --limit 3";
    let asked =
        "application=orders.hq&since=2026-12-01T00%3A00%3A00Z&until=2026-12-02T00%3A00%3A00Z";
    for command in ["ls", "export"] {
        let pages = [
            json!({ "statements": [row(4), row(3)], "next": "id-3" }),
            json!({ "statements": [row(2)], "next": "id-2" }),
        ];
        let told = run(&format!("query {command} {wanted}"), pages).await;
        let paths: Vec<_> = told.asked.iter().map(|(_, path, _)| path.as_str()).collect();
        assert_eq!(
            paths,
            [
                format!("/api/v1/statements?limit=3&{asked}"),
                format!("/api/v1/statements?before=id-3&limit=1&{asked}"),
            ]
        );
        assert_eq!(told.out.lines().filter(|line| line.contains("select 1")).count(), 3);
    }
    assert!(parse("query ls --since yesterday").is_err());
}

#[tokio::test]
async fn the_request_log_is_read_page_after_page_until_there_are_enough() {
    let row = |n: u64| {
        json!({ "id": n.to_string(), "at_ms": n, "from": "192.0.2.1", "method": "GET", "host": "h",
            "path": format!("/{n}"), "status": 500, "up": 0, "down": 0, "millis": 1 })
    };
    let pages =
        || [json!({ "requests": [row(9), row(8)], "next": "8" }), json!({ "requests": [row(4)] })];
    let wanted = "--app wiki.hq --failed --since 2026-12-01 --until 2026-12-02";
    let asked = |limit: u32| {
        format!(
            "/api/v1/web/requests?before=8&limit={limit}&application=wiki.hq&failed=true\
             &since=2026-12-01T00%3A00%3A00Z&until=2026-12-02T00%3A00%3A00Z"
        )
    };
    let table = run(&format!("web log --limit 3 {wanted}"), pages()).await;
    table.asked(&Method::GET, &asked(1));
    assert_eq!(table.out.lines().count(), 4, "{}", table.out);
    let lines = run(&format!("web export {wanted}"), pages()).await;
    lines.asked(&Method::GET, &asked(1000));
    let printed = lines.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let paths: Vec<_> = printed.map(|row| row["path"].as_str().unwrap().to_owned()).collect();
    assert_eq!(paths, ["/9", "/8", "/4"]);
    let few = run("web export --limit 2", [pages()[0].clone()]).await;
    assert_eq!(few.out.lines().count(), 2, "no page that is not needed");
}

#[tokio::test]
async fn a_recorded_session_at_a_database_is_played_by_its_statements_as_one_that_is_not() {
    let id = "2f1d9a64-7d5e-4a76-9d39-0b7c4c9c9a51";
    let recording = || {
        json!({ "events": [
            { "what": "session", "session": id, "user": "bob", "application": "orders", "site": "hq",
                "kind": "postgres", "opened_ms": 0 },
            { "what": "output", "at_ms": 1, "channel": 0, "text": "orders=> select 1\r\n" } ],
            "live": false })
    };
    let statement = json!({ "id": "id-1", "at_ms": 1_800_000_000_000_u64, "session": id, "user": "bob",
        "application": "orders-hq", "database": "orders", "role": "ro", "text": "select 1",
        "micros": 1500, "rows": 1 });
    let kept = json!({ "statements": [statement] });
    let told = run(&format!("session play {id}"), [recording(), kept]).await;
    assert_eq!(told.out, "2027-01-15 08:00:00 UTC  orders=> select 1\n-- 1 rows, 1.500 ms\n");
    // The log keeps them for less long than a recording may be kept.
    let gone = json!({ "statements": [] });
    let played = run(&format!("session play {id}"), [recording(), gone, recording()]).await;
    assert_eq!(played.out, "orders=> select 1\r\n", "nothing but what was recorded, for a program");
}
