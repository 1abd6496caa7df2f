//! Every record, at least once and in order, whatever a destination does.

pub(crate) mod receivers;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use session::{AuditEvent, AuditLog, Door};
use store::{MasterKey, Store};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::config::Config;
use receivers::{Hook, Syslog, Whim, acceptor, demanding};

#[tokio::test]
async fn a_file_has_every_record_once_rotates_and_is_its_owners() {
    let home = Home::new().await;
    let path = home.path("audit.jsonl");
    let to = file(&path, 1 << 20, 3);
    home.log(1000).await;
    let running = home.run(vec![to.clone()]);
    running.until(|counts| counts.iter().any(|count| count.seq == 1000)).await;
    assert_eq!(mode(&path), 0o600);
    let lines = fs::read_to_string(&path).unwrap();
    assert_eq!(verified(lines.lines()), (1..=1000).collect::<Vec<_>>());
    running.end().await;
    // From where it was; a crash has left half a line, and somebody has opened it to all.
    fs::write(&path, [lines.as_bytes(), b"{\"seq\":20"].concat()).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    home.log(2000).await;
    let running = home.run(vec![to]);
    running.until(|counts| counts.iter().any(|count| count.seq == 3000)).await;
    running.end().await;
    let first = fs::read_to_string(home.path("audit.jsonl.1")).unwrap();
    let whole = first + &fs::read_to_string(&path).unwrap();
    assert_eq!(verified(whole.lines()), (1..=3000).collect::<Vec<_>>());
    assert_eq!(mode(&path), 0o600);
}

#[tokio::test]
async fn only_as_many_files_are_kept_as_were_asked_for() {
    let home = Home::new().await;
    let path = home.path("audit.jsonl");
    let to = file(&path, 1000, 2);
    home.log(3000).await;
    let running = home.run(vec![to]);
    running.until(|counts| counts.first().is_some_and(|count| count.seq == 3000)).await;
    running.end().await;
    let names = |name: &str| home.path(name).exists();
    assert!(names("audit.jsonl.1") && names("audit.jsonl.2") && !names("audit.jsonl.3"));
    let last = fs::read_to_string(&path).unwrap();
    assert!(last.lines().last().unwrap().contains("\"seq\":3000"));
}

#[tokio::test]
async fn what_can_not_be_written_is_kept_and_written_when_it_can() {
    let home = Home::new().await;
    let (folder, path) = (home.path("later"), home.path("later/audit.jsonl"));
    let link = home.path("link");
    symlink(home.path("elsewhere"), &link).unwrap();
    home.log(5).await;
    let destinations = vec![file(&path, 1 << 20, 1), named("link", file(&link, 1 << 20, 1))];
    let running = home.run(destinations);
    running
        .until(|counts| counts.len() == 2 && counts.iter().all(|count| count.failures > 0))
        .await;
    let listed = running.deliveries.list().await.unwrap();
    assert!(listed[0].error.as_ref().unwrap().contains("could not write"), "{listed:?}");
    assert_eq!((listed[0].seq, listed[0].lag), (0, 5));
    fs::create_dir(&folder).unwrap();
    let other = fs::File::create(&path).unwrap();
    other.lock().unwrap();
    let before = running.deliveries.counts()[0].failures;
    running.until(|counts| counts[0].failures > before).await;
    assert_eq!(fs::read_to_string(&path).unwrap(), "", "another writes there");
    other.unlock().unwrap();
    running.until(|counts| counts.first().is_some_and(|count| count.seq == 5)).await;
    let listed = running.deliveries.list().await.unwrap();
    assert_eq!((listed[0].failures, listed[0].error.as_ref()), (0, None));
    assert_eq!(verified(fs::read_to_string(&path).unwrap().lines()), [1, 2, 3, 4, 5]);
    assert!(!home.path("elsewhere").exists(), "a link was followed");
    running.end().await;
}

#[tokio::test]
async fn a_webhook_that_fails_in_every_way_gets_every_record_in_order() {
    let home = Home::new().await;
    fs::write(home.path("secret"), "0123456789abcdef\n").unwrap();
    let hook = Hook::start(vec![Whim::Refuse, Whim::Forget, Whim::Half, Whim::Take]).await;
    home.log(700).await;
    let url = format!("http://{}/adit?key=canary", hook.address);
    let running = home.run(vec![webhook(&url, &home.path("secret"), None)]);
    running.until(|counts| counts.first().is_some_and(|count| count.seq == 700)).await;
    let counts = running.deliveries.counts();
    assert!(counts[0].failures >= 3, "{counts:?}");
    assert!(!running.deliveries.list().await.unwrap()[0].to.contains("canary"));
    running.end().await;
    let posts = hook.posts.lock().unwrap().clone();
    let taken: Vec<_> = posts.iter().flat_map(|post| post.body.lines()).collect();
    assert_eq!(verified(taken.iter().copied()), (1..=700).collect::<Vec<_>>());
    for post in &posts {
        let seqs: Vec<_> = post.body.lines().map(seq).collect();
        let range = format!("{}-{}", seqs[0], seqs[seqs.len() - 1]);
        assert_eq!(post.header("adit-seq"), range);
        let signature = post.header("adit-signature");
        let at = signature.strip_prefix("t=").unwrap().split(',').next().unwrap();
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, b"0123456789abcdef");
        let signed = aws_lc_rs::hmac::sign(&key, format!("{at}.{}", post.body).as_bytes());
        let hex: String = signed.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(signature, format!("t={at},v1={hex}"));
    }
}

#[tokio::test]
async fn a_webhook_over_tls_is_sent_what_it_takes() {
    let home = Home::new().await;
    fs::write(home.path("secret"), "0123456789abcdef").unwrap();
    let acceptor = acceptor(home.folder.path(), "localhost");
    let hook = Hook::start_with(vec![Whim::Take], Some(acceptor)).await;
    home.log(3).await;
    let (port, secret, ca) = (hook.address.port(), home.path("secret"), home.path("ca.pem"));
    let good = webhook(&format!("https://localhost:{port}/adit"), &secret, Some(&ca));
    let running = home.run(vec![good]);
    running.until(|counts| counts.first().is_some_and(|count| count.seq == 3)).await;
    running.end().await;
    let posts = hook.posts.lock().unwrap().clone();
    assert_eq!(posts.len(), 1);
    assert!(posts[0].head.starts_with("POST /adit HTTP/1.1"), "{}", posts[0].head);
    assert_eq!(posts[0].header("host"), format!("localhost:{port}"));
    let refusing = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let gone = named("gone", webhook(&format!("https://{refusing}/"), &secret, Some(&ca)));
    let running = home.run(vec![gone]);
    running.until(|counts| counts.first().is_some_and(|count| count.failures > 0)).await;
    let error = running.deliveries.list().await.unwrap().remove(0).error.unwrap();
    assert!(error.contains("does not answer"), "{error}");
    running.end().await;
}

#[tokio::test]
async fn a_receiver_that_hangs_delays_neither_the_log_nor_the_other_destinations() {
    let home = Home::new().await;
    fs::write(home.path("secret"), "0123456789abcdef").unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hang = format!("http://{}/", silent.local_addr().unwrap());
    let path = home.path("audit.jsonl");
    let running =
        home.run(vec![webhook(&hang, &home.path("secret"), None), file(&path, 1 << 30, 1)]);
    let began = Instant::now();
    home.log(1000).await;
    running.until(|counts| counts.first().is_some_and(|count| count.seq == 1000)).await;
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    running.until(|counts| counts.get(1).is_some_and(|count| count.lag == 1000)).await;
    // And it does not hold up the end.
    let began = Instant::now();
    running.end().await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_syslog_receiver_over_tls_gets_counted_messages_that_verify() {
    let home = Home::new().await;
    let receiver = Syslog::start(home.folder.path(), "localhost").await;
    home.log(1200).await;
    let url = format!("tls://localhost:{}", receiver.port);
    let running = home.run(vec![syslog(&url, Some(&home.path("ca.pem")))]);
    running.until(|counts| counts.first().is_some_and(|count| count.seq == 1200)).await;
    home.log(1).await;
    running.until(|counts| counts.first().is_some_and(|count| count.seq == 1201)).await;
    running.end().await;
    let messages = receiver.messages.lock().unwrap().clone();
    let lines = messages.iter().map(|message| message.split_once("] {").unwrap().1);
    let lines: Vec<_> = lines.map(|line| format!("{{{line}")).collect();
    assert_eq!(verified(lines.iter().map(String::as_str)), (1..=1201).collect::<Vec<_>>());
    let start =
        "relay.test adit-relay - authn.failed [adit@32473 seq=\"1\" action=\"authn.failed\"";
    assert!(messages[0].starts_with("<108>1 ") && messages[0].contains(start), "{}", messages[0]);
}

#[tokio::test]
async fn a_syslog_receiver_that_drops_what_it_was_sent_or_is_another_is_sent_it_again() {
    let home = Home::new().await;
    let receiver = Syslog::start(home.folder.path(), "localhost").await;
    receiver.drop_next(2);
    home.log(800).await;
    let url = format!("tls://localhost:{}", receiver.port);
    let other = format!("tls://127.0.0.1:{}", receiver.port);
    let ca = home.path("ca.pem");
    let running =
        home.run(vec![syslog(&url, Some(&ca)), named("other", syslog(&other, Some(&ca)))]);
    running
        .until(|counts| counts.len() == 2 && counts[1].seq == 800 && counts[0].failures > 0)
        .await;
    let listed = running.deliveries.list().await.unwrap();
    let error = listed[1].error.as_ref().unwrap();
    assert!(error.contains("is not who its name says"), "{error}");
    running.end().await;
    let messages = receiver.messages.lock().unwrap().clone();
    let lines = messages.iter().map(|message| message.split_once("] {").unwrap().1);
    let lines: Vec<_> = lines.map(|line| format!("{{{line}")).collect();
    assert_eq!(verified(lines.iter().map(String::as_str)), (1..=800).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_receiver_that_demands_a_certificate_is_shown_one() {
    let home = Home::new().await;
    let receiver = Syslog::start_with(demanding(home.folder.path(), "localhost")).await;
    home.log(3).await;
    let (url, ca) = (format!("tls://localhost:{}", receiver.port), home.path("ca.pem"));
    let shown = configured(&format!(
        "name = 'siem'\nkind = 'syslog'\nurl = '{url}'\nca_file = {ca:?}\n\
         certificate_file = {:?}\nkey_file = {:?}",
        home.path("client.pem"),
        home.path("client-key.pem")
    ));
    let running = home.run(vec![shown, named("bare", syslog(&url, Some(&ca)))]);
    running.until(|counts| counts.len() == 2 && counts[1].seq == 3 && counts[0].failures > 0).await;
    assert_eq!(running.deliveries.counts()[0].seq, 0);
    running.end().await;
    assert_eq!(receiver.messages.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn destinations_come_change_and_go_while_the_relay_runs() {
    let home = Home::new().await;
    let (first, second) = (home.path("first"), home.path("second"));
    home.log(10).await;
    let running = home.run(Vec::new());
    assert_eq!(running.deliveries.counts(), []);
    running.deliveries.want(vec![file(&first, 1 << 20, 1)]);
    running.until(|counts| counts.len() == 1 && counts[0].seq == 10).await;
    // Another place under the same name goes on where the first was.
    running.deliveries.want(vec![file(&second, 1 << 20, 1)]);
    home.log(5).await;
    running.until(|counts| counts.len() == 1 && counts[0].seq == 15).await;
    let later = Destination { from_now: true, ..named("later", file(&first, 1 << 20, 1)) };
    running.deliveries.want(vec![later]);
    running.until(|counts| counts.len() == 1 && counts[0].destination == "later").await;
    running.until(|counts| counts.first().is_some_and(|count| count.seq == 15)).await;
    home.log(1).await;
    running.until(|counts| counts.first().is_some_and(|count| count.seq == 16)).await;
    running.deliveries.want(Vec::new());
    running.until(<[_]>::is_empty).await;
    running.end().await;
    let of = |path: &Path| fs::read_to_string(path).unwrap().lines().map(seq).collect::<Vec<_>>();
    assert_eq!(of(&first), (1..=10).chain([16]).collect::<Vec<_>>());
    assert_eq!(of(&second), (11..=15).collect::<Vec<_>>());
}

/// A store with a log, and a folder.
struct Home {
    store: Store,
    folder: TempDir,
}

impl Home {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().join("adit.db");
        Self { store: Store::open(&at, MasterKey::generate()).await.unwrap(), folder }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    async fn log(&self, count: usize) {
        for n in 1..count {
            // The queue holds fewer than some tests write.
            match n % 500 {
                0 => self.store.append(failed()).await.unwrap(),
                _ => self.store.note(failed()),
            }
        }
        self.store.append(failed()).await.unwrap();
    }

    fn run(&self, destinations: Vec<Destination>) -> Delivering {
        let deliveries = Deliveries::new(self.store.clone(), "relay.test", destinations);
        let (stop, mut task) = (CancellationToken::new(), JoinSet::new());
        task.spawn(deliveries.clone().run(stop.clone()));
        Delivering { deliveries, stop, task }
    }
}

struct Delivering {
    deliveries: Arc<Deliveries>,
    stop: CancellationToken,
    task: JoinSet<()>,
}

impl Delivering {
    /// Waits until what is counted, by name, is so.
    async fn until(&self, is: impl Fn(&[Count]) -> bool) {
        let end = Instant::now() + Duration::from_secs(40);
        while !is(&self.deliveries.counts()) {
            let listed = self.deliveries.list().await;
            assert!(Instant::now() < end, "{:?} {listed:?}", self.deliveries.counts());
            sleep(Duration::from_millis(20)).await;
        }
    }

    async fn end(mut self) {
        self.stop.cancel();
        while let Some(ended) = self.task.join_next().await {
            ended.unwrap();
        }
    }
}

/// The numbers of the records in the order in which they first came; each is the chain's next.
fn verified<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<u64> {
    let (mut verifier, mut seqs) = (chain::Verifier::whole(), Vec::new());
    for line in lines {
        let line = chain::Line::parse(line).unwrap();
        if line.seq <= verifier.at().seq {
            continue;
        }
        let damage = line.with_record(|record| verifier.take(record, line.hash)).unwrap();
        assert_eq!(damage, None);
        seqs.push(line.seq);
    }
    seqs
}

fn seq(line: &str) -> u64 {
    serde_json::from_str::<Value>(line).unwrap()["seq"].as_u64().unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn failed() -> AuditEvent {
    AuditEvent::AuthnFailed {
        door: Door::Ssh,
        from: [192, 0, 2, 1].into(),
        user: Some("mallory\n\u{1b}]\"\\".to_owned()),
        code: access::Code("authn.failed"),
        detail: "ü".repeat(20),
        suppressed: 0,
    }
}

fn named(name: &str, destination: Destination) -> Destination {
    Destination { name: name.parse().unwrap(), ..destination }
}

fn file(path: &Path, max_bytes: u64, keep: usize) -> Destination {
    let to = crate::config::FileTo { path: path.to_owned(), max_bytes, keep };
    Destination {
        name: "archive".parse().unwrap(),
        from_now: false,
        to: crate::config::To::File(to),
    }
}

fn webhook(url: &str, secret: &Path, ca: Option<&Path>) -> Destination {
    let ca = ca.map(|ca| format!("ca_file = {ca:?}")).unwrap_or_default();
    configured(&format!(
        "name = 'hook'\nkind = 'webhook'\nurl = '{url}'\nsecret_file = {secret:?}\n{ca}"
    ))
}

fn syslog(url: &str, ca: Option<&Path>) -> Destination {
    let ca = ca.map(|ca| format!("ca_file = {ca:?}")).unwrap_or_default();
    configured(&format!("name = 'siem'\nkind = 'syslog'\nurl = '{url}'\n{ca}"))
}

fn configured(lines: &str) -> Destination {
    let text = format!("domain = 'relay.test'\n[[audit.destination]]\n{lines}");
    Config::parse(&text, Path::new("/")).unwrap().audit.destinations.remove(0)
}
