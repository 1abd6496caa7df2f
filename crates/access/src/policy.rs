//! The decision: an immutable snapshot of who may reach what.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use crate::index::RuleIndex;
use crate::judge::{Judged, end, no_narrower, widest};
use crate::terms::Facts;
use crate::{
    Agent, AgentId, Application, ApplicationId, Authenticated, Credential, Deny, EndReason,
    GroupId, HostName, Name, Proof, Rule, RuleId, SessionId, Shortfall, SignIn, SignInId, Terms,
    TokenId, TokenKind, Unfound, User, UserId,
};

/// Everything the decision needs, as the store holds it at one version.
#[derive(Clone, Debug, Default)]
pub struct PolicyData {
    pub version: u64,
    pub users: Vec<User>,
    pub applications: Vec<Application>,
    pub rules: Vec<Rule>,
    /// What groups are called.
    pub groups: Vec<(GroupId, Name)>,
    /// Tokens that are neither revoked nor purged, used up or not.
    pub tokens: Vec<TokenId>,
    /// Agents that are enrolled and not revoked.
    pub agents: Vec<Agent>,
    /// Browsers that are signed in.
    pub sign_ins: Vec<SignIn>,
    /// Sessions an admin has ended, with what their users are to be told, if anything.
    pub killed: HashMap<SessionId, Arc<str>>,
}

/// An immutable, indexed [`PolicyData`]. Deciding does no I/O. A clone shares everything.
#[derive(Clone, Debug, Default)]
pub struct PolicySnapshot {
    version: u64,
    users: Arc<HashMap<UserId, User>>,
    key_owners: Arc<HashMap<String, UserId>>,
    applications: Arc<HashMap<ApplicationId, Arc<Application>>>,
    by_name: Arc<HashMap<String, Vec<ApplicationId>>>,
    by_host: Arc<HashMap<HostName, ApplicationId>>,
    rules: Arc<RuleIndex>,
    groups: Arc<HashMap<GroupId, Name>>,
    tokens: Arc<HashSet<TokenId>>,
    agents: Arc<HashMap<AgentId, Agent>>,
    /// Keys that certificates were signed for.
    certified: Arc<HashSet<String>>,
    browsers: Arc<HashMap<SignInId, SignIn>>,
    /// Until when each user is signed in, be it by an agent or a browser.
    sign_ins: Arc<HashMap<UserId, SystemTime>>,
    killed: Arc<HashMap<SessionId, Arc<str>>>,
}

/// What a decision depends on besides who and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// The peer's address.
    pub from: IpAddr,
    /// The account at the target, where the protocol names one. `None`: raw bytes.
    pub login: Option<String>,
    /// The database that is opened, where a door knows it.
    pub database: Option<String>,
    pub keeps: Keeps,
}

/// Terms that a door keeps and others do not. A rule with a term that is not kept is no way in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keeps {
    /// It records what is done; what it can not record it ends.
    pub recording: bool,
    /// It knows which database is opened and what is done there.
    pub databases: bool,
    /// It lets the clipboard carry only where it may.
    pub clipboard: bool,
    /// It carries files only where it may. Of desktops; at the others it is known by the protocol.
    pub files: bool,
    /// It opens printers and sound only where they may be. Of desktops.
    pub devices: bool,
}

impl Keeps {
    /// Over raw bytes.
    pub const NOTHING: Self =
        Self { recording: false, databases: false, clipboard: false, files: false, devices: false };
    /// At the SSH door, where its protocol is spoken.
    pub const SSH: Self = Self { recording: true, ..Self::NOTHING };
    /// Where a desktop's protocol is spoken.
    pub const DESKTOP: Self =
        Self { recording: true, clipboard: true, files: true, devices: true, ..Self::NOTHING };
    /// At a door that speaks a database's protocol and logs in itself.
    pub const DATABASE: Self = Self { recording: true, databases: true, ..Self::NOTHING };
}

impl Context {
    /// Of a native client of a desktop: where the relay signs in there, it speaks its protocol.
    pub fn native(from: IpAddr, application: &Application) -> Self {
        let login = application.login.fixed().map(str::to_owned);
        let keeps = if application.login.is_ours() { Keeps::DESKTOP } else { Keeps::NOTHING };
        Self { from, login, database: None, keeps }
    }
}

/// Proof that access was allowed. Spent by opening one session.
#[derive(Debug)]
pub struct Grant {
    standing: Standing,
    expires: Option<SystemTime>,
}

/// What a session stands on, for deciding again when policy changes. Proves nothing.
#[derive(Clone, Debug)]
pub struct Standing {
    who: Arc<Authenticated>,
    application: Arc<Application>,
    context: Context,
    rule: Arc<Rule>,
    /// When the rule's hours end.
    closes: Option<SystemTime>,
    /// By its credential and its rule.
    expires: Option<SystemTime>,
}

impl PolicySnapshot {
    /// Indexes `data`.
    pub fn new(data: PolicyData) -> Self {
        let applications: HashMap<_, _> =
            data.applications.into_iter().map(|app| (app.id, Arc::new(app))).collect();
        let key_owners = data
            .users
            .iter()
            .flat_map(|user| user.ssh_keys.iter().map(|key| (key.fingerprint.clone(), user.id)))
            .collect();
        Self {
            version: data.version,
            key_owners: Arc::new(key_owners),
            by_name: Arc::new(names(&applications)),
            by_host: Arc::new(hosts(&applications)),
            rules: Arc::new(RuleIndex::new(data.rules)),
            applications: Arc::new(applications),
            users: Arc::new(data.users.into_iter().map(|user| (user.id, user)).collect()),
            groups: Arc::new(data.groups.into_iter().collect()),
            tokens: Arc::new(data.tokens.into_iter().collect()),
            sign_ins: Arc::new(sign_ins(&data.agents, &data.sign_ins)),
            browsers: Arc::new(data.sign_ins.into_iter().map(|one| (one.id, one)).collect()),
            certified: Arc::new(data.agents.iter().filter_map(|one| one.ssh_key.clone()).collect()),
            agents: Arc::new(data.agents.into_iter().map(|agent| (agent.id, agent)).collect()),
            killed: Arc::new(data.killed),
        }
    }

    /// The same policy with these sessions ended by an admin, and no others.
    pub fn with_killed(&self, killed: HashMap<SessionId, Arc<str>>) -> Self {
        Self { killed: Arc::new(killed), ..self.clone() }
    }

    /// Grows with every change.
    pub fn version(&self) -> u64 {
        self.version
    }

    pub fn user(&self, id: UserId) -> Option<&User> {
        self.users.get(&id)
    }

    /// The names of the groups a user is in, in order.
    pub fn groups_of(&self, user: &User) -> Vec<Name> {
        let named = user.groups.iter().filter_map(|group| self.groups.get(group));
        let mut names: Vec<Name> = named.cloned().collect();
        names.sort();
        names
    }

    /// Who registered the SSH key with this `SHA256:…` fingerprint.
    pub fn key_owner(&self, fingerprint: &str) -> Option<&User> {
        self.users.get(self.key_owners.get(fingerprint)?)
    }
    /// All applications, in no order.
    pub fn applications(&self) -> impl Iterator<Item = &Arc<Application>> {
        self.applications.values()
    }

    pub fn application(&self, id: ApplicationId) -> Option<&Arc<Application>> {
        self.applications.get(&id)
    }

    /// The application whose host label is `label`.
    pub fn labelled(&self, label: &str) -> Option<&Arc<Application>> {
        let named = self.by_name.get(label)?;
        named.iter().filter_map(|id| self.applications.get(id)).find(|app| app.label() == label)
    }

    /// The application that has this host name of its own, in lower case.
    pub fn hosted(&self, host: &str) -> Option<&Arc<Application>> {
        self.applications.get(self.by_host.get(host)?)
    }

    /// Whether a token of this id is neither revoked nor purged. The id is public: this proves nothing.
    pub fn knows_token(&self, id: &TokenId) -> bool {
        self.tokens.contains(id)
    }

    /// Until when an agent is enrolled; `None` when it is unknown or revoked.
    pub fn agent_end(&self, id: AgentId) -> Option<SystemTime> {
        Some(self.agents.get(&id)?.expires)
    }

    /// An enrolled agent.
    pub fn agent(&self, id: AgentId) -> Option<&Agent> {
        self.agents.get(&id)
    }

    /// Whether a certificate was signed for the SSH key of this fingerprint (`SHA256:…`), so that a
    /// signature by it may be worth asking for.
    pub fn is_certified(&self, fingerprint: &str) -> bool {
        self.certified.contains(fingerprint)
    }

    /// A browser's sign-in; `None` when it is unknown or has ended.
    pub fn sign_in(&self, id: SignInId) -> Option<&SignIn> {
        self.browsers.get(&id)
    }

    /// Until when a user is signed in; `None` when they are not at `now`.
    pub(crate) fn signed_in(&self, user: UserId, now: SystemTime) -> Option<SystemTime> {
        self.sign_ins.get(&user).copied().filter(|end| now < *end)
    }

    /// Finds an application by what people write: `app`, `app.site` or the label `app-site`.
    ///
    /// `who` breaks a tie between sites: only one of them may be open to that user.
    pub fn find(&self, text: &str, who: &Authenticated) -> Result<&Arc<Application>, Unfound> {
        let named = self.by_name.get(text).map(Vec::as_slice).unwrap_or_default();
        let named = named.iter().filter_map(|id| self.applications.get(id));
        let mut open = named.clone().filter(|app| self.may_see(who, app));
        match (open.next(), open.next()) {
            (Some(_), Some(_)) => Err(Unfound::Ambiguous(text.to_owned())),
            (Some(only), None) => Ok(only),
            (None, _) => only(named).ok_or_else(|| Unfound::Unknown(text.to_owned())),
        }
    }

    /// The applications some rule opens to `who`, by name, whatever its terms are.
    pub fn reachable(&self, who: &Authenticated) -> Vec<&Arc<Application>> {
        let mut open: Vec<_> =
            self.applications.values().filter(|app| self.may_see(who, app)).collect();
        open.sort_by(|a, b| (&a.name, &a.site.name).cmp(&(&b.name, &b.site.name)));
        open
    }

    /// Decides whether `who` may open `application` now. Deny by default.
    ///
    /// Of several rules that allow it, the one with the widest terms is chosen, so that the order in
    /// which rules were written does not matter.
    pub fn authorize(
        &self,
        who: &Authenticated,
        application: &Arc<Application>,
        context: Context,
        now: SystemTime,
    ) -> Result<Grant, Deny> {
        let (fitting, application) = self.decide(who, application, &context, now)?;
        let rule = widest(&fitting, now).ok_or(Deny::NoRule)?;
        let closes = rule.terms.closes(now);
        let expires = earliest([self.credential_end(who), end(&rule.terms, now)]);
        let who = Arc::new(who.clone());
        let standing = Standing { who, application, context, rule, closes, expires };
        let expires = self.end(&standing);
        Ok(Grant { standing, expires })
    }

    /// What else `who` may be asked for to open `application`, where nothing but that is missing:
    /// nothing where no way of signing in begins with what they have shown.
    ///
    /// Told only to whom rules would open it, it says nothing of others.
    pub fn asks_for(
        &self,
        who: &Authenticated,
        application: &Arc<Application>,
        context: &Context,
        now: SystemTime,
    ) -> Option<BTreeSet<Proof>> {
        let proofs = who.proofs();
        let short = self.short_by(Shortfall::Authentication, who, (application, context), now)?;
        Some(short.iter().flat_map(|rule| rule.terms.ssh.asks_for(&proofs)).collect())
    }

    /// The databases that `who` may open in `application`, where nothing is in the way but that
    /// another one was asked for. Told only to whom rules would open it.
    pub fn other_databases(
        &self,
        who: &Authenticated,
        application: &Arc<Application>,
        context: &Context,
        now: SystemTime,
    ) -> Option<BTreeSet<&str>> {
        let short = self.short_by(Shortfall::Databases, who, (application, context), now)?;
        let open = short.into_iter().flat_map(|rule| rule.terms.databases.iter().flatten());
        Some(open.map(String::as_str).collect())
    }

    /// The rules that fall short by this term alone, where it is the reason of a denial.
    fn short_by(
        &self,
        term: Shortfall,
        who: &Authenticated,
        (application, context): (&Arc<Application>, &Context),
        now: SystemTime,
    ) -> Option<Vec<&Arc<Rule>>> {
        let decided = self.decide(who, application, context, now).map(drop);
        let missing = matches!(decided, Err(Deny::Short(_, by)) if by == term);
        let user = self.users.get(&who.user()).filter(|_| missing)?;
        let application = self.applications.get(&application.id)?;
        let proofs = who.proofs();
        let signed_in = self.signed_in(user.id, now).is_some();
        let facts = Facts::of(context, application, &proofs, signed_in);
        let rules = self.rules.naming(user, application);
        Some(rules.filter(|rule| rule.terms.shortfalls(&facts, now) == [term]).collect())
    }

    /// When a session must end at the latest, as things stand: a sign-in that it needs may last
    /// longer by now, or less.
    pub fn end(&self, standing: &Standing) -> Option<SystemTime> {
        let application = self.applications.get(&standing.application.id);
        let needs_sign_in = standing.rule.terms.require_active_session
            || application.is_some_and(|app| by_bound_api_token(&standing.who, app));
        let sign_in = self.sign_ins.get(&standing.who.user()).filter(|_| needs_sign_in);
        // A key may have been given an earlier end since.
        let credential = self.credential_end(&standing.who);
        earliest([standing.expires, sign_in.copied(), credential])
    }

    /// What the admin who ended a session had to say to its user.
    pub fn last_words(&self, session: SessionId) -> Option<Arc<str>> {
        self.killed.get(&session).filter(|words| !words.is_empty()).cloned()
    }

    /// Decides again for a session that is open; `Some` says why it must end.
    pub fn recheck(
        &self,
        session: SessionId,
        standing: &Standing,
        now: SystemTime,
    ) -> Option<EndReason> {
        if self.killed.contains_key(&session) {
            return Some(EndReason::Killed);
        }
        if standing.expires.is_some_and(|end| now >= end) {
            return Some(EndReason::Expired);
        }
        match self.decide(&standing.who, &standing.application, &standing.context, now) {
            Ok((rules, application)) => {
                let stands = same_target(&application, &standing.application)
                    && rules.iter().any(|rule| {
                        no_narrower(&rule.terms, (&standing.rule.terms, standing.closes), now)
                    });
                (!stands).then_some(EndReason::Revoked)
            }
            Err(Deny::Expired) => Some(EndReason::Expired),
            Err(Deny::SignedOut | Deny::Short(_, Shortfall::Session)) => Some(EndReason::SignedOut),
            Err(_) => Some(EndReason::Revoked),
        }
    }

    /// The rules that allow it, at least one.
    fn decide(
        &self,
        who: &Authenticated,
        application: &Arc<Application>,
        context: &Context,
        now: SystemTime,
    ) -> Result<(Vec<Arc<Rule>>, Arc<Application>), Deny> {
        let user = self.users.get(&who.user()).filter(|user| user.enabled).ok_or(Deny::User)?;
        let application = self.applications.get(&application.id).ok_or(Deny::Gone)?;
        self.check_credential(who, user, application, now)?;
        let signed_in = self.signed_in(user.id, now).is_some();
        let proofs = who.proofs();
        let facts = Facts::of(context, application, &proofs, signed_in);
        let judged = self.judge(user, application, &facts, now);
        if judged.fitting.is_empty() {
            return Err(judged
                .nearest
                .map_or(Deny::NoRule, |near| Deny::Short(near.rule.id, near.worst)));
        }
        // Told only to whom a rule opens it: others must not learn that it is there.
        if by_api_token(who) && !application.allow_api {
            return Err(Deny::ApiNotAllowed);
        }
        if by_bound_api_token(who, application) && !signed_in {
            return Err(Deny::SignedOut);
        }
        Ok((judged.fitting, application.clone()))
    }

    /// Holds every rule that names the user and the application against `facts`.
    pub(crate) fn judge(
        &self,
        user: &User,
        application: &Application,
        facts: &Facts<'_>,
        now: SystemTime,
    ) -> Judged {
        Judged::of(self.rules.naming(user, application), facts, now)
    }

    fn check_credential(
        &self,
        who: &Authenticated,
        user: &User,
        application: &Application,
        now: SystemTime,
    ) -> Result<(), Deny> {
        let check = |shown| self.check_one(shown, user, application, now);
        who.credentials().try_for_each(check)
    }

    fn check_one(
        &self,
        shown: &Credential,
        user: &User,
        application: &Application,
        now: SystemTime,
    ) -> Result<(), Deny> {
        let over = |end: Option<SystemTime>| end.is_some_and(|end| now >= end);
        match shown {
            Credential::Token { id, kind, application: bound, expires } => {
                if !self.tokens.contains(id) {
                    return Err(Deny::Revoked);
                }
                if over(*expires) {
                    return Err(Deny::Expired);
                }
                if !kind.opens() {
                    return Err(Deny::Kind);
                }
                if bound.is_some_and(|bound| bound != application.id) {
                    return Err(Deny::OtherApplication);
                }
                Ok(())
            }
            Credential::SshKey { fingerprint } => {
                let key = user.ssh_keys.iter().find(|key| key.fingerprint == *fingerprint);
                let key = key.ok_or(Deny::Revoked)?;
                if over(key.expires) { Err(Deny::Expired) } else { Ok(()) }
            }
            // What vouches for a person vouches for no machine.
            Credential::Agent { .. } | Credential::Certificate { .. } if user.machine => {
                Err(Deny::Revoked)
            }
            Credential::Agent { id } | Credential::Certificate { agent: id, .. } => {
                let end = self.agents.get(id).ok_or(Deny::Revoked)?.expires;
                if over(Some(end)) { Err(Deny::Expired) } else { Ok(()) }
            }
            Credential::SignIn { .. } if user.machine => Err(Deny::Revoked),
            Credential::SignIn { id } => {
                let own = self.browsers.get(id).filter(|own| own.user == user.id);
                let end = own.ok_or(Deny::SignedOut)?.expires;
                if over(Some(end)) { Err(Deny::Expired) } else { Ok(()) }
            }
        }
    }

    /// When what somebody has shown ends, as it stands now; `None`: not by itself.
    pub fn credential_end(&self, who: &Authenticated) -> Option<SystemTime> {
        who.credentials().filter_map(|shown| self.end_of(shown, who.user())).min()
    }

    /// When one credential of a user ends, as it stands now; `None`: not by itself.
    pub fn end_of(&self, shown: &Credential, user: UserId) -> Option<SystemTime> {
        match shown {
            Credential::Token { expires, .. } => *expires,
            Credential::SshKey { fingerprint } => {
                let user = self.users.get(&user)?;
                user.ssh_keys.iter().find(|key| key.fingerprint == *fingerprint)?.expires
            }
            Credential::Agent { id } | Credential::Certificate { agent: id, .. } => {
                self.agent_end(*id)
            }
            Credential::SignIn { id } => Some(self.browsers.get(id)?.expires),
        }
    }

    fn may_see(&self, who: &Authenticated, application: &Application) -> bool {
        let Some(user) = self.users.get(&who.user()).filter(|user| user.enabled) else {
            return false;
        };
        who.bound().is_none_or(|bound| bound == application.id)
            && self.rules.naming(user, application).next().is_some()
    }
}

impl Grant {
    pub fn who(&self) -> &Authenticated {
        &self.standing.who
    }

    pub fn application(&self) -> &Arc<Application> {
        &self.standing.application
    }

    /// The account at the target, where the protocol names one.
    pub fn login(&self) -> Option<&str> {
        let Standing { application, context, rule, .. } = &self.standing;
        let ours = application.account(rule.terms.level).filter(|_| context.keeps.databases);
        ours.or(context.login.as_deref())
    }

    pub fn terms(&self) -> &Terms {
        &self.standing.rule.terms
    }

    /// When the session must end at the latest, as things stood when it was allowed.
    pub fn expires(&self) -> Option<SystemTime> {
        self.expires
    }

    /// The rule that allowed it.
    pub fn rule(&self) -> RuleId {
        self.standing.rule.id
    }

    pub fn standing(&self) -> &Standing {
        &self.standing
    }
}

impl Standing {
    pub fn who(&self) -> &Authenticated {
        &self.who
    }

    /// The rule that allowed it.
    pub fn rule(&self) -> RuleId {
        self.rule.id
    }

    /// When its credential and its rule end it; a sign-in that it needs may end it sooner.
    pub fn expires(&self) -> Option<SystemTime> {
        self.expires
    }
}

fn by_api_token(who: &Authenticated) -> bool {
    who.credentials().any(|shown| matches!(shown, Credential::Token { kind: TokenKind::Api, .. }))
}

/// Whether somebody shows an api token of an application where those need a sign-in.
fn by_bound_api_token(who: &Authenticated, application: &Application) -> bool {
    application.require_active_session && by_api_token(who)
}

/// Until when each user is signed in, by whatever signs them in.
fn sign_ins(agents: &[Agent], browsers: &[SignIn]) -> HashMap<UserId, SystemTime> {
    let agents = agents.iter().filter(|agent| !agent.bound);
    let agents = agents.map(|agent| (agent.user, agent.expires));
    let browsers = browsers.iter().map(|browser| (browser.user, browser.expires));
    let mut ends = HashMap::new();
    for (user, expires) in agents.chain(browsers) {
        let end = ends.entry(user).or_insert(expires);
        *end = expires.max(*end);
    }
    ends
}

fn earliest<const N: usize>(ends: [Option<SystemTime>; N]) -> Option<SystemTime> {
    ends.into_iter().flatten().min()
}

fn names(
    applications: &HashMap<ApplicationId, Arc<Application>>,
) -> HashMap<String, Vec<ApplicationId>> {
    let mut names: HashMap<String, Vec<ApplicationId>> = HashMap::new();
    for app in applications.values() {
        let forms = [app.name.to_string(), app.full_name(), app.label()];
        for form in forms {
            let named = names.entry(form).or_default();
            if !named.contains(&app.id) {
                named.push(app.id);
            }
        }
    }
    names
}

fn hosts(
    applications: &HashMap<ApplicationId, Arc<Application>>,
) -> HashMap<HostName, ApplicationId> {
    let all = applications.values();
    all.flat_map(|app| app.web.host_names.iter().map(|host| (host.clone(), app.id))).collect()
}

/// The item of an iterator that has exactly one.
fn only<T>(mut items: impl Iterator<Item = T>) -> Option<T> {
    let first = items.next();
    items.next().is_none().then_some(first)?
}

fn same_target(now: &Application, then: &Application) -> bool {
    now.site.id == then.site.id
        && now.kind == then.kind
        && now.address == then.address
        && now.login == then.login
        && now.web == then.web
        && now.database == then.database
}
