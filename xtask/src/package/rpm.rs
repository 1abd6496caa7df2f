//! Fedora's kind of package, by `rpmbuild`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::{Effort, HOMEPAGE, MAINTAINER, Package, SourceDate, VERSION, quiet};
use crate::cargo::{read, root};

/// Makes `NAME-VERSION-1.ARCH.rpm` of the files in `tree`.
///
/// # Errors
/// When `rpmbuild` fails.
pub(super) fn build(
    package: &Package,
    tree: &Path,
    out: &Path,
    date: SourceDate,
    effort: Effort,
) -> Result<PathBuf> {
    let top = tree.with_extension("rpmbuild");
    std::fs::create_dir_all(&top).context("make rpmbuild's folder")?;
    let spec = top.join(format!("{}.spec", package.name));
    std::fs::write(&spec, text(package, tree, date)?)?;
    let machine = read(Command::new("uname").arg("-m"))?;
    let machine = machine.trim();
    let payload = match effort {
        Effort::Best => "w9.xzdio",
        Effort::Least => "w1.gzdio",
    };
    let mut rpmbuild = Command::new("rpmbuild");
    rpmbuild.args(["-bb", "--quiet", "--target", machine]);
    for (name, value) in [
        ("_topdir", top.to_string_lossy().as_ref()),
        ("_rpmdir", out.to_string_lossy().as_ref()),
        ("_rpmfilename", "%{NAME}-%{VERSION}-%{RELEASE}.%{ARCH}.rpm"),
        ("_buildhost", "localhost"),
        ("use_source_date_epoch_as_buildtime", "1"),
        ("clamp_mtime_to_source_date_epoch", "1"),
        ("source_date_epoch_from_changelog", "0"),
        ("_build_id_links", "none"),
        ("_binary_payload", payload),
        ("debug_package", "%{nil}"),
        ("__os_install_post", "%{nil}"),
    ] {
        rpmbuild.arg("--define").arg(format!("{name} {value}"));
    }
    quiet(rpmbuild.arg(&spec).env("SOURCE_DATE_EPOCH", date.0.to_string()))?;
    Ok(out.join(format!("{}-{VERSION}-1.{machine}.rpm", package.name)))
}

fn text(package: &Package, tree: &Path, date: SourceDate) -> Result<String> {
    let name = package.name;
    // Debian begins a summary with a small letter, and this family with a capital one.
    let (first, rest) = package.summary.split_at(1);
    let summary = first.to_uppercase() + rest;
    let description = package.description.join("\n");
    let files = files(tree)?;
    let (requires, scripts) =
        if package.service { ("Requires: systemd\n", scripts(name)) } else { ("", String::new()) };
    let day = date.text("+%a %b %d %Y")?;
    Ok(format!(
        "Name: {name}\nVersion: {VERSION}\nRelease: 1\nSummary: {summary}\nLicense: Apache-2.0\n\
         Group: System/Network\nURL: {HOMEPAGE}\nPackager: {MAINTAINER}\n{requires}\n\
         %description\n{description}\n\n%install\ncp -a {tree}/. %{{buildroot}}/\n\n{scripts}\
         %files\n{files}\n%changelog\n* {day} {MAINTAINER} - {VERSION}-1\n- Made.\n",
        tree = tree.display(),
    ))
}

fn files(tree: &Path) -> Result<String> {
    let found = read(Command::new("find").args([".", "-type", "f"]).current_dir(tree))?;
    let mut lines: Vec<_> = found
        .lines()
        .map(|file| file.trim_start_matches('.'))
        .map(|file| match file.strip_prefix("/etc/") {
            Some(_) => format!("%config(noreplace) %attr(0644, root, root) {file}"),
            None if file.starts_with("/usr/share/doc/") => format!("%doc {file}"),
            None => format!("%attr(-, root, root) {file}"),
        })
        .collect();
    lines.sort_unstable();
    Ok(lines.join("\n"))
}

/// State stays when the package goes: rpm knows no purge.
fn scripts(name: &str) -> String {
    let service = format!("{name}.service");
    let units = match root().join(format!("packaging/systemd/{name}.socket")).exists() {
        true => format!("{name}.socket {service}"),
        false => service,
    };
    format!(
        "%post\nsystemd-sysusers {name}.conf >/dev/null 2>&1 || :\n\
         systemd-tmpfiles --create {name}.conf >/dev/null 2>&1 || :\n\
         [ ! -d /run/systemd/system ] || systemctl daemon-reload >/dev/null 2>&1 || :\n\n\
         %preun\nif [ $1 -eq 0 ] && [ -d /run/systemd/system ]; then\n  \
         systemctl --no-reload disable --now {units} >/dev/null 2>&1 || :\nfi\n\n\
         %postun\nif [ -d /run/systemd/system ]; then\n  \
         systemctl daemon-reload >/dev/null 2>&1 || :\n  \
         [ $1 -eq 0 ] || systemctl try-restart {name}.service >/dev/null 2>&1 || :\nfi\n\n"
    )
}
