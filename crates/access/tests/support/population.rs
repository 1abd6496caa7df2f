//! A whole organisation: many users, applications and rules.

use std::net::IpAddr;
use std::sync::Arc;

use access::{
    Application, ApplicationId, Authenticated, Context, Credential, GroupId, Keeps, PolicyData,
    PolicySnapshot, Rule, RuleId, Site, SiteId, SshKey, Subject, Target, Terms, User, UserId,
};
use uuid::Uuid;

use super::{app, now, user};

/// How many there are of each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Population {
    pub(crate) users: u128,
    pub(crate) applications: u128,
    pub(crate) rules: u128,
}

impl Population {
    /// What a relay is built for.
    pub(crate) const FULL: Self = Self { users: 10_000, applications: 1_000, rules: 5_000 };

    /// Three groups and two keys for each user; three tags on each application. A third of the rules
    /// is for one user and one application, a third for a group and a team's tag, and a third for a
    /// group and a tag that is on every second application.
    pub(crate) fn data(self) -> PolicyData {
        PolicyData {
            version: 1,
            users: (0..self.users).map(|n| self.user(n)).collect(),
            applications: (0..self.applications).map(application).collect(),
            rules: (0..self.rules).map(|n| self.rule(n)).collect(),
            ..PolicyData::default()
        }
    }

    /// What each of `count` users would ask; about every second one is allowed.
    pub(crate) fn questions(self, policy: &PolicySnapshot, count: u128) -> Vec<Question> {
        let ask = |n: u128| {
            let (user, app) = (n * 7919 % self.users, n * 104_729 % self.applications);
            let application = policy.application(ApplicationId(Uuid::from_u128(app)))?.clone();
            Some(Question { who: vouched(user), application })
        };
        (0..count).filter_map(ask).collect()
    }

    fn groups(self) -> u128 {
        (self.users / 20).max(1)
    }

    fn user(self, n: u128) -> User {
        let group = |step: u128| GroupId(Uuid::from_u128(n * step % self.groups()));
        User {
            id: UserId(Uuid::from_u128(n)),
            name: format!("user-{n}").parse().unwrap(),
            groups: [1, 7, 31].map(group).to_vec(),
            ssh_keys: ["a", "b"]
                .map(|key| SshKey { fingerprint: key_of(n, key), expires: None })
                .to_vec(),
            ..user(super::ALICE, true)
        }
    }

    fn rule(self, n: u128) -> Rule {
        let group = Subject::Group(GroupId(Uuid::from_u128(n % self.groups())));
        let tag = |key: &str, value| Target::Tag { key: key.to_owned(), value };
        let (subject, target) = match n % 3 {
            0 => (
                Subject::User(UserId(Uuid::from_u128(n % self.users))),
                Target::Application(ApplicationId(Uuid::from_u128(n % self.applications))),
            ),
            1 => (group, tag("team", format!("team-{}", n % TEAMS))),
            _ => (group, tag("env", "prod".to_owned())),
        };
        let terms =
            Terms { sources: Some(vec!["10.0.0.0/8".parse().unwrap()]), ..Terms::default() };
        Rule { id: RuleId(Uuid::from_u128(n)), subject, target, terms }
    }
}

/// One decision to make.
pub(crate) struct Question {
    pub(crate) who: Authenticated,
    pub(crate) application: Arc<Application>,
}

impl Question {
    pub(crate) fn context() -> Context {
        Context { from: FROM, login: Some("ubuntu".to_owned()), database: None, keeps: Keeps::SSH }
    }

    /// Asks; whether it was allowed.
    pub(crate) fn ask(&self, policy: &PolicySnapshot) -> bool {
        policy.authorize(&self.who, &self.application, Self::context(), now()).is_ok()
    }
}

fn application(n: u128) -> Application {
    let tags = [
        ("env".to_owned(), if n.is_multiple_of(2) { "prod" } else { "lab" }.to_owned()),
        ("team".to_owned(), format!("team-{}", n % TEAMS)),
        ("rack".to_owned(), format!("rack-{n}")),
    ];
    let site = n % 20;
    let site_name = format!("site-{site}").parse().unwrap();
    Application {
        id: ApplicationId(Uuid::from_u128(n)),
        name: format!("app-{n}").parse().unwrap(),
        site: Site { id: SiteId(Uuid::from_u128(site)), name: site_name },
        tags: tags.into(),
        web: Default::default(),
        database: Default::default(),
        rdp: Default::default(),
        ..app(1)
    }
}

#[expect(clippy::disallowed_methods, reason = "what measures is its own authority")]
fn vouched(user: u128) -> Authenticated {
    let credential = Credential::SshKey { fingerprint: key_of(user, "a") };
    let name = format!("user-{user}").parse().unwrap();
    Authenticated::assertion(UserId(Uuid::from_u128(user)), name, credential, FROM)
}

fn key_of(user: u128, key: &str) -> String {
    // As long as real ones are.
    format!("SHA256:{user:040}{key:>3}")
}

const TEAMS: u128 = 50;

const FROM: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 1, 2, 3));
