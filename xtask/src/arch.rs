//! The edges between crates, and what must be out of reach.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::cargo::{cargo, root};

/// Compares the real edges with the committed list, and fails on each line that differs.
pub(crate) fn run() -> Result<()> {
    let graph = Graph::of_workspace()?;
    let file = root().join("docs/edges.txt");
    let listed = parse(&fs::read_to_string(&file).context("docs/edges.txt")?)?;
    let mut problems = compare(&graph.edges(), &listed);
    problems.extend(RULES.iter().flat_map(|rule| rule.broken(&graph)));
    problems.extend(second_providers()?);
    if problems.is_empty() {
        println!("arch: {} edges, {} rules held", listed.len(), RULES.len());
        return Ok(());
    }
    for problem in &problems {
        eprintln!("arch: {problem}");
    }
    bail!("{} architecture problems", problems.len())
}

/// Crypto besides aws-lc-rs. `cargo metadata` also lists what a dependency could switch on, so this
/// asks for what is really built.
fn second_providers() -> Result<Vec<String>> {
    let args = ["tree", "--workspace", "--edges", "normal,build", "--prefix", "none"];
    let output = cargo(&args).args(["--format", "{p}"]).output().context("cargo tree")?;
    if !output.status.success() {
        bail!("cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let built: BTreeSet<_> = text.lines().filter_map(|line| line.split(' ').next()).collect();
    let second = ["ring", "openssl", "openssl-sys", "native-tls"];
    let second = second.into_iter().filter(|name| built.contains(name));
    Ok(second
        .map(|name| format!("{name} is built; aws-lc-rs is the one crypto provider"))
        .collect())
}

/// Something that must not be reachable, directly or through others.
struct Rule {
    from: &'static [&'static str],
    never: &'static [&'static str],
    because: &'static str,
}

const RULES: &[Rule] = &[
    Rule {
        from: &["adit-agent", "adit-connector"],
        never: &[
            "store",
            "session",
            "sqlx",
            "axum",
            "russh",
            "database",
            "gateway-mysql",
            "gateway-postgres",
            "rdgateway",
            "gateway-redis",
            "gateway-ssh",
            "gateway-tcp",
            "gateway-web",
        ],
        because: "a machine in the field holds no policy, no database and no SSH server",
    },
    Rule {
        from: &[
            "database",
            "gateway-mysql",
            "gateway-postgres",
            "rdgateway",
            "gateway-redis",
            "gateway-ssh",
            "gateway-tcp",
            "gateway-web",
            "trust",
        ],
        never: &["quinn", "tunnel", "store", "sqlx", "axum"],
        because: "a gateway reaches the network through Grant → Broker::open → Session::dial only",
    },
    Rule {
        from: &["access", "chain", "wire"],
        never: &["tokio", "quinn", "rand", "socket2"],
        because: "a decision and a codec do no I/O, read no clock and draw no randomness",
    },
    Rule {
        from: &["api"],
        never: &["tokio", "axum", "sqlx"],
        because: "the messages of the API are data",
    },
    Rule {
        from: &["session", "store"],
        never: &["tunnel", "quinn", "axum", "russh"],
        because: "ports belong to session, and what implements them to the relay",
    },
    Rule {
        from: &[
            "access",
            "api",
            "chain",
            "wire",
            "splice",
            "session",
            "store",
            "telemetry",
            "testkit",
            "trust",
            "tunnel",
            "database",
            "gateway-mysql",
            "gateway-postgres",
            "rdgateway",
            "gateway-redis",
            "gateway-ssh",
            "gateway-tcp",
            "gateway-web",
            "adit-agent",
            "adit-connector",
            "xtask",
        ],
        never: &["adit-relay"],
        because: "nothing depends on the relay",
    },
    Rule {
        from: &["adit-relay", "adit-agent", "adit-connector"],
        never: &["testkit"],
        because: "what is shipped has no test code in it",
    },
];

impl Rule {
    fn broken(&self, graph: &Graph) -> Vec<String> {
        let mut problems = Vec::new();
        for from in self.from {
            for never in self.never {
                if let Some(path) = graph.path(from, never) {
                    let path = path.join(" → ");
                    problems
                        .push(format!("{from} must not reach {never}: {path}; {}", self.because));
                }
            }
        }
        problems
    }
}

/// Packages and what each needs to run (not what its tests need).
#[derive(Debug, Default)]
struct Graph {
    needs: BTreeMap<String, BTreeSet<String>>,
    ours: BTreeSet<String>,
}

impl Graph {
    fn of_workspace() -> Result<Self> {
        let args = ["metadata", "--format-version", "1", "--filter-platform"];
        let output =
            cargo(&args).arg("x86_64-unknown-linux-gnu").output().context("cargo metadata")?;
        if !output.status.success() {
            bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
        }
        let metadata: Metadata = serde_json::from_slice(&output.stdout)?;
        Ok(Self::of(&metadata))
    }

    fn of(metadata: &Metadata) -> Self {
        let names: BTreeMap<_, _> =
            metadata.packages.iter().map(|package| (&package.id, &package.name)).collect();
        let name = |id: &String| names.get(id).map_or_else(String::new, |name| (*name).clone());
        let ours = metadata.workspace_members.iter().map(name).collect();
        let mut graph = Self { ours, ..Self::default() };
        for node in &metadata.resolve.nodes {
            let runs = node.deps.iter().filter(|dep| dep.kinds.iter().any(Kind::runs));
            let needs = runs.map(|dep| name(&dep.package)).collect::<BTreeSet<_>>();
            graph.needs.entry(name(&node.id)).or_default().extend(needs);
        }
        graph
    }

    /// The edges between crates of this workspace.
    fn edges(&self) -> BTreeSet<Edge> {
        let mut edges = BTreeSet::new();
        for from in &self.ours {
            let needs = self.needs.get(from).into_iter().flatten();
            for to in needs.filter(|to| self.ours.contains(*to)) {
                edges.insert((from.clone(), to.clone()));
            }
        }
        edges
    }

    /// The shortest way from one package to another.
    fn path(&self, from: &str, to: &str) -> Option<Vec<String>> {
        let mut ways = vec![vec![from.to_owned()]];
        let mut seen = BTreeSet::new();
        while !ways.is_empty() {
            let mut longer = Vec::new();
            for way in ways {
                let Some(needs) = way.last().and_then(|last| self.needs.get(last)) else {
                    continue;
                };
                for need in needs.iter().filter(|need| seen.insert((*need).clone())) {
                    let way = [way.as_slice(), std::slice::from_ref(need)].concat();
                    if need == to {
                        return Some(way);
                    }
                    longer.push(way);
                }
            }
            ways = longer;
        }
        None
    }
}

type Edge = (String, String);

fn parse(text: &str) -> Result<BTreeSet<Edge>> {
    let lines =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (from, to) =
                line.split_once(" -> ").with_context(|| format!("{line:?}: not `a -> b`"))?;
            Ok((from.trim().to_owned(), to.trim().to_owned()))
        })
        .collect()
}

fn compare(real: &BTreeSet<Edge>, listed: &BTreeSet<Edge>) -> Vec<String> {
    let new = real.difference(listed).map(|(from, to)| {
        format!("{from} -> {to} is a new edge; if it is meant, add the line to docs/edges.txt")
    });
    let gone = listed
        .difference(real)
        .map(|(from, to)| format!("{from} -> {to} is gone; remove the line from docs/edges.txt"));
    new.chain(gone).collect()
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_members: Vec<String>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    #[serde(rename = "pkg")]
    package: String,
    #[serde(rename = "dep_kinds")]
    kinds: Vec<Kind>,
}

#[derive(Deserialize)]
struct Kind {
    kind: Option<String>,
}

impl Kind {
    fn runs(&self) -> bool {
        self.kind.as_deref() != Some("dev")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(edges: &[(&str, &str)]) -> Graph {
        let mut graph = Graph::default();
        for (from, to) in edges {
            graph.needs.entry((*from).to_owned()).or_default().insert((*to).to_owned());
            graph.ours.insert((*from).to_owned());
        }
        graph
    }

    fn problems(graph: &Graph) -> Vec<String> {
        RULES.iter().flat_map(|rule| rule.broken(graph)).collect()
    }

    #[test]
    fn what_must_be_out_of_reach_is_found_behind_others() {
        assert_eq!(problems(&graph(&[("adit-agent", "tunnel"), ("tunnel", "wire")])), [""; 0]);
        let bad = graph(&[("adit-agent", "tunnel"), ("tunnel", "helper"), ("helper", "sqlx")]);
        let found = problems(&bad);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("adit-agent → tunnel → helper → sqlx"), "{found:?}");
    }

    #[test]
    fn a_new_edge_and_a_stale_line_are_both_problems() {
        let listed = parse("# why\na -> b\nb -> c\n").unwrap();
        let real = parse("a -> b\na -> c").unwrap();
        let found = compare(&real, &listed);
        assert!(found[0].starts_with("a -> c is a new edge"), "{found:?}");
        assert!(found[1].starts_with("b -> c is gone"), "{found:?}");
    }

    #[test]
    fn what_only_tests_need_is_no_edge() {
        let metadata = serde_json::json!({
            "packages": [{"id": "1", "name": "a"}, {"id": "2", "name": "b"}, {"id": "3", "name": "c"}],
            "workspace_members": ["1", "2", "3"],
            "resolve": {"nodes": [{"id": "1", "deps": [
                {"pkg": "2", "dep_kinds": [{"kind": "dev"}]},
                {"pkg": "3", "dep_kinds": [{"kind": "dev"}, {"kind": null}]},
            ]}]},
        });
        let graph = Graph::of(&serde_json::from_value(metadata).unwrap());
        assert_eq!(graph.edges(), parse("a -> c").unwrap());
    }
}
