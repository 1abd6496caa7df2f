//! What is wrong on the way to a relay, and what helps: one line for each thing looked at.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use access::Explain;
use access::text::in_full;
use futures_util::future::join_all;
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;
use tokio::time::{Instant, sleep, timeout};

use crate::Identity;
use crate::carrier::{Carrier, Transport};
use crate::closed::ConnectError;
use crate::dial::{Asked, NO_VERSION};
use crate::https::{CallError, Client};
use crate::ladder::{Ladder, RUNGS};
use crate::local;
use crate::proxy::Proxies;
use crate::tls::Trust;

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What: `name`, `proxy`, `quic`, `tls`, `websocket`, `enrolment`, `mtu`, `clock`, `certificate`,
    /// or a target.
    pub check: String,
    pub outcome: Outcome,
    /// In one line.
    pub found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<Cow<'static, str>>,
    /// What helps, in one line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    Good,
    /// It works without.
    Warning,
    Bad,
}

impl Outcome {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Warning => "warning",
            Self::Bad => "bad",
        }
    }
}

impl Finding {
    pub fn good(check: &str, found: String) -> Self {
        Self { check: check.to_owned(), outcome: Outcome::Good, found, code: None, fix: None }
    }

    pub fn bad(check: &str, found: String, fix: String) -> Self {
        let outcome = Outcome::Bad;
        Self { check: check.to_owned(), outcome, found, code: None, fix: Some(fix) }
    }

    /// As one line of text.
    pub fn line(&self) -> String {
        let mut line = format!("{:7} {:12} {}", self.outcome.as_str(), self.check, self.found);
        if let Some(fix) = &self.fix {
            line.push_str(" — ");
            line.push_str(fix);
        }
        if let Some(code) = &self.code {
            line.push_str(&format!(" [{code}]"));
        }
        line
    }

    fn explained(check: &str, error: &dyn Explain) -> Self {
        let fix = error.hint().map(Cow::into_owned);
        let (found, code) = (error.public().into_owned(), Some(error.code().0.into()));
        Self { check: check.to_owned(), outcome: Outcome::Bad, found, code, fix }
    }
}

/// Looks at everything between this machine and its relay. Nothing is left behind: carriers are tried,
/// and the relay is asked whether it knows this machine, which disturbs no connection of its own.
pub async fn examine(ladder: &Ladder, identity: &Identity) -> Vec<Finding> {
    let (address, proxies) = (&ladder.ways().https, &ladder.ways().over_tcp.proxies);
    let mut findings = vec![name(address, proxies).await];
    findings.push(certificate(identity, SystemTime::now()));
    findings.extend(proxy(address, proxies).await);
    let tried = join_all(RUNGS.map(|rung| try_one(ladder, rung, identity)));
    let (tried, clock) = tokio::join!(tried, clock(ladder, identity));
    let (mtu, enrolment) = (mtu(&tried), enrolment(ladder, &tried, identity).await);
    findings.extend(ways(ladder, tried));
    findings.extend(enrolment);
    findings.extend(mtu);
    findings.extend(clock);
    findings
}

/// Looks at what there is between this machine and the relay at `url`, which it has not joined: no
/// certificate of its own to show, and `trust` to know the relay by.
///
/// # Errors
///
/// When `url` is none of a relay.
pub async fn examine_before(
    url: &str,
    trust: &Trust,
    proxies: &Proxies,
) -> Result<Vec<Finding>, CallError> {
    let client = Client::new(url, trust, None)?.through(proxies.clone());
    let address = client.address();
    let mut findings = vec![name(&address, proxies).await];
    findings.extend(proxy(&address, proxies).await);
    findings.extend(answers(&client).await);
    Ok(findings)
}

async fn name(address: &str, proxies: &Proxies) -> Finding {
    let host = host_of(address);
    if proxies.to(host).is_some() {
        return Finding::good("name", format!("the proxy resolves {host}"));
    }
    let fix = || "check the name and this machine's DNS servers".to_owned();
    match timeout(WITHIN, tokio::net::lookup_host(local::address(address))).await {
        Ok(Ok(mut found)) => match found.next() {
            Some(first) => Finding::good("name", format!("{host} is {}", first.ip())),
            None => Finding::bad("name", format!("{host} has no address"), fix()),
        },
        Ok(Err(error)) => Finding::bad("name", format!("{host} does not resolve: {error}"), fix()),
        Err(_) => Finding::bad("name", format!("no DNS server answers for {host}"), fix()),
    }
}

fn certificate(identity: &Identity, now: SystemTime) -> Finding {
    let left = identity.not_after().duration_since(now);
    match left {
        Ok(left) => {
            let hours = left.as_secs() / 3600;
            Finding::good("certificate", format!("{} for {hours} more hours", identity.name()))
        }
        Err(_) => Finding {
            outcome: Outcome::Warning,
            fix: Some("it is renewed at the next connection, unless it was revoked".to_owned()),
            ..Finding::good("certificate", format!("{} has expired", identity.name()))
        },
    }
}

async fn proxy(address: &str, proxies: &Proxies) -> Option<Finding> {
    let proxy = proxies.to(host_of(address))?;
    Some(match timeout(WITHIN, proxy.connect(address)).await {
        Ok(Ok(_)) => Finding::good("proxy", format!("{proxy} leads to {address}")),
        Ok(Err(error)) => Finding::explained("proxy", &error),
        Err(_) => Finding::bad(
            "proxy",
            format!("{proxy} does not answer"),
            "check the proxy's address, or name none for the relay in NO_PROXY".to_owned(),
        ),
    })
}

type Tried = (Transport, Result<Stood, ConnectError>);

/// A way that leads to the relay.
struct Stood {
    took: Duration,
    largest_packet: Option<u16>,
}

async fn try_one(ladder: &Ladder, rung: Transport, identity: &Identity) -> Tried {
    let began = Instant::now();
    let stood = match timeout(WITHIN, ladder.attempt(rung, identity)).await {
        Ok((_, Ok(carrier))) => {
            let took = began.elapsed();
            let largest_packet = largest_packet(&carrier).await;
            carrier.close(access::EndReason::Closed, "examined");
            Ok(Stood { took, largest_packet })
        }
        Ok((_, Err(error))) => Err(error),
        Err(_) => Err(ConnectError::TimedOut { after: WITHIN }),
    };
    (rung, stood)
}

/// Whether the relay knows this machine, where a way leads to it.
async fn enrolment(ladder: &Ladder, tried: &[Tried], identity: &Identity) -> Option<Finding> {
    let (rung, _) = tried.iter().find(|(_, stood)| stood.is_ok())?;
    let asked = timeout(WITHIN, Box::pin(ladder.ask(*rung, identity))).await;
    Some(match asked.unwrap_or(Err(ConnectError::TimedOut { after: WITHIN })) {
        Ok(Asked::Known) => Finding::good("enrolment", "the relay knows this machine".to_owned()),
        Ok(Asked::NoVersion { relay }) => Finding {
            code: Some(NO_VERSION.into()),
            ..Finding::bad(
                "enrolment",
                format!(
                    "the relay ({relay}) and this program speak no common version of the protocol"
                ),
                "install the release that the relay has on this machine".to_owned(),
            )
        },
        Ok(Asked::Older) => Finding::good("enrolment", NOT_ASKED.to_owned()),
        Err(ConnectError::Refused { source }) => Finding {
            check: "enrolment".to_owned(),
            outcome: Outcome::Bad,
            found: source.message,
            code: Some(source.code.into()),
            fix: source.hint,
        },
        Err(error) => Finding::bad(
            "enrolment",
            in_full(&error),
            "try again; where it stays so, the relay's log says why".to_owned(),
        ),
    })
}

/// What gets through once the carrier has tried larger and larger packets for a while.
async fn largest_packet(carrier: &Carrier) -> Option<u16> {
    let (mut found, mut grew) = (carrier.largest_packet()?, Instant::now());
    let until = grew + TRYING;
    while Instant::now() < until && grew.elapsed() < SETTLED {
        sleep(LOOK).await;
        let now = carrier.largest_packet()?;
        if now > found {
            (found, grew) = (now, Instant::now());
        }
    }
    Some(found)
}

/// What the path's packets may hold. Those of a relay must hold 1200 bytes, or QUIC does not stand.
fn mtu(tried: &[Tried]) -> Option<Finding> {
    let stood = tried.iter().filter_map(|(_, stood)| stood.as_ref().ok());
    let whole = stood.filter_map(|stood| stood.largest_packet).next()? + UDP_AND_IP;
    let found = format!("UDP packets of {whole} bytes get through");
    if whole >= USUAL_PACKET {
        return Some(Finding::good("mtu", found));
    }
    let fix = "let ICMP \"too big\" through, or raise the MTU of the VPN on the way; it works \
               without, and costs more";
    Some(Finding { outcome: Outcome::Warning, ..Finding::bad("mtu", found, fix.to_owned()) })
}

/// What each way came to. One that works makes the others' failures warnings.
fn ways(ladder: &Ladder, tried: Vec<Tried>) -> Vec<Finding> {
    let works = tried.iter().any(|(_, stood)| stood.is_ok());
    let finding = |(rung, stood): Tried| {
        let check = rung.as_str();
        let error = match stood {
            Ok(Stood { took, .. }) => {
                return Finding::good(check, format!("answers after {} ms", took.as_millis()));
            }
            Err(error) => error,
        };
        let mut finding = match error.explain() {
            Some(why) => Finding::explained(check, why),
            None => Finding::bad(check, in_full(&error), port_fix(ladder, rung)),
        };
        if works {
            finding.outcome = Outcome::Warning;
        }
        finding
    };
    tried.into_iter().map(finding).collect()
}

fn port_fix(ladder: &Ladder, rung: Transport) -> String {
    match rung {
        Transport::Quic => {
            format!("let UDP out to port {} of the relay", port_of(&ladder.ways().quic))
        }
        Transport::Tls | Transport::WebSocket => tcp_fix(&ladder.ways().https),
    }
}

fn tcp_fix(address: &str) -> String {
    format!("let TCP out to port {} of the relay", port_of(address))
}

fn port_of(address: &str) -> &str {
    address.rsplit_once(':').map_or("443", |(_, port)| port)
}

/// How far this machine's clock is from the relay's: certificates are not valid at another time.
async fn clock(ladder: &Ladder, identity: &Identity) -> Option<Finding> {
    let url = format!("https://{}", ladder.ways().https);
    let trust = Trust::pinned_in(identity.ca_pem()).ok()?;
    let client = Client::new(&url, &trust, None).ok()?;
    let client = client.through(ladder.ways().over_tcp.proxies.clone());
    // Why it does not answer is said already.
    told_time(&timeout(WITHIN, client.date()).await.ok()?)
}

/// Whether the relay answers over TLS as what it should be, and what its clock says.
async fn answers(client: &Client) -> Vec<Finding> {
    let began = Instant::now();
    let answer = timeout(WITHIN, client.date()).await;
    let answer = answer.unwrap_or(Err(CallError::TimedOut { after: WITHIN }));
    let tls = match &answer {
        Ok(_) => Finding::good("tls", format!("answers after {} ms", began.elapsed().as_millis())),
        Err(error) => match error.explain() {
            Some(why) if is_told_in_full(error) => Finding::explained("tls", why),
            // What is known of the error itself says more.
            why => Finding {
                code: why.map(|why| why.code().0.into()),
                ..Finding::bad("tls", in_full(error), https_fix(error, client))
            },
        },
    };
    std::iter::once(tls).chain(told_time(&answer)).collect()
}

fn is_told_in_full(error: &CallError) -> bool {
    matches!(error, CallError::Intercepted { .. } | CallError::Proxy { .. })
}

fn https_fix(error: &CallError, client: &Client) -> String {
    match error {
        CallError::Handshake { .. } => {
            "check that the URL leads to the relay that the token is of".to_owned()
        }
        _ => tcp_fix(&client.address()),
    }
}

fn told_time(answer: &Result<Option<String>, CallError>) -> Option<Finding> {
    match answer {
        Ok(date) => {
            let theirs = OffsetDateTime::parse(date.as_ref()?, &Rfc2822).ok()?;
            Some(skew(theirs, OffsetDateTime::now_utc()))
        }
        Err(CallError::Handshake { source, .. }) if speaks_of_time(source) => Some(Finding::bad(
            "clock",
            "the relay's certificate is not valid at this machine's time".to_owned(),
            "set this machine's clock".to_owned(),
        )),
        Err(_) => None,
    }
}

fn skew(theirs: OffsetDateTime, ours: OffsetDateTime) -> Finding {
    let seconds = (ours - theirs).whole_seconds();
    if seconds.abs() <= MOST_SKEW {
        return Finding::good("clock", format!("{} s from the relay's", seconds.abs()));
    }
    let (way, off) = (if seconds > 0 { "ahead of" } else { "behind" }, seconds.abs());
    Finding::bad(
        "clock",
        format!("{off} s {way} the relay's"),
        "set this machine's clock, and keep it by NTP".to_owned(),
    )
}

fn speaks_of_time(error: &std::io::Error) -> bool {
    let text = error.to_string();
    text.contains("expired") || text.contains("not valid yet") || text.contains("NotValidYet")
}

fn host_of(address: &str) -> &str {
    address.rsplit_once(':').map_or(address, |(host, _)| host)
}

/// Of a relay from before it could be asked: it would take whoever asks for another connection of
/// this machine's, and end the one that runs.
const NOT_ASKED: &str = "not looked at: the relay is older than this program, and can not be asked without disturbing it";
/// For larger packets to be tried, and after which none larger gets through.
const TRYING: Duration = Duration::from_secs(3);
const SETTLED: Duration = Duration::from_millis(800);
const LOOK: Duration = Duration::from_millis(50);
/// The heads of UDP and IP, version 4.
const UDP_AND_IP: u16 = 28;
/// What is left of Ethernet's 1500 bytes by tunnels that are well set up.
const USUAL_PACKET: u16 = 1400;
/// For one thing to answer.
const WITHIN: Duration = Duration::from_secs(5);
const MOST_SKEW: i64 = 30;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_off_is_told_with_its_direction() {
        let now = OffsetDateTime::now_utc();
        let off = |seconds| skew(now, now + time::Duration::seconds(seconds));
        assert_eq!(off(3).outcome, Outcome::Good);
        assert_eq!(off(3600).found, "3600 s ahead of the relay's");
        assert_eq!(off(-90).found, "90 s behind the relay's");
        let date = "Fri, 27 Nov 2026 14:05:39 GMT";
        assert_eq!(OffsetDateTime::parse(date, &Rfc2822).unwrap().hour(), 14);
    }

    #[test]
    fn a_finding_is_one_line_with_its_fix_and_its_code() {
        let finding = Finding {
            code: Some("relay.intercepted".into()),
            ..Finding::bad("tls", "it is not its own".into(), "exempt it".into())
        };
        let line = "bad     tls          it is not its own — exempt it [relay.intercepted]";
        assert_eq!(finding.line(), line);
    }
}
