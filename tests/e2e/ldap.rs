//! People of a directory: Debian's slapd.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use testkit::{Deployment, Process, eventually, free_port, run, run_with_input};

use crate::support::{SOON, certificates};

#[test]
fn a_directory_signs_people_in_and_who_is_gone_there_is_gone_here_at_the_next_look() -> Result<()> {
    let mut world = Deployment::start()?;
    let slapd = Slapd::start(world.dir())?;
    let people = "[[user]]\nname = \"alice\"\n[[user]]\nname = \"root\"\nadmin = true\n\
                  [[group]]\nname = \"dba\"\nmembers = [\"alice\"]\n";
    world.apply(people)?.ok()?;
    let one_time = world.admin(&["user", "password", "root"])?.ok()?;
    let one_time = one_time.lines().next().context("a password")?.to_owned();
    slapd.tell(&mut world)?;

    // By LDAPS and by StartTLS; somebody new is made, somebody known is linked, and groups follow.
    let zoe = Browser::new(&world, "zoe");
    assert_eq!(zoe.sign_in("zoe", "correct horse")?, "303");
    assert_eq!(Browser::new(&world, "max").sign_in("max", "battery staple")?, "303");
    let alice = Browser::new(&world, "alice");
    assert_eq!(alice.sign_in(" Alice ", "alices own password")?, "303");
    assert_eq!((zoe.me()?, alice.me()?), ("200".to_owned(), "200".to_owned()));
    assert_eq!(members(&world)?, ["zoe"], "alice is in no such group there");
    let opened = world.audit("sign_in.opened")?;
    let of_zoe = opened.iter().find(|row| row["user"] == "zoe").context("zoe's sign-in")?;
    assert_eq!(
        (&of_zoe["event"]["how"], &of_zoe["event"]["provider"]),
        (&"directory".into(), &"corp".into())
    );

    // Nothing that is typed is more than a name and a password.
    let stranger = Browser::new(&world, "stranger");
    for (user, password) in [
        ("zoe", "wrong"),
        ("zoe", ""),
        ("", ""),
        ("*", "correct horse"),
        ("z*", "correct horse"),
        ("zoe)(uid=*", "correct horse"),
        ("uid=zoe,ou=people,dc=example,dc=com", "correct horse"),
        ("nobody", "correct horse"),
    ] {
        assert_eq!(stranger.sign_in(user, password)?, "401", "{user:?} {password:?}");
    }
    let rows = world.admin_json(&["provisioner", "ldap"])?;
    assert_eq!(rows[0]["name"], "corp", "{rows}");

    // Who is removed, or locked, there is signed in no more here, within the file's minute.
    slapd.change("dn: uid=zoe,ou=people,dc=example,dc=com\nchangetype: delete\n")?;
    let gone = || zoe.me().is_ok_and(|status| status == "401");
    eventually(Duration::from_secs(120), "zoe is gone", gone)?;
    assert_eq!(alice.me()?, "200", "and nobody else");
    assert_eq!(user(&world, "zoe")?["enabled"], false);
    let disabled = world.audit("admin.changed")?.into_iter().any(|row| {
        row["event"]["actor"] == "directory corp" && row["event"]["object"] == "user zoe"
    });
    assert!(disabled, "it is recorded who did it");
    slapd.change(ZOE)?;
    let back = || user(&world, "zoe").is_ok_and(|user| user["enabled"] == true);
    eventually(Duration::from_secs(120), "zoe is back", back)?;

    // A certificate of somebody else's is not believed, and a directory that is away lets nobody in
    // and ends nothing.
    let ca = slapd.dir.join("ca.pem");
    let genuine = fs::read(&ca)?;
    let other = slapd.dir.join("other");
    fs::create_dir(&other)?;
    certificates(&other)?;
    fs::copy(other.join("ca.pem"), &ca)?;
    let late = Browser::new(&world, "late");
    assert_eq!(late.sign_in("alice", "alices own password")?, "503");
    fs::write(&ca, genuine)?;
    drop(slapd);
    assert_eq!(late.sign_in("alice", "alices own password")?, "503");
    assert_eq!(alice.me()?, "200");
    // Whoever has a password here does not need it.
    assert_eq!(Browser::new(&world, "root").sign_in("root", &one_time)?, "303");
    Ok(())
}

fn members(world: &Deployment) -> Result<Vec<String>> {
    let group = world.admin_json(&["group", "show", "dba"])?;
    let members = group["members"].as_array().cloned().unwrap_or_default();
    Ok(members.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect())
}

fn user(world: &Deployment, name: &str) -> Result<serde_json::Value> {
    world.admin_json(&["user", "show", name])
}

/// Curl with a jar of its own.
struct Browser {
    url: String,
    ca: PathBuf,
    jar: PathBuf,
}

impl Browser {
    fn new(world: &Deployment, name: &str) -> Self {
        let jar = world.dir().join(format!("{name}.jar"));
        let url = format!("https://{}:{}", world.domain(), world.doors().https);
        Self { url, ca: world.ca_file(), jar }
    }

    fn curl(&self, path: &str) -> Command {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-m", "60", "-o", "/dev/null", "-w", "%{http_code}"]);
        curl.args(["-H", "Sec-Fetch-Site: same-origin"]).arg("--cacert").arg(&self.ca);
        curl.arg("-c").arg(&self.jar).arg("-b").arg(&self.jar).arg(format!("{}{path}", self.url));
        curl
    }

    fn sign_in(&self, user: &str, password: &str) -> Result<String> {
        let mut curl = self.curl("/sign-in/password");
        curl.args(["--data-urlencode", &format!("user={user}")]);
        curl.args(["--data-urlencode", &format!("password={password}")]);
        run(&mut curl, SOON)?.ok()
    }

    fn me(&self) -> Result<String> {
        run(&mut self.curl("/api/v1/me"), SOON)?.ok()
    }
}

struct Slapd {
    dir: PathBuf,
    ldap: u16,
    ldaps: u16,
    _process: Process,
}

impl Slapd {
    fn start(world: &Path) -> Result<Self> {
        let dir = world.join("slapd");
        fs::create_dir_all(dir.join("db"))?;
        certificates(&dir)?;
        let (ldap, ldaps) = (free_port()?, free_port()?);
        let at = |name: &str| dir.join(name).display().to_string();
        // A bind without a password would be let in here, as nobody.
        let configuration = format!(
            "include /etc/ldap/schema/core.schema\ninclude /etc/ldap/schema/cosine.schema\n\
             include /etc/ldap/schema/inetorgperson.schema\npidfile {}\n\
             modulepath /usr/lib/ldap\nmoduleload back_mdb\n\
             TLSCACertificateFile {}\nTLSCertificateFile {}\nTLSCertificateKeyFile {}\n\
             allow bind_anon_cred\nsecurity simple_bind=128\n\
             database mdb\nsuffix \"dc=example,dc=com\"\ndirectory {}\n\
             rootdn \"cn=root,dc=example,dc=com\"\nrootpw secret\n\
             access to attrs=userPassword by anonymous auth by * none\n\
             access to * by dn=\"cn=adit,dc=example,dc=com\" read by * none\n",
            at("pid"),
            at("ca.pem"),
            at("cert.pem"),
            at("key.pem"),
            at("db"),
        );
        fs::write(dir.join("slapd.conf"), configuration)?;
        fs::write(dir.join("password"), "the relay's own\n")?;
        let mut add = Command::new("/usr/sbin/slapadd");
        add.args(["-f", &at("slapd.conf")]);
        run_with_input(&mut add, PEOPLE.as_bytes(), SOON)?.ok()?;
        let mut command = Command::new("/usr/sbin/slapd");
        let listen = format!("ldap://127.0.0.1:{ldap} ldaps://127.0.0.1:{ldaps}");
        command.args(["-d", "0", "-f", &at("slapd.conf"), "-h", &listen]);
        let mut process = Process::start("slapd", command, &dir.join("log"))?;
        eventually(SOON, "slapd listens", || {
            testkit::is_listening(ldaps) || !process.is_running()
        })?;
        anyhow::ensure!(process.is_running(), "slapd ended\n{}", process.tail());
        Ok(Self { dir, ldap, ldaps, _process: process })
    }

    /// Has it in the relay's file: one part of it by LDAPS, another by StartTLS.
    fn tell(&self, world: &mut Deployment) -> Result<()> {
        let common = format!(
            "ca_file = {:?}\nbind_dn = \"cn=adit,dc=example,dc=com\"\nbind_password_file = {:?}\n\
             provision = true\nlink_users = true\nsync_minutes = 1\n",
            self.dir.join("ca.pem"),
            self.dir.join("password")
        );
        let directories = format!(
            "\n[[ldap]]\nname = \"corp\"\nurl = \"ldaps://localhost:{}\"\n{common}\
             base = \"ou=people,dc=example,dc=com\"\ngroup_base = \"ou=groups,dc=example,dc=com\"\n\
             groups = [\"Engineers=dba\"]\nid_attribute = \"employeeNumber\"\n\
             [[ldap]]\nname = \"others\"\nurl = \"ldap://localhost:{}\"\n{common}\
             base = \"ou=others,dc=example,dc=com\"\n",
            self.ldaps, self.ldap
        );
        let file = world.dir().join("relay/relay.toml");
        fs::write(&file, fs::read_to_string(&file)? + &directories)?;
        world.relay().stop(SOON)?;
        world.start_relay()
    }

    fn change(&self, ldif: &str) -> Result<()> {
        let mut modify = Command::new("ldapmodify");
        // The directory's own admin, on this machine; what the relay believes is what is tested.
        modify.env("LDAPTLS_REQCERT", "never");
        modify.args(["-x", "-H", &format!("ldaps://localhost:{}", self.ldaps)]);
        modify.args(["-D", "cn=root,dc=example,dc=com", "-w", "secret"]);
        run_with_input(&mut modify, ldif.as_bytes(), SOON)?.ok().map(drop)
    }
}

const PEOPLE: &str = "dn: dc=example,dc=com
objectClass: dcObject
objectClass: organization
dc: example
o: Example

dn: cn=adit,dc=example,dc=com
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: adit
userPassword: the relay's own

dn: ou=people,dc=example,dc=com
objectClass: organizationalUnit
ou: people

dn: ou=others,dc=example,dc=com
objectClass: organizationalUnit
ou: others

dn: ou=groups,dc=example,dc=com
objectClass: organizationalUnit
ou: groups

dn: uid=alice,ou=people,dc=example,dc=com
objectClass: inetOrgPerson
uid: alice
cn: Alice
sn: A
employeeNumber: 7
userPassword: alices own password

dn: uid=zoe,ou=people,dc=example,dc=com
objectClass: inetOrgPerson
uid: zoe
cn: Zoe
sn: Z
employeeNumber: 42
userPassword: correct horse

dn: uid=max,ou=others,dc=example,dc=com
objectClass: inetOrgPerson
uid: max
cn: Max
sn: M
userPassword: battery staple

dn: cn=engineers,ou=groups,dc=example,dc=com
objectClass: groupOfNames
cn: engineers
member: uid=zoe,ou=people,dc=example,dc=com
";

/// The same once more: what stays hers is what she is known by.
const ZOE: &str = "dn: uid=zoe,ou=people,dc=example,dc=com
changetype: add
objectClass: inetOrgPerson
uid: zoe
cn: Zoe
sn: Z
employeeNumber: 42
userPassword: correct horse
";
