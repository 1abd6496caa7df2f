//! Debian's kind of package, by `dpkg-deb`.

use std::fmt::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::{Effort, HOMEPAGE, MAINTAINER, Package, SourceDate, VERSION, quiet};
use crate::cargo::{read, root};

/// Makes `NAME_VERSION_ARCH.deb` of the files in `tree`.
///
/// # Errors
/// When a tool fails or a script of `packaging/debian` is not there.
pub(super) fn build(
    package: &Package,
    tree: &Path,
    out: &Path,
    date: SourceDate,
    effort: Effort,
) -> Result<PathBuf> {
    let folder = tree.join("DEBIAN");
    let architecture = read(Command::new("dpkg").arg("--print-architecture"))?;
    let architecture = architecture.trim();
    let control = control(package, tree, architecture)?;
    let sums = md5sums(tree)?;
    std::fs::create_dir_all(&folder).context("make the control folder")?;
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755))?;
    let write = |name: &str, text: &str, mode: u32| {
        let path = folder.join(name);
        std::fs::write(&path, text)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
    };
    write("control", &control, 0o644)?;
    write("md5sums", &sums, 0o644)?;
    if package.service {
        write("conffiles", &format!("/etc/default/{}\n", package.name), 0o644)?;
        for script in ["postinst", "prerm", "postrm"] {
            let from = root().join("packaging/debian").join(package.name).join(script);
            let text = std::fs::read_to_string(&from)
                .with_context(|| format!("read {}", from.display()))?;
            write(script, &text, 0o755)?;
        }
    }
    let file = out.join(format!("{}_{VERSION}-1_{architecture}.deb", package.name));
    let level = match effort {
        Effort::Best => "-z9",
        Effort::Least => "-z0",
    };
    let mut dpkg = Command::new("dpkg-deb");
    dpkg.args(["--root-owner-group", "-Zxz", level, "--build"]).arg(tree).arg(&file);
    quiet(dpkg.env("SOURCE_DATE_EPOCH", date.0.to_string()))?;
    std::fs::remove_dir_all(&folder).context("remove the control folder")?;
    Ok(file)
}

fn control(package: &Package, tree: &Path, architecture: &str) -> Result<String> {
    let size = read(Command::new("du").args(["-sk", "--apparent-size"]).arg(tree))?;
    let size = size.split_whitespace().next().unwrap_or("0").to_owned();
    let libc = needed_libc(&tree.join("usr/bin").join(package.program))?;
    let accounts = if package.service { ", systemd | systemd-standalone-sysusers" } else { "" };
    let mut text = format!(
        "Package: {}\nVersion: {VERSION}-1\nArchitecture: {architecture}\n\
         Maintainer: {MAINTAINER}\nInstalled-Size: {size}\n\
         Depends: libc6 (>= {libc}), libgcc-s1{accounts}\n\
         Section: net\nPriority: optional\nHomepage: {HOMEPAGE}\nDescription: {}\n",
        package.name, package.summary
    );
    for line in package.description {
        writeln!(text, " {line}")?;
    }
    Ok(text)
}

/// The newest version of glibc that a symbol of the program asks for.
fn needed_libc(program: &Path) -> Result<String> {
    let symbols = read(Command::new("objdump").arg("-T").arg(program))?;
    let versions = symbols.split("GLIBC_").skip(1);
    let numbers = versions.filter_map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let parts = rest[..end].split('.').map(str::parse::<u32>);
        parts.collect::<Result<Vec<_>, _>>().ok()
    });
    let newest = numbers.max().context("the program asks for no glibc")?;
    Ok(newest.iter().map(u32::to_string).collect::<Vec<_>>().join("."))
}

fn md5sums(tree: &Path) -> Result<String> {
    let list = "find usr -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum";
    read(Command::new("sh").args(["-c", list]).current_dir(tree))
}
