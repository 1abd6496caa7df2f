//! The packages of the programs that the tests run with: made twice, looked at by the tools that
//! distributions look at packages with, put into a Debian of their own and taken out again.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Effort, SourceDate, make};
use crate::cargo::{read, remove, root};

const DATE: SourceDate = SourceDate(1_750_000_000);

#[test]
fn packages_are_the_same_bytes_each_time_and_clean_and_go_in_and_out_of_a_debian() {
    let folder = testkit::bin_dir().expect("programs").join("packages");
    let first = made(&folder.join("first"));
    let second = made(&folder.join("second"));

    let text = |path: &Path| std::fs::read_to_string(path).expect("sums");
    let sums = text(find(&first, "SHA256SUMS"));
    assert_eq!(sums, text(find(&second, "SHA256SUMS")), "built twice");
    assert_eq!(sums.lines().count(), 7, "three packages of two kinds and what is in them:\n{sums}");
    lintian(&first);
    rpm(&first);
    rpmlint(&first);
    let debian = Debian::make(&folder.join("debian"));
    debian.install_use_and_remove(&first);
}

#[test]
fn services_are_confined() {
    for name in ["adit-relay", "adit-connector"] {
        let unit = root().join(format!("packaging/systemd/{name}.service"));
        let mut analyze = Command::new("systemd-analyze");
        let offline = ["security", "--no-pager", "--offline=true", "--threshold=20"];
        read(analyze.args(offline).arg(&unit)).expect("an exposure of 2.0 or less");
    }
}

#[test]
fn units_say_nothing_that_systemd_does_not_know() {
    let folder = tempfile::tempdir().expect("folder");
    let units = ["adit-relay.service", "adit-relay.socket", "adit-connector.service"];
    let files = units.map(|unit| {
        let from = root().join("packaging/systemd").join(unit);
        let text = std::fs::read_to_string(from).expect("a unit");
        // The programs are not installed here.
        let text = text.replace("ExecStart=/usr/bin/adit-relay", "ExecStart=/bin/true");
        let text = text.replace("ExecStart=/usr/bin/adit-connector", "ExecStart=/bin/true");
        let file = folder.path().join(unit);
        std::fs::write(&file, text).expect("written");
        file
    });
    let verify = |files: &[PathBuf]| {
        let mut verify = Command::new("systemd-analyze");
        verify.args(["verify", "--man=no", "--recursive-errors=no"]).args(files);
        read(&mut verify)
    };
    verify(&files).expect("nothing to say");
    let text = std::fs::read_to_string(&files[2]).expect("a unit");
    std::fs::write(&files[2], text.replace("ProtectClock=", "ProtectClocks=")).expect("written");
    assert!(verify(&files).is_err(), "a mistake is not seen");
}

#[test]
fn the_chart_makes_confined_pods_and_says_what_each_value_is() {
    let check = root().join("packaging/helm/check.py");
    read(Command::new("/usr/bin/python3").arg(check)).expect("nothing to say");
}

#[test]
fn the_sources_of_the_windows_package_are_well_formed() {
    let sources = root().join("packaging/windows/adit-connector.wxs");
    let parse = "import sys, xml.dom.minidom; xml.dom.minidom.parse(sys.argv[1])";
    read(Command::new("/usr/bin/python3").args(["-c", parse]).arg(sources)).expect("XML");
}

#[test]
fn the_bill_of_materials_names_each_crate_with_its_checksum() {
    let folder = tempfile::tempdir().expect("folder");

    let path = super::sbom::write(&root(), folder.path(), DATE).expect("written");

    let text = std::fs::read_to_string(path).expect("read");
    let bill: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(bill["bomFormat"], "CycloneDX");
    let components = bill["components"].as_array().expect("components");
    let rustls = components.iter().find(|component| component["name"] == "rustls").expect("rustls");
    assert!(rustls["purl"].as_str().is_some_and(|purl| purl.starts_with("pkg:cargo/rustls@")));
    let sum = rustls["hashes"][0]["content"].as_str().expect("a checksum");
    assert_eq!(sum.len(), 64, "{sum}");
}

fn made(folder: &Path) -> Vec<PathBuf> {
    remove(folder).expect("a folder of its own");
    let programs = testkit::bin_dir().expect("programs");
    make(&programs, folder, DATE, Effort::Least).expect("packages")
}

fn find<'a>(files: &'a [PathBuf], start: &str) -> &'a Path {
    let named = |file: &&PathBuf| {
        file.file_name().is_some_and(|name| name.to_string_lossy().starts_with(start))
    };
    files.iter().find(named).unwrap_or_else(|| panic!("{start} was not made: {files:?}"))
}

fn lintian(files: &[PathBuf]) {
    let debs = files.iter().filter(|file| file.extension().is_some_and(|end| end == "deb"));
    let mut lintian = Command::new("lintian");
    lintian.args(["--no-cfg", "--allow-root", "--fail-on", "error,warning"]);
    let said = read(lintian.arg("--suppress-tags").arg(NOT_OURS.join(",")).args(debs));
    said.expect("lintian has nothing to say");
}

/// What lintian says of every package that is not one of Debian's own archive.
const NOT_OURS: [&str; 1] = ["initial-upload-closes-no-bugs"];

fn rpm(files: &[PathBuf]) {
    for package in super::PACKAGES {
        let file = find(files, &format!("{}-0", package.name));
        let checked = read(Command::new("rpm").arg("-K").arg(file)).expect("rpm -K");
        assert!(checked.contains("digests OK"), "{checked}");
        let list = read(Command::new("rpm").args(["-qpl"]).arg(file)).expect("rpm -qpl");
        let program = format!("/usr/bin/{}", package.program);
        assert!(list.lines().any(|line| line == program), "{list}");
        let config = read(Command::new("rpm").args(["-qpc"]).arg(file)).expect("rpm -qpc");
        let expected = if package.service {
            format!("/etc/default/{}\n", package.name)
        } else {
            String::new()
        };
        assert_eq!(config, expected, "{}", package.name);
    }
}

/// At error and warning level, beside what is said of each package that is not Fedora's own.
fn rpmlint(files: &[PathBuf]) {
    let folder = tempfile::tempdir().expect("folder");
    let config = folder.path().join("adit.toml");
    let filters: Vec<_> = NOT_FEDORAS.iter().map(|tag| format!("{tag:?}")).collect();
    std::fs::write(&config, format!("Filters = [{}]\n", filters.join(", "))).expect("written");
    let rpms = files.iter().filter(|file| file.extension().is_some_and(|end| end == "rpm"));
    let mut rpmlint = Command::new("rpmlint");
    let said = read(rpmlint.arg("--strict").arg("--config").arg(&config).args(rpms));
    said.expect("rpmlint has nothing to say");
}

/// What rpmlint says of every package of this kind that is made on a Debian.
const NOT_FEDORAS: [&str; 6] = [
    // Whoever serves a repository signs what is in it.
    "no-signature",
    // Debian's rpmlint knows another family's compression of pages and names of licences.
    "manpage-not-compressed",
    "no-manual-page-for-binary",
    "invalid-license",
    // Units of systemd belong there.
    "only-non-binary-in-usr-lib",
    // The program is called what the product is called.
    "name-repeated-in-summary",
];

/// A Debian with nothing in it but what each has.
struct Debian {
    root: PathBuf,
}

impl Debian {
    fn make(root: &Path) -> Self {
        as_root("rm", &["-rf".as_ref(), root]);
        let include = "--include=systemd-standalone-sysusers";
        let variant = "--variant=minbase";
        as_root("debootstrap", &[variant.as_ref(), include.as_ref(), release().as_ref(), root]);
        Self { root: root.to_owned() }
    }

    fn install_use_and_remove(&self, files: &[PathBuf]) {
        for file in files.iter().filter(|file| file.extension().is_some_and(|end| end == "deb")) {
            as_root("cp", &[file, &self.root.join("tmp")]);
        }

        let told = self.run("dpkg -i /tmp/adit-connector_*.deb");
        assert!(told.contains("adit-connector join https://relay.example.com"), "{told}");
        let told = self.run("dpkg -i /tmp/adit-relay_*.deb /tmp/adit_*.deb");
        assert!(told.contains("adit-relay init --data /var/lib/adit"), "{told}");

        let owner = "stat -c '%U %a' /var/lib/adit-connector /var/lib/adit";
        assert_eq!(self.run(owner), "adit-connector 700\nadit 700\n");
        for program in ["adit", "adit-relay", "adit-connector"] {
            let version = self.run(&format!("{program} --version"));
            assert_eq!(version.trim(), format!("{program} {}", super::VERSION));
            let share = "/usr/share/bash-completion/completions";
            self.run(&format!("test -s {share}/{program}"));
            self.run(&format!(
                "zcat /usr/share/man/man1/{program}.1.gz | grep -q '^.TH {program}'"
            ));
        }

        // Root sets it up as the text says, and the service can read what root wrote.
        self.run("adit-relay init --data /var/lib/adit --domain relay.example.com > /root/token");
        let config = "adit-relay check-config /var/lib/adit/relay.toml";
        let user = "setpriv --reuid adit --regid adit --clear-groups";
        self.run(&format!("{user} {config}"));
        let mine = format!("{user} find /var/lib/adit -type f ! -writable");
        assert_eq!(self.run(&mine), "", "files the service can't write");

        self.run("echo HTTPS_PROXY=http://proxy:3128 >> /etc/default/adit-connector");
        self.run("touch /var/lib/adit-connector/key.pem");
        let again = self.run("dpkg -i /tmp/adit-connector_*.deb");
        assert!(again.contains("Unpacking adit-connector"), "{again}");
        self.run("grep -q proxy:3128 /etc/default/adit-connector");

        self.run("dpkg -r adit-connector");
        self.run("test -e /var/lib/adit-connector/key.pem && test -e /etc/default/adit-connector");
        self.run("dpkg -P adit-connector adit-relay adit");
        let left = self.run("find /var/lib /etc /usr /var/log -name '*adit*'");
        assert_eq!(left, "", "purging leaves nothing");
    }

    fn run(&self, line: &str) -> String {
        let mut chroot = root_command("chroot");
        chroot.arg(&self.root).args(["/bin/sh", "-ec", &format!("{line} 2>&1")]);
        chroot.env("LC_ALL", "C").env("DEBIAN_FRONTEND", "noninteractive");
        read(&mut chroot).unwrap_or_else(|error| panic!("{line}: {error:#}"))
    }
}

/// The one that the programs were built for.
fn release() -> String {
    let text = std::fs::read_to_string("/etc/os-release").expect("a Linux");
    let name = text.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    name.unwrap_or("stable").to_owned()
}

fn as_root(program: &str, args: &[&Path]) {
    let ran = read(root_command(program).args(args));
    ran.unwrap_or_else(|error| panic!("{program}: {error:#}"));
}

fn root_command(program: &str) -> Command {
    if testkit::is_root() {
        return Command::new(program);
    }
    let mut sudo = Command::new("sudo");
    sudo.arg(program);
    sudo
}
