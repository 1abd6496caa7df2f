//! Who somebody is. The only place that vouches for principals.

mod approvals;
mod browsers;
mod by_code;
mod devices;
mod failures;
mod passkeys;
mod passwords;
mod second_factor;
mod throttle;
mod totp;
mod unfinished;

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use access::{
    ApplicationId, Authenticated, Credential, Explain as _, Name, NativeProof, PolicySnapshot,
    SignInId, TokenError, TokenId, TokenKind, TokenProof, TokenText, UserId,
};
use api::Scopes;
use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};
use session::{AskingBrowser, AuditLog, AuthnError, BrowserLink, CertificateClaim, Door, pace};
use store::{AgentToken, Store, UseTokenError, UsedToken};
use tokio::sync::watch;
use tokio::time::Instant;
use tunnel::certificate::Facts;

use crate::AgentIdentity;
use crate::seen::Sightings;
use crate::traces::Traces;
pub(crate) use approvals::Terminal;
use approvals::{Approvals, NotOpened};
pub(crate) use browsers::{Browsers, HandOver};
pub(crate) use by_code::Waits;
use devices::Devices;
pub(crate) use devices::{LIFE, Polled};
use failures::Failures;
use passkeys::Challenges;
pub(crate) use passkeys::{Purpose, Shown};
use passwords::Passwords;
pub(crate) use passwords::{ByPassword, NotVouched, check_length};
pub(crate) use second_factor::Second;
use throttle::{Admission, Throttle};
pub(crate) use throttle::{make_room, network};
pub(crate) use totp::{TotpKey, recovery_codes};
pub(crate) use unfinished::{How, Known, Step, Unfinished, Waiting};

/// Checks credentials against the store and the policy in force.
pub struct Authn {
    store: Store,
    policy: watch::Receiver<Arc<PolicySnapshot>>,
    throttle: Throttle,
    failures: Failures,
    sightings: Sightings,
    browsers: Browsers,
    passwords: Passwords,
    waiting: Waiting<Unfinished>,
    challenges: Challenges,
    devices: Devices,
    approvals: Approvals,
    /// `https://relay.example.com`, once it is known.
    url: OnceLock<String>,
    traces: OnceLock<Arc<Traces>>,
}

impl Authn {
    pub fn new(
        store: Store,
        policy: watch::Receiver<Arc<PolicySnapshot>>,
        audit: Arc<dyn AuditLog>,
    ) -> Self {
        let (throttle, failures) = (Throttle::default(), Failures::new(audit));
        let (sightings, traces) = (Sightings::new(store.clone()), OnceLock::new());
        let browsers = Browsers::default();
        let (passwords, waiting) = (Passwords::default(), Waiting::default());
        let (challenges, devices) = (Challenges::default(), Devices::default());
        let (approvals, url) = (Approvals::default(), OnceLock::new());
        Self {
            store,
            policy,
            throttle,
            failures,
            sightings,
            browsers,
            passwords,
            waiting,
            challenges,
            devices,
            approvals,
            url,
            traces,
        }
    }

    /// The same, but it knows the browsers that were signed in before.
    #[must_use]
    pub(crate) fn knowing(self, browsers: Browsers) -> Self {
        Self { browsers, ..self }
    }

    /// The browsers that are signed in.
    pub(crate) fn browsers(&self) -> &Browsers {
        &self.browsers
    }

    /// Sign-ins of browsers that need more than was shown.
    pub(crate) fn waiting(&self) -> &Waiting<Unfinished> {
        &self.waiting
    }

    /// Machines that ask to be signed in by a browser.
    pub(crate) fn devices(&self) -> &Devices {
        &self.devices
    }

    /// Connections that wait until a browser approves them.
    pub(crate) fn approvals(&self) -> &Approvals {
        &self.approvals
    }

    /// Leads browsers to this address from now on. Only the first call counts.
    pub(crate) fn reached_at(&self, url: String) {
        drop(self.url.set(url));
    }

    /// When those it vouched for were last there.
    pub(crate) fn sightings(&self) -> &Sightings {
        &self.sightings
    }

    /// Tells of each sign-in with a token from now on. Only the first call counts.
    pub(crate) fn traced_by(&self, traces: Arc<Traces>) {
        drop(self.traces.set(traces));
    }

    /// Vouches for the owner of a login or admin token at the API, and counts one use of it. Also
    /// what the token may be used for, where that is not all its owner may do.
    pub async fn bearer(
        &self,
        text: &SecretString,
        from: IpAddr,
    ) -> Result<(Authenticated, Option<Scopes>), AuthnError> {
        let (who, scopes) = self.at_api(text, &[TokenKind::Login, TokenKind::Admin], from).await?;
        Ok((self.person_by(&[TokenKind::Login], who)?, scopes))
    }

    /// As [`bearer`](Self::bearer), of a token that may enrol an agent.
    pub async fn enrolling(
        &self,
        text: &SecretString,
        from: IpAddr,
    ) -> Result<(Authenticated, Option<Scopes>), AuthnError> {
        let kinds = [TokenKind::Login, TokenKind::Admin, TokenKind::Access, TokenKind::Api];
        let (who, scopes) = self.at_api(text, &kinds, from).await?;
        Ok((self.person_by(&[TokenKind::Login, TokenKind::Admin], who)?, scopes))
    }

    async fn at_api(
        &self,
        text: &SecretString,
        kinds: &[TokenKind],
        from: IpAddr,
    ) -> Result<(Authenticated, Option<Scopes>), AuthnError> {
        let used = self.use_token(text, kinds, Door::Api, from).await?;
        let scopes = used.scopes;
        Ok((self.owner(used, Door::Api, from)?, scopes))
    }

    /// Uses up a join token and says which site it enrols a connector of.
    pub async fn join_token(
        &self,
        text: &SecretString,
        from: IpAddr,
    ) -> Result<UsedToken, AuthnError> {
        self.use_token(text, &[TokenKind::Join], Door::Connector, from).await
    }

    /// As [`agent`](Self::agent), at a door: who comes through it is seen.
    pub(crate) fn agent_at(
        &self,
        door: Door,
        agent: &AgentIdentity,
        from: IpAddr,
    ) -> Result<Authenticated, AuthnError> {
        let who = self.agent(agent, from)?;
        self.sightings.agent(agent.id, from);
        self.sightings.user(who.user(), from, door);
        Ok(who)
    }

    /// Vouches for the user of an agent whose registered key the transport has verified. Where the
    /// agent stands on a token, so does whatever it opens.
    pub fn agent(&self, agent: &AgentIdentity, from: IpAddr) -> Result<Authenticated, AuthnError> {
        let policy = self.policy.borrow();
        let end = policy.agent_end(agent.id).ok_or(AuthnError::Revoked)?;
        if SystemTime::now() >= end {
            return Err(AuthnError::Expired);
        }
        let user = policy.user(agent.user).ok_or(AuthnError::Unknown)?;
        if !user.enabled {
            return Err(AuthnError::UserDisabled);
        }
        let credential = match &agent.token {
            None if user.machine => return Err(AuthnError::Machine),
            None => Credential::Agent { id: agent.id },
            Some(token) if !policy.knows_token(&token.id) => return Err(AuthnError::Revoked),
            Some(AgentToken { id, kind, application }) => Credential::Token {
                id: id.clone(),
                kind: *kind,
                application: *application,
                expires: Some(end),
            },
        };
        Ok(vouch(user.id, user.name.clone(), credential, from))
    }

    /// Uses up the code that signs a browser in, and says for whom and which it was.
    pub(crate) async fn sign_in_code(
        &self,
        text: &SecretString,
        from: IpAddr,
    ) -> Result<(UserId, Name, TokenId), AuthnError> {
        let used = self.use_token(text, &[TokenKind::SignIn], Door::Web, from).await?;
        let id = used.id.clone();
        let who = self.person_by(&[TokenKind::SignIn], self.owner(used, Door::Web, from)?)?;
        Ok((who.user(), who.name().clone(), id))
    }

    /// Vouches for the user of a browser, by the relay's own cookie.
    pub(crate) fn browser(&self, cookie: &SecretString, from: IpAddr) -> Option<Authenticated> {
        self.at_browser(self.browsers.of_cookie(cookie)?, from)
    }

    fn at_browser(&self, id: SignInId, from: IpAddr) -> Option<Authenticated> {
        let now = SystemTime::now();
        let policy = self.policy.borrow().clone();
        let sign_in = policy.sign_in(id).filter(|sign_in| now < sign_in.expires)?;
        let user = policy.user(sign_in.user).filter(|user| user.enabled && !user.machine)?;
        // Last: only who is let in is there.
        self.browsers.is_there(id, from, now).then(|| {
            self.sightings.user(user.id, from, Door::Web);
            vouch(user.id, user.name.clone(), Credential::SignIn { id }, from)
        })
    }

    /// Records that a key at the SSH door was not accepted. Only what could be a guess counts: whoever
    /// signed with a key of ours that is over has guessed nothing.
    fn refuse_key(&self, failed: AuthnError, detail: String, from: IpAddr) -> AuthnError {
        let now = Instant::now();
        if failed == AuthnError::Unknown {
            self.throttle.failed(from, now);
        }
        let failed = Failed::new(failed, detail);
        self.failures.note(Door::Ssh, from, failed.told, &failed.detail, now);
        failed.told
    }

    /// Records that a provider's word for somebody was not accepted; `why` is for the auditor.
    pub(crate) fn refused_provider(
        &self,
        from: IpAddr,
        user: Option<&Name>,
        why: (access::Code, &str),
    ) {
        self.failures.note_code(Door::Web, from, user, why, Instant::now());
    }

    /// Records that a machine's key was not accepted: once an hour for each.
    pub(crate) fn refused_key(&self, door: Door, from: IpAddr, machine: &Facts) {
        let failed = Failed::new(AuthnError::Unknown, format!("the key of {}", machine.name));
        let why = (failed.told, &*failed.detail);
        self.failures.note_key(door, from, machine.spki, why, Instant::now());
    }

    /// Checks a token and counts a use of it. Whatever was wrong with it, the refusal takes the same
    /// time.
    async fn use_token(
        &self,
        text: &SecretString,
        kinds: &[TokenKind],
        door: Door,
        from: IpAddr,
    ) -> Result<UsedToken, AuthnError> {
        let started = Instant::now();
        let tried = self.try_token(text, kinds, from).await;
        self.told(tried, (door, from), started).await
    }

    /// Traces and records how an attempt went.
    async fn told(
        &self,
        tried: Result<UsedToken, Failed>,
        (door, from): (Door, IpAddr),
        started: Instant,
    ) -> Result<UsedToken, AuthnError> {
        if let Some(traces) = self.traces.get() {
            let user = |used: &UsedToken| used.user.as_ref().map(|(_, name, _)| name.to_string());
            let answer = tried.as_ref().map(|used| user(used).unwrap_or_default());
            let answer = answer.as_deref().map_err(|failed| failed.told.code().0);
            traces.login((door, from), started.elapsed(), answer);
        }
        let failed = match tried {
            Ok(used) => return Ok(used),
            Err(failed) => failed,
        };
        self.failures.note(door, from, failed.told, &failed.detail, started);
        pace::even(started, pace::REFUSED).await;
        Err(failed.told)
    }

    async fn try_token(
        &self,
        text: &SecretString,
        kinds: &[TokenKind],
        from: IpAddr,
    ) -> Result<UsedToken, Failed> {
        let now = Instant::now();
        let token: TokenText = text.expose_secret().parse().map_err(|error| {
            self.throttle.failed(from, now);
            Failed::parsing(error)
        })?;
        self.admitted(token.id(), from, now, self.look_at(&token, kinds, from)).await
    }

    /// Looks at a token unless it, or where somebody comes from, has failed too often.
    async fn admitted(
        &self,
        id: &TokenId,
        from: IpAddr,
        now: Instant,
        looking: impl Future<Output = Result<UsedToken, Failed>>,
    ) -> Result<UsedToken, Failed> {
        let name = id.as_str();
        let live = self.policy.borrow().knows_token(id);
        let how = self.throttle.admit(from, name, live, now);
        let looked = match how {
            Admission::Open | Admission::Veiled => looking.await,
            Admission::Refused => Err(Failed::new(AuthnError::Throttled, format!("token {id}"))),
        };
        match &looked {
            Ok(used) if used.uses_left == Some(0) => {}
            Ok(_) => self.throttle.succeeded(from, name, now),
            // A store that is down is not the peer's fault.
            Err(failed) if failed.told == AuthnError::Unavailable => {}
            Err(_) => self.throttle.failed_for(from, name, how, now),
        }
        looked.map_err(|failed| failed.veiled_if(how))
    }

    async fn look_at(
        &self,
        token: &TokenText,
        kinds: &[TokenKind],
        from: IpAddr,
    ) -> Result<UsedToken, Failed> {
        // The kind stands in the text itself; a use must not be spent at the wrong door.
        if !kinds.contains(&token.kind()) {
            return Err(self.misplaced(token).await);
        }
        let used = self.store.use_token(token, SystemTime::now(), from).await;
        used.map_err(|error| Failed::using(token.id(), &error))
    }

    /// As [`use_token`](Self::use_token), of one that is not shown. Only tokens that open applications
    /// can be used so.
    async fn use_proof(
        &self,
        proof: &TokenProof,
        door: Door,
        from: IpAddr,
    ) -> Result<(UsedToken, [u8; 32]), AuthnError> {
        let started = Instant::now();
        let mut signature = [0; 32];
        let looking = async {
            let used = self.store.use_proof(proof, SystemTime::now(), from).await;
            let (used, shown) = used.map_err(|error| Failed::using(&proof.token, &error))?;
            signature = shown;
            Ok(used)
        };
        let tried = self.admitted(&proof.token, from, started, looking).await;
        Ok((self.told(tried, (door, from), started).await?, signature))
    }

    /// As [`use_proof`](Self::use_proof), of a proof that shows nothing in return.
    async fn use_native(
        &self,
        proof: &NativeProof,
        door: Door,
        from: IpAddr,
    ) -> Result<UsedToken, AuthnError> {
        let started = Instant::now();
        let looking = async {
            let used = self.store.use_native(proof, SystemTime::now(), from).await;
            used.map_err(|error| Failed::using(&proof.token, &error))
        };
        let tried = self.admitted(&proof.token, from, started, looking).await;
        self.told(tried, (door, from), started).await
    }

    /// What is told of a token at a door that takes others: only who holds the genuine text learns
    /// that there is such a token.
    async fn misplaced(&self, token: &TokenText) -> Failed {
        match self.store.is_genuine(token).await {
            Ok(true) => {
                let detail = format!("token {} of kind {}", token.id(), token.kind());
                Failed::new(AuthnError::WrongKind, detail)
            }
            Ok(false) => Failed::using(token.id(), &UseTokenError::Unknown),
            Err(error) => Failed::using(token.id(), &UseTokenError::Store(error)),
        }
    }

    /// Refuses a machine user who shows a token of one of these kinds: they are for people.
    fn person_by(
        &self,
        kinds: &[TokenKind],
        who: Authenticated,
    ) -> Result<Authenticated, AuthnError> {
        let machine = self.policy.borrow().user(who.user()).is_some_and(|user| user.machine);
        match who.credential() {
            Credential::Token { kind, .. } if machine && kinds.contains(kind) => {
                self.failures.note(
                    Door::Api,
                    who.from(),
                    AuthnError::Machine,
                    &format!("{}: {kind} token of {}", AuthnError::Machine, who.name()),
                    Instant::now(),
                );
                Err(AuthnError::Machine)
            }
            Credential::Token { .. }
            | Credential::SshKey { .. }
            | Credential::Agent { .. }
            | Credential::Certificate { .. }
            | Credential::SignIn { .. } => Ok(who),
        }
    }

    fn owner(
        &self,
        used: UsedToken,
        door: Door,
        from: IpAddr,
    ) -> Result<Authenticated, AuthnError> {
        let UsedToken { id, kind, user, application, expires, .. } = used;
        let Some((user, name, _)) = user else {
            let failed = Failed::new(AuthnError::WrongKind, format!("token {id} has no user"));
            self.failures.note(door, from, failed.told, &failed.detail, Instant::now());
            return Err(AuthnError::WrongKind);
        };
        self.sightings.user(user, from, door);
        Ok(vouch(user, name, Credential::Token { id, kind, application, expires }, from))
    }
}

#[async_trait]
impl session::Authn for Authn {
    async fn token(
        &self,
        text: &SecretString,
        door: Door,
        from: IpAddr,
    ) -> Result<Authenticated, AuthnError> {
        let used = self.use_token(text, &[TokenKind::Api, TokenKind::Access], door, from).await?;
        self.owner(used, door, from)
    }

    async fn token_proof(
        &self,
        proof: &TokenProof,
        door: Door,
        from: IpAddr,
    ) -> Result<(Authenticated, [u8; 32]), AuthnError> {
        let (used, signature) = self.use_proof(proof, door, from).await?;
        Ok((self.owner(used, door, from)?, signature))
    }

    async fn token_native(
        &self,
        proof: &NativeProof,
        door: Door,
        from: IpAddr,
    ) -> Result<Authenticated, AuthnError> {
        let used = self.use_native(proof, door, from).await?;
        self.owner(used, door, from)
    }

    async fn ssh_key(&self, fingerprint: &str, from: IpAddr) -> Result<Authenticated, AuthnError> {
        let policy = self.policy.borrow().clone();
        let failed = match key_owner(&policy, fingerprint, SystemTime::now()) {
            Ok((user, name)) => {
                self.sightings.user(user, from, Door::Ssh);
                let credential = Credential::SshKey { fingerprint: fingerprint.to_owned() };
                return Ok(vouch(user, name, credential, from));
            }
            // The library refuses a certificate that is over without a word, and clients then show
            // its key alone.
            Err(AuthnError::Unknown) if policy.is_certified(fingerprint) => AuthnError::Uncertified,
            Err(failed) => failed,
        };
        Err(self.refuse_key(failed, format!("key {fingerprint}"), from))
    }

    async fn ssh_certificate(
        &self,
        claim: &CertificateClaim,
        from: IpAddr,
    ) -> Result<Authenticated, AuthnError> {
        let policy = self.policy.borrow().clone();
        match certified(&policy, claim, SystemTime::now()) {
            Ok((user, name)) => {
                self.sightings.agent(claim.agent, from);
                self.sightings.user(user, from, Door::Ssh);
                let (agent, serial) = (claim.agent, claim.serial);
                Ok(vouch(user, name, Credential::Certificate { agent, serial }, from))
            }
            Err(failed) => {
                let (agent, serial) = (claim.agent, claim.serial);
                Err(self.refuse_key(failed, format!("certificate {serial} of agent {agent}"), from))
            }
        }
    }

    async fn refuse(&self, why: &str, from: IpAddr) -> AuthnError {
        self.refuse_key(AuthnError::Unknown, why.to_owned(), from)
    }

    fn left(&self, user: &str, from: IpAddr) {
        let told = AuthnError::Nothing;
        let detail = format!("{told}: as {user:?}, or what the SSH library refuses by itself");
        self.failures.note(Door::Ssh, from, told, &detail, Instant::now());
    }

    fn ask_browser(&self, asked: AskingBrowser<'_>) -> Option<BrowserLink> {
        let url = self.url.get()?;
        let (secret, code) = self.approvals.ask(&asked, Instant::now())?;
        Some(BrowserLink { url: format!("{url}/ssh?code={code}"), code, secret })
    }

    async fn by_browser(
        &self,
        link: &BrowserLink,
        number: &SecretString,
        from: IpAddr,
    ) -> Result<Authenticated, AuthnError> {
        let now = Instant::now();
        let not_opened = match self.approvals.open(&link.secret, number.expose_secret(), now) {
            // By the way of every token: it is counted once, and whatever has changed since counts.
            Ok(token) => return session::Authn::token(self, &token, Door::Ssh, from).await,
            Err(not_opened) => not_opened,
        };
        let failed = not_opened.told();
        if matches!(not_opened, NotOpened::Wrong { .. }) {
            self.throttle.failed(from, now);
        }
        let detail = format!("{not_opened}: code {}", link.code);
        self.failures.note_of(Door::Ssh, from, not_opened.by(), (failed, &detail), now);
        Err(failed)
    }

    fn forget_browser(&self, link: &BrowserLink) {
        self.approvals.forget(&link.secret);
    }

    fn may_sign_in(&self, fingerprint: &str) -> bool {
        let policy = self.policy.borrow();
        policy.key_owner(fingerprint).is_some() || policy.is_certified(fingerprint)
    }
}

impl session::SignIns for Authn {
    fn visitor(
        &self,
        cookie: &SecretString,
        application: ApplicationId,
        from: IpAddr,
    ) -> Option<Authenticated> {
        self.at_browser(self.browsers.of_visitor(cookie, application)?, from)
    }

    fn enter(
        &self,
        code: &SecretString,
        application: ApplicationId,
        nonce: &SecretString,
    ) -> Option<session::Entered> {
        let over = self.browsers.take(code, application, nonce, Instant::now())?;
        let cookie = self.browsers.visitor_cookie(over.sign_in, application);
        Some(session::Entered { cookie, path: over.path })
    }
}

fn key_owner(
    policy: &PolicySnapshot,
    fingerprint: &str,
    now: SystemTime,
) -> Result<(UserId, Name), AuthnError> {
    let user = policy.key_owner(fingerprint).ok_or(AuthnError::Unknown)?;
    let key = user.ssh_keys.iter().find(|key| key.fingerprint == fingerprint);
    if key.and_then(|key| key.expires).is_some_and(|end| now >= end) {
        return Err(AuthnError::KeyExpired);
    }
    if !user.enabled {
        return Err(AuthnError::UserDisabled);
    }
    Ok((user.id, user.name.clone()))
}

/// Whom a certificate signs in: the user of the agent it was signed for, while both are good.
fn certified(
    policy: &PolicySnapshot,
    claim: &CertificateClaim,
    now: SystemTime,
) -> Result<(UserId, Name), AuthnError> {
    let agent = policy.agent(claim.agent).ok_or(AuthnError::Revoked)?;
    let user = policy.user(agent.user).ok_or(AuthnError::Unknown)?;
    // An agent has one key; a certificate for the one before is as good as none.
    if agent.ssh_key.as_ref() != Some(&claim.fingerprint) || agent.bound {
        return Err(AuthnError::Unknown);
    }
    if !claim.principals.iter().any(|principal| principal == user.name.as_str()) {
        return Err(AuthnError::Unknown);
    }
    if now >= agent.expires {
        return Err(AuthnError::Expired);
    }
    match (user.enabled, user.machine) {
        (false, _) => Err(AuthnError::UserDisabled),
        (true, true) => Err(AuthnError::Machine),
        (true, false) => Ok((user.id, user.name.clone())),
    }
}

#[expect(clippy::disallowed_methods, reason = "this is `authn`, the one place that vouches")]
fn vouch(user: UserId, name: Name, credential: Credential, from: IpAddr) -> Authenticated {
    Authenticated::assertion(user, name, credential, from)
}

/// A failure: what its owner is told, and what the auditor should know of it.
struct Failed {
    told: AuthnError,
    detail: String,
}

impl Failed {
    fn new(error: AuthnError, detail: impl std::fmt::Display) -> Self {
        Self { told: error, detail: format!("{error}: {detail}") }
    }

    fn parsing(error: TokenError) -> Self {
        let kind = match error {
            TokenError::Form => AuthnError::Form,
            TokenError::Checksum => AuthnError::Mistyped,
        };
        Self::new(kind, error)
    }

    fn using(token: &TokenId, error: &UseTokenError) -> Self {
        let kind = match error {
            UseTokenError::Unknown => AuthnError::Unknown,
            UseTokenError::Expired(_) => AuthnError::Expired,
            UseTokenError::Revoked(_) => AuthnError::Revoked,
            UseTokenError::UsedUp(_) => AuthnError::UsedUp,
            UseTokenError::UserDisabled(_) => AuthnError::UserDisabled,
            UseTokenError::Store(source) => {
                tracing::error!(error = %source, "Could not check a token");
                AuthnError::Unavailable
            }
        };
        Self::new(kind, format!("token {token}: {error}"))
    }

    /// While a block stands, one word for all: what is live must not be told by who is looked at.
    fn veiled_if(self, how: Admission) -> Self {
        match how {
            Admission::Open | Admission::Refused => self,
            Admission::Veiled => Self { told: AuthnError::Throttled, ..self },
        }
    }
}
