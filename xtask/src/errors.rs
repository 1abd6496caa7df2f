//! Each error code in the sources stands exactly once in `docs/errors.md`, and no other does.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::cargo::root;

/// Compares the sources' codes with the documented ones.
pub(crate) fn run() -> Result<()> {
    let codes = in_sources(&root())?;
    let document = fs::read_to_string(root().join("docs/errors.md")).context("docs/errors.md")?;
    let problems = compare(&codes, &documented(&document));
    if problems.is_empty() {
        println!("errors: {} codes, each documented once", codes.len());
        return Ok(());
    }
    for problem in &problems {
        eprintln!("errors: {problem}");
    }
    bail!("{} problems with docs/errors.md", problems.len())
}

fn compare(codes: &BTreeMap<String, PathBuf>, documented: &[String]) -> Vec<String> {
    let mut counts = BTreeMap::new();
    for code in documented {
        *counts.entry(code.as_str()).or_insert(0) += 1;
    }
    let missing = codes.iter().filter(|(code, _)| !counts.contains_key(code.as_str()));
    let missing = missing.map(|(code, file)| format!("{code} ({}) is not there", file.display()));
    let twice = counts.iter().filter(|(_, count)| **count > 1);
    let twice = twice.map(|(code, count)| format!("{code} stands there {count} times"));
    let stale = counts.keys().filter(|code| !codes.contains_key(**code));
    let stale = stale.map(|code| format!("{code} is in no source file"));
    missing.chain(twice).chain(stale).collect()
}

/// The codes that begin a row of a table.
fn documented(text: &str) -> Vec<String> {
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.filter_map(|row| row.split_once('`')).map(|(code, _)| code.to_owned()).collect()
}

fn in_sources(root: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let mut texts = BTreeMap::new();
    for folder in ["src", "agent/src", "connector/src", "gateways", "crates"] {
        for file in rust_files(&root.join(folder))? {
            let text = fs::read_to_string(&file)?;
            let file = file.strip_prefix(root).unwrap_or(&file).to_owned();
            texts.insert(file, shipped(&text).to_owned());
        }
    }
    Ok(collect(&texts))
}

fn collect(texts: &BTreeMap<PathBuf, String>) -> BTreeMap<String, PathBuf> {
    let actions: BTreeSet<_> = texts.values().flat_map(|text| after(text, ACTION)).collect();
    let mut codes = BTreeMap::new();
    for (file, text) in texts {
        let plain = plain(text).into_iter().filter(|code| !actions.contains(code));
        for code in declared(text).into_iter().chain(plain) {
            codes.entry(code).or_insert_with(|| file.clone());
        }
    }
    codes
}

/// The part of a file before its tests.
fn shipped(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod ").next().unwrap_or(text)
}

fn rust_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if name == "tests" || name == "testing" || name == "testkit" {
            continue;
        }
        if path.is_dir() {
            files.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(files)
}

/// Codes where they are declared: in the body of a `fn code…`, or as the argument of `Code(…)`.
fn declared(text: &str) -> BTreeSet<String> {
    let mut codes: BTreeSet<_> = after(text, "Code(").into_iter().collect();
    for (at, _) in text.match_indices("fn code(") {
        codes.extend(dotted(body(&text[at..])));
    }
    codes
}

/// Texts that look like a code because they begin with one of the areas. The words of the audit log
/// look alike; they are recognised by where they stand.
fn plain(text: &str) -> BTreeSet<String> {
    let mut codes = dotted(text);
    for note in after(text, NOTE) {
        codes.remove(&note);
    }
    let area = |code: &String| AREAS.contains(&code.split('.').next().unwrap_or_default());
    let file = |code: &String| FILES.iter().any(|extension| code.ends_with(extension));
    codes.retain(|code| area(code) && !file(code));
    codes
}

/// The codes that stand in quotes right after `before`.
fn after(text: &str, before: &str) -> Vec<String> {
    let literals = text.match_indices(before).filter_map(|(at, _)| {
        let quoted = text[at + before.len()..].trim_start().strip_prefix('"')?;
        quoted.split_once('"').map(|(literal, _)| literal.to_owned())
    });
    literals.filter(|literal| is_code(literal)).collect()
}

const AREAS: &[&str] = &[
    "access",
    "access_request",
    "application",
    "audit",
    "authn",
    "certificate",
    "connector",
    "control",
    "dial",
    "document",
    "grant",
    "group",
    "machine",
    "recording",
    "relay",
    "request",
    "session",
    "settings",
    "site",
    "store",
    "target",
    "token",
    "user",
    "wire",
];
const FILES: &[&str] = &[".toml", ".json", ".pem", ".db", ".log", ".sock", ".crt", ".corp"];
/// How an audit event's action is declared, and how a session notes what it did.
const ACTION: &str = "#[serde(rename =";
const NOTE: &str = "note(";

/// From a function's head to the brace that ends its body.
fn body(text: &str) -> &str {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ';' if depth == 0 => return &text[..at],
            _ => continue,
        }
        if depth == 0 {
            return &text[..at];
        }
    }
    text
}

/// The string literals of the form `word.word`.
fn dotted(text: &str) -> BTreeSet<String> {
    let literals = text.split('"').skip(1).step_by(2);
    literals.filter(|literal| is_code(literal)).map(str::to_owned).collect()
}

fn is_code(text: &str) -> bool {
    let word = |word: &str| {
        !word.is_empty()
            && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    text.split_once('.').is_some_and(|(area, rest)| word(area) && word(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_found_where_they_are_written() {
        let source = r#"
            fn code(&self) -> Code { match self { A { .. } => Code("a.one"), B => "a.two_b" } }
            const GONE: Code = Code("b.gone");
            trait Explain { fn code(&self) -> Code; fn public(&self) -> &str { "no.code" } }
            #[serde(rename = "session.opened")] Opened,
            #[serde(rename = "access.denied")] Denied,
            fn refuse() { Refused { code: "wire.odd" } } fn deny() -> Code { Code("access.denied") }
            fn tell(s: &Session) { s.note("target.learned", ""); open("connector.toml") }
        "#;
        let texts = [(PathBuf::from("x.rs"), source.to_owned())];
        let found: Vec<_> = collect(&texts.into()).into_keys().collect();
        assert_eq!(found, ["a.one", "a.two_b", "access.denied", "b.gone", "wire.odd"]);
    }

    #[test]
    fn a_missing_a_doubled_and_a_stale_code_are_problems() {
        let codes = ["a.one", "a.two"].map(|code| (code.to_owned(), PathBuf::from("src/x.rs")));
        let listed =
            documented("| `a.two` | x |\n| `a.two` | y |\n| `a.old` | z |\n`a.one` in a text\n");
        let problems = compare(&codes.into(), &listed);
        assert_eq!(
            problems,
            [
                "a.one (src/x.rs) is not there",
                "a.two stands there 2 times",
                "a.old is in no source file"
            ]
        );
    }
}
