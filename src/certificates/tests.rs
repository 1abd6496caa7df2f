//! Which certificate is shown for which name.

use store::{MasterKey, Store};

use super::*;

#[tokio::test]
async fn a_name_is_shown_the_closest_of_ones_own_certificates_and_else_one_of_the_relays() {
    let (_dir, stage) = Stage::new(&["wiki.example.com", "w.example.com"]).await;
    let (wildcard, exact) = (files(&["*.relay.test"]), files(&["shop.test", "w.example.com"]));
    let all = stage.with(vec![wildcard, exact]);
    let expected = [
        ("wiki-hq.relay.test", Some("*.relay.test")),
        // Two labels are more than a wildcard stands for.
        ("a.wiki-hq.relay.test", None),
        ("w.example.com", Some("shop.test")),
        ("wiki.example.com", Some("wiki.example.com")),
        ("other.example.com", None),
    ];
    for (host, first) in expected {
        let shown = all.find(host, stage.now).map(|pair| pair.names[0].clone());
        assert_eq!(shown.as_deref(), first, "{host}");
    }
    let bare = stage.with(Vec::new());
    let relay = bare.find("wiki-hq.relay.test", stage.now).unwrap();
    assert_eq!(relay.names[..2], ["relay.test", "*.relay.test"]);
    let made = bare.find("w.example.com", stage.now).unwrap();
    let again = bare.find("w.example.com", stage.now + DAY.saturating_mul(59)).unwrap();
    assert!(made.is(&again));
    let late = bare.find("w.example.com", stage.now + DAY.saturating_mul(61)).unwrap();
    assert!(!made.is(&late), "it is made anew a month before its end");
}

#[tokio::test]
async fn a_list_says_for_each_name_what_is_shown_and_until_when() {
    let (_dir, stage) = Stage::new(&["wiki.example.com"]).await;
    let all = stage.with(vec![files(&["wiki.example.com"])]);
    let mut list = all.list();
    list.sort_by(|a, b| a.name.cmp(&b.name));
    let told: Vec<_> = list.iter().map(|row| (row.name.as_str(), row.source)).collect();
    let expected = [
        ("wiki-hq.relay.test", CertificateSource::Relay),
        ("wiki.example.com", CertificateSource::Files),
    ];
    assert_eq!(told, expected);
    assert!(list.iter().all(|row| row.until > Some(stage.now) && row.application == "wiki.hq"));
    let bare = stage.with(Vec::new());
    let until = |bare: &Certificates| {
        bare.list().into_iter().find(|row| row.name == "wiki.example.com").unwrap().until
    };
    assert_eq!(until(&bare), None, "nobody has asked for it");
    bare.find("wiki.example.com", stage.now);
    assert!(until(&bare).is_some());
}

#[test]
fn what_is_no_pair_is_refused_with_words() {
    let make = |names: &[&str]| {
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        (made.cert.pem(), secrecy::SecretString::from(made.signing_key.serialize_pem()))
    };
    let ((first, key), (_, other)) = (make(&["a.test"]), make(&["a.test"]));
    let (nameless, its_key) = make(&[]);
    let cases = [
        (first.as_str(), &other, "key and certificate are not usable together"),
        ("hello", &key, "a certificate is not readable"),
        (first.as_str(), &"hello".into(), "the private key is not readable"),
        (nameless.as_str(), &its_key, "the certificate names no host"),
    ];
    for (chain, key, words) in cases {
        let error = Pair::new(chain, key).unwrap_err();
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        let said = format!("{error}: {}", cause.unwrap_or_default());
        assert!(said.contains(words), "{said}");
    }
}

fn files(names: &[&str]) -> Pair {
    let names: Vec<_> = names.iter().map(ToString::to_string).collect();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    Pair::new(&made.cert.pem(), &made.signing_key.serialize_pem().into()).unwrap()
}

pub(crate) struct Stage {
    pub(crate) store: Store,
    ca: Arc<Ca>,
    relay: ServerCertificate,
    pub(crate) policy: watch::Sender<Arc<PolicySnapshot>>,
    now: SystemTime,
}

impl Stage {
    /// A CA, and the web application wiki.hq with these host names.
    pub(crate) async fn new(hosts: &[&str]) -> (tempfile::TempDir, Self) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("adit.db"), MasterKey::generate()).await.unwrap();
        let now = SystemTime::now();
        let ca = Ca::create(&store, "relay.test", now).await.unwrap();
        let names = crate::ca::server_names("relay.test", &[]);
        let relay = ca.server_certificate(&store, &names, now).await.unwrap();
        let policy = PolicySnapshot::new(access::PolicyData {
            applications: vec![wiki(hosts)],
            ..access::PolicyData::default()
        });
        let (policy, _) = watch::channel(Arc::new(policy));
        (dir, Self { store, ca: Arc::new(ca), relay, policy, now })
    }

    pub(crate) fn with(&self, own: Vec<Pair>) -> Arc<Certificates> {
        let (ca, policy) = (self.ca.clone(), self.policy.subscribe());
        Certificates::new(ca, "relay.test", policy, (&self.relay, own)).unwrap()
    }
}

fn wiki(hosts: &[&str]) -> Application {
    let host_names = hosts.iter().map(|host| host.parse().unwrap()).collect();
    Application {
        id: access::ApplicationId(uuid::Uuid::nil()),
        name: "wiki".parse().unwrap(),
        site: access::Site { id: access::SiteId(uuid::Uuid::nil()), name: "hq".parse().unwrap() },
        kind: Kind::Web,
        address: "wiki.corp:80".parse().unwrap(),
        login: access::Login::Transparent,
        host_key: None,
        legacy_algorithms: false,
        allow_api: false,
        require_active_session: false,
        tags: Default::default(),
        web: access::WebOptions { host_names, ..Default::default() },
        database: Default::default(),
        rdp: Default::default(),
    }
}
