//! Logging in to a target: its questions, asked of whoever can answer them.

use std::sync::Arc;
use std::time::Duration;

use access::Application;
use russh::client::{AuthResult, KeyboardInteractiveAuthResponse as Reply, Prompt};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::{Certificate, HashAlg, PrivateKey, PrivateKeyWithHashAlg, decode_secret_key};
use russh::{MethodKind, MethodSet, server};
use secrecy::{ExposeSecret, SecretString};
use session::TargetCredential;
use tokio::time::timeout;

use crate::config::TARGET_DEADLINE;
use crate::proto::plain;
use crate::target::{Target, TargetError};
use crate::words;

/// A login under way on a connection to a target.
pub(crate) struct Dialogue {
    target: Target,
    login: String,
    application: Arc<Application>,
    methods: MethodSet,
    pending: Option<Pending>,
    wrong: u32,
    once: bool,
    password: Option<SecretString>,
}

/// What the target wants to know.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) name: String,
    pub(crate) instructions: String,
    /// Each with whether the answer may be seen.
    pub(crate) prompts: Vec<(String, bool)>,
}

/// Where a login stands.
#[derive(Debug)]
pub(crate) enum Step {
    In,
    Ask(Question),
    /// Nothing that can be typed is left to try.
    Stuck,
}

/// How the same login can be made again on another connection.
pub(crate) enum Means {
    /// The target asks nothing of this login.
    Open,
    Password(SecretString),
    /// Answers that are good only once, or keys of an agent.
    Once,
}

/// Which of the target's ways to ask for a password is taken first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prefer {
    /// All questions the target has, as it words them.
    Questions,
    /// One password, for clients that can give no more.
    Password,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Pending {
    Password,
    Questions,
}

impl Dialogue {
    /// Asks the target which ways it offers. It may also let the login in at once.
    pub(crate) async fn begin(
        target: Target,
        login: String,
        application: Arc<Application>,
    ) -> Result<(Self, bool), TargetError> {
        let mut dialogue = Self {
            target,
            login,
            application,
            methods: MethodSet::empty(),
            pending: None,
            wrong: 0,
            once: false,
            password: None,
        };
        let asked = dialogue.target.handle.authenticate_none(dialogue.login.clone());
        let result = within(asked).await?;
        let open = dialogue.judge(result)?;
        Ok((dialogue, open))
    }

    /// The connection, once it is in, and how to make another.
    pub(crate) fn finish(self) -> (Target, Means) {
        let means = match (self.password, self.once) {
            (Some(password), false) => Means::Password(password),
            (None, false) => Means::Open,
            (_, true) => Means::Once,
        };
        (self.target, means)
    }

    pub(crate) fn takes_keys(&self) -> bool {
        self.methods.contains(&MethodKind::PublicKey)
    }

    /// The next thing to ask for.
    pub(crate) async fn question(&mut self, prefer: Prefer) -> Result<Step, TargetError> {
        let offers = |kind| self.methods.contains(&kind);
        let questions = offers(MethodKind::KeyboardInteractive);
        let password = offers(MethodKind::Password);
        if self.wrong >= MAX_WRONG {
            return Ok(Step::Stuck);
        }
        if password && (prefer == Prefer::Password || !questions) {
            return Ok(Step::Ask(self.ask_password()));
        }
        if !questions {
            return Ok(Step::Stuck);
        }
        let start =
            self.target.handle.authenticate_keyboard_interactive_start(self.login.clone(), None);
        let reply = within(start).await?;
        self.read(reply, prefer).await
    }

    /// Shows the target the answers to the last question.
    pub(crate) async fn answer(
        &mut self,
        answers: Vec<SecretString>,
        prefer: Prefer,
    ) -> Result<Step, TargetError> {
        match self.pending.take() {
            Some(Pending::Password) => {
                let password = answers.into_iter().next().unwrap_or_default();
                match self.password(password).await? {
                    true => Ok(Step::In),
                    false => Box::pin(self.question(prefer)).await,
                }
            }
            Some(Pending::Questions) => {
                self.once = true;
                let texts = answers.iter().map(|text| text.expose_secret().to_owned()).collect();
                let reply = self.respond(texts).await?;
                self.read(reply, prefer).await
            }
            None => self.question(prefer).await,
        }
    }

    /// Shows a password in whichever way the target takes one.
    pub(crate) async fn password(&mut self, password: SecretString) -> Result<bool, TargetError> {
        if self.methods.contains(&MethodKind::Password) {
            let text = password.expose_secret().to_owned();
            let shown = self.target.handle.authenticate_password(self.login.clone(), text);
            let result = within(shown).await?;
            if self.judge(result)? {
                self.password = Some(password);
                return Ok(true);
            }
            self.wrong += 1;
            return Ok(false);
        }
        if self.methods.contains(&MethodKind::KeyboardInteractive) {
            return self.password_as_answer(password).await;
        }
        Ok(false)
    }

    /// Logs in with what the relay has stored.
    pub(crate) async fn managed(
        &mut self,
        credential: TargetCredential,
    ) -> Result<bool, TargetError> {
        match credential {
            TargetCredential::Password(password) => self.password(password).await,
            TargetCredential::Tls(_) => Err(TargetError::Credential),
            TargetCredential::SshKey(pem) => {
                let key = decode_secret_key(pem.expose_secret(), None)
                    .map_err(|_| TargetError::Credential)?;
                let hash = self.rsa_hash(key.algorithm().is_rsa()).await?;
                let key = PrivateKeyWithHashAlg::new(Arc::new(key), hash);
                let shown = self.target.handle.authenticate_publickey(self.login.clone(), key);
                let result = within(shown).await?;
                self.judge(result)
            }
        }
    }

    /// Logs in with a certificate of the relay's own.
    pub(crate) async fn certificate(
        &mut self,
        key: Arc<PrivateKey>,
        certificate: Certificate,
    ) -> Result<bool, TargetError> {
        let handle = &mut self.target.handle;
        let shown = handle.authenticate_openssh_cert(self.login.clone(), key, certificate);
        let result = within(shown).await?;
        self.judge(result)
    }

    /// Offers the keys of the user's agent, which signs for this one connection.
    pub(crate) async fn agent(&mut self, user: &server::Handle) -> Result<bool, TargetError> {
        let opened = timeout(AGENT_DEADLINE, user.channel_open_agent()).await;
        let Ok(Ok(channel)) = opened else { return Ok(false) };
        let mut agent = AgentClient::connect(channel.into_stream());
        if let Some(binding) = self.target.handle.agent_session_binding() {
            // Agents that do not know of binding refuse it and serve unconstrained keys.
            drop(timeout(AGENT_DEADLINE, agent.bind_session(binding, false)).await);
        }
        let listed = timeout(AGENT_DEADLINE, agent.request_identities()).await;
        let Ok(Ok(identities)) = listed else { return Ok(false) };
        for identity in identities.into_iter().take(MAX_IDENTITIES) {
            if !self.takes_keys() {
                break;
            }
            if self.identity(identity, &mut agent).await? {
                self.once = true;
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn identity<S>(
        &mut self,
        identity: AgentIdentity,
        agent: &mut AgentClient<S>,
    ) -> Result<bool, TargetError>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send,
    {
        let login = self.login.clone();
        let handle = &mut self.target.handle;
        let result = match identity {
            AgentIdentity::PublicKey { key, .. } => {
                let hash = rsa_hash(handle, key.algorithm().is_rsa()).await?;
                let shown = handle.authenticate_publickey_with(login, key, hash, agent);
                timeout(AGENT_DEADLINE, shown).await
            }
            AgentIdentity::Certificate { certificate, .. } => {
                let hash = rsa_hash(handle, certificate.algorithm().is_rsa()).await?;
                let shown = handle.authenticate_certificate_with(login, certificate, hash, agent);
                timeout(AGENT_DEADLINE, shown).await
            }
        };
        match result {
            Ok(Ok(result)) => self.judge(result),
            // The agent would not sign with this key; another may do.
            Ok(Err(_)) => Ok(false),
            Err(_) => Err(TargetError::TimedOut { after: AGENT_DEADLINE }),
        }
    }

    async fn rsa_hash(&self, rsa: bool) -> Result<Option<HashAlg>, TargetError> {
        rsa_hash(&self.target.handle, rsa).await
    }

    fn ask_password(&mut self) -> Question {
        self.pending = Some(Pending::Password);
        let prompt = words::password_prompt(&self.login, &self.application);
        let mut instructions = self.target.banner();
        if self.takes_keys() {
            instructions.push_str(words::AGENT_HINT);
        }
        Question { name: String::new(), instructions, prompts: vec![(prompt, false)] }
    }

    async fn respond(&mut self, answers: Vec<String>) -> Result<Reply, TargetError> {
        within(self.target.handle.authenticate_keyboard_interactive_respond(answers)).await
    }

    async fn read(&mut self, reply: Reply, prefer: Prefer) -> Result<Step, TargetError> {
        let mut reply = reply;
        for _ in 0..MAX_ROUNDS {
            match reply {
                Reply::Success => {
                    self.once = true;
                    return Ok(Step::In);
                }
                Reply::InfoRequest { prompts, .. } if prompts.is_empty() => {
                    reply = self.respond(Vec::new()).await?;
                }
                Reply::InfoRequest { name, instructions, prompts } => {
                    return Ok(Step::Ask(self.pass_on(&name, &instructions, prompts)?));
                }
                Reply::Failure { remaining_methods, partial_success } => {
                    let before = self.wrong;
                    self.failed(remaining_methods, partial_success)?;
                    if self.wrong > before && !self.once {
                        // It failed without a question: this way is closed.
                        self.methods.remove(MethodKind::KeyboardInteractive);
                    }
                    return Box::pin(self.question(prefer)).await;
                }
            }
        }
        Err(TargetError::Refused)
    }

    fn pass_on(
        &mut self,
        name: &str,
        instructions: &str,
        prompts: Vec<Prompt>,
    ) -> Result<Question, TargetError> {
        if prompts.len() > MAX_PROMPTS {
            return Err(TargetError::Refused);
        }
        self.pending = Some(Pending::Questions);
        let mut shown = self.target.banner();
        shown.push_str(&plain(instructions, MAX_TEXT));
        if self.takes_keys() {
            if !shown.is_empty() && !shown.ends_with('\n') {
                shown.push('\n');
            }
            shown.push_str(words::AGENT_HINT);
        }
        let prompts =
            prompts.into_iter().map(|ask| (plain(&ask.prompt, MAX_TEXT), ask.echo)).collect();
        Ok(Question { name: plain(name, MAX_TEXT), instructions: shown, prompts })
    }

    async fn password_as_answer(&mut self, password: SecretString) -> Result<bool, TargetError> {
        let start =
            self.target.handle.authenticate_keyboard_interactive_start(self.login.clone(), None);
        let mut reply = within(start).await?;
        let mut shown = false;
        for _ in 0..MAX_ROUNDS {
            match reply {
                Reply::Success => {
                    self.password = Some(password);
                    return Ok(true);
                }
                Reply::Failure { remaining_methods, partial_success } => {
                    self.failed(remaining_methods, partial_success)?;
                    return Ok(false);
                }
                Reply::InfoRequest { prompts, .. } => {
                    // One hidden question is the password; anything else is not ours to answer.
                    let hidden = prompts.len() == 1 && !prompts[0].echo && !shown;
                    let answers = match (prompts.is_empty(), hidden) {
                        (true, _) => Vec::new(),
                        (false, true) => vec![password.expose_secret().to_owned()],
                        (false, false) => return Ok(false),
                    };
                    shown |= hidden;
                    reply = self.respond(answers).await?;
                }
            }
        }
        Ok(false)
    }

    fn judge(&mut self, result: AuthResult) -> Result<bool, TargetError> {
        match result {
            AuthResult::Success => Ok(true),
            AuthResult::Failure { remaining_methods, partial_success: _ } => {
                if remaining_methods.is_empty() {
                    return Err(TargetError::Refused);
                }
                self.methods = remaining_methods;
                Ok(false)
            }
        }
    }

    fn failed(&mut self, methods: MethodSet, partial: bool) -> Result<(), TargetError> {
        if methods.is_empty() {
            return Err(TargetError::Refused);
        }
        self.methods = methods;
        self.wrong += u32::from(!partial);
        Ok(())
    }
}

async fn rsa_hash(
    handle: &russh::client::Handle<crate::target::Knock>,
    rsa: bool,
) -> Result<Option<HashAlg>, TargetError> {
    if !rsa {
        return Ok(None);
    }
    let best = within(handle.best_supported_rsa_hash()).await?;
    // A target that does not say takes what RFC 8332 made usual; SHA-1 is never signed.
    Ok(best.flatten().or(Some(HashAlg::Sha512)))
}

async fn within<T>(step: impl Future<Output = Result<T, russh::Error>>) -> Result<T, TargetError> {
    match timeout(TARGET_DEADLINE, step).await {
        Ok(result) => result.map_err(|source| TargetError::Broken { source }),
        Err(_) => Err(TargetError::TimedOut { after: TARGET_DEADLINE }),
    }
}

const MAX_WRONG: u32 = 3;
const MAX_ROUNDS: usize = 10;
const MAX_PROMPTS: usize = 16;
const MAX_TEXT: usize = 1024;
const MAX_IDENTITIES: usize = 5;

/// A person may have to touch a key or confirm.
const AGENT_DEADLINE: Duration = Duration::from_secs(30);
