//! From a relay's request to a TCP connection: resolve once, check, dial what was checked.

use std::borrow::Cow;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use access::{Code, Explain};
use async_trait::async_trait;
use tokio::net::TcpStream;
use tokio::time::timeout;
use wire::Dial;

use crate::allow::{AllowList, NotAllowed};

/// Turns names into addresses.
#[async_trait]
pub trait Resolver: Send + Sync {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>>;
}

/// The machine's own resolver.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

/// Why the target was not reached.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    #[error("not allowed: {reason}")]
    NotAllowed { address: Option<IpAddr>, reason: NotAllowed },
    #[error("the name does not resolve")]
    Unresolved { source: io::Error },
    #[error("the target refused the connection")]
    Refused { source: io::Error },
    #[error("the target is unreachable")]
    Unreachable { source: io::Error },
    #[error("no answer within {DEADLINE:?}")]
    TimedOut,
}

/// Connects to the target within one deadline.
pub async fn dial(
    request: &Dial,
    allow: &AllowList,
    resolver: &dyn Resolver,
) -> Result<TcpStream, DialError> {
    match timeout(DEADLINE, resolve_and_connect(request, allow, resolver)).await {
        Ok(dialled) => dialled,
        Err(_) => Err(DialError::TimedOut),
    }
}

async fn resolve_and_connect(
    request: &Dial,
    allow: &AllowList,
    resolver: &dyn Resolver,
) -> Result<TcpStream, DialError> {
    if let Ok(address) = request.host.parse() {
        return connect(check(request, allow, address)?).await;
    }
    let resolved = resolver.resolve(&request.host).await;
    let addresses = resolved.map_err(|source| DialError::Unresolved { source })?;
    let mut failed = DialError::Unresolved { source: io::ErrorKind::NotFound.into() };
    let checked = addresses.into_iter().take(MAX_ADDRESSES);
    let checked: Vec<_> = checked.map(|address| check(request, allow, address)).collect();
    let last = checked.iter().rposition(Result::is_ok);
    for (index, address) in checked.into_iter().enumerate() {
        let error = match address {
            Ok(address) if Some(index) == last => return connect(address).await,
            Ok(address) => match timeout(PER_ADDRESS, connect(address)).await {
                Ok(Ok(socket)) => return Ok(socket),
                Ok(Err(error)) => error,
                Err(_) => DialError::TimedOut,
            },
            Err(error) => error,
        };
        failed = error;
    }
    Err(failed)
}

fn check(request: &Dial, allow: &AllowList, address: IpAddr) -> Result<SocketAddr, DialError> {
    allow
        .check(&request.host, address, request.port)
        .map_err(|reason| DialError::NotAllowed { address: Some(address), reason })
}

async fn connect(address: SocketAddr) -> Result<TcpStream, DialError> {
    TcpStream::connect(address).await.map_err(|source| match source.kind() {
        io::ErrorKind::ConnectionRefused => DialError::Refused { source },
        io::ErrorKind::TimedOut => DialError::TimedOut,
        _ => DialError::Unreachable { source },
    })
}

#[async_trait]
impl Resolver for SystemResolver {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        Ok(tokio::net::lookup_host((host, 0)).await?.map(|address| address.ip()).collect())
    }
}

impl Explain for DialError {
    fn code(&self) -> Code {
        Code(match self {
            Self::NotAllowed { .. } => "dial.not_allowed",
            Self::Unresolved { .. } => "dial.unresolved",
            Self::Refused { .. } => "dial.refused",
            Self::Unreachable { .. } => "dial.unreachable",
            Self::TimedOut => "dial.timeout",
        })
    }

    fn public(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::NotAllowed { .. } => {
                "the site's connector does not allow this application's address"
            }
            Self::Unresolved { .. } => "the application's host name does not resolve in its site",
            Self::Refused { .. } => "the application refused the connection",
            Self::Unreachable { .. } => "the application's host is unreachable from its site",
            Self::TimedOut => "the application does not answer",
        })
    }
}

/// From the request to the connection.
const DEADLINE: Duration = Duration::from_secs(8);
/// For one of several addresses; the last has all the time that is left.
const PER_ADDRESS: Duration = Duration::from_secs(2);
const MAX_ADDRESSES: usize = 8;
