//! What channels are told, however they behave.

use std::fs;
use std::sync::Mutex;

use access::Name;
use serde_json::{Value, json};
use store::{Apply, MasterKey, NewRequest, Settlement};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::config::Config;
use crate::deliver::tests::receivers::{Hook, Whim, acceptor};

#[tokio::test]
async fn a_webhook_that_fails_is_told_again_what_a_request_came_to() {
    let home = Home::new().await;
    let hook = Hook::start(vec![Whim::Refuse, Whim::Half, Whim::Take]).await;
    let url = format!("http://{}/hook", hook.address);
    let running =
        home.run(&format!("kind = \"webhook\"\nurl = \"{url}\"\nsecret_file = \"secret\"\n"));
    let request = home.asked().await;
    running.notices.tell(request, RequestState::Pending).await;
    until(|| hook.posts.lock().unwrap().len() == 1).await;
    home.approved(request).await;
    running.notices.tell(request, RequestState::Approved).await;
    until(|| hook.posts.lock().unwrap().len() == 2).await;
    running.end().await;
    let sent = home.recorded("notice.sent").await;
    let told: Vec<_> = sent.iter().map(|event| &event["told"]).collect();
    assert_eq!(told, ["pending", "approved"]);
    let posts = hook.posts.lock().unwrap().clone();
    let bodies: Vec<Value> =
        posts.iter().map(|post| serde_json::from_str(&post.body).unwrap()).collect();
    assert_eq!((&bodies[0]["event"], &bodies[1]["event"]), (&json!("pending"), &json!("approved")));
    assert_eq!(bodies[0]["request"]["application"], "vault.hq");
    let text = bodies[0]["text"].as_str().unwrap();
    assert!(text.starts_with("alice asks for vault.hq for 2h: on call\n"), "{text}");
    assert_eq!(bodies[0]["link"], "https://relay.test/#/requests");
    let text = bodies[1]["text"].as_str().unwrap();
    assert!(text.contains("is approved by root: go ahead"), "{text}");
    for post in &posts {
        let signature = post.header("adit-signature");
        let at = signature.strip_prefix("t=").unwrap().split(',').next().unwrap();
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, b"0123456789abcdef");
        let signed = aws_lc_rs::hmac::sign(&key, format!("{at}.{}", post.body).as_bytes());
        let hex: String = signed.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(signature, format!("t={at},v1={hex}"));
        assert!(!post.header("adit-notice").is_empty());
    }
}

#[tokio::test]
async fn mail_goes_by_tls_to_who_decides_and_then_to_who_asked() {
    let home = Home::new().await;
    let acceptor = acceptor(home.folder.path(), "localhost");
    let server = MailServer::start(acceptor).await;
    let running = home.run(&format!(
        "kind = \"mail\"\nurl = \"smtp://localhost:{}\"\nca_file = \"ca.pem\"\nlogin = \"adit\"\n\
         password_file = \"secret\"\nfrom = \"adit@example.com\"\n\
         to = [\"one@example.com\", \"two@example.com\"]\nuser_domain = \"example.com\"\n",
        server.port
    ));
    let request = home.asked().await;
    running.notices.tell(request, RequestState::Pending).await;
    until(|| server.mails.lock().unwrap().len() == 1).await;
    home.approved(request).await;
    running.notices.tell(request, RequestState::Approved).await;
    until(|| server.mails.lock().unwrap().len() == 2).await;
    running.end().await;
    let mails = server.mails.lock().unwrap().clone();
    let (asked, decided) = (&mails[0], &mails[1]);
    let shown = data_encoding::BASE64.encode(b"\0adit\x000123456789abcdef");
    for line in [
        &format!("AUTH PLAIN {shown}"),
        "MAIL FROM:<adit@example.com>",
        "RCPT TO:<one@example.com>",
        "RCPT TO:<two@example.com>",
        "Subject: alice asks for vault.hq",
        "Content-Transfer-Encoding: base64",
    ] {
        assert!(asked.iter().any(|said| said == line), "{line}: {asked:?}");
    }
    assert!(decided.contains(&"RCPT TO:<alice@example.com>".to_owned()), "{decided:?}");
    assert!(!decided.iter().any(|line| line.contains("one@example.com")), "{decided:?}");
    let body = decided.iter().skip_while(|line| !line.is_empty()).skip(1);
    let body: String = body.take_while(|line| *line != ".").cloned().collect();
    let body = String::from_utf8(data_encoding::BASE64.decode(body.as_bytes()).unwrap()).unwrap();
    assert!(body.contains("is approved by root: go ahead."), "{body}");
}

#[tokio::test]
async fn a_mail_server_without_tls_is_told_nothing() {
    let home = Home::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let by = |extra: &str| {
        let port = listener.local_addr().unwrap().port();
        home.channel(&format!(
            "kind = \"mail\"\nurl = \"smtp://localhost:{port}\"\nlogin = \"adit\"\n\
             password_file = \"secret\"\nfrom = \"adit@example.com\"\nto = [\"a@example.com\"]\n{extra}"
        ))
    };
    let NotifyBy::Mail(by) = by("").by else { panic!("no mail") };
    let (request, said) = (home.asked().await, Arc::new(Mutex::new(Vec::new())));
    let (mut server, kept) = (JoinSet::new(), said.clone());
    server.spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        serve(Box::new(socket), None, &kept).await;
    });
    let row = home.store.access_request(request).await.unwrap().unwrap();
    let notice = Notice {
        row: NoticeRow {
            id: uuid::Uuid::nil(),
            request,
            event: "pending".to_owned(),
            created: 0,
            attempts: 0,
        },
        request: request_row(row).unwrap(),
        link: String::new(),
    };
    let error = mail::send(&by, &notice).await.unwrap_err();
    assert!(error.to_string().contains("502"), "{error}");
    until(|| !said.lock().unwrap().is_empty()).await;
    let said = said.lock().unwrap().concat();
    assert!(
        !said.iter().any(|line| line.starts_with("AUTH") || line.starts_with("MAIL")),
        "{said:?}"
    );
}

#[tokio::test]
async fn one_whom_the_mail_server_does_not_know_keeps_nothing_from_the_others() {
    let home = Home::new().await;
    let server = MailServer::start(acceptor(home.folder.path(), "localhost")).await;
    let channel = |to: &str| {
        format!(
            "kind = \"mail\"\nurl = \"smtp://localhost:{}\"\nca_file = \"ca.pem\"\n\
             from = \"adit@example.com\"\nto = [{to}]\n",
            server.port
        )
    };
    let request = home.asked().await;
    let some = home.run(&channel("\"nobody@example.com\", \"two@example.com\""));
    some.notices.tell(request, RequestState::Pending).await;
    until(|| server.mails.lock().unwrap().iter().any(|said| said.contains(&".".to_owned()))).await;
    told(&some.notices).await;
    some.end().await;
    let none = home.notices(&channel("\"nobody@example.com\""));
    none.tell(request, RequestState::Pending).await;
    assert!(none.turn(&none.channels[0]).await);
    let row = none.list().await.unwrap().remove(0);
    assert_eq!((row.waiting, row.failures), (1, 1));
    assert!(row.error.unwrap().contains("550 nobody"));
}

#[tokio::test]
async fn what_was_not_told_waits_for_a_relay_that_starts_again() {
    let home = Home::new().await;
    let hook = Hook::start(vec![Whim::Take]).await;
    let text = format!(
        "kind = \"webhook\"\nurl = \"http://{}/hook\"\nsecret_file = \"secret\"\n",
        hook.address
    );
    let request = home.asked().await;
    home.notices(&text).tell(request, RequestState::Pending).await;
    assert!(hook.posts.lock().unwrap().is_empty());
    let running = home.run(&text);
    until(|| hook.posts.lock().unwrap().len() == 1).await;
    told(&running.notices).await;
    running.end().await;
    assert_eq!(home.notices(&text).list().await.unwrap().remove(0).oldest, None);
}

#[tokio::test]
async fn an_admin_sees_what_a_channel_does_not_take_and_the_log_what_was_given_up() {
    let home = Home::new().await;
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let notices = home.notices(&format!(
        "kind = \"webhook\"\nurl = \"http://{nobody}/hook/secret?key\"\nsecret_file = \"secret\"\n"
    ));
    let (request, channel) = (home.asked().await, notices.channels[0].clone());
    notices.tell(request, RequestState::Pending).await;
    assert!(notices.turn(&channel).await);
    let row = notices.list().await.unwrap().remove(0);
    assert_eq!((row.waiting, row.failures, row.lost), (1, 1, 0));
    assert!(row.oldest.is_some() && row.failed_ms.is_some() && row.sent_ms.is_none());
    assert!(row.error.unwrap().contains("refused"));
    assert_eq!(row.to, format!("http://{nobody}/hook/secret"));
    assert!(!notices.turn(&channel).await, "it is not tried again at once");
    let (later, error) = (SystemTime::now() + GIVEN_UP * 2, SendError::TimedOut);
    let due = home.store.due_notice(&channel.name, later).await.unwrap().unwrap();
    assert_eq!(due.attempts, 1);
    notices.failed(&channel, &due, &error, later).await.unwrap();
    let row = notices.list().await.unwrap().remove(0);
    assert_eq!((row.waiting, row.failures, row.lost), (0, 2, 1));
    let lost = home.recorded("notice.lost").await.remove(0);
    assert_eq!((&lost["channel"], &lost["told"]), (&json!("oncall"), &json!("pending")));
    assert_eq!((&lost["attempts"], &lost["request"]), (&json!(2), &json!(request.to_string())));
}

#[tokio::test]
async fn a_relay_that_tells_nobody_goes_on() {
    let home = Home::new().await;
    let notices = Notices::new(home.store.clone(), home.store.audit(), Vec::new(), String::new());
    let stop = CancellationToken::new();
    let mut running = Box::pin(notices.run(|| true, stop.clone()));
    assert!(timeout(Duration::from_millis(200), &mut running).await.is_err());
    stop.cancel();
    timeout(Duration::from_secs(20), running).await.unwrap();
}

#[tokio::test]
async fn notices_for_a_channel_that_is_gone_are_forgotten() {
    let home = Home::new().await;
    let (request, gone) = (home.asked().await, "gone".parse::<Name>().unwrap());
    let now = SystemTime::now();
    for age in [GIVEN_UP * 3, Duration::from_secs(60)] {
        let names = std::slice::from_ref(&gone);
        home.store.add_notices(request, "pending", names, now - age).await.unwrap();
    }
    let notices = home
        .notices("kind = \"webhook\"\nurl = \"http://127.0.0.1:1/\"\nsecret_file = \"secret\"\n");
    notices.forget_old(now).await;
    assert_eq!(home.store.notices_waiting(&gone).await.unwrap().count, 1);
}

#[test]
fn waits_double_up_to_a_quarter_of_an_hour() {
    let waits: Vec<_> = (0..11).map(|attempts| wait(attempts).as_secs()).collect();
    assert_eq!(waits, [2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]);
    assert_eq!(wait(u32::MAX), LONGEST_WAIT);
}

struct Home {
    folder: TempDir,
    store: Store,
}

struct Running {
    notices: Arc<Notices>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Home {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("secret"), "0123456789abcdef\n").unwrap();
        let path = folder.path().join("adit.db");
        let store = Store::open(&path, MasterKey::generate()).await.unwrap();
        let document = json!({
            "site": [{ "name": "hq" }],
            "user": [{ "name": "root", "admin": true }, { "name": "alice" }],
            "application": [{ "name": "vault", "site": "hq", "kind": "tcp", "address": "vault:1",
                "requestable": true }],
        });
        let document = serde_json::from_value(document).unwrap();
        store.apply(&document, Apply::default(), SystemTime::now()).await.unwrap();
        Self { folder, store }
    }

    fn channel(&self, text: &str) -> Channel {
        let text = format!("domain = \"relay.test\"\n[[notify]]\nname = \"oncall\"\n{text}");
        Config::parse(&text, self.folder.path()).unwrap().notify.remove(0)
    }

    fn notices(&self, text: &str) -> Arc<Notices> {
        let (channels, url) = (vec![self.channel(text)], "https://relay.test".to_owned());
        Notices::new(self.store.clone(), self.store.audit(), channels, url)
    }

    async fn recorded(&self, action: &str) -> Vec<Value> {
        let rows = self.store.audit_after(0, 1000).await.unwrap();
        rows.into_iter().filter(|row| row.action == action).map(|row| row.event).collect()
    }

    fn run(&self, text: &str) -> Running {
        let notices = self.notices(text);
        let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
        tasks.spawn(notices.clone().run(|| true, stop.clone()));
        Running { notices, stop, tasks }
    }

    async fn asked(&self) -> RuleId {
        let name: Name = "alice".parse().unwrap();
        let new = NewRequest {
            user: self.store.user(&name).await.unwrap().unwrap().id,
            application: self.store.applications().await.unwrap().remove(0).id,
            reason: "on call".to_owned(),
            duration: Duration::from_secs(7200),
        };
        self.store.ask_access(new, SystemTime::now()).await.unwrap().id
    }

    async fn approved(&self, request: RuleId) {
        let now = SystemTime::now();
        let settlement = Settlement {
            from: RequestState::Pending,
            to: RequestState::Approved,
            by: "root",
            comment: Some("go ahead"),
            ends: Some(now + Duration::from_secs(7200)),
        };
        assert!(self.store.settle_request(request, settlement, now).await.unwrap());
    }
}

impl Running {
    async fn end(mut self) {
        self.stop.cancel();
        timeout(Duration::from_secs(20), self.tasks.join_next()).await.unwrap();
    }
}

/// Waits until what was taken is noted as well, so that nothing waits.
async fn told(notices: &Notices) {
    let noted = async {
        while notices.list().await.unwrap().iter().any(|row| row.waiting > 0) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(60), noted).await.unwrap();
}

async fn until(there: impl Fn() -> bool) {
    let waited = async {
        while !there() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(60), waited).await.unwrap();
}

/// One that takes mail after STARTTLS, and keeps what it was told.
struct MailServer {
    port: u16,
    mails: Arc<Mutex<Vec<Vec<String>>>>,
    _task: JoinSet<()>,
}

impl MailServer {
    async fn start(acceptor: TlsAcceptor) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mails = Arc::new(Mutex::new(Vec::new()));
        let (mut task, kept) = (JoinSet::new(), mails.clone());
        task.spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                serve(Box::new(socket), Some(&acceptor), &kept).await;
            }
        });
        Self { port, mails, _task: task }
    }
}

trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

async fn serve(
    socket: Box<dyn Duplex>,
    acceptor: Option<&TlsAcceptor>,
    kept: &Mutex<Vec<Vec<String>>>,
) {
    let mut stream = BufReader::new(socket);
    let (mut said, mut data) = (Vec::new(), false);
    stream.write_all(b"220-mail.test\r\n220 ready\r\n").await.unwrap();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
            break;
        }
        let line = line.trim_end().to_owned();
        said.push(line.clone());
        let answer = match line.split([' ', ':']).next().unwrap() {
            "." => {
                data = false;
                "250 taken\r\n"
            }
            _ if data => continue,
            "EHLO" => "250-mail.test\r\n250 SIZE 1000000\r\n",
            "STARTTLS" if acceptor.is_some() => "220 go ahead\r\n",
            "AUTH" => "235 good\r\n",
            "RCPT" if line.contains("nobody") => "550 nobody\r\n",
            "MAIL" | "RCPT" => "250 good\r\n",
            "DATA" => {
                data = true;
                "354 go ahead\r\n"
            }
            "QUIT" => "221 bye\r\n",
            _ => "502 not here\r\n",
        };
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        if line == "STARTTLS"
            && let Some(acceptor) = acceptor
        {
            let secured = acceptor.accept(stream.into_inner()).await.unwrap();
            let secured: Box<dyn Duplex> = Box::new(secured);
            stream = BufReader::new(secured);
        }
        if line == "QUIT" {
            break;
        }
    }
    kept.lock().unwrap().push(said);
}
