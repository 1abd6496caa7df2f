//! Why somebody may or may not, as a table a reviewer reads as a diff: `golden/why.txt`.
//!
//! `UPDATE_GOLDEN=1 cargo test -p access --test explain` writes it anew.

#![expect(clippy::unwrap_used, reason = "what a test needs and does not get fails the test")]

mod support;

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use access::{
    Clipboard, Context, Credential, Deny, Explanation, Keeps, Kind, Login, PolicySnapshot,
    Question, Recording, Rule, RuleId, Shortfall, Subject, Terms, TokenKind,
};
use support::{
    ALICE, BOB, CAROL, INSIDE, NOW_SECS, app, app_name, data, is_golden, name_of, now, rule, token,
    user_id, who,
};

#[test]
fn the_answers_are_as_reviewed() {
    let policy = PolicySnapshot::new(data());
    let mut table = String::from("who        application  login   from          at    answer\n");
    for (user, application, login, from, at) in questions() {
        let answer = told(&policy.explain(&question(user, application, login, from), moment(at)));
        let (who, app) = (name_of(user), app_name(application));
        let (login, from) = (login.unwrap_or("-"), from.unwrap_or("-"));
        writeln!(table, "{who:<10} {app:<12} {login:<7} {from:<13} {at:<5} {answer}").unwrap();
    }
    is_golden("why.txt", &table);
}

/// The one thing an explanation must never be: another answer than the decision.
#[test]
fn the_explanation_and_the_decision_agree() {
    let policy = PolicySnapshot::new(data());
    for (user, application, login, from, at) in questions() {
        let (Some(from), at) = (from, moment(at)) else { continue };
        let asked = app(application);
        // The doors show a login of SSH only.
        let login = login.filter(|_| asked.kind == Kind::Ssh);
        if asked.kind == Kind::Ssh && login.is_none() {
            continue;
        }
        // What this one asks for is not asked of an admin who wants to know.
        let key = Credential::SshKey { fingerprint: format!("SHA256:{}", name_of(user)) };
        let (id, kind) = (token("live"), TokenKind::Access);
        let live = Credential::Token { id, kind, application: None, expires: None };
        let shown = who(user, key);
        let shown = if application == 9 { shown.and(who(user, live)).unwrap() } else { shown };
        let keeps = if login.is_some() { Keeps::SSH } else { Keeps::NOTHING };
        let login_shown = login.map(str::to_owned);
        let context =
            Context { from: from.parse().unwrap(), login: login_shown, database: None, keeps };
        let decided = policy.authorize(&shown, &Arc::new(asked), context, at);
        let explained = policy.explain(&question(user, application, login, Some(from)), at);
        match (decided, &explained) {
            (Ok(grant), Explanation::Allowed { rule, provided, ends }) => {
                assert_eq!(grant.rule(), rule.id);
                let unasked = [Shortfall::Authentication];
                let unasked = if application == 9 { &unasked[..] } else { &[] };
                assert_eq!((grant.expires(), &provided[..]), (*ends, unasked));
            }
            (Err(Deny::Short(id, term)), Explanation::Short { rule, by }) => {
                assert_eq!((id, Some(&term)), (rule.id, by.first()));
            }
            (Err(Deny::NoRule), Explanation::NoRule) | (Err(Deny::User), Explanation::User) => {}
            (decided, explained) => panic!("{decided:?} but {explained:?}"),
        }
    }
}

#[test]
fn the_nearest_rule_is_the_one_that_takes_least_to_meet() {
    let mut data = data();
    let login = Terms { logins: Some(vec!["app".into()]), ..Terms::default() };
    let both = Terms { sources: Some(vec![]), ..login.clone() };
    let over = Terms { valid_until: Some(NOW_SECS), ..Terms::default() };
    let alice = Subject::User(user_id(ALICE));
    data.rules = vec![
        rule(1, alice, over),
        rule(2, alice, both),
        rule(3, alice, login.clone()),
        rule(4, alice, login),
    ];
    let policy = PolicySnapshot::new(data);
    let asked = question(ALICE, 1, Some("root"), Some(INSIDE));
    let Explanation::Short { rule, by } = policy.explain(&asked, now()) else { panic!("allowed") };
    assert_eq!((number(&rule), by), (3, vec![Shortfall::Login]));
}

/// A rule that surely allows it is a better answer than a wider one that depends.
#[test]
fn a_rule_without_conditions_is_named_first() {
    let mut data = data();
    let wide = Terms {
        forwarding: true,
        sources: Some(vec!["10.0.0.0/8".parse().unwrap()]),
        ..Terms::default()
    };
    data.rules.push(rule(8, Subject::User(user_id(ALICE)), wide));
    data.rules.push(rule(9, Subject::User(user_id(ALICE)), Terms::default()));
    let policy = PolicySnapshot::new(data);
    for (from, expected) in [(None, 9), (Some(INSIDE), 8), (Some("192.0.2.1"), 9)] {
        let answer = policy.explain(&question(ALICE, 1, Some("ubuntu"), from), now());
        let Explanation::Allowed { rule, provided, .. } = answer else { panic!("{answer:?}") };
        assert_eq!((number(&rule), provided), (expected, vec![]), "{from:?}");
    }
}

#[test]
fn a_managed_application_has_one_account_whatever_is_asked() {
    let mut data = data();
    data.applications[0].login = Login::Managed { account: "ubuntu".into() };
    let policy = PolicySnapshot::new(data);
    for login in [None, Some("root")] {
        let answer = policy.explain(&question(ALICE, 1, login, None), now());
        assert_eq!(told(&answer), "allowed by 1");
    }
}

#[test]
fn a_desktop_keeps_its_clipboard_and_its_recording_and_not_databases() {
    let off = Terms { clipboard: Clipboard::Off, ..Terms::default() };
    let recorded = Terms { recording: Recording::WithInput, ..Terms::default() };
    let databases = Terms { databases: Some(vec!["orders".into()]), ..Terms::default() };
    let short = "rule 1 falls short by databases";
    for (terms, wanted) in [(off, "allowed by 1"), (recorded, "allowed by 1"), (databases, short)] {
        let mut data = data();
        data.applications[0].kind = Kind::Rdp;
        data.rules = vec![rule(1, Subject::User(user_id(ALICE)), terms)];
        let answer = PolicySnapshot::new(data).explain(&question(ALICE, 1, None, None), now());
        assert_eq!(told(&answer), wanted);
    }
}

#[test]
fn the_account_of_a_managed_desktop_is_one_that_a_rule_may_name() {
    let mut data = data();
    data.applications[0].kind = Kind::Rdp;
    let named = Terms { logins: Some(vec!["desk".into()]), ..Terms::default() };
    data.rules = vec![rule(1, Subject::User(user_id(ALICE)), named)];
    let asks = |data: &access::PolicyData| {
        let policy = PolicySnapshot::new(data.clone());
        told(&policy.explain(&question(ALICE, 1, None, None), now()))
    };
    assert_eq!(asks(&data), "rule 1 falls short by login");
    data.applications[0].login = Login::Managed { account: "desk".into() };
    assert_eq!(asks(&data), "allowed by 1");
}

type Asked = (u128, u128, Option<&'static str>, Option<&'static str>, &'static str);

fn questions() -> Vec<Asked> {
    let contexts = [
        (None, None, "now"),
        (Some("ubuntu"), Some(INSIDE), "now"),
        (Some("root"), Some(INSIDE), "now"),
        (Some("root"), Some("192.0.2.1"), "late"),
        (None, Some("192.0.2.1"), "now"),
        (None, None, "late"),
    ];
    let mut all = Vec::new();
    for user in [ALICE, BOB, CAROL] {
        for application in 1..=9 {
            let with = |(login, from, at)| (user, application, login, from, at);
            all.extend(contexts.map(with));
        }
    }
    all
}

fn question(user: u128, application: u128, login: Option<&str>, from: Option<&str>) -> Question {
    Question {
        user: user_id(user),
        application: app(application).id,
        from: from.map(|from| from.parse().unwrap()),
        login: login.map(str::to_owned),
    }
}

fn moment(at: &str) -> SystemTime {
    if at == "late" { now() + Duration::from_secs(86_400) } else { now() }
}

fn told(answer: &Explanation) -> String {
    let terms =
        |terms: &[Shortfall]| terms.iter().map(|term| term.as_str()).collect::<Vec<_>>().join(", ");
    match answer {
        Explanation::User => "disabled or gone".to_owned(),
        Explanation::Gone => "no such application".to_owned(),
        Explanation::NoRule => "no rule".to_owned(),
        Explanation::Short { rule, by } => {
            format!("rule {} falls short by {}", number(rule), terms(by))
        }
        Explanation::Allowed { rule, provided, ends } => {
            let mut told = format!("allowed by {}", number(rule));
            if !provided.is_empty() {
                told.push_str(&format!(", provided {}", terms(provided)));
            }
            if let Some(ends) = ends {
                let left = ends.duration_since(now()).unwrap().as_secs();
                told.push_str(&format!(", ends {left} s after now"));
            }
            told
        }
    }
}

fn number(rule: &Rule) -> u128 {
    let RuleId(id) = rule.id;
    id.as_u128()
}
