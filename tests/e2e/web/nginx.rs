//! nginx as the origin: TLS with a certificate nobody signed, and what an admin sets for it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use testkit::{Process, eventually, free_port, run, self_signed};

use super::stage::Stage;
use crate::support::{SOON, application, assert_says};

#[test]
fn an_origin_is_trusted_by_its_ca_or_its_pin_and_not_otherwise() -> Result<()> {
    let stage = Stage::start()?;
    let nginx = Nginx::start(&stage)?;
    let key = format!("X-Adit-Key: {}", stage.token()?);
    let ca_file = nginx.certificate.clone();
    let pin = nginx.pin()?;
    let other = "00".repeat(32);
    let cases = [
        ("scheme = \"https\"".to_owned(), "origin.tls"),
        (format!("pin = \"{other}\"\nscheme = \"https\""), "origin.tls"),
        (format!("pin = \"{pin}\"\nscheme = \"https\""), "hello from nginx"),
        (
            format!("scheme = \"https\"\nsni = \"wiki.test\"\nca_file = {ca_file:?}"),
            "hello from nginx",
        ),
        // Its name is another one.
        (format!("scheme = \"https\"\nca_file = {ca_file:?}"), "origin.tls"),
        ("scheme = \"http\"".to_owned(), "400"),
    ];
    for (options, said) in cases {
        let (files, options): (Vec<&str>, Vec<&str>) =
            options.lines().partition(|line| line.starts_with("ca_file"));
        let document = application("app", "web", &nginx.address) + "allow_api = true\n";
        let options = format!("{}\n[application.web]\n{}\n", files.join(""), options.join("\n"));
        stage.deployment.apply(&(document + &options))?.ok()?;
        let output = run(stage.curl("/").args(["-i", "-H", &key]), SOON)?;
        assert_says(&output, said);
    }
    // What it was is for those to read who administer the application.
    let told = |code: &str, times: usize| {
        eventually(SOON, code, || {
            let log = stage.deployment.admin_json(&["web", "log"]).unwrap_or_default().to_string();
            log.matches(&format!("\"{code}\"")).count() == times
        })
    };
    told("origin.untrusted", 1)?;
    told("origin.wrong_pin", 1)?;
    told("origin.wrong_name", 1)?;
    let log = fs::read_to_string(stage.deployment.dir().join("relay.log"))?;
    assert_eq!(log.matches("No TLS with an origin").count(), 3, "{log}");
    assert!(log.contains("once you know why"), "{log}");
    Ok(())
}

#[test]
fn an_origin_is_spoken_to_in_the_http_it_picks_or_that_is_set() -> Result<()> {
    let stage = Stage::start()?;
    let nginx = Nginx::start(&stage)?;
    let key = format!("X-Adit-Key: {}", stage.token()?);
    for (http, spoken) in
        [("", "HTTP/2.0"), ("http = \"1\"", "HTTP/1.1"), ("http = \"2\"", "HTTP/2.0")]
    {
        let document = application("app", "web", &nginx.address) + "allow_api = true\n";
        let options =
            format!("[application.web]\nscheme = \"https\"\npin = \"{}\"\n", nginx.pin()?);
        stage.deployment.apply(&(document + &options + http))?.ok()?;
        let output = run(stage.curl("/").args(["-H", &key]), SOON)?;
        assert_says(&output, &format!("hello from nginx in {spoken}"));
        // A change of protocol is asked for where it can be.
        let upgrade = ["-H", "Connection: Upgrade", "-H", "Upgrade: websocket", "--http1.1"];
        let output = run(stage.curl("/").args(["-H", &key]).args(upgrade), SOON)?;
        assert_says(&output, "hello from nginx in");
    }
    Ok(())
}

#[test]
fn an_application_is_open_for_what_its_options_name() -> Result<()> {
    let stage = Stage::start()?;
    let key = format!("X-Adit-Key: {}", stage.token()?);
    let document = application("app", "web", &stage.address())
        + "allow_api = true\n[application.web]\nhost = \"wiki.corp\"\nmethods = [\"GET\"]\n\
           paths = [\"/echo\"]\nremove_headers = [\"User-Agent\"]\n\
           [application.web.set_headers]\nAuthorization = \"Basic eDp5\"\n";
    stage.deployment.apply(&document)?.ok()?;
    let output = run(stage.curl("/echo").args(["-H", &key]), SOON)?;
    assert_says(&output, "\"host\":\"wiki.corp\"");
    assert_says(&output, "\"authorization\":\"Basic eDp5\"");
    assert!(!output.text().contains("curl/"), "{}", output.text());
    for (path, method) in [("/landing", "GET"), ("/echo", "POST"), ("/echo/%2e%2e/landing", "GET")]
    {
        let mut curl = stage.curl(path);
        curl.args(["-i", "--path-as-is", "-X", method, "-H", &key]);
        assert_says(&run(&mut curl, SOON)?, "web.not_let_through");
    }
    // What is in force is what comes back, and a mistake changes nothing.
    let exported = stage.deployment.admin(&["export"])?.ok()?;
    assert!(exported.contains("wiki.corp"), "{exported}");
    let wrong = document.replace("wiki.corp", "a b");
    assert_says(&stage.deployment.apply(&wrong)?, "application.web");
    Ok(())
}

/// nginx with TLS for `wiki.test`, by a certificate of its own making.
struct Nginx {
    address: String,
    certificate: PathBuf,
    _process: Process,
}

impl Nginx {
    fn start(stage: &Stage) -> Result<Self> {
        let dir = stage.deployment.dir().join("nginx");
        fs::create_dir(&dir)?;
        let (certificate, key) = (dir.join("cert.pem"), dir.join("key.pem"));
        certify(&dir, &certificate, &key)?;
        let address = format!("127.0.0.1:{}", free_port()?);
        let server = format!(
            "listen {address} ssl http2; ssl_certificate {}; ssl_certificate_key {};\n\
             location / {{ return 200 'hello from nginx in $server_protocol\\n'; }}",
            certificate.display(),
            key.display()
        );
        let process = serve(&dir, &address, &server)?;
        Ok(Self { address, certificate, _process: process })
    }

    fn pin(&self) -> Result<String> {
        let mut openssl = Command::new("openssl");
        openssl.args(["x509", "-noout", "-fingerprint", "-sha256", "-in"]).arg(&self.certificate);
        let said = run(&mut openssl, SOON)?.ok()?;
        Ok(said.trim().rsplit('=').next().context("a fingerprint")?.to_owned())
    }
}

/// nginx with one server, which listens at `address`.
pub(crate) fn serve(dir: &Path, address: &str, server: &str) -> Result<Process> {
    let (file, at) = (dir.join("nginx.conf"), dir.display());
    fs::write(
        &file,
        format!(
            "daemon off; pid {at}/pid; error_log stderr; user root; events {{}}\n\
             http {{ access_log off; client_body_temp_path {at}/body; proxy_temp_path {at}/p;\n\
             fastcgi_temp_path {at}/f; uwsgi_temp_path {at}/u; scgi_temp_path {at}/s;\n\
             server {{ {server} }} }}\n"
        ),
    )?;
    let mut command = Command::new("/usr/sbin/nginx");
    command.arg("-p").arg(dir).arg("-c").arg(&file).args(["-e", "stderr"]);
    let mut process = Process::start("nginx", command, &dir.join("log"))?;
    let up = || std::net::TcpStream::connect(address).is_ok();
    testkit::eventually(SOON, "nginx listens", up).with_context(|| process.tail())?;
    anyhow::ensure!(process.is_running(), "{}", process.tail());
    Ok(process)
}

/// A certificate for `wiki.test` that no CA signed and that is none itself.
fn certify(dir: &Path, certificate: &Path, key: &Path) -> Result<()> {
    let config = dir.join("openssl.conf");
    fs::write(&config, OPENSSL)?;
    let mut openssl = self_signed(certificate, key);
    run(openssl.arg("-config").arg(config), SOON)?.ok().map(drop)
}

const OPENSSL: &str = "[req]\ndistinguished_name = dn\nx509_extensions = ext\nprompt = no\n\
    [dn]\nCN = wiki.test\n\
    [ext]\nsubjectAltName = DNS:wiki.test\nbasicConstraints = critical, CA:FALSE\n";
