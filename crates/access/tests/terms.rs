//! Terms that only some doors keep, and the sign-in that some access needs.
//!
//! `UPDATE_GOLDEN=1 cargo test -p access --test terms` writes `golden/terms.txt` anew.

#![expect(clippy::unwrap_used, reason = "what a test needs and does not get fails the test")]

mod support;

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use access::{
    Agent, Allowed, Clipboard, Context, Credential, Deny, EndReason, Explain, Grant, Keeps, Kind,
    Level, Login, PolicyData, PolicySnapshot, Recording, RuleId, SessionId, Sftp, Shortfall,
    SignIn, SignInId, SshTerms, Subject, Terms, TokenKind,
};
use support::{ALICE, BOB, INSIDE, app, data, is_golden, laptop, now, rule, token, user_id, who};
use uuid::Uuid;

/// What no door keeps yet, none lets through; what one keeps, it does.
#[test]
fn a_term_that_can_not_be_kept_is_a_denial() {
    let mut table = String::from("term       kind      door    answer\n");
    for (term, terms) in kept_by_some() {
        for kind in [Kind::Ssh, Kind::Rdp, Kind::Tcp, Kind::Postgres, Kind::Web] {
            for (door, login, keeps) in doors() {
                let policy = PolicySnapshot::new(only(kind, terms.clone()));
                let context = Context { login: login.map(str::to_owned), keeps, ..context() };
                let answer = match policy.authorize(&alice(), &Arc::new(app(1)), context, now()) {
                    Ok(_) => "allowed".to_owned(),
                    Err(deny @ Deny::Short(_, by)) => {
                        format!("{} (short by {})", deny.code(), by.as_str())
                    }
                    Err(deny) => deny.to_string(),
                };
                writeln!(table, "{term:<10} {kind:<9} {door:<7} {answer}").unwrap();
            }
        }
    }
    is_golden("terms.txt", &table);
}

#[test]
fn narrowed_terms_end_the_session_and_widened_ones_do_not() {
    let none = Terms::default;
    let level = |level| Terms { level: Some(level), ..none() };
    let databases = |names: &[&str]| {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        Terms { databases: Some(names), ..none() }
    };
    let clipboard = |clipboard| Terms { clipboard, ..none() };
    let recorded = || Terms { recording: Recording::Required, ..none() };
    let signed_in = || Terms { require_active_session: true, ..none() };
    let ssh = |ssh| Terms { ssh, ..none() };
    let commands = |names: &[&str]| {
        let exec = Allowed::Only(names.iter().map(|name| (*name).to_owned()).collect());
        ssh(SshTerms { exec, ..SshTerms::default() })
    };
    let narrower = [
        (none(), level(Level::Owner)),
        (level(Level::Owner), level(Level::Editor)),
        (level(Level::Editor), level(Level::Viewer)),
        (none(), databases(&["a"])),
        (databases(&["a"]), databases(&[])),
        (databases(&["a", "b"]), databases(&["a", "c", "d"])),
        (none(), clipboard(Clipboard::ToTarget)),
        (clipboard(Clipboard::ToTarget), clipboard(Clipboard::FromTarget)),
        (clipboard(Clipboard::FromTarget), clipboard(Clipboard::Off)),
        (none(), Terms { printer: false, ..none() }),
        (none(), Terms { audio: false, ..none() }),
        (none(), recorded()),
        (recorded(), Terms { recording: Recording::WithInput, ..none() }),
        (none(), signed_in()),
        (none(), ssh(SshTerms { shell: false, ..SshTerms::default() })),
        (none(), ssh(SshTerms { file_hashes: true, ..SshTerms::default() })),
        (none(), ssh(SshTerms { sftp: Some(Sftp::Read), ..SshTerms::default() })),
        (commands(&["a", "b"]), commands(&["a"])),
        (none(), commands(&["a"])),
        (Terms { forwarding: true, ..none() }, none()),
        (
            Terms { forwarding: true, ..none() },
            ssh(SshTerms { remote: Some(true), ..SshTerms::default() }),
        ),
        (ssh(SshTerms { x11: true, ..SshTerms::default() }), none()),
    ];
    for (before, after) in narrower {
        assert_eq!(changed(&before, &after), Some(EndReason::Revoked), "{before:?} → {after:?}");
        let incomparable = changed(&after, &before).is_some();
        assert_eq!(incomparable, is_incomparable(&before, &after), "{after:?} → {before:?}");
        assert_eq!(changed(&before, &before), None, "{before:?}");
    }
}

#[test]
fn the_rule_that_allows_more_is_chosen_whatever_the_order() {
    let none = Terms::default;
    let more_and_less = [
        (none(), Terms { level: Some(Level::Owner), ..none() }),
        (
            Terms { level: Some(Level::Editor), ..none() },
            Terms { level: Some(Level::Viewer), ..none() },
        ),
        (none(), Terms { databases: Some(vec!["a".into()]), ..none() }),
        (none(), Terms { clipboard: Clipboard::ToTarget, ..none() }),
        (none(), Terms { printer: false, ..none() }),
        (none(), Terms { audio: false, ..none() }),
        (none(), Terms { recording: Recording::Required, ..none() }),
        (
            Terms { recording: Recording::Required, ..none() },
            Terms { recording: Recording::WithInput, ..none() },
        ),
        (none(), Terms { require_active_session: true, ..none() }),
        (
            none(),
            Terms { ssh: SshTerms { sftp: Some(Sftp::Read), ..SshTerms::default() }, ..none() },
        ),
        (none(), Terms { ssh: SshTerms { file_hashes: true, ..SshTerms::default() }, ..none() }),
    ];
    for (more, less) in more_and_less {
        for ids in [[1, 2], [2, 1]] {
            let mut data = only(Kind::Rdp, none());
            let alice_s = Subject::User(user_id(ALICE));
            data.rules =
                vec![rule(ids[0], alice_s, more.clone()), rule(ids[1], alice_s, less.clone())];
            let grant = open(&PolicySnapshot::new(data)).unwrap();
            assert_eq!(grant.terms(), &more, "before {less:?}");
        }
    }
}

#[test]
fn what_a_desktop_shares_is_held_where_its_protocol_is_spoken() {
    let terms = Terms {
        clipboard: Clipboard::Off,
        file_transfer: false,
        printer: false,
        audio: false,
        ..Terms::default()
    };
    let policy = PolicySnapshot::new(only(Kind::Rdp, terms));
    let opens = |keeps| {
        let context = Context { login: None, keeps, ..context() };
        policy.authorize(&alice(), &Arc::new(app(1)), context, now()).is_ok()
    };
    assert!(opens(Keeps::DESKTOP));
    assert!(!opens(Keeps::NOTHING), "bytes that nobody looks at");
}

#[test]
fn a_native_client_is_recorded_where_the_relay_signs_in_and_shut_out_where_people_do() {
    for (login, opens) in
        [(Login::Managed { account: "desk".into() }, true), (Login::Transparent, false)]
    {
        for recording in [Recording::Required, Recording::WithInput] {
            let mut data = only(Kind::Rdp, Terms { recording, ..Terms::default() });
            data.applications[0].login = login.clone();
            let policy = PolicySnapshot::new(data);
            let desktop = policy.application(app(1).id).unwrap();
            let context = Context::native(INSIDE.parse().unwrap(), desktop);
            match policy.authorize(&alice(), desktop, context, now()) {
                Ok(_) => assert!(opens, "{recording:?}"),
                Err(deny) => {
                    let short = matches!(deny, Deny::Short(_, Shortfall::Recording));
                    assert!(short && !opens, "{recording:?}: {deny}");
                }
            }
        }
    }
}

#[test]
fn that_a_sign_in_is_needed_is_told_to_whom_nothing_else_is_missing() {
    let mut data = data();
    data.agents.clear();
    let ask = |data: &PolicyData, login: &str, from: &str| {
        let context = Context {
            from: from.parse().unwrap(),
            login: Some(login.to_owned()),
            keeps: Keeps::SSH,
            database: None,
        };
        let policy = PolicySnapshot::new(data.clone());
        policy.authorize(&alice(), &Arc::new(app(6)), context, now()).unwrap_err()
    };
    let rule = data.rules.iter_mut().find(|rule| rule.id.0.as_u128() == 6).unwrap();
    rule.terms.logins = Some(vec!["ubuntu".into()]);
    rule.terms.sources = Some(vec!["10.0.0.0/8".parse().unwrap()]);
    let deny = ask(&data, "ubuntu", INSIDE);
    assert_eq!(
        (deny.code().0, deny),
        ("session.required", Deny::Short(RuleId(Uuid::from_u128(6)), Shortfall::Session))
    );
    assert_eq!(deny.hint().unwrap(), "sign in with `adit login URL`");
    assert_eq!(ask(&data, "root", INSIDE).code().0, "access.denied");
    assert_eq!(ask(&data, "ubuntu", "192.0.2.1").code().0, "access.denied");
}

#[test]
fn an_agent_of_ones_own_signs_in_and_nothing_else_does() {
    let bound = Agent { bound: true, ..laptop(3600) };
    let other = Agent { user: user_id(BOB), ..laptop(3600) };
    let cases = [
        (vec![laptop(3600)], Ok(Some(3600))),
        (vec![laptop(60), laptop(7200), laptop(0)], Ok(Some(7200))),
        (vec![laptop(60), Agent { bound: true, ..laptop(7200) }], Ok(Some(60))),
        (vec![], Err("session.required")),
        (vec![bound], Err("session.required")),
        (vec![other], Err("session.required")),
        (vec![laptop(0)], Err("session.required")),
    ];
    for (agents, expected) in cases {
        // By a rule, whatever was shown; and by an application, for its api tokens.
        for (application, credential) in [(6, key()), (6, api()), (8, api())] {
            let policy = PolicySnapshot::new(PolicyData { agents: agents.clone(), ..data() });
            let who = who(ALICE, credential);
            let answer = policy.authorize(&who, &Arc::new(app(application)), context(), now());
            let left = |grant: Grant| {
                grant.expires().map(|end| end.duration_since(now()).unwrap().as_secs())
            };
            let answer = answer.map(left).map_err(|deny| deny.code().0);
            assert_eq!(answer, expected, "{agents:?} {application}");
        }
        // Who shows something else there needs none.
        let policy = PolicySnapshot::new(PolicyData { agents, ..data() });
        let grant = policy.authorize(&alice(), &Arc::new(app(8)), context(), now()).unwrap();
        assert_eq!(grant.expires(), None);
    }
}

#[test]
fn a_session_ends_with_the_sign_in_that_it_needs() {
    let (session, hour) = (SessionId(Uuid::nil()), Duration::from_secs(3600));
    let policy = PolicySnapshot::new(data());
    let who = who(ALICE, api());
    let mut open = data();
    open.applications[7].require_active_session = false;
    let before = PolicySnapshot::new(open);
    for (snapshot, application) in [(&policy, 6), (&policy, 8), (&before, 8)] {
        let grant = snapshot.authorize(&who, &Arc::new(app(application)), context(), now());
        let grant = grant.unwrap();
        let recheck = |agents: Vec<Agent>, at| {
            let policy = PolicySnapshot::new(PolicyData { agents, ..data() });
            (policy.recheck(session, grant.standing(), at), policy.end(grant.standing()))
        };
        let just_before = now() + hour - Duration::from_millis(1);
        assert_eq!(recheck(vec![laptop(3600)], just_before), (None, Some(now() + hour)));
        let over = recheck(vec![laptop(3600)], now() + hour);
        assert_eq!(over.0, Some(EndReason::SignedOut));
        assert_eq!(recheck(vec![], now()), (Some(EndReason::SignedOut), None));
        assert_eq!(recheck(vec![laptop(7200)], now() + hour), (None, Some(now() + 2 * hour)));
    }
}

#[test]
fn a_browser_signs_in_like_an_agent_and_what_stands_on_it_ends_with_it() {
    let session = SessionId(Uuid::nil());
    let browser = |left, user| SignIn {
        id: SignInId(Uuid::from_u128(7)),
        user: user_id(user),
        expires: now() + Duration::from_secs(left),
    };
    let only =
        |sign_ins| PolicySnapshot::new(PolicyData { agents: Vec::new(), sign_ins, ..data() });
    let policy = only(vec![browser(60, ALICE)]);
    for (application, credential) in
        [(6, key()), (8, api()), (6, Credential::SignIn { id: SignInId(Uuid::from_u128(7)) })]
    {
        let who = who(ALICE, credential);
        let grant = policy.authorize(&who, &Arc::new(app(application)), context(), now()).unwrap();
        assert_eq!(grant.expires(), Some(now() + Duration::from_secs(60)));
        let ended = |policy: PolicySnapshot| policy.recheck(session, grant.standing(), now());
        assert_eq!(ended(only(vec![])), Some(EndReason::SignedOut));
        assert_eq!(ended(only(vec![browser(60, BOB)])), Some(EndReason::SignedOut));
        assert_eq!(ended(only(vec![browser(90, ALICE)])), None);
    }
}

#[test]
fn terms_kept_before_there_were_these_restrict_nothing_more() {
    let terms: Terms =
        serde_json::from_str(r#"{"forwarding":true,"file_transfer":false}"#).unwrap();
    assert_eq!(terms, Terms { forwarding: true, file_transfer: false, ..Terms::default() });
    for (_, terms) in kept_by_some() {
        let kept = serde_json::to_string(&terms).unwrap();
        assert_eq!(serde_json::from_str::<Terms>(&kept).unwrap(), terms, "{kept}");
    }
}

fn two_proofs() -> SshTerms {
    let authentication = Some(["publickey,token".parse().unwrap()].into());
    SshTerms { authentication, ..SshTerms::default() }
}

fn kept_by_some() -> [(&'static str, Terms); 10] {
    let none = Terms::default;
    [
        ("level", Terms { level: Some(Level::Viewer), ..none() }),
        ("databases", Terms { databases: Some(vec!["orders".into()]), ..none() }),
        ("clipboard", Terms { clipboard: Clipboard::ToTarget, ..none() }),
        ("printer", Terms { printer: false, ..none() }),
        ("audio", Terms { audio: false, ..none() }),
        ("files", Terms { file_transfer: false, ..none() }),
        ("recording", Terms { recording: Recording::Required, ..none() }),
        ("ssh", Terms { ssh: SshTerms { shell: false, ..SshTerms::default() }, ..none() }),
        ("proofs", Terms { ssh: two_proofs(), ..none() }),
        ("session", Terms { require_active_session: true, ..none() }),
    ]
}

fn doors() -> [(&'static str, Option<&'static str>, Keeps); 4] {
    let all =
        Keeps { recording: true, databases: true, clipboard: true, files: true, devices: true };
    [
        ("raw", None, Keeps::NOTHING),
        ("ssh", Some("ubuntu"), Keeps::SSH),
        ("login", Some("ubuntu"), Keeps::NOTHING),
        ("all", Some("ubuntu"), all),
    ]
}

/// By a door that speaks a database's protocol and logs in itself.
#[test]
fn a_level_is_an_account_and_databases_are_names() {
    let data = |terms: Terms| {
        let mut data = only(Kind::Postgres, terms);
        let accounts = [(Level::Owner, "o".to_owned()), (Level::Viewer, "v".to_owned())];
        data.applications[0].database.accounts = accounts.into();
        data
    };
    let ask = |data: PolicyData, database: &str| {
        let (login, database) = (Some("typed".to_owned()), Some(database.to_owned()));
        let context = Context { login, database, keeps: Keeps::DATABASE, ..context() };
        let policy = PolicySnapshot::new(data);
        let granted = policy.authorize(&alice(), &Arc::new(app(1)), context, now());
        granted.map(|grant| grant.login().map(str::to_owned))
    };
    let level = |level| Terms { level: Some(level), ..Terms::default() };
    let logins =
        |login: &str| Terms { logins: Some(vec![login.to_owned()]), ..level(Level::Viewer) };
    let only_orders = Terms { databases: Some(vec!["orders".to_owned()]), ..Terms::default() };
    let as_account = |account: &str| Ok(Some(account.to_owned()));
    let short = |by| Err(Deny::Short(RuleId(Uuid::from_u128(1)), by));
    assert_eq!(ask(data(Terms::default()), "orders"), as_account("o"));
    assert_eq!(ask(data(level(Level::Viewer)), "orders"), as_account("v"));
    assert_eq!(ask(data(level(Level::Editor)), "orders"), short(Shortfall::Level));
    assert_eq!(ask(data(only_orders.clone()), "orders"), as_account("o"));
    assert_eq!(ask(data(only_orders), "payroll"), short(Shortfall::Databases));
    assert_eq!(ask(data(logins("v")), "orders"), as_account("v"));
    assert_eq!(ask(data(logins("typed")), "orders"), short(Shortfall::Login));
    // The one that allows most, of those that fit.
    let mut both = data(level(Level::Viewer));
    both.rules.push(rule(2, Subject::User(user_id(ALICE)), level(Level::Owner)));
    assert_eq!(ask(both, "orders"), as_account("o"));
}

#[test]
fn other_databases_are_told_where_nothing_else_is_in_the_way() {
    let opens = |names: &[&str]| Terms {
        databases: Some(names.iter().map(|name| (*name).to_owned()).collect()),
        ..Terms::default()
    };
    let told = |terms: Vec<Terms>, database: &str| {
        let mut data = only(Kind::Postgres, Terms::default());
        data.applications[0].database.accounts = [(Level::Owner, "o".to_owned())].into();
        data.rules.clear();
        for (n, terms) in (1..).zip(terms) {
            data.rules.push(rule(n, Subject::User(user_id(ALICE)), terms));
        }
        let (login, database) = (None, Some(database.to_owned()));
        let context = Context { login, database, keeps: Keeps::DATABASE, ..context() };
        let policy = PolicySnapshot::new(data);
        let open = policy.other_databases(&alice(), &Arc::new(app(1)), &context, now());
        open.map(|open| open.into_iter().map(str::to_owned).collect::<Vec<_>>())
    };
    let late = Terms { valid_until: Some(1), ..opens(&["archive"]) };
    let two = || vec![opens(&["orders"]), opens(&["stock", "orders"]), late.clone()];
    assert_eq!(told(two(), "payroll"), Some(vec!["orders".to_owned(), "stock".to_owned()]));
    // One opens it, or another term is in the way, or no rule is theirs.
    assert_eq!(told(two(), "stock"), None);
    assert_eq!(told(vec![late.clone()], "payroll"), None);
    assert_eq!(told(vec![], "payroll"), None);
}

/// What becomes of a session under `before` when they become `after`, at a door that keeps all.
fn changed(before: &Terms, after: &Terms) -> Option<EndReason> {
    let grant = open(&PolicySnapshot::new(only(Kind::Rdp, before.clone()))).unwrap();
    let policy = PolicySnapshot::new(only(Kind::Rdp, after.clone()));
    policy.recheck(SessionId(Uuid::nil()), grant.standing(), now())
}

fn is_incomparable(one: &Terms, other: &Terms) -> bool {
    let ways = |terms: &Terms| (terms.clipboard, terms.databases.as_ref().map(Vec::len));
    [ways(one), ways(other)].iter().all(|(clipboard, databases)| {
        matches!(clipboard, Clipboard::ToTarget | Clipboard::FromTarget)
            || databases.is_some_and(|n| n > 1)
    })
}

fn open(policy: &PolicySnapshot) -> Result<Grant, Deny> {
    let keeps =
        Keeps { recording: true, databases: true, clipboard: true, files: true, devices: true };
    policy.authorize(&alice(), &Arc::new(app(1)), Context { keeps, ..context() }, now())
}

/// One application of this kind, one rule, and alice, who is signed in.
fn only(kind: Kind, terms: Terms) -> PolicyData {
    let mut data = data();
    data.applications.truncate(1);
    data.applications[0].kind = kind;
    data.rules = vec![rule(1, Subject::User(user_id(ALICE)), terms)];
    data
}

fn alice() -> access::Authenticated {
    who(ALICE, key())
}

fn key() -> Credential {
    Credential::SshKey { fingerprint: "SHA256:alice".into() }
}

fn api() -> Credential {
    let (id, kind) = (token("live"), TokenKind::Api);
    Credential::Token { id, kind, application: None, expires: None }
}

fn context() -> Context {
    Context {
        from: INSIDE.parse().unwrap(),
        login: Some("ubuntu".into()),
        database: None,
        keeps: Keeps::SSH,
    }
}
