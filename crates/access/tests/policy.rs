//! The decision as a matrix a reviewer reads as a diff: `golden/matrix.txt`.
//!
//! `UPDATE_GOLDEN=1 cargo test -p access --test policy` writes it anew.

#![expect(clippy::unwrap_used, reason = "what a test needs and does not get fails the test")]

mod support;

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use access::{
    Authenticated, Context, Credential, EndReason, Explain, Hours, Keeps, PolicySnapshot,
    SessionId, Subject, Terms, TokenKind, Unfound,
};
use support::{
    ALICE, BOB, CAROL, INSIDE, NOW_SECS, agent, app, app_name, data, is_golden, name_of, now,
    office_hours, rule, token, user_id, who,
};
use uuid::Uuid;

#[test]
fn the_matrix_is_as_reviewed() {
    let mut matrix = String::from(
        "who        credential        application  login   from          at    answer\n",
    );
    for (label, credential) in credentials() {
        for user in [ALICE, BOB, CAROL] {
            for application in 1..=9 {
                for (login, from, at) in contexts() {
                    let answer = decide(user, &credential, application, login, from, at);
                    let (who, app) = (name_of(user), app_name(application));
                    let login = login.unwrap_or("(raw)");
                    writeln!(
                        matrix,
                        "{who:<10} {label:<17} {app:<12} {login:<7} {from:<13} {at:<5} {answer}"
                    )
                    .unwrap();
                }
            }
        }
    }
    is_golden("matrix.txt", &matrix);
}

#[test]
fn absent_and_forbidden_are_told_alike() {
    let policy = PolicySnapshot::new(data());
    let stranger = who(BOB, Credential::SshKey { fingerprint: "SHA256:bob".into() });
    let forbidden = policy.find("web1", &stranger).unwrap();
    let context = context();
    let deny = policy.authorize(&stranger, forbidden, context, now()).unwrap_err();
    assert_eq!(deny.code().0, "access.denied");
    assert!(matches!(policy.find("nothing", &stranger), Err(Unfound::Unknown(_))));
    let seen: Vec<_> = policy.reachable(&stranger).iter().map(|app| app.name.as_str()).collect();
    assert_eq!(seen, ["db", "db", "robot", "signed", "strict", "taped"]);
}

#[test]
fn an_application_is_found_by_every_form_of_its_name() {
    let policy = PolicySnapshot::new(data());
    let alice = who(ALICE, Credential::SshKey { fingerprint: "SHA256:alice".into() });
    for text in ["web1", "web1.hq", "web1-hq"] {
        assert_eq!(policy.find(text, &alice).unwrap().id, app(1).id, "{text}");
    }
    // Of the two called `db`, only the one at hq is open to alice.
    assert_eq!(policy.find("db", &alice).unwrap().site.name.as_str(), "hq");
    let both = who(BOB, Credential::SshKey { fingerprint: "SHA256:bob".into() });
    assert_eq!(policy.find("db", &both), Err(Unfound::Ambiguous("db".into())));
    assert_eq!(policy.find("db.lab", &both).unwrap().site.name.as_str(), "lab");
}

#[test]
fn the_widest_rule_wins_whatever_the_order() {
    for order in [[0, 1], [1, 0]] {
        let mut data = data();
        let narrow = Terms { max_session: Some(60), ..Terms::default() };
        let wide = Terms { forwarding: true, ..Terms::default() };
        let rules = [
            rule(7, Subject::User(user_id(ALICE)), narrow),
            rule(8, Subject::User(user_id(ALICE)), wide),
        ];
        data.rules = order.map(|i: usize| rules[i].clone()).to_vec();
        let policy = PolicySnapshot::new(data);
        let alice = who(ALICE, Credential::SshKey { fingerprint: "SHA256:alice".into() });
        let context = Context { login: None, keeps: Keeps::NOTHING, ..context() };
        let grant = policy.authorize(&alice, &Arc::new(app(1)), context, now()).unwrap();
        assert!(grant.terms().forwarding);
        assert_eq!(grant.expires(), None);
    }
}

#[test]
fn the_earliest_of_all_ends_is_the_end() {
    let mut data = data();
    data.rules[0].terms.max_session = Some(3600);
    data.rules[0].terms.valid_until = Some(NOW_SECS + 1800);
    let policy = PolicySnapshot::new(data);
    for (token_left, expected) in [(600, 600), (7200, 1800)] {
        let expires = Some(now() + Duration::from_secs(token_left));
        let credential = Credential::Token {
            id: token("live"),
            kind: TokenKind::Access,
            application: None,
            expires,
        };
        let context = context();
        let who = who(ALICE, credential);
        let grant = policy.authorize(&who, &Arc::new(app(1)), context, now()).unwrap();
        assert_eq!(grant.expires(), Some(now() + Duration::from_secs(expected)));
        let end = now() + Duration::from_secs(expected);
        let session = SessionId(Uuid::nil());
        assert_eq!(policy.recheck(session, grant.standing(), end - Duration::from_millis(1)), None);
        assert_eq!(policy.recheck(session, grant.standing(), end), Some(EndReason::Expired));
    }
}

#[test]
fn a_session_ends_with_the_hours_it_was_opened_in() {
    let (policy, session) = (PolicySnapshot::new(data()), SessionId(Uuid::nil()));
    let grant = policy.authorize(&alice(), &Arc::new(app(5)), context(), now()).unwrap();
    let closes = now() + Duration::from_secs(9 * 3600);
    assert_eq!(grant.expires(), Some(closes));
    let just_before = closes - Duration::from_millis(1);
    assert_eq!(policy.recheck(session, grant.standing(), just_before), None);
    assert_eq!(policy.recheck(session, grant.standing(), closes), Some(EndReason::Expired));
}

#[test]
fn hours_that_are_changed_end_what_they_would_not_have_opened() {
    let session = SessionId(Uuid::nil());
    let policy = PolicySnapshot::new(data());
    let grant = policy.authorize(&alice(), &Arc::new(app(5)), context(), now()).unwrap();
    let cases = [
        (&["mon-fri 08:00-17:00"][..], Some(EndReason::Revoked)),
        (&["sat 08:00-18:00"], Some(EndReason::Revoked)),
        (&[], Some(EndReason::Revoked)),
        (&["fri 09:00-18:00"], None),
        (&["mon-fri 08:00-20:00"], None),
        (&["00:00-24:00"], None),
    ];
    for (windows, expected) in cases {
        let mut data = data();
        let windows = windows.iter().map(|text| text.parse().unwrap()).collect();
        let hours = Hours::new(windows, "Europe/Berlin".parse().unwrap());
        data.rules.last_mut().unwrap().terms.hours = Some(hours);
        let told = data.rules.last().unwrap().terms.hours.as_ref().unwrap().to_string();
        let changed = PolicySnapshot::new(data);
        assert_eq!(changed.recheck(session, grant.standing(), now()), expected, "{told}");
    }
}

/// A rule that is wider in one way and narrower in another takes nothing from whom the first let in.
#[test]
fn another_rule_whose_hours_begin_ends_nothing() {
    let mut data = data();
    let hours = Hours::new(vec!["fri 10:00-11:00".parse().unwrap()], "UTC".parse().unwrap());
    let noon = Terms { forwarding: true, hours: Some(hours), ..Terms::default() };
    data.rules.push(rule(9, Subject::User(user_id(ALICE)), noon));
    let (policy, session) = (PolicySnapshot::new(data), SessionId(Uuid::nil()));
    let grant = policy.authorize(&alice(), &Arc::new(app(1)), context(), now()).unwrap();
    assert!(!grant.terms().forwarding);
    let later = now() + Duration::from_secs(9_000);
    assert_eq!(policy.recheck(session, grant.standing(), later), None);
}

#[test]
fn withdrawn_file_transfer_ends_the_session() {
    let (policy, session) = (PolicySnapshot::new(data()), SessionId(Uuid::nil()));
    let grant = policy.authorize(&alice(), &Arc::new(app(1)), context(), now()).unwrap();
    let mut data = data();
    data.rules[0].terms.file_transfer = false;
    let changed = PolicySnapshot::new(data);
    let ended = changed.recheck(session, grant.standing(), now());
    assert_eq!(ended, Some(EndReason::Revoked));
}

#[test]
fn terms_kept_before_there_were_hours_still_allow_file_transfer() {
    let terms: Terms = serde_json::from_str(r#"{"forwarding":false}"#).unwrap();
    assert_eq!(terms, Terms::default());
    assert!(terms.file_transfer);
    let now = Terms { hours: Some(office_hours()), ..Terms::default() };
    let kept = serde_json::to_string(&now).unwrap();
    assert_eq!(serde_json::from_str::<Terms>(&kept).unwrap(), now);
}

#[test]
fn what_is_asked_for_next_follows_from_what_was_shown_and_is_told_to_whom_nothing_else_is_missing()
{
    use access::Proof::Token;
    let policy = PolicySnapshot::new(data());
    let asked = |user, shown: &[&str], context: &Context| {
        let all = credentials();
        let of = |name: &&str| all.iter().find(|(label, _)| label == name).unwrap().1.clone();
        let shown: Vec<_> = shown.iter().flat_map(of).collect();
        policy.asks_for(&showing(user, &shown), &Arc::new(app(9)), context, now())
    };
    assert_eq!(asked(ALICE, &["own ssh key"], &context()), Some([Token].into()));
    assert_eq!(asked(ALICE, &["api token"], &context()), Some([].into()));
    assert_eq!(asked(ALICE, &["key, token"], &context()), None);
    assert_eq!(asked(ALICE, &["certificate"], &context()), None);
    assert_eq!(asked(ALICE, &["agent"], &context()), Some([].into()));
    // Something else is missing too.
    let raw = Context { login: None, keeps: Keeps::NOTHING, ..context() };
    assert_eq!(asked(ALICE, &["own ssh key"], &raw), None);
    assert_eq!(asked(CAROL, &["own ssh key"], &context()), None);
}

#[test]
fn a_session_ends_when_other_proofs_are_asked_for() {
    let certificate = who(ALICE, Credential::Certificate { agent: agent(), serial: 1 });
    let grant = PolicySnapshot::new(data());
    let grant = grant.authorize(&certificate, &Arc::new(app(9)), context(), now()).unwrap();
    for (ways, expected) in [
        (&["certificate", "token"][..], None),
        (&["token"], Some(EndReason::Revoked)),
        (&[], Some(EndReason::Revoked)),
    ] {
        let mut data = data();
        let ways = ways.iter().map(|way| way.parse().unwrap()).collect();
        let strict = data.rules.iter_mut().find(|rule| rule.id.0.as_u128() == 9).unwrap();
        strict.terms.ssh.authentication = Some(ways);
        let changed = PolicySnapshot::new(data);
        let ended = changed.recheck(SessionId(Uuid::nil()), grant.standing(), now());
        assert_eq!(ended, expected);
    }
}

#[test]
fn what_two_users_show_proves_nothing_together() {
    let key = |user| who(user, Credential::SshKey { fingerprint: "SHA256:alice".into() });
    assert!(key(ALICE).and(key(ALICE)).is_some());
    assert!(key(ALICE).and(key(BOB)).is_none());
}

/// Who has shown these one after the other.
fn showing(user: u128, shown: &[Credential]) -> Authenticated {
    let all = shown.iter().map(|credential| who(user, credential.clone()));
    all.reduce(|before, later| before.and(later).unwrap()).unwrap()
}

fn alice() -> Authenticated {
    who(ALICE, Credential::SshKey { fingerprint: "SHA256:alice".into() })
}

fn context() -> Context {
    Context {
        from: INSIDE.parse().unwrap(),
        login: Some("ubuntu".into()),
        database: None,
        keeps: Keeps::SSH,
    }
}

fn decide(
    user: u128,
    shown: &[Credential],
    application: u128,
    login: Option<&str>,
    from: &str,
    at: &str,
) -> String {
    let policy = PolicySnapshot::new(data());
    let keeps = if login.is_some() { Keeps::SSH } else { Keeps::NOTHING };
    let login = login.map(str::to_owned);
    let context = Context { from: from.parse().unwrap(), login, database: None, keeps };
    let at = if at == "late" { now() + Duration::from_secs(86_400) } else { now() };
    match policy.authorize(&showing(user, shown), &Arc::new(app(application)), context, at) {
        Ok(grant) => format!("allowed by {}", grant.rule().0.as_u128()),
        Err(deny) => format!("{} ({deny})", deny.code()),
    }
}

fn credentials() -> Vec<(&'static str, Vec<Credential>)> {
    let of = |id, kind, application: Option<u128>, left: Option<u64>| Credential::Token {
        id: token(id),
        kind,
        application: application.map(|n| app(n).id),
        expires: left.map(|left| now() + Duration::from_secs(left)),
    };
    let key = || Credential::SshKey { fingerprint: "SHA256:alice".into() };
    let live = || of("live", TokenKind::Access, None, None);
    let elsewhere = of("live", TokenKind::Access, Some(1), None);
    vec![
        ("api token", vec![of("live", TokenKind::Api, None, None)]),
        ("access for web1", vec![of("live", TokenKind::Access, Some(1), Some(3600))]),
        ("expired token", vec![of("live", TokenKind::Access, None, Some(0))]),
        ("revoked token", vec![of("gone", TokenKind::Access, None, None)]),
        ("login token", vec![of("live", TokenKind::Login, None, None)]),
        ("own ssh key", vec![key()]),
        ("agent", vec![Credential::Agent { id: agent() }]),
        ("certificate", vec![Credential::Certificate { agent: agent(), serial: 1 }]),
        ("key, token", vec![key(), live()]),
        ("token, key", vec![live(), key()]),
        ("web1's token, key", vec![elsewhere, key()]),
        ("key, gone token", vec![key(), of("gone", TokenKind::Access, None, None)]),
    ]
}

fn contexts() -> [(Option<&'static str>, &'static str, &'static str); 5] {
    [
        (Some("ubuntu"), INSIDE, "now"),
        (Some("root"), INSIDE, "now"),
        (None, INSIDE, "now"),
        (Some("ubuntu"), "192.0.2.1", "now"),
        (Some("ubuntu"), INSIDE, "late"),
    ]
}
