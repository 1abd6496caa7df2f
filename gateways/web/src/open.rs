//! From a shown token to a session: the one that is open, or a new one.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::SystemTime;

use access::{
    Application, Authenticated, Context, Credential, Deny, Grant, Keeps, Kind, PolicySnapshot,
    TokenText, Unfound,
};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use hyper::StatusCode;
use secrecy::{ExposeSecret, SecretString};
use session::{AuditEvent, Door, OpenError, pace, with_cause};
use tokio::time::Instant;

use crate::door::Inner;
use crate::problem::{Refusal, http};
use crate::sessions::{Holder, Key, Shared, Visit};
use crate::target::Target;
use crate::token::Shown;

/// By what a connection's last request was let in. The next one mostly shows the same, and is then not
/// taken apart again; whether its session stands is asked for each.
#[derive(Clone, Default)]
pub struct LetIn(Arc<Mutex<Option<Entrance>>>);

struct Entrance {
    token: SecretString,
    label: String,
    /// What the label meant by this policy.
    policy: Weak<PolicySnapshot>,
    key: Key,
}

impl LetIn {
    /// The key of the session that the last request was let into, where this one shows the same and no
    /// policy came in between.
    fn key(&self, shown: &Shown, label: &str, policy: &Arc<PolicySnapshot>) -> Option<Key> {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last = last.as_ref()?;
        // A proxy may send the requests of several clients over one connection.
        let token = last.token.expose_secret().as_bytes();
        let same = verify_slices_are_equal(token, shown.text().as_bytes()).is_ok();
        let stands = last.label == label && std::ptr::eq(last.policy.as_ptr(), &**policy);
        (same && stands).then_some(last.key)
    }

    fn note(&self, shown: &Shown, label: &str, policy: &Arc<PolicySnapshot>, key: Key) {
        let (token, label) = (shown.text().into(), label.to_owned());
        let entrance = Entrance { token, label, policy: Arc::downgrade(policy), key };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(entrance);
    }
}

/// Why nobody gets in.
#[derive(Debug, thiserror::Error)]
enum Shut {
    #[error("no application has that label")]
    Unknown,
    #[error("the application is no web application")]
    Kind,
    #[error("access was refused")]
    Denied(#[from] Deny),
}

impl Inner {
    /// Lets a request in: into the session that its token has opened, or into a new one.
    pub(crate) async fn enter(
        &self,
        shown: &Shown,
        label: &str,
        (from, before): (IpAddr, &LetIn),
    ) -> Result<Visit, Refusal> {
        let policy = self.broker.policy();
        if let Some(key) = before.key(shown, label, &policy)
            && let Some(visit) = self.sessions.visit(&key)
        {
            return Ok(visit);
        }
        let token: Option<TokenText> = shown.text().parse().ok();
        let application = policy.labelled(label).cloned();
        let (Some(token), Some(application)) = (token, application) else {
            return Box::pin(self.refuse(shown, label, from)).await;
        };
        let holder = Holder::Token(token.digest().0);
        let key = Key { holder, application: application.id, from };
        if let Some(visit) = self.sessions.visit(&key) {
            before.note(shown, label, &policy, key);
            return Ok(visit);
        }
        // Seldom, and large: not a part of each request's future.
        Box::pin(self.begin(key, shown, &application, from)).await
    }

    /// Opens a session, unless somebody else has just done so.
    async fn begin(
        &self,
        key: Key,
        shown: &Shown,
        application: &Arc<Application>,
        from: IpAddr,
    ) -> Result<Visit, Refusal> {
        // A use of a token is one session: who comes at the same time waits for the first.
        let (_turn, _guard) = self.sessions.turn(key).await;
        if let Some(visit) = self.sessions.visit(&key) {
            return Ok(visit);
        }
        let who = self.vouched(shown, from).await?;
        self.open(key, &who, application).await
    }

    /// As [`enter`](Self::enter), for a browser whose cookie was looked at.
    pub(crate) async fn enter_as(
        &self,
        who: &Authenticated,
        application: &Arc<Application>,
    ) -> Result<Visit, Refusal> {
        let Credential::SignIn { id } = who.credential() else {
            return Err(self.shut(who, &application.label(), &Shut::Denied(Deny::Kind)).await);
        };
        let holder = Holder::Browser(*id);
        let key = Key { holder, application: application.id, from: who.from() };
        if let Some(visit) = self.sessions.visit(&key) {
            return Ok(visit);
        }
        // A page loads much at once, which is one session.
        let (_turn, _guard) = self.sessions.turn(key).await;
        match self.sessions.visit(&key) {
            Some(visit) => Ok(visit),
            None => self.open(key, who, application).await,
        }
    }

    /// Looks at the token first: only its holder is told what is not there.
    async fn refuse(&self, shown: &Shown, label: &str, from: IpAddr) -> Result<Visit, Refusal> {
        let who = self.vouched(shown, from).await?;
        Err(self.shut(&who, label, &Shut::Unknown).await)
    }

    async fn vouched(&self, shown: &Shown, from: IpAddr) -> Result<Authenticated, Refusal> {
        let vouched = self.authn.token(&shown.text, Door::Web, from).await;
        vouched.map_err(|error| Refusal::of(http(error.http_status()), &error))
    }

    async fn open(
        &self,
        key: Key,
        who: &Authenticated,
        application: &Arc<Application>,
    ) -> Result<Visit, Refusal> {
        let now = SystemTime::now();
        let grant = match self.decide(who, application, now) {
            Ok(grant) => grant,
            Err(error) => return Err(self.shut(who, &application.label(), &error).await),
        };
        // As the grant knows it: that is what the session dials.
        let targets = Target::all(grant.application(), &self.trust);
        let targets = targets.map_err(|error| Refusal::of(StatusCode::BAD_GATEWAY, &error))?;
        let session = self.broker.open(grant, Door::Web, now).await.map_err(unopened)?;
        let shared = Shared::new(session, who, targets, self.groups(who));
        let visit = self.sessions.add(key, shared).await;
        visit.ok_or_else(|| unopened(OpenError::Draining))
    }

    fn decide(
        &self,
        who: &Authenticated,
        application: &Arc<Application>,
        now: SystemTime,
    ) -> Result<Grant, Shut> {
        let context =
            Context { from: who.from(), login: None, database: None, keeps: Keeps::NOTHING };
        let grant = self.broker.policy().authorize(who, application, context, now)?;
        // Told only to whom a rule opens it.
        if application.kind == Kind::Web { Ok(grant) } else { Err(Shut::Kind) }
    }

    /// Records why somebody who is known gets in nowhere. Absent and forbidden look alike, and take
    /// as long.
    async fn shut(&self, who: &Authenticated, label: &str, error: &Shut) -> Refusal {
        let started = Instant::now();
        let (unknown, kind) = (Unfound::Unknown(label.to_owned()), NotWeb);
        let explained: &dyn access::Explain = match error {
            Shut::Unknown => &unknown,
            Shut::Kind => &kind,
            Shut::Denied(deny) => deny,
        };
        let why = (explained.code(), with_cause(error));
        self.broker.audit().note(AuditEvent::denied(Door::Web, who, label, why));
        let status = match error {
            Shut::Denied(deny) => http(deny.http_status()),
            Shut::Unknown | Shut::Kind => StatusCode::FORBIDDEN,
        };
        let refusal = Refusal::of(status, explained);
        pace::even(started, pace::DENIED).await;
        refusal
    }

    fn groups(&self, who: &Authenticated) -> Vec<String> {
        let policy = self.broker.policy();
        let names = policy.user(who.user()).map(|user| policy.groups_of(user)).unwrap_or_default();
        names.iter().map(ToString::to_string).collect()
    }
}

/// The application is there and open to the user, and speaks something else.
#[derive(Debug)]
struct NotWeb;

impl access::Explain for NotWeb {
    fn code(&self) -> access::Code {
        access::Code("web.kind")
    }

    fn public(&self) -> std::borrow::Cow<'static, str> {
        "this application does not speak HTTP".into()
    }

    fn hint(&self) -> Option<std::borrow::Cow<'static, str>> {
        Some("reach it with `adit tunnel`, or through the door of its protocol".into())
    }
}

#[expect(clippy::needless_pass_by_value, reason = "used as the argument of `map_err`")]
fn unopened(error: OpenError) -> Refusal {
    Refusal::of(StatusCode::SERVICE_UNAVAILABLE, &error)
}

#[cfg(test)]
mod tests {
    use access::ApplicationId;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn only_the_same_token_for_the_same_label_by_the_same_policy_is_let_in_again() {
        let shown = |text: &str| Shown { text: text.into(), base: None };
        let (policy, other) = <(Arc<PolicySnapshot>, Arc<PolicySnapshot>)>::default();
        let application = ApplicationId(Uuid::nil());
        let key = Key { holder: Holder::Token([1; 32]), application, from: [127, 0, 0, 1].into() };
        let before = LetIn::default();
        assert!(before.key(&shown("T"), "web-hq", &policy).is_none());
        before.note(&shown("T"), "web-hq", &policy, key);
        assert!(before.key(&shown("T"), "web-hq", &policy) == Some(key));
        assert!(before.key(&shown("U"), "web-hq", &policy).is_none());
        assert!(before.key(&shown("T"), "wiki-hq", &policy).is_none());
        assert!(before.key(&shown("T"), "web-hq", &other).is_none());
    }
}
