//! Applications: what they are, what they are reached by, and whether they are.

use super::*;

#[tokio::test]
async fn an_application_is_added_with_its_secret_out_of_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pw");
    fs::write(&file, "hunter2\n").unwrap();
    let command = format!(
        "app add web1 --site hq --kind ssh --address web1.corp:22 --account ubuntu \
         --password-file {} --allow-api --tag env=prod",
        file.display()
    );
    let run = run(&command, [applied()]).await;
    run.asked(&Method::POST, "/api/v1/applications");
    let wanted = json!({ "name": "web1", "site": "hq", "kind": "ssh", "address": "web1.corp:22",
        "account": "ubuntu", "password": "hunter2", "allow_api": true,
        "tags": { "env": "prod" } });
    assert_eq!(run.body(), wanted);
    assert_eq!((run.out.as_str(), run.err.as_str()), ("", "+ site hq\n~ user bob  admin: true\n"));
    let start = "app add web1 --site hq --kind ssh --address web1:22";
    for wrong in
        ["--account ubuntu", "--password-file x", "--account u --key-file a --password-file b"]
    {
        assert!(parse(&format!("{start} {wrong}")).is_err(), "{wrong}");
    }
}

#[tokio::test]
async fn a_database_is_added_with_an_account_for_each_level() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pw");
    fs::write(&file, "hunter2\n").unwrap();
    let command = format!(
        "app add orders-db --site hq --kind postgres --address db1:5432 --tls verify-full --sni db \
         --level-account viewer=orders_ro --level-account owner=orders \
         --level-password-file viewer={0} --level-password-file owner={0}",
        file.display()
    );
    let run = run(&command, [applied()]).await;
    let wanted = json!({ "tls": "verify-full", "sni": "db",
        "accounts": { "viewer": "orders_ro", "owner": "orders" } });
    assert_eq!(run.body()["database"], wanted);
    let passwords = json!({ "viewer": "hunter2", "owner": "hunter2" });
    assert_eq!((&run.body()["level_passwords"], &run.body()["web"]), (&passwords, &json!(null)));
    let roles = "app add orders-db --site hq --kind postgres --address db1:5432 \
         --level-role viewer=readers --level-role owner=owners --mask a+ --values yes --replication yes";
    let added = super::run(roles, [applied()]).await;
    let wanted = json!({ "roles": { "viewer": "readers", "owner": "owners" }, "mask": ["a+"],
        "values": true, "replication": true });
    assert_eq!(added.body()["database"], wanted);
    for wrong in ["--tls maybe", "--level-account reader=x", "--level-account viewer"] {
        assert!(parse(&format!("app set orders-db {wrong}")).is_err(), "{wrong}");
    }
}

#[tokio::test]
async fn an_applications_services_are_said_in_a_line_each() {
    let command = "app add wiki --site hq --kind web --address wiki.corp:80 \
        --host-name api.example.com --service 10.0.0.8:8443,path=/api,base-path=/,scheme=https,http=2 \
        --service 10.0.0.9:81,host-name=api.example.com,host=api,sni=api";
    let run = run(command, [applied()]).await;
    let wanted = json!([
        { "address": "10.0.0.8:8443", "path": "/api", "base_path": "/", "scheme": "https", "http": "2" },
        { "address": "10.0.0.9:81", "host_name": "api.example.com", "host": "api", "sni": "api" },
    ]);
    assert_eq!(run.body()["web"]["service"], wanted);
    let start = "app set wiki --service";
    for wrong in ["x", "10.0.0.8", "10.0.0.8:81,path", "10.0.0.8:81,paths=/a", "a:1,http=3"] {
        assert!(parse(&format!("{start} {wrong}")).is_err(), "{wrong}");
    }
}

#[tokio::test]
async fn a_check_fails_where_no_connector_reaches_the_application() {
    let row = |reachable: bool| {
        json!({ "connector": "2f1d9a64-7d5e-4a76-9d39-0b7c4c9c9a51", "name": "hq-1",
            "reachable": reachable, "micros": reachable.then_some(3_249),
            "code": (!reachable).then_some("dial.refused"),
            "hop": (!reachable).then_some("target"), "hint": "is it running?" })
    };
    let at = |address: &str, reachable: bool| {
        let mut row = row(reachable);
        row["address"] = address.into();
        row
    };
    let answer = |reachable| json!({ "application": "web1.hq", "connectors": [row(reachable)] });
    let services = json!({ "application": "web1.hq",
        "connectors": [at("a:1", true), at("b:2", true), at("a:1", false), at("b:2", false)] });
    assert_eq!(run("app check web1", [services]).await.exit, Exit::Ok);
    let unreached =
        json!({ "application": "web1.hq", "connectors": [at("a:1", true), at("b:2", false)] });
    assert_eq!(run("app check web1", [unreached]).await.exit, Exit::Failed);
    let good = run("app check web1", [answer(true)]).await;
    good.asked(&Method::POST, "/api/v1/applications/web1/check");
    assert!(good.out.contains("reachable  3.2 ms"), "{}", good.out);
    let bad = run("app check web1", [answer(false)]).await;
    assert_eq!(bad.exit, Exit::Failed);
    assert!(bad.out.contains("dial.refused"), "{}", bad.out);
}

#[tokio::test]
async fn an_application_can_let_its_api_tokens_work_only_while_their_user_is_signed_in() {
    let start = "app add orders --site hq --kind postgres --address db:5432";
    let added = run(&format!("{start} --allow-api --require-active-session"), [applied()]).await;
    assert_eq!(added.body()["require_active_session"], true);
    assert!(parse(&format!("{start} --require-active-session")).is_err());
    let stored = |required: bool| {
        json!({ "name": "orders", "site": "hq", "kind": "postgres", "address": "db:5432",
            "allow_api": true, "require_active_session": required })
    };
    for (word, required) in [("yes", true), ("no", false)] {
        let set = format!("app set orders --require-active-session {word}");
        let set = run(&set, [stored(!required), applied()]).await;
        assert_eq!(set.body()["require_active_session"] == true, required, "{}", set.body());
    }
}

#[tokio::test]
async fn a_web_application_is_given_host_names_and_loses_them() {
    let start = "app add wiki --site hq --kind web --address wiki:80";
    let added =
        run(&format!("{start} --host-name a.example --host-name b.example"), [applied()]).await;
    assert_eq!(added.body()["web"], json!({ "host_names": ["a.example", "b.example"] }));
    assert!(parse(&format!("{start} --host-name *.example")).is_err());
    let stored = || {
        json!({ "name": "wiki", "site": "hq", "kind": "web", "address": "wiki:80",
            "web": { "host": "wiki", "host_names": ["a.example"] } })
    };
    let set = run("app set wiki --host-name c.example", [stored(), applied()]).await;
    assert_eq!(set.body()["web"], json!({ "host": "wiki", "host_names": ["c.example"] }));
    let cleared = run("app set wiki --clear host-names", [stored(), applied()]).await;
    assert_eq!(cleared.body()["web"], json!({ "host": "wiki" }));
}
