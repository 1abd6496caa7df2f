//! What auditors make of recorded terminals: what was typed, which commands, and searching.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testkit::eventually;

use crate::recording::{printed, recorded_as};
use crate::support::{SOON, World};

#[test]
fn the_commands_typed_at_a_shell_are_listed_as_its_terminal_showed_them() -> Result<()> {
    let world = recorded_as("required")?;
    for shell in [BASH, SH] {
        let mut terminal = Terminal::open(&world, shell.command)?;
        for (keys, shown) in shell.talk {
            terminal.type_keys(keys)?;
            terminal.wait_for(shown)?;
        }
        let id = terminal.end(&world)?;
        let rows = world.deployment.admin_json(&["session", "commands", &id])?;
        let rows = rows.as_array().context("a list")?;
        let told: Vec<_> = rows.iter().filter_map(|row| row["text"].as_str()).collect();
        assert_eq!(told, shell.commands, "{}", shell.command);
        let times: Vec<_> = rows.iter().filter_map(|row| row["at_ms"].as_u64()).collect();
        assert!(times.is_sorted() && times.len() == told.len());
        let input = printed(&world, &id, &[])?;
        assert!(!input.contains("\"input\""), "what is typed is kept only where that is asked for");
    }
    let viewed = world.deployment.audit("recording.viewed")?;
    assert!(viewed.len() >= 2 && viewed.iter().all(|row| row["user"] == "admin"));
    Ok(())
}

#[test]
fn what_is_typed_is_kept_where_the_grant_asks_for_it_but_for_what_was_not_shown() -> Result<()> {
    let world = recorded_as("with-input")?;
    let mut terminal = Terminal::open(&world, BASH.command)?;
    terminal.wait_for("adit> ")?;
    for (keys, shown) in [
        ("echo visible\r", "visible\r\n"),
        ("", "adit> "),
        ("read -sp \"$PS2\" secret; echo $secret | tr a-z b-za\r", "more> "),
        ("hunter2\r", "ivoufs2\r\n"),
        ("", "adit> "),
        ("exit\r", "exit\r\n"),
    ] {
        terminal.type_keys(keys)?;
        terminal.wait_for(shown)?;
    }
    let id = terminal.end(&world)?;
    let lines = printed(&world, &id, &[])?;
    let lines: Vec<Value> = lines.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let typed = lines.iter().filter(|line| line["what"] == "input");
    let typed: Vec<_> = typed.map(|it| (it["text"].as_str(), it["hidden"] == true)).collect();
    assert_eq!(typed[0], (Some("echo visible\r"), false), "{typed:?}");
    assert!(typed.contains(&(Some("\r"), true)), "{typed:?}");
    let cast = printed(&world, &id, &["--asciicast"])?;
    assert!(cast.contains(r#""i","echo visible\r""#) && cast.contains(r#""i","[not shown]\r""#));
    assert!(!cast.contains("hunter2"));
    let played = world.deployment.admin(&["session", "play", &id, "--speed", "100"])?.ok()?;
    assert!(played.contains("visible") && !played.contains("[not shown]"), "{played}");
    Ok(())
}

#[test]
fn recordings_are_searched_for_what_their_terminals_showed() -> Result<()> {
    let world = recorded_as("required")?;
    let mut terminal = Terminal::open(&world, BASH.command)?;
    for (keys, shown) in [
        ("", "adit> "),
        // It comes in two pieces, with colours in it, and nowhere else.
        (
            "printf 'Kernel \\033[31mPA'; sleep 1; printf 'NIC\\033[0m at %d\\n' $((40+2))\r",
            "at 42",
        ),
        ("exit\r", "exit\r\n"),
    ] {
        terminal.type_keys(keys)?;
        terminal.wait_for(shown)?;
    }
    let id = terminal.end(&world)?;
    let search = |more: &[&str]| {
        let all = [&["recording", "search", "kernel panic at 42"], more].concat();
        world.deployment.admin_json(&all)
    };
    let found = search(&["--user", "alice", "--application", "web1", "--since", "1h"])?;
    assert_eq!(found.as_array().map(Vec::len), Some(1), "{found}");
    assert_eq!(
        (&found[0]["session"], &found[0]["line"]),
        (&id.into(), &"Kernel PANIC at 42".into())
    );
    for more in [&["--user", "bob"][..], &["--application", "web2"], &["--until", "1h"]] {
        assert_eq!(search(more)?.as_array().map(Vec::len), Some(0), "{more:?}");
    }
    let searched = world.deployment.audit("recording.searched")?;
    assert_eq!(searched.len(), 4);
    assert_eq!(
        (&searched[0]["user"], &searched[0]["event"]["text"]),
        (&"admin".into(), &"kernel panic at 42".into())
    );
    Ok(())
}

struct Shell {
    command: &'static str,
    /// What is typed, and what is shown then.
    talk: &'static [(&'static str, &'static str)],
    commands: &'static [&'static str],
}

const BASH: Shell = Shell {
    command: "PS1='adit> ' PS2='more> ' TERM=xterm exec bash --norc --noprofile -i",
    talk: &[
        ("", "adit> "),
        ("echo one\r", "one\r\n"),
        ("", "adit> "),
        ("echo tyop\u{7f}\u{7f}\u{7f}\u{7f}two\r", "two\r\n"),
        ("", "adit> "),
        ("\u{1b}[A\u{1b}[A", "one"),
        ("\r", "one\r\n"),
        ("", "adit> "),
        ("\u{12}tw", "tw\u{1b}[27m"),
        ("\r", "two\r\n"),
        ("", "adit> "),
        ("LESS= less /etc/passwd\r", "\u{1b}[?1049h"),
        ("\r", ""),
        ("j\r", ""),
        ("q", "\u{1b}[?1049l"),
        ("vim -u NONE -n\r", "\u{1b}[?1049h"),
        ("iecho rubbish\r", "rubbish"),
        ("\u{1b}:q!\r", "\u{1b}[?1049l"),
        ("read -sp \"$PS2\" secret\r", "more> "),
        ("hunter2\r", "adit> "),
        ("gone\u{3}", "^C"),
        ("echo 'a > b'\r", "\ra > b\r\n"),
        ("", "adit> "),
        ("echo a; echo b\recho c\r", "echo c"),
        ("", "c\r\n"),
        ("", "adit> "),
        ("exit\r", "exit\r\n"),
    ],
    commands: &[
        "echo one",
        "echo two",
        "echo one",
        "echo two",
        "LESS= less /etc/passwd",
        "vim -u NONE -n",
        "read -sp \"$PS2\" secret",
        "echo 'a > b'",
        "echo a; echo b",
        "echo c",
        "exit",
    ],
};

/// The terminal's own editing, without a history.
const SH: Shell = Shell {
    command: "PS1='% ' TERM=xterm exec dash -i",
    talk: &[
        ("", "% "),
        ("echo one\r", "\r\none\r\n"),
        ("", "% "),
        ("echo tyop\u{7f}\u{7f}\u{7f}\u{7f}two\r", "\r\ntwo\r\n"),
        ("", "% "),
        ("stty -echo; echo ready; read secret; stty echo\r", "\r\nready\r\n"),
        ("hunter2\r", "% "),
        ("exit\r", "exit"),
    ],
    commands: &["echo one", "echo two", "stty -echo; echo ready; read secret; stty echo", "exit"],
};

/// A terminal at `web1`, and what it has shown.
struct Terminal {
    client: Child,
    keys: ChildStdin,
    shown: Arc<Mutex<Vec<u8>>>,
    /// How much of that was waited for.
    seen: usize,
}

impl Terminal {
    fn open(world: &World, command: &str) -> Result<Self> {
        let token = world.token("web1")?;
        let mut ssh = world.ssh(&world.at("web1"), &token)?;
        ssh.env("TERM", "xterm").args(["-tt", command]);
        ssh.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut client = ssh.spawn()?;
        let keys = client.stdin.take().context("an input")?;
        let mut output = client.stdout.take().context("an output")?;
        let shown = Arc::new(Mutex::new(Vec::new()));
        let kept = shown.clone();
        // It ends with the client, which is ended below.
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = output.read(&mut buffer) {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.extend_from_slice(&buffer[..length]);
            }
        });
        Ok(Self { client, keys, shown, seen: 0 })
    }

    fn type_keys(&mut self, keys: &str) -> Result<()> {
        self.keys.write_all(keys.as_bytes())?;
        Ok(self.keys.flush()?)
    }

    fn wait_for(&mut self, text: &str) -> Result<()> {
        let find = || {
            let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
            let at =
                shown[self.seen..].windows(text.len().max(1)).position(|at| at == text.as_bytes());
            at.map(|at| self.seen + at + text.len())
        };
        if text.is_empty() {
            return Ok(());
        }
        let found = eventually(SOON, text, || find().is_some());
        let shown = String::from_utf8_lossy(
            &self.shown.lock().unwrap_or_else(PoisonError::into_inner)[self.seen..],
        )
        .into_owned();
        found.with_context(|| format!("{text:?} in {shown:?}"))?;
        self.seen = find().unwrap_or(self.seen);
        Ok(())
    }

    /// The session, once it and its recording have ended.
    fn end(mut self, world: &World) -> Result<String> {
        ensure!(self.client.wait()?.success(), "the shell has not ended well");
        eventually(SOON, "the recording is whole", || {
            let rows = world.deployment.audit("session.recorded");
            rows.is_ok_and(|rows| rows.len() == sessions_begun(world))
        })?;
        let last = world.deployment.audit("session.recorded")?.pop().context("a recording")?;
        Ok(last["session"].as_str().context("an id")?.to_owned())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        drop(self.client.kill());
        drop(self.client.wait());
    }
}

fn sessions_begun(world: &World) -> usize {
    world.deployment.audit("session.opened").map_or(usize::MAX, |rows| rows.len())
}
