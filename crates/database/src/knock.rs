//! From somebody who is known to a session.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::SystemTime;

use access::{
    Application, Authenticated, Code, Context, Deny, Explain, Grant, Keeps, Kind, PolicySnapshot,
    Unfound,
};
use session::{AuditEvent, Broker, Door, OpenError, Session, with_cause};

/// What somebody wants who has shown who they are.
#[derive(Debug)]
pub struct Knock<'a> {
    pub door: Door,
    pub kind: Kind,
    /// The application as it was named in each place that may name it; in none: the token's own, or
    /// the only one of this kind that they can reach.
    pub named: Vec<&'a str>,
    /// The account they would have.
    pub login: &'a str,
    pub database: &'a str,
}

/// Why no session opened.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error(transparent)]
    Unfound(#[from] Unfound),
    #[error("two applications are named")]
    Two,
    #[error("no application is named")]
    Unnamed { open: Vec<String> },
    #[error("access was refused")]
    Denied(#[from] Deny),
    /// `open`: those that the same rules open.
    #[error("access was refused")]
    Database { source: Deny, open: Vec<String> },
    #[error("the application is of another kind")]
    Kind,
    #[error("the relay has no account at the application for what the rule allows")]
    NoAccount { application: String },
    #[error("the session did not open")]
    Open(#[from] OpenError),
}

impl Knock<'_> {
    /// Opens a session, or records why not.
    pub async fn open(
        &self,
        broker: &Broker,
        who: &Authenticated,
        now: SystemTime,
    ) -> Result<Session, Refused> {
        let policy = broker.policy();
        match self.decide(&policy, who, now) {
            Ok(grant) => Ok(broker.open(grant, self.door, now).await?),
            Err(error) => {
                broker.audit().note(self.denied(&policy, who, &error));
                Err(error)
            }
        }
    }

    /// Whether it would open, for somebody who has a session and shows again who they are. Records
    /// why not.
    pub fn check(
        &self,
        broker: &Broker,
        who: &Authenticated,
        now: SystemTime,
    ) -> Result<(), Refused> {
        let policy = broker.policy();
        let decided = self.decide(&policy, who, now).map(drop);
        decided.inspect_err(|error| broker.audit().note(self.denied(&policy, who, error)))
    }

    fn decide(
        &self,
        policy: &PolicySnapshot,
        who: &Authenticated,
        now: SystemTime,
    ) -> Result<Grant, Refused> {
        let application = self.application(policy, who)?;
        let context = Context {
            from: who.from(),
            login: Some(application.login.account(self.login).to_owned()),
            database: Some(self.database.to_owned()),
            keeps: Keeps::DATABASE,
        };
        let grant = policy.authorize(who, &application, context.clone(), now).map_err(
            |source| match policy.other_databases(who, &application, &context, now) {
                Some(open) if !open.is_empty() => {
                    let open = open.into_iter().map(str::to_owned).collect();
                    Refused::Database { source, open }
                }
                Some(_) | None => Refused::Denied(source),
            },
        )?;
        // Both told only to whom a rule opens it.
        if application.kind != self.kind {
            return Err(Refused::Kind);
        }
        if application.account(grant.terms().level).is_none() {
            return Err(Refused::NoAccount { application: application.name.to_string() });
        }
        Ok(grant)
    }

    /// The one application that all who name one mean.
    fn application(
        &self,
        policy: &PolicySnapshot,
        who: &Authenticated,
    ) -> Result<Arc<Application>, Refused> {
        let mut found: Option<Arc<Application>> = bound(policy, who);
        for text in &self.named {
            let named = policy.find(text, who)?;
            match &found {
                Some(other) if other.id != named.id => return Err(Refused::Two),
                Some(_) => {}
                None => found = Some(named.clone()),
            }
        }
        found.map_or_else(|| self.only(policy, who), Ok)
    }

    fn only(
        &self,
        policy: &PolicySnapshot,
        who: &Authenticated,
    ) -> Result<Arc<Application>, Refused> {
        let reachable = policy.reachable(who);
        let mut open: Vec<_> = reachable.into_iter().filter(|app| app.kind == self.kind).collect();
        match open.len() {
            1 => Ok(open.remove(0).clone()),
            _ => {
                let open = open.iter().take(SHOWN).map(|app| app.name.to_string()).collect();
                Err(Refused::Unnamed { open })
            }
        }
    }

    /// The record of a refusal, with the full reason that the user is not told.
    fn denied(&self, policy: &PolicySnapshot, who: &Authenticated, error: &Refused) -> AuditEvent {
        let own = bound(policy, who).map(|app| app.name.to_string());
        let named = self.named.first().map(|text| (*text).to_owned());
        let asked = named.or(own).unwrap_or_default();
        let database: String = self.database.chars().take(LONGEST_NAME).collect();
        let detail = format!("{} (database {database:?})", with_cause(error));
        AuditEvent::denied(self.door, who, &asked, (error.code(), detail))
    }
}

/// The application of a token that is for one.
fn bound(policy: &PolicySnapshot, who: &Authenticated) -> Option<Arc<Application>> {
    policy.application(who.bound()?).cloned()
}

impl Explain for Refused {
    fn code(&self) -> Code {
        match self {
            Self::Unfound(error) => error.code(),
            Self::Two | Self::Kind => Deny::NoRule.code(),
            Self::Unnamed { .. } => Code("access.unnamed"),
            Self::Denied(error) | Self::Database { source: error, .. } => error.code(),
            Self::NoAccount { .. } => Code("database.no_account"),
            Self::Open(error) => error.code(),
        }
    }

    fn public(&self) -> Cow<'static, str> {
        match self {
            Self::Unfound(error) => error.public(),
            Self::Two | Self::Kind => Deny::NoRule.public(),
            Self::Unnamed { .. } => "no application is named".into(),
            Self::Denied(error) => error.public(),
            Self::Database { .. } => "your access to this application opens other databases".into(),
            Self::NoAccount { .. } => {
                "the relay has no account at this database for what you may do".into()
            }
            Self::Open(error) => error.public(),
        }
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Unfound(error) => error.hint(),
            Self::Two | Self::Kind => Deny::NoRule.hint(),
            Self::Unnamed { open } if open.is_empty() => {
                Some("there is none that you can reach; ask your administrator".into())
            }
            Self::Unnamed { open } => Some(Cow::Owned(format!(
                "name it behind the user, as in role+{}; you can reach: {}",
                open[0],
                open.join(", ")
            ))),
            Self::Denied(error) => error.hint(),
            Self::Database { open, .. } => {
                let more = if open.len() > SHOWN { " and more" } else { "" };
                let open: Vec<_> = open.iter().take(SHOWN).map(String::as_str).collect();
                Some(Cow::Owned(format!("name one of them: {}{more}", open.join(", "))))
            }
            Self::NoAccount { application } => Some(Cow::Owned(format!(
                "`adit tunnel {application}` leads to its own login; or an admin gives the \
                 application an account"
            ))),
            Self::Open(error) => error.hint(),
        }
    }
}

/// Names in a hint.
const SHOWN: usize = 10;
/// What is recorded of a name that fits nothing.
const LONGEST_NAME: usize = 128;
