//! Who does not get in, and whom a client can not reach.

use super::*;

#[test]
fn only_the_desktop_of_the_token_is_reached_whatever_is_asked_for() -> Result<()> {
    let stage = Stage::start(RdpSecurity::Nla)?;
    let screen = Screen::start()?;
    let (desk, other) = (stage.token("alice", "desk", 100)?, stage.token("bob", "other", 100)?);
    for way in WAYS {
        let signs_in = |token: &str, target: &str| stage.signs_in(&screen, way, token, target);
        for name in ["desk", "desk.hq", "desk-hq", DESK, "DESK-HQ.localhost."] {
            assert!(signs_in(&desk, name)?, "{way}: {name}");
        }
        let address = stage.target.address();
        let elsewhere = ["other", "other-hq.localhost", "127.0.0.1", &address, "raw", "localhost"];
        for name in elsewhere {
            assert!(!signs_in(&desk, name)?, "{way}: alice reaches {name}");
        }
        assert!(signs_in(&other, "other")?, "{way}: bob");
        assert!(!signs_in(&other, DESK)?, "{way}: bob reaches alice's desktop");
    }
    let denied = stage.deployment.audit("access.denied")?;
    assert_eq!(denied.len(), 2 * 7, "{denied:?}");
    assert!(denied.iter().all(|row| row["event"]["door"] == "rdp"), "{denied:?}");
    Ok(())
}

/// By the exit codes of a client that only signs in.
#[test]
fn a_client_needs_a_good_token_and_the_desktops_own_password() -> Result<()> {
    let stage = Stage::start(RdpSecurity::Nla)?;
    let screen = Screen::start()?;
    for way in WAYS {
        let revoked = stage.token("alice", "desk", 9)?;
        stage.revoke("alice", "desk")?;
        let expired = stage.deployment.token("alice", "desk", &["--expires", "1s"])?;
        let once = stage.token("alice", "desk", 1)?;
        let of_tcp = stage.token("alice", "raw", 9)?;
        let denied = stage.token("bob", "desk", 9)?;
        std::thread::sleep(std::time::Duration::from_millis(1100));
        let mut wrong = stage.client(&screen, way, &once, DESK);
        wrong.args(["/p:wrong", "+auth-only"]);
        assert_ne!(run(&mut wrong, SOON)?.code(), Some(0), "{way}: a wrong password");
        let good = stage.token("alice", "desk", 1)?;
        let cases = [
            ("a good token", good.as_str(), true),
            ("the same again", good.as_str(), false),
            ("one whose only use got no further", once.as_str(), false),
            ("one that is over", expired.as_str(), false),
            ("a revoked one", revoked.as_str(), false),
            ("one of somebody without a grant", denied.as_str(), false),
            ("one for no desktop", of_tcp.as_str(), false),
            ("none", "", false),
            ("no token", "adit_access_nothing", false),
            ("an admin's", stage.deployment.admin_token(), false),
        ];
        for (name, token, works) in cases {
            let target = if name == "one for no desktop" { "raw" } else { DESK };
            assert_eq!(stage.signs_in(&screen, way, token, target)?, works, "{way}: {name}");
        }
    }
    stage.no_session_is_open()
}

#[test]
fn a_desktop_ends_when_its_time_is_over() -> Result<()> {
    let stage = Stage::start(RdpSecurity::Tls)?;
    stage.apply("max_session = \"12s\"\n")?;
    let (screen, token) = (Screen::start()?, stage.token("alice", "desk", 1)?);
    let mut client = stage.show(&screen, stage.client(&screen, "http", &token, DESK), EXACT)?;
    client.wait(SOON)?;
    let said = client.log();
    ensure!(said.contains("session.expired"), "{said}");
    assert_eq!(stage.ended()?["reason"], "expired");
    Ok(())
}

/// What a client of its own shares with a desktop passes unseen, so where a rule limits that, only a
/// way that sees it is open.
#[test]
fn a_rule_that_can_not_be_held_to_opens_nothing_here() -> Result<()> {
    let stage = Stage::start(RdpSecurity::Tls)?;
    stage.deployment.login("alice")?;
    let screen = Screen::start()?;
    for terms in [
        "clipboard = \"to-target\"\n",
        "file_transfer = false\n",
        "printer = false\n",
        "audio = false\n",
        "recording = \"required\"\n",
        "logins = [\"alice\"]\n",
    ] {
        stage.apply(terms)?;
        let token = stage.token("alice", "desk", 9)?;
        assert!(!stage.signs_in(&screen, "http", &token, DESK)?, "{terms}");
        let mut adit = stage.deployment.adit("alice");
        let told = run(adit.args(["rdp", "desk", "--print"]), SOON)?;
        assert_ne!(told.code(), Some(0));
        assert_says(&told, "rdp.terms");
    }
    let mut adit = stage.deployment.adit("alice");
    assert_says(&run(adit.args(["rdp", "raw", "--print"]), SOON)?, "rdp.kind");
    let mut adit = stage.deployment.adit("alice");
    assert_says(&run(adit.args(["rdp", "other", "--print"]), SOON)?, "access.denied");
    Ok(())
}

impl Stage {
    pub(crate) fn revoke(&self, user: &str, application: &str) -> Result<()> {
        let whose = ["token", "revoke", "--user", user, "--application", application];
        self.deployment.admin(&whose)?.ok().map(drop)
    }
}
