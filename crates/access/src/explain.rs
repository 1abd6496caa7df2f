//! Why somebody may or may not reach something: for admins, who may know of every rule.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use crate::judge::{end, widest};
use crate::terms::{Facts, Shown};
use crate::{
    Application, ApplicationId, Keeps, Kind, PolicySnapshot, Rule, Shortfall, User, UserId,
};

/// What an admin asks. What they leave open is not held against any rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    pub user: UserId,
    pub application: ApplicationId,
    pub from: Option<IpAddr>,
    /// The account at the target.
    pub login: Option<String>,
}

/// The answer, by the rules alone: a session also needs a credential that is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Explanation {
    /// The user is disabled or gone.
    User,
    /// The application is gone.
    Gone,
    /// No rule names this user and application.
    NoRule,
    /// No rule allows it; this one came nearest, and fell short by these terms, worst first.
    Short { rule: Arc<Rule>, by: Vec<Shortfall> },
    /// This rule allows it, as long as the terms in `provided`, which were not asked about, are met.
    Allowed {
        rule: Arc<Rule>,
        provided: Vec<Shortfall>,
        /// When a session opened then would have to end.
        ends: Option<SystemTime>,
    },
}

impl PolicySnapshot {
    /// Says what [`authorize`](Self::authorize) goes by, for a credential that is good.
    pub fn explain(&self, question: &Question, at: SystemTime) -> Explanation {
        let Some(user) = self.user(question.user).filter(|user| user.enabled) else {
            return Explanation::User;
        };
        let Some(application) = self.application(question.application) else {
            return Explanation::Gone;
        };
        self.explain_rules(user, application, question, at)
    }

    fn explain_rules(
        &self,
        user: &User,
        application: &Application,
        question: &Question,
        at: SystemTime,
    ) -> Explanation {
        let login = shown(application, question.login.as_deref());
        let (from, keeps) = (question.from, kept(application));
        let sign_in = self.signed_in(user.id, at);
        let (database, proofs, signed_in) = (None, None, sign_in.is_some());
        let facts = Facts { application, from, login, database, keeps, signed_in, proofs };
        let judged = self.judge(user, application, &facts, at);
        let (sure, unsure): (Vec<_>, Vec<_>) =
            judged.fitting.into_iter().partition(|rule| provided(rule, &facts).is_empty());
        if let Some(rule) = widest(&sure, at).or_else(|| widest(&unsure, at)) {
            let sign_in = sign_in.filter(|_| rule.terms.require_active_session);
            let ends = [end(&rule.terms, at), sign_in].into_iter().flatten().min();
            let provided = provided(&rule, &facts);
            return Explanation::Allowed { rule, provided, ends };
        }
        match judged.nearest {
            Some(near) => Explanation::Short { rule: near.rule, by: near.by },
            None => Explanation::NoRule,
        }
    }
}

/// The account as the doors see it: typed, the managed one, or none where only raw bytes pass.
fn shown<'a>(application: &'a Application, asked: Option<&'a str>) -> Shown<'a> {
    let fixed = application.login.fixed();
    match application.kind {
        Kind::Ssh => fixed.or(asked).map_or(Shown::Unasked, Shown::As),
        // An account that a user types is told to the desktop alone.
        Kind::Rdp => fixed.map_or(Shown::Raw, Shown::As),
        Kind::Tcp | Kind::Postgres | Kind::Mysql | Kind::Redis | Kind::Web => Shown::Raw,
    }
}

/// What the door that is made for the application keeps.
fn kept(application: &Application) -> Keeps {
    match application.kind {
        Kind::Ssh => Keeps::SSH,
        Kind::Postgres | Kind::Mysql | Kind::Redis if application.has_account() => Keeps::DATABASE,
        Kind::Rdp => Keeps::DESKTOP,
        Kind::Tcp | Kind::Postgres | Kind::Mysql | Kind::Redis | Kind::Web => Keeps::NOTHING,
    }
}

fn provided(rule: &Rule, facts: &Facts<'_>) -> Vec<Shortfall> {
    let source = rule.terms.sources.is_some() && facts.from.is_none();
    let login = rule.terms.logins.is_some() && facts.login == Shown::Unasked;
    let shell = facts.application.kind == Kind::Ssh;
    let database = rule.terms.databases.is_some() && !shell && facts.database.is_none();
    let proofs = shell && rule.terms.ssh.authentication.is_some() && facts.proofs.is_none();
    let open = [
        (source, Shortfall::Source),
        (login, Shortfall::Login),
        (database, Shortfall::Databases),
        (proofs, Shortfall::Authentication),
    ];
    open.into_iter().filter_map(|(open, term)| open.then_some(term)).collect()
}
