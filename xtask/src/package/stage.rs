//! The tree of files that a package puts on a machine.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::{MAINTAINER, Package, SourceDate, VERSION, quiet};
use crate::cargo::{remove, root};

/// Fills `tree` anew with what `package` installs, each file with its final mode and time.
///
/// # Errors
/// When the program or a file of `packaging/` is not there, or strip or gzip fails.
pub(super) fn stage(
    package: &Package,
    programs: &Path,
    tree: &Path,
    date: SourceDate,
) -> Result<()> {
    remove(tree)?;
    let program = tree.join("usr/bin").join(package.program);
    copy(&programs.join(package.program), &program, 0o755)?;
    // Its own program draws them, before it is stripped of nothing that matters to it.
    quiet(Command::new(&program).arg("manual").arg(tree.join("usr/share")))?;
    quiet(
        Command::new("strip").args(["--strip-unneeded", "--remove-section=.comment"]).arg(&program),
    )?;
    if package.service {
        service(package, tree)?;
    }
    documents(package, tree, date)?;
    compress(&tree.join("usr/share/man/man1"))?;
    settle(tree, date)
}

fn service(package: &Package, tree: &Path) -> Result<()> {
    let name = package.name;
    let from = root().join("packaging");
    let place =
        |from: &str, to: &str| copy(&root().join("packaging").join(from), &tree.join(to), 0o644);
    let unit = format!("{name}.service");
    place(&format!("systemd/{unit}"), &format!("usr/lib/systemd/system/{unit}"))?;
    let socket = format!("systemd/{name}.socket");
    if from.join(&socket).exists() {
        place(&socket, &format!("usr/lib/systemd/system/{name}.socket"))?;
    }
    let conf = format!("{name}.conf");
    place(&format!("sysusers.d/{conf}"), &format!("usr/lib/sysusers.d/{conf}"))?;
    place(&format!("tmpfiles.d/{conf}"), &format!("usr/lib/tmpfiles.d/{conf}"))?;
    place(&format!("default/{name}"), &format!("etc/default/{name}"))?;
    // One file for both services on one machine would belong to two packages.
    place("sysctl.d/60-adit.conf", &format!("usr/lib/sysctl.d/60-{name}.conf"))?;
    let example = from.join(format!("{}.toml", name.trim_start_matches("adit-")));
    if example.exists() {
        let to = format!("usr/share/doc/{name}/examples/relay.toml");
        copy(&example, &tree.join(to), 0o644)?;
    }
    Ok(())
}

fn documents(package: &Package, tree: &Path, date: SourceDate) -> Result<()> {
    let folder = tree.join("usr/share/doc").join(package.name);
    copy(&root().join("CHANGELOG.md"), &folder.join("changelog"), 0o644)?;
    std::fs::write(folder.join("changelog.Debian"), changelog(package, date)?)?;
    std::fs::write(folder.join("copyright"), COPYRIGHT)?;
    compress(&folder)
}

fn changelog(package: &Package, date: SourceDate) -> Result<String> {
    let (name, at) = (package.name, date.text("+%a, %d %b %Y %H:%M:%S +0000")?);
    Ok(format!(
        "{name} ({VERSION}-1) stable; urgency=medium\n\n  * What is new is in changelog.gz.\n\n \
         -- {MAINTAINER}  {at}\n"
    ))
}

/// gzips the files of a folder, but for those that are read as they are.
fn compress(folder: &Path) -> Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))? {
        let path = entry?.path();
        if path.is_file() && !path.ends_with("copyright") {
            quiet(Command::new("gzip").args(["-9", "--no-name", "--force"]).arg(&path))?;
        }
    }
    Ok(())
}

/// Gives every folder its mode, and everything the one time.
fn settle(tree: &Path, date: SourceDate) -> Result<()> {
    let mut find = Command::new("find");
    quiet(find.arg(tree).args(["-type", "d", "-exec", "chmod", "0755", "{}", "+"]))?;
    let mut find = Command::new("find");
    quiet(
        find.arg(tree)
            .args(["-type", "f", "!", "-perm", "0755", "-exec", "chmod", "0644", "{}", "+"]),
    )?;
    let at = format!("@{}", date.0);
    let mut find = Command::new("find");
    quiet(find.arg(tree).args(["-exec", "touch", "--no-dereference", "-d", &at, "{}", "+"]))
}

fn copy(from: &Path, to: &Path, mode: u32) -> Result<()> {
    let what = || format!("copy {}", from.display());
    if let Some(folder) = to.parent() {
        std::fs::create_dir_all(folder).with_context(what)?;
    }
    std::fs::copy(from, to).with_context(what)?;
    std::fs::set_permissions(to, std::fs::Permissions::from_mode(mode)).with_context(what)
}

const COPYRIGHT: &str = "\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: adit

Files: *
Copyright: 2026 Adit developers
License: Apache-2.0
 On Debian systems, the full text of the Apache License version 2.0 is in
 /usr/share/common-licenses/Apache-2.0.
";
