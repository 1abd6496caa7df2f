//! The audit log in front of somebody who can write to the database.

mod delivery;

use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use testkit::{Deployment, run};

use crate::support::SOON;

#[test]
fn what_somebody_does_to_the_database_is_named_by_both_programs() -> Result<()> {
    let mut world = Deployment::start()?;
    for n in 0..12 {
        world.admin(&["user", "add", &format!("user-{n}")])?.ok()?;
    }
    let noted = world.admin(&["audit", "verify"])?.ok()?;
    let (end, _) = noted.trim().split_once(':').context("SEQ:HASH")?;
    let end: u64 = end.parse()?;
    world.verify_offline(&["--expect", noted.trim()])?.ok()?;
    let backup = world.dir().join("good.db");
    let file = world.dir().join("relay/relay.toml");
    let mut save = Command::new(testkit::bin_dir()?.join("adit-relay"));
    run(save.arg("backup").arg(&backup).arg("--config").arg(&file), SOON)?.ok()?;
    let changed = |seq: u64| json!(["changed", seq]);
    let swap = "UPDATE audit SET seq = -1 WHERE seq = 5; UPDATE audit SET seq = 5 WHERE seq = 6; \
                UPDATE audit SET seq = 6 WHERE seq = -1";
    let insert = "UPDATE audit SET seq = seq + 1000 WHERE seq > 5; \
                  UPDATE audit SET seq = seq - 999 WHERE seq > 5; \
                  INSERT INTO audit (seq, at_ms, action, event, hash) SELECT 6, at_ms, action, event, \
                  hash FROM audit WHERE seq = 4";
    let cases = [
        ("UPDATE audit SET user_name = 'mallory' WHERE seq = 5", vec![changed(5)]),
        ("DELETE FROM audit WHERE seq IN (5, 6)", vec![json!(["missing", 5])]),
        (swap, vec![changed(5), changed(6), changed(7)]),
        (insert, vec![changed(6), changed(7)]),
        ("DELETE FROM audit WHERE seq > 8", vec![json!(["cut-off", 9])]),
    ];
    for (statements, expected) in cases {
        write(&world, statements)?;
        let told = world.admin(&["audit", "verify"])?;
        assert_eq!(told.code(), Some(6), "{statements}: {}", told.both());
        assert!(told.stderr.contains("[audit.damaged]"), "{}", told.both());
        let json = world.admin(&["audit", "verify", "--json"])?;
        let json: Value = serde_json::from_slice(&json.stdout).context(json.both())?;
        let damages = json["damages"].as_array().context("damages")?;
        let each: Vec<_> = damages.iter().map(|one| json!([one["kind"], one["seq"]])).collect();
        assert!(expected.iter().all(|one| each.contains(one)), "{statements}: {each:?}");
        for damage in damages {
            let line = format!("{}: {}", text(&damage["kind"]), text(&damage["detail"]));
            assert!(told.stderr.contains(&line), "{line} in {}", told.both());
        }
        let offline = world.verify_offline(&[])?;
        assert_eq!(offline.code(), Some(6), "{}", offline.both());
        assert!(offline.stderr.contains("audit.damaged"), "{}", offline.both());
        again(&mut world, &backup)?;
    }
    // What was noted elsewhere is missed, wherever the end was moved to.
    write(&world, "DELETE FROM audit WHERE seq > 8")?;
    let anew = "UPDATE audit_head SET seq = 8, hash = (SELECT hash FROM audit WHERE seq = 8)";
    write(&world, anew)?;
    let told = world.verify_offline(&["--expect", noted.trim()])?;
    assert!(told.stderr.contains(&format!("noted: record {end}")), "{}", told.both());
    Ok(())
}

/// Puts the database back as it was, and starts the relay again.
fn again(world: &mut Deployment, backup: &std::path::Path) -> Result<()> {
    world.relay().stop(SOON)?;
    let file = world.dir().join("relay/relay.toml");
    let mut restore = Command::new(testkit::bin_dir()?.join("adit-relay"));
    restore.arg("restore").arg(backup).arg("--force").arg("--config").arg(file);
    run(&mut restore, SOON)?.ok()?;
    world.start_relay()?;
    // Its coming back is a record too: one more after what is cut off.
    world.wait_for_connectors(1)?;
    world.admin(&["audit", "verify"])?.ok().map(drop)
}

/// As somebody does who has the file.
fn write(world: &Deployment, statements: &str) -> Result<()> {
    let program = "import sqlite3, sys\nbase = sqlite3.connect(sys.argv[1], timeout=20)\n\
                   base.executescript(sys.argv[2])";
    let mut python = Command::new("python3");
    python.args(["-c", program]).arg(world.dir().join("relay/adit.db")).arg(statements);
    run(&mut python, SOON)?.ok().map(drop)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
