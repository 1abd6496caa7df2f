//! Chromium, as a person would use it.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::support::SOON;

/// A browser with a profile of its own. It ends with this.
pub(crate) struct Chromium {
    driver: Child,
    answers: Receiver<String>,
}

impl Chromium {
    pub(crate) fn start(dir: &Path, name: &str) -> Result<Self> {
        let script = dir.join("chromium.js");
        std::fs::write(&script, include_str!("chromium.js"))?;
        let mut command = Command::new("node");
        command.arg(script).arg("/usr/bin/chromium").arg(dir.join(name));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut driver = command.spawn().context("start node")?;
        let lines = BufReader::new(driver.stdout.take().context("its output")?).lines();
        let (sender, answers) = channel();
        // It ends with the driver's output.
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Self { driver, answers })
    }

    pub(crate) fn goto(&mut self, tab: &str, url: &str) -> Result<()> {
        self.run(&json!({ "tab": tab, "goto": url })).map(drop)
    }

    /// What an expression gives in a tab's page, once that is anything.
    pub(crate) fn until(&mut self, tab: &str, expression: &str) -> Result<Value> {
        self.run(&json!({ "tab": tab, "until": expression }))
    }

    /// A picture of a tab.
    pub(crate) fn shot(&mut self, tab: &str, file: &Path, dark: bool, width: u32) -> Result<()> {
        let shot = json!({ "tab": tab, "shot": file, "dark": dark, "width": width });
        self.run(&shot).map(drop)
    }

    fn run(&mut self, command: &Value) -> Result<Value> {
        let input = self.driver.stdin.as_mut().context("its input")?;
        writeln!(input, "{command}")?;
        let line = self.answers.recv_timeout(SOON).context("Chromium does not answer")?;
        let answer: Value = serde_json::from_str(&line)?;
        match answer.get("error") {
            Some(error) => bail!("{error}"),
            None => Ok(answer["value"].clone()),
        }
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // The end of its input is the browser's.
        drop(self.driver.stdin.take());
        drop(self.driver.wait());
    }
}
