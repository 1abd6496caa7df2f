//! What `adit admin app add` and `set` say of how a web application's origin is spoken to.

use std::path::PathBuf;

use access::{HostName, Scheme, Version, WebOptions, WebService};
use clap::Args;

use super::secrets;
use crate::exit::Failure;

/// How the origin of a web application is spoken to.
#[derive(Debug, Args)]
pub(super) struct WebArgs {
    /// http or https [default: https at port 443, else http]
    #[arg(long, value_name = "SCHEME", value_parser = scheme)]
    scheme: Option<Scheme>,
    /// The version of HTTP, 1 or 2 [default: what the origin picks, 1 without TLS]
    #[arg(long, value_name = "VERSION", value_parser = version)]
    http: Option<Version>,
    /// The CAs that sign the origin's certificate, in a PEM file [default: the relay machine's]
    #[arg(long, value_name = "FILE", conflicts_with = "pin")]
    ca_file: Option<PathBuf>,
    /// The SHA-256 of the origin's own certificate, whoever signed it
    #[arg(long, value_name = "HEX")]
    pin: Option<String>,
    /// The name in the TLS handshake [default: the address's host]
    #[arg(long, value_name = "NAME")]
    sni: Option<String>,
    /// The Host the origin is sent [default: the address]
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// Where the application is at its origin, for example /wiki; clients do not see it
    #[arg(long, value_name = "PATH")]
    base_path: Option<String>,
    /// Seconds until a connection to the origin stands [default: 10]
    #[arg(long, value_name = "SECONDS")]
    connect_timeout: Option<u32>,
    /// Seconds without progress until an answer begins [default: 60]
    #[arg(long, value_name = "SECONDS")]
    answer_timeout: Option<u32>,
    /// A method that is let through [default: all]; may be repeated
    #[arg(long = "method", value_name = "METHOD")]
    methods: Vec<String>,
    /// A path that is let through with all below it [default: all]; may be repeated
    #[arg(long = "path", value_name = "PATH")]
    paths: Vec<String>,
    /// A header each request gets, which admins can read; may be repeated
    #[arg(long = "set-header", value_name = "NAME=VALUE", value_parser = header)]
    set_headers: Vec<(String, String)>,
    /// A header that no request brings to the origin; may be repeated
    #[arg(long = "remove-header", value_name = "NAME")]
    remove_headers: Vec<String>,
    /// A name in the DNS that leads to it, such as wiki.example.com; may be repeated
    #[arg(long = "host-name", value_name = "NAME")]
    host_names: Vec<HostName>,
    /// An origin of its own for a path or a host name, such as 10.0.0.8:81,path=/api,base-path=/; may be
    /// repeated. Also: host-name, scheme, http, pin, sni, host
    #[arg(long = "service", value_name = "HOST:PORT,WHAT=…", value_parser = service)]
    services: Vec<WebService>,
}

impl WebArgs {
    /// The options with what is given in place of what they said; `None` where nothing is.
    pub(super) fn over(self, options: Option<WebOptions>) -> Result<Option<WebOptions>, Failure> {
        let mut options = options.unwrap_or_default();
        options.scheme = self.scheme.or(options.scheme);
        options.http = self.http.or(options.http);
        // Of the two, the one that is given last counts.
        if let Some(file) = self.ca_file.as_deref() {
            (options.ca, options.pin) = (Some(secrets::read(file)?), None);
        }
        if let Some(pin) = self.pin {
            (options.ca, options.pin) = (None, Some(pin));
        }
        options.sni = self.sni.or(options.sni);
        options.host = self.host.or(options.host);
        options.base_path = self.base_path.or(options.base_path);
        options.connect_timeout = self.connect_timeout.or(options.connect_timeout);
        options.answer_timeout = self.answer_timeout.or(options.answer_timeout);
        replace(&mut options.methods, self.methods);
        replace(&mut options.paths, self.paths);
        replace(&mut options.remove_headers, self.remove_headers);
        replace(&mut options.host_names, self.host_names);
        replace(&mut options.services, self.services);
        if !self.set_headers.is_empty() {
            options.set_headers = self.set_headers.into_iter().collect();
        }
        Ok((!options.is_default()).then_some(options))
    }
}

fn replace<T>(list: &mut Vec<T>, given: Vec<T>) {
    if !given.is_empty() {
        *list = given;
    }
}

fn scheme(text: &str) -> Result<Scheme, String> {
    match text {
        "http" => Ok(Scheme::Http),
        "https" => Ok(Scheme::Https),
        _ => Err("a scheme is http or https".to_owned()),
    }
}

fn version(text: &str) -> Result<Version, String> {
    match text {
        "1" | "1.1" => Ok(Version::One),
        "2" => Ok(Version::Two),
        _ => Err("a version of HTTP is 1 or 2".to_owned()),
    }
}

fn service(text: &str) -> Result<WebService, String> {
    let mut parts = text.split(',');
    let address = parts.next().unwrap_or_default();
    let mut service = WebService::at(address.parse().map_err(|e| format!("{address:?}: {e}"))?);
    for part in parts {
        let (what, value) = part.split_once('=').ok_or_else(|| format!("{part:?} has no ="))?;
        let text = Some(value.to_owned());
        match what {
            "path" => service.path = text,
            "host-name" => {
                service.host_name = Some(value.parse().map_err(|e| format!("{value:?}: {e}"))?);
            }
            "scheme" => service.scheme = Some(scheme(value)?),
            "http" => service.http = Some(version(value)?),
            "pin" => service.pin = text,
            "sni" => service.sni = text,
            "host" => service.host = text,
            "base-path" => service.base_path = text,
            _ => return Err(format!("a service has no {what:?}; `--help` names what it has")),
        }
    }
    Ok(service)
}

fn header(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        Some(_) | None => Err("a header is NAME=VALUE, for example Accept-Language=en".to_owned()),
    }
}
