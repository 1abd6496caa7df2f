//! HTTP proxies: which one leads to a host, and through it by CONNECT.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::SystemTime;

use access::{Code, Explain};
use data_encoding::BASE64;
use ipnet::IpNet;
use ntlm::{Fresh, Login, Ntlm, filetime};
use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::local;

/// An HTTP proxy.
#[derive(Clone)]
pub struct Proxy {
    host: String,
    port: u16,
    /// `user:password`, or `DOMAIN\user:password`.
    credentials: Option<SecretString>,
}

/// Which hosts are reached through which proxy.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    proxy: Option<Proxy>,
    /// Hosts that are reached without.
    except: Vec<Except>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Except {
    Everything,
    /// This machine.
    Here,
    /// A host, and all names below it.
    Name(String),
    Network(IpNet),
}

/// Why a text names no proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxyUrlError {
    #[error("a proxy is written as http://host:port, or http://user:password@host:port")]
    NotOne,
    #[error("proxies that are spoken to over TLS are not supported; write http://host:port")]
    Tls,
}

/// Why a proxy did not lead to the relay.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    #[error("the proxy {proxy} does not answer")]
    Unreachable { proxy: String, source: io::Error },
    #[error("the proxy {proxy} wants credentials, or other ones")]
    Credentials { proxy: String },
    #[error("the proxy {proxy} does not lead to {target}: it answers {status}")]
    Refused { proxy: String, target: String, status: u16 },
    #[error("what answers at {proxy} is no HTTP proxy")]
    NotHttp { proxy: String },
}

impl Explain for ProxyError {
    fn code(&self) -> Code {
        match self {
            Self::Unreachable { .. } => Code("proxy.unreachable"),
            Self::Credentials { .. } => Code("proxy.credentials"),
            Self::Refused { .. } => Code("proxy.refused"),
            Self::NotHttp { .. } => Code("proxy.not_http"),
        }
    }

    fn public(&self) -> Cow<'static, str> {
        self.to_string().into()
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        Some(match self {
            Self::Unreachable { .. } | Self::NotHttp { .. } => {
                "check the proxy's address, or name none for the relay in NO_PROXY".into()
            }
            Self::Credentials { .. } => {
                "name user and password of the proxy (DOMAIN\\user:password for NTLM); Basic and NTLM \
                 are what is spoken, also by the name of Negotiate"
                    .into()
            }
            Self::Refused { .. } => "have the proxy allow CONNECT to the relay's port".into(),
        })
    }
}

impl Proxies {
    /// One proxy for every host, this machine included.
    pub fn always(proxy: Proxy) -> Self {
        Self { proxy: Some(proxy), except: Vec::new() }
    }

    /// What HTTPS_PROXY and NO_PROXY say, in capitals or small letters, as `variable` reads them.
    pub fn from_environment(
        variable: impl Fn(&'static str) -> Option<String>,
    ) -> Result<Self, ProxyUrlError> {
        let either = |small, capital| {
            variable(small).filter(|text| !text.is_empty()).or_else(|| variable(capital))
        };
        let Some(url) = either("https_proxy", "HTTPS_PROXY").filter(|url| !url.is_empty()) else {
            return Ok(Self::default());
        };
        let except = either("no_proxy", "NO_PROXY").unwrap_or_default();
        let except = except.split(',').filter_map(Except::parse).chain([Except::Here]).collect();
        Ok(Self { proxy: Some(url.parse()?), except })
    }

    /// As [`from_environment`](Self::from_environment), of this process.
    pub fn of_process() -> Result<Self, ProxyUrlError> {
        Self::from_environment(|name| std::env::var(name).ok())
    }

    /// The proxy that leads to a host, if one does.
    pub fn to(&self, host: &str) -> Option<&Proxy> {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let excepted = self.except.iter().any(|except| except.holds(host));
        self.proxy.as_ref().filter(|_| !excepted)
    }
}

fn is_here(host: &str) -> bool {
    let address: Option<IpAddr> = host.parse().ok();
    address.map_or(local::host(host) == "localhost", |address| address.is_loopback())
}

impl Except {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text == "*" {
            return Some(Self::Everything);
        }
        if let Ok(network) = text.parse() {
            return Some(Self::Network(network));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Some(Self::Network(address.into()));
        }
        let name = text.trim_start_matches("*.").trim_start_matches('.').to_ascii_lowercase();
        (!name.is_empty()).then_some(Self::Name(name))
    }

    fn holds(&self, host: &str) -> bool {
        match self {
            Self::Everything => true,
            Self::Here => is_here(host),
            Self::Name(name) => {
                let host = host.trim_end_matches('.').to_ascii_lowercase();
                let below = host.strip_suffix(name.as_str());
                below.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            }
            Self::Network(network) => {
                host.parse::<IpAddr>().is_ok_and(|address| network.contains(&address))
            }
        }
    }
}

impl Proxy {
    /// The same proxy with other credentials, written as `user:password`.
    #[must_use]
    pub fn with_credentials(self, credentials: SecretString) -> Self {
        Self { credentials: Some(credentials), ..self }
    }

    /// A connection through the proxy to `host:port`, as if it had been dialled there.
    ///
    /// Credentials are shown once the proxy has asked for them, and the password itself only to one
    /// that asks for nothing better.
    pub(crate) async fn connect(&self, target: &str) -> Result<TcpStream, ProxyError> {
        let mut conversation = self.dial(target).await?;
        let asked = conversation.ask(None).await?;
        let (407, Some(credentials)) = (asked.status, &self.credentials) else {
            return conversation.led(&asked);
        };
        // Some end the connection with this answer.
        let mut conversation = self.dial(target).await?;
        let answer = match asked.best() {
            Scheme::Basic => {
                let encoded = BASE64.encode(credentials.expose_secret().as_bytes());
                conversation.ask(Some(format!("Basic {encoded}").into())).await?
            }
            Scheme::Ntlm => self.prove("NTLM", credentials, &mut conversation).await?,
            Scheme::Negotiate => self.prove("Negotiate", credentials, &mut conversation).await?,
        };
        conversation.led(&answer)
    }

    /// Shows by NTLM that the password is known. The last answer.
    async fn prove(
        &self,
        scheme: &str,
        credentials: &SecretString,
        conversation: &mut Conversation<'_>,
    ) -> Result<Answer, ProxyError> {
        let fresh = Fresh { challenge: rand::random(), key: rand::random() };
        let ntlm = Ntlm::to_proxy(fresh, filetime(SystemTime::now()), &self.host);
        let shown = |message: &[u8]| format!("{scheme} {}", BASE64.encode(message)).into();
        let asked = conversation.ask(Some(shown(&ntlm.negotiate()))).await?;
        let Some(challenge) = asked.challenge(scheme) else { return Ok(asked) };
        conversation.skip(&asked).await?;
        let (account, password) = credentials.expose_secret().split_once(':').unwrap_or_default();
        let (domain, user) = ntlm::account(account);
        let password = SecretString::from(password);
        let login = Login { domain, user, password: &password };
        match ntlm.authenticate(&challenge, &login) {
            Ok((proof, _)) => conversation.ask(Some(shown(&proof))).await,
            Err(_) => Err(ProxyError::NotHttp { proxy: self.to_string() }),
        }
    }

    async fn dial<'a>(&self, target: &'a str) -> Result<Conversation<'a>, ProxyError> {
        let proxy = self.to_string();
        let dialled = TcpStream::connect((local::host(&self.host), self.port)).await;
        match dialled {
            Ok(socket) => Ok(Conversation { socket, proxy, target }),
            Err(source) => Err(ProxyError::Unreachable { proxy, source }),
        }
    }
}

/// A connection on which a proxy is asked to lead somewhere.
struct Conversation<'a> {
    socket: TcpStream,
    proxy: String,
    target: &'a str,
}

impl Conversation<'_> {
    async fn ask(&mut self, shown: Option<SecretString>) -> Result<Answer, ProxyError> {
        let request = request(self.target, shown.as_ref());
        let sent = self.socket.write_all(request.expose_secret().as_bytes()).await;
        sent.map_err(|source| self.unreachable(source))?;
        let head = read_head(&mut self.socket).await.map_err(|source| self.unreachable(source))?;
        head.as_deref().and_then(Answer::read).ok_or_else(|| self.not_http())
    }

    /// Reads off the page that comes with a refusal, so that the next answer follows.
    async fn skip(&mut self, answer: &Answer) -> Result<(), ProxyError> {
        let length: usize = answer
            .header("content-length")
            .next()
            .map_or(Ok(0), str::parse)
            .map_err(|_| self.not_http())?;
        if length > MAX_PAGE {
            return Err(self.not_http());
        }
        let mut rest = vec![0; length.saturating_sub(answer.rest.len())];
        let read = self.socket.read_exact(&mut rest).await;
        read.map(drop).map_err(|source| self.unreachable(source))
    }

    fn led(self, answer: &Answer) -> Result<TcpStream, ProxyError> {
        match answer.status {
            // What stands behind it nobody has asked for: the relay speaks second.
            200..=299 if !answer.rest.is_empty() => Err(self.not_http()),
            200..=299 => Ok(self.socket),
            407 => Err(ProxyError::Credentials { proxy: self.proxy }),
            status => {
                let target = self.target.to_owned();
                Err(ProxyError::Refused { proxy: self.proxy, target, status })
            }
        }
    }

    fn unreachable(&self, source: io::Error) -> ProxyError {
        ProxyError::Unreachable { proxy: self.proxy.clone(), source }
    }

    fn not_http(&self) -> ProxyError {
        ProxyError::NotHttp { proxy: self.proxy.clone() }
    }
}

fn request(target: &str, shown: Option<&SecretString>) -> SecretString {
    let shown = shown.map(|shown| format!("Proxy-Authorization: {}\r\n", shown.expose_secret()));
    let shown = shown.unwrap_or_default();
    format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{shown}\r\n").into()
}

/// How a proxy wants to be shown who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Basic,
    Ntlm,
    /// By which NTLM may be spoken too.
    Negotiate,
}

/// A proxy's answer to CONNECT.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    /// What came behind the head.
    rest: Vec<u8>,
}

impl Answer {
    /// Of a head, and what came with it; `None`: it is no HTTP.
    fn read(bytes: &[u8]) -> Option<Self> {
        let status = status(bytes)?;
        let end = bytes.windows(END.len()).position(|four| four == END)? + END.len();
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        Some(Self { status, head, rest: bytes[end..].to_vec() })
    }

    /// The values of a header, whose name is in small letters.
    fn header<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let pairs = self.head.lines().filter_map(|line| line.split_once(':'));
        pairs.filter(move |pair| pair.0.eq_ignore_ascii_case(name)).map(|pair| pair.1.trim())
    }

    fn best(&self) -> Scheme {
        let offers = |scheme: &str| {
            self.header("proxy-authenticate").any(|value| {
                let first = value.split_ascii_whitespace().next();
                first.is_some_and(|first| first.eq_ignore_ascii_case(scheme))
            })
        };
        match () {
            () if offers("NTLM") => Scheme::Ntlm,
            () if offers("Negotiate") && !offers("Basic") => Scheme::Negotiate,
            () => Scheme::Basic,
        }
    }

    /// What is asked in a challenge of this scheme.
    fn challenge(&self, scheme: &str) -> Option<Vec<u8>> {
        let asked = self.header("proxy-authenticate").find_map(|value| {
            let (first, rest) = value.split_once(' ')?;
            first.eq_ignore_ascii_case(scheme).then_some(rest.trim())
        })?;
        BASE64.decode(asked.as_bytes()).ok()
    }
}

/// The head of the answer, and what came with it; `None` where it is none, or longer than an answer
/// to CONNECT is.
async fn read_head(socket: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    let mut head = Vec::with_capacity(1024);
    loop {
        if head.windows(END.len()).any(|four| four == END) {
            return Ok(Some(head));
        }
        if head.len() >= MAX_HEAD {
            return Ok(None);
        }
        if socket.read_buf(&mut head).await? == 0 {
            return Ok(None);
        }
    }
}

fn status(head: &[u8]) -> Option<u16> {
    let line = head.split(|byte| *byte == b'\r').next()?;
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    words.next().filter(|version| version.starts_with("HTTP/1."))?;
    words.next()?.parse().ok()
}

impl FromStr for Proxy {
    type Err = ProxyUrlError;

    fn from_str(text: &str) -> Result<Self, ProxyUrlError> {
        let rest = match text.trim().split_once("://") {
            Some(("http", rest)) => rest,
            Some(("https", _)) => return Err(ProxyUrlError::Tls),
            Some(_) => return Err(ProxyUrlError::NotOne),
            None => text.trim(),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (credentials, rest) = match rest.rsplit_once('@') {
            Some((credentials, rest)) => (Some(decoded(credentials)?), rest),
            None => (None, rest),
        };
        let authority: hyper::http::uri::Authority =
            rest.parse().map_err(|_| ProxyUrlError::NotOne)?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = authority.port_u16().unwrap_or(80);
        if host.is_empty() || port == 0 {
            return Err(ProxyUrlError::NotOne);
        }
        Ok(Self { host, port, credentials })
    }
}

/// What `%` stands for in a URL's user and password.
fn decoded(text: &str) -> Result<SecretString, ProxyUrlError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = after;
        if *byte != b'%' {
            bytes.push(*byte);
            continue;
        }
        let [high, low, after @ ..] = rest else { return Err(ProxyUrlError::NotOne) };
        let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|n| u8::try_from(n).ok());
        let (high, low) = digit(high).zip(digit(low)).ok_or(ProxyUrlError::NotOne)?;
        bytes.push(high * 16 + low);
        rest = after;
    }
    let text = String::from_utf8(bytes).map_err(|_| ProxyUrlError::NotOne)?;
    Ok(text.into())
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

const END: &[u8] = b"\r\n\r\n";
const MAX_HEAD: usize = 16 * 1024;
const MAX_PAGE: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_read_with_its_credentials_and_shows_none() {
        let proxy: Proxy = "http://ann:p%40ss%3A@proxy.corp:3128/".parse().unwrap();
        assert_eq!(proxy.credentials.as_ref().unwrap().expose_secret(), "ann:p@ss:");
        assert_eq!(format!("{proxy} {proxy:?}"), "proxy.corp:3128 Proxy(proxy.corp:3128)");
        let bare: Proxy = "[::1]:8080".parse().unwrap();
        assert_eq!(bare.to_string(), "[::1]:8080");
        assert!(bare.credentials.is_none());
        for wrong in ["", "http://", "socks5://a:1", "http://a:0", "http://%4@a", "http://a/b"] {
            assert!(wrong.parse::<Proxy>().is_err(), "{wrong}");
        }
        assert_eq!("https://a:1".parse::<Proxy>().unwrap_err(), ProxyUrlError::Tls);
    }

    #[test]
    fn hosts_that_are_excepted_and_this_machine_are_reached_without() {
        let proxies = Proxies::from_environment(|name| match name {
            "HTTPS_PROXY" => Some("http://proxy:3128".to_owned()),
            "no_proxy" => Some(".corp, relay.example ,10.0.0.0/8,192.0.2.1".to_owned()),
            _ => None,
        })
        .unwrap();
        let without = [
            "a.corp",
            "corp",
            "CORP",
            "relay.example",
            "x.relay.example",
            "10.1.2.3",
            "192.0.2.1",
            "localhost",
            "relay.localhost",
            "127.0.0.1",
            "[::1]",
        ];
        for host in without {
            assert!(proxies.to(host).is_none(), "{host}");
        }
        for host in ["notcorp", "example", "192.0.2.2", "relay.example.org"] {
            assert!(proxies.to(host).is_some(), "{host}");
        }
        let none = Proxies::from_environment(|_| None).unwrap();
        assert!(none.to("relay.example").is_none());
    }

    #[test]
    fn the_password_itself_is_for_proxies_that_ask_for_nothing_better() {
        let asks = |schemes: &str| {
            let head = format!("HTTP/1.1 407 Who\r\n{schemes}Content-Length: 2\r\n\r\nno");
            let answer = Answer::read(head.as_bytes()).unwrap();
            assert_eq!(answer.rest, b"no");
            answer.best()
        };
        let of = |scheme: &str| format!("Proxy-Authenticate: {scheme}\r\n");
        assert_eq!(asks(""), Scheme::Basic);
        assert_eq!(asks(&of("Basic realm=\"NTLM\"")), Scheme::Basic);
        assert_eq!(asks(&(of("Basic realm=x") + &of("ntlm"))), Scheme::Ntlm);
        // Often there is Kerberos behind it, and no NTLM.
        assert_eq!(asks(&(of("Negotiate") + &of("Basic realm=x"))), Scheme::Basic);
        assert_eq!(asks(&of("Negotiate")), Scheme::Negotiate);
    }

    #[test]
    fn only_an_http_answer_has_a_status() {
        assert_eq!(status(b"HTTP/1.1 200 Connection established\r\n\r\n"), Some(200));
        assert_eq!(status(b"HTTP/1.0 407 x\r\nA: b\r\n\r\n"), Some(407));
        assert_eq!(status(b"SSH-2.0-OpenSSH\r\n"), None);
        assert_eq!(status(b"HTTP/1.1\r\n"), None);
    }
}
