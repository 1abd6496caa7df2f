//! An origin with an OpenAPI description, asked through the relay whatever schemathesis comes up
//! with: each answer has to be the one the origin gives when it is asked itself.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use testkit::{Process, SCHEMATHESIS, free_port, python_with, run};

use super::stage::Stage;
use crate::support::SOON;

#[test]
fn whatever_a_description_allows_is_answered_as_by_the_origin_itself() -> Result<()> {
    let tool = python_with(SCHEMATHESIS)?.join("st");
    let stage = Stage::start()?;
    let dir = stage.deployment.dir().to_owned();
    let (origin, document) = (dir.join("origin.py"), dir.join("openapi.json"));
    std::fs::write(&origin, include_str!("schema_origin.py"))?;
    let mut describe = python();
    std::fs::write(&document, run(describe.arg(&origin).arg("document"), SOON)?.ok()?)?;
    let address = format!("127.0.0.1:{}", free_port()?);
    let mut command = python();
    command.arg(&origin).arg(address.rsplit(':').next().context("a port")?);
    let mut process = Process::start("origin", command, &dir.join("origin.log"))?;
    process.wait_for_log("listening", SOON)?;
    stage.publish("app", &address)?;
    let token = stage.token()?;
    let key = format!("X-Adit-Key: {token}");
    let ways = [(String::new(), Some(key.as_str())), (format!("/odoapi/{token}"), None)];
    for (base, header) in ways {
        let base = stage.url(&base);
        let mut st = asking(&tool, &dir, &document)?;
        st.arg("--tls-verify").arg(stage.deployment.ca_file()).args(["--url", &base]);
        st.env("BASE", &base).env("DIRECT", format!("http://{address}"));
        st.args(header.into_iter().flat_map(|header| ["-H", header]));
        let output = run(&mut st, SOON * 4)?;
        let said = output.both();
        ensure!(output.status.success(), "{said}");
        ensure!(said.contains("No issues found"), "{said}");
    }
    Ok(())
}

fn asking(tool: &Path, dir: &Path, document: &Path) -> Result<Command> {
    std::fs::write(dir.join("hooks.py"), include_str!("schema_hooks.py"))?;
    let mut st = Command::new(tool);
    st.arg("run").arg(document).args(["--phases", "examples,coverage,fuzzing"]);
    st.args(["--checks", "as_direct", "--max-examples", "40"]);
    st.args(["--seed", "7", "--max-redirects", "0", "--warnings", "off", "--no-color"]);
    st.current_dir(dir).env("SCHEMATHESIS_HOOKS", "hooks").env("PYTHONPATH", dir);
    Ok(st)
}

fn python() -> Command {
    Command::new("/usr/bin/python3")
}
