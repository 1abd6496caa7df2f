//! Signing in: first to the relay, then, where the user shows the target their own login, to the
//! target. Nothing is trusted before a token or a signature was vouched for.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::SystemTime;

use access::{
    Application, ApplicationId, Authenticated, Code, Context, Explain, Keeps, Login as Mode, Name,
    Proof, Unfound,
};
use russh::MethodSet;
use russh::keys::Certificate;
use secrecy::{ExposeSecret, SecretString};
use session::{AuthnError, Door, pace};
use tokio::time::{Instant, sleep_until};

use crate::Gateway;
use crate::browser::{Led, MOST_LED};
use crate::config::{MAX_FAILURES, REFUSAL_TIME, methods, methods_for, typed_methods};
use crate::connection::{Connection, Phase};
use crate::dialogue::{Dialogue, Prefer, Question, Step};
use crate::proto::{UserName, UserNameError, looks_like_token};
use crate::reach::{Reach, denied};
use crate::terminal::Applicant;
use crate::words;

/// One connection's way in. Belongs to one user name: with another, the connection is cut.
pub(crate) struct Login {
    connection: Arc<Connection>,
    vouched: Option<(Authenticated, ApplicationId)>,
    user: Option<String>,
    stage: Stage,
    /// What was shown is good and not enough.
    partly: Option<Partly>,
    /// The browser that was asked instead of a token, and how often there was one.
    led: Option<Led>,
    led_before: u8,
    failures: u32,
    last_failure: String,
    /// When the request that is being answered came.
    asked: Instant,
}

/// The answer to one request.
#[derive(Debug)]
pub(crate) enum Verdict {
    Accept,
    /// These ways are left.
    Reject(MethodSet),
    /// Right so far; one of these has to follow.
    Partial(MethodSet),
    Ask(Question),
    Cut,
}

/// Somebody who has shown a part of what an application asks for, or that in another order.
struct Partly {
    who: Authenticated,
    application: Name,
    /// What has to follow; without anything, they have to begin anew.
    missing: BTreeSet<Proof>,
}

enum Stage {
    /// Nothing is proven.
    Token,
    /// The relay knows who it is; the target is asking.
    Target { reach: Arc<Reach>, dialogue: Box<Dialogue>, question: Question },
    /// Nothing more is asked here.
    Over,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Interactive,
    Password,
    /// A key or an agent's word: nothing can be typed.
    Silent,
}

/// Why nothing that is shown under a user name is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NoName {
    Unsound(UserNameError),
    /// Something was proven under another one.
    Another,
}

impl Explain for NoName {
    fn code(&self) -> Code {
        Code("ssh.user_name")
    }

    fn public(&self) -> Cow<'static, str> {
        match self {
            Self::Unsound(error) => Cow::Owned(error.to_string()),
            Self::Another => Cow::Borrowed("the user name has changed while signing in"),
        }
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        Some(Cow::Borrowed(match self {
            Self::Unsound(_) => "it is login+app or login+app.site",
            Self::Another => "connect once more",
        }))
    }
}

impl Login {
    pub(crate) fn new(
        connection: Arc<Connection>,
        vouched: Option<(Authenticated, ApplicationId)>,
    ) -> Self {
        Self {
            connection,
            vouched,
            user: None,
            stage: Stage::Token,
            partly: None,
            led: None,
            led_before: 0,
            failures: 0,
            last_failure: String::new(),
            asked: Instant::now(),
        }
    }

    /// The request every client begins with; enough where an agent's connection vouches.
    pub(crate) async fn none(&mut self, user: &str) -> Verdict {
        if let Err(other) = self.belongs_to(user).await {
            return self.no_name(other).await;
        }
        let Some((who, application)) = self.vouched.take() else { return self.reject() };
        match self.connection.gateway.broker.policy().application(application).cloned() {
            Some(application) => self.enter(who, Some(application), Way::Silent).await,
            None => self.deny(&who, "", "the application is gone").await,
        }
    }

    pub(crate) async fn password(&mut self, user: &str, text: SecretString) -> Verdict {
        if let Err(other) = self.belongs_to(user).await {
            return self.no_name(other).await;
        }
        match &self.stage {
            Stage::Token if !self.wants(Proof::Token) => self.reject(),
            Stage::Token => self.token(text, Way::Password).await,
            Stage::Target { .. } => self.answer(vec![text], Way::Password).await,
            Stage::Over => Verdict::Cut,
        }
    }

    /// Whether a signature by this key is worth asking for. Changes nothing.
    pub(crate) async fn key_offered(&mut self, user: &str, fingerprint: &str) -> Verdict {
        if let Err(other) = self.belongs_to(user).await {
            return self.no_name(other).await;
        }
        let worth = matches!(self.stage, Stage::Token)
            && (self.wants(Proof::PublicKey) || self.wants(Proof::Certificate))
            && self.connection.gateway.authn.may_sign_in(fingerprint);
        if worth { Verdict::Accept } else { self.reject() }
    }

    /// A key whose signature over this connection was verified.
    pub(crate) async fn key(&mut self, user: &str, fingerprint: &str) -> Verdict {
        if let Err(other) = self.belongs_to(user).await {
            return self.no_name(other).await;
        }
        if !matches!(self.stage, Stage::Token) {
            return Verdict::Cut;
        }
        if !self.wants(Proof::PublicKey) {
            return self.reject();
        }
        let started = Instant::now();
        let from = self.connection.peer.ip();
        match self.connection.gateway.authn.ssh_key(fingerprint, from).await {
            Ok(who) => self.proven(who, Way::Silent, started).await,
            Err(error) => self.refused(error, started).await,
        }
    }

    /// A certificate whose key's signature over this connection was verified.
    pub(crate) async fn certificate(&mut self, user: &str, shown: &Certificate) -> Verdict {
        if let Err(other) = self.belongs_to(user).await {
            return self.no_name(other).await;
        }
        if !matches!(self.stage, Stage::Token) {
            return Verdict::Cut;
        }
        if !self.wants(Proof::Certificate) {
            return self.reject();
        }
        let (started, from) = (Instant::now(), self.connection.peer.ip());
        let Gateway { authn, user_ca, .. } = &*self.connection.gateway;
        let vouched = match user_ca.read(shown, SystemTime::now(), from.to_canonical()) {
            Ok(claim) => authn.ssh_certificate(&claim, from).await,
            Err(error) => Err(authn.refuse(&format!("certificate: {error}"), from).await),
        };
        match vouched {
            Ok(who) => self.proven(who, Way::Silent, started).await,
            Err(error) => self.refused(error, started).await,
        }
    }

    /// `answers` to the last question; `None` begins anew.
    pub(crate) async fn interactive(
        &mut self,
        user: &str,
        answers: Option<Vec<SecretString>>,
    ) -> Verdict {
        if let Err(other) = self.belongs_to(user).await {
            return self.no_name(other).await;
        }
        match (&self.stage, answers) {
            (Stage::Token, _) if !self.wants(Proof::Token) => self.reject(),
            (Stage::Token, None) => Verdict::Ask(self.first_question()),
            (Stage::Token, Some(answers)) => match answers.into_iter().next() {
                Some(text) => self.typed(text).await,
                None => self.reject(),
            },
            (Stage::Target { question, .. }, None) => Verdict::Ask(question.clone()),
            (Stage::Target { .. }, Some(answers)) => self.answer(answers, Way::Interactive).await,
            (Stage::Over, _) => Verdict::Cut,
        }
    }

    /// What was proven for one name does not count for another.
    async fn belongs_to(&mut self, user: &str) -> Result<(), NoName> {
        self.asked = Instant::now();
        match &self.user {
            Some(known) if known == user => Ok(()),
            Some(_) if self.partly.is_some() || !matches!(self.stage, Stage::Token) => {
                Err(NoName::Another)
            }
            known => {
                let first = known.is_none();
                if let Err(error) = UserName::parse(user) {
                    let shown: String = user.chars().take(MAX_SHOWN).collect();
                    let from = self.connection.peer.ip();
                    self.connection.gateway.authn.left(&shown, from);
                    return Err(NoName::Unsound(error));
                }
                self.user = Some(user.to_owned());
                if first {
                    self.connection.phase(Phase::Asked).await;
                }
                Ok(())
            }
        }
    }

    /// Ends a connection whose user name is none, as OpenSSH does: with a sentence. It is said
    /// before anything is looked up, so it tells nothing of who is there.
    async fn no_name(&mut self, why: NoName) -> Verdict {
        self.end(words::explain(&why)).await
    }

    fn first_question(&mut self) -> Question {
        let before = std::mem::take(&mut self.last_failure);
        if let Some(led) = &self.led {
            return led.question(&before);
        }
        let offer = if self.may_be_led() { words::OR_BROWSER } else { "" };
        let said = [before.as_str(), offer];
        let said: Vec<_> = said.into_iter().filter(|said| !said.is_empty()).collect();
        Question {
            name: String::new(),
            instructions: said.join("\n"),
            prompts: vec![(self.connection.texts.token_prompt.clone(), false)],
        }
    }

    /// The answer to the first question: a token, nothing, or what the browser's page gives.
    async fn typed(&mut self, text: SecretString) -> Verdict {
        let nothing = text.expose_secret().trim().is_empty();
        match self.led.take() {
            // They have changed their mind, and are asked for a token again.
            Some(_) if nothing => self.reject(),
            Some(led) => self.number(led, text).await,
            None if nothing && self.may_be_led() => self.lead(text).await,
            None => self.token(text, Way::Interactive).await,
        }
    }

    fn may_be_led(&self) -> bool {
        self.connection.texts.browser && self.led_before < MOST_LED
    }

    /// To a page where whoever is signed in says that this is them. Absent and forbidden applications
    /// are led alike: who may not open it is told there.
    async fn lead(&mut self, nothing: SecretString) -> Verdict {
        let (user, from) = (self.user.clone().unwrap_or_default(), self.connection.peer.ip());
        self.led_before += 1;
        let Some(led) = Led::ask(&self.connection.gateway, &user, from.to_canonical()) else {
            // Too many wait: it is what it was, no token.
            return self.token(nothing, Way::Interactive).await;
        };
        self.connection.phase(Phase::Led).await;
        let question = led.question("");
        self.led = Some(led);
        Verdict::Ask(question)
    }

    async fn number(&mut self, led: Led, text: SecretString) -> Verdict {
        let started = Instant::now();
        match led.answer(&text, self.connection.peer.ip()).await {
            Ok(who) => self.proven(who, Way::Interactive, started).await,
            Err(error) => {
                self.led = (error == AuthnError::NotApproved).then_some(led);
                self.refused(error, started).await
            }
        }
    }

    async fn token(&mut self, text: SecretString, way: Way) -> Verdict {
        let started = Instant::now();
        let text = SecretString::from(text.expose_secret().trim());
        let from = self.connection.peer.ip();
        match self.connection.gateway.authn.token(&text, Door::Ssh, from).await {
            Ok(who) => self.proven(who, way, started).await,
            Err(error) => self.refused(error, started).await,
        }
    }

    /// All refusals take the same time, whatever was wrong.
    async fn refused(&mut self, error: AuthnError, started: Instant) -> Verdict {
        self.failures += 1;
        self.last_failure = words::explain(&error);
        sleep_until(started + REFUSAL_TIME).await;
        if self.failures < MAX_FAILURES {
            return self.reject();
        }
        self.end(words::TOO_MANY_FAILURES.to_owned()).await
    }

    /// Somebody has shown something that is good, be it all that is asked for or not.
    async fn proven(&mut self, who: Authenticated, way: Way, started: Instant) -> Verdict {
        let who = match self.joined(who) {
            Some(who) => who,
            None => {
                let (authn, from) = (&self.connection.gateway.authn, self.connection.peer.ip());
                let error = authn.refuse(ANOTHER_USER, from).await;
                return self.refused(error, started).await;
            }
        };
        let user = self.user.clone().unwrap_or_default();
        let named = UserName::parse(&user).ok().and_then(|name| name.application);
        let policy = self.connection.gateway.broker.policy();
        let bound = who.bound();
        let found = match named {
            Some(text) => match policy.find(text, &who) {
                Ok(application) => Some(application.clone()),
                Err(Unfound::Ambiguous(text)) => {
                    self.connection.ask_which(&text);
                    None
                }
                Err(error @ Unfound::Unknown(_)) => {
                    return self.deny(&who, text, &error.to_string()).await;
                }
            },
            None => bound.and_then(|id| policy.application(id).cloned()),
        };
        let agrees = found.as_ref().map(|application| application.id) == bound;
        if bound.is_some() && !agrees {
            let asked = named.unwrap_or_default();
            return self.deny(&who, asked, "the token is for another application").await;
        }
        if let Some(application) = &found
            && let Some(missing) = self.missing(&who, application)
        {
            return self.ask_for(who, application, missing).await;
        }
        self.enter(who, found, way).await
    }

    /// Who showed this, and what they have shown before; `None`: that was another user.
    fn joined(&mut self, who: Authenticated) -> Option<Authenticated> {
        match &self.partly {
            Some(Partly { who: before, missing, .. }) if !missing.is_empty() => {
                before.clone().and(who)
            }
            // What was shown out of its order counts for nothing.
            Some(_) | None => Some(who),
        }
    }

    /// What has to follow where nothing but that is missing.
    fn missing(
        &self,
        who: &Authenticated,
        application: &Arc<Application>,
    ) -> Option<BTreeSet<Proof>> {
        let typed = self.user.as_deref().and_then(|user| UserName::parse(user).ok());
        let typed = typed.map_or("", |name| name.login);
        let login = Some(application.login.account(typed).to_owned());
        let context = Context { from: who.from(), login, database: None, keeps: Keeps::SSH };
        let policy = self.connection.gateway.broker.policy();
        policy.asks_for(who, application, &context, SystemTime::now())
    }

    /// Goes on asking (RFC 4252, section 5.1), or, where no way of signing in begins with what was
    /// shown, has the client begin with something else.
    async fn ask_for(
        &mut self,
        who: Authenticated,
        application: &Application,
        missing: BTreeSet<Proof>,
    ) -> Verdict {
        let methods = methods_for(&missing);
        let begins = !missing.is_empty();
        self.partly = Some(Partly { who, application: application.name.clone(), missing });
        if !begins {
            self.failures += 1;
            return match self.failures < MAX_FAILURES {
                true => self.reject(),
                false => self.end(words::TOO_MANY_FAILURES.to_owned()).await,
            };
        }
        self.last_failure = words::ONE_MORE.to_owned();
        self.connection.phase(Phase::Proven).await;
        Verdict::Partial(methods)
    }

    /// Whether this proof is asked for at this point.
    fn wants(&self, proof: Proof) -> bool {
        let missing = self.partly.as_ref().map(|partly| &partly.missing);
        missing.is_none_or(|missing| missing.is_empty() || missing.contains(&proof))
    }

    /// What was shown is worth nothing; the ways that are left.
    pub(crate) fn reject(&self) -> Verdict {
        match &self.partly {
            Some(Partly { missing, .. }) if !missing.is_empty() => {
                Verdict::Reject(methods_for(missing))
            }
            Some(_) | None => Verdict::Reject(methods()),
        }
    }

    async fn enter(
        &mut self,
        who: Authenticated,
        application: Option<Arc<Application>>,
        way: Way,
    ) -> Verdict {
        self.partly = None;
        let user = self.user.clone().unwrap_or_default();
        let login = UserName::parse(&user).map_or("", |name| name.login);
        self.connection.signed_in(who.clone(), login);
        self.connection.phase(Phase::Proven).await;
        let Some(application) = application else { return self.inside().await };
        if login.is_empty()
            && application.login == Mode::Transparent
            && self.sees(&who, &application)
        {
            return self.end(words::no_login(&application)).await;
        }
        match Reach::open(&self.connection, &who, application, login).await {
            Ok(reach) => self.towards(reach, way).await,
            Err(text) => self.end(text).await,
        }
    }

    /// Whether a rule opens the application to `who`: others must not learn that it is there.
    fn sees(&self, who: &Authenticated, application: &Application) -> bool {
        let policy = self.connection.gateway.broker.policy();
        policy.reachable(who).iter().any(|open| open.id == application.id)
    }

    /// Goes on to the target, as far as that is possible before there is a channel.
    async fn towards(&mut self, reach: Arc<Reach>, way: Way) -> Verdict {
        let prefer = match way {
            _ if reach.is_managed() => {
                self.warm(reach).await;
                return self.inside().await;
            }
            Way::Silent => return self.inside().await,
            Way::Interactive => Prefer::Questions,
            Way::Password => Prefer::Password,
        };
        let Some((dialogue, question)) = Box::pin(reach.begin(&self.connection, prefer)).await
        else {
            return self.inside().await;
        };
        self.asking(reach, Box::new(dialogue), question, way)
    }

    /// Connects to a managed target while the client prepares its first channel.
    async fn warm(&self, reach: Arc<Reach>) {
        let connection = self.connection.clone();
        self.connection
            .run(async move {
                // A failure is told on the first channel.
                drop(Box::pin(reach.target(&connection, &mut Applicant::nobody())).await);
            })
            .await;
    }

    fn asking(
        &mut self,
        reach: Arc<Reach>,
        dialogue: Box<Dialogue>,
        question: Question,
        way: Way,
    ) -> Verdict {
        self.stage = Stage::Target { reach, dialogue, question: question.clone() };
        match way {
            Way::Interactive => Verdict::Ask(question),
            Way::Password | Way::Silent => Verdict::Partial(typed_methods()),
        }
    }

    async fn answer(&mut self, mut answers: Vec<SecretString>, way: Way) -> Verdict {
        let stage = std::mem::replace(&mut self.stage, Stage::Over);
        let Stage::Target { reach, mut dialogue, question } = stage else { return Verdict::Cut };
        answers.resize(question.prompts.len(), SecretString::default());
        let alone = answers.len() == 1 && answers[0].expose_secret().is_empty();
        let token = answers.iter().any(|text| looks_like_token(text.expose_secret()));
        // No target is ever shown a token: it means that there is nothing else to type.
        if token || (alone && dialogue.takes_keys()) {
            reach.adopt_half(*dialogue).await;
            return self.inside().await;
        }
        let prefer = if way == Way::Password { Prefer::Password } else { Prefer::Questions };
        match dialogue.answer(answers, prefer).await {
            Ok(Step::In) => {
                reach.adopt(*dialogue).await;
                self.inside().await
            }
            Ok(Step::Ask(question)) => {
                let verdict = self.asking(reach, dialogue, question, way);
                if way == Way::Interactive { verdict } else { self.reject() }
            }
            Ok(Step::Stuck) if dialogue.takes_keys() => {
                reach.adopt_half(*dialogue).await;
                self.inside().await
            }
            Ok(Step::Stuck) => {
                let refused = crate::target::TargetError::Refused;
                let text = words::explain(&refused);
                reach.give_up(&refused).await;
                self.end(text).await
            }
            Err(error) => {
                reach.give_up(&error).await;
                self.inside().await
            }
        }
    }

    async fn inside(&mut self) -> Verdict {
        self.stage = Stage::Over;
        self.connection.phase(Phase::In).await;
        Verdict::Accept
    }

    async fn deny(&mut self, who: &Authenticated, asked: &str, detail: &str) -> Verdict {
        self.partly = None;
        denied(&self.connection, who, asked, detail);
        self.end(words::DENIED.to_owned()).await
    }

    /// Ends the connection with these words, which every client shows. How long it took to find
    /// them tells nothing of what is there.
    async fn end(&mut self, text: String) -> Verdict {
        self.stage = Stage::Over;
        pace::even(self.asked, pace::DENIED).await;
        self.connection.refuse(self.connection.texts.helped(text)).await;
        self.reject()
    }
}

/// Who leaves without having signed in is on record, whatever they showed.
impl Drop for Login {
    fn drop(&mut self) {
        let asked = self.user.as_deref().filter(|_| matches!(self.stage, Stage::Token));
        if let Some(user) = asked.filter(|_| self.partly.is_none() && self.failures == 0) {
            self.connection.gateway.authn.left(user, self.connection.peer.ip());
        }
        if let Some(Partly { who, application, .. }) = self.partly.take() {
            denied(&self.connection, &who, application.as_str(), NOT_ALL);
        }
    }
}

/// Characters of a user name that is none, for the record.
const MAX_SHOWN: usize = 64;
const ANOTHER_USER: &str = "what was shown second is of another user";
const NOT_ALL: &str =
    "not all proofs were shown that the application asks for, or not in their order";
