//! The portal's pages can do what the API can: each operation of the document is asked for by a page,
//! or stands in a list with its reason.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::api::routes::routes;

#[test]
fn each_operation_has_a_page_or_a_reason_for_having_none() {
    let calls = calls();
    assert!(calls.len() > 100, "{} calls", calls.len());
    let asked = |method: &str, path: &str| {
        calls.iter().any(|call| call.method == method && fits(path, &call.path))
    };
    let without: BTreeSet<&str> = routes()
        .iter()
        .filter(|route| !asked(route.method.as_str(), route.path))
        .map(|route| route.doc.id)
        .collect();
    let told: BTreeSet<&str> = WITHOUT.iter().map(|(operation, _)| *operation).collect();
    // In both directions: one that has got a page goes from the list.
    assert_eq!(without, told);
}

#[test]
fn no_page_asks_for_what_is_not_there() {
    let routes = routes();
    for Call { method, path, file } in calls() {
        let there = |route: &crate::api::routes::Route| {
            route.method.as_str() == method && fits(route.path, &path)
        };
        assert!(routes.iter().any(there), "{method} {path} of {}", file.display());
    }
}

#[test]
fn what_takes_something_away_asks_first() {
    for file in sources() {
        let text = std::fs::read_to_string(&file).unwrap();
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        if !name.ends_with(".svelte") || ASKED_OTHERWISE.contains(&name.as_str()) {
            continue;
        }
        // A question has a title, and says what the act does and ends.
        for (at, _) in text.match_indices("remove<") {
            let before = &text[..at];
            let question = before.rfind("ask({").map(|from| &before[from..]);
            let asks = question.is_some_and(|question| {
                // Still in it: what ends it stands at its own indentation.
                let open = !question.contains("\n  });") && !question.contains("\n    });\n  };");
                open && question.contains("title:") && question.contains("body:")
            });
            let line = before.lines().count();
            assert!(asks, "{name}:{line} takes something away without a question");
        }
    }
}

/// Operations without a page. A list that only shrinks.
const WITHOUT: [(&str, &str); 15] = [
    ("askDeviceLogin", "of `adit login --browser`, whose page is /device"),
    ("getConnector", "the list of connectors says the same of each"),
    ("getSite", "the list of sites says the same of each"),
    ("health", "for load balancers"),
    ("healthz", "for load balancers"),
    ("issueMySignInCode", "a browser signs no other browser in"),
    ("join", "of `adit-connector join`"),
    ("keySet", "for web applications"),
    ("listSessionEvents", "the audit log by session says the same"),
    ("login", "of `adit login`"),
    ("logout", "of `adit logout`; a browser signs out at /sign-out"),
    ("makeMyRdpLogin", "of `adit rdp --tunnel`; the file that the page gives has one in it"),
    ("openapi", "for programs"),
    ("pollDeviceLogin", "of `adit login --browser`"),
    ("signMySshKey", "of an agent's key"),
];

/// Where the answer itself is a form with both ways, or what goes is the page's own.
const ASKED_OTHERWISE: [&str; 0] = [];

struct Call {
    method: &'static str,
    /// Below `/api/v1/`; what is filled in is `{}`.
    path: String,
    file: PathBuf,
}

/// Every call of the API in the front end's sources.
fn calls() -> Vec<Call> {
    let mut calls = Vec::new();
    for file in sources() {
        let text = std::fs::read_to_string(&file).unwrap();
        for (verb, usual) in VERBS {
            for (at, _) in text.match_indices(verb) {
                let alone =
                    !text[..at].ends_with(|c: char| c.is_alphanumeric() || ['_', '.'].contains(&c));
                let Some(rest) = alone.then(|| arguments(&text[at + verb.len()..])).flatten()
                else {
                    continue;
                };
                let (method, rest) = match ["PUT", "PATCH"]
                    .into_iter()
                    .find_map(|method| Some((method, rest.strip_prefix(&format!("'{method}',"))?)))
                {
                    Some((method, rest)) => (method, rest.trim_start()),
                    None => (*usual, rest),
                };
                for path in literal(rest).into_iter().flat_map(|literal| alternatives(&literal)) {
                    let path = path.split('?').next().unwrap_or_default();
                    let path = match (*verb, path.strip_prefix("api/v1/")) {
                        ("URL", None) => continue,
                        (_, below) => below.unwrap_or(path).to_owned(),
                    };
                    // The client's own, which is told the rest.
                    if path != "{}" {
                        calls.push(Call { method, path, file: file.clone() });
                    }
                }
            }
        }
    }
    calls
}

const VERBS: &[(&str, &str)] = &[
    ("get", "GET"),
    ("all", "GET"),
    ("tagged", "GET"),
    ("Pages", "GET"),
    ("URL", "GET"),
    ("post", "POST"),
    ("remove", "DELETE"),
    ("change", "PUT"),
];

/// What stands behind `<Types>(`.
fn arguments(text: &str) -> Option<&str> {
    let mut rest = text;
    if let Some(types) = text.strip_prefix('<') {
        let mut depth = 1;
        let end = types.find(|c| {
            match c {
                '<' => depth += 1,
                '>' => depth -= 1,
                _ => {}
            }
            depth == 0
        })?;
        rest = &types[end + 1..];
    }
    rest.strip_prefix('(').map(str::trim_start)
}

/// A text in quotes, with what is in `${…}` as it is.
fn literal(text: &str) -> Option<String> {
    let quote = text.chars().next().filter(|c| ['\'', '`'].contains(c))?;
    let (mut depth, mut end) = (0_i32, None);
    for (at, c) in text.char_indices().skip(1) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            c if c == quote && depth == 0 => {
                end = Some(at);
                break;
            }
            _ => {}
        }
    }
    end.map(|end| text[1..end].to_owned())
}

/// The paths that a template may come to: `${a ? 'b' : 'c'}` is either, any other is `{}`.
fn alternatives(template: &str) -> Vec<String> {
    let Some((before, rest)) = template.split_once("${") else { return vec![template.to_owned()] };
    let Some((inner, after)) = rest.split_once('}') else { return Vec::new() };
    let quoted: Vec<&str> = inner.split('\'').skip(1).step_by(2).collect();
    let chosen = if inner.contains('?') && !quoted.is_empty() { quoted } else { vec!["{}"] };
    let rest = alternatives(after);
    let each =
        chosen.iter().flat_map(|one| rest.iter().map(move |rest| format!("{before}{one}{rest}")));
    each.collect()
}

fn fits(template: &str, path: &str) -> bool {
    let template = template.strip_prefix("/api/v1/").unwrap_or(template);
    let (template, path) = (template.split('/'), path.split('/'));
    template.clone().count() == path.clone().count()
        && template.zip(path).all(|(part, given)| match part.starts_with('{') {
            true => given.contains("{}"),
            false => part == given,
        })
}

fn sources() -> Vec<PathBuf> {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("portal/ui/src")];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let source = path.extension().is_some_and(|kind| kind == "ts" || kind == "svelte");
            match path.is_dir() {
                true => folders.push(path),
                false if source && !path.ends_with("schema.ts") => files.push(path),
                false => {}
            }
        }
    }
    files.sort();
    files
}
