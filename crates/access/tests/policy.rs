//! The decision as a matrix a reviewer reads as a diff: `golden/matrix.txt`.
//!
//! `UPDATE_GOLDEN=1 cargo test -p access --test policy` writes it anew.

#![expect(clippy::unwrap_used, reason = "what a test needs and does not get fails the test")]

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use access::{
    AgentId, Application, ApplicationId, Authenticated, Context, Credential, EndReason, Explain,
    GroupId, Kind, Login, PolicyData, PolicySnapshot, Rule, RuleId, SessionId, Site, SiteId,
    SshKey, Subject, Target, Terms, TokenId, TokenKind, Unfound, User, UserId,
};
use uuid::Uuid;

#[test]
fn the_matrix_is_as_reviewed() {
    let mut matrix = String::from(
        "who        credential        application  login   from          at    answer\n",
    );
    for (label, credential) in credentials() {
        for user in [ALICE, BOB, CAROL] {
            for application in 1..=4 {
                for (login, from, at) in contexts() {
                    let answer = decide(user, credential.clone(), application, login, from, at);
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
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/matrix.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &matrix).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    for (number, (got, expected)) in matrix.lines().zip(golden.lines()).enumerate() {
        assert_eq!(got, expected, "line {} of golden/matrix.txt", number + 1);
    }
    assert_eq!(matrix.lines().count(), golden.lines().count());
}

#[test]
fn absent_and_forbidden_are_told_alike() {
    let policy = PolicySnapshot::new(data());
    let stranger = who(BOB, Credential::SshKey { fingerprint: "SHA256:bob".into() });
    let forbidden = policy.find("web1", &stranger).unwrap();
    let context = Context { from: INSIDE.parse().unwrap(), login: Some("ubuntu".into()) };
    let deny = policy.authorize(&stranger, forbidden, context, now()).unwrap_err();
    assert_eq!(deny.code().0, "access.denied");
    assert!(matches!(policy.find("nothing", &stranger), Err(Unfound::Unknown(_))));
    let seen: Vec<_> = policy.reachable(&stranger).iter().map(|app| app.name.as_str()).collect();
    assert_eq!(seen, ["db", "db"]);
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
        let context = Context { from: INSIDE.parse().unwrap(), login: None };
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
        let context = Context { from: INSIDE.parse().unwrap(), login: Some("ubuntu".into()) };
        let who = who(ALICE, credential);
        let grant = policy.authorize(&who, &Arc::new(app(1)), context, now()).unwrap();
        assert_eq!(grant.expires(), Some(now() + Duration::from_secs(expected)));
        let end = now() + Duration::from_secs(expected);
        let session = SessionId(Uuid::nil());
        assert_eq!(policy.recheck(session, grant.standing(), end - Duration::from_millis(1)), None);
        assert_eq!(policy.recheck(session, grant.standing(), end), Some(EndReason::Expired));
    }
}

fn decide(
    user: u128,
    credential: Credential,
    application: u128,
    login: Option<&str>,
    from: &str,
    at: &str,
) -> String {
    let policy = PolicySnapshot::new(data());
    let context = Context { from: from.parse().unwrap(), login: login.map(str::to_owned) };
    let at = if at == "late" { now() + Duration::from_secs(86_400) } else { now() };
    match policy.authorize(&who(user, credential), &Arc::new(app(application)), context, at) {
        Ok(grant) => format!("allowed by {}", grant.rule().0.as_u128()),
        Err(deny) => format!("{} ({deny})", deny.code()),
    }
}

fn data() -> PolicyData {
    let dba = Subject::Group(GroupId(Uuid::from_u128(1)));
    let logins = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect());
    let own = Terms { logins: logins(&["ubuntu"]), ..Terms::default() };
    let inside = Terms {
        sources: Some(vec!["10.0.0.0/8".parse().unwrap()]),
        valid_until: Some(NOW_SECS + 3600),
        ..Terms::default()
    };
    let nobody = Terms { logins: Some(vec![]), ..Terms::default() };
    let mut on_tag = rule(2, dba, inside);
    on_tag.target = Target::Tag { key: "env".into(), value: "prod".into() };
    let mut empty = rule(3, Subject::User(user_id(ALICE)), nobody);
    empty.target = Target::Application(app(4).id);
    let mut at_hq = rule(4, Subject::User(user_id(ALICE)), Terms::default());
    at_hq.target = Target::Application(app(2).id);
    PolicyData {
        users: vec![user(ALICE, true), user(BOB, true), user(CAROL, false)],
        applications: (1..=4).map(app).collect(),
        rules: vec![rule(1, Subject::User(user_id(ALICE)), own), on_tag, empty, at_hq],
        tokens: vec![token("live")],
        agents: vec![(agent(), now() + Duration::from_secs(3600))],
        ..PolicyData::default()
    }
}

fn credentials() -> Vec<(&'static str, Credential)> {
    let of = |id, kind, application: Option<u128>, left: Option<u64>| Credential::Token {
        id: token(id),
        kind,
        application: application.map(|n| app(n).id),
        expires: left.map(|left| now() + Duration::from_secs(left)),
    };
    vec![
        ("api token", of("live", TokenKind::Api, None, None)),
        ("access for web1", of("live", TokenKind::Access, Some(1), Some(3600))),
        ("expired token", of("live", TokenKind::Access, None, Some(0))),
        ("revoked token", of("gone", TokenKind::Access, None, None)),
        ("login token", of("live", TokenKind::Login, None, None)),
        ("own ssh key", Credential::SshKey { fingerprint: "SHA256:alice".into() }),
        ("agent", Credential::Agent { id: agent() }),
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

const ALICE: u128 = 1;
const BOB: u128 = 2;
/// Disabled.
const CAROL: u128 = 3;
const INSIDE: &str = "10.1.2.3";
const NOW_SECS: u64 = 1_800_000_000;
fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(NOW_SECS)
}

#[expect(clippy::disallowed_methods, reason = "the test is its own authority")]
fn who(user: u128, credential: Credential) -> Authenticated {
    let name = name_of(user).parse().unwrap();
    Authenticated::assertion(user_id(user), name, credential, IpAddr::from([10, 1, 2, 3]))
}

fn user(n: u128, enabled: bool) -> User {
    let name = name_of(n);
    let key = SshKey { fingerprint: format!("SHA256:{name}"), expires: None };
    let groups = if n == ALICE { vec![] } else { vec![GroupId(Uuid::from_u128(1))] };
    User {
        id: user_id(n),
        name: name.parse().unwrap(),
        enabled,
        admin: n == BOB,
        groups,
        ssh_keys: vec![key],
    }
}

/// 1 web1 at hq; 2 and 3 both called db, at hq and lab, tagged; 4 locked at hq, no api tokens.
fn app(n: u128) -> Application {
    let site = if n == 3 { "lab" } else { "hq" };
    let tags = match n {
        2 | 3 => [("env".to_owned(), "prod".to_owned())].into(),
        _ => [].into(),
    };
    Application {
        id: ApplicationId(Uuid::from_u128(n)),
        name: app_name(n).split('.').next().unwrap_or_default().parse().unwrap(),
        site: Site {
            id: SiteId(Uuid::from_u128(if n == 3 { 2 } else { 1 })),
            name: site.parse().unwrap(),
        },
        kind: if n == 1 { Kind::Ssh } else { Kind::Postgres },
        address: "10.0.0.1:22".parse().unwrap(),
        login: Login::Transparent,
        host_key: None,
        allow_api: n != 4,
        tags,
    }
}

fn rule(id: u128, subject: Subject, terms: Terms) -> Rule {
    Rule { id: RuleId(Uuid::from_u128(id)), subject, target: Target::Application(app(1).id), terms }
}

fn name_of(user: u128) -> &'static str {
    match user {
        ALICE => "alice",
        BOB => "bob",
        _ => "carol",
    }
}

fn app_name(n: u128) -> &'static str {
    match n {
        1 => "web1",
        2 => "db.hq",
        3 => "db.lab",
        _ => "locked",
    }
}

fn user_id(n: u128) -> UserId {
    UserId(Uuid::from_u128(n))
}

fn agent() -> AgentId {
    AgentId(Uuid::nil())
}

fn token(id: &str) -> TokenId {
    TokenId::from(id.to_owned())
}
