use std::os::unix::fs::PermissionsExt;

use crate::program::Machine;
use crate::relay::Relay;

#[test]
fn a_login_keeps_a_private_key_and_lists_what_its_user_can_reach() {
    let relay = Relay::start();
    let machine = Machine::signed_in(&relay);
    let mode = |name: &str| {
        let path = machine.home().join(".config/adit").join(name);
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    };
    assert_eq!((mode(""), mode("key.pem"), mode("login.json")), (0o700, 0o600, 0o600));
    let ls = machine.run(&["ls"]);
    assert_eq!(ls.stderr, "");
    let text = ls.text();
    let mut lines = text.lines();
    assert_eq!(lines.next().unwrap(), "APPLICATION  SITE  KIND  LOGIN     STATE   TAGS");
    assert_eq!(lines.next().unwrap(), "echo         hq    tcp   your own  online  -");
    let json: serde_json::Value =
        serde_json::from_slice(&machine.run(&["ls", "--json"]).stdout).unwrap();
    assert_eq!(json[0]["name"], "echo");
}

#[test]
fn logging_out_removes_the_key_also_where_the_relay_is_gone() {
    let relay = Relay::start();
    let (told, alone) = (Machine::signed_in(&relay), Machine::signed_in(&relay));
    assert_eq!(told.run(&["logout"]).code(), Some(0));
    assert!(relay.calls().contains(&"DELETE /api/v1/me/agent".to_owned()));
    drop(relay);
    let logout = alone.run(&["logout"]);
    assert_eq!(logout.code(), Some(0));
    assert!(logout.stderr.contains("The relay was not told"), "{}", logout.stderr);
    for machine in [told, alone] {
        assert!(!machine.home().join(".config/adit/key.pem").exists());
        assert_eq!(machine.run(&["ls"]).code(), Some(3));
    }
}

#[test]
fn a_token_in_the_environment_needs_no_login_and_leaves_none() {
    let relay = Relay::start();
    let machine = Machine::new();
    assert_eq!(machine.run_by_token(&relay, &["ls"], "").code(), Some(0));
    let echo = machine.run_by_token(&relay, &["proxy", "echo"], "hello");
    assert_eq!((echo.text().as_str(), echo.stderr.as_str()), ("hello", ""));
    assert!(!machine.home().join(".config/adit/key.pem").exists());
    assert_eq!(relay.calls().last().unwrap(), "DELETE /api/v1/me/agent");
}

#[test]
fn each_kind_of_failure_has_its_exit_code_and_one_line() {
    let relay = Relay::start();
    let machine = Machine::signed_in(&relay);
    let check = |arguments: &[&str], code: i32, words: &str| {
        let output = machine.run(arguments);
        assert_eq!(output.code(), Some(code), "{arguments:?}: {}", output.stderr);
        assert!(output.stderr.contains(words), "{arguments:?}: {}", output.stderr);
        assert_eq!((output.stderr.lines().count(), output.text().len()), (1, 0), "{arguments:?}");
    };
    check(&["tunnel", "echo:x"], 2, "is not a port");
    check(&["tunnel", "nope"], 3, "no access to that application — run `adit ls`");
    check(&["token", "new", "nope"], 4, "[application.not_found]");
    check(
        &["proxy", "offline"],
        1,
        "offline: the site of offline is offline — ask an admin [connector.offline]",
    );
    check(&["proxy", "killed"], 1, "an administrator ended this session [session.killed]");
    check(&["--relay", "https://127.0.0.1:1", "ls"], 3, "not signed in");
    drop(relay);
    check(&["ls"], 5, "[relay.unreachable]");
    check(&["tunnel", "echo"], 5, "[relay.unreachable]");
}

#[test]
fn a_relay_with_another_ca_gets_no_token() {
    let (relay, other) = (Relay::start(), Relay::start());
    let machine = Machine::new();
    let token = other.path("token");
    std::fs::write(&token, other.token()).unwrap();
    let login = machine.run(&["login", &relay.url(), "--token-file", token.to_str().unwrap()]);
    assert_eq!(login.code(), Some(5), "{}", login.stderr);
    assert!(login.stderr.contains("[relay.untrusted]"), "{}", login.stderr);
    assert_eq!(relay.calls(), Vec::<String>::new());
}

#[test]
fn a_token_is_printed_alone_on_stdout() {
    let relay = Relay::start();
    let machine = Machine::signed_in(&relay);
    let token = machine.run(&["token", "new", "echo"]);
    assert_eq!(token.text(), "adit_access_secret\n");
    assert_eq!(
        token.stderr,
        "access token tok1: good once, until revoked.\nUse it with: adit tunnel echo\n"
    );
}

#[test]
fn without_a_pin_a_ca_file_says_whom_to_trust() {
    let relay = Relay::start();
    let machine = Machine::new();
    let login = ["login", &relay.url(), "--token-file", "-"];
    let untrusted = machine.run_with(&login, &relay.bare_token());
    assert_eq!(untrusted.code(), Some(5), "{}", untrusted.stderr);
    let ca = relay.ca_file();
    let with_ca = [&["--ca", ca.to_str().unwrap()], &login[..]].concat();
    let trusted = machine.run_with(&with_ca, &relay.bare_token());
    assert_eq!(trusted.code(), Some(0), "{}", trusted.stderr);
    let status = machine.run(&["status"]);
    let text = status.text();
    assert!(text.starts_with(&format!("relay         {}\n", relay.url())), "{text}");
    assert!(text.contains("answers       yes, version 0.0.0\nsigned in as  ann on "), "{text}");
}

#[test]
fn signing_in_again_ends_the_old_registration() {
    let relay = Relay::start();
    let machine = Machine::signed_in(&relay);
    let again = machine.run_with(&["login", &relay.url(), "--token-file", "-"], &relay.token());
    assert_eq!(again.code(), Some(0), "{}", again.stderr);
    let login = "POST /api/v1/agents/login";
    assert_eq!(relay.calls(), [login, login, "DELETE /api/v1/me/agent"]);
    assert_eq!(machine.run(&["ls"]).code(), Some(0));
}
