//! The users, applications and rules that the golden files are about.

#![allow(dead_code, reason = "each test takes what it needs of it")]

pub(crate) mod population;

use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, SystemTime};

use access::{
    Agent, AgentId, Application, ApplicationId, Authenticated, Credential, GroupId, Hours, Kind,
    Login, PolicyData, Recording, Rule, RuleId, Site, SiteId, SshKey, SshTerms, Subject, Target,
    Terms, TokenId, User, UserId,
};
use uuid::Uuid;

pub(crate) fn data() -> PolicyData {
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
    let office = Terms { hours: Some(office_hours()), file_transfer: false, ..Terms::default() };
    let mut in_hours = rule(5, Subject::User(user_id(ALICE)), office);
    in_hours.target = Target::Application(app(5).id);
    let signed_in = Terms { require_active_session: true, ..Terms::default() };
    let recorded = Terms { recording: Recording::Required, ..Terms::default() };
    let mut at_hq = rule(4, Subject::User(user_id(ALICE)), Terms::default());
    at_hq.target = Target::Application(app(2).id);
    let rules = vec![rule(1, Subject::User(user_id(ALICE)), own), on_tag, empty, at_hq];
    let later = [(6, signed_in), (7, recorded), (8, Terms::default())].into_iter();
    let later = later.flat_map(|(n, terms)| {
        [(0, Subject::User(user_id(ALICE))), (10, dba)].map(|(more, subject)| Rule {
            target: Target::Application(app(n).id),
            ..rule(n + more, subject, terms.clone())
        })
    });
    let strict = |n: u128, subject| {
        let ways = ["publickey,token", "certificate"].map(|way| way.parse().unwrap());
        let ssh = SshTerms { authentication: Some(ways.into()), ..SshTerms::default() };
        let target = Target::Application(app(9).id);
        Rule { target, ..rule(n, subject, Terms { ssh, ..Terms::default() }) }
    };
    let strict = [strict(9, Subject::User(user_id(ALICE))), strict(19, dba)];
    let later: Vec<_> = later.chain(strict).collect();
    PolicyData {
        users: vec![user(ALICE, true), user(BOB, true), user(CAROL, false)],
        applications: (1..=9).map(app).collect(),
        rules: [rules, later, vec![in_hours]].concat(),
        tokens: vec![token("live")],
        agents: vec![laptop(3600)],
        ..PolicyData::default()
    }
}

pub(crate) const ALICE: u128 = 1;
pub(crate) const BOB: u128 = 2;
/// Disabled.
pub(crate) const CAROL: u128 = 3;
pub(crate) const INSIDE: &str = "10.1.2.3";
pub(crate) const NOW_SECS: u64 = 1_800_000_000;
pub(crate) fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(NOW_SECS)
}

#[expect(clippy::disallowed_methods, reason = "the test is its own authority")]
pub(crate) fn who(user: u128, credential: Credential) -> Authenticated {
    let name = name_of(user).parse().unwrap();
    Authenticated::assertion(user_id(user), name, credential, IpAddr::from([10, 1, 2, 3]))
}

pub(crate) fn user(n: u128, enabled: bool) -> User {
    let name = name_of(n);
    let key = SshKey { fingerprint: format!("SHA256:{name}"), expires: None };
    let groups = if n == ALICE { vec![] } else { vec![GroupId(Uuid::from_u128(1))] };
    User {
        id: user_id(n),
        name: name.parse().unwrap(),
        enabled,
        admin: n == BOB,
        machine: false,
        auditor: false,
        admin_of: Vec::new(),
        groups,
        ssh_keys: vec![key],
    }
}

/// 1 web1 at hq; 2 and 3 both called db, at hq and lab, tagged; 4 locked at hq, no api tokens; 5 office at hq;
/// 6 signed; 7 taped; 8 robot, whose api tokens need a sign-in; 9 strict, which asks for two proofs.
pub(crate) fn app(n: u128) -> Application {
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
        kind: if matches!(n, 1 | 5 | 6 | 7 | 9) { Kind::Ssh } else { Kind::Postgres },
        address: "10.0.0.1:22".parse().unwrap(),
        login: Login::Transparent,
        host_key: None,
        legacy_algorithms: false,
        allow_api: n != 4,
        require_active_session: n == 8,
        tags,
        web: Default::default(),
        database: Default::default(),
        rdp: Default::default(),
    }
}

pub(crate) fn rule(id: u128, subject: Subject, terms: Terms) -> Rule {
    Rule { id: RuleId(Uuid::from_u128(id)), subject, target: Target::Application(app(1).id), terms }
}

pub(crate) fn name_of(user: u128) -> &'static str {
    match user {
        ALICE => "alice",
        BOB => "bob",
        _ => "carol",
    }
}

pub(crate) fn app_name(n: u128) -> &'static str {
    match n {
        1 => "web1",
        2 => "db.hq",
        3 => "db.lab",
        4 => "locked",
        5 => "office",
        6 => "signed",
        7 => "taped",
        8 => "robot",
        _ => "strict",
    }
}

pub(crate) fn user_id(n: u128) -> UserId {
    UserId(Uuid::from_u128(n))
}

pub(crate) fn agent() -> AgentId {
    AgentId(Uuid::nil())
}

/// Alice's, enrolled for so many more seconds.
pub(crate) fn laptop(left: u64) -> Agent {
    let expires = now() + Duration::from_secs(left);
    Agent { id: agent(), user: user_id(ALICE), expires, bound: false, ssh_key: None }
}

pub(crate) fn token(id: &str) -> TokenId {
    TokenId::from(id.to_owned())
}

/// [`now`] is a Friday, 09:00 in Berlin.
pub(crate) fn office_hours() -> Hours {
    Hours::new(vec!["mon-fri 08:00-18:00".parse().unwrap()], "Europe/Berlin".parse().unwrap())
}

/// Holds a text against a golden file, or writes it anew where `UPDATE_GOLDEN` is set.
pub(crate) fn is_golden(file: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(file);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    for (number, (got, expected)) in text.lines().zip(golden.lines()).enumerate() {
        assert_eq!(got, expected, "line {} of golden/{file}", number + 1);
    }
    assert_eq!(text.lines().count(), golden.lines().count());
}
