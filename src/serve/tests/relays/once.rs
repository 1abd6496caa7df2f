//! What is to be done once, however many relays could do it.

use api::RequestState;
use serde_json::json;
use store::NewRequest;

use super::*;
use crate::deliver::tests::receivers::{Hook, Whim};
use crate::retention;

/// Each relay has the recordings of its own sessions, and one setting says how long all are kept.
#[tokio::test(flavor = "multi_thread")]
async fn each_relay_deletes_the_recordings_of_its_own_sessions_once_by_a_setting_of_both() {
    let mut pair = Box::pin(Pair::start()).await;
    pair.one.apply(RECORDED).await;
    pair.two.until_policy(&pair.one).await;
    let (here, there) = (pair.one.recorded().await, pair.two.recorded().await);
    let now = SystemTime::now();
    let days = |days: u64| now + Duration::from_secs(days * 24 * 3600);
    let has = |relay: &Running, session| relay.state.recordings.read(session).unwrap().is_some();
    let left = || (has(&pair.one, here), has(&pair.two, there));
    for relay in [&pair.one, &pair.two] {
        retention::look(&relay.state, days(49)).await;
    }
    assert_eq!(left(), (true, true));
    // A relay that is not there has nothing deleted, and is not stood in for.
    retention::look(&pair.one.state, days(51)).await;
    assert_eq!(left(), (false, true));
    for _ in 0..2 {
        tokio::join!(
            retention::look(&pair.one.state, days(51)),
            retention::look(&pair.two.state, days(51))
        );
    }
    assert_eq!(left(), (false, false));
    for relay in [&pair.one, &pair.two] {
        assert_eq!(files(&relay.dir.path().join("recordings")), Vec::<String>::new());
    }
    let mut removed = pair.events("recording.removed").await;
    removed.sort_by_key(|event| event["session"].to_string());
    let mut sessions = [here, there].map(|session| json!(session));
    sessions.sort_by_key(ToString::to_string);
    let told: Vec<_> = removed.iter().map(|event| event["session"].clone()).collect();
    assert_eq!(told, sessions);
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_is_told_of_a_request_once_whichever_relay_it_was_made_at() {
    let hook = Hook::start(vec![Whim::Late]).await;
    let channel = format!(
        "domain = 'relay.test'\n[[notify]]\nname = 'oncall'\nkind = 'webhook'\n\
         url = 'http://{}/hook'\nsecret_file = 'secret'\n",
        hook.address
    );
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("secret"), "0123456789abcdef\n").unwrap();
    let notify = Config::parse(&channel, folder.path()).unwrap().notify;
    let mut pair = Box::pin(Pair::configured(|config| config.notify.clone_from(&notify))).await;
    pair.one.apply(REQUESTABLE).await;
    let store = &pair.one.state.store;
    let application = store.applications().await.unwrap().remove(0).id;
    let mut asked = Vec::new();
    for (relay, user) in [(&pair.one, "alice"), (&pair.two, "bob")] {
        let user = store.user(&user.parse().unwrap()).await.unwrap().unwrap().id;
        let (reason, duration) = ("on call".to_owned(), Duration::from_secs(7200));
        let new = NewRequest { user, application, reason, duration };
        let request = store.ask_access(new, SystemTime::now()).await.unwrap().id;
        relay.state.notices.tell(request, RequestState::Pending).await;
        asked.push(json!(request));
    }
    let told = async {
        while pair.events("notice.sent").await.len() < asked.len() {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(Duration::from_secs(20), told).await.expect("both are told");
    let posts = hook.posts.lock().unwrap().clone();
    let posted = posts.iter().map(|post| {
        let body: serde_json::Value = serde_json::from_str(&post.body).unwrap();
        body["request"]["id"].clone()
    });
    let noted = pair.events("notice.sent").await.into_iter().map(|event| event["request"].clone());
    for mut requests in [posted.collect::<Vec<_>>(), noted.collect()] {
        requests.sort_by_key(ToString::to_string);
        asked.sort_by_key(ToString::to_string);
        assert_eq!(requests, asked);
    }
    pair.stop().await;
}

impl Pair {
    async fn events(&self, action: &str) -> Vec<serde_json::Value> {
        let rows = self.one.state.store.audit_after(0, 1000).await.unwrap();
        rows.into_iter().filter(|row| row.action == action).map(|row| row.event).collect()
    }
}

impl Running {
    /// A session of the admin that was recorded, and is over.
    async fn recorded(&self) -> SessionId {
        let (_, agent) = self.agent("admin").await;
        let who = self.state.authn.agent(&agent, PEER.into()).unwrap();
        let (policy, now) = (self.state.broker.policy(), SystemTime::now());
        let login = Some("root".to_owned());
        let context = Context { from: PEER.into(), login, database: None, keeps: Keeps::SSH };
        let application = policy.find("web1", &who).unwrap();
        let grant = policy.authorize(&who, application, context, now).unwrap();
        let session = self.state.broker.open(grant, Door::Ssh, now).await.unwrap();
        let id = session.id();
        assert!(session.tape().is_some());
        session.end(EndReason::Closed, access::Side::Client);
        self.state.recordings.finished().await;
        id
    }
}

/// The names of files below a folder.
fn files(folder: &std::path::Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path.display().to_string()),
        }
    }
    found
}

const RECORDED: &str = r#"
[settings]
recording_days = 50

[[site]]
name = "hq"

[[application]]
name = "web1"
site = "hq"
kind = "ssh"
address = "127.0.0.1:7"

[[grant]]
user = "admin"
application = "web1"
recording = "required"
"#;

const REQUESTABLE: &str = r#"
[[site]]
name = "hq"

[[user]]
name = "alice"

[[user]]
name = "bob"

[[application]]
name = "vault"
site = "hq"
kind = "tcp"
address = "vault:8200"
requestable = true
"#;
