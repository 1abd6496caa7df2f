//! The portal in Chromium, as people use it. Each journey is a script in `portal/ui/e2e`, driven by
//! Playwright; here are the deployments they walk through.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use testkit::{Process, bin_dir, free_port, run, self_signed};

use crate::support::{SOON, World, application, grant};
use crate::web::nginx;

#[test]
fn a_person_finds_an_application_connects_to_it_and_rolls_its_key() -> Result<()> {
    Stage::start()?.walk("person.mjs")
}

#[test]
fn an_admin_sets_a_site_up_until_a_connection_works() -> Result<()> {
    Stage::start()?.walk("setup.mjs")
}

#[test]
fn an_admin_ends_a_session_plays_a_recording_and_approves_a_request() -> Result<()> {
    Stage::start()?.walk("admin.mjs")
}

#[test]
fn an_approver_who_is_no_admin_decides_in_the_portal_and_has_no_other_page() -> Result<()> {
    Stage::start()?.walk("approver.mjs")
}

#[test]
fn a_terminal_survives_a_broken_network_and_ends_with_its_grant() -> Result<()> {
    Stage::start()?.walk("terminal.mjs")
}

#[test]
fn an_admin_watches_a_terminal_and_ends_it_with_a_word() -> Result<()> {
    Stage::start()?.walk("watch.mjs")
}

#[test]
fn only_the_browser_that_opened_a_terminal_comes_back_to_it_and_by_each_secret_once() -> Result<()>
{
    Stage::start()?.walk("line.mjs")
}

#[test]
fn terminals_are_opened_by_pages_of_the_portal_only() -> Result<()> {
    let stage = Stage::start()?;
    let deployment = &stage.world.deployment;
    let (host, port) = (deployment.domain(), deployment.doors().https);
    let jar = deployment.dir().join("alice.jar");
    let link = stage.told()?["links"]["alice"].as_str().context("a link")?.to_owned();
    let code = link.rsplit('#').next().context("a code")?.to_owned();
    let curl = |path: &str| -> Result<Command> {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-m", "3", "-o", "/dev/null", "-w", "%{http_code}", "--http1.1"]);
        curl.arg("--cacert").arg(deployment.ca_file()).arg("-c").arg(&jar).arg("-b").arg(&jar);
        curl.arg(format!("https://{host}:{port}{path}"));
        Ok(curl)
    };
    let own = format!("Origin: https://{host}:{port}");
    let socket = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"];
    let asked = |headers: &[&str]| -> Result<String> {
        let mut curl = curl("/api/v1/me/terminal")?;
        for header in headers {
            curl.args(["-H", header]);
        }
        Ok(run(&mut curl, SOON)?.text().chars().take(3).collect())
    };
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    let full = [socket.as_slice(), &[key, own.as_str()]].concat();
    assert_eq!(asked(&full)?, "401", "nobody is signed in");
    let mut sign_in = curl("/sign-in")?;
    sign_in.args(["-H", "Sec-Fetch-Site: same-origin", "--data-urlencode"]);
    sign_in.arg(format!("code={code}"));
    assert_eq!(run(&mut sign_in, SOON)?.text(), "303");
    // It is open from here on, and curl waits for what is said there.
    assert_eq!(asked(&full)?, "101");
    let sibling = format!("Origin: https://web1-hq.{host}:{port}");
    for origin in
        [None, Some(sibling.as_str()), Some("Origin: null"), Some("Origin: https://x.test")]
    {
        let mut headers = [socket.as_slice(), &[key]].concat();
        headers.extend(origin);
        assert_eq!(asked(&headers)?, "403", "{origin:?}");
    }
    assert_eq!(asked(&[own.as_str()])?, "426", "no WebSocket");
    assert_eq!(asked(&[socket.as_slice(), &[own.as_str()]].concat())?, "426", "no key");
    let jar = std::fs::read_to_string(&jar)?;
    let cookie = jar.lines().find(|line| line.contains("__Host-adit")).context("a cookie")?;
    let cookie = cookie.split_whitespace().last().context("its value")?;
    let told = json!({ "host": host, "port": port, "ca": deployment.ca_file(),
        "cookie": format!("__Host-adit={cookie}") });
    let mut node = Command::new("node");
    node.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("portal/ui/e2e/http1.mjs"));
    assert_eq!(run(node.env("ADIT_E2E", told.to_string()), SOON)?.ok()?, "done\n");
    Ok(())
}

#[test]
fn every_page_can_be_read_by_everybody_in_light_and_dark_and_at_any_width() -> Result<()> {
    let mut stage = Stage::start()?;
    stage.with_destinations()?;
    stage.walk_part("pages.mjs", "pages")
}

#[test]
fn every_window_and_the_terminal_can_be_read_by_everybody_as_well() -> Result<()> {
    Stage::start()?.walk_part("pages.mjs", "windows")
}

#[test]
fn people_sign_in_by_password_app_and_provider_and_bring_a_machine() -> Result<()> {
    let mut stage = Stage::start()?;
    let told = stage.with_provider()?;
    stage.walk_told("signin.mjs", &told)
}

#[test]
fn connect_has_every_client_of_each_kind() -> Result<()> {
    Stage::start()?.walk("clients.mjs")
}

#[test]
fn who_administers_a_site_has_its_pages_and_sees_how_a_connectors_ways_are() -> Result<()> {
    Stage::start()?.walk("site-admin.mjs")
}

#[test]
fn a_scanner_finds_nothing_at_any_operation_or_page() -> Result<()> {
    let mut stage = Stage::start()?;
    let deployment = &mut stage.world.deployment;
    // It asks faster than any person, and is to be answered, not told to wait.
    let file = deployment.dir().join("relay/relay.toml");
    let text = std::fs::read_to_string(&file)? + "\n[limits]\napi_calls = 100000\n";
    std::fs::write(&file, text)?;
    deployment.restart_relay()?;
    let told = stage.told()?;
    let code = |user: &str| {
        let link = told["links"][user].as_str().unwrap_or_default();
        link.rsplit('#').next().unwrap_or_default().to_owned()
    };
    let deployment = &stage.world.deployment;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let zap = json!({
        "url": deployment.url(), "ca": deployment.ca_file(), "token": deployment.admin_token(),
        "codes": { "admin": code("admin"), "alice": code("alice") },
        "router": std::fs::read_to_string(root.join("src/portal/mod.rs"))?,
        "alone": false,
    });
    let mut node = Command::new("node");
    node.arg(root.join("tests/e2e/zap.mjs")).env("ADIT_ZAP", zap.to_string());
    let said = run(&mut node, JOURNEY)?.ok()?;
    anyhow::ensure!(said.contains(" requests\n"), "{said}");
    Ok(())
}

#[test]
fn the_portal_works_below_a_path_of_a_reverse_proxys_host() -> Result<()> {
    let mut stage = Stage::start()?;
    let proxy = stage.behind_nginx()?;
    let mut told = stage.told()?;
    told["url"] = json!(proxy.url);
    stage.walk_told("below.mjs", &told)?;
    // A proxy that takes the path away itself is answered alike.
    let mut curl = Command::new("curl");
    curl.args(["-sSk", "-m", "10", "-i", &proxy.stripping]).arg("-H");
    let answer = run(curl.arg("Accept: text/html"), SOON)?.ok()?;
    assert!(answer.contains("location: /adit/sign-in\r\n"), "{answer}");
    let mut curl = Command::new("curl");
    curl.args(["-sSk", "-m", "10", &format!("{}sign-in", proxy.stripping)]);
    let page = run(&mut curl, SOON)?.ok()?;
    assert!(page.contains("action=\"/adit/sign-in/password\""), "{page}");
    assert!(!page.contains("=\"/.adit") && page.contains("=\"/adit/.adit"), "{page}");
    Ok(())
}

#[test]
fn people_sign_in_by_every_way_below_a_path_too() -> Result<()> {
    let mut stage = Stage::start()?;
    let proxy = stage.behind_nginx()?;
    let mut told = stage.with_provider()?;
    told["relay"] = json!(stage.world.deployment.url());
    told["url"] = json!(proxy.url);
    stage.walk_told("signin.mjs", &told)
}

#[test]
fn stock_ssh_is_let_in_by_a_browser_with_a_number_that_its_page_gives() -> Result<()> {
    Stage::start()?.walk("ssh.mjs")
}

#[test]
fn forms_say_all_that_applications_and_grants_have_and_keep_what_they_were_given() -> Result<()> {
    Stage::start()?.walk("forms.mjs")
}

#[test]
fn a_passkey_signs_in_alone_and_besides_a_password_until_it_is_taken_away() -> Result<()> {
    Stage::start()?.walk("passkey.mjs")
}

/// A deployment with something of everything.
struct Stage {
    world: World,
    /// Where the script serves a web application.
    web: u16,
}

impl Stage {
    fn start() -> Result<Self> {
        let stage = Self { world: World::start()?, web: free_port()? };
        stage.world.deployment.apply(&stage.document())?.ok()?;
        Ok(stage)
    }

    fn document(&self) -> String {
        let tags = |tags: &str| format!("tags = {{ {tags} }}\n");
        let web = format!("127.0.0.1:{}", self.web);
        [
            "[[user]]\nname = \"eve\"\nauditor = true\n[[user]]\nname = \"robot\"\nmachine = true\n\
             [[user]]\nname = \"dave\"\napprover = true\n",
            "[[group]]\nname = \"dba\"\nmembers = [\"bob\"]\n",
            &(application("wiki", "web", &web) + "allow_api = true\n" + &tags("env = \"prod\"")),
            &(application("orders-db", "postgres", "127.0.0.1:1") + &tags("env = \"prod\"")),
            &(application("sandbox", "ssh", &self.world.sshd.address())
                + "requestable = true\n"
                + &tags("env = \"dev\", team = \"web\"")),
            &(grant("alice", "wiki") + "hours = [\"mon-sun 00:00-24:00\"]\nzone = \"UTC\"\n"),
            "[[grant]]\ngroup = \"dba\"\ntag = \"env=prod\"\nmax_session = \"8h\"\n",
            &(grant("bob", "web1") + "recording = \"required\"\n"),
        ]
        .concat()
    }

    /// Runs a journey; it fails with what it says.
    fn walk(&self, script: &str) -> Result<()> {
        self.walk_told(script, &self.told()?)
    }

    fn walk_part(&self, script: &str, part: &str) -> Result<()> {
        let mut told = self.told()?;
        told["part"] = json!(part);
        self.walk_told(script, &told)
    }

    fn walk_told(&self, script: &str, told: &Value) -> Result<()> {
        let portal = Path::new(env!("CARGO_MANIFEST_DIR")).join("portal/ui/e2e");
        let mut node = Command::new("node");
        node.arg(portal.join(script)).env("ADIT_E2E", told.to_string());
        run(&mut node, JOURNEY)?.ok().context(script.to_owned()).map(drop)
    }

    /// Has the audit log sent to a file, and to a webhook that nobody listens at, which is told of
    /// requests too.
    fn with_destinations(&mut self) -> Result<()> {
        let deployment = &mut self.world.deployment;
        let (dir, port) = (deployment.dir().to_owned(), free_port()?);
        std::fs::write(dir.join("relay/hook.secret"), "0123456789abcdef")?;
        let destinations = format!(
            "\n[[audit.destination]]\nname = \"archive\"\nkind = \"file\"\n\
             path = \"../audit.jsonl\"\n[[audit.destination]]\nname = \"siem\"\n\
             kind = \"webhook\"\nurl = \"http://127.0.0.1:{port}/adit\"\n\
             secret_file = \"hook.secret\"\n[[notify]]\nname = \"chat\"\n\
             kind = \"webhook\"\nurl = \"http://127.0.0.1:{port}/adit\"\n\
             secret_file = \"hook.secret\"\n"
        );
        let file = dir.join("relay/relay.toml");
        std::fs::write(&file, std::fs::read_to_string(&file)? + &destinations)?;
        deployment.relay().stop(SOON)?;
        deployment.start_relay()
    }

    /// nginx in front of the relay at `/adit/`, beside something else.
    fn behind_nginx(&mut self) -> Result<Proxy> {
        let deployment = &mut self.world.deployment;
        let dir = deployment.dir().join("nginx");
        std::fs::create_dir(&dir)?;
        let (port, stripping, relay) = (free_port()?, free_port()?, deployment.doors().https);
        let (certificate, key) = (dir.join("cert.pem"), dir.join("key.pem"));
        let mut openssl = self_signed(&certificate, &key);
        run(openssl.args(["-subj", "/CN=localhost"]), SOON)?.ok()?;
        let tls = format!(
            "ssl_certificate {}; ssl_certificate_key {};",
            certificate.display(),
            key.display()
        );
        let pass = format!(
            "proxy_http_version 1.1; proxy_set_header Host localhost:{port};\n\
             proxy_set_header X-Forwarded-For \"203.0.113.1, 198.51.100.7\";\n\
             proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $upgrading;\n\
             proxy_ssl_verify on; proxy_ssl_trusted_certificate {}; proxy_ssl_name localhost;\n\
             proxy_ssl_server_name on; proxy_ssl_protocols TLSv1.3; proxy_read_timeout 1h;",
            deployment.ca_file().display()
        );
        let both = format!(
            "listen 127.0.0.1:{port} ssl; {tls}\n\
             set $upgrading close; if ($http_upgrade) {{ set $upgrading upgrade; }}\n\
             location /adit {{ proxy_pass https://127.0.0.1:{relay}; {pass} }}\n\
             location /neighbour {{ return 200 'cookies: $http_cookie'; }} }}\n\
             server {{ listen 127.0.0.1:{stripping} ssl; {tls}\n\
             set $upgrading close;\n\
             location /adit/ {{ proxy_pass https://127.0.0.1:{relay}/; {pass} }}"
        );
        let process = nginx::serve(&dir, &format!("127.0.0.1:{stripping}"), &both)?;
        let url = format!("https://localhost:{port}/adit");
        let file = deployment.dir().join("relay/relay.toml");
        let proxy = format!("\n[proxy]\nurl = \"{url}\"\naddresses = [\"127.0.0.1\"]\n");
        std::fs::write(&file, std::fs::read_to_string(&file)? + &proxy)?;
        deployment.restart_relay()?;
        let stripping = format!("https://localhost:{stripping}/adit/");
        Ok(Proxy { url, stripping, _process: process })
    }

    /// Has an OpenID provider in the relay's file, which the script starts, and people with one-time
    /// passwords.
    fn with_provider(&mut self) -> Result<Value> {
        let (port, secret) = (free_port()?, "secret of the relay at the provider");
        let deployment = &mut self.world.deployment;
        let (dir, file) = (deployment.dir().to_owned(), deployment.dir().join("relay/relay.toml"));
        std::fs::write(dir.join("relay/corp.secret"), secret)?;
        let provider = format!(
            "\n[[oidc]]\nname = \"corp\"\ntitle = \"Sign in with Corp\"\n\
             issuer = \"https://localhost:{port}\"\nclient_id = \"adit\"\n\
             client_secret_file = \"corp.secret\"\nca_file = \"../provider.pem\"\n\
             provision = true\ngroups = [\"Engineering=dba\"]\n"
        );
        let text = std::fs::read_to_string(&file)? + &provider;
        std::fs::write(&file, text)?;
        deployment.relay().stop(SOON)?;
        deployment.start_relay()?;
        deployment.admin(&["user", "add", "carol"])?.ok()?;
        deployment.admin(&["settings", "set", "second_factor=admins"])?.ok()?;
        let one_time = |user| -> Result<String> {
            let given = deployment.admin(&["user", "password", user])?.ok()?;
            Ok(given.lines().next().unwrap_or_default().to_owned())
        };
        let (carol, eve) = (one_time("carol")?, one_time("eve")?);
        let more = json!({
            "provider": port,
            "providerSecret": secret,
            "oneTime": carol,
            "oneTimeOfEve": eve,
            "ca": deployment.ca_file(),
            "adminToken": deployment.admin_token(),
        });
        let mut told = self.told()?;
        if let (Value::Object(told), Value::Object(more)) = (&mut told, more) {
            told.extend(more);
        }
        Ok(told)
    }

    fn told(&self) -> Result<Value> {
        let (world, deployment) = (&self.world, &self.world.deployment);
        let link = |user| -> Result<String> {
            let printed = deployment.admin(&["user", "sign-in-link", user])?.ok()?;
            let line = printed.lines().find(|line| line.starts_with("https://"));
            Ok(line.context("a link")?.to_owned())
        };
        Ok(json!({
            "url": deployment.url(),
            "domain": deployment.domain(),
            "links": { "alice": link("alice")?, "bob": link("bob")?, "admin": link("admin")?, "eve": link("eve")?, "dave": link("dave")? },
            "account": world.sshd.account(),
            "sshPort": deployment.doors().ssh,
            "sshd": world.sshd.address(),
            "clientKey": std::fs::read_to_string(world.sshd.client_key())?,
            "hostKey": world.sshd.host_key()?,
            "askpass": world.askpass()?,
            "knownHosts": world.known_hosts(),
            "bin": bin_dir()?,
            "web": self.web,
            "echo": world.echo.address(),
            "dir": deployment.dir(),
            "shots": shots()?,
        }))
    }
}

/// A reverse proxy in front of the relay.
struct Proxy {
    /// Where it hands the path on as it is.
    url: String,
    /// Where it takes the path away.
    stripping: String,
    _process: Process,
}

/// Where pictures of all pages are left to be looked at.
fn shots() -> Result<PathBuf> {
    let shots = bin_dir()?.join("portal-shots");
    std::fs::create_dir_all(&shots)?;
    Ok(shots)
}

const JOURNEY: Duration = Duration::from_secs(230);
