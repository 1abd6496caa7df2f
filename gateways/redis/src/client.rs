//! The client's side of the door, until it has shown a token.

use std::io;

use bytes::{Buf as _, BytesMut};
use secrecy::SecretString;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::commands::Name;
use crate::proto::{Command, Fault, HELD, Limits, Parsed, Part, Secrets, parse};
use crate::server::Wire;
use crate::words;

/// What a client shows to get in.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) token: SecretString,
    user: Option<String>,
    /// How it wants to go on speaking, where it says so.
    pub(crate) hello: Option<Hello>,
}

/// What HELLO asks for besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hello {
    pub(crate) version: u8,
    pub(crate) name: Option<Vec<u8>>,
}

impl Shown {
    /// What AUTH's arguments show, or what is answered instead.
    pub(crate) fn auth(args: &Secrets) -> Result<Self, &'static [u8]> {
        let args: Vec<&[u8]> = args.iter().collect();
        match args.as_slice() {
            [token] => Ok(Self::new(None, token, None)),
            [user, token] => Ok(Self::new(Some(user), token, None)),
            _ => Err(words::ARGUMENTS),
        }
    }

    fn new(user: Option<&[u8]>, token: &[u8], hello: Option<Hello>) -> Self {
        let user = user.map(|user| String::from_utf8_lossy(user).into_owned());
        // What is no text is no token.
        let token = SecretString::from(str::from_utf8(token).unwrap_or_default().trim());
        Self { token, user, hello }
    }

    /// The role and the application that the user names: `role+app`, `app`, or neither.
    pub(crate) fn who(&self) -> (&str, Option<&str>) {
        match self.user.as_deref() {
            None | Some("" | DEFAULT) => (DEFAULT, None),
            Some(user) => match user.split_once('+') {
                Some((role, application)) => (role, Some(application)),
                None => (DEFAULT, Some(user)),
            },
        }
    }
}

/// What HELLO's arguments ask for, and what they show; or what is answered instead.
pub(crate) fn hello(args: &Secrets) -> Result<(Option<Hello>, Option<Shown>), &'static [u8]> {
    let args: Vec<&[u8]> = args.iter().collect();
    let (version, mut rest) = match args.as_slice() {
        [] => return Ok((None, None)),
        [b"2", rest @ ..] => (2, rest),
        [b"3", rest @ ..] => (3, rest),
        _ => return Err(words::VERSION),
    };
    let (mut name, mut shown) = (None, None);
    loop {
        match rest {
            [] => break,
            [word, user, token, more @ ..] if word.eq_ignore_ascii_case(b"auth") => {
                (shown, rest) = (Some((user, token)), more);
            }
            [word, called, more @ ..] if word.eq_ignore_ascii_case(b"setname") => {
                (name, rest) = (Some(called.to_vec()), more);
            }
            _ => return Err(words::SYNTAX),
        }
    }
    let hello = Hello { version, name };
    let shown = shown.map(|(user, token)| Shown::new(Some(user), token, Some(hello.clone())));
    Ok((Some(hello), shown))
}

/// A client that has not shown a token.
pub(crate) struct Client {
    pub(crate) io: Wire,
    /// What was read ahead.
    pub(crate) ahead: BytesMut,
}

/// Why a client got no further. It has been told what can be told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error("the connection broke")]
    Broken(#[from] io::Error),
    #[error(transparent)]
    Fault(#[from] Fault),
    #[error("the client left")]
    Left,
}

impl Client {
    pub(crate) fn new(io: Wire) -> Self {
        Self { io, ahead: BytesMut::new() }
    }

    /// Answers what anybody may ask, up to a command that shows something.
    pub(crate) async fn shows(&mut self) -> Result<Shown, ClientError> {
        loop {
            let (name, args) = self.command().await?;
            let answer = match name.as_str() {
                "AUTH" => match Shown::auth(&args) {
                    Ok(shown) => return Ok(shown),
                    Err(answer) => answer,
                },
                "HELLO" => match hello(&args) {
                    Ok((_, Some(shown))) => return Ok(shown),
                    Ok((_, None)) => words::NO_AUTH_HELLO,
                    Err(answer) => answer,
                },
                "RESET" => words::RESET,
                "QUIT" => {
                    self.refuse(words::OK).await;
                    return Err(ClientError::Left);
                }
                _ => words::NO_AUTH,
            };
            self.say(answer).await?;
        }
    }

    /// Reads one command; what is none is refused.
    async fn command(&mut self) -> Result<(Name, Secrets), ClientError> {
        let mut spans = Vec::new();
        loop {
            match parse(&self.ahead, BEFORE, &mut spans) {
                Ok(Parsed::Whole { count, length }) => {
                    let (bytes, spans, part) = (&self.ahead[..], &spans[..], Part::Whole);
                    let command = Command::new(bytes, spans, count, part);
                    let read = (Name::of(command.name()), Secrets::of(&command));
                    self.ahead.advance(length);
                    return Ok(read);
                }
                Ok(Parsed::Empty { length }) => self.ahead.advance(length),
                Ok(Parsed::Part { .. }) if self.ahead.len() < HELD => {
                    if self.io.read_buf(&mut self.ahead).await? == 0 {
                        return Err(ClientError::Left);
                    }
                }
                Ok(Parsed::Part { .. }) => return Err(self.faulty(Fault::Long).await),
                Err(fault) => return Err(self.faulty(fault).await),
            }
        }
    }

    async fn faulty(&mut self, fault: Fault) -> ClientError {
        self.refuse(&words::fault(fault)).await;
        ClientError::Fault(fault)
    }

    pub(crate) async fn say(&mut self, answer: &[u8]) -> io::Result<()> {
        self.io.write_all(answer).await?;
        self.io.flush().await
    }

    /// Tells the client why the connection ends.
    pub(crate) async fn refuse(&mut self, answer: &[u8]) {
        // Who has left is told nothing.
        drop(self.say(answer).await);
        drop(self.io.shutdown().await);
    }
}

/// As a server limits those whom it does not know.
const BEFORE: Limits = Limits { arguments: 10, length: HELD };
const DEFAULT: &str = "default";
