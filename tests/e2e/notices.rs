//! Telling people of requests for access, by a real mail server and a webhook.

use std::fs;
use std::process::Command;
use std::time::SystemTime;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use testkit::{Process, eventually, free_port, run};

use crate::support::{SOON, World, assert_says, certificates};

#[test]
fn an_approver_hears_of_a_request_decides_by_command_line_and_whoever_asked_hears_of_that()
-> Result<()> {
    let mut world = World::start()?;
    world.deployment.apply("[[user]]\nname = \"carol\"\napprover = true\n")?.ok()?;
    world.deployment.admin(&["app", "set", "web1", "--requestable", "yes"])?.ok()?;
    let receivers = Receivers::start(&mut world)?;
    world.deployment.login("bob")?;
    world.deployment.login("carol")?;
    let asked = adit(&world, "bob", &["request", "web1", "--reason", "on call", "--for", "1h"])?;
    let id = asked["id"].as_str().context("an id")?.to_owned();
    let mail = receivers.taken("mail", 1)?.remove(0);
    assert_eq!((&mail["tls"], &mail["login"]), (&json!(true), &json!(true)));
    assert_eq!(mail["to"], json!(["oncall@example.com"]), "{mail}");
    assert_eq!(mail["subject"], "bob asks for web1.hq");
    let text = mail["text"].as_str().unwrap_or_default();
    assert!(text.starts_with("bob asks for web1.hq for 1h: on call."), "{text}");
    assert!(text.contains("/#/requests"), "{text}");
    let admin = ["admin", "users", "ls"];
    assert!(run(world.deployment.adit("carol").args(admin), SOON)?.ok().is_err());
    let decided = ["admin", "requests", "approve", &id, "--comment", "go ahead"];
    assert_eq!(adit(&world, "carol", &decided)?["state"], "approved");
    let mail = receivers.taken("mail", 2)?.remove(1);
    assert_eq!(mail["to"], json!(["bob@example.com"]), "whoever asked, and nobody else");
    let text = mail["text"].as_str().unwrap_or_default();
    assert!(text.contains("approved by carol: go ahead"), "{text}");
    let posts = receivers.said("post", 2)?;
    let told: Vec<_> = posts.iter().map(|post| &post["post"]["event"]).collect();
    assert_eq!(told, ["pending", "approved"]);
    assert!(posts.iter().all(|post| post["genuine"] == true), "{posts:?}");
    assert_eq!(posts[0]["post"]["request"]["id"], id.as_str());
    let reached = adit(&world, "bob", &["ls"])?.to_string();
    assert!(reached.contains("web1"), "{reached}");
    seen_by_the_admin(&world, &id)
}

#[test]
fn approved_access_ends_by_itself_with_a_live_session_and_leaves_its_record() -> Result<()> {
    let world = World::start()?;
    let deployment = &world.deployment;
    deployment.admin(&["app", "set", "web1", "--requestable", "yes"])?.ok()?;
    deployment.login("bob")?;
    let asked = adit(&world, "bob", &["request", "web1", "--reason", "on call", "--for", "8s"])?;
    let id = asked["id"].as_str().context("an id")?.to_owned();
    let approved = ["admin", "requests", "approve", &id, "--json"];
    let approved: Value = serde_json::from_str(&deployment.admin(&approved[1..])?.ok()?)?;
    let ends = approved["ends"].as_u64().context("an end")?;
    let token = deployment.token("bob", "web1", &[])?;
    let mut ssh = world.ssh(&world.at("web1"), &token)?;
    ssh.args(["echo up; sleep 60"]);
    let output = run(&mut ssh, SOON)?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs_f64();
    assert_says(&output, "up");
    assert!(!output.status.success());
    let late = now - f64::from(u32::try_from(ends)?);
    // The end is told in whole seconds; within one after it the session is over.
    assert!((0.0..2.5).contains(&late), "{late} s after its end: {}", output.stderr);
    let receipts = || deployment.audit("access.withdrawn").unwrap_or_default();
    let receipt = |row: &Value| {
        row["event"]["change"] == "expire" && row["event"]["object"].to_string().contains(&id)
    };
    eventually(SOON, "a receipt", || receipts().iter().any(receipt))?;
    let receipt = receipts().into_iter().find(receipt).context("a receipt")?;
    assert_eq!(receipt["event"]["ended"], 1, "{receipt}");
    assert!(receipt["event"]["millis"].as_u64() < Some(1000), "{receipt}");
    let over = || adit(&world, "bob", &["requests"]).is_ok_and(|all| all[0]["state"] == "ended");
    eventually(SOON, "the request has ended", over)
}

/// What was told is in the audit log with who decided, and what can not be told is shown.
fn seen_by_the_admin(world: &World, id: &str) -> Result<()> {
    let channels = || -> Result<Value> { world.deployment.admin_json(&["requests", "channels"]) };
    let behind = || channels().is_ok_and(|all| all[2]["failures"].as_u64() >= Some(2));
    eventually(SOON, "it is tried again", behind)?;
    let all = channels()?;
    assert_eq!(all[2]["waiting"], 2, "{all}");
    assert!(all[2]["error"].as_str().is_some_and(|error| error.contains("refused")), "{all}");
    for told in [&all[0], &all[1]] {
        assert_eq!((&told["waiting"], &told["failures"]), (&json!(0), &json!(0)), "{all}");
    }
    let sent = world.deployment.audit("notice.sent")?;
    let of = |channel: &str| {
        let of = sent.iter().filter(|row| row["event"]["channel"] == channel);
        of.map(|row| row["event"]["told"].as_str().unwrap_or_default()).collect::<Vec<_>>()
    };
    assert_eq!(
        (of("mail"), of("chat")),
        (vec!["pending", "approved"], vec!["pending", "approved"])
    );
    let changed = world.deployment.audit("admin.changed")?;
    let decided = changed.iter().find(|row| row["event"]["change"] == "approve");
    let decided = decided.context("the decision is recorded")?;
    assert_eq!(decided["event"]["actor"], "carol");
    assert!(decided["event"]["object"].as_str().is_some_and(|object| object.contains(id)));
    Ok(())
}

fn adit(world: &World, who: &str, args: &[&str]) -> Result<Value> {
    let said = run(world.deployment.adit(who).args(args).arg("--json"), SOON)?.ok()?;
    Ok(serde_json::from_str(&said)?)
}

/// A mail server and a webhook, of which the relay knows, and of a third that is not there.
struct Receivers(Process);

impl Receivers {
    fn start(world: &mut World) -> Result<Self> {
        let dir = world.deployment.dir().join("receivers");
        fs::create_dir(&dir)?;
        certificates(&dir)?;
        fs::write(dir.join("secret"), "0123456789abcdef\n")?;
        let (mail, hook, nobody) = (free_port()?, free_port()?, free_port()?);
        let mut python = Command::new("/usr/bin/python3");
        python.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/notices.py"));
        python.arg(&dir).args([mail.to_string(), hook.to_string()]);
        let mut process = Process::start("receivers", python, &dir.join("log"))?;
        process.wait_for_log("ready", SOON)?;
        let secret = dir.join("secret");
        let channels = format!(
            "\n[[notify]]\nname = \"mail\"\nkind = \"mail\"\nurl = \"smtp://localhost:{mail}\"\n\
             ca_file = {:?}\nlogin = \"adit\"\npassword_file = {secret:?}\n\
             from = \"adit@example.com\"\nto = [\"gone@example.com\", \"oncall@example.com\"]\n\
             user_domain = \"example.com\"\n\
             [[notify]]\nname = \"chat\"\nkind = \"webhook\"\n\
             url = \"http://127.0.0.1:{hook}/adit\"\nsecret_file = {secret:?}\n\
             [[notify]]\nname = \"nobody\"\nkind = \"webhook\"\n\
             url = \"http://127.0.0.1:{nobody}/\"\nsecret_file = {secret:?}\n",
            dir.join("ca.pem")
        );
        let file = world.deployment.dir().join("relay/relay.toml");
        fs::write(&file, fs::read_to_string(&file)? + &channels)?;
        world.deployment.restart_relay()?;
        Ok(Self(process))
    }

    fn taken(&self, what: &str, count: usize) -> Result<Vec<Value>> {
        Ok(self.said(what, count)?.into_iter().map(|mut line| line[what].take()).collect())
    }

    /// Waits until so many things of a kind were taken.
    fn said(&self, what: &str, count: usize) -> Result<Vec<Value>> {
        let lines = || -> Vec<Value> {
            let log = self.0.log();
            let lines = log.lines().filter_map(|line| serde_json::from_str(line).ok());
            lines.filter(|line: &Value| line.get(what).is_some()).collect()
        };
        eventually(SOON, &format!("{count} of {what}"), || lines().len() >= count)
            .with_context(|| self.0.tail())?;
        Ok(lines())
    }
}
