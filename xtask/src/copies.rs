//! The crates in `third_party` are what was published, but for the patch beside each.
//!
//! `NAME.sums` has the SHA-256 of the published files, of those that are needed; `NAME.patch` leads
//! from them to the copy.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::cargo::{root, step};

/// Takes each patch back from its copy, and compares what is left with what was published.
pub(crate) fn run() -> Result<()> {
    let folder = root().join("third_party");
    for name in COPIES {
        check(&folder, name).with_context(|| format!("third_party/{name}"))?;
    }
    println!(
        "copies: {} crates differ from the published ones by their patches only",
        COPIES.len()
    );
    Ok(())
}

fn check(folder: &Path, name: &str) -> Result<()> {
    let published = tempfile::tempdir()?;
    copy(&folder.join(name), published.path())?;
    let mut patch = Command::new("patch");
    patch.args(["--reverse", "--strip=1", "--silent", "--force", "--fuzz=0", "--input"]);
    patch.arg(folder.join(name).with_extension("patch")).current_dir(published.path());
    step(&mut patch).context("the patch does not come off")?;
    let sums = fs::read_to_string(folder.join(name).with_extension("sums")).context("the sums")?;
    let listed: BTreeSet<_> = sums.lines().filter_map(|line| line.get(66..)).collect();
    let there = files(published.path(), published.path())?;
    let there: BTreeSet<_> = there.iter().map(String::as_str).collect();
    let other: Vec<_> = there.symmetric_difference(&listed).collect();
    ensure!(other.is_empty(), "added or taken away beside the patch: {other:?}");
    let mut compare = Command::new("sha256sum");
    compare.args(["--check", "--strict", "--quiet"]).stdout(Stdio::inherit());
    compare.arg(folder.join(name).with_extension("sums")).current_dir(published.path());
    step(&mut compare).context("changed beside the patch")
}

/// The paths of files below `folder`, from `base` on.
fn files(base: &Path, folder: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        match path.is_dir() {
            true => found.extend(files(base, &path)?),
            false => found.push(path.strip_prefix(base)?.display().to_string()),
        }
    }
    Ok(found)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    for file in files(from, from)? {
        let target = to.join(&file);
        fs::create_dir_all(target.parent().context("a folder")?)?;
        fs::copy(from.join(&file), target)?;
    }
    Ok(())
}

const COPIES: &[&str] = &["russh", "ssh-key"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_with_a_change_beside_its_patch_is_found() -> Result<()> {
        let original = root().join("third_party");
        for (file, change) in [("src/lib.rs", "// more\n"), ("src/signature.rs", "// more\n")] {
            let folder = copied(&original)?;
            check(folder.path(), "ssh-key")?;
            let changed = folder.path().join("ssh-key").join(file);
            fs::write(&changed, fs::read_to_string(&changed)? + change)?;
            assert!(check(folder.path(), "ssh-key").is_err(), "{file}");
        }
        let folder = copied(&original)?;
        fs::write(folder.path().join("ssh-key/src/another.rs"), "")?;
        assert!(check(folder.path(), "ssh-key").is_err());
        Ok(())
    }

    fn copied(original: &Path) -> Result<tempfile::TempDir> {
        let folder = tempfile::tempdir()?;
        copy(&original.join("ssh-key"), &folder.path().join("ssh-key"))?;
        for file in ["ssh-key.patch", "ssh-key.sums"] {
            fs::copy(original.join(file), folder.path().join(file))?;
        }
        Ok(folder)
    }
}
