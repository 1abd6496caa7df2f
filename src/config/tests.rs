use std::path::Path;

use tunnel::tls::Oldest;

use super::*;

#[test]
fn every_mistake_is_told_at_once_with_its_line() {
    let text = r#"data = ""
domain = "not a domain"
names = ["ok.example.com", "-bad", 7]
nmaes = []

[listen]
https = "443"
quic = 443
sssh = "0.0.0.0:22"

[limits]
max_sessions = 0

[log]
level = "chatty"
format = "xml"
"#;
    let mistakes = Config::parse(text, Path::new("/etc/adit")).unwrap_err();
    let lines: Vec<usize> = mistakes.iter().map(|mistake| mistake.line).collect();
    assert_eq!(lines, [1, 2, 3, 3, 4, 7, 8, 9, 12, 15, 16], "{mistakes:#?}");
    let all = listed(Path::new("relay.toml"), &mistakes);
    for expected in [
        "relay.toml:2: `domain`: expected a DNS name such as adit.example.com, found \"not a domain\"",
        "relay.toml:8: `listen.quic`: expected an IP address and port such as 0.0.0.0:443 or [::]:443, found 443",
        "relay.toml:9: `listen.sssh` is not known here: expected admin, https, mysql, mysql_tls, postgres, postgres_tls, quic, redis, redis_tls, ssh",
        "relay.toml:12: `limits.max_sessions`: expected a whole number from 1 to 1000000, found 0",
    ] {
        assert!(all.contains(expected), "{expected}\n{all}");
    }
}

#[test]
fn mistakes_of_form_do_not_hide_the_others() {
    let text = "domain = \n[listen]\nhttps = 'x'\n";
    let mistakes = Config::parse(text, Path::new(".")).unwrap_err();
    assert!(mistakes.iter().any(|mistake| mistake.line == 1), "{mistakes:?}");
    assert!(mistakes.iter().any(|mistake| mistake.line == 3), "{mistakes:?}");
}

#[test]
fn a_domain_is_enough() {
    let config = Config::parse("domain = \"Adit.example.com\"", Path::new("/srv/adit")).unwrap();
    assert_eq!(config.domain, "adit.example.com");
    assert_eq!(config.data, Path::new("/srv/adit/."));
    assert_eq!(config.listen.ssh.port(), 2222);
    assert_eq!(config.limits, Limits::default());
}

#[test]
fn the_admin_listener_is_for_this_machine_only() {
    let parse = |address: &str| {
        let text = format!("domain = 'adit.example.com'\n[listen]\nadmin = '{address}'");
        Config::parse(&text, Path::new("."))
    };
    for good in ["127.0.0.1:9090", "[::1]:9090", "127.0.0.2:0"] {
        assert_eq!(parse(good).unwrap().listen.admin, Some(good.parse().unwrap()));
    }
    for bad in ["0.0.0.0:9090", "[::]:9090", "10.0.0.1:9090", "9090", "localhost:9090"] {
        let mistakes = parse(bad).unwrap_err();
        assert_eq!(mistakes[0].line, 3);
        assert!(mistakes[0].text.contains("for this machine only"), "{mistakes:?}");
    }
}

#[test]
fn the_ssh_doors_texts_are_words_and_not_too_many() {
    let parse = |lines: &str| {
        let text = format!("domain = 'adit.example.com'\n[ssh]\n{lines}");
        Config::parse(&text, Path::new(".")).map(|config| config.ssh)
    };
    assert_eq!(parse("").unwrap(), Texts::default());
    let texts =
        parse("banner = \"\"\"\nFor staff only.\nAll is recorded.\n\"\"\"\nhelp = 'ask #infra'");
    let texts = texts.unwrap();
    assert_eq!(texts.banner.as_deref(), Some("For staff only.\nAll is recorded.\n"));
    assert_eq!(
        (texts.token_prompt.as_str(), texts.help.as_deref()),
        ("Access token:", Some("ask #infra"))
    );
    for wrong in [
        "banner = \"a\\u001b[2J\"".to_owned(),
        format!("banner = '{}'", "x".repeat(2049)),
        "token_prompt = \"two\\nlines\"".to_owned(),
        "menu_title = ''".to_owned(),
        "help = 7".to_owned(),
        "prompt = 'x'".to_owned(),
    ] {
        assert_eq!(parse(&wrong).unwrap_err().len(), 1, "{wrong}");
    }
}

#[test]
fn an_empty_file_misses_the_domain() {
    let mistakes = Config::parse("", Path::new(".")).unwrap_err();
    assert_eq!(mistakes.len(), 1);
    assert!(mistakes[0].text.contains("`domain` is missing"), "{mistakes:?}");
}

#[test]
fn the_packaged_example_has_no_mistakes_and_says_the_defaults() {
    let text = include_str!("../../packaging/relay.toml");
    let shown = Config::parse(text, Path::new("/etc/adit")).unwrap();
    let minimal = "data = '/var/lib/adit'\ndomain = 'adit.example.com'";
    assert_eq!(shown, Config::parse(minimal, Path::new("/etc/adit")).unwrap());
}

#[test]
fn tls_is_1_3_unless_the_file_says_1_2() {
    let parse = |lines: &str| {
        let text = format!("domain = 'adit.example.com'\n[tls]\n{lines}");
        Config::parse(&text, Path::new("/etc/adit")).map(|config| config.tls.oldest)
    };
    assert_eq!(parse("").unwrap(), Oldest::Tls13);
    assert_eq!(parse("minimum = '1.3'").unwrap(), Oldest::Tls13);
    assert_eq!(parse("minimum = '1.2'").unwrap(), Oldest::Tls12);
    for wrong in ["'1.1'", "'TLSv1.2'", "1.2"] {
        let mistakes = parse(&format!("minimum = {wrong}")).unwrap_err();
        let said = "`tls.minimum`: expected 1.2 or 1.3";
        assert!(mistakes[0].text.starts_with(said), "{wrong}: {mistakes:?}");
    }
}

#[test]
fn a_ca_for_certificates_needs_an_agreement_and_says_where_it_looks() {
    let parse = |lines: &str| {
        let text = format!("domain = 'adit.example.com'\n[tls.acme]\n{lines}");
        Config::parse(&text, Path::new("/etc/adit")).map(|config| config.tls.acme.unwrap())
    };
    let usual = parse("agree = true\ncontact = ['a@example.com', 'mailto:b@example.com']").unwrap();
    assert_eq!(usual.directory, "https://acme-v02.api.letsencrypt.org/directory");
    assert_eq!(usual.contact, ["mailto:a@example.com", "mailto:b@example.com"]);
    assert_eq!(usual.challenge, Challenge::TlsAlpn);
    let http = parse("agree = true\nchallenge = 'http-01'\nca_file = 'ca.pem'").unwrap();
    assert_eq!(http.challenge, Challenge::Http("0.0.0.0:80".parse().unwrap()));
    assert_eq!(http.ca_file.as_deref(), Some(Path::new("/etc/adit/ca.pem")));
    let wrong = [
        ("", "`tls.acme.agree`: expected true: you agree to the CA's terms of service"),
        ("agree = false", "`tls.acme.agree`: expected true"),
        ("agree = true\ndirectory = 'http://ca.test/dir'", "`tls.acme.directory`"),
        ("agree = true\ncontact = ['nobody']", "`tls.acme.contact`"),
        ("agree = true\nchallenge = 'dns-01'", "`tls.acme.challenge`"),
        ("agree = true\nhttp_listen = '0.0.0.0:80'", "`tls.acme.http_listen`"),
    ];
    for (lines, said) in wrong {
        let mistakes = parse(lines).unwrap_err();
        assert!(mistakes[0].text.starts_with(said), "{lines}: {mistakes:?}");
    }
}

#[test]
fn a_database_is_a_url_or_a_path_and_a_mistake_in_it_is_not_shown() {
    let parse = |text: &str| {
        Config::parse(&format!("domain = 'adit.example.com'\n{text}"), Path::new("/srv/adit"))
    };
    let at = |text: &str| parse(text).unwrap().database.at.unwrap().to_string();
    assert_eq!(at("database = 'postgres://u:hunter2@db:5433/adit'"), "postgres://db:5433/adit");
    assert_eq!(at("database = 'rows/adit.db'"), "/srv/adit/rows/adit.db");
    let wrong = "database = 'postgres://u:hunter2@db/adit?sslmode=verify_full'";
    let mistakes = format!("{:?}", parse(wrong).unwrap_err());
    assert!(mistakes.contains("sslmode") && mistakes.contains("verify-full"), "{mistakes}");
    assert!(!mistakes.contains("hunter2") && !mistakes.contains("verify_full"), "{mistakes}");
    for bad in ["mysql://u:hunter2@db/adit", "postgres://u:hunter2@[::/adit", ""] {
        let mistakes = parse(&format!("database = '{bad}'")).unwrap_err();
        assert_eq!(mistakes.len(), 1);
        assert!(!format!("{mistakes:?}").contains("hunter2"), "{mistakes:?}");
    }
}

#[test]
fn a_databases_password_comes_from_its_file() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("password"), "hunter2\n").unwrap();
    let text = "domain = 'adit.example.com'\ndatabase = 'postgres://u@db/adit'\n\
                database_password_file = 'password'";
    let config = Config::parse(text, folder.path()).unwrap();
    let with = "postgres://u:hunter2@db/adit".parse().unwrap();
    assert_eq!(config.database.location(&config.data).unwrap(), with);
    std::fs::remove_file(folder.path().join("password")).unwrap();
    assert!(config.database.location(&config.data).is_err());
}

#[test]
fn destinations_of_the_audit_log_are_read_and_their_mistakes_told_with_their_lines() {
    let text = r#"domain = "adit.example.com"
[[audit.destination]]
name = "archive"
kind = "file"
path = "audit.jsonl"

[[audit.destination]]
name = "siem"
kind = "syslog"
url = "tls://logs.example.com"
ca_file = "/etc/adit/siem.pem"
certificate_file = "own.pem"
key_file = "own-key.pem"
from = "now"

[[audit.destination]]
name = "hook"
kind = "webhook"
url = "https://hooks.example.com/adit?key=canary"
secret_file = "hook-secret"
"#;
    let audit = Config::parse(text, Path::new("/srv/adit")).unwrap().audit;
    let [archive, siem, hook] = audit.destinations.as_slice() else { panic!("{audit:?}") };
    let file = FileTo { path: "/srv/adit/audit.jsonl".into(), max_bytes: 100 << 20, keep: 10 };
    assert_eq!((&archive.to, archive.from_now), (&To::File(file), false));
    assert_eq!(
        (siem.to.to_string().as_str(), siem.from_now),
        ("tls://logs.example.com:6514", true)
    );
    let To::Syslog(SyslogTo { tls: Some(tls), .. }) = &siem.to else { panic!("{siem:?}") };
    assert_eq!(tls.ca.as_deref(), Some(Path::new("/etc/adit/siem.pem")));
    assert_eq!(tls.shown, Some(("/srv/adit/own.pem".into(), "/srv/adit/own-key.pem".into())));
    assert_eq!(hook.to.to_string(), "https://hooks.example.com/adit");

    let text = r#"domain = "adit.example.com"
[[audit.destination]]
kind = "file"

[[audit.destination]]
name = "a"
kind = "smoke"
height = 3

[[audit.destination]]
name = "b"
kind = "syslog"
url = "tcp://10.0.0.1:514"
secret_file = "x"

[[audit.destination]]
name = "b"
kind = "webhook"
url = "http://localhost/"

[[audit.destination]]
name = "c"
kind = "syslog"
url = "tls://logs.example.com"
key_file = "x"

[[audit.destination]]
name = "d"
kind = "syslog"
url = "tcp://127.0.0.1"
ca_file = "x"
"#;
    let mistakes = Config::parse(text, Path::new("/srv/adit")).unwrap_err();
    let told: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
    for (line, start) in [
        (2, "`audit.destination.name` is missing"),
        (2, "`audit.destination.path` is missing"),
        (7, "`audit.destination.kind`: expected file, syslog or webhook, found \"smoke\""),
        (13, "`audit.destination.url`: expected tls://host:port"),
        (14, "`audit.destination.secret_file` is not known here"),
        (19, "`audit.destination.url`: expected an https:// URL"),
        (16, "`audit.destination.secret_file` is missing"),
        (21, "`audit.destination.certificate_file` is missing"),
        (31, "`audit.destination.ca_file` is not known here"),
    ] {
        let start = format!("{line}: {start}");
        assert!(told.iter().any(|told| told.starts_with(&start)), "{start}: {told:#?}");
    }
    assert_eq!(told.len(), 9, "{told:#?}");
    let twice =
        "domain = 'a.example'\n[[audit.destination]]\nname = 'a'\nkind = 'file'\npath = 'x'\n";
    let twice = format!("{twice}{}", &twice[21..]);
    let mistakes = Config::parse(&twice, Path::new(".")).unwrap_err();
    assert_eq!(mistakes[0].to_string(), "6: `audit.destination.name`: \"a\" is taken by another");
}

#[test]
fn a_provider_is_read_with_what_is_usual() {
    let text = "domain = 'adit.example.com'\n[[oidc]]\nname = 'corp'\nissuer = \
        'https://login.example.com'\nclient_id = 'adit'\ngroups = ['a=b=dba']\nprovision = true";
    let config = Config::parse(text, Path::new("/etc/adit")).unwrap();
    let corp = &config.oidc[0];
    assert_eq!((corp.title.as_str(), corp.link_users), ("Sign in with corp", false));
    assert_eq!((corp.user_claim.as_str(), corp.provision), ("preferred_username", true));
    assert_eq!(corp.groups, [("a=b".to_owned(), "dba".parse().unwrap())]);
    let text = "domain = 'adit.example.com'\n[[oidc]]\nname = 'corp'\nissuer = \
        'http://login.example.com'\nlink_users = 'yes'\n[[oidc]]\nname = 'corp'\nissuer = 'https://x'\nclient_id = 'a'";
    let mistakes = Config::parse(text, Path::new("/etc/adit")).unwrap_err();
    let told = listed(Path::new("relay.toml"), &mistakes);
    for part in [
        "`oidc.issuer`: expected",
        "`oidc.client_id` is missing",
        "`oidc.link_users`: expected true or false",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
}

#[test]
fn a_door_of_redis_is_in_the_clear_on_this_machine_only() {
    let parse = |lines: &str| {
        let text = format!("domain = 'adit.example.com'\n[listen]\n{lines}");
        Config::parse(&text, Path::new("/etc/adit")).map(|config| config.listen)
    };
    let plain = parse("redis = '127.0.0.1:6379'\nredis_tls = 'optional'").unwrap();
    assert_eq!((plain.redis.unwrap().port(), plain.redis_plain), (6379, true));
    assert!(!parse("redis = '0.0.0.0:6379'").unwrap().redis_plain);
    for wrong in ["redis = '0.0.0.0:6379'\nredis_tls = 'optional'", "redis_tls = 'optional'"] {
        let mistakes = parse(wrong).unwrap_err();
        assert!(mistakes[0].text.contains("`listen.redis_tls`"), "{mistakes:?}");
    }
}

#[test]
fn one_of_several_relays_has_a_name_and_a_host() {
    let parse = |lines: &str| {
        Config::parse(&format!("domain = 'adit.example.com'\n{lines}"), Path::new("."))
    };
    assert_eq!(parse("").unwrap().cluster, None);
    let config = parse("[cluster]\nname = 'relay-1'\nhost = '2001:db8::1'\n").unwrap();
    let cluster = config.cluster.unwrap();
    assert_eq!((cluster.name.as_str(), cluster.host.as_str()), ("relay-1", "2001:db8::1"));
    for (bad, lines) in [
        ("[cluster]\n", 2),
        ("[cluster]\nname = 'Not A Name'\nhost = 'x y'\n", 2),
        ("[cluster]\nname = 'a'\nhost = '*.example.com'\n", 1),
        ("[cluster]\nname = 'a'\nhost = '10.0.0.1:443'\n", 1),
        ("[cluster]\nname = 'a'\nhost = 'b'\nkey = 'c'\n", 1),
    ] {
        assert_eq!(parse(bad).unwrap_err().len(), lines, "{bad}");
    }
}

#[test]
fn connectors_are_told_of_a_relay_at_an_https_url_and_nowhere_else() {
    let parse = |url: &str| {
        let cluster = format!("[cluster]\nname = 'a'\nhost = 'b'\nconnectors = '{url}'\n");
        let config = Config::parse(&format!("domain = 'x.test'\n{cluster}"), Path::new("."));
        config.map(|config| config.cluster.unwrap().connectors.unwrap())
    };
    let table = [
        ("https://Relay-2.example.com", "https://relay-2.example.com", "relay-2.example.com:443"),
        (
            "https://relay-2.example.com:443/",
            "https://relay-2.example.com",
            "relay-2.example.com:443",
        ),
        ("https://r2.x.test:8443", "https://r2.x.test:8443", "r2.x.test:8443"),
        ("https://[2001:db8::1]", "https://[2001:db8::1]", "[2001:db8::1]:443"),
        ("https://192.0.2.7:1", "https://192.0.2.7:1", "192.0.2.7:1"),
    ];
    for (text, url, quic) in table {
        let parsed = parse(text).unwrap();
        assert_eq!((parsed.to_string(), parsed.quic(443, 443)), (url.to_owned(), quic.to_owned()));
    }
    assert_eq!(parse("https://r2.x.test:8443").unwrap().quic(4433, 443), "r2.x.test:4433");
    for bad in [
        "http://r.test",
        "r.test",
        "https://",
        "https://u:p@r.test",
        "https://r.test:",
        "https://r.test:0",
        "https://r.test:99999",
        "https://r.test/adit",
        "https://r.test?x",
        "https://*.r.test",
        "https://a b",
    ] {
        let mistakes = parse(bad).unwrap_err();
        assert!(mistakes[0].text.contains("`cluster.connectors`"), "{bad}: {mistakes:?}");
    }
}
