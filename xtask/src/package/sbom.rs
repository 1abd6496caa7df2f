//! What the programs are made of, as a bill of materials (CycloneDX 1.5, JSON).

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{SourceDate, VERSION};

/// Writes `adit.cdx.json`: each crate of `Cargo.lock` with its version and checksum.
///
/// # Errors
/// When the lock file can't be read.
pub(super) fn write(root: &Path, out: &Path, date: SourceDate) -> Result<PathBuf> {
    let lock = std::fs::read_to_string(root.join("Cargo.lock")).context("read Cargo.lock")?;
    let lock: Lock = toml::from_str(&lock).context("Cargo.lock")?;
    let components: Vec<_> = lock.package.iter().map(component).collect();
    let bill = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "timestamp": date.text("+%Y-%m-%dT%H:%M:%SZ")?,
            "component": { "type": "application", "name": "adit", "version": VERSION },
        },
        "components": components,
    });
    let path = out.join("adit.cdx.json");
    std::fs::write(&path, format!("{bill:#}\n"))?;
    Ok(path)
}

/// One that comes from no registry is ours or a patched copy, and has no checksum.
fn component(package: &Locked) -> Value {
    let Locked { name, version, checksum } = package;
    let purl = format!("pkg:cargo/{name}@{version}");
    let mut component = json!({
        "type": "library", "name": name, "version": version, "purl": purl, "bom-ref": purl,
    });
    if let Some(sum) = checksum {
        component["hashes"] = json!([{ "alg": "SHA-256", "content": sum }]);
    }
    component
}

#[derive(Deserialize)]
struct Lock {
    package: Vec<Locked>,
}

#[derive(Deserialize)]
struct Locked {
    name: String,
    version: String,
    checksum: Option<String>,
}
