//! Asking the user at their terminal, which the client has put in raw mode.

use std::time::Duration;

use russh::{ChannelMsg, ChannelWriteHalf, server};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::timeout;
use zeroize::Zeroize;

use crate::dialogue::{Dialogue, Prefer, Question, Step};
use crate::inbox::Inbox;
use crate::proto::looks_like_token;
use crate::target::TargetError;
use crate::words;

/// What a channel can offer towards a target's login.
pub(crate) struct Applicant<'a> {
    /// Whether the client forwards its agent.
    pub(crate) agent: bool,
    pub(crate) terminal: Option<Terminal<'a>>,
}

/// A channel with a terminal at its other end.
pub(crate) struct Terminal<'a> {
    pub(crate) inbox: &'a mut Inbox,
    pub(crate) writer: &'a ChannelWriteHalf<server::Msg>,
}

/// The user has gone, or wants to.
#[derive(Debug)]
pub(crate) struct Gone;

impl Applicant<'_> {
    pub(crate) fn nobody() -> Self {
        Self { agent: false, terminal: None }
    }

    /// Waits for `other`, reading the channel meanwhile.
    pub(crate) async fn wait<F: Future>(&mut self, other: F) -> F::Output {
        match &mut self.terminal {
            Some(terminal) => terminal.inbox.during(other).await,
            None => other.await,
        }
    }

    /// Puts the target's questions to the user.
    pub(crate) async fn ask(&mut self, dialogue: &mut Dialogue) -> Result<bool, TargetError> {
        let Some(terminal) = &mut self.terminal else { return Err(TargetError::NothingToShow) };
        let mut step = terminal.inbox.during(dialogue.question(Prefer::Questions)).await?;
        loop {
            match step {
                Step::In => return Ok(true),
                Step::Stuck => return Ok(false),
                Step::Ask(question) => {
                    let answers = timeout(ANSWER_DEADLINE, terminal.answers(&question)).await;
                    let Ok(Ok(answers)) = answers else { return Err(TargetError::Over) };
                    let shown = dialogue.answer(answers, Prefer::Questions);
                    step = terminal.inbox.during(shown).await?;
                }
            }
        }
    }
}

impl Terminal<'_> {
    /// A line that shows as it is typed.
    pub(crate) async fn typed_line(&mut self) -> Result<String, Gone> {
        Ok(self.line(true).await?.expose_secret().to_owned())
    }

    async fn answers(&mut self, question: &Question) -> Result<Vec<SecretString>, Gone> {
        for text in [&question.name, &question.instructions] {
            // There is no agent here any more: it was tried first.
            let text = text.replace(words::AGENT_HINT, "");
            if !text.trim().is_empty() {
                self.show(&format!("{}\r\n", text.trim_end().replace('\n', "\r\n"))).await?;
            }
        }
        let mut answers = Vec::with_capacity(question.prompts.len());
        for (prompt, echo) in &question.prompts {
            self.show(&prompt.replace('\n', "\r\n")).await?;
            let line = self.line(*echo).await?;
            if looks_like_token(line.expose_secret()) {
                // No target may see one.
                return Err(Gone);
            }
            answers.push(line);
        }
        Ok(answers)
    }

    /// One line, edited with the backspace key.
    async fn line(&mut self, echo: bool) -> Result<SecretString, Gone> {
        let mut typed = Vec::new();
        loop {
            let bytes = match self.inbox.next().await {
                Some(ChannelMsg::Data { data }) => data,
                Some(ChannelMsg::Eof | ChannelMsg::Close) | None => return Err(Gone),
                // Window changes and signals mean nothing to a line being typed.
                Some(_) => continue,
            };
            let mut bytes = bytes.iter().copied();
            for byte in bytes.by_ref() {
                match byte {
                    b'\r' | b'\n' => {
                        self.show("\r\n").await?;
                        self.inbox.put_back(bytes.collect());
                        let line = SecretString::from(String::from_utf8_lossy(&typed).into_owned());
                        typed.zeroize();
                        return Ok(line);
                    }
                    0x03 | 0x04 => return Err(Gone),
                    0x08 | 0x7f if typed.pop().is_some() && echo => {
                        self.show("\x08 \x08").await?;
                    }
                    0x08 | 0x7f => {}
                    byte if typed.len() < MAX_LINE => {
                        typed.push(byte);
                        if echo && !byte.is_ascii_control() {
                            self.write(vec![byte]).await?;
                        }
                    }
                    _ => {}
                }
            }
        }
    }

    pub(crate) async fn show(&mut self, text: &str) -> Result<(), Gone> {
        self.write(text.as_bytes().to_vec()).await
    }

    async fn write(&mut self, bytes: Vec<u8>) -> Result<(), Gone> {
        self.inbox.during(self.writer.data_bytes(bytes)).await.map_err(|_| Gone)
    }
}

/// For a person to type an answer.
const ANSWER_DEADLINE: Duration = Duration::from_secs(120);
const MAX_LINE: usize = 512;
