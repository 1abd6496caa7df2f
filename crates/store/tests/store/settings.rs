//! What holds for the whole relay.

use access::Kind;
use api::{Document, SettingsSpec};
use store::{Apply, Settings, TokenRules};

use crate::support::{Home, apply, now, small};

#[tokio::test]
async fn each_setting_has_a_default_until_it_is_set() {
    let home = Home::new();
    let store = home.with(&small()).await;
    assert_eq!(store.settings().await.unwrap(), Settings::default());
    let version = *store.changed().borrow();
    let changes = apply(&store, &document(&[])).await.unwrap();
    assert_eq!((changes, *store.changed().borrow()), (vec![], version));

    let given =
        [("ssh_key_days", "30"), ("tokens.database.hours", "4"), ("tokens.web.hours", "12")];
    let changes = apply(&store, &document(&given)).await.unwrap();
    let told: Vec<_> = changes.iter().map(|c| format!("{} {}", c.object, c.detail)).collect();
    assert_eq!(told, ["settings ssh_key_days 99 → 30; tokens.database.hours 12 → 4"]);
    assert_eq!(*store.changed().borrow(), version + 1);
    let again = [("tokens.database.reusable", "true")];
    apply(&store, &document(&again)).await.unwrap();

    let settings = home.open().await.settings().await.unwrap();
    assert_eq!(settings.ssh_key_days, 30);
    for kind in [Kind::Postgres, Kind::Mysql, Kind::Redis] {
        assert_eq!(settings.tokens(kind), TokenRules { hours: 4, reusable: true });
    }
    for kind in [Kind::Ssh, Kind::Rdp, Kind::Web, Kind::Tcp] {
        assert_eq!(settings.tokens(kind), TokenRules { hours: 12, reusable: false });
    }
}

#[tokio::test]
async fn settings_go_with_the_export_and_stay_where_the_rest_is_pruned() {
    let home = Home::new();
    let store = home.with(&small()).await;
    let given = [("ssh_key_days", "7"), ("tokens.ssh.hours", "1"), ("tokens.tcp.reusable", "true")];
    apply(&store, &document(&given)).await.unwrap();
    let settings = store.settings().await.unwrap();
    let exported = store.export().await.unwrap().spec;
    let prune = Apply { prune: true, ..Apply::default() };
    assert_eq!(store.apply(&exported, prune, now()).await.unwrap(), []);
    assert_eq!(store.apply(&small(), prune, now()).await.unwrap(), []);
    assert_eq!(store.settings().await.unwrap(), settings);

    let text = serde_json::to_string(&exported.settings).unwrap();
    let read = Document { settings: serde_json::from_str(&text).unwrap(), ..Document::default() };
    let second = Home::new();
    let other = second.open().await;
    apply(&other, &read).await.unwrap();
    assert_eq!(other.settings().await.unwrap(), settings);
}

fn document(given: &[(&str, &str)]) -> Document {
    let mut settings = SettingsSpec::default();
    for (key, value) in given {
        settings.set(key, value).unwrap();
    }
    Document { settings: Some(settings), ..Document::default() }
}
